"""What a PBX must know of its edge, from what was measured; beside every value, in words, on what it rests."""

import ipaddress
from typing import Any, Literal, NamedTuple

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.rules import held
from edgecheck.diagnosis.unheard_advice import SIP, elsewhere
from edgecheck.diagnosis.words import fitting
from edgecheck.model.verdict import ClientFacts
from edgecheck.wire import ports
from edgecheck.wire.address import parse_endpoint
from edgecheck.wire.errors import WireError

Transport = Literal["udp", "tcp", "tls"]
SAFE_KEEPALIVE_S = 25
"""Below the 30 s after which many routers forget an idle UDP mapping (it is Linux's default for one that saw one exchange)."""
_RTP_BLOCKED = "rtp-range.inbound-blocked"
_PREFERRED: tuple[tuple[str, Transport], ...] = (("UDP 5060", "udp"), ("TLS 5061", "tls"), ("TCP 5060", "tcp"))


class Edge(NamedTuple):
    """Each ``..._told`` is a sentence for a comment."""

    external: str | None
    """The public address; None = none is needed, or it is not known: see ``external_told``."""
    external_told: str
    source: str | None
    """This machine's address."""
    networks: tuple[str, ...]
    """Private networks that this machine has a leg in, its own first: ``192.168.1.0/24``."""
    networks_told: str
    rtp: tuple[int, int] | None
    rtp_told: str
    keepalive_s: int
    """Over UDP."""
    keepalive_told: str
    tcp_keepalive_s: int
    """Between keep-alives on idle TCP and TLS connections."""
    transport: Transport | None
    """The first of UDP, TLS and TCP on which SIP passed untouched; None = that was not seen of any."""
    transport_told: str
    unheard: str = ""
    """What has a port open where it does not hear what arrives; empty = nothing was seen of that."""


def edge(facts: Facts, client: ClientFacts) -> Edge:
    """Gather it."""
    external, external_told = _external(facts, client)
    source = _source(facts, client)
    networks = _networks(client, source)
    keepalive, keepalive_told = _keepalive(facts)
    transport, transport_told = _transport(facts)
    return Edge(
        external=external,
        external_told=external_told,
        source=source,
        networks=networks,
        networks_told="" if networks else "not known: the report has no network of this machine; name every network of your phones",
        rtp=facts.profile.rtp,
        rtp_told=_rtp_told(facts),
        keepalive_s=keepalive,
        keepalive_told=keepalive_told,
        tcp_keepalive_s=_tcp_keepalive(facts, keepalive),
        transport=transport,
        transport_told=transport_told,
        unheard=_unheard(facts),
    )


def _unheard(facts: Facts) -> str:
    if not facts.having("port-forwarding.listens-elsewhere"):
        return ""
    told = [f"{one.way}: {one.program} listens on {one.address}" for one in elsewhere(facts) if one.protocol in SIP]
    return f"nobody listens where calls come in ({'; '.join(told[:3])}{' ...' if len(told) > 3 else ''})" if told else ""


def _keepalive(facts: Facts) -> tuple[int, str]:
    keepalive = facts.fact("mapping-lifetime", "recommended_keepalive_s")
    if _seconds(keepalive):
        return keepalive, "from the measured lifetime of mappings"
    low, high = _bounds(facts, "udp_s")
    if low == 0 and high is not None:
        too_short = f"measured: UDP mappings live less than {high} s, and no usual keep-alive holds them; use TCP or TLS across this edge"
        return SAFE_KEEPALIVE_S, too_short
    if facts.having("mapping-lifetime.undecided"):
        return SAFE_KEEPALIVE_S, f"could not be measured (see mapping-lifetime); {SAFE_KEEPALIVE_S} s suits most routers"
    return SAFE_KEEPALIVE_S, f"not measured (edgecheck run mapping-lifetime); {SAFE_KEEPALIVE_S} s suits most routers"


def _tcp_keepalive(facts: Facts, keepalive: int) -> int:
    """Two thirds of what idle connections are proved to live, where that is less."""
    low, high = _bounds(facts, "tcp_s")
    return min(keepalive, max(1, low * 2 // 3)) if low is not None and high is not None else keepalive


def _bounds(facts: Facts, field: str) -> tuple[int | None, int | None]:
    value = facts.fact("mapping-lifetime", field)
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        return None, None
    low, high = (one if isinstance(one, int) and not isinstance(one, bool) and one >= 0 else None for one in value)
    return low, high


def _seconds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _external(facts: Facts, client: ClientFacts) -> tuple[str | None, str]:
    if facts.behind_nat is False:
        return None, "nothing translates addresses here: no external address must be set"
    try:
        address = parse_endpoint(str(facts.fact("nat-behavior", "mapped_address"))).host
    except WireError:
        if client.public_address and client.source and client.public_address != client.source:
            asked = any(result.id == "nat-behavior" for result in facts.results)
            why = "could not tell it over UDP" if asked else "was not asked"
            return _address(client.public_address), f"as the echo server saw the control channel; nat-behavior {why}"
        return None, "not measured: nat-behavior did not learn the public address"
    if facts.fact("nat-behavior", "pooling") == "arbitrary":
        return None, f"this network leaves by several public addresses, {address} among them: bind the PBX to one line first"
    if facts.having("topology.carrier-grade-nat", "port-forwarding.carrier-grade-nat"):
        return address, f"{address} is the provider's (carrier-grade NAT): nothing reaches it unasked, and it may change"
    if facts.having("nat-behavior.endpoint-dependent-mapping"):
        return address, "measured; the ports behind it change with each destination: the far side must send audio to where it comes from"
    return address, "measured; if the provider changes it, this must change, too"


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _source(facts: Facts, client: ClientFacts) -> str | None:
    for text in (client.source, facts.here):
        if address := _address(str(text)):
            return address
    return None


def _networks(client: ClientFacts, source: str | None) -> tuple[str, ...]:
    """Private ones of the source's family, the source's own first."""
    own = ipaddress.ip_address(source) if source else None
    found = []
    for row in client.interfaces:
        told: Any = row.get("networks") if isinstance(row, dict) else None
        for text in told if isinstance(told, (list, tuple)) else ():
            try:
                network = ipaddress.ip_network(str(text))
            except ValueError:
                continue
            fits = own is None or network.version == own.version
            if fits and network.is_private and not network.is_loopback and not network.is_link_local:
                found.append(network)
    found.sort(key=lambda network: own is None or own not in network)
    return tuple(dict.fromkeys(map(str, found)))


def _rtp_told(facts: Facts) -> str:
    """What was seen of the profile's range."""
    if facts.profile.rtp is None:
        return "the profile names no RTP range"
    blocked, out = facts.ranges("inbound_blocked"), facts.ranges("outbound_blocked")
    if facts.fact("rtp-range", "inbound_open") is None and not blocked:
        return f"profile {facts.profile.name}'s; whether it is open was not measured"
    if blocked == (facts.profile.rtp,):
        return f"profile {facts.profile.name}'s; not one of these ports arrives: {_let_in(facts, 'them')}"
    if blocked:
        low, high = facts.profile.rtp
        early = len(blocked) == 1 and low < blocked[0][0] and blocked[0][1] == high
        shorter = f", or end the range at {blocked[0][0] - 1}" if early else ""
        return f"profile {facts.profile.name}'s; {_few(blocked)} does not arrive: {_let_in(facts, 'it')}{shorter}"
    if out or facts.ranges("undecided"):
        return f"profile {facts.profile.name}'s; {_few(out or facts.ranges('undecided'))} is not known to be open both ways"
    return f"profile {facts.profile.name}'s; measured, open both ways"


def _let_in(facts: Facts, what: str) -> str:
    """What it takes, by the cause: nobody is to forward what a rule in the router cannot let in."""
    blocked = facts.having(_RTP_BLOCKED)
    causes = {cause for finding in blocked for cause in fitting(finding)}
    why = {finding.id for one in held(facts) if any(each.id == _RTP_BLOCKED for each in one.explained) for finding in one.findings}
    if causes == {"carrier-grade-nat"} or why & {"topology.carrier-grade-nat", "port-forwarding.carrier-grade-nat"}:
        return f"no rule in your router alone lets {what} in (carrier-grade NAT); let the far side send audio to where yours comes from"
    if causes == {"host-firewall"}:
        return f"let {what} in in this machine's own firewall"
    if why or (causes and "no-rule" not in causes):
        return "see What to do in the report"
    return f"let {what} in in the firewall before this machine" if facts.behind_nat is False else f"forward {what}"


def _few(ranges: ports.Ranges) -> str:
    return ports.text(ranges[:3]) + (" ..." if len(ranges) > 3 else "")


def _transport(facts: Facts) -> tuple[Transport | None, str]:
    untouched = facts.untouched_ways()
    for way, transport in _PREFERRED:
        if way in untouched:
            spoiled = [other for other, _ in _PREFERRED[: _PREFERRED.index((way, transport))]]
            why = f"; on {' and '.join(spoiled)} that was not so" if spoiled else ""
            return transport, f"SIP passed untouched on {way}{why}"
    if facts.fact("sip-alg", "probes"):
        return None, "SIP was not seen to pass untouched on UDP 5060, TLS 5061 or TCP 5060"
    return None, "not measured: sip-alg was not run"
