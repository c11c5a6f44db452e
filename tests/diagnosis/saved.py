"""What is said of a report that comes back from a file; and findings of which the rules make one story."""

import msgspec

from edgecheck.diagnosis import diagnose
from edgecheck.report import json as json_report
from tests.reports import PROFILE, SERVER, finding, report, result, rtp


def saved(*results):
    """As it comes back from a file."""
    return json_report.read(json_report.render(report(*results, settings={"profile": msgspec.to_builtins(PROFILE)})))


def headline(*results):
    return diagnose(saved(*results).checks, PROFILE, SERVER)[1]


def advice(*results):
    return diagnose(saved(*results).checks, PROFILE, SERVER)[2]


def ports(*causes, verdict="fail"):
    """(cause, subject)..."""
    return result(*(finding(f"port-forwarding.{cause}", verdict, subject) for cause, subject in causes))


def topology(*ids, verdict="fail", router=None):
    return result(*(finding(f"topology.{cause}", verdict, "path") for cause in ids), observation={"router": router})


def symmetric(verdict="fail"):
    return result(finding("nat-behavior.endpoint-dependent-mapping", verdict, "mapping"))


def remapped(verdict="fail"):
    return result(
        finding("rtp-range.remapped", verdict, "10000-20000"),
        observation={"range": [10000, 20000], "inbound_blocked": [], "remapped": [[10000, 20000]]},
    )


RTP = rtp(((15000, 15009),))
UDP_BLOCKED = result(finding("nat-behavior.udp-blocked", "fail", "UDP", "UDP does not leave this network."))
