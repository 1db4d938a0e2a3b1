"""Versions: what stays, what is retired, where a rollback leads; and a live server that moves under load."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
from onnx import ModelProto
from tokenizers import Tokenizer

from export.checkpoint.reading import Checkpoint, load_checkpoint
from export.errors import PublishError
from export.graph.running import open_session, run_rows
from export.precision.fp32 import build_fp32
from export.publishing.model_control import ExplicitServer
from export.publishing.pins import read_config
from export.publishing.publish import publish
from export.publishing.versions import locked, rollback, served, versions
from serving.launcher import TritonServer
from tests.export.oracle import SMALL
from tests.synthetic import write_checkpoint

MODELS = ("mobilebert_fp32", "mobilebert_fp16", "mobilebert_int8")
ENSEMBLES = ("sentiment", "sentiment_fast")
SWITCH_TIMEOUT = 150.0


def publish_all(checkpoint: Checkpoint, repository: Path, server: ExplicitServer | None = None) -> int:
    """The fp32 model under every precision's name: versions are the same business for all of them."""
    model = build_fp32(checkpoint)
    return publish(checkpoint, repository, dict.fromkeys(MODELS, model), server=server)


def live(repository: Path, model: str = "mobilebert_fp32") -> set[int]:
    return {int(path.name) for path in (repository / model).iterdir() if path.name.isdecimal()}


def pinned(repository: Path) -> set[int]:
    """Every version that any ensemble configuration names, its own policy included."""
    found = set()
    for path in repository.glob("sentiment*/**/*.pbtxt"):
        config = read_config(path)
        found |= {step.model_version for step in config.ensemble_scheduling.step}
        found |= set(config.version_policy.specific.versions)
    return found


def test_a_rollback_returns_all_ensembles_to_the_version_before(checkpoint, tmp_path: Path) -> None:
    for _ in range(2):
        publish_all(checkpoint, tmp_path)
    assert pinned(tmp_path) == {2}
    assert set(rollback(tmp_path).values()) == {1}
    assert pinned(tmp_path) == {1}
    assert live(tmp_path) == {1, 2}, "models stay loaded, so that it takes no time"


def test_a_number_is_never_used_twice(checkpoint, tmp_path: Path) -> None:
    for _ in range(3):
        publish_all(checkpoint, tmp_path)
    for _ in range(2):
        rollback(tmp_path)
    assert publish_all(checkpoint, tmp_path) == 4
    assert versions(tmp_path) == [1, 2, 3, 4]


def test_a_server_loads_two_versions_however_many_were_published(checkpoint, tmp_path: Path) -> None:
    for _ in range(4):
        publish_all(checkpoint, tmp_path)
    assert [live(tmp_path, model) for model in MODELS] == [{3, 4}] * 3


def test_publishing_after_a_rollback_keeps_the_version_that_is_served(checkpoint, tmp_path: Path) -> None:
    for _ in range(2):
        publish_all(checkpoint, tmp_path)
    rollback(tmp_path)
    publish_all(checkpoint, tmp_path)
    assert live(tmp_path) == {1, 3}


def test_a_rollback_skips_a_version_that_was_rolled_back_before(checkpoint, tmp_path: Path) -> None:
    for _ in range(2):
        publish_all(checkpoint, tmp_path)
    rollback(tmp_path)
    publish_all(checkpoint, tmp_path)
    rollback(tmp_path)
    assert pinned(tmp_path) == {1}


def test_a_rollback_brings_a_retired_version_back(checkpoint, tmp_path: Path) -> None:
    for _ in range(3):
        publish_all(checkpoint, tmp_path)
    for _ in range(2):
        rollback(tmp_path)
    assert pinned(tmp_path) == {1}
    assert live(tmp_path) == {1, 2}
    assert (tmp_path / "mobilebert_tokenizer" / "1" / "tokenizer.json").exists()


def test_the_first_version_cannot_be_rolled_back(checkpoint, tmp_path: Path) -> None:
    publish_all(checkpoint, tmp_path)
    with pytest.raises(PublishError, match="no version before 1"):
        rollback(tmp_path)
    assert pinned(tmp_path) == {1}


def test_an_ensemble_that_was_not_published_again_keeps_its_version(checkpoint, tmp_path: Path) -> None:
    publish_all(checkpoint, tmp_path)
    for _ in range(3):
        publish(checkpoint, tmp_path, {"mobilebert_fp32": build_fp32(checkpoint)})
    by_name = {path.parent.name: version for path, version in served(tmp_path).items()}
    assert (by_name["sentiment"], by_name["sentiment_fast"]) == (4, 1)
    assert live(tmp_path, "mobilebert_tokenizer") == {1, 3, 4}


def test_a_rollback_waits_for_no_other_change(checkpoint, tmp_path: Path) -> None:
    publish_all(checkpoint, tmp_path)
    with locked(tmp_path), pytest.raises(PublishError, match="under way"):
        rollback(tmp_path)


def test_a_server_that_cannot_be_reached_leaves_the_version_before(checkpoint, tmp_path: Path) -> None:
    publish_all(checkpoint, tmp_path)
    with pytest.raises(PublishError, match="did not load"):
        publish_all(checkpoint, tmp_path, ExplicitServer("127.0.0.1:9"))
    assert (pinned(tmp_path), live(tmp_path)) == ({1}, {1})


@dataclass(frozen=True)
class Release:
    """A checkpoint whose label names, probabilities and token counts are unlike any other release's."""

    checkpoint: Checkpoint
    model: ModelProto
    tokenizer: Tokenizer

    def answers(self, text: str) -> tuple[int, str, float]:
        """num_tokens, label and score, computed here."""
        ids = self.tokenizer.encode(text).ids
        session = open_session(self.model, threads=1)
        score = float(run_rows(session, [ids], "score")[0, 0])
        return len(ids), str(run_rows(session, [ids], "label")[0, 0]), score


def make_release(folder: Path, number: int) -> Release:
    write_checkpoint(folder, layers=1, seed=number, **SMALL)
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {str(i): f"{name} of {number}" for i, name in enumerate(("bad", "good"))}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["post_processor"] = _template(extra=number)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    checkpoint = load_checkpoint(folder)
    return Release(checkpoint, build_fp32(checkpoint), Tokenizer.from_buffer(checkpoint.tokenizer_json))


def _template(extra: int) -> dict:
    """A post-processor that writes `extra` more [CLS]."""
    special = {name: {"id": name, "ids": [i], "tokens": [name]} for i, name in ((2, "[CLS]"), (3, "[SEP]"))}
    first = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}] * (1 + extra)
    single = [
        *first,
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[Release]:
    return [make_release(tmp_path_factory.mktemp("release"), number) for number in range(3)]


TEXTS = ("a great film", "not so bad", "the plot is not good and the end is no better")


@dataclass
class Traffic:
    """Clients that ask and ask again; answers: (ensemble, version, text, num_tokens, label, score)."""

    url: str
    answers: list[tuple[str, int, str, int, str, float]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def ask_until(self, stop: threading.Event, ensemble: str) -> None:
        session = requests.Session()
        while not stop.is_set():
            for text in TEXTS:
                self._ask(session, ensemble, text)
                time.sleep(0.005)

    def _ask(self, session: requests.Session, ensemble: str, text: str) -> None:
        try:
            reply = session.post(f"{self.url}/v2/models/{ensemble}/generate", json={"text": text}, timeout=60)
            body = reply.json()
            if reply.status_code != 200:
                raise RuntimeError(f"{reply.status_code} {body}")
            version = int(body["model_version"])
            answer = (ensemble, version, text, body["num_tokens"], body["label"], body["score"])
            self.answers.append(answer)
        except Exception as error:
            self.failures.append(f"{ensemble}: {error}")

    def wait_for(self, versions: set[int]) -> None:
        """Until every ensemble's latest answers are of one of `versions`."""
        deadline = time.monotonic() + SWITCH_TIMEOUT
        while time.monotonic() < deadline:
            recent = {(each[0], each[1]) for each in self.answers[-12:]}
            if (
                recent
                and {name for name, _ in recent} == set(ENSEMBLES)
                and {v for _, v in recent} == versions
            ):
                return
            time.sleep(0.1)
        pytest.fail(f"no answers of {versions} within {SWITCH_TIMEOUT} s; {self.failures[:3]}")


@contextmanager
def traffic(server: TritonServer) -> Iterator[Traffic]:
    """Two clients for each ensemble, for as long as the block runs."""
    stop, load = threading.Event(), Traffic(server.http_url)
    threads = [
        threading.Thread(target=load.ask_until, args=(stop, name)) for name in ENSEMBLES for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["poll", "explicit"])
def test_a_live_server_moves_between_versions_without_failing_or_mixing(
    mode: str, releases: list[Release], tmp_path: Path
) -> None:
    first, second, third = (release.checkpoint for release in releases)
    publish_all(first, tmp_path)
    settings = {"model_control_mode": mode, "poll_seconds": 1}
    if mode == "explicit":
        settings["load_models"] = ENSEMBLES
    ports = {"http_port": 0, "grpc_port": 0, "metrics_port": 0}
    with TritonServer(tmp_path, **ports, **settings) as server, traffic(server) as load:
        told = ExplicitServer(server.grpc_url, server.options.admin_key) if mode == "explicit" else None
        steps: list[tuple[int, Callable[[], object]]] = [
            (1, lambda: None),
            (2, lambda: publish_all(second, tmp_path, told)),
            (1, lambda: rollback(tmp_path, told)),
            (3, lambda: publish_all(third, tmp_path, told)),
        ]
        for version, step in steps:
            step()
            load.wait_for({version})
    assert load.failures == []
    expected = {
        (number, text): release.answers(text) for number, release in enumerate(releases, 1) for text in TEXTS
    }
    for ensemble, version, text, tokens, label, score in load.answers:
        wanted = expected[version, text]
        assert (tokens, label) == wanted[:2], f"{ensemble} version {version} mixes versions"
        assert score == pytest.approx(wanted[2], abs=1e-4)
    assert set(Counter(each[1] for each in load.answers)) == {1, 2, 3}
