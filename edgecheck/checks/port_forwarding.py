"""Does an unsolicited packet reach the PBX?

The server sends to every inbound port of the profile from its alternate address, which this machine has never contacted, while the
ports listen and have sent nothing. What arrives is held against canaries (see ``unsolicited``): a NAT that filters loosely, or one that
remembers hosts, is not a forwarding rule. TCP ports are dialed the same way and must return a nonce, so that whoever else accepts the
connection is not taken for us.
"""

import asyncio
from typing import Literal

import msgspec

from edgecheck.checks.unsolicited import (
    MOST_ROUNDS,
    NO_CONTROL_FLOW,
    SEVERAL_ADDRESSES,
    Inbox,
    alternate_answers,
    alternate_connects,
    believed,
    lets_anyone_in,
    margin,
    open_bare,
    probe_of,
    remembered,
    sender,
)
from edgecheck.model.check import Check, Listener, Network, Observation, Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import WRONG_BY_CHANCE, Answered, chance_of_silence
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.model.verdict import Finding, Verdict
from edgecheck.wire import control, probe
from edgecheck.wire import ports as port_ranges
from edgecheck.wire.address import Endpoint, parse_endpoint

COPIES = 6
SPACING_MS = 25
DIAL_ATTEMPTS = 12
"""Each with a SYN of its own: at 14 % loss each way, all twelve fail once in ten million."""
DIAL_SPACING_MS = 40
DIAL_ROUNDS = 4
CONTROLS = 30
"""UDP control copies in each round of dials."""
CONTROL_SPACING_MS = 20
State = Literal["forwarded", "blocked", "refused", "answered", "undecided"]


class PortRow(msgspec.Struct, frozen=True, kw_only=True):
    """One port and what became of unsolicited packets to it."""

    port: int
    transport: Literal["udp", "tcp"]
    purpose: str
    required: bool
    state: State
    answered_by: str | None = None
    """``refused``: who refused. ``answered``: what spoke there."""
    copies: int = 0
    """Probes or connection attempts that left the server for this port."""
    arrived: int = 0
    reason: str = ""
    """Why it is ``undecided``; details of a refusal."""


class Canaries(msgspec.Struct, frozen=True, kw_only=True):
    """What the same packets met on ports that no rule names."""

    bare: int = 0
    """Canaries that had sent nothing."""
    bare_reached: int = 0
    """How many of them an unsolicited packet reached."""
    mapped_reached: bool | None = None
    """Whether one got through to a port that had contacted the primary address only; None = no such canary, or loss may explain it."""
    control_sent: int = 0
    control_arrived: int = 0
    """Copies from the contacted address and port to the mapped canary: the path's loss in the same moments."""
    several_addresses: str | None = None
    """The public address from which UDP leaves, where it is not the one that was probed."""


class ForwardingObservation(Observation, frozen=True, kw_only=True):
    """Facts of ``port-forwarding``."""

    ports: tuple[PortRow, ...]
    probed_address: str
    """The public address whose ports were probed."""
    prober: str
    """The never-contacted address that sent."""
    udp: Canaries = Canaries()
    tcp: Canaries = Canaries()
    alternate_contacted_s: float | None = None
    alternate_answers: bool | None = None
    """Whether the alternate address reached us over UDP when contacted afterwards; None = not needed, or not tried."""
    alternate_connects: bool | None = None
    """The same over TCP."""


def inbound(profile: Profile) -> list[tuple[PortNeed, int]]:
    """Every port that must be forwarded, with the need it stands for; the RTP range is a check of its own."""
    needs = [need for need in profile.ports if need.direction == "in" and need.protocol != "rtp"]
    return [(need, port) for need in needs for port in port_ranges.expand(port_ranges.parse(need.ports))]


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
    # Silent TCP canaries cost a second. They are needed where the router may remember the prober or a port that was used, or where no
    # UDP canary stands for them.
    tcp_used = any(remembered(net.memory.sent_from(port, "tcp")) for _, port in tcp_wanted)
    tcp_canaries = remembered(contacted) or tcp_used or not udp_wanted
    (udp_rows, udp), (tcp_rows, tcp) = await asyncio.gather(
        _probe_udp(net, udp_wanted, avoid), _probe_tcp(net, tcp_wanted, avoid if tcp_canaries else None)
    )
    clean = not remembered(contacted)
    known_exposed = exposed is not None and exposed[0] == "yes" and believed(exposed[1])
    if clean and (udp.bare or tcp.bare):
        net.memory.note(f"exposed/{alternate.host}", "yes" if udp.bare_reached or tcp.bare_reached else "no")
    elif udp.bare and not udp.bare_reached and not tcp.bare_reached:
        net.memory.note(f"exposed/{alternate.host}", "no")
    trusted = clean or known_exposed
    rows = [_weigh(net, row, udp, trusted) for row in udp_rows] + [_weigh(net, row, tcp, trusted) for row in tcp_rows]
    if udp.several_addresses:
        several = SEVERAL_ADDRESSES.format(control=net.observed, media=udp.several_addresses)
        rows = [_doubt(row, several, ("blocked", "refused")) for row in rows]
    silent = "the server's alternate address did not answer when contacted over {}: its silence proves nothing"
    answers = connects = None
    if _wholly_silent(rows, "udp"):
        answers = await alternate_answers(net)
        rows = rows if answers else [_doubt(row, silent.format("UDP")) if row.transport == "udp" else row for row in rows]
    if _wholly_silent(rows, "tcp"):
        connects = await alternate_connects(net)
        rows = rows if connects else [_doubt(row, silent.format("TCP")) if row.transport == "tcp" else row for row in rows]
    return ForwardingObservation(
        ports=tuple(rows),
        probed_address=net.observed,
        prober=alternate.host,
        udp=udp,
        tcp=tcp,
        alternate_contacted_s=contacted,
        alternate_answers=answers,
        alternate_connects=connects,
    )


def _wholly_silent(rows: list[PortRow], transport: str) -> bool:
    """Some port of this transport is blocked, and none of them shows that the prober reaches us at all."""
    mine = [row for row in rows if row.transport == transport]
    return any(row.state == "blocked" for row in mine) and not any(row.arrived or row.state in ("refused", "answered") for row in mine)


def _doubt(row: PortRow, reason: str, states: tuple[str, ...] = ("blocked",)) -> PortRow:
    return msgspec.structs.replace(row, state="undecided", reason=reason) if row.state in states else row


def _chance_of_tcp_silence(control_arrived: int, control_sent: int, attempts: int) -> float:
    """The chance that loss alone silenced so many connection attempts: each needs a SYN in and a SYN-ACK out."""
    one_way = chance_of_silence(control_arrived, control_sent, 1)
    return float((1 - (1 - one_way) ** 2) ** attempts) if attempts else 1.0


def _weigh(net: Network, row: PortRow, canaries: Canaries, trusted: bool) -> PortRow:
    """Whether something else than a rule explains the arrival."""
    if row.state != "forwarded":
        return row
    if canaries.bare_reached and not trusted:
        reason = (
            "an earlier run contacted the alternate address, and this edge lets it in on any port now: "
            "run again ten minutes after the last run"
        )
        return msgspec.structs.replace(row, state="undecided", reason=reason)
    if canaries.bare_reached:
        return row  # everything is let in, used or not
    used = net.memory.sent_from(row.port, row.transport)
    loose = lets_anyone_in(canaries.mapped_reached)
    if canaries.mapped_reached is not False and remembered(used):
        reason = f"the port sent packets {used:.0f} s ago, and {loose}: run again ten minutes after the last run"
        return msgspec.structs.replace(row, state="undecided", reason=reason)
    if canaries.mapped_reached or (canaries.mapped_reached is None and row.transport == "udp"):
        # What other programs have sent from it (a PBX that was just stopped) is known to nobody here.
        reason = f"it arrives, but {loose}, and another program may have used it: no rule is proved"
        return msgspec.structs.replace(row, state="undecided", reason=reason)
    return row


async def _probe_udp(net: Network, wanted: list[tuple[PortNeed, int]], avoid: set[int]) -> tuple[list[PortRow], Canaries]:
    sockets: dict[int, UdpSocket] = {}
    failures: dict[int, LocalFailure] = {}
    if not wanted:
        return [], Canaries()
    mapped_canary, bare = None, []
    try:
        for _, port in wanted:
            if port not in sockets:
                try:
                    sockets[port] = await net.open_udp(port)
                except LocalFailure as failure:
                    failures[port] = failure
        mapped_canary = await net.open_udp()
        bare = await open_bare(net, avoid)
        at = await net.proved(mapped_canary)
        shots = await _Shots.fire(net, sockets, bare, mapped_canary, at)
        canaries = shots.canaries(bare)
        if at is not None and at.host != net.observed:
            canaries = msgspec.structs.replace(canaries, several_addresses=at.host)
        return [shots.row(need, port, failures) for need, port in wanted], canaries
    finally:
        for socket in (*sockets.values(), *bare, *((mapped_canary,) if mapped_canary else ())):
            socket.close()


class _Shots:
    """Rounds of UDP probes to the ports that are still silent, with controls, until silence is proved or rounds are used up."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.sent: dict[int, int] = {}
        self.arrived: dict[int, int] = {}
        self.controls: dict[int, tuple[int, int]] = {}
        self.mapped_reached = False
        self.control_sent = self.control_arrived = 0
        self.errors: dict[int, control.ErrorRow] = {}

    @classmethod
    async def fire(
        cls, net: Network, sockets: dict[int, UdpSocket], bare: list[UdpSocket], mapped_canary: UdpSocket, at: Endpoint | None
    ) -> "_Shots":
        shots = cls(net)
        targets = {**sockets, **{socket.local.port: socket for socket in bare}}
        for _ in range(MOST_ROUNDS):
            silent = [port for port in targets if not shots.arrived.get(port) and not shots.proved_silent(port)]
            if not silent:
                break
            await shots._round(targets, silent, mapped_canary, at)
            if at is None:
                break  # without a control flow no silence can be proved, however often it is repeated
        return shots

    def proved_silent(self, port: int) -> bool:
        arrived, sent = self.controls.get(port, (0, 0))
        return chance_of_silence(arrived, sent, self.sent.get(port, 0)) < WRONG_BY_CHANCE

    async def _round(self, targets: dict[int, UdpSocket], silent: list[int], mapped_canary: UdpSocket, at: Endpoint | None) -> None:
        net = self.net
        series, control_series = net.new_series(), net.new_series()
        controls = Inbox(net, mapped_canary, control_series)
        requests = [net.ask(lambda id: _request(id, series, net.observed, silent, ("BX",), net.pace))]
        if at is not None:
            # The control flow and the never-contacted sender to the mapped canary, in the same moments.
            requests.append(net.ask(lambda id: _request(id, control_series, at.host, [at.port], ("A1", "BX"), 0)))
        replies = await asyncio.gather(*requests)

        def heard() -> bool:
            return all(_count(net, targets[port], series) for port in silent)

        await net.until(heard, margin(net))
        first = replies[0]
        left = COPIES if isinstance(first, control.Probed) and not first.failed else 0
        arrived = controls.count(sender(net, "A1"))
        if at is not None:
            self.control_sent += COPIES
            self.control_arrived += arrived
            self.mapped_reached |= controls.count(sender(net, "BX")) > 0
        for port in silent:
            self.sent[port] = self.sent.get(port, 0) + left
            self.arrived[port] = self.arrived.get(port, 0) + _count(net, targets[port], series)
            before = self.controls.get(port, (0, 0))
            self.controls[port] = (before[0] + arrived, before[1] + (COPIES if at is not None else 0))
        account = await net.account(series)
        for row in account.errors if account else ():
            self.errors.setdefault(row.port, row)

    def row(self, need: PortNeed, port: int, failures: dict[int, LocalFailure]) -> PortRow:
        made = PortRow(
            port=port,
            transport="udp",
            purpose=need.purpose,
            required=need.required,
            state="undecided",
            copies=self.sent.get(port, 0),
            arrived=self.arrived.get(port, 0),
        )
        replace = msgspec.structs.replace
        if port in failures:
            return replace(made, reason=str(failures[port]))
        if made.arrived:
            return replace(made, state="forwarded")
        if port in self.errors:
            error = self.errors[port]
            reason = f"ICMP {error.icmp_type}/{error.icmp_code} from {error.offender}" + (f", TTL {error.ttl}" if error.ttl else "")
            return replace(made, state="refused", answered_by=error.offender, reason=reason)
        if self.proved_silent(port):
            return replace(made, state="blocked")
        return replace(made, reason=_unproved(*self.controls.get(port, (0, 0))))

    def _mapped_silence_proved(self) -> bool:
        return chance_of_silence(self.control_arrived, self.control_sent, self.control_sent) < WRONG_BY_CHANCE

    def canaries(self, bare: list[UdpSocket]) -> Canaries:
        return Canaries(
            bare=len(bare),
            bare_reached=sum(bool(self.arrived.get(socket.local.port)) for socket in bare),
            mapped_reached=self.mapped_reached or (False if self._mapped_silence_proved() else None),
            control_sent=self.control_sent,
            control_arrived=self.control_arrived,
        )


def _unproved(arrived: int, sent: int) -> str:
    """Why a silence is undecided."""
    if not sent:
        return f"{NO_CONTROL_FLOW}, and silence alone proves nothing"
    return f"{f'only {arrived}' if arrived else 'none'} of {sent} control packets arrived, so loss may explain the silence"


def _request(
    id: int,
    series: int,
    address: str,
    ports: list[int],
    senders: tuple[control.Sender, ...],
    pace: int,
    copies: int = COPIES,
    spacing_ms: int = SPACING_MS,
) -> control.Probe:
    return control.Probe(
        id=id,
        series=series,
        address=address,
        ports=port_ranges.compress(ports),
        senders=senders,
        copies=copies,
        spacing_ms=spacing_ms,
        pace=pace,
    )


def _count(net: Network, socket: UdpSocket, series: int) -> int:
    found = (probe_of(net, arrival.data) for arrival in socket.inbox)
    return sum(one is not None and one.series == series for one in found)


async def _probe_tcp(net: Network, wanted: list[tuple[PortNeed, int]], avoid: set[int] | None) -> tuple[list[PortRow], Canaries]:
    """``avoid``: ports that are no canaries; None: no bare canaries at all."""
    listeners: dict[int, Listener] = {}
    failures: dict[int, LocalFailure] = {}
    bare: list[int] = []
    mapped: tuple[int, int] | None = None
    if not wanted:
        return [], Canaries()
    if "dial" not in net.service.capabilities:
        return [_tcp_row(need, port, None) for need, port in wanted], Canaries()
    answering: set[asyncio.Task[None]] = set()
    try:
        for _, port in wanted:
            if port not in listeners:
                try:
                    listeners[port] = await net.listen_tcp(port)
                except LocalFailure as failure:
                    failures[port] = failure
        if any(remembered(net.memory.sent_from(port, "tcp")) for _, port in wanted):
            mapped = await _mapped_tcp_canary(net, listeners)
        for _ in range(0 if avoid is None else 2):
            canary = await net.listen_tcp(0)
            if canary.local.port in (avoid or ()) or remembered(net.memory.sent_from(canary.local.port, "tcp")):
                canary.close()
            else:
                listeners[canary.local.port] = canary
                bare.append(canary.local.port)
        series = net.new_series()
        answering.add(asyncio.create_task(_return_probes(net, listeners, series)))
        outside = [mapped[1]] if mapped else []
        dials = await _Dials.go(net, list(dict.fromkeys([*(port for _, port in wanted), *bare, *outside])), series)
    finally:
        for task in answering:
            task.cancel()
        for listener in listeners.values():
            listener.close()
    rows = [_tcp_row(need, port, dials, failures.get(port)) for need, port in wanted]
    return rows, Canaries(
        bare=len(bare),
        bare_reached=sum(dials.proved(port) for port in bare),
        mapped_reached=dials.proved(mapped[1]) if mapped else None,
        control_sent=dials.control_sent,
        control_arrived=dials.control_arrived,
    )


async def _mapped_tcp_canary(net: Network, listeners: dict[int, Listener]) -> tuple[int, int] | None:
    """A port that has just connected out, as ``port-preservation`` does, and listens now: (local, outside); None when it failed."""
    try:
        stream = await net.connect_tcp(net.primary)
        exchange = await net.stun_stream(stream, net.new_series(), 0)
        stream.close()
        if not isinstance(exchange.outcome, Answered) or exchange.outcome.mapped is None:
            return None
        local = stream.local.port
        listeners[local] = await net.listen_tcp(local)
    except LocalFailure:
        return None
    return local, parse_endpoint(exchange.outcome.mapped).port


class _Dials:
    """Connection attempts to TCP ports, again to the silent ones while loss may explain their silence.

    The loss is measured in the same moments by UDP copies on a contacted pair: they share the path, not the protocol.
    """

    def __init__(self, net: Network) -> None:
        self.net = net
        self.told: dict[int, list[control.DialRow]] = {}
        self.control_sent = self.control_arrived = 0

    @classmethod
    async def go(cls, net: Network, ports: list[int], series: int) -> "_Dials":
        dials = cls(net)
        weather = await net.open_udp()
        try:
            at = await net.proved(weather)
            for _ in range(DIAL_ROUNDS):
                asked = [port for port in ports if not dials.settled(port)]
                if not asked:
                    break
                measuring = asyncio.create_task(dials._control(weather, at))
                await dials._dial(asked, series)
                if all(dials.proved(port) for port in asked):
                    measuring.cancel()  # nothing was silent: there is no silence to weigh
                await asyncio.gather(measuring, return_exceptions=True)
                if at is None:
                    break  # without a control flow no silence can be proved, however often it is repeated
        finally:
            weather.close()
        return dials

    def proved(self, port: int) -> bool:
        return any(row.outcome == "proved" for row in self.told.get(port, ()))

    def attempts(self, port: int) -> int:
        return sum(row.attempts for row in self.told.get(port, ()))

    def silence_proved(self, port: int) -> bool:
        return _chance_of_tcp_silence(self.control_arrived, self.control_sent, self.attempts(port)) < WRONG_BY_CHANCE

    def settled(self, port: int) -> bool:
        rows = self.told.get(port)
        return bool(rows) and (any(row.outcome not in ("silent", "unsent") for row in rows or ()) or self.silence_proved(port))

    async def _dial(self, ports: list[int], series: int) -> None:
        limit = max(1, self.net.limits.dials // DIAL_ATTEMPTS)
        for start in range(0, len(ports), limit):
            wanted = port_ranges.compress(ports[start : start + limit])
            reply = await self.net.ask(
                lambda id: control.Dial(
                    id=id,
                    series=series,
                    address=self.net.observed,
                    ports=wanted,  # noqa: B023
                    attempts=DIAL_ATTEMPTS,
                    spacing_ms=DIAL_SPACING_MS,
                    patience_ms=int(500 + 4000 * self.net.rtt),
                )
            )
            for row in reply.rows if isinstance(reply, control.Dialed) else ():
                self.told.setdefault(row.port, []).append(row)

    async def _control(self, weather: UdpSocket, at: Endpoint | None) -> None:
        if at is None:
            return
        net = self.net
        series, copies = net.new_series(), min(CONTROLS, net.limits.copies)
        heard = Inbox(net, weather, series)
        await net.ask(lambda id: _request(id, series, at.host, [at.port], ("A1",), 0, copies, CONTROL_SPACING_MS))
        source = sender(net, "A1")
        await net.until(lambda: heard.count(source) >= copies, margin(net))
        self.control_sent += copies
        self.control_arrived += heard.count(source)


async def _return_probes(net: Network, listeners: dict[int, Listener], series: int) -> None:
    """Return each nonce on the connection it came by: proof to the server that it is us who accepted."""
    done: set[int] = set()

    def fresh() -> list[tuple[int, Stream]]:
        return [
            (port, stream)
            for port, listener in listeners.items()
            for stream in listener.accepted
            if id(stream) not in done and len(stream.received) >= probe.SIZE
        ]

    while True:
        await net.until(lambda: bool(fresh()), 3600)
        for _, stream in fresh():
            done.add(id(stream))
            found = probe_of(net, bytes(stream.received))
            if found is not None and found.series == series:
                stream.send(probe.serialize(found._replace(kind=probe.Kind.ECHO)))


def _tcp_row(need: PortNeed, port: int, dials: _Dials | None, failure: LocalFailure | None = None) -> PortRow:
    rows = dials.told.get(port, []) if dials else []
    outcomes = {row.outcome: row for row in reversed(rows)}
    state: State = "undecided"
    answered_by, reason = None, "the server cannot dial back" if dials is None else "no attempt was made"
    if "proved" in outcomes:
        state, reason = "forwarded", ""
    elif "connected" in outcomes:
        state, reason = "answered", "something accepted the connection that is not this test"
        answered_by = outcomes["connected"].detail or "a service that said nothing"
    elif "refused" in outcomes or "unreachable" in outcomes:
        row = outcomes.get("refused") or outcomes["unreachable"]
        state, reason = "refused", row.detail or row.outcome
        answered_by = "a reset from the probed address" if row.outcome == "refused" else row.detail
    elif "silent" in outcomes and dials is not None:
        if dials.silence_proved(port):
            state, reason = "blocked", ""
        else:
            reason = _unproved(dials.control_arrived, dials.control_sent)
    elif rows:
        reason = f"the server could not send: {rows[-1].detail}"
    if failure is not None and state in ("blocked", "undecided", "refused"):
        state, reason = "undecided", str(failure)  # nothing of ours listened, so nothing could have been proved
    return PortRow(
        port=port,
        transport="tcp",
        purpose=need.purpose,
        required=need.required,
        state=state,
        answered_by=answered_by,
        copies=dials.attempts(port) if dials else 0,
        arrived=int(state == "forwarded"),
        reason=reason,
    )


def judge(seen: ForwardingObservation, profile: Profile) -> tuple[Finding, ...]:
    """One finding for each state of TCP or UDP ports that share it; a required port that is closed as the profile expects."""
    findings: list[Finding] = []
    for key in dict.fromkeys(map(_alike, seen.ports)):
        rows = [row for row in seen.ports if _alike(row) == key]
        findings.append(_finding(seen, profile, rows[0].state, rows))
    return tuple(findings)


def _alike(row: PortRow) -> tuple[object, ...]:
    """Ports of which the same can be said."""
    return row.transport, row.state, row.required, row.reason if row.state == "undecided" else row.answered_by


def _finding(seen: ForwardingObservation, profile: Profile, state: State, rows: list[PortRow]) -> Finding:
    breach = {"fail": Verdict.FAIL, "warn": Verdict.WARN, "ignore": Verdict.PASS}[profile.expect.forwarding]
    if breach is Verdict.FAIL and not rows[0].required:
        breach = Verdict.WARN
    verdict = {
        "forwarded": Verdict.PASS,
        "blocked": breach,
        "refused": breach,
        "answered": Verdict.INCONCLUSIVE,
        "undecided": Verdict.INCONCLUSIVE,
    }[state]
    transport = rows[0].transport
    subject = f"{transport.upper()} {port_ranges.text(port_ranges.compress(row.port for row in rows))}"
    purposes = ", ".join(dict.fromkeys(row.purpose for row in rows))
    blocked, refused = "never arrives: nothing unsolicited gets in there.", ": it is not forwarded to a listening port of this machine."
    if breach is Verdict.PASS:
        blocked, refused = "does not come in unasked, which this profile does not need.", ", which this profile does not need."
    summary = {
        "forwarded": f"{subject} ({purposes}) arrives: unsolicited packets reach this machine.",
        "blocked": f"{subject} ({purposes}) {blocked}",
        "refused": f"{subject} ({purposes}) is refused by {rows[0].answered_by}{refused}",
        "answered": f"{subject} ({purposes}) is answered by something else than this test ({rows[0].answered_by}).",
        "undecided": f"{subject} ({purposes}) could not be told: {rows[0].reason.rstrip('.')}.",
    }[state]
    return Finding(
        id=f"port-forwarding.{state}",
        verdict=verdict,
        subject=subject,
        summary=summary,
        expected="forwarded to this machine",
        observed=state,
        evidence=_evidence(seen, rows),
        reference="RFC 4787 section 5",
    )


def _evidence(seen: ForwardingObservation, rows: list[PortRow]) -> tuple[str, ...]:
    sent = "connection attempts" if rows[0].transport == "tcp" else "probes"
    out = [
        f"{row.transport.upper()} {row.port}: {row.copies} {sent} from {seen.prober} to {seen.probed_address}:{row.port}, "
        + (f"{row.arrived} arrived" if row.transport == "udp" else f"{'one' if row.arrived else 'none'} answered with the nonce")
        + (f" ({row.reason})" if row.reason else "")
        for row in rows[:24]
    ]
    canaries = seen.udp if rows[0].transport == "udp" else seen.tcp
    if canaries.control_sent:
        out.append(f"control from the contacted address: {canaries.control_arrived} of {canaries.control_sent} arrived")
    if canaries.bare:
        out.append(f"ports that no rule should name: {canaries.bare_reached} of {canaries.bare} were reached from {seen.prober}")
    if canaries.mapped_reached is not None:
        out.append(f"a used port was {'reached' if canaries.mapped_reached else 'not reached'} from {seen.prober}")
    if seen.alternate_contacted_s is not None:
        out.append(f"{seen.prober} had been contacted from here {seen.alternate_contacted_s:.0f} s before")
    if seen.alternate_answers is not None:
        out.append(f"contacted afterwards over UDP, {seen.prober} " + ("answered" if seen.alternate_answers else "did not answer"))
    if seen.alternate_connects is not None:
        out.append(f"contacted afterwards over TCP, {seen.prober} " + ("answered" if seen.alternate_connects else "did not answer"))
    return tuple(out)


def summarize(seen: ForwardingObservation, findings: tuple[Finding, ...]) -> str:
    """``5060/udp, 5060/tcp arrive; 5061/tcp never arrives``"""
    unneeded = {finding.observed for finding in findings if finding.verdict is Verdict.PASS} - {"forwarded"}
    words = {
        "forwarded": ("arrives", "arrive"),
        "blocked": ("never arrives", "never arrive"),
        "refused": ("is refused", "are refused"),
        "answered": ("is answered by something else", "are answered by something else"),
        "undecided": ("could not be told", "could not be told"),
    }
    if "blocked" in unneeded:
        words["blocked"] = ("does not come in unasked", "do not come in unasked")
    parts = []
    for state, (one, many) in words.items():
        ports = [f"{row.port}/{row.transport}" for row in seen.ports if row.state == state]
        if ports:
            verb = (one if len(ports) == 1 else many) + ", which this profile does not need" * (state in unneeded)
            parts.append(f"{', '.join(ports[:6])}{' ...' if len(ports) > 6 else ''} {verb}")
    return "; ".join(parts)


CHECK = Check(
    id="port-forwarding",
    question="Does an unsolicited packet reach the PBX?",
    observation=ForwardingObservation,
    needs=frozenset({"alternate-address"}),
    probe=probe_network,
    judge=judge,
    summarize=summarize,
    unfit=lambda profile: "" if inbound(profile) else "the profile needs no port forwarded",
)
