"""How much more memory this process may take: what the machine has, and what its cgroup's limit leaves."""

from pathlib import Path

from serving.onnxruntime_backend.cgroup import PROC, ROOT, read_text, smallest_limit

MEMINFO = Path("/proc/meminfo")


def available_memory(meminfo: Path = MEMINFO, proc: Path = PROC, root: Path = ROOT) -> float:
    """Bytes; ``inf`` where neither is known."""
    return min(_machine(meminfo), smallest_limit("memory", _left_v2, _left_v1, proc, root))


def _machine(meminfo: Path) -> float:
    """The line reads ``MemAvailable:   12345 kB``."""
    lines = [line.split() for line in read_text(meminfo).splitlines()]
    return min(
        (1024.0 * int(line[1]) for line in lines if line[:1] == ["MemAvailable:"]), default=float("inf")
    )


def _left_v2(folder: Path) -> float:
    return _left(folder, "memory.max", "memory.current")


def _left_v1(folder: Path) -> float:
    return _left(folder, "memory.limit_in_bytes", "memory.usage_in_bytes")


def _left(folder: Path, limit: str, used: str) -> float:
    """Version 2 writes ``max`` for no limit; version 1 a number beyond any machine's memory."""
    texts = [read_text(folder / name).strip() for name in (limit, used)]
    if not all(text.isdigit() for text in texts):
        return float("inf")
    return max(0.0, float(texts[0]) - float(texts[1]))
