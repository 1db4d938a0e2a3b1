"""deploy/ray: KubeRay's manifest and `ray up`'s, against schemas and against the code."""

import json
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from bulk.cli import app

ROOT = Path(__file__).parents[2]
RAY = ROOT / "deploy" / "ray"
JOB: dict[str, Any] = yaml.safe_load((RAY / "rayjob.yaml").read_text())
CLUSTER: dict[str, Any] = yaml.safe_load((RAY / "cluster.yaml").read_text())
GROUPS = [JOB["spec"]["rayClusterSpec"]["headGroupSpec"], *JOB["spec"]["rayClusterSpec"]["workerGroupSpecs"]]


@pytest.mark.parametrize("group", GROUPS, ids=["head", "spot"])
def test_pods_fit_the_schema_and_have_no_more_rights_than_they_need(group: dict[str, Any]) -> None:
    spec = group["template"]["spec"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": spec}
    kubernetes_validate.validate(pod, "1.35", strict=True)
    assert spec["securityContext"]["runAsNonRoot"] is True
    (container,) = spec["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "memory" in container["resources"]["limits"]


def test_the_job_has_the_fields_that_kuberay_wants() -> None:
    """Its schema is on no registry at hand: names as in KubeRay's API reference, ray.io/v1."""
    assert (JOB["apiVersion"], JOB["kind"]) == ("ray.io/v1", "RayJob")
    job = {
        "entrypoint",
        "shutdownAfterJobFinishes",
        "ttlSecondsAfterFinished",
        "backoffLimit",
        "rayClusterSpec",
    }
    cluster = {
        "rayVersion",
        "enableInTreeAutoscaling",
        "autoscalerOptions",
        "headGroupSpec",
        "workerGroupSpecs",
    }
    group = {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    assert set(JOB["spec"]) <= job
    assert set(JOB["spec"]["rayClusterSpec"]) <= cluster
    assert all(set(each) <= group for each in GROUPS)
    assert all(isinstance(value, str) for each in GROUPS for value in each["rayStartParams"].values())
    assert GROUPS[0]["rayStartParams"]["num-cpus"] == "0", "the driver's machine is no spot machine"


def test_ray_s_version_is_the_pinned_one() -> None:
    pinned = (ROOT / "requirements" / "bulk.txt").read_text()
    assert f"ray=={JOB['spec']['rayClusterSpec']['rayVersion']}\n" in pinned


def test_the_command_is_one_that_the_program_knows() -> None:
    words = shlex.split(JOB["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "bulk"]
    result = CliRunner().invoke(app, [*words[3:], "--repository", "nowhere"])
    assert result.exit_code == 1, "not 2, which is wrong usage"
    assert "nowhere has no model 'sentiment_fast'" in result.stderr


def test_the_cluster_fits_ray_s_own_schema() -> None:
    schemas = list(ROOT.glob(".venv/server/lib/python*/site-packages/ray/autoscaler/ray-schema.json"))
    if not schemas:
        pytest.skip("Ray is not installed (make bulk)")
    schema = json.loads(schemas[0].read_text())
    jsonschema.validate(CLUSTER, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**CLUSTER, "max_worker": 3}, schema)
    for place in CLUSTER["file_mounts"].values():
        assert (ROOT / place).exists()
