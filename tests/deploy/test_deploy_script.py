"""The image's start script, run on this machine's real tritonserver in place of the container's."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from clients import SentimentClient
from serving.checks import free_ports
from serving.runtime import Runtime, assemble, find_interpreter

SCRIPT = Path(__file__).parents[2] / "deploy" / "serve-models.sh"


@pytest.fixture(scope="module")
def runtime() -> Runtime:
    return assemble(find_interpreter(None))


@pytest.fixture
def command(runtime: Runtime, tmp_path: Path) -> dict[str, str]:
    """An environment whose `tritonserver` is the real one, told where this machine keeps its parts."""
    wrapper = tmp_path / "bin" / "tritonserver"
    wrapper.parent.mkdir()
    parts = f"--backend-directory={runtime.backends}"
    wrapper.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments\nexec {runtime.binary} "$@" {parts}\n'
    )
    wrapper.chmod(0o755)
    path = f"{wrapper.parent}:{runtime.environment['PATH']}"
    return {**runtime.environment, "PATH": path, "ARGUMENTS": f"{tmp_path}/arguments"}


@contextmanager
def started(environment: dict[str, str], repository: Path, **settings: str) -> Iterator[str]:
    """The URL of a server that the script started; asserts that it drains and ends well on SIGTERM."""
    http, grpc, metrics = free_ports("127.0.0.1", 3)
    ports = [
        f"--http-port={http}",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
        "--http-address=127.0.0.1",
    ]
    local = [*ports, "--grpc-address=127.0.0.1", "--backend-config=python,shm-region-prefix-name=deploy_"]
    environment = environment | {"MODEL_REPOSITORY": str(repository)} | settings
    process = subprocess.Popen(
        ["sh", str(SCRIPT), *local], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        url = f"http://127.0.0.1:{http}"
        wait_until_ready(process, url)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=60)[1]
    assert process.returncode == 0, errors[-2000:]


def wait_until_ready(process: subprocess.Popen[str], url: str) -> None:
    for _ in range(600):
        assert process.poll() is None, process.communicate()[1][-2000:]
        try:
            if requests.get(f"{url}/v2/health/ready", timeout=5).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise AssertionError("not ready within a minute")


def test_server_started_by_the_script_classifies_and_keeps_the_restricted_doors_closed(
    command: dict[str, str], published_repository: Path
):
    settings = {"ADMIN_KEY": "open sesame"}
    with started(command, published_repository, **settings) as url:
        with SentimentClient(url) as client:
            assert client.classify_one("A film.").label in ("negative", "positive")
        doors = ("GET", "/v2/systemsharedmemory/status"), ("POST", "/v2/repository/models/sentiment/unload")
        for method, path in doors:
            assert requests.request(method, url + path, timeout=30).status_code == 403
        key = {"admin-key": "open sesame"}
        assert requests.get(f"{url}/v2/systemsharedmemory/status", headers=key, timeout=30).ok
    arguments = Path(command["ARGUMENTS"]).read_text().splitlines()
    assert "--load-model=sentiment" in arguments
    assert "--load-model=mobilebert_fp16" not in arguments


def test_key_is_random_when_none_is_given(command: dict[str, str], tmp_path: Path):
    (tmp_path / "models" / "a" / "1").mkdir(parents=True)
    (tmp_path / "models" / "a" / "config.pbtxt").touch()
    keys = []
    for _ in range(2):
        (tmp_path / "bin" / "tritonserver").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        environment = {**command, "MODEL_REPOSITORY": str(tmp_path / "models"), "MODEL_CONFIG_NAME": "gpu"}
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://jaeger:4318/"
        done = subprocess.run(
            ["sh", str(SCRIPT), "--log-verbose=1"], env=environment, capture_output=True, text=True
        )
        keys += re.findall(r"^--http-restricted-api=.*admin-key=([0-9a-f]{32})$", done.stdout, re.M)
        assert "--model-config-name=gpu" in done.stdout
        assert "--log-verbose=1" in done.stdout
        assert "--trace-config=opentelemetry,url=http://jaeger:4318/v1/traces\n" in done.stdout
    assert len(set(keys)) == 2


def test_repository_without_an_exported_model_is_one_line_with_the_remedy(
    command: dict[str, str], tmp_path: Path
):
    (tmp_path / "models" / "mobilebert_fp32").mkdir(parents=True)
    (tmp_path / "models" / "mobilebert_fp32" / "config.pbtxt").touch()
    environment = {**command, "MODEL_REPOSITORY": str(tmp_path / "models")}
    done = subprocess.run(["sh", str(SCRIPT)], env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "make export" in done.stderr


def test_every_flag_of_the_script_is_known_to_tritonserver(runtime: Runtime):
    done = subprocess.run([runtime.binary, "--help"], env=runtime.environment, capture_output=True, text=True)
    known = set(re.findall(r"^  (--[\w-]+)", done.stdout + done.stderr, re.M))
    used = set(re.findall(r"(--[a-z][a-z-]+)=", SCRIPT.read_text()))
    assert len(used) >= 8
    assert used <= known


def test_script_may_be_executed():
    assert os.access(SCRIPT, os.X_OK)
