"""What on this machine itself matters? Routes, tunnels, the kernel's SIP helper, the clock, tables and limits.

Everything is read, nothing is sent but two questions for the server's clock over the control channel. A fact that the platform does not
tell is None, and says nothing. Nothing here fails: it is what other checks' findings may come from.
"""


from edgecheck.model import draft
from edgecheck.model.check import Check, Network, Observation
from edgecheck.model.errors import ControlLost, RequestDeclined
from edgecheck.model.machine import Machine
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import control

CLOCK_WRONG_S = 60.0
"""What certificates and nonces with a time in them put up with, mostly."""
TABLE_FULL = 0.9
SMALL_BUFFER = 64 << 10
"""Bytes: about 100 RTP packets of 20 ms with the kernel's own share; Linux has 208 KiB by default."""
_CLOCK_ASKED = 2


class HostObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``host``; ``None`` = could not tell, see ``reasons`` here and in ``machine``."""

    source: str
    machine: Machine
    clock_ahead_s: float | None = None
    """This machine's clock minus the server's; negative = behind."""
    clock_error_s: float | None = None
    """How far that may be off: half a round trip."""
    reasons: dict[str, str] = {}


async def probe_network(net: Network, profile: Profile) -> HostObservation:
    """Read, and ask the server for its clock."""
    machine = await net.machine()
    draft.leave(lambda why: HostObservation(source=net.source, machine=machine, reasons={"clock_ahead_s": why}))
    ahead = error = None
    reasons = {}
    try:
        for _ in range(_CLOCK_ASKED):
            before, sent = net.wall_clock(), net.now()
            reply = await net.ask(lambda id: control.Ping(id=id))
            took = net.now() - sent
            if not isinstance(reply, control.Pong) or reply.wall_s is None:
                reasons["clock_ahead_s"] = "this server does not tell its date and time"
                break
            if error is None or took / 2 < error:
                ahead, error = round(before + took / 2 - reply.wall_s, 3), round(took / 2, 3)
    except (ControlLost, RequestDeclined):
        reasons["clock_ahead_s"] = "there is no session with the server"
    return HostObservation(source=net.source, machine=machine, clock_ahead_s=ahead, clock_error_s=error, reasons=reasons)


def judge(seen: HostObservation, profile: Profile) -> tuple[Finding, ...]:
    """Warnings alone: each a fact that breaks calls in some set-ups."""
    machine, out = seen.machine, []

    def warn(cause: str, subject: str, summary: str, *evidence: str) -> None:
        out.append(Finding(id=f"host.{cause}", verdict=Verdict.WARN, subject=subject, summary=summary, evidence=evidence))

    if seen.clock_ahead_s is not None and abs(seen.clock_ahead_s) - (seen.clock_error_s or 0.0) > CLOCK_WRONG_S:
        where = "ahead of" if seen.clock_ahead_s > 0 else "behind"
        blame = (
            ", and this system says that it follows a time server: the server's clock may be the wrong one"
            if machine.clock_synchronized
            else ""
        )
        warn(
            "clock",
            "clock",
            f"This machine's clock is {_span(abs(seen.clock_ahead_s))} {where} the echo server's: one of the two is wrong{blame}. "
            "A wrong clock makes TLS certificates look expired or not yet valid, and logs hard to compare.",
            f"the server told its time; half a round trip is {seen.clock_error_s:g} s",
        )
    if machine.tunnel:
        warn(
            "vpn",
            str(machine.interface),
            f"The checks went through a tunnel ({machine.interface}): what they say is of the VPN's far end, "
            "not of this network's own router.",
            f"the source address {seen.source} belongs to {machine.interface}",
        )
    if machine.container and any(seen.source.startswith(f"172.{number}.") for number in range(16, 32)):
        warn(
            "container",
            seen.source,
            f"This runs in a container, and its address ({seen.source}) is one of those that container bridges take: behind such a bridge "
            "there is one more layer of NAT, which may change ports. Then run it on the host, or with the host's network (docker run "
            "--network host); where the address is one of your own network's, all is well.",
            f"the source address is {seen.source}, and the system shows the marks of a container",
        )
    rivals = _rival_routes(machine)
    if rivals:
        warn(
            "several-routes",
            "default route",
            f"Several default routes of the same rank ({', '.join(rivals)}): SIP may leave by one and audio by another, "
            "each behind its own NAT.",
            *[
                f"IPv{route.family} by {route.interface}{f' via {route.gateway}' if route.gateway else ''}, metric {route.metric}"
                for route in machine.default_routes or ()
            ],
        )
    families = {route.family for route in machine.default_routes or ()}
    if families == {6} and ":" in seen.source:  # else IPv4 is what the checks went by, whatever the routes look like
        warn(
            "single-family",
            "address family",
            "This machine has a default route for IPv6 alone: SIP trunks and phones that speak IPv4 only cannot be reached without NAT64.",
            *[f"IPv6 by {route.interface}" for route in machine.default_routes or ()],
        )
    if machine.sip_helper_bound:
        warn(
            "sip-helper",
            "nf_conntrack_sip",
            "This machine's own kernel has a SIP ALG in force (nf_conntrack_sip): it may rewrite SIP before any router does. "
            "Take it off (modprobe -r nf_nat_sip nf_conntrack_sip, and the rule that sets it).",
            "the module is loaded, and a rule or the kernel's own setting puts it on traffic",
        )
    if machine.conntrack is not None and machine.conntrack[1] and machine.conntrack[0] >= TABLE_FULL * machine.conntrack[1]:
        warn(
            "conntrack-full",
            "connection table",
            f"This machine's connection table is nearly full ({machine.conntrack[0]} of {machine.conntrack[1]}): "
            "new calls' packets are dropped when it is. Raise net.netfilter.nf_conntrack_max.",
            f"nf_conntrack_count is {machine.conntrack[0]}, nf_conntrack_max {machine.conntrack[1]}",
        )
    wanted = profile.rtp[1] - profile.rtp[0] + 1 if profile.rtp is not None else 0
    if machine.descriptors is not None and 0 <= machine.descriptors[1] < wanted:
        warn(
            "descriptors",
            "open files",
            f"A program here may have {machine.descriptors[1]} open files at most, and the RTP range has {wanted} ports: a PBX under "
            "the same limit runs out of sockets before it runs out of ports. Raise it (LimitNOFILE= in its systemd unit).",
            f"RLIMIT_NOFILE is {machine.descriptors[0]}, at most {machine.descriptors[1]}",
        )
    if machine.udp_buffers is not None and machine.udp_buffers[0] < SMALL_BUFFER:
        warn(
            "small-buffers",
            "UDP buffers",
            f"A UDP socket's receive buffer has {machine.udp_buffers[0]} bytes by default: bursts of audio are dropped on this machine "
            "itself. Raise net.core.rmem_default.",
            f"net.core.rmem_default is {machine.udp_buffers[0]}",
        )
    return (*(out or (_fine(seen),)), *_notes(machine))


def _notes(machine: Machine) -> tuple[Finding, ...]:
    """What does no harm by itself, and is worth knowing where another check finds some."""
    if not machine.sip_helper_loaded or machine.sip_helper_bound is not None:
        return ()
    why = machine.reasons.get("sip_helper_bound", "its rules were not read")
    return (
        Finding(
            id="host.sip-helper-loaded",
            verdict=Verdict.PASS,
            subject="nf_conntrack_sip",
            summary="The kernel's SIP ALG (nf_conntrack_sip) is loaded on this machine; whether a rule puts it in force here could not be "
            f"seen ({why}). What becomes of SIP, sip-alg measures; should it find something, look here, too.",
            evidence=(f"the module nf_conntrack_sip is loaded; {why}",),
        ),
    )


def _rival_routes(machine: Machine) -> list[str]:
    """Interfaces of default routes between which nothing decides; empty where one wins."""
    for family in (4, 6):
        routes = [route for route in machine.default_routes or () if route.family == family and route.metric is not None]
        best = min((route.metric for route in routes if route.metric is not None), default=None)
        first = sorted({route.interface for route in routes if route.metric == best})
        if len(first) > 1:
            return first
    return []


def _span(seconds: float) -> str:
    """``3 min``, ``2 h``, ``5 days``."""
    for size, name in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (size == 60 and seconds >= size):
            return f"{seconds / size:.0f} {name}"
    return f"{seconds:.0f} s"


def _fine(seen: HostObservation) -> Finding:
    return Finding(
        id="host.fine",
        verdict=Verdict.PASS,
        subject="this machine",
        summary=f"Nothing that could be read of this machine stands in the way of calls{_told(seen)}.",
        evidence=_facts(seen),
    )


def _told(seen: HostObservation) -> str:
    firewall = seen.machine.firewall
    if firewall is None:
        return ""
    out = f"; its own firewall ({firewall.name}) lets out only what its rules name: outbound shows what gets out"
    if firewall.inbound == "accepts":
        return out if firewall.outbound == "drops" else ""
    unweighed = "has rules that were not weighed: port-forwarding shows what gets in"
    does = "drops what no rule admits" if firewall.inbound == "drops" else unweighed
    return f"; its own firewall ({firewall.name}) {does}{', and lets out only what its rules name' * (firewall.outbound == 'drops')}"


def _facts(seen: HostObservation) -> tuple[str, ...]:
    machine = seen.machine
    out = [f"the source address is {seen.source}" + (f" of {machine.interface}" if machine.interface else "")]
    out += [f"default route: IPv{route.family} by {route.interface}" for route in machine.default_routes or ()]
    if seen.clock_ahead_s is not None:
        out.append(f"this machine's clock minus the server's: {seen.clock_ahead_s:+.1f} s")
    if machine.firewall is not None:
        said = {"drops": "drops", "accepts": "accepts", None: "could not be told: rules decide"}[machine.firewall.inbound]
        out.append(f"firewall: {machine.firewall.name}; what no rule names: {said}")
        if machine.firewall.outbound == "drops":
            out.append("on its way out, what no rule names: drops")
    if machine.sip_helper_loaded is not None:
        force = "loaded, and on no traffic" if machine.sip_helper_bound is False else "loaded; whether on any traffic could not be read"
        out.append(f"the kernel's SIP helper is {force if machine.sip_helper_loaded else 'not loaded'}")
    return tuple(out)


def summarize(seen: HostObservation, findings: tuple[Finding, ...]) -> str:
    """The first warning; else that nothing is in the way."""
    warnings = sum(finding.verdict is not Verdict.PASS for finding in findings)
    more = f" (and {warnings - 1} more)" if warnings > 1 else ""
    return f"{findings[0].summary.rstrip('.')}{more}"


CHECK = Check(
    id="host",
    question="What on this machine itself matters?",
    observation=HostObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    alone=True,
    stands=frozenset(
        {"vpn", "container", "several-routes", "single-family", "sip-helper", "sip-helper-loaded", "conntrack-full", "descriptors"}
    )
    | {"small-buffers"},
)
