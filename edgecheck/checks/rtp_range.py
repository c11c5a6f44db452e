"""Does every RTP port work, both ways?

Every port of the profile's range, both parities. In: the server sends a real RTP packet from its never-contacted address to each port,
while the port listens and has sent nothing. Out: each port sends one to the server's media port, which counts it and returns it. How
ports are judged is told in ``rtp_rounds``.
"""

import asyncio
import random
from typing import Literal

from edgecheck.checks.rtp_rounds import HEALTHY, UNPACED_RETRY, Round, Tally, judge_range, judge_rest
from edgecheck.checks.unsolicited import (
    COPIES,
    MOST_ROUNDS,
    NO_CONTROL_FLOW,
    SEVERAL_ADDRESSES,
    alternate_answers,
    believed,
    lets_anyone_in,
    margin,
    open_bare,
    remembered,
    sender,
)
from edgecheck.model.check import Check, Network, Observation, PortBatch, UdpSocket
from edgecheck.model.errors import ControlLost
from edgecheck.model.evidence import WRONG_BY_CHANCE, chance_of_silence
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import control, probe, rtp
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint
from edgecheck.wire.ports import Ranges

MOST_USED_BY_OTHERS = 512
"""RTP ports that other programs of this machine may have used in the last minutes: some hundred calls."""
REQUEST_PORTS = 2048
"""Ports in one request to the server when unpaced; paced, a quarter second's worth."""
CONTROLS = 320
"""Control copies on the contacted pair in a round that has few guides, or none, as far as the server allows: see ``rtp_rounds.GUIDES``."""
CONTROLS_OUT = 40
"""The same on the way out."""
FEW_GUIDES = 40
"""Guides that measure loss too coarsely by themselves: the control rides with them."""
_BURST = 16
"""Packets sent before waiting ones are read."""
_SERIES_AT = rtp.PROBE_OFFSET + 6
_SESSION_AT = rtp.PROBE_OFFSET + 8
_ITEM_AT = rtp.PROBE_OFFSET + 16


class RtpObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``rtp-range``."""

    range: tuple[int, int]
    tested: int
    """Ports that could be opened here."""
    inbound_open: int | None
    """None = not tried, see ``reasons``."""
    outbound_open: int | None
    """Packets arrived at the server, by its own account."""
    inbound_blocked: Ranges = ()
    outbound_blocked: Ranges = ()
    outbound_vouched: Ranges = ()
    """Those of ``outbound_blocked`` for which other clients have reached the server's port: its own side is open there."""
    return_blocked: Ranges = ()
    """Arrived at the server, which answered; not one of the answers came back."""
    remapped: Ranges = ()
    """Left with another source port."""
    undecided: Ranges = ()
    """In either direction, or in use here."""
    inbound_undecided: Ranges = ()
    outbound_undecided: Ranges = ()
    """On the way out, or back."""
    retried: int = 0
    """Probes sent beyond the first to each port, both ways."""
    sent: int = 0
    """Probes in all, both ways."""
    slowed_to: int | None = None
    """Probes a second that the path took, where it did not take the pace asked for."""
    busy: Ranges = ()
    """In use on this machine, or not to be had."""
    busy_with: dict[str, Ranges] = {}
    """Program -> those of ``busy`` that it holds, as far as the platform tells."""
    guides_sent: int = 0
    """Packets known to have a way through, in the rounds in which others stayed silent."""
    guides_arrived: int = 0
    alternate_answers: bool | None = None
    """Whether the alternate address answered when contacted afterwards; None = not needed, or not tried."""
    alternate_contacted_s: float | None = None
    reasons: dict[str, str] = {}
    """Why something is None or undecided."""


async def probe_network(net: Network, profile: Profile) -> RtpObservation:
    """Inbound of all batches first: a port that has sent is no longer unused. A batch is what the descriptors allow at once."""
    assert profile.rtp is not None  # the runner skips the check otherwise
    low, high = profile.rtp
    every = list(range(low, high + 1))
    size = min(net.port_capacity, len(every))
    batches = [every[start : start + size] for start in range(0, len(every), size)]
    # The order is unknown outside and can be repeated within a session.
    work = _Work(net, (low, high), random.Random(net.session))
    try:
        if len(batches) == 1:
            with await work.open(batches[0]) as listening:
                work.open_media_meanwhile(listening.ports)
                await work.inbound(listening)
                await work.outbound(listening)
        else:
            for direction in (work.inbound, work.outbound):
                for batch in batches:
                    with await work.open(batch) as listening:
                        await direction(listening)
    except ControlLost as error:
        work.lost = str(error).rstrip(".")  # what arrived has arrived; nothing silent is proved any more
    return await work.observe()


class _Listening:
    """A batch of open ports, and which of them heard a packet of a series."""

    def __init__(self, batch: PortBatch) -> None:
        self.batch = batch
        self._seen = 0
        self._heard: dict[int, set[int]] = {}

    def __enter__(self) -> "_Listening":
        return self

    def __exit__(self, *_: object) -> None:
        self.batch.close()

    @property
    def ports(self) -> list[int]:
        """Those that could be opened."""
        return sorted(self.batch.opened)

    def heard(self, series: int) -> set[int]:
        arrivals = self.batch.arrivals
        while self._seen < len(arrivals):
            port, arrival = arrivals[self._seen]
            self._seen += 1
            self._heard.setdefault(int.from_bytes(arrival.data[_SERIES_AT : _SERIES_AT + 2], "big"), set()).add(port)
        return self._heard.get(series, set())


class _Work:
    """Sends and hears for both directions, and keeps what the report shows."""

    def __init__(self, net: Network, whole: tuple[int, int], dice: random.Random) -> None:
        self.net = net
        self.whole = whole
        self.dice = dice
        self.total = 2 * (whole[1] - whole[0] + 1)
        self.done = 0
        self.busy: dict[int, str] = {}
        self.owners: dict[int, str] = {}
        self.inward: list[Tally] = []
        self.outward: list[Tally] = []
        self.back: list[Tally] = []
        self.vouched: set[int] = set()
        self.lost = ""
        """Why the server was lost in mid-run."""
        self.leaves_from = net.observed
        self.udp_alive = False
        """Whether any control flow could be set up."""
        self._opening: asyncio.Task[set[int]] | None = None
        self.returned: set[int] = set()
        self.remapped: set[int] = set()
        self.doubtful: set[int] = set()
        self.unheard: set[int] = set()
        self.reasons: dict[str, str] = {}
        self.contacted = net.memory.contacted(net.alternate.host) if net.alternate else None

    def _ours(self, data: bytes) -> bool:
        return len(data) >= _ITEM_AT + 4 and data[_SESSION_AT : _SESSION_AT + 8] == self.net.session

    def _tell(self, more: int) -> None:
        self.net.progress(min(self.total, self.done + more), self.total, "ports")

    async def open(self, ports: list[int]) -> _Listening:
        """Open a batch of ports; those that another program holds are noted."""
        batch = await self.net.open_ports(ports, self._ours)
        self.busy.update(batch.busy)
        held = [port for port, why in batch.busy.items() if why == "port-in-use" and port not in self.owners]
        if held:
            self.owners.update(await self.net.owners("udp", held))
        return _Listening(batch)

    async def inbound(self, listening: _Listening) -> None:
        """The never-contacted address sends to every port of the batch."""
        net = self.net
        self.done += len(listening.batch.busy)
        if net.alternate is None:
            self.reasons["inbound_open"] = "the server has one address only, so nothing can be sent from one that was never contacted"
            self.done += len(listening.ports)
            return
        contact = await net.open_udp()
        bare = await open_bare(net, range(self.whole[0], self.whole[1] + 1))
        try:
            at = await net.proved(contact)
            self.leaves_from = at.host if at else self.leaves_from
            self.udp_alive |= at is not None
            tally = Tally(listening.ports)
            self.inward.append(tally)

            async def fire(asked: list[int], guides: list[int], pace: int) -> Round:
                return await self._round_in(listening, (contact, at), asked, guides, pace)

            await judge_range(tally, fire, net.pace, self.dice, hopeless=at is None)
            if at is None and tally.missing():
                self.reasons["undecided"] = NO_CONTROL_FLOW
            await self._weigh_canaries(tally, contact, at, bare)
        finally:
            contact.close()
            for socket in bare:
                socket.close()
        self.done += len(listening.ports)

    async def _round_in(
        self, listening: _Listening, pair: tuple[UdpSocket, Endpoint | None], asked: list[int], guides: list[int], pace: int
    ) -> Round:
        net, (contact, at) = self.net, pair
        series, control_series = net.new_series(), net.new_series()
        order = [*asked, *guides]
        self.dice.shuffle(order)
        step = REQUEST_PORTS if pace == 0 else max(32, pace // 4)
        parts = [order[start : start + step] for start in range(0, len(order), step)]
        # Where few ports are known to be good yet, the control is the contacted pair, spread over the round like the others.
        copies = min(net.limits.copies, -(-CONTROLS // len(parts))) if at is not None and len(guides) < FEW_GUIDES else 0
        failed = 0
        for part in parts:
            asks = [net.ask(lambda id: _request(id, series, net.observed, part, "BX", pace=pace, dress="rtp"))]  # noqa: B023
            if copies and at is not None:
                asks.append(net.ask(lambda id: _request(id, control_series, at.host, [at.port], "A1", copies=copies, spacing_ms=2)))
            reply = (await asyncio.gather(*asks))[0]
            failed += reply.failed if isinstance(reply, control.Probed) else len(part)
            self._tell(len(listening.heard(series)))
        await net.until(lambda: len(listening.heard(series)) >= len(order), margin(net))
        return _round(listening.heard(series), guides, (copies * len(parts), _probes(net, contact, control_series)), failed)

    async def _weigh_canaries(self, tally: Tally, contact: UdpSocket, at: Endpoint | None, bare: list[UdpSocket]) -> None:
        """Ports that arrived though nothing need forward them: a loose filter, or a router that remembers (see ``unsolicited``)."""
        net = self.net
        used = {port for port in tally.open if remembered(net.memory.sent_from(port))}
        # A PBX that was just stopped has used some ports, not thousands: then a loose filter alone could explain what arrived.
        few = len(tally.open) <= MOST_USED_BY_OTHERS
        if net.alternate is None or not tally.open or not (used or few or remembered(self.contacted)):
            return
        exposed, loose = await self._canaries(contact, at, bare)
        known = net.memory.recall(f"exposed/{net.alternate.host}")
        trusted = not remembered(self.contacted) or (known is not None and known[0] == "yes" and believed(known[1]))
        if exposed and not trusted:
            self.doubtful |= tally.open
            self.reasons["undecided"] = (
                "an earlier run contacted the alternate address, and this edge lets it in on any port now: "
                "run again ten minutes after the last run"
            )
        elif loose is not False and not exposed and used:
            self.doubtful |= used
            self.reasons["undecided"] = (
                f"these ports sent packets in the last ten minutes, and {lets_anyone_in(loose)}: run again ten minutes after the last run"
            )
        elif loose is not False and not exposed and few:
            self.doubtful |= tally.open
            self.reasons["undecided"] = f"they arrive, but {lets_anyone_in(loose)}, and another program may have used them"

    async def _canaries(self, contact: UdpSocket, at: Endpoint | None, bare: list[UdpSocket]) -> tuple[bool, bool | None]:
        """Whether the never-contacted address reaches a port that sent nothing, and one that was used; None: loss may explain it."""
        net = self.net
        exposed = reached = False
        sent = arrived = 0
        for _ in range(MOST_ROUNDS):
            series, control_series = net.new_series(), net.new_series()
            asks = []
            if bare:
                ports = [socket.local.port for socket in bare]
                asks.append(net.ask(lambda id: _request(id, series, net.observed, ports, "BX", copies=COPIES)))  # noqa: B023
            if at is not None:
                for number, who in ((series, "BX"), (control_series, "A1")):
                    asks.append(net.ask(lambda id, number=number, who=who: _request(id, number, at.host, [at.port], who, copies=COPIES)))  # type: ignore[misc]
            await asyncio.gather(*asks)
            await net.until(lambda: False, margin(net))
            exposed |= any(_probes(net, socket, series) for socket in bare)
            if at is None:
                return exposed, None
            reached |= _probes(net, contact, series) > 0
            sent, arrived = sent + COPIES, arrived + _probes(net, contact, control_series)
            if reached or chance_of_silence(arrived, sent, sent) < WRONG_BY_CHANCE:
                return exposed, reached
        return exposed, None

    async def outbound(self, listening: _Listening) -> None:
        """Every port of the batch sends to a media port of the server, which counts the packet and returns it."""
        net = self.net
        self.done += len(listening.batch.busy)
        usable = listening.ports
        if net.service.media is None or not usable:
            self.reasons["outbound_open"] = "no port could be opened here" if net.service.media else "the server offers no media ports"
            self.done += len(usable)
            return
        contact = await net.open_udp()
        proving = asyncio.create_task(net.proved(contact))
        try:
            net.memory.note_sent(usable)
            opened = await (self._opening or self._open_media(usable))
            there = Tally([port for port in usable if self._target(port) in opened])
            if len(there.ports) < len(usable):
                self.unheard |= set(usable).difference(there.ports)
                self.reasons["outbound_open"] = "the server could not open all of the media ports"
            self.outward.append(there)

            async def fire(asked: list[int], guides: list[int], pace: int) -> Round:
                return (await self._round_out(listening, contact, asked, guides, pace))[0]

            async def fire_back(asked: list[int], guides: list[int], pace: int) -> Round:
                return (await self._round_out(listening, contact, asked, guides, pace))[1]

            await judge_range(there, fire, net.pace, self.dice)
            if await proving is not None and not self.udp_alive:
                self.udp_alive = True
                if there.blocked:
                    # UDP was away altogether, and is back: what was judged without any control is judged anew.
                    there.blocked.clear()
                    there.chance.clear()
                    await judge_range(there, fire, net.pace, self.dice)
            # What got out has been answered; an answer that did not come is asked for again, or loss would read as a block.
            back = Tally(sorted(there.open), open=self.returned & there.open)
            self.back.append(back)
            await judge_rest(back, fire_back, min(net.pace or UNPACED_RETRY, UNPACED_RETRY), self.dice)
            await net.ask(lambda id: control.CloseMedia(id=id))
        finally:
            proving.cancel()
            contact.close()
        self.done += len(usable)

    def _target(self, port: int) -> int:
        """The server's port for a local port: the same number where its range has it."""
        assert self.net.service.media is not None
        low, high = self.net.service.media
        return port if low <= port <= high else low + (port - low) % (high - low + 1)

    def open_media_meanwhile(self, ports: list[int]) -> None:
        """Let the server open its sockets while the other direction is tested."""
        if self.net.service.media is not None and ports:
            self._opening = asyncio.create_task(self._open_media(ports))
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # inbound may fail before it is awaited

    async def _open_media(self, ports: list[int]) -> set[int]:
        wanted = port_ranges.compress(self._target(port) for port in ports)
        reply = await self.net.ask(lambda id: control.OpenMedia(id=id, ports=wanted))
        return set(port_ranges.expand(reply.ports)) if isinstance(reply, control.MediaOpened) else set()

    async def _round_out(
        self, listening: _Listening, contact: UdpSocket, asked: list[int], guides: list[int], pace: int
    ) -> tuple[Round, Round]:
        """What arrived there, and what came back."""
        net, batch = self.net, listening.batch
        series = net.new_series()
        order = [*asked, *guides]
        self.dice.shuffle(order)
        ask = probe.Probe(probe.Kind.ECHO, net.session, series, 0)
        packet = bytearray(rtp.probe_packet(probe.serialize(ask), series, 160 * series, int.from_bytes(net.session[:4], "big")))
        began, host, failed = net.now(), net.primary.host, 0
        control = _Control(net, contact, len(order), CONTROLS_OUT if len(guides) < FEW_GUIDES else 0)
        for position, port in enumerate(order):
            control.send(position)
            packet[_ITEM_AT : _ITEM_AT + 4] = port.to_bytes(2, "big") * 2
            to = Endpoint(host, self._target(port))
            if not batch.send(port, bytes(packet), to):
                await net.sleep(0.002)
                failed += not batch.send(port, bytes(packet), to)
            ahead = position / pace - (net.now() - began) if pace else 0.0
            if ahead > 0.004:
                self._tell(len(listening.heard(series)))
                await net.sleep(ahead)
            elif position % _BURST == 0:
                batch.drain()
                if position % 1024 == 0:
                    await net.sleep(0)
        await net.until(lambda: len(listening.heard(series)) >= len(order), margin(net))
        returned = set(listening.heard(series))
        self.returned |= returned
        account = await net.account(series)
        if account is not None:
            self.vouched = set(port_ranges.expand(account.reached_by_others))
        # Without a row for media no packet of the series reached the server; without a receipt only what came back is known to have.
        arrived = returned
        if account is not None and account.media is not None:
            arrived = set(port_ranges.expand(account.media.received))
            self.remapped |= set(port_ranges.expand(account.media.remapped_ports))
        complete = len(returned) == len(order)
        out, back = ((0, 0), (0, 0)) if complete else await control.outcome(self.udp_alive)
        return _round(arrived, guides, out, failed + (account is None)), _round(returned, guides, back, failed)

    async def observe(self) -> RtpObservation:
        """Put both directions together; an alternate address that was never heard must have shown that it lives."""
        answers = None
        in_open, in_blocked, in_unsure = _together(self.inward)
        out_open, out_blocked, out_unsure = _together(self.outward)
        if self.lost:
            why = self.lost[:1].lower() + self.lost[1:]
            self.reasons |= {"undecided": why, "outbound_undecided": why}
            for name, direction, unsure in (("inbound_open", self.inward, in_unsure), ("outbound_open", self.outward, out_unsure)):
                if direction:
                    tried = {port for tally in direction for port in tally.ports}
                    unsure |= set(range(self.whole[0], self.whole[1] + 1)) - tried
                else:
                    self.reasons.setdefault(name, why)
            in_unsure, in_blocked = in_unsure | in_blocked, set()
        if in_blocked and not in_open:
            answers = await alternate_answers(self.net)
            if not answers:
                self.reasons["undecided"] = "the server's alternate address did not answer when contacted: its silence proves nothing"
                in_unsure, in_blocked = in_unsure | in_blocked, set()
        if in_blocked and self.leaves_from != self.net.observed:
            self.reasons["undecided"] = SEVERAL_ADDRESSES.format(control=self.net.observed, media=self.leaves_from)
            in_unsure, in_blocked = in_unsure | in_blocked, set()
        _, lost_return, unsure_return = _together(self.back)
        in_unsure = (in_unsure | self.doubtful).difference(self.busy)
        out_unsure = (out_unsure | unsure_return | self.unheard).difference(self.busy)
        tallies = [*self.inward, *self.outward, *self.back]
        return RtpObservation(
            range=self.whole,
            tested=len({port for tally in tallies for port in tally.ports}),
            inbound_open=len(in_open - self.doubtful) if self.inward else None,
            outbound_open=len(out_open) if self.outward else None,
            inbound_blocked=port_ranges.compress(in_blocked),
            outbound_blocked=port_ranges.compress(out_blocked),
            outbound_vouched=port_ranges.compress(port for port in out_blocked if self._target(port) in self.vouched),
            return_blocked=port_ranges.compress(lost_return),
            remapped=port_ranges.compress(self.remapped),
            undecided=port_ranges.compress(in_unsure | out_unsure | set(self.busy)),
            inbound_undecided=port_ranges.compress(in_unsure),
            outbound_undecided=port_ranges.compress(out_unsure),
            retried=sum(max(0, tally.sent - len(tally.ports)) for tally in (*self.inward, *self.outward)) + sum(t.sent for t in self.back),
            sent=sum(tally.sent for tally in tallies),
            slowed_to=min((tally.slowed_to for tally in tallies if tally.slowed_to), default=None),
            busy=port_ranges.compress(self.busy),
            busy_with={
                name: port_ranges.compress(port for port, owner in self.owners.items() if owner == name)
                for name in dict.fromkeys(self.owners.values())
            },
            guides_sent=sum(tally.guides_sent for tally in tallies),
            guides_arrived=sum(tally.guides_arrived for tally in tallies),
            alternate_answers=answers,
            alternate_contacted_s=self.contacted,
            reasons=self.reasons,
        )


class _Control:
    """Other UDP on the way out in the same moments, spread over a round: echoes from a socket of its own, counted at both ends."""

    def __init__(self, net: Network, contact: UdpSocket, size: int, copies: int) -> None:
        self._net = net
        self._contact = contact
        self._copies = copies
        self._series = net.new_series()
        self._packet = probe.serialize(probe.Probe(probe.Kind.ECHO, net.session, self._series, 0, port=contact.local.port))
        self._due = [number * size // copies for number in range(copies)]
        self._sent = 0

    def send(self, position: int) -> None:
        """What is due at this position of the round."""
        while self._sent < self._copies and self._due[self._sent] <= position:
            self._contact.send(self._packet, self._net.primary)
            self._sent += 1

    async def outcome(self, alive: bool) -> tuple[tuple[int, int], tuple[int, int]]:
        """(sent, arrived) of the way out and of the way back.

        ``alive``: other UDP was answered before. Where it never was, a control that does not get through is none.
        """
        account = await self._net.account(self._series) if self._copies else None
        arrived = sum(row.copies for row in account.received) if account else 0
        returned = _probes(self._net, self._contact, self._series)
        return (self._sent, arrived) if arrived or alive else (0, 0), (arrived, returned) if returned or alive else (0, 0)


def _round(arrived: set[int], guides: list[int], control: tuple[int, int], failed: int) -> Round:
    """The control counts beside the guides only where these came through: it may pass where they are held back."""
    known = len(arrived.intersection(guides))
    sent, came = control if known >= HEALTHY * len(guides) else (0, 0)
    return Round(set(arrived), len(guides) + sent, known + came, failed)


def _together(tallies: list[Tally]) -> tuple[set[int], set[int], set[int]]:
    """Open, blocked and undecided ports of all batches."""
    found = {port for tally in tallies for port in tally.open}
    blocked = {port for tally in tallies for port in tally.blocked}
    return found, blocked, {port for tally in tallies for port in tally.missing()}


def _probes(net: Network, socket: UdpSocket, series: int) -> int:
    """Probes of this series in a socket's inbox that the server's own addresses sent."""
    senders = {sender(net, "A1"), sender(net, "BX")}
    count = 0
    for one in socket.inbox:
        offset = 0 if one.data.startswith(probe.MAGIC) else rtp.PROBE_OFFSET
        ours = one.data[offset + 8 : offset + 16] == net.session
        count += ours and int.from_bytes(one.data[offset + 6 : offset + 8], "big") == series and one.source in senders
    return count


def _request(
    id: int,
    series: int,
    address: str,
    ports: list[int],
    who: control.Sender,
    *,
    copies: int = 1,
    spacing_ms: int = 10,
    pace: int = 0,
    dress: Literal["plain", "rtp"] = "plain",
) -> control.Probe:
    return control.Probe(
        id=id,
        series=series,
        address=address,
        ports=port_ranges.compress(ports),
        senders=(who,),
        copies=copies,
        spacing_ms=spacing_ms,
        pace=pace,
        dress=dress,
        shuffle=series,
    )


def judge(seen: RtpObservation, profile: Profile) -> tuple[Finding, ...]:
    """Blocked ranges by the profile's expectation; ranges in words, since an end that is off is a typo in a rule."""
    low, high = seen.range
    size = high - low + 1
    inward = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.rtp_inbound]
    moved = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.preservation]
    evidence = _evidence(seen)
    findings: list[Finding] = []

    def add(cause: str, verdict: Verdict, ranges: Ranges, summary: str, expected: str, observed: str) -> None:
        subject = _short(port_ranges.text(ranges)) if ranges else f"{low}-{high}"
        findings.append(
            Finding(
                id=f"rtp-range.{cause}",
                verdict=verdict,
                subject=f"UDP {subject}",
                summary=summary,
                expected=expected,
                observed=observed,
                evidence=evidence,
                reference="RFC 3550 section 11",
            )
        )

    if seen.inbound_blocked:
        text = _short(port_ranges.text(seen.inbound_blocked))
        rest = f"; {seen.inbound_open} of {size} ports receive" if seen.inbound_open else ""
        summary = f"RTP to {text} never arrives from outside{rest}."
        if inward is Verdict.PASS:
            summary = f"RTP to {text} does not come in unasked, which this profile does not need."
        add("inbound-blocked", inward, seen.inbound_blocked, summary, "every port receives", text)
    if seen.outbound_blocked:
        vouched = set(port_ranges.expand(seen.outbound_vouched))
        doubtful = port_ranges.compress(set(port_ranges.expand(seen.outbound_blocked)) - vouched)
        if seen.outbound_vouched:
            text = port_ranges.text(seen.outbound_vouched)
            summary = f"RTP from {text} does not get out: it never reaches the server, where other clients' packets arrive."
            add("outbound-blocked", Verdict.FAIL, seen.outbound_vouched, summary, "every port sends", text)
        if doubtful:
            text = port_ranges.text(doubtful)
            summary = (
                f"RTP from {text} does not reach the server: this edge drops it, or the firewall in front of the server does "
                "(no other client has reached those ports of the server yet)."
            )
            add("outbound-blocked", Verdict.INCONCLUSIVE, doubtful, summary, "every port sends", text)
    if seen.return_blocked:
        text = _short(port_ranges.text(seen.return_blocked))
        summary = f"RTP from {text} gets out, but the answers to it do not come back."
        add("return-blocked", Verdict.FAIL, seen.return_blocked, summary, "answers come back", text)
    if seen.remapped:
        text = _short(port_ranges.text(seen.remapped))
        unneeded = ", which this profile does not need kept" if moved is Verdict.PASS else ""
        summary = f"RTP from {text} leaves with another source port{unneeded}."
        add("remapped", moved, seen.remapped, summary, "source ports keep their number", text)
    busy = set(port_ranges.expand(seen.busy))
    loss = "too much loss to tell"
    unneeded_in = inward is Verdict.PASS
    for ranges, way, why in (
        (_untold_either_way(seen), "", seen.reasons.get("undecided", loss)),
        (seen.inbound_undecided, "to ", seen.reasons.get("undecided", loss)),
        (seen.outbound_undecided, "from ", seen.reasons.get("outbound_undecided", seen.reasons.get("outbound_open", loss))),
    ):
        if ranges:
            skip = unneeded_in and way == "to "
            summary = f"RTP {way}{_short(port_ranges.text(ranges))} could not be told{', nor does this profile need it' * skip}: {why}."
            add("undecided", Verdict.SKIPPED if skip else Verdict.INCONCLUSIVE, ranges, summary, "every port works", "undecided")
    if seen.busy:
        # No error, and nothing is borrowed from a PBX: what could not be tested is said.
        summary = f"RTP {_short(port_ranges.text(seen.busy))} was not tested: in use on this machine{_holders(seen)}."
        add("in-use", Verdict.SKIPPED, seen.busy, summary, "every port works", "in use here")
    for name, why in seen.reasons.items():
        if name in ("inbound_open", "outbound_open"):
            wanted = name == "outbound_open" or profile.expect.rtp_inbound != "ignore"
            summary = f"{name.removesuffix('_open').capitalize()} RTP was not fully tested: {why}."
            add("not-tested", Verdict.INCONCLUSIVE if wanted else Verdict.SKIPPED, (), summary, "", "")
    if seen.slowed_to is not None:
        summary = (
            f"More packets were lost in faster rounds than at {seen.slowed_to} a second: the edge may limit how many new flows it takes. "
            "Calls are far below that."
        )
        add("throttled", Verdict.PASS, (), summary, "", f"{seen.slowed_to} a second")
    if not any(finding.verdict in (Verdict.FAIL, Verdict.WARN, Verdict.INCONCLUSIVE) for finding in findings):
        parts = [
            f"{count} {words}"
            for count, words in ((seen.inbound_open, "receive from outside"), (seen.outbound_open, "reach outside and are answered"))
            if count is not None and count == size - len(busy) > 0
        ]
        if parts:
            free = port_ranges.compress(set(range(low, high + 1)) - busy)
            summary = f"Of {size - len(busy)} {'free ' * bool(busy)}RTP ports {' and '.join(parts)}."
            add("open", Verdict.PASS, free, summary, "every port works", "open")
    return tuple(findings)


def _untold_either_way(seen: RtpObservation) -> Ranges:
    """Undecided ports of a report that is older than the two directions apart."""
    known = (seen.busy, seen.inbound_undecided, seen.outbound_undecided)
    return port_ranges.compress(set(port_ranges.expand(seen.undecided)).difference(*map(port_ranges.expand, known)))


def _holders(seen: RtpObservation) -> str:
    """`` by asterisk (pid 812)``, with the ports of each where there are several; empty where nobody can be named."""
    named = [
        name if len(seen.busy_with) == 1 and ranges == seen.busy else f"{name} ({_short(port_ranges.text(ranges), 60)})"
        for name, ranges in seen.busy_with.items()
    ]
    return f" by {', '.join(named[:4])}{' and others' * (len(named) > 4)}" if named else ""


def _short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[:most].rsplit(",", 1)[0] + ", ..."


def _evidence(seen: RtpObservation) -> tuple[str, ...]:
    out = [f"{seen.sent} RTP packets (payload type 0, 20 ms) for {seen.tested} ports, {seen.retried} of them retries"]
    for count, silent, words in (
        (seen.inbound_open, seen.inbound_blocked, "in, from an address never contacted: {} ports received"),
        (seen.outbound_open, seen.outbound_blocked, "out, by the server's own count: {} ports arrived"),
    ):
        if count is not None:
            untold = seen.tested - count - port_ranges.count(silent)
            also = f"; not told: {untold} ports" if untold > 0 else ""
            out.append(f"{words.format(count)}; silent: {_short(port_ranges.text(silent))}{also}")
    if seen.guides_sent:
        out.append(f"in the same rounds {seen.guides_arrived} of {seen.guides_sent} control packets arrived")
    if seen.alternate_answers is not None:
        out.append("contacted afterwards, the alternate address " + ("answered" if seen.alternate_answers else "did not answer"))
    return tuple(out)


def summarize(seen: RtpObservation, findings: tuple[Finding, ...]) -> str:
    """``10000-11999 open both ways; 12000-20000 never arrive``"""
    low, high = seen.range
    unneeded = {(finding.id.removeprefix("rtp-range."), finding.verdict) for finding in findings}
    asked_in = () if ("undecided", Verdict.SKIPPED) in unneeded else seen.inbound_undecided
    silence, unsure = set(port_ranges.expand(seen.inbound_blocked)), set(port_ranges.expand(seen.inbound_undecided))
    troubles: list[tuple[Ranges, str, str]] = [
        (() if ("inbound-blocked", Verdict.PASS) in unneeded else seen.inbound_blocked, "{} never arrives", "{} never arrive"),
        (seen.outbound_blocked, "{} does not reach the server", "{} do not reach the server"),
        (seen.return_blocked, "{} gets no answer back", "{} get no answer back"),
        (asked_in, *_alike("whether {} can be reached could not be told")),
        (seen.outbound_undecided, *_alike("whether {} gets out and back could not be told")),
        (_untold_either_way(seen), *_alike("{} could not be told")),
        (seen.busy, "{} is in use here and was not tested", "{} are in use here and were not tested"),
    ]
    fine = set(range(low, high + 1)).difference(*(port_ranges.expand(ranges) for ranges, _, _ in troubles))
    whole = seen.inbound_open is not None and seen.outbound_open is not None
    ways = "open both ways" if whole else "receive from outside" if seen.inbound_open is not None else "get out and are answered"
    moved = "with another number" + ", which this profile does not need kept" * (("remapped", Verdict.PASS) in unneeded)
    unasked = "{} get out and are answered; what comes unasked does not get in, which this profile does not need"
    untold = "{} get out and are answered; what comes unasked could not be told, nor does this profile need it"
    parts = [
        (port_ranges.compress(fine - silence - unsure), *_alike("{} " + ways)),
        (port_ranges.compress(fine & silence), *_alike(unasked)),
        (port_ranges.compress(fine & unsure), *_alike(untold)),
        *troubles,
        (seen.remapped, "{} leaves " + moved, "{} leave " + moved),
    ]
    told = [(ranges, one if port_ranges.count(ranges) == 1 else many) for ranges, one, many in parts if ranges]
    said = [words.format(_span(ranges, high - low + 1)) for ranges, words in told]
    said += [f"{way} not tested" for way, count in (("inbound", seen.inbound_open), ("outbound", seen.outbound_open)) if count is None]
    return "; ".join(said)


def _alike(words: str) -> tuple[str, str]:
    """The same for one port and for many."""
    return words, words


def _span(ranges: Ranges, size: int, most: int = 3) -> str:
    """A few ranges by their ends, many by their number."""
    return port_ranges.text(ranges) if len(ranges) <= most else f"{port_ranges.count(ranges)} of {size} ports"


CHECK = Check(
    id="rtp-range",
    question="Does every RTP port work, both ways?",
    observation=RtpObservation,
    needs=frozenset(),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    unfit=lambda profile: "" if profile.rtp else "the profile names no RTP range",
)
