"""`finetune` and `distill` end to end on small data: as scripts, as a notebook, interrupted and resumed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbclient
import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertModel

from training.smoke import OUTPUTS, REVIEWS

ROOT = Path(__file__).parents[2]
QUICK = {"epochs": 2, "batch-size": 8, "held-out": 0.25, "range-texts": 4, "learning-rate": 1e-3}
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def words(options: dict[str, object]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def finetune_options(folder: Path, base_model: Path, reviews: Path) -> dict[str, object]:
    columns = {"text-column": "review", "label-column": "verdict"}
    places = {"base-model": base_model, "output": folder / "checkpoint", "work": folder / "work"}
    return {"data": reviews, **columns, **places, **QUICK}


def run(*command: str, module: str = "training.finetune") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *command],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=ENVIRONMENT,
    )


def test_script_writes_a_checkpoint_that_transformers_loads(
    tmp_path: Path, base_model: Path, reviews: Path
) -> None:
    options = finetune_options(tmp_path, base_model, reviews)
    command = [sys.executable, "training/finetune.py", *words(options)]
    command += ["--gradient-accumulation", "2", "--class-weights", "balanced"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    assert re.search(r"label 2 +│ good: 16", done.stdout)  # the summary of what was read
    checkpoint = tmp_path / "checkpoint"
    assert not {name for name in OUTPUTS if not (checkpoint / name).is_file()}
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint)
    assert model.config.id2label == {0: "bad", 1: "fine", 2: "good"}
    assert AutoTokenizer.from_pretrained(checkpoint)("the film")["input_ids"][1:-1]
    metrics = json.loads((checkpoint / "metrics.json").read_text())
    assert metrics["report"]["texts"] == 12
    assert (
        metrics["report"]["f1"]["low"] <= metrics["report"]["f1"]["value"] <= metrics["report"]["f1"]["high"]
    )
    card = (checkpoint / "README.md").read_text()
    assert str(tmp_path) not in card + json.dumps(metrics)
    assert f"{metrics['report']['f1']['value']:.4f}" in card
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


@pytest.mark.slow
def test_notebook_runs_from_its_own_folder(
    tmp_path: Path, base_model: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = finetune_options(tmp_path, base_model, reviews)
    for name, value in {**ENVIRONMENT, "FINETUNE_OPTIONS": " ".join(words(options))}.items():
        monkeypatch.setenv(name, value)
    notebook = jupytext.read(ROOT / "training/finetune.py")
    assert sum(cell.cell_type == "markdown" for cell in notebook.cells) >= 5
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT / "training")}}
    )
    client.execute()
    assert (tmp_path / "checkpoint/metrics.json").is_file()


def test_bad_data_stops_with_one_line_before_training(tmp_path: Path, base_model: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("review,verdict\nfine,good\n,bad\n")
    done = run(*words(finetune_options(tmp_path, base_model, data)))
    assert done.returncode == 1
    assert "row 2: the text is empty" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data.csv"]


def test_ctrl_c_saves_and_resume_goes_on_from_there(tmp_path: Path, base_model: Path, reviews: Path) -> None:
    options = {**finetune_options(tmp_path, base_model, reviews), "epochs": 60, "patience": 60}
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "training.finetune", *words(options)],
            stdout=file,
            stderr=file,
            cwd=ROOT,
            env=ENVIRONMENT,
        )
        _wait_for(lambda: "eval_f1" in log.read_text(), process)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 1
    assert "interrupted" in log.read_text()
    assert "Traceback" not in log.read_text()
    saved = [int(path.name.split("-")[1]) for path in (tmp_path / "work").glob("checkpoint-*")]
    assert saved
    assert not (tmp_path / "checkpoint").exists()
    refused = run(*words(options))
    assert "--resume" in refused.stderr.splitlines()[-1]
    epochs = max(saved) // 5 + 2  # five steps an epoch
    done = run(*words({**options, "epochs": epochs}), "--resume")
    assert done.returncode == 0, done.stderr
    training = json.loads((tmp_path / "checkpoint/metrics.json").read_text())["training"]
    assert training["steps"] == 5 * epochs
    assert min(record["step"] for record in training["curves"]) <= 5  # the curve before Ctrl-C is kept


def _wait_for(condition: object, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 240
    while not condition():  # type: ignore[operator]
        assert process.poll() is None, "the training ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.2)


@pytest.mark.slow
def test_a_second_run_gives_the_same_weights_to_the_bit(tmp_path: Path, base_model: Path) -> None:
    reports = []
    for name in ("one", "two"):
        output = tmp_path / name / "checkpoint"
        done = run(
            "--base-model", str(base_model), "--output", str(output), "--no-export", module="training.smoke"
        )
        assert done.returncode == 0, done.stderr
        reports.append(json.loads((output / "metrics.json").read_text()))
    weights = [(tmp_path / name / "checkpoint/model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]
    first, second = ({**report, "training": report["training"]["curves"]} for report in reports)
    for report in (first, second):
        report.pop("hyperparameters")
        report.pop("commit")  # the tree may be committed to between the two runs
    assert first == second
    assert first["report"]["texts"] == round(0.25 * (len(REVIEWS.read_text().splitlines()) - 1))


def stage_times(work: Path) -> dict[str, int]:
    stages = (path for path in work.iterdir() if path.suffix in (".pt", ".npz"))
    return {path.name: path.stat().st_mtime_ns for path in stages}


@pytest.mark.slow
def test_distill_goes_from_texts_to_a_checkpoint_and_skips_finished_stages(
    tmp_path: Path, base_model: Path
) -> None:
    lines = REVIEWS.read_text(encoding="utf-8").splitlines()
    half = "\n".join(lines[:1] + lines[1::2]) + "\n"
    (tmp_path / "train.csv").write_text(half, encoding="utf-8")
    (tmp_path / "test.csv").write_text("\n".join(lines[:1] + lines[2::2]) + "\n", encoding="utf-8")
    (tmp_path / "free.csv").write_text("text\na warm film\na dull film\nsome great story\n", encoding="utf-8")
    options = {
        "data": tmp_path / "train.csv",
        "unlabelled": tmp_path / "free.csv",
        "test-data": tmp_path / "test.csv",
        "tokenizer": base_model,
        "output": tmp_path / "checkpoint",
        "work": tmp_path / "work",
        "held-out": 8,
        "stem-tokens": 4000,
        "grown-tokens": 2000,
        "token-budget": 512,
        "range-texts": 4,
    }
    done = run(*words(options), module="training.distill")
    assert done.returncode == 0, done.stderr
    assert not {name for name in OUTPUTS if not (tmp_path / "checkpoint" / name).is_file()}
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint")
    assert model.config.model_type == "mobilebert"
    assert model.config.num_hidden_layers == 2
    first = json.loads((tmp_path / "checkpoint/metrics.json").read_text())
    before = stage_times(tmp_path / "work")
    assert set(before) == {"tokens.npz", "nbsvm.npz", "stem.pt", "grown_2.pt"}
    assert run(*words(options), module="training.distill").returncode == 0
    assert stage_times(tmp_path / "work") == before
    assert json.loads((tmp_path / "checkpoint/metrics.json").read_text()) == first

    # A deeper student of two teachers has the same stem.
    save_encoder(tmp_path / "teacher", AutoTokenizer.from_pretrained(base_model).vocab_size)
    options.update({"teacher": tmp_path / "teacher", "teacher-budget": 2000, "depth": 3})
    done = run(*words(options), module="training.distill")
    assert done.returncode == 0, done.stderr
    assert "both, held out: F1" in done.stdout
    after = stage_times(tmp_path / "work")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"encoder.pt", "encoder.npz", "grown_3.pt"}
    deeper = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint")
    assert deeper.config.num_hidden_layers == 3


def save_encoder(folder: Path, words: int) -> None:
    """A small BERT with random weights."""
    shape = {"hidden_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=words, **shape)).save_pretrained(folder)
