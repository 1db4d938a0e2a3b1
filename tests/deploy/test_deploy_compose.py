"""docker-compose.yml and the Dockerfile, as far as they can be checked where no container can run."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.launcher import TritonServer

ROOT = Path(__file__).parents[2]
COMPOSE = shutil.which("docker-compose")
FULL = ("haproxy", "gateway", "worker", "rabbitmq", "prometheus", "grafana", "jaeger")
PROFILES = {
    "cpu": ("triton-cpu",),
    "gpu": ("triton-gpu",),
    "perf": ("perf",),
    "full": ("triton-replica", *FULL),
    "full-gpu": ("triton-replica-gpu", *FULL),
}
SERVERS = ("triton-cpu", "triton-gpu")
OURS = (*SERVERS, "triton-replica", "triton-replica-gpu", "perf", "gateway", "worker")


def resolve(environment: dict[str, str] | None = None, profile: str = "cpu") -> dict[str, Any]:
    """The configuration as docker-compose reads it, with every variable filled in."""
    if COMPOSE is None:
        pytest.skip("docker-compose is not installed (Debian: apt-get install docker-compose)")
    command = [COMPOSE, "-f", str(ROOT / "docker-compose.yml"), "--profile", profile, "config"]
    path = {"PATH": "/usr/bin:/bin:/usr/local/bin"}
    done = subprocess.run(command, env=path | (environment or {}), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return resolve()["services"]


def instructions(path: Path) -> list[str]:
    """The instructions of a Dockerfile, one a line, without comments."""
    text = path.read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


@pytest.fixture(scope="module")
def dockerfile() -> list[str]:
    return instructions(ROOT / "Dockerfile")


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_is_a_valid_configuration(profile):
    assert set(PROFILES[profile]) <= set(resolve(profile=profile)["services"])


def test_every_service_waits_for_its_own_profile(services):
    members = {profile: set(names) for profile, names in PROFILES.items()}
    found = {
        profile: {name for name, service in services.items() if profile in service["profiles"]}
        for profile in {each for service in services.values() for each in service["profiles"]}
    }
    assert found == members


def test_images_are_pinned_to_one_triton_release(services, dockerfile):
    release = re.search(r"^ARG TRITON_RELEASE=(\d\d\.\d\d)$", "\n".join(dockerfile), re.MULTILINE).group(1)
    assert "FROM nvcr.io/nvidia/tritonserver:${TRITON_RELEASE}-py3" in dockerfile
    for name in SERVERS:
        assert services[name]["build"]["args"] == {"TRITON_RELEASE": release}
        assert services[name]["image"].endswith(f":{release}")
    assert services["perf"]["image"] == f"nvcr.io/nvidia/tritonserver:{release}-py3-sdk"


@pytest.mark.parametrize("name", OURS)
def test_container_has_no_more_rights_than_it_needs(services, name):
    service = services[name]
    assert not service["user"].startswith(("0", "root"))
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert "privileged" not in service
    assert service.get("network_mode") != "host"
    kept = [volume for volume in service["volumes"] if not volume.startswith("gateway-data:")]
    assert all(volume.endswith(":ro") for volume in kept)
    assert service["mem_limit"] == service["memswap_limit"]


@pytest.mark.parametrize("name", SERVERS)
def test_ports_are_open_to_this_machine_only(services, name):
    assert [port.split(":")[0] for port in services[name]["ports"]] == ["127.0.0.1"] * 3


@pytest.mark.parametrize("name", SERVERS)
def test_server_has_what_triton_needs(services, name):
    service = services[name]
    assert service["shm_size"] == "1g"
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert f"{ROOT}/model_repository:/models:ro" in service["volumes"]
    grace = int(service["stop_grace_period"].removesuffix("s"))
    assert grace > int(re.search(r"--exit-timeout-secs=(\d+)", script()).group(1))


def test_only_the_gpu_profile_asks_for_a_gpu_and_the_gpu_configurations(services):
    devices = services["triton-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}]
    assert services["triton-gpu"]["environment"]["MODEL_CONFIG_NAME"] == "gpu"
    assert "deploy" not in services["triton-cpu"]
    assert "MODEL_CONFIG_NAME" not in services["triton-cpu"]["environment"]


def test_environment_overrides_ports_limits_and_repository():
    wanted = {
        "HTTP_PORT": "9000",
        "BIND_ADDRESS": "0.0.0.0",
        "MEMORY_LIMIT": "6g",
        "ADMIN_KEY": "open sesame",
    }
    service = resolve(wanted | {"MODEL_REPOSITORY": "/srv/models"})["services"]["triton-cpu"]
    assert "0.0.0.0:9000:8000/tcp" in service["ports"]
    assert service["mem_limit"] == "6g"
    assert service["environment"]["ADMIN_KEY"] == "open sesame"
    assert "/srv/models:/models:ro" in service["volumes"]


@pytest.mark.parametrize("name", SERVERS)
def test_health_check_tells_a_ready_server_from_none(services, name, server: TritonServer):
    kind, python, *arguments = services[name]["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python3")

    def check(url: str) -> int:
        here = [argument.replace("http://127.0.0.1:8000", url) for argument in arguments]
        assert here != arguments
        return subprocess.run([sys.executable, *here], capture_output=True, timeout=30).returncode

    assert check(server.http_url) == 0
    assert check("http://127.0.0.1:1") != 0


def test_image_runs_without_root_and_keeps_nvidias_entrypoint(dockerfile):
    users = [line.split()[1] for line in dockerfile if line.startswith("USER")]
    assert users[-1] == "1000:1000"
    assert not any(line.startswith("ENTRYPOINT") for line in dockerfile)


def test_every_copied_file_exists_and_reaches_the_builder(dockerfile):
    others = [ROOT / "deploy" / f"{name}.Dockerfile" for name in ("gateway", "bulk")]
    lines = [*dockerfile, *(line for path in others for line in instructions(path))]
    sources = {line.split()[1] for line in lines if line.startswith("COPY")}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert sources == {line.removeprefix("!") for line in ignored if line[:1] == "!"}
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("name", FULL)
def test_every_part_of_the_whole_is_pinned_limited_and_watched(services, name):
    service = services[name]
    assert re.search(r":v?\d[\w.-]*$", service["image"]), service["image"]
    assert "mem_limit" in service
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_replicas_are_reached_through_the_balancer_only(services):
    for name in ("triton-replica", "triton-replica-gpu"):
        assert not services[name].get("ports")
        assert "triton" in services[name]["networks"]["default"]["aliases"]
    assert services["haproxy"]["environment"]["TRITON_DNS"] == "triton"


def test_balancer_gets_every_variable_that_its_file_reads(services):
    text = (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    text = re.sub(r"\.if defined\(TLS_CERTIFICATE\).*?\.endif", "", text, flags=re.S)
    read = {name for name in re.findall(r"\$\{(\w+)\}", text) if not re.match(r"TRITON_\d", name)}
    assert set(services["haproxy"]["environment"]) == read


def test_gateway_and_worker_share_the_broker_and_the_store(services):
    gateway, worker = services["gateway"], services["worker"]
    assert gateway["environment"] == worker["environment"]
    assert gateway["image"] == worker["image"]
    assert gateway["volumes"] == worker["volumes"]
    assert "@rabbitmq:5672" in gateway["environment"]["BROKER_URL"]


def test_spans_of_servers_and_gateway_go_to_jaeger(services):
    for name in ("triton-replica", "triton-replica-gpu", "gateway", "worker"):
        assert services[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4318"
    assert float(services["gateway"]["environment"]["TRACE_SHARE"]) == 0
    assert resolve({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "full")["services"]["gateway"]["environment"][
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    ] in ("", None)


def test_image_installs_the_versions_of_the_servers_lock_file_by_hash(dockerfile):
    pinned = dict(
        re.findall(r"^([\w-]+)==(\S+) \\$", (ROOT / "deploy" / "requirements.txt").read_text(), re.M)
    )
    locked = dict(re.findall(r"^([\w-]+)==(\S+)", (ROOT / "requirements" / "server.txt").read_text(), re.M))
    assert set(pinned) == {"numpy", "tokenizers"}
    assert pinned == {name: locked[name] for name in pinned}
    assert any("--require-hashes" in line for line in dockerfile if line.startswith("RUN"))


def test_perf_analyzer_gets_real_texts_of_mixed_lengths(services):
    assert "./deploy/perf_input.json" in (ROOT / "docker-compose.yml").read_text()
    assert "/input.json" in services["perf"]["command"]
    data = json.loads((ROOT / "deploy" / "perf_input.json").read_text())["data"]
    lengths = [len(text.split()) for entry in data for text in entry["text"]]
    assert all(set(entry) == {"text"} and len(entry["text"]) == 1 for entry in data)
    assert min(lengths) < 5
    assert max(lengths) > 300


def script() -> str:
    return (ROOT / "deploy" / "serve-models.sh").read_text()
