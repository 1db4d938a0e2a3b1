"""Memory of a process tree, watched while something else goes on."""

import threading

from benchmarks.measure.processes import memory_mib


class Sampler:
    """Keeps the largest of many samples, taken in a thread of its own."""

    def __init__(self, pid: int, seconds: float = 0.2) -> None:
        self.pid, self.seconds = pid, seconds
        self.start = self.peak = memory_mib(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self.seconds):
            self.peak = max(self.peak, memory_mib(self.pid))
