"""Alerts by promtool's own unit tests; the dashboard's file; the runbook."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.monitoring.dashboard import render

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
needs_promtool = pytest.mark.skipif(
    not shutil.which("promtool") and not os.environ.get("CI"),
    reason="promtool is not installed (Debian: apt-get install prometheus)",
)


def alerts() -> list[dict]:
    groups = yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def run_tests(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["promtool", "test", "rules", "alerts_test.yml"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


@needs_promtool
def test_each_alert_fires_when_it_should_and_not_before() -> None:
    done = run_tests(MONITORING)
    assert done.returncode == 0, done.stderr
    tested = (MONITORING / "alerts_test.yml").read_text()
    assert {rule["alert"] for rule in alerts()} == set(re.findall(r"alertname: (\w+)", tested))


@needs_promtool
@pytest.mark.parametrize(
    "old", ["> 14.4 * 0.001", "> 6 * 0.001", "> 1e6", "> 1\n", "== 1\n", "== 0\n", "> 3600\n"]
)
def test_a_wrong_threshold_is_noticed(old: str, tmp_path: Path) -> None:
    rules = (MONITORING / "alerts.yml").read_text()
    assert old in rules
    (tmp_path / "alerts.yml").write_text(
        rules.replace(old, old[:2] + " 1e12\n" if old[0] == "=" else "> 1e12\n")
    )
    shutil.copy(MONITORING / "alerts_test.yml", tmp_path)
    assert run_tests(tmp_path).returncode != 0


def test_the_dashboards_file_is_what_the_code_writes() -> None:
    assert (MONITORING / "grafana" / "dashboards" / "mobilebert.json").read_text() == render()


def test_the_runbook_has_a_section_for_each_alert_and_for_no_other() -> None:
    text = (ROOT / "docs" / "guides" / "operations.md").read_text()
    section = text.partition("## Alerts")[2].partition("## Jobs")[0]
    assert set(re.findall(r"^### (\w+)", section, re.M)) == {rule["alert"] for rule in alerts()}
