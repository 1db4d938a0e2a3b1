"""Instruction sets hidden from ONNX Runtime: what it then computes, and that nothing stays changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.measure.hidden import CHECKS, JE, JMP, MARK, hidden, without_hidden
from benchmarks.measure.machine import describe, has_vnni

PACKAGE = Path(onnxruntime.__file__).parent
# Two products of the largest codes: 64,770. Without VNNI their sum is cut off at 16 bits.
PRODUCT = """
import numpy as np
from benchmarks.measure.machine import describe
from onnx import TensorProto, helper, numpy_helper
import onnxruntime
weights = numpy_helper.from_array(np.full((2, 16), 127, np.int8), "w")
graph = helper.make_graph(
    [helper.make_node("MatMulInteger", ["x", "w"], ["y"])], "product",
    [helper.make_tensor_value_info("x", TensorProto.UINT8, [16, 2])],
    [helper.make_tensor_value_info("y", TensorProto.INT32, [16, 16])], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
session = onnxruntime.InferenceSession(model.SerializeToString())
(sums,) = session.run(None, {"x": np.full((16, 2), 255, np.uint8)})
print(set(sums.ravel().tolist()), *describe()["vector_instructions"])
"""


def a_package(folder: Path, code: bytes) -> Path:
    (folder / "capi").mkdir(parents=True)
    (folder / "capi" / "onnxruntime_pybind11_state.so").write_bytes(code)
    return folder


def run_product(site: Path) -> tuple[str, list[str]]:
    """Its sums, and the instruction sets that the benchmark names there."""
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", PRODUCT], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    sums, *flags = done.stdout.split()
    return sums, flags


@pytest.mark.skipif(
    not has_vnni(describe()["vector_instructions"]), reason="this processor has no VNNI to hide"
)
def test_products_are_those_of_a_processor_without_vnni_and_afterwards_exact_again(tmp_path: Path) -> None:
    package = shutil.copytree(PACKAGE, tmp_path / "onnxruntime", ignore=shutil.ignore_patterns("__pycache__"))
    exact = str({2 * 255 * 127})
    with hidden([package]):
        assert run_product(tmp_path) == (str({2**15 - 1}), ["avx2"])
    sums, flags = run_product(tmp_path)
    assert sums == exact
    assert flags == describe()["vector_instructions"]
    (library,) = package.glob("capi/onnxruntime_pybind11_state*.so")
    assert library.read_bytes() == (PACKAGE / "capi" / library.name).read_bytes()


def test_a_run_that_breaks_off_leaves_nothing_changed(tmp_path: Path) -> None:
    code = b"".join(check + JE for check in CHECKS.values())
    package = a_package(tmp_path, code)
    library = package / "capi" / "onnxruntime_pybind11_state.so"

    def interrupted() -> None:
        with hidden([package]):
            assert library.read_bytes() == b"".join(check + JMP for check in CHECKS.values())
            assert (package / MARK).exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert library.read_bytes() == code
    assert not (package / MARK).exists()


def test_another_version_of_the_library_is_refused_and_stays(tmp_path: Path) -> None:
    package = a_package(tmp_path, b"something else")
    with pytest.raises(BenchmarkError, match="does not look for AVX-VNNI as that of onnxruntime"):
        hidden([package]).__enter__()
    assert (package / "capi" / "onnxruntime_pybind11_state.so").read_bytes() == b"something else"


def test_flags_of_a_processor_with_avx2_alone() -> None:
    assert without_hidden(["avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8"]) == ["avx2"]
