"""Ports that a program of this machine holds: its service is asked instead of borrowing the port. Nothing of it is stopped or disturbed.

The server puts a SIP OPTIONS to the port from the never-contacted address, or opens the connection where it is not SIP. An answer shows
that *somebody* has been reached. Whether it was the service here is another question: a rule may lead to another PBX of the same make. So
this machine's own system is watched meanwhile (``Sightings``), and the same service is asked directly for comparison.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from edgecheck.checks.port_forwarding.dropped import MOST_PORTS, Window, drops, together
from edgecheck.checks.port_forwarding.held import CONNECTIONS, MARKS, Facts, Local, conclude, was_delivered
from edgecheck.checks.port_forwarding.led_on import LED_ON, UNBOUND
from edgecheck.checks.port_forwarding.marks import Marks
from edgecheck.checks.port_forwarding.observation import PACKETS, PortRow
from edgecheck.checks.port_forwarding.weather import Weather, measure
from edgecheck.checks.unsolicited import margin
from edgecheck.model.check import Network, Sightings, Stream, UdpSocket
from edgecheck.model.errors import LocalFailure, RequestDeclined
from edgecheck.model.profile import PortNeed
from edgecheck.wire import control, inquiry
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint, parse_endpoint

ATTEMPTS = 8
"""Beside thirty echoes, of which four may be lost."""
SPACING_MS = {"udp": 70, "tcp": 107, "tls": 107}
ROUNDS = 3
_LOOK_S = 0.05
_LOCAL_COPIES = 3
_LOCAL_S = 0.25
"""A service on the same machine answers within this, or it does not."""
_UNTRIED = (
    "nothing on this machine uses it at {here}, and this user may not open it to test it (ports below 1024 need administrator rights): "
    "run as an administrator"
)


@dataclass
class _Question:
    """One held port and what came of asking."""

    row: PortRow
    need: PortNeed
    transport: control.Transport
    speak: str = "sip"
    local: Local = field(default_factory=Local)
    told: list[control.InquiryRow] = field(default_factory=list)
    markers: list[str] = field(default_factory=list)
    weather: Weather = field(default_factory=Weather)
    """In the rounds in which it was asked."""
    delivered: bool | None = None
    """Whether what arrived was delivered, in the round that tells; None: no such round, or it does not tell."""
    watched: bool = False
    """Such a round there was."""
    dropped: bool = False
    """Whether this machine's own firewall was proved to drop what comes to the port."""

    @property
    def settled(self) -> bool:
        return any(row.outcome not in ("silent", "unsent") or row.said for row in self.told)


def may_ask(net: Network) -> bool:
    """Whether this server can ask services."""
    return "inquire" in net.service.capabilities and net.alternate is not None


async def ask_holders(net: Network, rows: Iterable[tuple[PortNeed, PortRow]]) -> list[PortRow]:
    """The same rows; those at which something else holds the port (``unbound``) as its service, the edge and this machine told."""
    pairs = list(rows)
    if not may_ask(net) or not any(_is_held(row) for _, row in pairs):
        return [row for _, row in pairs]
    sightings = net.watch()
    try:
        marks = Marks(net, sightings)
        owners = {
            transport: await net.owners(transport, [row.port for _, row in pairs if row.transport == transport and _is_held(row)])
            for transport in ("udp", "tcp")
        }
        for _, row in pairs:
            if row.unbound == UNBOUND:
                owners[row.transport][row.port] = LED_ON
        held = [index for index, (_, row) in enumerate(pairs) if _is_held(row)]
        prepared = await asyncio.gather(
            *(_prepare(net, *pairs[index], owners[pairs[index][1].transport].get(pairs[index][1].port)) for index in held)
        )
        asked = dict(zip(held, prepared, strict=True))
        questions = [question for question in asked.values() if question is not None]
        await _ask(net, sightings, questions)
        await _weigh_arrivals(net, sightings, marks, questions)
        await _look_for_drops(net, sightings, questions)
        out = []
        for index, (_, row) in enumerate(pairs):
            question = asked.get(index)
            owner = owners[row.transport].get(row.port)
            if question is not None:
                out.append(conclude(row, _facts(net, question, questions, sightings, marks, owner)))
            elif index in asked:
                out.append(conclude(row, Facts(unused=_UNTRIED.format(here=net.source))))
            else:
                out.append(row)
        return out
    finally:
        sightings.close()


def _is_held(row: PortRow) -> bool:
    return row.unbound in ("port-in-use", "permission", UNBOUND)


# --- Asking directly ---------------------------------------------------------------------------------------------------------


async def _prepare(net: Network, need: PortNeed, row: PortRow, owner: str | None) -> _Question | None:
    """Ask the service directly, and choose how it is to be asked from outside. None: nobody uses the port."""
    if row.transport == "udp":
        question = _Question(row, need, "udp")
        question.local = await _ask_locally(net, question)
        if row.unbound == "permission" and not owner and not question.local.reached:
            return None
        if need.protocol != "sip" and question.local.status is None:
            question.speak = "datagram"
        return question
    question = _Question(row, need, "tcp", "sip" if need.protocol in ("sip", "sips") else "nothing")
    if need.protocol in ("sips", "web"):
        question.transport = "tls"
        question.local = await _ask_locally(net, question)
        if question.local.certificate is None:
            question.transport = "tcp"
    if question.transport == "tcp":
        question.local = await _ask_locally(net, question)
    if row.unbound == "permission" and not owner and not question.local.reached:
        return None
    return question


async def _ask_locally(net: Network, question: _Question) -> Local:
    port, to = question.row.port, Endpoint(net.source, question.row.port)
    marker = control.sip_marker(net.session, net.new_series(), port)
    question.markers.append(marker)
    if question.transport == "udp":
        socket = await net.open_udp()
        try:
            return await _ask_socket(net, socket, to, marker)
        finally:
            socket.close()
    try:
        stream = await (net.connect_tls(to, _LOCAL_S * 4) if question.transport == "tls" else net.connect_tcp(to, timeout=_LOCAL_S * 4))
    except LocalFailure:
        return Local()
    try:
        return await _ask_stream(net, stream, question, marker)
    finally:
        stream.close()


async def _ask_socket(net: Network, socket: UdpSocket, to: Endpoint, marker: str) -> Local:
    text = inquiry.options(marker, "udp", socket.local, to)

    def heard() -> bool:
        return any(inquiry.read(arrival.data, marker) for arrival in socket.inbox)

    for _ in range(_LOCAL_COPIES):
        socket.send(text, to)
        if await net.until(heard, _LOCAL_S):
            break
    for arrival in socket.inbox:
        answer = inquiry.read(arrival.data, marker)
        if answer is not None:
            return Local(reached=True, status=answer.status, software=answer.software)
    return Local(reached=bool(socket.inbox))


async def _ask_stream(net: Network, stream: Stream, question: _Question, marker: str) -> Local:
    certificate = control.fingerprint(stream.certificate) if stream.certificate else None
    if question.speak != "sip":
        return Local(reached=True, certificate=certificate)
    stream.send(inquiry.options(marker, question.transport, stream.local, stream.remote))
    await net.until(lambda: inquiry.read(bytes(stream.received), marker) is not None or stream.closed is not None, _LOCAL_S * 4)
    answer = inquiry.read(bytes(stream.received), marker)
    return Local(
        reached=True,
        status=answer.status if answer else None,
        software=answer.software if answer else "",
        certificate=certificate,
    )


# --- Asking through the edge -------------------------------------------------------------------------------------------------


async def _ask(net: Network, sightings: Sightings, questions: list[_Question]) -> None:
    """Rounds of questions from outside to those that are still silent, beside a control flow that measures the loss."""
    socket = await net.open_udp()
    try:
        proved = await net.proved(socket)
        for _ in range(ROUNDS):
            open_ones = [one for one in questions if not one.settled and not one.watched and not _silence_weighed(one)]
            if not open_ones:
                break
            measuring = asyncio.create_task(measure(net, socket))
            looking = asyncio.create_task(_look(sightings))
            try:
                await _round(net, sightings, open_ones)
                looking.cancel()
                if proved is None or all(one.settled for one in open_ones):
                    measuring.cancel()  # nothing can be weighed, or nothing was silent
                (weather,) = await asyncio.gather(measuring, return_exceptions=True)
            finally:
                looking.cancel()
                measuring.cancel()
                await asyncio.gather(looking, measuring, return_exceptions=True)
            if isinstance(weather, Weather):
                for one in open_ones:
                    one.weather += weather
            if proved is None:
                break  # without a control flow no silence can be proved, however often it is repeated
    finally:
        socket.close()


def _silence_weighed(question: _Question) -> bool:
    return Facts(transport=question.transport, told=tuple(question.told), weather=question.weather).loss_is_excluded


async def _round(net: Network, sightings: Sightings, questions: list[_Question]) -> None:
    """Ask these once, side by side, with an eye on what arrives over UDP and on what the system does not deliver."""
    series = net.new_series()
    groups: dict[tuple[control.Transport, str], list[_Question]] = {}
    for question in questions:
        groups.setdefault((question.transport, question.speak), []).append(question)
        question.markers.append(control.sip_marker(net.session, series, question.row.port))
    before = sightings.counters()
    await asyncio.gather(*(_put(net, series, transport, speak, group) for (transport, speak), group in groups.items()))
    after = sightings.counters()
    for question in questions:
        arrived = len(sightings.datagrams(question.markers[-1].encode())) if question.transport == "udp" else 0
        if arrived and before is not None and after is not None:
            question.watched = True
            question.delivered = was_delivered(arrived, after.undelivered - before.undelivered)


async def _put(
    net: Network, series: int, transport: control.Transport, speak: str, questions: list[_Question], *, alone: bool = False
) -> None:
    """``alone``: one copy, one connection, and no more patience than its answer needs."""
    ports = port_ranges.compress(question.row.port for question in questions)
    try:
        reply = await net.ask(
            lambda id: control.Inquire(
                id=id,
                series=series,
                address=net.observed,
                ports=ports,
                transport=transport,
                speak=speak,  # type: ignore[arg-type]
                attempts=1 if alone else ATTEMPTS,
                spacing_ms=SPACING_MS[transport],
                patience_ms=int(100 + 2000 * net.rtt) if alone else int(700 + 4000 * net.rtt),
            )
        )
    except RequestDeclined as declined:
        for question in questions:
            question.told.append(control.InquiryRow(port=question.row.port, outcome="unsent", attempts=0, detail=str(declined)))
        return
    told = {row.port: row for row in reply.rows} if isinstance(reply, control.Inquired) else {}
    for question in questions:
        if question.row.port in told:
            question.told.append(told[question.row.port])


async def _look(sightings: Sightings) -> None:
    """Connections are short: look often, for as long as the server asks."""
    while True:
        await sightings.look()
        await asyncio.sleep(_LOOK_S)


# --- What this machine saw ---------------------------------------------------------------------------------------------------


async def _weigh_arrivals(net: Network, sightings: Sightings, marks: Marks, questions: list[_Question]) -> None:
    """Where no packet socket tells, by marked packets; and where something was not delivered, once more with nothing beside it."""
    for question in questions:
        port = question.row.port
        if question.transport != "udp" or any(row.outcome == "unreachable" for row in question.told):
            continue
        if not sightings.sees_packets:
            await marks.ask(port, question.speak)
            if marks.arrived(port):
                question.delivered = was_delivered(marks.rises(port), marks.undelivered[port])
        elif question.watched and not question.settled and not question.delivered:
            await _round(net, sightings, [question])


async def _look_for_drops(net: Network, sightings: Sightings, questions: list[_Question]) -> None:
    """Of ports that did not answer, and at which nothing speaks against an arrival: whether this machine's own firewall drops it."""
    suspects = [one for one in questions if _may_be_dropped(one, sightings)]
    suspects = sorted(suspects, key=lambda one: one.delivered is not False)[:MOST_PORTS]
    if together(suspects) and await drops(net, sightings, len(suspects), lambda: _window(net, sightings, suspects)):
        for question in suspects:
            question.dropped = True
        return
    for question in suspects:
        if await drops(net, sightings, 1, lambda question=question: _window(net, sightings, [question])):  # type: ignore[misc]
            question.dropped = True


def _may_be_dropped(question: _Question, sightings: Sightings) -> bool:
    outcomes = {row.outcome for row in question.told}
    if not outcomes or outcomes & {"answered", "connected", "unsent"} or any(row.said for row in question.told):
        return False
    if sightings.sees_packets and question.row.port not in _arrivals(question, sightings):
        return False
    return question.delivered is not True


async def _window(net: Network, sightings: Sightings, questions: list[_Question]) -> Window | None:
    """One question to each of these, at once."""
    series, told = net.new_series(), [len(question.told) for question in questions]
    groups: dict[tuple[control.Transport, str], list[_Question]] = {}
    for question in questions:
        groups.setdefault((question.transport, question.speak), []).append(question)
        question.markers.append(control.sip_marker(net.session, series, question.row.port))
    await asyncio.gather(*(_put(net, series, *group, ones, alone=True) for group, ones in groups.items()))
    await net.sleep(margin(net))
    new = [question.told[length:] for question, length in zip(questions, told, strict=True)]
    if any(not rows or rows[0].outcome == "unsent" for rows in new):
        return None
    answered = any(row.outcome in ("answered", "connected") or row.said for rows in new for row in rows)
    if not sightings.sees_packets:
        return Window(None, answered)
    return Window(sum(_came(sightings, question, rows) for question, rows in zip(questions, new, strict=True)), answered)


def _came(sightings: Sightings, question: _Question, rows: list[control.InquiryRow]) -> bool:
    """Whether the last question to it was seen to arrive."""
    if question.transport == "udp":
        return question.row.port in sightings.datagrams(question.markers[-1].encode())
    sources = {source for row in rows for source in row.sources}
    return any(question.row.port in sightings.connections(parse_endpoint(source)) for source in sources)


def _arrivals(question: _Question, sightings: Sightings) -> list[int]:
    """Local ports at which something of this question was seen to arrive from outside."""
    if question.transport == "udp":
        return [port for marker in question.markers[1:] for port in sightings.datagrams(marker.encode())]
    return [port for source in _sources(question) for port in sightings.connections(parse_endpoint(source))]


def _sources(question: _Question) -> dict[str, None]:
    """From where the server has connected to it."""
    return dict.fromkeys(source for row in question.told for source in row.sources)


def _facts(net: Network, question: _Question, questions: list[_Question], sightings: Sightings, marks: Marks, owner: str | None) -> Facts:
    window: str | None = None
    arrivals: list[int] = _arrivals(question, sightings)
    port = question.row.port
    if question.transport == "udp" and sightings.sees_packets:
        # Asked directly, it came in by the loopback interface: that was seen too, or this window shows nothing.
        window = PACKETS if sightings.datagrams(question.markers[0].encode()) else None
    elif question.transport == "udp" and marks.arrived(port):
        window, arrivals = MARKS, [port] * marks.rises(port)
    elif question.transport != "udp" and (arrivals or sightings.sees_connections):
        window = PACKETS if any(str(peer) in _sources(question) for peer in sightings.callers()) else CONNECTIONS
        known = {source for one in questions for row in one.told for source in row.sources}
        strangers = [peer for peer in sightings.callers() if peer.host != net.source and str(peer) not in known]
        if sightings.sees_packets and not arrivals and not strangers:
            window = PACKETS  # not from the server, and from nobody in whose name the router could have passed it on
    return Facts(
        transport=question.transport,
        speak=question.speak,
        owner=owner,
        told=(*question.told, *(marks.told.get(port, ()) if question.transport == "udp" else ())),
        local=question.local,
        window=window,
        seen=sum(one == port for one in arrivals),
        elsewhere=next((one for one in arrivals if one != port), None),
        delivered=question.delivered,
        dropped=question.dropped,
        weather=question.weather,
    )
