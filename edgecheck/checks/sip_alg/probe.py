"""All channels at once; then what the server says; then, only where something could not be told, more of the same."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import msgspec

from edgecheck.checks.sip_alg import datagrams, interference
from edgecheck.checks.sip_alg.answerer import look_for_whoever_answers
from edgecheck.checks.sip_alg.beside import ViaTrial, shapes
from edgecheck.checks.sip_alg.both_ends import BothEnds, sort_out
from edgecheck.checks.sip_alg.dropper import look_for_whoever_drops
from edgecheck.checks.sip_alg.incoming import read_incoming
from edgecheck.checks.sip_alg.knocking import ask_mirror
from edgecheck.checks.sip_alg.listening_phone import ListeningPhone
from edgecheck.checks.sip_alg.locate import SDP, WALKED
from edgecheck.checks.sip_alg.log import ChannelLog, ServerAccount
from edgecheck.checks.sip_alg.messages import FLOW_OF, FLOWS, Caller, Step, short_invite, split_item
from edgecheck.checks.sip_alg.new_ports import ROUNDS, NewPorts, methods_to_try
from edgecheck.checks.sip_alg.observation import NEW_PORTS, Channel, Harm, Level, Pinhole, SipAlgObservation, SipProbe, Size, ViaPort
from edgecheck.checks.sip_alg.phone import Phone
from edgecheck.checks.sip_alg.phone_log import PhoneLog
from edgecheck.checks.sip_alg.pinholes import read_pinholes
from edgecheck.checks.sip_alg.reading import read_channel, read_probe, read_step
from edgecheck.checks.sip_alg.rewriter import look_for_whoever_rewrites
from edgecheck.checks.sip_alg.stream import StreamTraffic
from edgecheck.checks.sip_alg.stream_phone import StreamPhone
from edgecheck.checks.sip_alg.udp import UdpTraffic
from edgecheck.model import draft
from edgecheck.model.check import Network
from edgecheck.model.errors import LocalFailure
from edgecheck.model.profile import Profile
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

DEFAULT_MEDIA_PORTS = (10_000, 19_999)
NOT_FOLLOWED = "only a request that is rewritten, dropped or answered on the way over UDP can be followed hop by hop"
_MOST_CHANNELS = 8
_REPEAT = frozenset({0})
"""A status that no answer has: so the request is sent as often as may be."""
_CAPABILITIES: dict[control.Transport, str] = {"udp": "sip-udp", "tcp": "sip-tcp", "tls": "sip-tls"}


async def probe_network(net: Network, profile: Profile) -> SipAlgObservation:
    """Everything that the server offers of UDP and TCP on two ports, and TLS."""
    series = net.new_series()
    logs = [
        ChannelLog(number=number, transport=transport, server=Endpoint(net.service.address, port))
        for number, (transport, port) in enumerate(_channels(net.service))
    ]
    for log in logs:
        if log.server.port == 0 or _CAPABILITIES[log.transport] not in net.service.capabilities:
            log.offered, log.not_tested = False, "the server does not offer it"
    phones: list[Phone | StreamPhone | ListeningPhone] = [*_phones(net, logs), *_stream_phones(net, logs)]
    others, trial = shapes(logs, net), _via_trial(net, logs)
    traffic: dict[int, UdpTraffic | StreamTraffic] = {}
    done = 0

    async def run(log: ChannelLog) -> None:
        nonlocal done
        opened = await _open(net, log, series, profile)
        if opened is not None:
            traffic[log.number] = opened
            await opened.run()
        done += 1
        net.progress(done, len(logs), log.name)

    def known(account: ServerAccount) -> Callable[[str], SipAlgObservation]:
        """As the server's account and what was sent until then show it: what is sent later is not in that account."""
        seen = read_all([sort_out(log, account, net.session, series) for log in logs], account)
        return lambda why: _cut_short(seen, why)

    draft.leave(lambda why: _one_sided(known(ServerAccount(None, None, f"the server's account of SIP could not be had ({why})"))(why)))
    try:
        await asyncio.gather(
            *(run(log) for log in logs if log.not_tested is None),
            *(phone.run() for phone in phones),
            *(one.run(net, _media_port(net, profile, 5 + place)) for place, one in enumerate(others)),
            *([trial.run()] if trial is not None else []),
        )
        account = await _ask(net, series)
        draft.leave(known(account))
        read = [sort_out(log, account, net.session, series) for log in logs]
        unsettled = {channel.log.number: items for channel in read if (items := _unsettled(channel)) and channel.log.number in traffic}
        if unsettled:
            net.progress(done, len(logs), "once more, where no answer came")
            await asyncio.gather(*(_insist(traffic[number], items) for number, items in unsettled.items()))
            account = await _ask(net, series)
            draft.leave(known(account))
        again = await _from_new_ports(net, [sort_out(log, account, net.session, series) for log in logs], profile)
    finally:
        for opened in traffic.values():
            opened.close()
        if trial is not None:
            trial.close()
    for phone in phones:
        phone.log.account = await _ask(net, phone.log.series)
    for one in others:
        one.sort(await _ask(net, one.series), net.session)
    seen = read_all([sort_out(log, account, net.session, series) for log in logs], account, [phone.log for phone in phones], net.session)
    rows = [row for one in others if (row := one.read()) is not None] + [row for one in again for row in one.read()]
    sizes = [size for one in others if (size := one.read_size()) is not None]
    seen = with_others(seen, rows, sizes, trial.read(account) if trial is not None else None, net.certificate)
    seen = with_issuers(seen, {log.name: net.issuer(log.certificate) for log in logs if log.certificate})
    draft.leave(lambda why: _cut_short(seen, why, incoming=True))
    return await _look_for_the_hop(net, logs, seen, profile)


def _one_sided(seen: SipAlgObservation) -> SipAlgObservation:
    """Before the server's account is there. An answer that repeats something else than was asked does not tell which of the two was
    rewritten: the messages are counted, and nothing is said of them."""
    probes = tuple(
        msgspec.structs.replace(one, request="undecided", response="undecided", changes=(), harms=(), proofs=(), interference=None)
        for one in seen.probes
    )
    return msgspec.structs.replace(seen, probes=probes, interference=None)


def _cut_short(seen: SipAlgObservation, why: str, *, incoming: bool = False) -> SipAlgObservation:
    """That nothing touches SIP takes all of the measurement; that something does, one message."""
    return msgspec.structs.replace(
        seen,
        interference=None if seen.interference == "none" else seen.interference,
        incoming_reason=seen.incoming_reason if incoming else why,
        located_reason=why,
    )


async def _look_for_the_hop(net: Network, logs: list[ChannelLog], seen: SipAlgObservation, profile: Profile) -> SipAlgObservation:
    """Where a request was rewritten over UDP, the same kind of request is sent to expire at each hop in turn."""
    if seen.interference == "none":
        return msgspec.structs.replace(seen, located=(), located_reason="")
    stolen = [one for method in WALKED for one in seen.probes if one.transport == "udp" and one.method == method and one.answered_beside]
    if stolen and net.sees_quotes:
        log = next(log for log in logs if (log.transport, log.server.port) == ("udp", stolen[0].server_port))
        return await look_for_whoever_answers(net, log, seen, stolen[0].method)
    touched = [one for method in WALKED for one in seen.probes if (one.transport, one.request, one.method) == ("udp", "rewritten", method)]
    lost = [one for method in WALKED for one in seen.probes if (one.transport, one.method) == ("udp", method) and one.lost_first]
    if lost and not touched and net.sees_quotes:
        log = next(log for log in logs if (log.transport, log.server.port) == ("udp", lost[0].server_port))
        return await look_for_whoever_drops(net, log, seen, lost[0].method)
    if not touched:
        whole_flow = any(one.method.endswith(NEW_PORTS) and "lost" in (one.request, one.response) for one in seen.beside)
        why = "what is dropped with all of its flow leaves nothing beside to follow it by" if whole_flow else NOT_FOLLOWED
        return msgspec.structs.replace(seen, located_reason=why)
    if not net.sees_quotes:
        return msgspec.structs.replace(seen, located_reason="this platform shows a program without privileges no quotes of expired packets")
    log = next(log for log in logs if (log.transport, log.server.port) == ("udp", touched[0].server_port))
    ways = [(touched[0].method, WALKED[touched[0].method])]
    if any(
        change.where.startswith(SDP) and change.direction == "request"
        for one in touched
        if one.server_port == log.server.port
        for change in one.changes
    ):
        ways.insert(0, ("INVITE", short_invite))  # its SDP is seen, too, where routers quote that much
    for number, (method, make) in enumerate(ways):
        media_port = _media_port(net, profile, _MOST_CHANNELS - 1, number)
        found = await look_for_whoever_rewrites(net, log, seen, method, make, media_port)
        if found.located is not None:
            break
    return found


def _phones(net: Network, logs: list[ChannelLog]) -> list[Phone]:
    """One for each port of UDP, where the server can call it."""
    if "sip-calls" not in net.service.capabilities:
        return []
    return [Phone(net, log.number, log.server) for log in logs if log.transport == "udp" and log.not_tested is None]


def _stream_phones(net: Network, logs: list[ChannelLog]) -> list[StreamPhone | ListeningPhone]:
    """Of each kind one for each port of TCP."""
    gauge = next((log.server for log in logs if log.transport == "udp" and log.not_tested is None), None)
    if gauge is None or "sip-calls-tcp" not in net.service.capabilities:
        return []
    streams = [log for log in logs if log.transport == "tcp" and log.not_tested is None]
    phones: list[StreamPhone | ListeningPhone] = [StreamPhone(net, log.number, log.server, gauge) for log in streams]
    if "dial" in net.service.capabilities:
        phones += [ListeningPhone(net, log.number, log.server, gauge) for log in streams]
    return phones


def _via_trial(net: Network, logs: list[ChannelLog]) -> ViaTrial | None:
    main = next((log for log in logs if log.transport == "udp" and log.not_tested is None), None)
    return ViaTrial(net, main.server) if main is not None else None


def _channels(service: control.Service) -> list[tuple[control.Transport, int]]:
    return [
        ("udp", service.sip_port),
        ("tcp", service.sip_port),
        ("tls", service.sips_port),
        ("udp", service.alternate_sip_port),
        ("tcp", service.alternate_sip_port),
    ]


def _media_port(net: Network, profile: Profile, channel: int, attempt: int = 0) -> int:
    """An even port of the profile's range, to be announced in SDP.

    Another for each channel, connection and run: a phone has no two calls on one port, and the Linux ALG drops an INVITE that names
    the media port of a call which it believes to be up.
    """
    low, high = profile.rtp or DEFAULT_MEDIA_PORTS
    first, last = max(low, 1024) + 1 & ~1, high - 1 & ~1
    if last < first:
        (first, last) = DEFAULT_MEDIA_PORTS
    places = (last - first) // 2 + 1
    place = int.from_bytes(net.session[:4], "big") + channel * max(1, places // _MOST_CHANNELS) + attempt
    return first + place % places * 2


async def _open(net: Network, log: ChannelLog, series: int, profile: Profile) -> UdpTraffic | StreamTraffic | None:
    def caller(local: Endpoint, attempt: int = 0) -> Caller:
        return Caller(
            transport=log.transport,
            local=local,
            server=log.server,
            session=net.session,
            series=series,
            channel=log.number,
            attempt=attempt,
            media_port=_media_port(net, profile, log.number, attempt),
        )

    if log.transport != "udp":
        return StreamTraffic(net, caller, log)
    try:
        socket = await net.open_udp()
    except LocalFailure as failure:
        log.not_tested = str(failure)
        return None
    return UdpTraffic(net, caller(socket.local), log, socket)


async def _ask(net: Network, series: int) -> ServerAccount:
    accounted, mirrored = await asyncio.gather(net.account(series), ask_mirror(net))
    controls = accounted.received if accounted is not None else None
    translated = net.observed != net.source
    if isinstance(mirrored, str):
        return ServerAccount(None, controls, f"the server's account of SIP could not be had ({mirrored})", translated)
    problem = f"the server kept no record of {mirrored.dropped} SIP messages, its limit was reached" if mirrored.dropped else None
    return ServerAccount(mirrored.records, controls, problem, translated)


def _unsettled(channel: BothEnds) -> dict[int, frozenset[int]]:
    """What more copies could tell: items, and the provisional responses that are missing. Nothing where nothing passes at all."""
    if not channel.account.whole or not (channel.control_arrived or channel.received):
        return {}
    out: dict[int, frozenset[int]] = {}
    steps = {step: reading for step in FLOW_OF if (reading := read_step(channel, step)) is not None}
    for item, sent in channel.log.sent.items():
        reading, first = steps.get(sent.request.step), steps.get(FLOWS[FLOW_OF[sent.request.step]][0])
        if reading is None or first is None or first.request in ("lost", "answered-by-other"):
            continue  # nothing was sent; or that which led here was none of the server's doing
        if reading.request == "undecided" or (reading.response == "undecided" and reading.answers_sent):
            out[item] = frozenset()
        elif reading.missing_statuses:
            out[item] = reading.missing_statuses
    if datagrams.unproved(channel):
        out.update({item: _REPEAT for item, sent in channel.log.sent.items() if sent.request.step is Step.OPTIONS})
    return out


async def _from_new_ports(net: Network, channels: Sequence[BothEnds], profile: Profile) -> list[NewPorts]:
    """Once more, where SIP may be dropped with all of its flow."""
    wanted = [(ends, methods) for ends in channels if (methods := methods_to_try(ends))]
    trials = [NewPorts(net, ends, methods, _media_port(net, profile, 6, ROUNDS * place)) for place, (ends, methods) in enumerate(wanted)]
    await asyncio.gather(*(trial.run() for trial in trials))
    for trial in trials:
        trial.sort(await _ask(net, trial.series))
    return trials


async def _insist(traffic: UdpTraffic | StreamTraffic, wanting: dict[int, frozenset[int]]) -> None:
    if isinstance(traffic, UdpTraffic):
        await traffic.insist(wanting)
    else:
        await traffic.insist(frozenset(FLOW_OF[Step(split_item(item)[2])] for item in wanting))


def read_all(channels: list[BothEnds], account: ServerAccount, phones: Sequence[PhoneLog] = (), session: bytes = b"") -> SipAlgObservation:
    """The facts, from what both ends saw. Pure."""
    facts = tuple(read_channel(channel) for channel in channels)
    probes = tuple(
        read_probe(channel, method) for channel, fact in zip(channels, facts, strict=True) if fact.not_tested is None for method in FLOWS
    )
    incoming = tuple(row for phone in phones for row in read_incoming(phone, session))
    pinholes = tuple(row for phone in phones for row in read_pinholes(phone))
    return SipAlgObservation(
        interference=overall(facts, (*probes, *incoming), pinholes),
        probes=probes,
        channels=facts,
        mirror=account.problem,
        incoming=incoming,
        incoming_reason="; ".join(dict.fromkeys(phone.problem for phone in phones if phone.problem and not phone.listens))
        or ("" if phones else "the server makes no calls of its own"),
        pinholes=pinholes,
    )


def with_others(
    seen: SipAlgObservation, others: Sequence[SipProbe], sizes: Sequence[Size], via_port: ViaPort | None, certificate: str
) -> SipAlgObservation:
    """The facts of what is sent in another shape or from new ports, of Via, and of the certificate, beside all else. Pure."""
    channels = tuple(
        msgspec.structs.replace(one, certificate_proved=certificate if one.transport == "tls" and certificate else None)
        for one in seen.channels
    )
    rows = tuple(_beside_whole(row, seen.probes) for row in others)
    levels: list[Level] = [row.interference for row in rows if row.interference is not None]
    levels += ["inconsistent"] if any(one.certificate_replaced for one in channels) else []
    levels += ["harmless"] if via_port is not None and via_port.at_via else []
    worst = interference.gravest(levels)
    level = seen.interference
    if worst != "none":
        level = worst if level is None else interference.gravest((level, worst))
    return msgspec.structs.replace(seen, interference=level, channels=channels, beside=rows, sizes=tuple(sizes), via_port=via_port)


def with_issuers(seen: SipAlgObservation, issuers: Mapping[str, str]) -> SipAlgObservation:
    """By channel, who issued the certificate that was shown there; kept where it is not the server's own. Pure."""
    channels = tuple(
        msgspec.structs.replace(one, certificate_issuer=issuers.get(one.name)) if one.certificate_replaced else one for one in seen.channels
    )
    return msgspec.structs.replace(seen, channels=channels)


def _beside_whole(row: SipProbe, probes: Sequence[SipProbe]) -> SipProbe:
    """A message in segments that is rewritten otherwise than a whole one: TCP cuts where it likes, so now this arrives and now that."""
    whole = next((p for p in probes if (p.transport, p.server_port, p.method) == (row.transport, row.server_port, "INVITE")), None)
    arrived = ("unchanged", "rewritten")
    if row.transport != "tcp" or whole is None or row.request not in arrived or whole.request not in arrived:
        return row
    cut, uncut = (
        {change.where for change in one.changes if change.direction == "request" and change.action not in ("reordered", "reformatted")}
        for one in (row, whole)
    )
    if cut == uncut:
        return row
    names = ", ".join(sorted(uncut ^ cut))
    text = f"a message that TCP cuts in two is not rewritten as a whole one is ({names} differ): what arrives depends on where it is cut"
    harm = Harm(level="inconsistent", direction="request", text=text)
    return msgspec.structs.replace(
        row, harms=(*row.harms, harm), interference=interference.gravest((row.interference or "none", harm.level))
    )


def overall(channels: tuple[Channel, ...], probes: tuple[SipProbe, ...], pinholes: Sequence[Pinhole] = ()) -> Level | None:
    """The gravest that was seen; ``none`` only where the first channel (UDP to the SIP port) and all that pass anything were decided."""
    seen = interference.gravest(probe.interference for probe in probes if probe.interference is not None)
    if seen != "none":
        return seen
    if any(channel.non_sip_dropped for channel in channels) or any(hole.opened for hole in pinholes):
        return "harmless"  # something on the path knows SIP
    main = next((channel for channel in channels if channel.offered), None)
    if main is None or main.silent or main.not_tested is not None:
        return None
    blocked = {(channel.transport, channel.server_port) for channel in channels if channel.silent}
    blind = any(probe.interference is None and (probe.transport, probe.server_port) not in blocked for probe in probes)
    return None if blind else "none"
