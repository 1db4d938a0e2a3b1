"""Pickled weights become safetensors that export reads; what is more than weights is never run."""

import pickle
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from export.checkpoint.reading import load_checkpoint
from tests.synthetic import write_checkpoint
from training.convert import ConversionError, convert, main


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(
        tmp_path_factory.mktemp("pickled"), layers=1, hidden_size=32, intra_bottleneck_size=16
    )


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "checkpoint"))


def take_weights(folder: Path) -> dict[str, torch.Tensor]:
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    return weights


def assert_same(folder: Path, original: Path) -> None:
    wanted = load_checkpoint(original).weights
    assert all((each == wanted[name]).all() for name, each in load_checkpoint(folder).weights.items())


def test_a_pickled_checkpoint_becomes_one_that_export_reads(folder: Path, original: Path) -> None:
    torch.save(take_weights(folder), folder / "pytorch_model.bin")
    torch.save({"args": 1}, folder / "training_args.bin")
    assert convert(folder) == folder / "model.safetensors"
    assert_same(folder, original)


def test_shards_are_joined(folder: Path, original: Path) -> None:
    weights = list(take_weights(folder).items())
    torch.save(dict(weights[::2]), folder / "pytorch_model-00001-of-00002.bin")
    torch.save(dict(weights[1::2]), folder / "pytorch_model-00002-of-00002.bin")
    convert(folder)
    assert_same(folder, original)


def test_a_trainings_state_gives_up_its_weights(folder: Path, original: Path) -> None:
    weights = {f"model.{name}": each for name, each in take_weights(folder).items()}
    torch.save({"state_dict": weights, "epoch": 3, "optimizer": [1, 2]}, folder / "last.ckpt")
    convert(folder)
    assert_same(folder, original)


class Harmful:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("write", [torch.save, lambda object, path: path.write_bytes(pickle.dumps(object))])
def test_a_pickle_with_more_than_weights_is_refused_and_not_run(write: object, folder: Path) -> None:
    take_weights(folder)
    harmed = folder / "harmed"
    write({"classifier.weight": Harmful(harmed)}, folder / "pytorch_model.bin")  # type: ignore[operator]
    with pytest.raises(ConversionError, match="more than weights") as caught:
        convert(folder)
    assert "\n" not in str(caught.value)
    assert not harmed.exists()
    assert not (folder / "model.safetensors").exists()


def test_weights_that_are_there_are_not_overwritten(folder: Path) -> None:
    with pytest.raises(ConversionError, match="exists already"):
        convert(folder)


def test_a_folder_without_weights_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="holds no pickled weights"):
        main([str(tmp_path)])
