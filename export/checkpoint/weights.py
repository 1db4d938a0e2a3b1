"""The weights that lie in a checkpoint's folder, under the names that transformers gives them.

    weights = open_weights(Path("checkpoints/mine"))
    weights.read("classifier.weight")      # float array, read from its file when asked for

They may lie in one file or in shards, and under names with a prefix, as DataParallel, Lightning and
torch.compile write them. Only safetensors files are read, never a pickle.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.checkpoint.architecture import expected_shapes
from export.checkpoint.config import ModelConfig
from export.checkpoint.tensor_files import check_tensor_file
from export.checkpoint.untrusted import MAX_INDEX_BYTES, member, members, read_json
from export.errors import CheckpointError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
RANGES_FILE = "activation_ranges.safetensors"
# Safetensors files that are no weights of a model.
_OTHERS = {RANGES_FILE, "adapter_model.safetensors"}
_ANCHOR = "embeddings.word_embeddings.weight"
_CONVERT = (
    "`.venv/dev/bin/python -m training.convert {folder}` writes {weights} without running the pickle's code"
)
# Files that hold weights in another format, and how to convert them.
_OTHER_FORMATS = {
    "*.bin": "only pickled weights ({found}), which are never read here; " + _CONVERT,
    "*.pt": "only pickled weights ({found}), which are never read here; " + _CONVERT,
    "*.pth": "only pickled weights ({found}), which are never read here; " + _CONVERT,
    "*.ckpt": "only a training's pickled state ({found}), which is never read here; " + _CONVERT,
    "*.h5": "only TensorFlow weights ({found}); load them with from_pretrained(folder, from_tf=True) of "
    "transformers 4 and save_pretrained",
    "*.msgpack": "only Flax weights ({found}); load them with from_pretrained(folder, from_flax=True) of "
    "transformers 4 and save_pretrained",
    "*.onnx": "only an ONNX graph ({found}); export starts from the checkpoint that it was made of",
    "*.gguf": "only GGUF weights ({found}); export starts from the checkpoint that they were made of",
}
_LFS = b"version https://git-lfs.github.com/spec/"

Read = Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Weights:
    """tensors: transformers' names -> what reads them; where: for messages; notes: what was normalised."""

    where: str
    tensors: Mapping[str, Read]
    notes: tuple[str, ...] = ()

    def read(self, name: str) -> NDArray[Any]:
        """One tensor, as it is stored.

        Raises:
            CheckpointError: there is none, or its file is damaged.
        """
        if name not in self.tensors:
            advice = ": fine-tune it as MobileBertForSequenceClassification" if "classifier" in name else ""
            raise CheckpointError(f"{self.where}: {name} is missing, though config.json asks for it{advice}")
        with damaged(self.where):
            return self.tensors[name]()


def open_weights(folder: Path) -> Weights:
    """The weights of a folder, by transformers' names; nothing is read yet but the names.

    Raises:
        CheckpointError: there are none in safetensors, or a file is missing or damaged.
    """
    files = weight_files(folder)
    stored = read_all(files)
    notes = [f"weights read from {files[0].name}"] if files[0].name not in (WEIGHTS, INDEX) else []
    names, prefix = _transformers_names(stored, files[0])
    if prefix:
        notes.append(f"the weights' names begin with {prefix!r}, which was dropped")
    where = str(files[0])
    return Weights(where, {name: stored[each] for name, each in names.items()}, tuple(notes))


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a folder's weights: one, or an index and its shards.

    Raises:
        CheckpointError: there are none in safetensors, or a shard is missing.
    """
    if member(folder, WEIGHTS).is_file():
        return [folder / WEIGHTS]
    indices = sorted(folder.glob("*.safetensors.index.json"))
    if indices:
        index = folder / INDEX if folder / INDEX in indices else indices[0]
        return [index, *_shards(index)]
    found = sorted(path for path in folder.glob("*.safetensors") if path.name not in _OTHERS)
    if len(found) == 1:
        return members(folder, [found[0].name])
    raise CheckpointError(f"{folder}: {_missing(folder, found)}")


def read_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Every tensor of one safetensors file.

    Raises:
        CheckpointError: it is damaged.
    """
    with damaged(str(path)):
        return {name: read() for name, read in open_tensors(path).items()}


def open_tensors(path: Path) -> dict[str, Read]:
    """What reads each tensor of one safetensors file, by its name there.

    Raises:
        CheckpointError: the file cannot be read.
    """
    from safetensors import safe_open

    with path.open("rb") as file:
        if file.read(len(_LFS)) == _LFS:
            raise CheckpointError(f"{path} is a pointer of git-lfs, not the weights; run `git lfs pull`")
    check_tensor_file(path)
    with damaged(str(path)):
        opened = safe_open(path, framework="numpy")
        return {name: partial(opened.get_tensor, name) for name in opened.keys()}  # noqa: SIM118


@contextmanager
def damaged(where: str) -> Iterator[None]:
    """Turns what reading a safetensors file raises into a CheckpointError."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, AttributeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{where} cannot be read ({error}); save or download it again") from error


def read_all(files: Iterable[Path]) -> dict[str, Read]:
    """The tensors of all safetensors files among `files`; a later file wins."""
    return {
        name: read
        for path in files
        if path.suffix == ".safetensors"
        for name, read in open_tensors(path).items()
    }


def read_weights(weights: Weights, config: ModelConfig) -> dict[str, NDArray[np.float32]]:
    """Every parameter that the graph of `config` reads, as float32.

    Raises:
        CheckpointError: one is missing, of another shape, of a type that is no float, or not finite.
    """
    return {name: _checked(weights, name, shape) for name, shape in expected_shapes(config)}


def _checked(weights: Weights, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    stored = weights.read(name)
    if stored.dtype.kind in "iub":
        raise CheckpointError(
            f"{weights.where}: {name} holds {stored.dtype} numbers: they are quantized; load the "
            "model, call dequantize() and save it again"
        )
    weight = np.asarray(stored, dtype=np.float32)
    if weight.shape != shape:
        raise CheckpointError(
            f"{weights.where}: {name} has shape {list(weight.shape)}; config.json says {list(shape)}"
        )
    if not np.isfinite(weight).all():
        raise CheckpointError(f"{weights.where}: {name} holds non-finite values; train or download it again")
    return weight


def _shards(index: Path) -> list[Path]:
    named = read_json(member(index.parent, index.name), MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(named, dict) or not named:
        raise CheckpointError(f"{index} holds no weight_map of tensors to files; save or download it again")
    shards = members(index.parent, named.values())
    for shard in shards:
        if shard.suffix != ".safetensors":
            raise CheckpointError(f"{index}: {shard.name!r} is no safetensors file; only those are read")
        if not shard.is_file():
            raise CheckpointError(f"{index.parent}: {shard.name} is missing; {index.name} names it")
    return shards


def _missing(folder: Path, found: list[Path]) -> str:
    if found:
        names = ", ".join(path.name for path in found)
        return f"which of {names} is it? Rename the model's to {WEIGHTS}"
    for pattern, advice in _OTHER_FORMATS.items():
        if others := sorted(folder.glob(pattern)):
            return advice.format(found=others[0].name, folder=folder, weights=WEIGHTS)
    return f"{WEIGHTS} is missing; save model and tokenizer with save_pretrained"


def _transformers_names(stored: Iterable[str], path: Path) -> tuple[dict[str, str], str]:
    """transformers' name -> name in the file, and the prefix that the file puts before them.

    An encoder that was saved without a head lacks `mobilebert.`; TensorFlow's names of norms are gamma, beta.
    """
    names = list(stored)
    anchors = [name for name in names if name.endswith(_ANCHOR)]
    prefix = min(anchors, key=len).removesuffix(_ANCHOR) if anchors else ""
    if len(anchors) > 1 and prefix not in ("", "mobilebert."):
        raise CheckpointError(f"{path} holds several encoders ({', '.join(anchors)}); save the one to serve")
    encoder = "" if prefix.endswith("mobilebert.") else "mobilebert."
    prefix = prefix.removesuffix("mobilebert.")
    renamed = {
        _modern(encoder + name.removeprefix(prefix)): name for name in names if name.startswith(prefix)
    }
    return renamed, prefix


def _modern(name: str) -> str:
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
