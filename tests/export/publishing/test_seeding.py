"""What a repository lacks is made of the templates; what somebody edited stays, whatever is published."""

import re
import shutil
import subprocess
from pathlib import Path

import onnx
import pytest

from export.checkpoint.reading import Checkpoint
from export.errors import PublishError
from export.publishing import generator, seeding
from export.publishing.pins import pinned_versions, read_config
from export.publishing.publish import publish
from export.publishing.seeding import complete_repository, seed_configs
from export.publishing.versions import locked, rollback
from tests.export.publishing.test_publish import files
from tests.reviews import ROOT

FP32 = "mobilebert_fp32"


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the templates that the test may change."""
    copy = Path(shutil.copytree(generator.TEMPLATES, tmp_path / "templates"))
    monkeypatch.setattr(generator, "TEMPLATES", copy)
    return copy


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "models"


def edit(path: Path, pattern: str, new: str) -> None:
    text, count = re.subn(pattern, new, path.read_text())
    assert count
    path.write_text(text)


def queue_seconds(path: Path) -> str:
    return read_config(path).parameters["max_queue_seconds"].string_value


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_publishing_further_versions_leaves_the_tracked_tree_clean(
    checkpoint: Checkpoint, model: onnx.ModelProto, tmp_path: Path
) -> None:
    clone, repository = tmp_path / "clone", tmp_path / "clone" / "model_repository"
    tracked = git(ROOT, "ls-files", ".gitignore", "model_repository").splitlines()
    for name in tracked:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    git(clone, "init", "-q")
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "a clone")
    assert sorted(git(clone, "ls-files").splitlines()) == sorted(tracked)
    for version in (1, 2, 3):  # the third retires the first
        assert publish(checkpoint, repository, {FP32: model}) == version
        assert git(clone, "status", "--porcelain") == ""
    assert pinned_versions(repository / "sentiment" / "config.pbtxt") == {3}
    git(clone, "clean", "-fdXq", "model_repository")
    assert {str(path.relative_to(clone)) for path in repository.rglob("*") if path.is_file()} <= set(tracked)


def test_an_edit_survives_publishing_and_a_rollback_with_its_comment(
    checkpoint: Checkpoint, model: onnx.ModelProto, repository: Path
) -> None:
    publish(checkpoint, repository, {FP32: model})
    config, ensemble = repository / FP32 / "config.pbtxt", repository / "sentiment" / "config.pbtxt"
    edit(config, 'string_value: "2"', 'string_value: "9"')
    edit(ensemble, "max_batch_size: 64", "max_batch_size: 32  # mine")
    publish(checkpoint, repository, {FP32: model})
    assert (queue_seconds(config), pinned_versions(ensemble)) == ("9", {2})
    assert "max_batch_size: 32  # mine" in ensemble.read_text()
    rollback(repository)
    assert pinned_versions(ensemble) == {1}
    assert "max_batch_size: 32  # mine" in ensemble.read_text()


def test_an_unedited_file_follows_its_template_and_an_edited_one_is_named(
    checkpoint: Checkpoint, model: onnx.ModelProto, repository: Path, templates: Path
) -> None:
    for _ in range(2):
        publish(checkpoint, repository, {FP32: model})
    edited = repository / "mobilebert_int8" / "config.pbtxt"
    edit(edited, 'string_value: "4096"', 'string_value: "99"')
    before = edited.read_text()
    assert seed_configs(repository) == []
    edit(templates / "onnx.pbtxt", r'(max_queue_seconds"\s+value \{ string_value: )"2"', r'\1"3"')
    edit(templates / "ensemble.pbtxt", "max_batch_size: 64", "max_batch_size: 16")
    (note,) = seed_configs(repository)
    assert str(edited) in note
    assert "onnx.pbtxt" in note
    assert edited.read_text() == before
    assert queue_seconds(repository / FP32 / "config.pbtxt") == "3"
    ensemble = read_config(repository / "sentiment" / "config.pbtxt")
    assert ensemble.max_batch_size == 16
    assert {step.model_version for step in ensemble.ensemble_scheduling.step} == {2}
    assert ensemble.parameters["checkpoint_sha256"].string_value == checkpoint.sha256
    edited.unlink()
    assert seed_configs(repository) == []
    assert queue_seconds(edited) == "3"


def test_a_comment_in_a_template_is_no_news(repository: Path, templates: Path) -> None:
    seed_configs(repository)
    before = files(repository)
    edit(templates / "onnx.pbtxt", "# No delay", "# Not any delay")
    assert seed_configs(repository) == []
    assert files(repository) == before


def test_what_was_lost_comes_back_as_it_was_published(
    checkpoint: Checkpoint, model: onnx.ModelProto, repository: Path
) -> None:
    """As when git takes away configurations that an earlier release tracked."""
    for _ in range(2):
        publish(checkpoint, repository, {FP32: model})
    before = files(repository)
    for folder in repository.iterdir():
        shutil.rmtree(folder / "configs", ignore_errors=True)
        shutil.rmtree(folder / "warmup", ignore_errors=True)
        (folder / "config.pbtxt").unlink()
    complete_repository(repository)
    assert files(repository) == before


def test_a_complete_repository_is_neither_written_nor_locked(repository: Path) -> None:
    complete_repository(repository)
    assert not repository.exists(), "publishing makes it"
    seed_configs(repository)
    with locked(repository):
        complete_repository(repository)
    (repository / FP32 / "config.pbtxt").unlink()
    with locked(repository), pytest.raises(PublishError, match="under way"):
        complete_repository(repository)


def test_a_folder_whose_configuration_is_the_users_own_is_left_alone(repository: Path) -> None:
    own = repository / "sentiment_fast" / "config.pbtxt"
    own.parent.mkdir(parents=True)
    own.write_text('name: "sentiment_fast"')
    assert seed_configs(repository) == []
    assert list(own.parent.iterdir()) == [own]


def test_an_interrupted_seed_leaves_no_folder_without_the_rest(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = seeding.durable.write_bytes

    def interrupted(path: Path, content: bytes) -> Path:
        if path.name == "config.pbtxt":
            raise KeyboardInterrupt
        return real(path, content)

    monkeypatch.setattr(seeding.durable, "write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seed_configs(repository)
    assert list(repository.iterdir()) == []
    monkeypatch.undo()
    seed_configs(repository)
    assert {path.name for path in repository.iterdir()} == set(seeding.MODELS)
    seed_configs(tmp_path / "never interrupted")
    assert files(repository) == files(tmp_path / "never interrupted")
    code = {path.name: path.read_bytes() for path in seeding.CODE.glob("*.py")}
    assert {path.name: path.read_bytes() for path in (repository / generator.TOKENIZER).glob("*.py")} == code


def test_a_repository_is_seeded_under_its_lock(repository: Path) -> None:
    repository.mkdir()
    with locked(repository), pytest.raises(PublishError, match="under way"):
        seed_configs(repository)
    assert list(repository.iterdir()) == []


def test_a_folder_without_a_configuration_gets_one_and_keeps_what_it_has(repository: Path) -> None:
    own = repository / "sentiment" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    seed_configs(repository)
    assert own.read_text() == "mine"
    assert (repository / "sentiment" / "config.pbtxt").is_file()
