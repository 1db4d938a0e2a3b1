"""Who may call, how much, and what the answers carry: keys, rates, headers, CORS, metrics."""

import hashlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from serving.launcher import TritonServer
from tests.gateway.running import ROOT, Gateway, gateway_process, run_gateway, server_python

TEXT = {"text": "A warm film."}


@dataclass(frozen=True)
class Guarded:
    """A gateway that wants keys; `slow` may send 5 texts a minute."""

    gateway: Gateway
    file: Path
    fast: str
    slow: str


@pytest.fixture(scope="module")
def guarded(server: TritonServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys = [
        run_gateway("add-key", name, "--file", str(file), *more).stdout.strip()
        for name, more in (("fast", ()), ("slow", ("--limit", "5")))
    ]
    origins = {"CORS_ORIGINS": "https://app.example"}
    with gateway_process(server.grpc_url, API_KEYS_FILE=str(file), **origins) as running:
        yield Guarded(running, file, *keys)


def ask(guarded: Guarded, key: str = "", texts: int = 1) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return guarded.gateway.client.post("/v1/classify", json=["A warm film."] * texts, headers=headers)


def test_keys_are_stored_as_hashes_only(guarded: Guarded) -> None:
    stored = guarded.file.read_text()
    assert guarded.fast not in stored
    assert hashlib.sha256(guarded.fast.encode()).hexdigest() in stored
    assert guarded.file.stat().st_mode & 0o077 == 0


def test_without_a_key_nothing_under_v1_answers(guarded: Guarded) -> None:
    api = guarded.gateway.client
    for answer in (ask(guarded), api.get("/v1/models"), api.post("/v1/explain", json=TEXT)):
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.json()["type"] == "/problems#unauthorized"
    assert api.get("/healthz").status_code == api.get("/").status_code == 200


@pytest.mark.parametrize("wrong", ["mbt_nonsense", "x" * 5000, "näh"])
def test_a_wrong_key_is_refused(guarded: Guarded, wrong: str) -> None:
    headers = {b"authorization": b"Bearer " + wrong.encode()}
    assert guarded.gateway.client.get("/v1/models", headers=headers).status_code == 401


def test_a_key_opens_in_either_header_and_names_the_caller_in_the_log(guarded: Guarded) -> None:
    assert ask(guarded, guarded.fast).status_code == 200
    answer = guarded.gateway.client.get("/v1/models", headers={"X-API-Key": guarded.fast})
    assert answer.status_code == 200
    assert guarded.gateway.logged('"caller":"fast"')["status"] == 200
    assert not any(guarded.fast in line for line in list(guarded.gateway.lines))


def test_a_caller_over_his_share_is_told_when_to_come_back(guarded: Guarded) -> None:
    assert ask(guarded, guarded.slow, texts=4).status_code == 200
    refused = ask(guarded, guarded.slow, texts=4)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 36  # three texts too many, one each 12 s
    assert refused.json()["retry_after"] == int(refused.headers["retry-after"])
    assert ask(guarded, guarded.slow).status_code == 200, "a refusal costs nothing"
    assert ask(guarded, guarded.slow, texts=6).status_code == 413, "never within a minute"
    assert ask(guarded, guarded.fast, texts=4).status_code == 200, "others have their own share"


def test_a_revoked_key_is_out_within_seconds_and_without_a_restart(guarded: Guarded) -> None:
    key = run_gateway("add-key", "passing", "--file", str(guarded.file)).stdout.strip()
    assert _becomes(guarded, key, 200)
    lines = [line for line in guarded.file.read_text().splitlines() if not line.startswith("passing")]
    guarded.file.write_text("\n".join(lines) + "\n")
    assert _becomes(guarded, key, 401)
    assert ask(guarded, guarded.fast).status_code == 200


def _becomes(guarded: Guarded, key: str, status: int) -> bool:
    deadline = time.monotonic() + 30
    while (found := ask(guarded, key).status_code) != status and time.monotonic() < deadline:
        time.sleep(0.3)
    return found == status


@pytest.mark.parametrize(
    ("content", "message"),
    [("only-an-id\n", "line 1"), ("# fine\na " + "0" * 64 + "\na " + "1" * 64 + "\n", "line 3")],
)
def test_a_key_file_that_is_wrong_stops_the_start_in_one_line(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "keys"
    file.write_text(content)
    refused = run_gateway(API_KEYS_FILE=str(file), GATEWAY_PORT="0", check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert message in refused.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("GATEWAY_PORT", "eighty"), ("MAX_BODY", "10 elephants"), ("RATE_LIMIT", "-1"), ("CORS_ORIGINS", "*"),
     ("API_KEYS_FILE", "nowhere/keys"), ("TRITON_URL", "ftp://here")],
)  # fmt: skip
def test_a_wrong_setting_is_named_in_one_line(name: str, value: str) -> None:
    refused = run_gateway(**{"GATEWAY_PORT": "0", name: value}, check=False)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert name in refused.stderr


def test_a_port_in_use_is_one_line_with_the_remedy(gateway: Gateway) -> None:
    port = gateway.url.rpartition(":")[2]
    refused = run_gateway(GATEWAY_PORT=port, check=False)
    assert refused.stderr.startswith(f"error: cannot listen on 127.0.0.1:{port} (Address already in use)")
    assert "GATEWAY_PORT" in refused.stderr


def test_other_origins_may_not_call_by_default(api: httpx.Client) -> None:
    answer = api.post("/v1/classify", json=TEXT, headers={"Origin": "https://app.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_named_origin_may_call_and_no_other(guarded: Guarded) -> None:
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for origin, allowed in (("https://app.example", True), ("https://other.example", False)):
        headers = {"Origin": origin, **preflight}
        answer = guarded.gateway.client.options("/v1/classify", headers=headers)
        assert (answer.headers.get("access-control-allow-origin") == origin) is allowed


def test_a_named_origin_can_read_why_it_was_refused(guarded: Guarded) -> None:
    origin = "https://app.example"
    answer = guarded.gateway.client.post("/v1/classify", json=TEXT, headers={"Origin": origin})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == origin
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", ["/v1/models", "/", "/docs", "/page/page.js", "/nowhere", "/problems"])
def test_every_answer_has_the_security_headers(api: httpx.Client, path: str) -> None:
    headers = api.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'unsafe" not in policy
    assert "server" not in headers


def test_the_page_loads_nothing_from_elsewhere(api: httpx.Client) -> None:
    for path in ("/", "/docs", "/page/page.css", "/page/page.js", "/page/tasks.js"):
        content = api.get(path).text
        assert not re.findall(r"(?:src|href|url|import|from)\W{1,3}(?:https?:)?//", content), path


def test_metrics_count_requests_texts_tokens_and_refusals(api: httpx.Client) -> None:
    before = _metrics(api)
    answers = api.post("/v1/classify", json=["one", "two films"]).json()
    api.post("/v1/classify", json={"nothing": 1})
    after = _metrics(api)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown['gateway_texts_total{model="sentiment"}'] == 2
    tokens = sum(answer["num_tokens"] for answer in answers)
    assert grown['gateway_tokens_total{model="sentiment"}'] == tokens
    assert grown['gateway_refusals_total{kind="invalid"}'] == 1
    assert grown['gateway_request_seconds_count{route="/v1/classify"}'] == 2
    assert after["gateway_backlog_texts"] == 0


def _metrics(api: httpx.Client) -> dict[str, float]:
    lines = [line for line in api.get("/metrics").text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_models_are_listed_with_labels_limits_and_state(api: httpx.Client) -> None:
    found = api.get("/v1/models").json()
    by_name = {model["name"]: model for model in found["models"]}
    assert by_name["sentiment"]["ready"]
    assert by_name["sentiment"]["default"]
    assert not by_name["sentiment_fast"]["ready"], "the shared server has no int8 model"
    assert found["limits"]["max_texts"] == 1000
    assert api.get("/readyz").json() == {"sentiment": True, "sentiment_fast": False}


def test_an_exception_is_logged_as_one_object_without_its_message() -> None:
    script = """
import logging
from gateway.logs import configure
from gateway.settings import Settings
configure(Settings(log_format="json"))
try:
    raise ValueError("words of a customer")
except ValueError:
    logging.getLogger("gateway").exception("request %s failed", "r1", extra={"request_id": "r1"})
"""
    done = subprocess.run(
        [server_python(), "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    entry = json.loads(done.stderr)
    assert (entry["message"], entry["request_id"], entry["level"]) == ("request r1 failed", "r1", "ERROR")
    assert entry["exception"] == "ValueError"
    assert "customer" not in done.stderr
