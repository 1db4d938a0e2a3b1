"""Models that give several labels, or numbers: at the front door, on the page, in tasks."""

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from selenium.webdriver import Chrome

from clients import TaskClient
from export.checkpoint.reading import load_checkpoint
from export.precision.fp32 import build_fp32
from export.publishing.publish import publish
from serving.launcher import TritonServer
from tests.export.oracle import SMALL
from tests.gateway.page.browser import ask, chromium, opened, problems_of, text_of
from tests.gateway.running import Gateway, gateway_process
from tests.gateway.tasks.workers import worker_process
from tests.synthetic import write_checkpoint

MULTI, REGRESSION = "multi_label_classification", "regression"
TEXTS = ["a great film", "not so bad, not so good", "the plot is bad"]


@dataclass(frozen=True)
class Kind:
    problem_type: str
    gateway: Gateway


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="module", params=[MULTI, REGRESSION])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    folder = tmp_path_factory.mktemp("kind")
    size = {**SMALL, "max_position_embeddings": 512}
    checkpoint = load_checkpoint(
        write_checkpoint(folder / "checkpoint", labels=4, problem_type=request.param, **size)
    )
    publish(checkpoint, folder / "models", {"mobilebert_fp32": build_fp32(checkpoint)})
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with (
        TritonServer(folder / "models", **ports) as server,
        gateway_process(server.grpc_url, GATEWAY_DATA=str(folder / "data")) as gateway,
        worker_process(server.grpc_url, folder / "data"),
    ):
        yield Kind(request.param, gateway)


def test_the_page_shows_what_such_a_model_says(kind: Kind, browser: Chrome) -> None:
    ask(opened(browser, kind.gateway), TEXTS[0])
    [answer] = kind.gateway.client.post("/v1/classify", json=TEXTS[0]).json()
    shown = text_of(browser, "results")
    assert not problems_of(browser)
    if kind.problem_type == MULTI:
        assert (", ".join(answer["labels"]) or "No label") in shown
        assert all(name in shown for name in answer["probabilities"])
    else:
        assert f"{answer['label']}: {answer['score']:.4g}" in shown
        assert all(f"{value:.4g}" in shown for value in answer["values"].values())
    assert f"{answer['num_tokens']} tokens" in shown


def test_words_weigh_by_their_label_alone(kind: Kind) -> None:
    reply = kind.gateway.client.post("/v1/explain", json={"text": TEXTS[1]})
    if kind.problem_type == REGRESSION:
        assert reply.status_code == 422
        assert "no probabilities" in reply.json()["detail"]
        return
    found = reply.json()
    first = found["units"][0]
    rest = TEXTS[1][: first["start"]] + TEXTS[1][first["end"] :]
    [without] = kind.gateway.client.post("/v1/classify", json={"text": rest, "model": found["model"]}).json()
    before, after = found["score"], without["probabilities"][found["label"]]
    wanted = math.log(before / (1 - before)) - math.log(after / (1 - after))
    assert first["weight"] == pytest.approx(wanted, abs=1e-3)


def test_tasks_keep_all_labels_or_values(kind: Kind) -> None:
    answers = kind.gateway.client.post("/v1/classify", json={"texts": TEXTS}).json()
    task = TaskClient(kind.gateway.url).submit(TEXTS)
    task.wait()
    found = list(task.results())
    reply = kind.gateway.client.get(f"/v1/tasks/{task.id}/results", params={"format": "csv"})
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    for answer, result, row in zip(answers, found, rows, strict=True):
        assert (result.label, result.labels) == (answer["label"], answer.get("labels"))
        assert row["labels"] == "|".join(answer.get("labels") or [])
        assert (result.values is None) == (kind.problem_type == MULTI)
        scores = "values" if kind.problem_type == REGRESSION else "probabilities"
        assert getattr(result, scores) == pytest.approx(answer[scores], abs=1e-5)
