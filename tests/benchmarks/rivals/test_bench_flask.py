import sys
from pathlib import Path

import psutil
import pytest
import torch

from benchmarks.load.callers import flask_caller
from benchmarks.rivals.flask_app import create_app
from benchmarks.rivals.flask_server import FlaskServer, FlaskSettings, recommended
from benchmarks.rivals.gunicorn_config import READY
from benchmarks.servers.contestants import FLASK_BEST, SENTIMENT


@pytest.fixture(scope="module")
def flask_client(bench_checkpoint: Path):
    return create_app(str(bench_checkpoint), torch.bfloat16, batch_size=2).test_client()


@pytest.mark.parametrize("endpoint", ["single", "fast_single"])
def test_single_endpoints_give_torchs_labels(flask_client, texts, torch_labels, endpoint) -> None:
    answers = [flask_client.post(f"/{endpoint}", json={"query": text}).get_json() for text in texts]
    assert [answer["prediction"] for answer in answers] == torch_labels
    assert all(0.5 <= answer["score"] <= 1 for answer in answers)


@pytest.mark.parametrize("endpoint", ["batch", "fast_batch"])
def test_batch_endpoints_answer_in_order(flask_client, texts, torch_labels, endpoint) -> None:
    rows = flask_client.post(f"/{endpoint}", json={"queryList": texts}).get_json()["predictions"]
    assert [row["prediction"] for row in rows] == torch_labels


@pytest.mark.parametrize("endpoint", ["single", "batch", "fast_batch"])
def test_live_app_gives_our_models_labels(arena, texts, torch_labels, endpoint) -> None:
    flask = arena.contestants[FLASK_BEST]
    assert flask_caller(flask.base_url, endpoint)(texts) == torch_labels
    assert arena.contestants[SENTIMENT].batch(texts) == torch_labels


def test_all_workers_were_waited_for(arena) -> None:
    assert len(psutil.Process(arena.contestants[FLASK_BEST].pid).children()) == 2


def test_stopping_leaves_no_process_behind(tmp_path: Path, monkeypatch) -> None:
    script = f"import subprocess, sys; print({READY!r}, flush=True); subprocess.run(['sleep', '60'])"
    monkeypatch.setattr(FlaskServer, "_command", lambda self: [sys.executable, "-c", script])
    with FlaskServer(tmp_path, FlaskSettings(workers=1)) as server:
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()]
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert not alive


def test_recommended_setting_is_two_workers_a_core() -> None:
    assert recommended(cores=6).workers == 12
