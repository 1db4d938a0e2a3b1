"""client.submit and `python -m clients submit` against a real gateway, worker and Triton."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients import (
    Limits,
    SentimentClient,
    ServerBusy,
    ServerError,
    ServerUnavailable,
    TaskClient,
    TaskFailed,
)
from serving.launcher import TritonServer
from tests.clients.fakes import free_port
from tests.gateway.running import gateway_process
from tests.gateway.tasks.workers import worker_process

TEXTS = [f"film {number} was {'great' if number % 3 else 'dull'}" for number in range(60)]


@pytest.fixture(scope="module")
def url(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("tasks")
    with (
        gateway_process(server.grpc_url, GATEWAY_DATA=str(folder), TASK_CHUNK="16") as gateway,
        worker_process(server.grpc_url, folder),
    ):
        yield gateway.url


@pytest.fixture
def direct(server: TritonServer) -> list[str]:
    with SentimentClient(server.grpc_url, "grpc") as client:
        return [found.label for found in client.classify(TEXTS)]


def write_csv(path: Path) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "review"], *([f"r{n}", text] for n, text in enumerate(TEXTS))])
    return path


@pytest.mark.parametrize("kind", ["list", "iterator", "path"])
def test_submitted_texts_are_answered_in_order(server, url, direct, tmp_path, kind):
    sent = {"list": TEXTS, "iterator": iter(TEXTS), "path": write_csv(tmp_path / "reviews.csv")}[kind]
    with SentimentClient(server.grpc_url, "grpc", gateway=url) as client:
        task = client.submit(sent)
    status = task.wait()
    assert (status.state, status.done, status.total, status.errors) == ("done", len(TEXTS), len(TEXTS), 0)
    found = list(task.results())
    assert [each.label for each in found] == direct
    assert [each.index for each in found] == list(range(len(TEXTS)))
    assert found[0].score == pytest.approx(max(found[0].probabilities.values()))


def test_progress_is_shown_and_results_go_on_after_a_text(url, capfd):
    task = TaskClient(url).submit(TEXTS)
    task.wait(progress=True, timeout=180)
    assert "60/60" in capfd.readouterr().err
    assert [result.index for result in task.results(after=57)] == [58, 59]


def test_task_is_found_again_by_its_id(url):
    client = TaskClient(url)
    task = client.submit(TEXTS)
    assert client.tasks()[0].id == task.id
    assert client.task(task.id).wait(timeout=180).state == "done"


def test_same_key_gives_the_same_task(url):
    client = TaskClient(url)
    assert client.submit(TEXTS, key="k").id == client.submit(TEXTS, key="k").id


def test_cancelled_task_is_reported(url):
    task = TaskClient(url).submit([f"{text} " * 50 for text in TEXTS * 20])
    task.cancel()
    with pytest.raises(TaskFailed, match="cancelled"):
        task.wait(timeout=60)


def test_refusal_tells_the_gateways_words(url, tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ServerError, match="Which column"):
        TaskClient(url).submit(path)
    with pytest.raises(ValueError, match="kind of file"):
        TaskClient(url).submit("reviews.pdf")


def test_full_backlog_is_server_busy_with_its_time(server: TritonServer, tmp_path: Path):
    settings = {"GATEWAY_DATA": str(tmp_path), "TASK_BACKLOG_TASKS": "1"}
    with gateway_process(server.grpc_url, **settings) as gateway:
        client = TaskClient(gateway.url, limits=Limits(deadline=0))
        client.submit(["first"])
        with pytest.raises(ServerBusy) as caught:
            client.submit(["second"])
    assert caught.value.retry_after >= 1


def test_gateway_that_is_not_there_is_named():
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ServerUnavailable, match=nobody):
        TaskClient(nobody, limits=Limits(deadline=0.2)).submit(["a"])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clients", "submit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def test_command_scores_a_csv_beside_its_own_columns(url, direct, tmp_path):
    source, output = write_csv(tmp_path / "reviews.csv"), tmp_path / "scored.csv"
    done = run(str(source), "--wait", "--output", str(output), "--gateway", url)
    assert done.returncode == 0, done.stderr
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"r{number}" for number in range(len(TEXTS))]
    assert [row["review"] for row in rows] == TEXTS
    assert [row["label"] for row in rows] == direct
    assert {row["num_windows"] for row in rows} == {"1"}
    again = tmp_path / "again.jsonl"
    assert (
        run("--task", done.stdout.strip(), "--wait", "--output", str(again), "--gateway", url).returncode == 0
    )
    assert [json.loads(line)["label"] for line in again.read_text().splitlines()] == direct
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.jsonl", "reviews.csv", "scored.csv"]


def test_command_ends_with_1_where_texts_were_refused(url, tmp_path):
    source = tmp_path / "texts.jsonl"
    source.write_text('"good"\nnull\n')
    done = run(str(source), "--wait", "--gateway", url)
    assert done.returncode == 1
    assert "1 of 2 texts were refused" in done.stderr


def test_command_says_what_is_wrong_in_one_line(url, tmp_path):
    assert run("--wait").returncode == 2
    missing = run(str(tmp_path / "nosuch.csv"), "--gateway", url)
    assert missing.returncode == 1
    assert "Traceback" not in missing.stderr
