"""Assembling the runtime: complete, real files, made once, never seen half done."""

from dataclasses import replace
from pathlib import Path

import pytest

from serving.errors import ServingError
from serving.interpreter import Interpreter
from serving.runtime import assemble, find_interpreter


@pytest.fixture(scope="module")
def python() -> Interpreter:
    return find_interpreter(None)


def test_both_backends_are_assembled_from_real_files(python: Interpreter, tmp_path: Path) -> None:
    runtime = assemble(python, tmp_path)
    files = {
        str(path.relative_to(runtime.backends)) for path in runtime.backends.rglob("*") if path.is_file()
    }
    assert {
        "python/libtriton_python.so",
        "python/triton_python_backend_stub",
        "python/triton_python_backend_utils.py",
        "onnxruntime/model.py",
        "onnxruntime/serving/onnxruntime_backend/merging.py",
    } <= files
    assert not any(path.is_symlink() for path in runtime.backends.rglob("*"))
    assert runtime.binary.is_file()


def test_a_second_start_reuses_the_first_ones_work(python: Interpreter, tmp_path: Path) -> None:
    first = assemble(python, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert assemble(python, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_interrupted_assembly_leaves_nothing(python: Interpreter, tmp_path: Path, monkeypatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("serving.runtime.shutil.copy2", interrupt)
        with pytest.raises(KeyboardInterrupt):
            assemble(python, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert assemble(python, tmp_path).backends.is_dir()


def test_models_cannot_be_led_to_another_environments_packages(
    python: Interpreter, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    environment = assemble(python, tmp_path).environment
    assert "PYTHONPATH" not in environment
    assert environment["PATH"].split(":")[0] == str(python.bin)


def test_a_wheel_without_its_parts_is_one_line(python: Interpreter, tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="cannot assemble"):
        assemble(replace(python, pytriton=str(tmp_path)), tmp_path / "cache")
