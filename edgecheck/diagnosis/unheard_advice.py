"""What to do where a port arrives and the program that has it open listens elsewhere: the setting that binds it.

That it is the PBX is not proved: the step says what else it may be.
"""

import ipaddress
from collections.abc import Iterator
from typing import Any, NamedTuple

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.words import join
from edgecheck.model.verdict import Finding
from edgecheck.wire import ports
from edgecheck.wire.address import Endpoint

_SETTINGS = {
    "asterisk": "Asterisk: bind={at} in the transport of pjsip.conf",
    "freepbx": "FreePBX: the pjsip transports in Settings > Asterisk SIP Settings (unverified)",
    "freeswitch": "FreeSWITCH: sip-ip {host} in the SIP profile",
    "fusionpbx": "FusionPBX: sip-ip {host} in Advanced > SIP Profiles (unverified)",
    "kamailio": "Kamailio: listen={transport}:{at}",
    "3cx": "3CX: network interface {host} in Advanced > Network",
}
"""By the word of a profile's ``pbx``."""
_PROXIES = {"docker-proxy": "Docker: publish it on {host} or on every address, -p {port}:{port}/{carried}"}
"""Programs that hold a container's published port, by their names."""
_OF_THE_HOUSE = {"asterisk": ("freepbx",), "freeswitch": ("fusionpbx",)}
"""Whose console sets this program."""
_UNKNOWN = ("asterisk", "freeswitch", "kamailio", "3cx")
SIP = ("sip", "sips")
_MOST_WAYS = 4
_LONGEST_NAME = 60
"""Characters of a program's name: a saved report may hold anything."""


class Elsewhere(NamedTuple):
    """A program that does not hear what arrives."""

    transport: str
    port: int
    program: str
    address: str
    protocol: str
    """What the profile wants the port for: ``sip``, ``sips``, ``web``; empty = it does not say."""

    @property
    def way(self) -> str:
        """``UDP 5060``"""
        return f"{self.transport.upper()} {self.port}"


def listen_there(facts: Facts, finding: Finding) -> tuple[str, ...]:
    """The setting, with what it may be instead; and the other way round: the rule to where the program listens."""
    seen = elsewhere(facts)
    sip = [one for one in seen if one.protocol in SIP]
    rest = [one for one in seen if one.protocol not in SIP]
    steps = []
    if sip:
        steps.append(
            f"If {_programs(sip)} is the PBX, let it listen at {facts.here} for {_ways(sip)} ({'; '.join(_settings(facts, sip))}), restart "
            "it and run this again. If it is not, or if whoever listens there was stopped for this test: start the PBX and run this again, "
            "it is asked then."
        )
    if rest:
        steps.append(
            f"If {_programs(rest)} is to be reached from outside ({_ways(rest)}), let it listen at {facts.here}, restart it and run this "
            "again. If it is not, nothing is wrong but that the way in is open: close it."
        )
    others = list(dict.fromkeys(one.address for one in seen if _leads_to(one.address, facts.here)))
    if others:
        steps.append(
            f"Or, where {_programs([one for one in seen if one.address in others])} is meant to be reached at {join(others)}: let the rule "
            f"lead there, and test that address: edgecheck run --source {others[0]}."
        )
    return (*steps, *_other_family(facts, seen))


def _other_family(facts: Facts, seen: list[Elsewhere]) -> tuple[str, ...]:
    """Calls may be meant to come over the other IP alone."""
    six = ":" in facts.here
    if not seen or any(_is_loopback(one.address) or (":" in one.address) is six for one in seen):
        return ()
    other = 4 if six else 6
    return (f"Or, where calls are to come over IPv{other} alone: nothing is wrong; test that one: edgecheck run -{other}.",)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return True


def _programs(seen: list[Elsewhere]) -> str:
    proxies = tuple(_PROXIES)
    return join(list(dict.fromkeys(f"{one.program}, a container's," if one.program.startswith(proxies) else one.program for one in seen)))


def _ways(seen: list[Elsewhere]) -> str:
    ways = list(dict.fromkeys(one.way for one in seen))
    return join(ways if len(ways) <= _MOST_WAYS else [*ways[: _MOST_WAYS - 1], f"{len(ways) - _MOST_WAYS + 1} more"])


def elsewhere(facts: Facts) -> list[Elsewhere]:
    """Everything that has a port open where it does not hear what arrives."""
    found = [Elsewhere(transport, port, *_told(holder), _protocol(facts, transport, port)) for transport, port, holder in _holders(facts)]
    return [one for one in found if one.program and one.address]


def _protocol(facts: Facts, transport: str, port: int) -> str:
    needs = [need for need in facts.profile.ports if need.transport == transport]
    return next((need.protocol for need in needs if any(low <= port <= high for low, high in ports.parse(need.ports))), "")


def _holders(facts: Facts) -> Iterator[tuple[str, int, dict[str, Any]]]:
    rows = facts.fact("port-forwarding", "ports")
    for row in rows if isinstance(rows, (list, tuple)) else ():
        if not isinstance(row, dict) or row.get("state") != "forwarded" or not isinstance(row.get("port"), int):
            continue
        holders = row.get("listens_elsewhere")
        for holder in holders if isinstance(holders, (list, tuple)) else ():
            if isinstance(holder, dict):
                yield str(row.get("transport")), row["port"], holder


def _told(holder: dict[str, Any]) -> tuple[str, str]:
    program, address = (" ".join(str(holder.get(field) or "").split())[:_LONGEST_NAME] for field in ("program", "address"))
    return program, address


def _settings(facts: Facts, seen: list[Elsewhere]) -> list[str]:
    """Of the PBX that the program's name or else the profile names; of every one that is known where neither does."""
    names = " ".join(one.program.lower() for one in seen)
    found = [family for family in (*_PROXIES, *_UNKNOWN) if family in names]
    told = facts.profile.pbx
    families = found or ([told] if told in _SETTINGS else list(_UNKNOWN))
    families = [told if told in _OF_THE_HOUSE.get(family, ()) else family for family in families]
    first = seen[0]
    at = Endpoint(facts.here, first.port)
    transport = "tls" if first.protocol == "sips" else first.transport
    words = {"at": str(at), "host": facts.here, "port": first.port, "transport": transport, "carried": first.transport}
    return [(_SETTINGS | _PROXIES)[family].format(**words) for family in families]


def _leads_to(address: str, here: str) -> bool:
    """Whether a rule could lead there."""
    try:
        own, mine = ipaddress.ip_address(address), ipaddress.ip_address(here)
    except ValueError:
        return False
    return own.version == mine.version and not own.is_loopback and not own.is_unspecified and not own.is_link_local
