"""TCP and TLS: connections to every port at once; what stays silent is tried again beside connections to a port that is open."""

import asyncio
from dataclasses import dataclass, field

from edgecheck.checks.outbound.aims import Aim
from edgecheck.checks.outbound.messages import Language, first_words
from edgecheck.model.check import Network, Stream
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import loss_is_excluded
from edgecheck.wire import control
from edgecheck.wire.address import Endpoint

CONNECTIONS = 10
"""Each with its own SYN: beside twice as many answered ones enough to prove a drop, also where some of these are lost."""
WITNESSES = 2
"""Connections to a port that is open, beside each of them."""
SPACING_S = 0.024
ROUNDS = 2
FIRST_S = 0.35
CONNECT_S = 0.5
TALK_S = 0.8
"""TCP has sent a lost segment twice more by then."""
_NOT_TLS = (
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNSUPPORTED_PROTOCOL",
)


@dataclass
class StreamTally:
    """What became of one port's connections."""

    aim: Aim
    number: int
    tried: int = 0
    connected: int = 0
    opened: bool = False
    """Of TLS: a connection came about over which TLS was not tried, for that takes another one."""
    answered: bool = False
    refused: str = ""
    """In words: RST or ICMP."""
    cut: str = ""
    """How a connection ended that had been opened, before an answer."""
    local_failure: str = ""
    stranger: str | None = None
    issuer: str | None = None
    """Who issued the certificate, where it is not the server's."""
    beside: int = 0
    """Of ``tried`` those beside the control: the first one met other weather."""
    control: int = 0
    control_copies: int = 0
    among: int = 1
    """Ports that are tried so: each silence has its chance to be taken for proved."""

    @property
    def silence_proved(self) -> bool:
        """Whether random loss no longer explains that no connection came about."""
        return not (self.connected or self.opened) and loss_is_excluded(self.control, self.control_copies, self.beside, among=self.among)

    @property
    def settled(self) -> bool:
        """No more connections are needed."""
        return bool(self.connected or self.refused or self.local_failure or self.stranger)


@dataclass
class StreamResult:
    """All of them."""

    tallies: list[StreamTally]
    portal: str | None = None
    """What the web server said that answered on TCP 80."""
    _streams: list[Stream] = field(default_factory=list)


class StreamTrial:
    """All TCP and TLS ports."""

    def __init__(self, net: Network, language: Language, aims: tuple[Aim, ...], first_number: int) -> None:
        self._net = net
        self._language = language
        self._host = net.primary.host
        self._streams: list[Stream] = []
        self.result = StreamResult([StreamTally(aim, number, among=len(aims)) for number, aim in enumerate(aims, first_number)])

    async def run(self) -> StreamResult:
        """Connect and ask; then, where nothing answers, insist."""
        tallies, net = self.result.tallies, self._net
        try:
            await asyncio.gather(*(self._attempt(tally, FIRST_S + 3 * net.rtt) for tally in tallies))
            for _ in range(ROUNDS if net.in_session else 1):
                silent = [tally for tally in tallies if not tally.settled and not tally.silence_proved]
                if not silent:
                    break
                await self._insist(silent)
            await self._look_for_portal()
        finally:
            for stream in self._streams:
                stream.close()
        return self.result

    async def _insist(self, silent: list[StreamTally]) -> None:
        """As many more connections to each, and to a port that is open, in the same moments."""
        patience = CONNECT_S + 3 * self._net.rtt
        asked: list[asyncio.Future[bool]] = []
        work = []
        for _ in range(CONNECTIONS):
            for tally in silent:
                if not tally.settled:
                    tally.beside += 1
                    work.append(asyncio.ensure_future(self._attempt(tally, patience)))
            asked += [asyncio.ensure_future(self.witness_opens()) for _ in range(WITNESSES)]
            await self._net.sleep(SPACING_S)
        await asyncio.gather(*work)
        opened = await asyncio.gather(*asked)
        for tally in silent:
            tally.control += sum(opened)
            tally.control_copies += len(opened)

    async def witness_opens(self) -> bool:
        """Whether one connection comes about to a port that is known to be open, by one SYN."""
        known = next((tally.aim.port for tally in self.result.tallies if tally.answered), None)
        to = Endpoint(self._host, known) if known is not None else self._net.control_endpoint
        try:
            (await self._net.connect_tcp(to, timeout=CONNECT_S + 3 * self._net.rtt)).close()
        except LocalFailure:
            return False
        return True

    async def _attempt(self, tally: StreamTally, patience: float) -> None:
        net, to = self._net, Endpoint(self._host, tally.aim.port)
        tally.tried += 1
        try:
            stream = await net.connect_tcp(to, timeout=patience)
            if tally.aim.transport == "tls" and not tally.connected:
                stream.close()  # whether it opens is told soon; what TLS may take is more
                tally.opened = True
                stream = await net.connect_tls(to, timeout=patience + TALK_S)
        except LocalFailure as failure:
            self._failed(tally, failure)
            return
        self._streams.append(stream)
        if tally.connected:
            return  # another connection of this port is being talked over
        tally.connected += 1
        shown = stream.certificate if tally.aim.transport == "tls" and net.certificate else None
        if shown is not None and control.fingerprint(shown) != net.certificate:
            tally.issuer = net.issuer(shown)
        await self._talk(tally, stream)

    def _failed(self, tally: StreamTally, failure: LocalFailure) -> None:
        words = str(failure)
        if failure.reason in ("refused", "no-route"):
            tally.refused = tally.refused or words
        elif failure.reason == "reset":
            tally.connected += 1
            tally.cut = words
        elif failure.reason == "tls":
            tally.connected += 1
            if any(word in words for word in _NOT_TLS):
                tally.stranger = "no TLS"
            else:
                tally.cut = words
        elif failure.reason != "timeout":
            tally.local_failure = words

    async def _talk(self, tally: StreamTally, stream: Stream) -> None:
        net, language = self._net, self._language
        ping = tally.aim.speech == "sip" and not net.in_session  # RFC 5626 section 4.4.1
        question = b"\r\n\r\n" if ping else language.question(tally.aim, tally.number, stream.local)

        def right(data: bytes) -> bool:
            return data == b"\r\n" if ping else language.answers(data, tally.aim, tally.number, stream.local)

        stream.send(question)
        await net.until(lambda: right(bytes(stream.received)) or stream.closed is not None, TALK_S + 4 * net.rtt)
        said = bytes(stream.received)
        if right(said):
            tally.answered = True
        elif said and not question.startswith(said) and not _begins_well(said):
            tally.stranger = first_words(said)
        elif stream.closed is not None:
            tally.cut = stream.closed

    async def _look_for_portal(self) -> None:
        """Where TCP 80 opens and the echo does not come back: does a web server speak there?"""
        asked = [tally for tally in self.result.tallies if (tally.aim.transport, tally.aim.port) == ("tcp", 80)]
        if not asked or not asked[0].connected or asked[0].answered:
            return
        net = self._net
        try:
            stream = await net.connect_tcp(Endpoint(self._host, 80), timeout=CONNECT_S + 3 * net.rtt)
        except LocalFailure:
            return
        self._streams.append(stream)
        host = f"[{self._host}]" if ":" in self._host else self._host
        stream.send(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        await net.until(lambda: b"\r\n\r\n" in stream.received or stream.closed is not None, TALK_S + 4 * net.rtt)
        said = bytes(stream.received)
        if said.startswith(b"HTTP/"):
            self.result.portal = asked[0].stranger = _portal(said)


def _begins_well(said: bytes) -> bool:
    """An answer of ours that is not yet whole, or that an ALG has marred."""
    return said.startswith((b"\xedECK", b"SIP/2.0 ")) or b"\xedECK".startswith(said[:4]) or said.strip(b"\r\n") == b""


def _portal(said: bytes) -> str:
    """The status line, and where it points to."""
    lines = said.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    place = next((line for line in lines if line.lower().startswith(b"location:")), b"")
    return first_words(lines[0]) + (f", to {first_words(place[9:])}" if place else "")
