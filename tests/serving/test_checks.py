"""Every reason not to start is one line with its remedy."""

from dataclasses import replace
from pathlib import Path

import pytest

from serving import checks, preflight
from serving.errors import ServingError
from serving.interpreter import Interpreter, ask, describe
from serving.runtime import SERVER_PYTHON

GOOD = Interpreter(
    executable="/env/bin/python",
    version=(3, 11),
    system="Linux",
    machine="x86_64",
    glibc="2.35",
    libpython="/usr/lib/libpython3.11.so.1.0",
    pytriton="/env/pytriton",
    packages={"nvidia-pytriton": "0.7.0", "numpy": "1.26.4", "onnxruntime": "1.32.0", "tokenizers": "0.23.3"},
)


@pytest.mark.parametrize("good", [GOOD, replace(GOOD, version=(3, 12)), replace(GOOD, glibc="2.39")])
def test_a_supported_interpreter_passes(good: Interpreter) -> None:
    checks.check_interpreter(good)


@pytest.mark.parametrize(
    ("change", "problem", "remedy"),
    [
        ({"system": "Darwin"}, "not Darwin x86_64", "docker compose"),
        ({"machine": "aarch64"}, "not Linux aarch64", "docker compose"),
        ({"glibc": "2.31"}, "glibc 2.31", "docker compose"),
        ({"glibc": ""}, "another C library", "docker compose"),
        ({"version": (3, 10)}, "is 3.10", "PYTHON=python3.12 make serve"),
        ({"version": (3, 13)}, "is 3.13", "PYTHON=python3.12 make serve"),
        ({"libpython": ""}, "no shared library libpython3.11.so.1.0", "apt install libpython3.11"),
        ({"packages": GOOD.packages | {"numpy": "2.1.0"}}, "NumPy 2.1.0 corrupts", "pip install 'numpy<2'"),
        (
            {"packages": {"numpy": "1.26.4"}},
            "nvidia-pytriton, onnxruntime, tokenizers not installed",
            "make serve",
        ),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(change: dict, problem: str, remedy: str) -> None:
    with pytest.raises(ServingError) as caught:
        checks.check_interpreter(replace(GOOD, **change))
    message = str(caught.value)
    assert problem in message
    assert remedy in message
    assert "\n" not in message


def test_two_endpoints_cannot_share_a_port() -> None:
    with pytest.raises(ServingError, match="HTTP_PORT=8000 is given twice"):
        checks.check_ports("127.0.0.1", {"HTTP_PORT": 8000, "GRPC_PORT": 8000})


def test_free_ports_are_distinct() -> None:
    assert len(set(checks.free_ports("127.0.0.1", 5))) == 5


def test_another_interpreter_describes_itself() -> None:
    if not SERVER_PYTHON.exists():
        pytest.skip("no server environment: run `make serve` once")
    server = ask(SERVER_PYTHON)
    assert server.pytriton.startswith(str(SERVER_PYTHON.parents[1]))
    assert Path(server.libpython).is_file()
    assert server.version == describe().version


def test_preflight_tells_before_there_is_an_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = replace(GOOD, packages={}, pytriton="")
    monkeypatch.setattr(preflight, "describe", lambda: bare)
    assert preflight.main() == 0
    monkeypatch.setattr(preflight, "describe", lambda: replace(bare, version=(3, 14)))
    assert preflight.main() == 1
    assert capsys.readouterr().err.startswith("error: the embedded server needs Python 3.11 or 3.12")
