"""`python -m serving` as a process: what it prints, how it ends, what it leaves behind."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from typer.testing import CliRunner

from serving.__main__ import app
from serving.checks import free_ports

ROOT = Path(__file__).parents[2]
LONG_REQUEST = {"text": ["a good film " * 170] * 24}


def command(repository: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "serving", "--model-repository", str(repository), *options]


class Launcher:
    """A launcher process with a live server."""

    def __init__(self, repository: Path) -> None:
        http, grpc, metrics = free_ports("127.0.0.1", 3)
        ports = {"HTTP_PORT": str(http), "GRPC_PORT": str(grpc), "METRICS_PORT": str(metrics)}
        environment = os.environ | ports | {"PYTHONUNBUFFERED": "1"}
        self.http_port = http
        self.process = subprocess.Popen(
            command(repository),
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.printed = "".join(iter(self.process.stdout.readline, "Ctrl-C stops it.\n"))
        self.children = psutil.Process(self.process.pid).children(recursive=True)

    def generate(self, body: dict) -> requests.Response:
        url = f"http://127.0.0.1:{self.http_port}/v2/models/sentiment/generate"
        return requests.post(url, json=body, timeout=60)


@contextmanager
def launched(repository: Path) -> Iterator[Launcher]:
    launcher = Launcher(repository)
    try:
        yield launcher
    finally:
        launcher.process.kill()
        launcher.process.communicate()
        psutil.wait_procs(launcher.children, timeout=20)


def test_a_session_from_the_printed_curl_line_to_the_drain(published_repository: Path) -> None:
    with launched(published_repository) as launcher, ThreadPoolExecutor() as pool:
        assert len(launcher.children) == 3  # tritonserver and one stub for each composing model
        assert "Not exported yet, so not served: mobilebert_fp16" in launcher.printed
        curl = re.search(r"^  (curl .*)$", launcher.printed, re.MULTILINE)
        assert curl is not None
        assert (
            '"label":'
            in subprocess.run(curl[1], shell=True, check=True, capture_output=True, text=True).stdout
        )

        answer = pool.submit(launcher.generate, LONG_REQUEST)
        wait_until_busy(launcher)
        launcher.process.send_signal(signal.SIGTERM)
        assert len(answer.result().json()["label"]) == len(LONG_REQUEST["text"])
        _, log = launcher.process.communicate(timeout=30)
        assert launcher.process.returncode == 0
        assert log.splitlines() == ["Draining requests in flight; once more to stop at once"]
        _, alive = psutil.wait_procs(launcher.children, timeout=60)
        assert not alive
        assert not list(Path("/dev/shm").glob(f"mobilebert_{launcher.http_port}_*"))


def wait_until_busy(launcher: Launcher) -> None:
    """Until the first step of the long request has been answered, so that the second is under way.

    Counted in rows: the launcher's own questions have one each.
    """
    url = f"http://127.0.0.1:{launcher.http_port}/v2/models/mobilebert_tokenizer/stats"
    done = 0
    while done < len(LONG_REQUEST["text"]):
        done = requests.get(url, timeout=10).json()["model_stats"][0]["inference_count"]
        threading.Event().wait(0.002)


def test_killing_the_launcher_ends_the_server(published_repository: Path) -> None:
    with launched(published_repository) as launcher:
        launcher.process.kill()
        _, alive = psutil.wait_procs(launcher.children, timeout=60)
        assert not alive


def refuse(repository: Path, *options: str) -> str:
    """Run a command that must fail at once, with one line."""
    run = subprocess.run(command(repository, *options), cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1, run.stderr
    return run.stderr


def test_a_port_in_use_is_one_line_with_the_remedy(published_repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        others = ("--http-port", "0", "--metrics-port", "0")
        message = refuse(published_repository, "--grpc-port", str(port), *others)
    assert message.startswith(f"error: cannot listen on 127.0.0.1:{port} (Address already in use)")
    assert "set GRPC_PORT to another port" in message


def test_a_repository_that_is_missing_or_not_exported_is_one_line(tmp_path: Path) -> None:
    assert "set MODEL_REPOSITORY, or run `make export`" in refuse(tmp_path / "nowhere")
    assert "set MODEL_REPOSITORY, or run `make export`" in refuse(tmp_path)


def test_a_word_that_belongs_to_no_option_is_refused() -> None:
    done = CliRunner().invoke(app, ["--gateway", "off"], env={"COLUMNS": "200"})
    assert done.exit_code == 2
    assert "'off' is no option. Without the gateway: --no-gateway" in done.output
