"""`python -m export`: what a person sees, and what scripts rely on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from export.cli import main
from tests.export.oracle import edit_weights
from tests.reviews import ROOT

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command line; returns exit status, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["export", *map(str, arguments)])
        capsys.readouterr()
        status: int | str | None = 0
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code
        captured = capsys.readouterr()
        return int(status or 0), captured.out, captured.err

    return call


def options(checkpoint: Path, repository: Path) -> list[object]:
    return ["--checkpoint", checkpoint, "--repository", repository, "--precision", "fp32"]


def test_without_a_command_it_publishes_and_prints_a_summary(
    run: Run, small_checkpoint: Path, tmp_path: Path
) -> None:
    status, out, err = run(*options(small_checkpoint, tmp_path))
    assert (status, err) == (0, "")
    assert (tmp_path / "mobilebert_fp32" / "1" / "model.onnx").exists()
    for words in ("version 1", "mobilebert_fp32", "MiB", "on 5 texts"):
        assert words in out


def test_if_stale_does_nothing_twice(run: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    run("publish", *options(small_checkpoint, tmp_path))
    status, out, _ = run("publish", *options(small_checkpoint, tmp_path), "--if-stale")
    assert status == 0
    assert "up to date" in out.replace("\n", " ")
    assert not (tmp_path / "mobilebert_fp32" / "2").exists()


def test_if_stale_does_not_wait_for_onnx(run: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    run("publish", *options(small_checkpoint, tmp_path))
    arguments = ["export", "publish", *map(str, options(small_checkpoint, tmp_path)), "--if-stale"]
    script = (
        f"import sys; from export.cli import main; sys.argv = {arguments!r}\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert "up to date" in done.stdout.replace("\n", " "), done.stderr
    assert done.stdout.endswith("[]\n")


def test_if_stale_publishes_a_changed_checkpoint(run: Run, own_checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    run(*options(own_checkpoint, repository))
    (own_checkpoint / "golden.jsonl").unlink()
    edit_weights(own_checkpoint, lambda model: model.classifier.bias.add_(1))
    assert run(*options(own_checkpoint, repository), "--if-stale")[0] == 0
    assert (repository / "mobilebert_fp32" / "2").exists()


@pytest.fixture
def other_checkpoint(own_checkpoint: Path) -> Path:
    """Another model than that of `small_checkpoint`, in a folder of another name."""
    (own_checkpoint / "golden.jsonl").unlink()
    edit_weights(own_checkpoint, lambda model: model.classifier.bias.add_(1))
    return own_checkpoint


def test_a_model_of_another_checkpoint_stays_unless_one_is_named(
    run: Run, small_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    run(*options(other_checkpoint, repository))
    status, out, _ = run(*options(small_checkpoint, repository), "--if-stale", "--keep-other")
    assert status == 0
    assert f"serves version 1, of {other_checkpoint.name}" in out
    assert not (repository / "mobilebert_fp32" / "2").exists()
    run(*options(small_checkpoint, repository), "--if-stale")
    assert (repository / "mobilebert_fp32" / "2").exists()


def test_if_stale_says_what_a_rolled_back_repository_serves(
    run: Run, small_checkpoint: Path, other_checkpoint: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    for checkpoint in (other_checkpoint, small_checkpoint):
        run(*options(checkpoint, repository))
    run("rollback", "--repository", repository)
    _, out, _ = run(*options(small_checkpoint, repository), "--if-stale")
    assert f"serves version 1, of {other_checkpoint.name}, since a rollback" in out


def test_a_checkpoint_without_golden_logits_is_published_with_a_warning(
    run: Run, own_checkpoint: Path, tmp_path: Path
) -> None:
    (own_checkpoint / "golden.jsonl").unlink()
    status, _, err = run(*options(own_checkpoint, tmp_path / "models"))
    assert status == 0
    assert "warning" in err
    assert "golden.jsonl" in err


def test_weights_that_do_not_match_their_golden_logits_are_not_published(
    run: Run, own_checkpoint: Path, tmp_path: Path
) -> None:
    golden = (own_checkpoint / "golden.jsonl").read_text()
    edit_weights(
        own_checkpoint, lambda model: model.mobilebert.encoder.layer[1].output.dense.weight.mul_(1.05)
    )
    (own_checkpoint / "golden.jsonl").write_text(golden)
    status, _, err = run(*options(own_checkpoint, tmp_path / "models"))
    assert status == 1
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "models" / "mobilebert_fp32" / "1").exists()


def test_a_tokenizer_of_another_checkpoint_is_not_published(
    run: Run, own_checkpoint: Path, tmp_path: Path
) -> None:
    path = own_checkpoint / "tokenizer.json"
    path.write_text(path.read_text().replace('"great"', '"grate"'))
    status, _, err = run(*options(own_checkpoint, tmp_path / "models"))
    assert status == 1
    assert "tokenizer.json" in err
    assert not (tmp_path / "models" / "mobilebert_fp32" / "1").exists()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--checkpoint", "no/such/folder"], "no/such/folder"),
        (["--precision", "fp8"], "fp8"),
    ],
)
def test_an_expected_failure_is_one_line_with_exit_status_1(
    run: Run, arguments: list[str], named: str
) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith("error: ")
    assert named in err
    assert len(err.strip().splitlines()) == 1


def test_a_wrong_option_is_explained(run: Run) -> None:
    status, _, err = run("--chekpoint", "x")
    assert status == 2
    assert "--chekpoint" in err


def test_help_names_the_commands(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert "publish" in out


def test_export_runs_where_there_is_no_torch(small_checkpoint: Path, tmp_path: Path) -> None:
    """In the server's environment if it is there, else in this one with torch hidden."""
    server = ROOT / ".venv" / "server" / "bin" / "python"
    hidden = tmp_path / "hidden"
    for name in ("torch", "transformers"):
        (hidden / name).mkdir(parents=True)
        (hidden / name / "__init__.py").write_text("raise ImportError('hidden')")
    environment = {**os.environ, "PYTHONPATH": str(hidden)}
    python = str(server if server.exists() else sys.executable)
    command = [python, "-m", "export", *map(str, options(small_checkpoint, tmp_path / "models"))]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "models" / "mobilebert_fp32" / "1" / "model.onnx").exists()


def test_several_precisions_are_one_version(run: Run, small_checkpoint: Path, tmp_path: Path) -> None:
    status, out, err = run(*options(small_checkpoint, tmp_path), "--precision", "fp16")
    assert (status, err) == (0, "")
    for name in ("mobilebert_fp32", "mobilebert_fp16"):
        assert name in out
        assert (tmp_path / name / "1" / "model.onnx").exists()
