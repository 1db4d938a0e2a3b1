"""Tasks whose worker, gateway, model server or disk fails: nothing accepted is lost or done twice."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clients import SentimentClient
from serving.launcher import TritonServer
from tests.gateway.running import Gateway, gateway_process
from tests.gateway.tasks.workers import (
    WorkerProcess,
    finished,
    results,
    submit,
    worker_process,
)
from tests.waiting import until

WORDS = ["great", "dull", "warm", "long", "odd", "fine", "lost", "loud", "slow", "keen"]
STALL = {"TASK_STALL": "3"}


def short_texts(count: int) -> list[str]:
    """Few different ones, so that the direct answers are cheap; no neighbours are alike."""
    return [f"{WORDS[n % 10]} {WORDS[n // 10 % 10]} {WORDS[n // 100 % 10]}" for n in range(count)]


def direct_answers(server: TritonServer, texts: list[str]) -> dict[str, tuple[str, float]]:
    """What the model says of each different text, asked without a task."""
    different = sorted(set(texts))
    with SentimentClient(server.grpc_url, "grpc") as client:
        found = client.classify(different)
    return {text: (each.label, each.score) for text, each in zip(different, found, strict=True)}


def assert_right(found: list[dict], texts: list[str], expected: dict[str, tuple[str, float]]) -> None:
    """Every text once, in order, with the direct answer."""
    assert [each["index"] for each in found] == list(range(len(texts)))
    for each, text in zip(found, texts, strict=True):
        label, score = expected[text]
        assert each["label"] == label
        assert abs(each["score"] - score) < 1e-4


def done_texts(gateway: Gateway, task: dict) -> int:
    return gateway.client.get(f"/v1/tasks/{task['id']}").json()["done"]


@pytest.mark.timeout(900)
def test_twenty_thousand_texts_survive_kills_of_worker_and_gateway(server: TritonServer, tmp_path: Path):
    texts = short_texts(20_000)
    expected = direct_answers(server, texts)
    settings = {"GATEWAY_DATA": str(tmp_path), **STALL}
    with gateway_process(server.grpc_url, **settings) as gateway:
        worker = WorkerProcess(server.grpc_url, tmp_path, **STALL)
        task = submit(gateway.client, texts, headers={"Idempotency-Key": "k"})
        for part in (0.2, 0.4):
            until(lambda part=part: done_texts(gateway, task) > part * len(texts))
            worker.kill()
            worker = WorkerProcess(server.grpc_url, tmp_path, **STALL)
        until(lambda: done_texts(gateway, task) > 0.6 * len(texts))
        gateway.process.kill()
        gateway.process.wait(60)
    try:
        with gateway_process(server.grpc_url, **settings) as gateway:
            assert submit(gateway.client, texts, headers={"Idempotency-Key": "k"})["id"] == task["id"]
            end = finished(gateway.client, task, patience=400)
            assert (end["state"], end["done"], end["errors"]) == ("done", len(texts), 0)
            assert_right(results(gateway.client, task), texts, expected)
    finally:
        assert worker.stop() == 0


@pytest.mark.timeout(900)
def test_killed_model_server_is_waited_for(published_repository: Path, server: TritonServer, tmp_path: Path):
    texts = short_texts(20_000)
    expected = direct_answers(server, texts)
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(published_repository, **ports) as first:
        port = int(first.grpc_url.rpartition(":")[2])
        with (
            gateway_process(first.grpc_url, GATEWAY_DATA=str(tmp_path)) as gateway,
            worker_process(first.grpc_url, tmp_path),
        ):
            task = submit(gateway.client, texts)
            until(lambda: done_texts(gateway, task) > 0.3 * len(texts))
            assert done_texts(gateway, task) < len(texts)
            kill_group(first)
            with TritonServer(published_repository, **ports | {"grpc_port": port}):
                end = finished(gateway.client, task, patience=400)
                assert (end["state"], end["done"], end["errors"]) == ("done", len(texts), 0)
                assert_right(results(gateway.client, task), texts, expected)


def kill_group(server: TritonServer) -> None:
    """SIGKILL to tritonserver and its processes."""
    os.killpg(server.pid, 9)
    server.wait()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of this size at `folder`; needs the right to mount."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_full_disk_fails_the_task_in_words_and_it_is_resumed(server: TritonServer, tmp_path: Path):
    texts = short_texts(4000)
    expected = direct_answers(server, texts)
    data = tmp_path / "data"
    with small_disk(data, "6m"):
        settings = {"GATEWAY_DATA": str(data), "TASK_CHUNK": "64"}
        with gateway_process(server.grpc_url, **settings) as gateway:
            task = submit(gateway.client, texts)
            filler = data / "filler"
            fill(filler, leave=64 << 10)
            with worker_process(server.grpc_url, data):
                end = finished(gateway.client, task)
                assert end["state"] == "failed"
                assert "disk is full" in end["detail"]
                assert 0 < end["done"] < len(texts)
                filler.unlink()
                assert gateway.client.post(f"/v1/tasks/{task['id']}/resume").status_code == 202
                assert finished(gateway.client, task)["state"] == "done"
                assert_right(results(gateway.client, task), texts, expected)


def test_upload_without_room_is_refused_and_leaves_nothing(server: TritonServer, tmp_path: Path):
    data = tmp_path / "data"
    with small_disk(data, "2m"), gateway_process(server.grpc_url, GATEWAY_DATA=str(data)) as gateway:
        announced = gateway.client.post("/v1/tasks", json=["word " * 400] * 1000)
        assert announced.status_code == 507
        lines = (b'"%s"\n' % (b"word " * 400) for _ in range(2000))
        media_type = {"Content-Type": "application/x-ndjson"}
        streamed = gateway.client.post("/v1/tasks", content=lines, headers=media_type)
        assert streamed.status_code == 507
        assert int(streamed.headers["retry-after"]) > 0
        assert not list((data / "tasks" / "incoming").iterdir())
        submit(gateway.client, ["there is room for this"])


def fill(path: Path, leave: int) -> None:
    """Takes all of a disk but so many bytes."""
    free = os.statvfs(path.parent)
    with path.open("wb") as file:
        file.write(bytes(free.f_bavail * free.f_frsize - leave))


def test_full_backlog_is_refused_with_a_time_and_loses_nothing(server: TritonServer, tmp_path: Path):
    settings = {"GATEWAY_DATA": str(tmp_path), "TASK_BACKLOG_TASKS": "3", "TASK_BACKLOG_TEXTS": "100"}
    with gateway_process(server.grpc_url, **settings) as gateway:
        tasks = [submit(gateway.client, short_texts(10)) for _ in range(2)]
        assert [task["place"] for task in tasks] == [1, 2]
        refused = [gateway.client.post("/v1/tasks", json=short_texts(90))]
        tasks.append(submit(gateway.client, short_texts(20)))
        refused.append(gateway.client.post("/v1/tasks", json=["a text"]))
        for answer in refused:
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
        assert [task["id"] for task in gateway.client.get("/v1/tasks").json()["tasks"]] == [
            task["id"] for task in tasks[::-1]
        ]
        with worker_process(server.grpc_url, tmp_path):
            for task in tasks:
                assert finished(gateway.client, task)["state"] == "done"
        submit(gateway.client, ["a text"])


def test_cancelled_task_stops_and_keeps_what_it_has(server: TritonServer, tmp_path: Path):
    settings = {"GATEWAY_DATA": str(tmp_path), "TASK_CHUNK": "16"}
    texts = short_texts(20_000)
    with (
        gateway_process(server.grpc_url, **settings) as gateway,
        worker_process(server.grpc_url, tmp_path),
    ):
        task = submit(gateway.client, texts)
        address = f"/v1/tasks/{task['id']}"
        until(lambda: done_texts(gateway, task) > 100)
        part = gateway.client.get(task["results"])
        assert part.headers["task-state"] == "running"
        assert len(part.text.splitlines()) == int(part.headers["task-ready"]) > 0
        assert gateway.client.delete(address).json()["state"] == "cancelled"
        kept = results(gateway.client, task)
        assert [each["index"] for each in kept] == list(range(len(kept)))
        small = submit(gateway.client, texts[:20])
        assert finished(gateway.client, small)["state"] == "done"
        assert gateway.client.get(address).json()["done"] < len(texts)
        assert gateway.client.delete(address).status_code == 204


def names(folder: Path) -> list[str]:
    """Of everything below, also while it is being deleted."""
    return [name for _, folders, files in os.walk(folder) for name in (*folders, *files)]


def test_expired_task_is_deleted(server: TritonServer, tmp_path: Path):
    with (
        gateway_process(server.grpc_url, GATEWAY_DATA=str(tmp_path), TASK_KEEP="1") as gateway,
        worker_process(server.grpc_url, tmp_path),
    ):
        task = submit(gateway.client, ["a text"])
        address = f"/v1/tasks/{task['id']}"
        until(lambda: gateway.client.get(address).status_code == 404)
        until(lambda: not any(task["id"] in name for name in names(tmp_path)))


def test_worker_told_to_stop_gives_its_chunks_back(server: TritonServer, tmp_path: Path):
    texts = short_texts(5000)
    with gateway_process(server.grpc_url, GATEWAY_DATA=str(tmp_path)) as gateway:
        with worker_process(server.grpc_url, tmp_path) as worker:
            task = submit(gateway.client, texts)
            until(lambda: done_texts(gateway, task) > 0)
            assert worker.stop() == 0
            assert "Traceback" not in worker.log.read_text()
        with worker_process(server.grpc_url, tmp_path):
            assert finished(gateway.client, task)["state"] == "done"
            assert len(results(gateway.client, task)) == len(texts)
