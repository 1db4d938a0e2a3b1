from pathlib import Path

import psutil
import pytest
import torch

from benchmarks.callers import flask_caller
from benchmarks.rivals.flask_app import create_app
from benchmarks.rivals.flask_server import FlaskServer, FlaskSettings, recommended


@pytest.fixture(scope="module")
def flask_client(padded_checkpoint: Path):
    return create_app(str(padded_checkpoint), torch.bfloat16, batch_size=2).test_client()


@pytest.mark.parametrize("endpoint", ["single", "fast_single"])
def test_single_endpoints_give_torchs_labels(flask_client, texts, torch_labels, endpoint) -> None:
    answers = [flask_client.post(f"/{endpoint}", json={"query": text}).get_json() for text in texts]
    assert [answer["prediction"] for answer in answers] == torch_labels
    assert all(0.5 <= answer["score"] <= 1 for answer in answers)


@pytest.mark.parametrize("endpoint", ["batch", "fast_batch"])
def test_batch_endpoints_answer_in_order(flask_client, texts, torch_labels, endpoint) -> None:
    rows = flask_client.post(f"/{endpoint}", json={"queryList": texts}).get_json()["predictions"]
    assert [row["prediction"] for row in rows] == torch_labels


def test_live_app_answers_and_leaves_no_process(padded_checkpoint: Path, texts, torch_labels) -> None:
    with FlaskServer(padded_checkpoint, FlaskSettings(workers=1, torch_threads=1)) as server:
        pid = server.pid
        assert flask_caller(server.url, "single")(texts) == torch_labels
        assert flask_caller(server.url, "batch")(texts) == torch_labels
        workers = psutil.Process(pid).children()
        assert len(workers) == 1
    assert not psutil.pid_exists(pid)
    assert not any(worker.is_running() for worker in workers)


def test_recommended_setting_is_two_workers_a_core() -> None:
    assert recommended(cores=6).workers == 12
