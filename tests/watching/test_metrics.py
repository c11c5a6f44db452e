"""Metrics: the names that alert rules rest on, served and as a file, and read by Prometheus' own tool."""

import asyncio
import os
import re
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edgecheck.watching.metrics import Metrics, measures
from edgecheck.watching.watch import Turn
from tests.reports import finding, report, result

ROOT = Path(__file__).parents[2]


def turn(verdict="pass", changes=(), **observation):
    one = report(result(finding("rtp-range.open", verdict), observation={"tested": 100, "inbound_open": 60, **observation}))
    return Turn(one, changes, "", False, False, False)


def told(metrics):
    """Every sample: (name, labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_what_is_told():
    metrics = Metrics()
    asyncio.run(metrics.tell(turn("fail")))
    values = told(metrics)
    assert values["edgecheck_verdict", (("verdict", "fail"),)] == 1
    assert values["edgecheck_verdict", (("verdict", "pass"),)] == 0
    assert values["edgecheck_check_verdict", (("check", "rtp-range"), ("verdict", "fail"))] == 1
    assert values["edgecheck_measure", (("check", "rtp-range"), ("name", "inbound_open_ports"))] == 60
    assert values["edgecheck_runs_total", (("verdict", "fail"),)] == 1
    assert values["edgecheck_runs_total", (("verdict", "warn"),)] == 0
    assert values["edgecheck_last_run_timestamp_seconds", ()] == 1769860800
    assert values["edgecheck_last_decided_timestamp_seconds", ()] == 1769860800


def test_what_could_not_be_told_is_not_kept_from_the_look_before():
    metrics = Metrics()
    asyncio.run(metrics.tell(turn("fail")))
    asyncio.run(
        metrics.tell(
            Turn(report(result(finding("control.x", "inconclusive")), started_at="2026-02-01T00:00:00Z"), (), "", False, True, False)
        )
    )
    values = told(metrics)
    assert not [labels for name, labels in values if name == "edgecheck_measure"]
    assert values["edgecheck_last_decided_timestamp_seconds", ()] == 1769860800


@pytest.mark.parametrize(
    "observation", [{}, {"udp_s": None}, {"udp_s": [30]}, {"udp_s": "x"}, {"udp_s": [True, None]}, {"udp_s": {"0": 1}}]
)
def test_a_figure_of_another_shape_is_not_told(observation):
    assert [name for name, _ in measures("mapping-lifetime", observation)] in ([], ["udp_alive_seconds"])
    assert dict(measures("mapping-lifetime", {"udp_s": [30, 45]})) == {"udp_alive_seconds": 30, "udp_dead_seconds": 45}


def test_served_to_a_scraper():
    metrics = Metrics()
    asyncio.run(metrics.tell(turn()))
    port = metrics.serve("127.0.0.1", 0)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert answer.read() == metrics.text()


def test_written_whole_to_a_file(tmp_path):
    file = tmp_path / "edgecheck.prom"
    metrics = Metrics(file)
    asyncio.run(metrics.tell(turn()))
    assert file.read_bytes() == metrics.text()
    assert [each.name for each in tmp_path.iterdir()] == ["edgecheck.prom"]


def test_a_file_that_cannot_be_written_is_no_reason_to_stop(tmp_path):
    metrics = Metrics(tmp_path / "nowhere" / "edgecheck.prom")
    asyncio.run(metrics.tell(turn()))
    assert "could not be written" in metrics.trouble


def promtool(*arguments, stdin=b""):
    if shutil.which("promtool") is None:
        if os.environ.get("EDGECHECK_LAB_REQUIRED"):
            pytest.fail("promtool (Debian package prometheus) is needed here")
        pytest.skip("promtool (Debian package prometheus) is not here")
    return subprocess.run(["promtool", *arguments], input=stdin, capture_output=True, check=False)


def test_prometheus_own_tool_finds_nothing_to_say():
    metrics = Metrics()
    asyncio.run(metrics.tell(turn("fail")))
    done = promtool("check", "metrics", stdin=metrics.text())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_alert_rules_are_right():
    done = promtool("check", "rules", str(ROOT / "docs" / "monitoring" / "alerts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("test", "rules", str(ROOT / "tests" / "watching" / "alerts_test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_use_metrics_that_exist():
    metrics = Metrics()
    asyncio.run(metrics.tell(turn()))
    known = {name for name, _ in told(metrics)}
    for file in ("alerts.yml", "grafana.json"):
        text = (ROOT / "docs" / "monitoring" / file).read_text()
        used = set(re.findall(r"\bedgecheck_[a-z_]+", text))
        assert used
        assert used <= known, file
