"""The reference says what the programs say of themselves: --help, pages of metrics, settings."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import requests
import typer

from clients import submit_cli
from export.publishing.generator import configurations
from gateway.settings import Settings
from serving.__main__ import app
from serving.launcher import TritonServer
from serving.onnxruntime_backend import limits, session
from serving.onnxruntime_backend.settings import parse_settings
from tests.gateway.running import gateway_process
from website.reference import ROOT

PAGE = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")


def rows(markdown: str) -> dict[str, list[str]]:
    """The tables of a page: the cells by what stands in code type in the first one, without code type."""
    found = {}
    for line in re.findall(r"^\| `.*\|$", markdown, re.MULTILINE):
        name, *cells = (cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|")))
        found[name.strip("`")] = [cell.strip("`") for cell in cells]
    return found


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("environment", "words", "part"),
    [
        ("server", "serving", "serving"),
        ("server", "clients", "clients"),
        ("server", "clients submit", "clients"),
        ("server", "export publish", "export"),
        ("server", "export check", "export"),
        ("server", "bulk score", "bulk"),
        ("server", "gateway", "gateway"),
        ("dev", "deploy.capacity plan", "capacity"),
        ("dev", "benchmarks.compare", "benchmarks"),
    ],
)
def test_the_options_are_those_of_the_programs_own_help(
    environment: str, words: str, part: str, reference: Path
) -> None:
    known = set(re.findall(r"^[│ *]+(?:-\w,? +)?(--[a-z][\w-]+)", said(environment, words), re.MULTILINE))
    started = words.replace("clients", "mobilebert-triton") if part == "clients" else f"python -m {words}"
    text = (reference / f"commands-{part}.md").read_text(encoding="utf-8")
    body = re.split(rf"^#+ {re.escape(started)}$", text, flags=re.MULTILINE)[1]
    table = re.split(r"^#", body, flags=re.MULTILINE)[0]
    assert (
        set(re.findall(r"^\| `(?:-\w, )?(--[a-z][\w-]+)", table, re.MULTILINE)) == known - {"--help"} != set()
    )


def said(environment: str, words: str) -> str:
    python = ROOT / ".venv" / environment / "bin" / "python"
    command = [python, "-m", *words.split(), "--help"]
    wide = os.environ | {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=wide).stdout


@pytest.mark.slow
def test_the_options_of_a_training_script_are_those_of_its_own_help(reference: Path) -> None:
    part = (reference / "commands-training.md").read_text(encoding="utf-8")
    finetune = part.partition("### python -m training.distill")[0]
    known = re.findall(r"^ +(--[a-z]\w+)", said("dev", "training.finetune"), re.MULTILINE)
    options = {name.replace("_", "-") for name in known if not name.startswith("--no_")}
    assert set(re.findall(r"^\| `(--[a-z][\w-]+)`", finetune, re.MULTILINE)) == options


def test_the_metrics_are_those_of_a_live_server_and_its_gateway(
    server: TritonServer, reference: Path, tmp_path: Path
) -> None:
    with gateway_process(server.grpc_url, GATEWAY_DATA=str(tmp_path)) as gateway:
        pages = {
            "triton": requests.get(server.metrics_url, timeout=30).text,
            "gateway": gateway.client.get("/metrics").text,
        }
    for who, begin in (("triton", "onnxruntime_"), ("gateway", "gateway_")):
        shown = dict(re.findall(rf"^# TYPE ({begin}\w+) (\w+)$", pages[who], re.MULTILINE))
        shown = {name: kind for name, kind in shown.items() if not name.endswith("_created")}
        table = rows((reference / f"metrics-{who}.md").read_text(encoding="utf-8"))
        assert {name: cells[0] for name, cells in table.items()} == shown


@pytest.mark.parametrize("model", ["sentiment", "mobilebert_fp32", "mobilebert_tokenizer"])
def test_a_models_tensors_are_those_that_a_live_server_has(
    model: str, server: TritonServer, reference: Path
) -> None:
    config = requests.get(f"{server.http_url}/v2/models/{model}/config", timeout=30).json()
    text = (reference / "signatures.md").read_text(encoding="utf-8")
    table = rows(text.partition(f"### {model}\n")[2].partition("\n### ")[0].partition("| parameter |")[0])
    tensors = {
        each["name"]: [
            direction,
            each["data_type"].removeprefix("TYPE_"),
            str([int(size) for size in each["dims"]]).replace("-1", "any"),
        ]
        for direction in ("input", "output")
        for each in config[direction]
    }
    assert table == tensors


def test_the_configuration_has_every_setting_of_the_gateway_with_its_default() -> None:
    documented = rows(section("The gateway")) | rows(section("Background tasks"))
    fields = {str(field.alias): name for name, field in Settings.model_fields.items()}
    assert set(documented) == set(fields)
    given = {name: cells[0] for name, cells in documented.items() if cells[0]}
    assert Settings.checked(given) == Settings()


def test_the_configuration_has_every_option_of_the_server_with_its_default() -> None:
    documented = rows(section("The server"))
    context = typer.Context(command := typer.main.get_command(app))
    options = {
        each.opts[0]: (each.envvar or "", each.default)
        for each in command.get_params(context)
        if each.name != "help"
    }
    assert set(documented) == set(options)
    for name, (variable, default) in options.items():
        shown = documented[name][:2]
        plain = getattr(default, "value", default)
        written = {True: "on", False: "off", None: ""}.get(
            plain, f"{plain:g}" if isinstance(plain, float) else str(plain)
        )
        assert shown == [variable, written], name


@pytest.mark.parametrize(
    ("heading", "models"),
    [
        ("Texts", ["mobilebert_tokenizer"]),
        ("The queue", ["mobilebert_fp32", "mobilebert_fp16", "mobilebert_int8"]),
    ],
)
def test_the_configuration_has_the_models_parameters(heading: str, models: list[str]) -> None:
    documented = {name: cells[0] for name, cells in rows(section(heading)).items()}
    for model in models:
        parameters = configurations()[model].parameters
        known = {name: each.string_value for name, each in parameters.items()}
        assert {name: known.get(name) for name in documented} == documented
        assert known.keys() - documented.keys() <= {"enable_mem_pattern"}


def test_the_configuration_has_every_variable_of_submit_with_its_default() -> None:
    command = typer.main.get_command(submit_cli.app)
    known = {each.envvar: str(each.default or "") for each in command.params if each.envvar}
    assert {name: cells[0] for name, cells in rows(section("The client")).items()} == known


class Asked(dict[str, str]):
    """Parameters of a model that note which ones the backend looks for; all of them are there, and are 1."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def get(self, key: str, default: object = None) -> str:  # type: ignore[override]
        return self[key]

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return True

    def __getitem__(self, key: str) -> str:
        self.names.add(key)
        return "0.5" if key == "background_share" else "1"


def test_the_configuration_has_every_parameter_that_the_backend_reads() -> None:
    asked = Asked()
    settings = replace(parse_settings({"name": "any"}), parameters=asked)
    session.session_options(settings, threads=1)
    session.intra_op_threads(settings, cores=1)
    session.lanes(settings, threads=1, path=Path(), memory=1e9)
    session.run_options(settings)
    of_sessions = set(asked.names)
    limits.read_limits(settings)
    named = re.findall(r"`([\w.]+)`", section("ONNX Runtime"))
    assert set(named) == of_sessions
    assert set(rows(section("The queue"))) == asked.names - of_sessions
