"""TLS that is opened on the way by a real box: which findings name it; and that the same box, where it only passes TLS on, is none."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab import runs
from tests.lab.conftest import Laboratory
from tests.lab.tls_box import TlsBox
from tests.lab.topology import SERVER, Plan

pytestmark = pytest.mark.lab
Run = Callable[..., dict[str, Any]]
EVERY = (443, 5061, 8443)


@pytest.fixture(scope="module")
def behind(laboratory: Laboratory) -> Iterator[Run]:
    """Run checks with a box on the way."""
    directory = laboratory.directory("tls box")
    with laboratory.stand(Plan(), "tls box") as topology:
        runs.serve(topology, runs.Server(), directory)

        def run(*checks: str, where: str = "home", ports: tuple[int, ...] = EVERY, substitutes: bool = True) -> dict[str, Any]:
            folder: Path = laboratory.directory("box")
            with TlsBox(topology.ground, where, folder, ports=ports, substitutes=substitutes) as box:
                report = runs.run(topology, runs.Server(), directory, *checks)
                assert not runs.faults(report), runs.faults(report)
                assert {line.split()[0] for line in box.relayed} >= {f"{SERVER}:5061"}
            return report

        yield run


def found(report: dict[str, Any], check: str) -> dict[str, str]:
    """Of one check, finding by subject."""
    return {one["subject"]: one["id"] for row in report["checks"] if row["id"] == check for one in row["findings"]}


def told(report: dict[str, Any], finding: str) -> str:
    (one,) = (one for row in report["checks"] for one in row["findings"] if one["id"] == finding)
    return f"{one['summary']} {one['evidence']}"


def test_a_box_opens_sip_over_tls_alone(behind: Run) -> None:
    report = behind("sip-alg", "outbound", ports=(5061,))
    assert report["verdict"] == "fail"
    assert found(report, "sip-alg") == {
        "TLS 5061": "sip-alg.certificate-replaced",
        "UDP 5060, TCP 5060, UDP 5080, TCP 5080": "sip-alg.none",
    }, runs.told(report)
    assert 'opens TLS on TLS 5061 and shows its own certificate (issuer: "Corp Proxy CA")' in told(report, "sip-alg.certificate-replaced")
    assert found(report, "outbound")["TLS 5061"] == "outbound.intercepted"
    assert '"Corp Proxy CA"' in told(report, "outbound.intercepted")
    assert "control" not in {row["id"] for row in report["checks"]}
    channel = next(row for row in runs.observations(report)["sip-alg"]["channels"] if row["transport"] == "tls")
    assert channel["certificate"] != channel["certificate_proved"]
    assert runs.observations(report)["sip-alg"]["interference"] == "inconsistent"


@pytest.mark.parametrize("where", ["home", "client"])
def test_a_box_opens_all_tls_and_the_control_channel(behind: Run, where: str) -> None:
    """In the router, as a firewall; on the machine itself, as a virus scanner."""
    report = behind("sip-alg", "outbound", where=where)
    assert found(report, "control") == {f"{SERVER}:8443": "control.intercepted"}
    assert '"Corp Proxy CA"' in told(report, "control.intercepted")
    assert found(report, "sip-alg")["TLS 5061"] == "sip-alg.certificate-replaced"
    assert set(found(report, "outbound")) >= {"TLS 5061, TLS 443"}, runs.told(report)
    assert "shows a certificate of its own on TLS 5061, TLS 443" in report["headline"]


def test_a_box_that_only_passes_tls_on_is_no_finding(behind: Run) -> None:
    report = behind("sip-alg", "outbound", substitutes=False)
    assert report["verdict"] == "pass", runs.told(report)
    assert set(found(report, "sip-alg").values()) == {"sip-alg.none"}
    assert runs.observations(report)["sip-alg"]["interference"] == "none"
