"""The worker as `make serve` runs it: a supervised child that is ready when it says so."""

from pathlib import Path

from serving.launcher import TritonServer
from serving.worker import WorkerChild


def test_worker_is_ready_as_a_supervised_child_and_ends_when_told(
    server: TritonServer, tmp_path: Path, monkeypatch
):
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path))
    said: list[str] = []
    worker = WorkerChild(server, said.append)
    worker.start(lambda: False)
    assert worker.ailment() == ""
    worker.stop()
    assert [line for line in said if "shutdown" not in line and line != "worker: "] == []
