"""Every problem type, from a checkpoint to the live server's answers, against transformers' pipeline."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc as triton_grpc
from transformers import pipeline

from clients import Limits, Sentiment, SentimentClient
from export.steps import export_checkpoint
from serving.launcher import TritonServer
from tests.export.oracle import SMALL, edit_weights, write_golden
from tests.synthetic import WORDS, write_checkpoint

PRECISIONS = ["fp32", "fp16", "int8"]
FUNCTIONS = {
    "single_label_classification": "softmax",
    "multi_label_classification": "sigmoid",
    "regression": "none",
}
Scores = list[dict[str, Any]]


@dataclass(frozen=True)
class Kind:
    """One checkpoint, published and served."""

    problem_type: str
    checkpoint: Path
    models: Path
    server: TritonServer
    threshold: float = 0.5


def texts(count: int = 200) -> list[str]:
    """Reviews of one to sixty words, with marks and capitals."""
    random, words = Random(5), [*WORDS.split(), "Café,", "WOW!", "1987", "(enjoyable)"]
    return [" ".join(random.choices(words, k=random.randint(1, 60))) for _ in range(count)]


def write_kind(folder: Path, problem_type: str | None, labels: int, **options: Any) -> Path:
    """A random checkpoint whose labels all win sometimes, with golden logits."""
    size = {**SMALL, "max_position_embeddings": 512}
    write_checkpoint(folder, labels=labels, problem_type=problem_type, **size, **options)

    def spread(model: torch.nn.Module) -> None:
        model.classifier.weight.mul_(0.5)

    return write_golden(edit_weights(folder, spread))


@pytest.fixture(
    scope="module",
    params=[
        ("multi_label_classification", 4, {"threshold": 0.4}),
        ("regression", 1, {}),
        ("regression", 3, {}),
        ("single_label_classification", 3, {}),
    ],
    ids=lambda case: f"{case[0]}-{case[1]}",
)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    problem_type, labels, options = request.param
    folder = tmp_path_factory.mktemp("kind")
    checkpoint = write_kind(folder / "checkpoint", problem_type, labels, **options)
    export_checkpoint(checkpoint, folder / "models", PRECISIONS)
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(folder / "models", **ports) as server:
        yield Kind(problem_type, checkpoint, folder / "models", server, options.get("threshold", 0.5))


@pytest.fixture(scope="module")
def wanted(kind: Kind) -> list[Scores]:
    """transformers' answers: every label with its score, the best first."""
    oracle = pipeline("text-classification", model=str(kind.checkpoint), dtype=torch.float32)
    function = FUNCTIONS[kind.problem_type]
    return [oracle(text, function_to_apply=function, top_k=None, truncation=True) for text in texts()]


def ask(kind: Kind, given: Sequence[str], model: str = "sentiment", **limits: Any) -> list[Sentiment]:
    with SentimentClient(kind.server.http_url, model=model, limits=Limits(**limits)) as client:
        return client.classify(given)


def by_name(kind: Kind, sentiment: Sentiment, names: Sequence[str]) -> dict[str, float]:
    scores = sentiment.values if kind.problem_type == "regression" else sentiment.probabilities
    assert scores is not None
    return dict(zip(names, scores, strict=True))


def label_names(kind: Kind) -> tuple[str, ...]:
    with SentimentClient(kind.server.http_url) as client:
        return client.labels()


@pytest.mark.parametrize("batch_size", [1, 64], ids=["alone", "in batches"])
def test_200_texts_are_answered_as_transformers_answers_them(
    batch_size: int, kind: Kind, wanted: list[Scores]
) -> None:
    names = label_names(kind)
    for sentiment, scores in zip(ask(kind, texts(), batch_size=batch_size), wanted, strict=True):
        found = by_name(kind, sentiment, names)
        assert found == pytest.approx({each["label"]: each["score"] for each in scores}, abs=1e-4)
        assert sentiment.score == pytest.approx(scores[0]["score"], abs=1e-4)
        near = [each["label"] for each in scores if each["score"] > scores[0]["score"] - 1e-4]
        assert sentiment.label in near


def test_int8_answers_nearly_so(kind: Kind, wanted: list[Scores]) -> None:
    names = label_names(kind)
    found = [by_name(kind, each, names) for each in ask(kind, texts(), "sentiment_fast")]
    exact = [{each["label"]: each["score"] for each in scores} for scores in wanted]
    off = [abs(left[name] - right[name]) for left, right in zip(found, exact, strict=True) for name in names]
    unit = max(1.0, *(abs(value) for scores in exact for value in scores.values()))
    assert np.quantile(off, 0.99) < 0.25 * unit
    assert max(off) > 0, "int8 is not what was asked"


def test_labels_above_the_threshold_come_by_name(kind: Kind, wanted: list[Scores]) -> None:
    answers = ask(kind, texts())
    if kind.problem_type != "multi_label_classification":
        assert all(each.labels is None for each in answers)
        return
    names, counts = label_names(kind), set()
    for sentiment, scores in zip(answers, wanted, strict=True):
        assert sentiment.labels is not None
        counts.add(len(sentiment.labels))
        assert sentiment.labels == sentiment.above(kind.threshold, names)
        clear = {each["label"] for each in scores if each["score"] > kind.threshold + 1e-4}
        doubtful = {each["label"] for each in scores if abs(each["score"] - kind.threshold) <= 1e-4}
        assert clear <= set(sentiment.labels) <= clear | doubtful
        assert set(sentiment.above(0.9, names)) <= set(sentiment.labels) <= set(sentiment.above(0.1, names))
    assert len(counts) > 2, "texts with different numbers of labels"
    assert any(abs(sum(each.probabilities) - 1) > 0.1 for each in answers)


def test_the_signature_follows_the_problem_type(kind: Kind) -> None:
    scores = "values" if kind.problem_type == "regression" else "probabilities"
    extra = ["labels"] if kind.problem_type == "multi_label_classification" else []
    with triton_grpc.InferenceServerClient(kind.server.grpc_url) as client:
        outputs = [each.name for each in client.get_model_metadata("sentiment").outputs]
        config = client.get_model_config("sentiment", as_json=True)["config"]
    assert outputs[: 3 + len(extra)] == ["label", "score", scores, *extra]
    assert {"num_tokens", "truncated"} <= set(outputs)
    assert config["parameters"]["problem_type"]["string_value"] == kind.problem_type
    assert ("threshold" in config["parameters"]) == bool(extra)


def test_class_count_names_the_labels(kind: Kind, wanted: list[Scores]) -> None:
    scores = "values" if kind.problem_type == "regression" else "probabilities"
    tensor = triton_grpc.InferInput("text", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[texts()[0].encode()]], dtype=object))
    output = triton_grpc.InferRequestedOutput(scores, class_count=len(wanted[0]))
    with triton_grpc.InferenceServerClient(kind.server.grpc_url) as client:
        answer = client.infer("sentiment", [tensor], outputs=[output]).as_numpy(scores)
    found = [each.decode().split(":") for each in answer.reshape(-1)]
    assert [name for _, _, name in found] == [each["label"] for each in wanted[0]]
    assert [float(score) for score, _, _ in found] == pytest.approx(
        [each["score"] for each in wanted[0]], abs=1e-4
    )


def test_a_manifest_says_what_the_gate_found(kind: Kind) -> None:
    for precision in PRECISIONS:
        manifest = json.loads((kind.models / f"mobilebert_{precision}" / "1" / "manifest.json").read_text())
        assert manifest["signature"]["problem_type"] == kind.problem_type
        assert manifest["gate"]["passed"]
