"""Ensembles turn together or not at all, whatever refuses, interrupts or kills."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from export.checkpoint.reading import Checkpoint
from export.errors import PublishError
from export.publishing import turning
from export.publishing.pins import pinned_versions
from export.publishing.publish import publish
from export.publishing.signature import described_text
from export.publishing.versions import complete_change, locked, rollback

MODELS = ("mobilebert_fp32", "mobilebert_fp16", "mobilebert_int8")


@pytest.fixture
def publish_all(checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path) -> Callable[..., int]:
    """Publish into `tmp_path`; given a server, it is told."""
    return lambda server=None: publish(checkpoint, tmp_path, dict.fromkeys(MODELS, model), server=server)


def pins(repository: Path) -> set[int]:
    """What the ensembles serve, those for other configuration names included."""
    return {version for path in repository.glob("sentiment*/**/*.pbtxt") for version in pinned_versions(path)}


def contents(repository: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(repository)): path.read_bytes() if path.is_file() else b""
        for path in repository.rglob("*")
    }


class Server:
    """Notes which versions the disk names whenever it is told to load; refuses the calls in `refuses`."""

    def __init__(self, repository: Path, refuses: set[int]) -> None:
        self.repository, self.refuses = repository, refuses
        self.seen: list[tuple[set[str], set[int]]] = []

    def load(self, models: set[str]) -> None:
        self.seen.append((set(models), pins(self.repository)))
        if len(self.seen) in self.refuses:
            raise PublishError("the server did not load the version")


ENSEMBLES = {"sentiment", "sentiment_fast"}


def test_the_models_are_loaded_before_any_ensemble_names_them(publish_all, tmp_path: Path) -> None:
    publish_all()
    server = Server(tmp_path, set())
    publish_all(server)
    assert server.seen == [({"mobilebert_tokenizer", *MODELS}, {1}), (ENSEMBLES, {2})]


@pytest.mark.parametrize("refused", [1, 2], ids=["the models", "the ensembles"])
def test_a_server_that_refuses_leaves_the_disk_as_it_was(refused: int, publish_all, tmp_path: Path) -> None:
    publish_all()
    before = contents(tmp_path)
    server = Server(tmp_path, {refused})
    with pytest.raises(PublishError, match="did not load"):
        publish_all(server)
    assert contents(tmp_path) == before
    if refused == 2:
        assert server.seen[-1] == (ENSEMBLES, {1}), "the server is told to load what it served before"
    assert publish_all() == 2


def test_a_server_that_refuses_a_rollback_goes_on_serving(publish_all, tmp_path: Path) -> None:
    for _ in range(2):
        publish_all()
    before = contents(tmp_path)
    with pytest.raises(PublishError, match="did not load"):
        rollback(tmp_path, Server(tmp_path, {2}))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_killed_process_leaves_a_change_that_the_next_one_completes(
    written: int, publish_all, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_all()
    real, count = turning.replace_text, iter(range(100))

    def killed(path: Path, text: str) -> None:
        if next(count) == written:
            os._exit(9)  # what SIGKILL leaves: no handler, no cleaning up
        real(path, text)

    child = os.fork()
    if child == 0:
        monkeypatch.setattr(turning, "replace_text", killed)
        publish_all()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with locked(tmp_path):
        assert pins(tmp_path) == {2}, "all of them, or none"
    assert not list(tmp_path.glob(".*"))
    rollback(tmp_path)
    assert pins(tmp_path) == {1}


def test_an_up_to_date_check_completes_a_change_too(publish_all, tmp_path: Path) -> None:
    publish_all()
    config = tmp_path / "sentiment" / "config.pbtxt"
    (tmp_path / ".turning.json").write_text(json.dumps({"sentiment/config.pbtxt": described_text(config, 7)}))
    complete_change(tmp_path)
    assert pinned_versions(config) == {7}
    complete_change(tmp_path / "no repository")
    assert not (tmp_path / "no repository").exists()


def test_a_journal_that_cannot_be_read_is_named(publish_all, tmp_path: Path) -> None:
    publish_all()
    (tmp_path / ".turning.json").write_text("[1]")
    with pytest.raises(PublishError, match=r"turning\.json"):
        publish_all()
