"""deploy/kubernetes, rendered by kubectl, against Kubernetes' own schemas and the real server."""

import os
import re
import shutil
import subprocess
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import requests
import yaml

from deploy.cluster.balancer import CONFIGURATION
from gateway.settings import Settings
from serving.launcher import TritonServer
from tests.gateway.conftest import gateway  # noqa: F401 (a fixture)
from tests.gateway.running import Gateway

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("cpu", "gpu", "canary")
SCHEMAS = ("1.30", "1.35")
KUBECTL = shutil.which("kubectl")

pytestmark = pytest.mark.skipif(
    KUBECTL is None and not os.environ.get("CI"), reason="kubectl (1.27 or newer) is not installed"
)


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    command = ["kubectl", "kustomize", str(DEPLOY / "kubernetes" / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


def kind(overlay: str, name: str) -> list[dict[str, Any]]:
    return [each for each in rendered(overlay) if each["kind"] == name]


def deployment(name: str, overlay: str = "cpu") -> dict[str, Any]:
    return next(each for each in kind(overlay, "Deployment") if each["metadata"]["name"] == name)


def pod(name: str, overlay: str = "cpu") -> dict[str, Any]:
    return deployment(name, overlay)["spec"]["template"]["spec"]


def workloads(overlay: str) -> list[dict[str, Any]]:
    return [*kind(overlay, "Deployment"), *kind(overlay, "StatefulSet")]


def containers(overlay: str) -> list[dict[str, Any]]:
    pods = [each["spec"]["template"]["spec"] for each in workloads(overlay)]
    return [*chain.from_iterable([*each.get("initContainers", []), *each["containers"]] for each in pods)]


@pytest.mark.parametrize("version", SCHEMAS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_resource_fits_the_schema_of_kubernetes_strictly(overlay: str, version: str) -> None:
    for resource in rendered(overlay):
        kubernetes_validate.validate(resource, version, strict=True)


def test_the_schema_check_refuses_a_field_that_does_not_exist() -> None:
    wrong = {**deployment("triton"), "spec": {**deployment("triton")["spec"], "replica": 3}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, SCHEMAS[-1], strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_container_has_more_rights_than_it_needs(overlay: str) -> None:
    for each in workloads(overlay):
        spec = each["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in containers(overlay):
        assert each["securityContext"]["readOnlyRootFilesystem"] is True, each["name"]
        assert each["securityContext"]["allowPrivilegeEscalation"] is False
        assert each["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in each["resources"]["limits"]
        assert "memory" in each["resources"]["requests"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_image_has_a_version(overlay: str) -> None:
    for each in containers(overlay):
        _, _, tag = each["image"].rpartition("/")[2].partition(":")
        assert re.match(r"v?\d", tag), each["image"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_pod_is_under_the_default_deny_policy(overlay: str) -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in kind(overlay, "NetworkPolicy")}
    assert policies["default-deny"].keys() == {"podSelector", "policyTypes"}, "nothing is allowed by it"
    label = policies["default-deny"]["podSelector"]["matchLabels"]
    for each in workloads(overlay):
        assert label.items() <= each["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_services_select_pods_and_name_ports_that_exist(overlay: str) -> None:
    for service in kind(overlay, "Service"):
        selector = service["spec"]["selector"].items()
        chosen = [
            each["spec"]["template"]["spec"]["containers"][0]
            for each in workloads(overlay)
            if selector <= each["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert chosen, service["metadata"]["name"]
        wanted = {port["targetPort"] for port in service["spec"]["ports"]}
        for container in chosen:
            assert wanted <= {port["name"] for port in container["ports"]}


def test_update_never_takes_a_server_away_before_another_is_ready() -> None:
    for name in ("triton", "haproxy", "gateway"):
        assert deployment(name)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        assert deployment(name)["spec"]["replicas"] >= 2


def test_termination_leaves_time_for_the_whole_drain() -> None:
    script = (DEPLOY / "serve-models.sh").read_text()
    drain = int(re.search(r"--exit-timeout-secs=(\d+)", script).group(1))
    assert pod("triton")["terminationGracePeriodSeconds"] > pause("triton") + drain
    stop = int(re.search(r"hard-stop-after (\d+)s", CONFIGURATION.read_text()).group(1))
    assert pod("haproxy")["terminationGracePeriodSeconds"] > pause("haproxy") + stop
    assert pod("gateway")["terminationGracePeriodSeconds"] > pause("gateway") + Settings().drain_timeout


def pause(name: str) -> int:
    """Seconds for which a pod goes on serving after it was told to stop."""
    command = pod(name)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    return int(command[1])


def test_probes_of_triton_are_answered_by_the_real_server(server: TritonServer) -> None:
    container = pod("triton")["containers"][0]
    numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert numbers == {"http": 8000, "grpc": 8001, "metrics": 8002}, "tritonserver's defaults"
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container[name]["httpGet"]
        assert probe["port"] == "http"
        assert requests.get(server.http_url + probe["path"], timeout=30).status_code == 200


def test_probes_of_the_gateway_are_answered_by_the_real_one(gateway: Gateway) -> None:  # noqa: F811
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = pod("gateway")["containers"][0][name]["httpGet"]
        assert gateway.client.get(probe["path"]).status_code == 200


def test_gateway_and_worker_know_every_setting_and_share_broker_and_volume() -> None:
    both = [pod(name)["containers"][0] for name in ("gateway", "worker")]
    known = {field.alias for field in Settings.model_fields.values()} | {"HOME", "BROKER_PASSWORD"}
    settings = [{each["name"]: each for each in container["env"]} for container in both]
    for given in settings:
        assert given.keys() <= known
    for name in ("BROKER_URL", "BROKER_PASSWORD", "TRITON_URL", "GATEWAY_DATA"):
        assert settings[0][name] == settings[1][name]
    assert both[0]["image"] == both[1]["image"]
    volumes = [
        {each["name"]: each for each in pod(name)["volumes"]}["data"] for name in ("gateway", "worker")
    ]
    assert volumes[0] == volumes[1] == {"name": "data", "persistentVolumeClaim": {"claimName": "gateway"}}
    (service,) = [each for each in kind("cpu", "Service") if each["metadata"]["name"] == "rabbitmq"]
    assert f"@rabbitmq:{service['spec']['ports'][0]['port']}//" in settings[0]["BROKER_URL"]["value"]


def test_every_address_that_a_pod_calls_is_open_on_both_sides() -> None:
    """Each pair of name and port: who may go out to it, and who is let in there."""
    policies = [each["spec"] for each in kind("cpu", "NetworkPolicy")]
    for caller, called, port in (
        ("gateway", "haproxy", 8001),
        ("worker", "haproxy", 8001),
        ("gateway", "rabbitmq", 5672),
        ("worker", "rabbitmq", 5672),
        ("haproxy", "triton", 8001),
        ("prometheus", "gateway", 8080),
    ):
        assert any(
            opens(policy, caller, rule.get("to", []), called, rule, port)
            for policy in policies
            for rule in policy.get("egress", [])
        ), (caller, called)
        assert any(
            opens(policy, called, rule.get("from", []), caller, rule, port)
            for policy in policies
            for rule in policy.get("ingress", [])
        ), (called, caller)


def opens(
    policy: dict[str, Any], owner: str, peers: list[Any], peer: str, rule: dict[str, Any], port: int
) -> bool:
    """Whether this rule of a policy on `owner`'s pods allows `peer` on this port."""
    return (
        chooses(policy["podSelector"], owner)
        and any("namespaceSelector" in each or chooses(each["podSelector"], peer) for each in peers)
        and port in {each["port"] for each in rule["ports"]}
    )


def chooses(selector: dict[str, Any], name: str) -> bool:
    labels = selector.get("matchLabels", {})
    return "matchExpressions" not in selector and labels.get("app.kubernetes.io/name", name) == name


def test_tracing_component_gives_servers_and_gateway_the_collector() -> None:
    for name in ("triton", "gateway"):
        given = {each["name"]: each.get("value") for each in pod(name)["containers"][0]["env"]}
        assert given["OTEL_EXPORTER_OTLP_ENDPOINT"].endswith(":4318")


def test_haproxy_is_given_every_variable_that_its_file_reads() -> None:
    text = re.sub(r"\.if defined\(TLS_CERTIFICATE\).*?\.endif", "", CONFIGURATION.read_text(), flags=re.S)
    read = {name for name in re.findall(r"\$\{(\w+)\}", text) if not re.match(r"TRITON_\d", name)}
    given = {each["name"] for each in pod("haproxy")["containers"][0]["env"]}
    assert given == read


def test_autoscaler_scales_triton_by_a_metric_that_the_adapter_makes_of_real_ones(
    server: TritonServer,
) -> None:
    (autoscaler,) = kind("cpu", "HorizontalPodAutoscaler")
    wanted = autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"]
    adapter = yaml.safe_load((DEPLOY / "monitoring" / "prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    assert rule["name"]["as"] == wanted
    served = requests.get(server.metrics_url, timeout=30).text
    for metric in re.findall(r"nv_\w+", rule["metricsQuery"]):
        assert f"\n{metric}{{" in served, metric
    assert autoscaler["spec"]["scaleTargetRef"]["name"] == "triton"
    assert autoscaler["spec"]["minReplicas"] == deployment("triton")["spec"]["replicas"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_finds_the_jobs_that_alerts_know_by_the_api_of_kubernetes(overlay: str) -> None:
    (files,) = [each["data"] for each in kind(overlay, "ConfigMap") if "alerts.yml" in each["data"]]
    (job,) = yaml.safe_load(files["prometheus.yml"])["scrape_configs"]
    jobs = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    by_dns = {f"{each['job_name']};{each['dns_sd_configs'][0]['port']}" for each in jobs}
    assert set(job["relabel_configs"][0]["regex"].split("|")) == by_dns
    assert pod("prometheus", overlay)["serviceAccountName"] == "prometheus"
    (role,) = kind(overlay, "Role")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    (binding,) = kind(overlay, "RoleBinding")
    assert (binding["roleRef"]["name"], binding["subjects"][0]["name"]) == ("prometheus", "prometheus")


def test_gpu_overlay_asks_for_a_gpu_and_the_gpu_configurations() -> None:
    container = pod("triton", "gpu")["containers"][0]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "MODEL_CONFIG_NAME", "value": "gpu"} in container["env"]
    assert "nvidia.com/gpu" not in pod("triton", "cpu")["containers"][0]["resources"]["limits"]


def test_canary_is_reached_by_the_same_service_and_is_no_replica_of_the_stable_pods() -> None:
    stable, canary = deployment("triton", "canary"), deployment("triton-canary", "canary")
    (service,) = [each for each in kind("canary", "Service") if each["metadata"]["name"] == "triton"]
    labels = canary["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert not stable["spec"]["selector"]["matchLabels"].items() <= labels.items()
    images = [each["spec"]["template"]["spec"]["initContainers"][0]["image"] for each in (stable, canary)]
    assert len(set(images)) == 2
