"""The picture of the path: this machine, the boxes before it, the network between, the echo server; with what each does."""

import ipaddress
from collections.abc import Mapping
from typing import Any, NamedTuple

from edgecheck.model.shapes import rows, text
from edgecheck.model.verdict import Report, Verdict
from edgecheck.report.html.shapes import facts

_MOST_NEAR = 4
"""Boxes drawn one by one; what is farther is told as one."""


class Box(NamedTuple):
    """One box of the picture."""

    title: str
    address: str
    does: tuple[str, ...] = ()
    """What it does, in short sentences."""
    harm: tuple[str, ...] = ()
    """What of that does harm to calls."""


def figure(report: Report) -> tuple[Box, ...]:
    """The boxes in order; none where there is no server."""
    if report.server is None:
        return ()
    topology = facts(report, "topology")
    boxes = [Box("This machine", report.client.source or "", (), _here(report))]
    boxes += _between(report, topology)
    second = f" and {report.server.alternate}" if report.server.alternate else ""
    boxes.append(Box("Echo server", f"{report.server.address}{second}"))
    return tuple(boxes)


def _here(report: Report) -> tuple[str, ...]:
    local = [f.summary for r in report.checks for f in r.findings if f.id.startswith("host.") and f.verdict in (Verdict.FAIL, Verdict.WARN)]
    return tuple(local[:3])


def _between(report: Report, topology: Mapping[str, Any]) -> list[Box]:
    located = rows(facts(report, "sip-alg"), "located")
    guilty = {text(box, "address"): box for box in located if text(box, "address") and box.get("up_to_hop") is None}
    hops = list(rows(topology, "hops"))
    if not hops:
        return _untraced(report, guilty)
    owner = topology.get("owner_hop")
    boxes = []
    near = [hop for hop in hops if isinstance(owner, int) and isinstance(hop.get("hop"), int) and hop["hop"] <= max(owner, 1)] or hops[:1]
    for hop in near[:_MOST_NEAR]:
        boxes.append(_hop(report, topology, hop, guilty))
    far = hops[len(near[:_MOST_NEAR]) :]
    if far:
        count = f"{len(far)} router{'s' if len(far) > 1 else ''}"
        marked = [text(hop, "address") for hop in far if text(hop, "address") in guilty]
        boxes.append(Box("Provider and internet", count, (), tuple(f"{address} {_deed(guilty[address])}" for address in marked)))
    return boxes


def _hop(report: Report, topology: Mapping[str, Any], hop: Mapping[str, Any], guilty: Mapping[str, Any]) -> Box:
    address = text(hop, "address")
    does, harm = [], []
    router = topology.get("router") if hop.get("hop") == 1 else None
    title = "Router"
    if isinstance(router, Mapping):
        title = " ".join(part for part in (text(router, "manufacturer"), text(router, "model")) if part) or title
        if text(router, "wan_address"):
            does.append(f"says its WAN address is {text(router, 'wan_address')}")
    if hop.get("owns_public_address") is True:
        does.append(f"owns the public address {text(topology, 'public_address')}".rstrip())
        if topology.get("cgnat") is True and hop.get("hop") != 1:
            harm.append("carrier-grade NAT: ports cannot be forwarded here")
    if address in guilty:
        harm.append(_deed(guilty[address]))
    return Box(title, address or "did not answer", tuple(does), tuple(harm))


def _deed(box: Mapping[str, Any]) -> str:
    unseen = ", or an unseen box right behind it does" if box.get("or_unseen") is True else ""
    return "answers SIP itself" if "answer" in (box.get("where") or ()) else f"rewrites SIP{unseen}"


def _this_machine_only(report: Report) -> bool:
    try:
        return report.server is not None and ipaddress.ip_address(report.server.address).is_loopback
    except ValueError:
        return False


def _untraced(report: Report, guilty: Mapping[str, Any]) -> list[Box]:
    """Without the hops: the gateway is all that is known."""
    gateway = report.client.gateway
    if not gateway or _this_machine_only(report):
        return []
    does = []
    if facts(report, "nat-behavior").get("behind_nat") is True and report.client.public_address:
        does.append(f"this network is seen as {report.client.public_address}")
    elsewhere = tuple(f"{address} {_deed(box)}" for address, box in guilty.items() if address != gateway)
    named = report.client.router
    title = " ".join(part for part in (named.manufacturer, named.model) if part) if named else ""
    router = Box(title or "Router", gateway, tuple(does), (_deed(guilty[gateway]),) if gateway in guilty else ())
    return [router, Box("Provider and internet", "", (), elsewhere)]
