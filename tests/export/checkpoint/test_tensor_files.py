"""The header of a safetensors file: what it declares holds together, or the file is refused."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load, save

from export.checkpoint.tensor_files import MAX_HEADER_BYTES, check_tensor_file
from export.errors import CheckpointError
from tests.export.refusals import refused


def tensor_file(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def tensor(begin: int, end: int, shape: list | None = None, dtype: Any = "F32") -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }


@pytest.mark.parametrize(
    ("header", "data", "match"),
    [
        ({"a": tensor(0, 8), "b": tensor(4, 12)}, bytes(12), "overlaps"),
        ({"a": tensor(0, 8), "b": tensor(0, 8)}, bytes(8), "overlaps"),
        ({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12), "gap"),
        ({"a": tensor(0, 8)}, bytes(4), "take 8 bytes"),
        ({"a": tensor(0, 8)}, bytes(16), "take 8 bytes"),
        ({"a": tensor(0, 8, [1 << 40, 1 << 40])}, bytes(8), "dimension"),
        ({"a": tensor(0, 8, [1 << 20, 1 << 20])}, bytes(8), "another size"),
        ({"a": tensor(0, 8, [-2, -1])}, bytes(8), "impossible shape"),
        ({"a": tensor(0, 8, [2.0])}, bytes(8), "impossible shape"),
        ({"a": tensor(0, 8, [True, 2])}, bytes(8), "impossible shape"),
        ({"a": tensor(0, 4, [1] * 100_000)}, bytes(4), "impossible shape"),
        ({"a": tensor(8, 0, [0])}, bytes(8), "another size"),
        ({"a": tensor(0, 8, dtype="OBJECT")}, bytes(8), "dtype"),
        ({"a": tensor(0, 8, dtype=["F32"])}, bytes(8), "dtype"),
        ({"a": {"dtype": "F32", "shape": [2]}}, bytes(8), "lacks"),
        ({"a": [1, 2]}, b"", "lacks"),
        ({"x" * 10_000: tensor(0, 8)}, b"", "take 8 bytes"),
        ({f"{i}": tensor(0, 0) for i in range(100_001)}, b"", "100,001 tensors"),
        ([], b"", "not a JSON object"),
        (b"[" * 100_000, b"", "nested"),
        (b"\xff\xfe", b"", "UTF-8"),
    ],
)
def test_a_header_that_lies_is_refused(header: Any, data: bytes, match: str, tmp_path: Path) -> None:
    path = tensor_file(tmp_path / "model.safetensors", header, data)
    refused(lambda: check_tensor_file(path), match)


@pytest.mark.parametrize("length", [0, 1, 100, MAX_HEADER_BYTES + 1, 1 << 40, (1 << 64) - 1])
def test_a_header_longer_than_its_file_is_refused(length: int, tmp_path: Path) -> None:
    refused(lambda: check_tensor_file(tensor_file(tmp_path / "model.safetensors", {}, length=length)))


def test_a_header_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tensor_file(tmp_path / "model.safetensors", {}, length=1 << 31)
    with path.open("ab") as file:
        file.truncate(1 << 32)
    refused(lambda: check_tensor_file(path), "header has")


@given(
    tensors=st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(["f4", "f2", "i8", "u1", "?"]), st.lists(st.integers(0, 5), max_size=4)),
    )
)
@settings(max_examples=50, deadline=None)
def test_what_safetensors_writes_is_accepted(tensors: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in tensors.items()}
    path = tmp_path_factory.mktemp("written") / "model.safetensors"
    path.write_bytes(save(arrays, metadata={"format": "np"}))
    assert {name: entry.shape for name, entry in check_tensor_file(path).items()} == {
        name: array.shape for name, array in arrays.items()
    }


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_is_accepted_safetensors_reads(data: st.DataObject, tmp_path_factory: Any) -> None:
    whole = bytearray(save({"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 3), np.float16)}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("mutated") / "model.safetensors"
    path.write_bytes(whole)
    try:
        accepted = check_tensor_file(path)
    except CheckpointError:
        return
    try:
        read = load(bytes(whole))
    except SafetensorError as error:  # it knows more dtypes, and stricter text, than we need to
        pytest.fail(f"accepted, but safetensors refuses: {error}")
    assert {name: entry.shape for name, entry in accepted.items()} == {n: a.shape for n, a in read.items()}
