"""A running server follows a repository whose problem type changes, and back."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import requests
import tritonclient.grpc as triton_grpc

from clients import SentimentClient
from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.graph.running import load_tokenizer, open_session, run_rows
from export.precision.fp32 import build_fp32
from export.publishing.model_control import ExplicitServer
from export.publishing.publish import publish
from export.publishing.versions import rollback
from serving.launcher import TritonServer
from tests.export.oracle import SMALL
from tests.synthetic import write_checkpoint
from tests.waiting import until

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
SCORES = {SINGLE: "probabilities", MULTI: "probabilities", REGRESSION: "values"}
TEXT = "a great film, and not so bad"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    """One set of weights as each problem type, with labels of its own."""
    source = write_checkpoint(tmp_path_factory.mktemp("source"), labels=3, **SMALL)
    return {kind: _as(kind, source, tmp_path_factory.mktemp(kind)) for kind in SCORES}


def _as(kind: str, source: Path, folder: Path) -> Checkpoint:
    shutil.copytree(source, folder, dirs_exist_ok=True)
    raw = json.loads((folder / "config.json").read_text())
    names = {str(i): f"{kind} {i}" for i in range(3)}
    (folder / "config.json").write_text(json.dumps({**raw, "problem_type": kind, "id2label": names}))
    return load_checkpoint(folder)


def assert_answers(server: TritonServer, checkpoint: Checkpoint) -> None:
    """The ensemble, and the model asked directly, answer as this checkpoint does."""
    kind, scores = checkpoint.config.problem_type, SCORES[checkpoint.config.problem_type]
    with SentimentClient(server.http_url) as client:
        found, names = client.classify([TEXT])[0], client.labels()
    assert names == checkpoint.config.labels
    ids = load_tokenizer(checkpoint).encode(TEXT).ids
    wanted = run_rows(open_session(build_fp32(checkpoint), threads=1), [ids], scores)[0]
    values = found.values if kind == REGRESSION else found.probabilities
    assert values == pytest.approx(wanted, abs=1e-5)
    assert (found.labels is not None) == (kind == MULTI)
    assert _classes_of_the_model(server, ids, scores) == [names[i] for i in np.argsort(-wanted)]


def _classes_of_the_model(server: TritonServer, ids: list[int], scores: str) -> list[str]:
    """Names that Triton's classification extension gives to the answer of `mobilebert_fp32` itself."""
    tensor = triton_grpc.InferInput("input_ids", [1, len(ids)], "INT64")
    tensor.set_data_from_numpy(np.array([ids], np.int64))
    output = triton_grpc.InferRequestedOutput(scores, class_count=3)
    with triton_grpc.InferenceServerClient(server.grpc_url) as client:
        answer = client.infer("mobilebert_fp32", [tensor], outputs=[output]).as_numpy(scores)
    return [each.decode().split(":")[2] for each in answer.reshape(-1)]


def is_answered(server: TritonServer, version: int) -> bool:
    reply = requests.post(f"{server.http_url}/v2/models/sentiment/generate", json={"text": TEXT}, timeout=30)
    return reply.status_code == 200 and reply.json()["model_version"] == str(version)


@pytest.mark.parametrize("mode", ["explicit", "poll"])
def test_a_live_server_follows_a_change_of_the_problem_type_and_back(
    mode: str, checkpoints: dict[str, Checkpoint], tmp_path: Path
) -> None:
    models = {kind: build_fp32(checkpoint) for kind, checkpoint in checkpoints.items()}

    def release(kind: str, told: ExplicitServer | None) -> None:
        publish(checkpoints[kind], tmp_path, {"mobilebert_fp32": models[kind]}, server=told)

    release(SINGLE, None)
    settings = {"model_control_mode": mode, "poll_seconds": 1}
    if mode == "explicit":
        settings["load_models"] = ["sentiment"]
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(tmp_path, **ports, **settings) as server:
        told = ExplicitServer(server.grpc_url, server.options.admin_key) if mode == "explicit" else None
        steps: list[tuple[int, str, Callable[[], object]]] = [
            (1, SINGLE, lambda: None),
            (2, MULTI, lambda: release(MULTI, told)),
            (3, REGRESSION, lambda: release(REGRESSION, told)),
            (2, MULTI, lambda: rollback(tmp_path, told)),
        ]
        for version, kind, step in steps:
            step()
            until(lambda version=version: is_answered(server, version))
            assert_answers(server, checkpoints[kind])
