"""The examination: UDP and TCP side by side, then what the silence was worth.

Ports that something else holds come out of it as rows with ``unbound``: whoever holds them is asked afterwards, row by row.
"""

import asyncio
from collections.abc import Sequence

import msgspec

from edgecheck.checks.port_forwarding.contacted import KEPT_OUT, is_kept_out, lets_in_contacted
from edgecheck.checks.port_forwarding.elsewhere import unless_here
from edgecheck.checks.port_forwarding.examination import Rounds, arrivals, examine
from edgecheck.checks.port_forwarding.led_on import led_on
from edgecheck.checks.port_forwarding.live import ask_holders, may_ask
from edgecheck.checks.port_forwarding.observation import Canaries, ForwardingObservation, Path, PortRow, inbound
from edgecheck.checks.port_forwarding.scouts import scout
from edgecheck.checks.port_forwarding.shut_out import leave, tell, weigh_silence, witness_of
from edgecheck.checks.port_forwarding.tcp import probe_tcp
from edgecheck.checks.port_forwarding.udp import Shots, probe_udp
from edgecheck.checks.port_forwarding.unheard import listening_elsewhere
from edgecheck.checks.port_forwarding.weighing import doubt, weigh, wholly_silent
from edgecheck.checks.unsolicited import SEVERAL_ADDRESSES, alternate_answers, alternate_connects, believed, remembered
from edgecheck.model import draft
from edgecheck.model.check import Network
from edgecheck.model.profile import PortNeed, Profile


async def probe_network(net: Network, profile: Profile) -> ForwardingObservation:
    """Probe UDP and TCP side by side; contact the alternate address only afterwards, and only if something stayed silent."""
    alternate = net.alternate
    assert alternate is not None  # the runner skips the check otherwise
    contacted = net.memory.contacted(alternate.host)
    exposed = net.memory.recall(f"exposed/{alternate.host}")
    wanted = inbound(profile)
    # While nothing has been sent; an RTP port is no canary either: it may be forwarded.
    avoid = {port for _, port in wanted} | set(range(profile.rtp[0], profile.rtp[1] + 1) if profile.rtp else ())
    udp_wanted = [(need, port) for need, port in wanted if need.transport == "udp"]
    tcp_wanted = [(need, port) for need, port in wanted if need.transport == "tcp"]
    led = await led_on(net, {(need.transport, port) for need, port in wanted} if may_ask(net) else set())
    # Silent TCP canaries cost a second. They are needed where the router may remember the prober or a port that was used, or where no
    # UDP canary stands for them.
    tcp_used = any(remembered(net.memory.sent_from(port, "tcp")) for _, port in tcp_wanted)
    tcp_canaries = remembered(contacted) or tcp_used or not udp_wanted
    udp_rows, tcp_rows = _unasked(udp_wanted), _unasked(tcp_wanted)
    udp = tcp = Canaries()

    def observed(
        rows: Sequence[PortRow], path: Path | None = None, answers: bool | None = None, connects: bool | None = None
    ) -> ForwardingObservation:
        return ForwardingObservation(
            ports=tuple(rows),
            probed_address=net.observed,
            prober=alternate.host,
            local_address=net.source,
            path=path,
            udp=udp,
            tcp=tcp,
            alternate_contacted_s=contacted,
            alternate_answers=answers,
            alternate_connects=connects,
        )

    def weighed() -> list[PortRow]:
        known_exposed = exposed is not None and exposed[0] == "yes" and believed(exposed[1])
        trusted = not remembered(contacted) or known_exposed
        rows = [weigh(net, row, udp, trusted) for row in udp_rows] + [weigh(net, row, tcp, trusted) for row in tcp_rows]
        if udp.several_addresses:
            several = SEVERAL_ADDRESSES.format(control=net.observed, media=udp.several_addresses)
            rows = [doubt(row, several, ("blocked", "refused")) for row in rows]
        return rows

    def so_far(why: str, rows: list[PortRow] | None = None, path: Path | None = None) -> ForwardingObservation:
        """The prober's silence is no fact yet where it is not known to reach anybody."""
        rows = [row if row.reason or row.state != "undecided" else msgspec.structs.replace(row, reason=why) for row in rows or weighed()]
        dumb = [transport for transport in ("udp", "tcp") if wholly_silent(rows, transport)]
        return observed([doubt(row, why) if row.transport in dumb else row for row in rows], path)

    async def side_of_udp() -> Shots | None:
        nonlocal udp_rows, udp
        udp_rows, udp, shots = await probe_udp(net, udp_wanted, avoid, led["udp"])
        return shots

    async def side_of_tcp() -> None:
        nonlocal tcp_rows, tcp
        tcp_rows, tcp = await probe_tcp(net, tcp_wanted, avoid if tcp_canaries else None, may_ask(net), led["tcp"])

    draft.leave(so_far)
    began, before = net.now(), net.counters()
    with await scout(net, profile.rtp) as scouts:
        shots, _ = await asyncio.gather(side_of_udp(), side_of_tcp())
        scouted = scouts.witness
    rounds = Rounds(shots, udp, tcp, (before, net.counters()), began)
    needs = [need for need, _ in (*udp_wanted, *tcp_wanted)]
    held = await ask_holders(net, zip(needs, (*udp_rows, *tcp_rows), strict=True))
    if profile.expect.forwarding != "ignore":
        held = await listening_elsewhere(net, held)
    udp_rows, tcp_rows = held[: len(udp_rows)], held[len(udp_rows) :]
    if not remembered(contacted) and (udp.bare or tcp.bare):
        net.memory.note(f"exposed/{alternate.host}", "yes" if udp.exposed or tcp.exposed else "no")
    elif udp.bare and not udp.exposed and not tcp.exposed:
        net.memory.note(f"exposed/{alternate.host}", "no")
    rows = weighed()
    witness = witness_of(rows, "udp") or scouted  # as the RTP ports are
    if witness is not None:
        leave(net, witness)
    leaning = [transport for transport, canaries in (("udp", udp), ("tcp", tcp)) if canaries.kept_out]
    if profile.expect.forwarding != "ignore":
        rows = await arrivals(net, rows, rounds)
    # What has just reached a witness is not shut out; but a guard may count each port of a sender's for itself, and spare a new one.
    unheard = wholly_silent(rows, "udp") or (witness is None and wholly_silent(rows, "tcp"))
    loose = await lets_in_contacted(net, briefly=True) if unheard else None
    doubted = await weigh_silence(net, rows, avoid, leaning, scouted)
    rows = [await unless_here(net, row, other) for row, other in zip(rows, doubted, strict=True)]
    sip = frozenset(port for need, port in udp_wanted if need.protocol == "sip")
    rows, path = await examine(net, rows, rounds, avoid, sip=sip) if profile.expect.forwarding != "ignore" else (rows, None)
    examined = rows
    draft.leave(lambda why: so_far(why, examined, path))
    silent = "the server's alternate address did not answer when contacted over {}: its silence proves nothing"
    answers = connects = None
    dumb = [transport for transport in ("udp", "tcp") if wholly_silent(rows, transport)]
    if "udp" in dumb:
        answers = await alternate_answers(net)
        rows = rows if answers else [doubt(row, silent.format("UDP")) if row.transport == "udp" else row for row in rows]
    if "tcp" in dumb:
        connects = await alternate_connects(net)
        rows = rows if connects else [doubt(row, silent.format("TCP")) if row.transport == "tcp" else row for row in rows]
    if unheard and dumb and (loose or await lets_in_contacted(net)) and await is_kept_out(net):
        rows = [doubt(row, KEPT_OUT) if row.transport in dumb else row for row in rows]
        tell(net, KEPT_OUT)
    return observed(rows, path, answers, connects)


def _unasked(wanted: list[tuple[PortNeed, int]]) -> list[PortRow]:
    """Nothing is known of them yet."""
    return [
        PortRow(port=port, transport=need.transport, purpose=need.purpose, required=need.required, state="undecided")
        for need, port in wanted
    ]
