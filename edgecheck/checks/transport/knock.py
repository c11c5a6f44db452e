"""One target: knock, and tell what came back. Nothing here says why a target is silent."""

import statistics

import msgspec

from edgecheck.checks.transport.observation import Attempt, State
from edgecheck.checks.transport.options import Question, Said, answer_to, options
from edgecheck.model.check import Arrival, Quote, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Link, Phone, Target
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError

T1_S = 0.5
"""RFC 3261 section 17.1.1.1: a request over UDP is repeated after this time, then after twice as long each time."""
_COPIES = 4
_PATIENCE_S = 4.0
"""After the last copy, and for an answer on a connection."""
PINGS = 4
"""Further requests once a server has answered, for loss and round trip: few, for guards count them."""
_PING_APART_S = 0.1
_PING_PATIENCE_S = 1.0
_CONNECT_S = 5.0
_LOCAL: dict[str, State] = {
    "refused": "refused",
    "reset": "reset",
    "timeout": "silent",
    "no-route": "unreachable",
    "tls": "tls-failed",
    "tls-silent": "connected-silent",
    "not-websocket": "not-websocket",
}


_AGAIN_S = 0.5


async def knock(phone: Phone, target: Target, pings: int = PINGS) -> Attempt:
    """Ask one target with OPTIONS over its transport; once more where a connection ended before an answer, for once is no rule."""
    first = await _knock(phone, target, pings)
    if first.state not in ("closed", "reset") or "TLS alert" in first.words:
        return first
    await phone.sleep(_AGAIN_S)
    again = await _knock(phone, target, pings)
    return msgspec.structs.replace(again, words="the first connection ended without an answer") if again.state == "answered" else first


def _blank(target: Target) -> Attempt:
    return Attempt(
        transport=target.transport, host=target.host, address=target.address, port=target.port, because=target.because, state="not-tried"
    )


async def _knock(phone: Phone, target: Target, pings: int) -> Attempt:
    attempt = _blank(target)
    try:
        link = await phone.open_link(target, _CONNECT_S)
    except LocalFailure as error:
        return msgspec.structs.replace(attempt, state=_LOCAL.get(error.reason, "not-tried"), words=str(error))
    try:
        conversation = _Conversation(phone, link, attempt)
        return await conversation.hold(pings)
    finally:
        link.close()


async def answered_once(phone: Phone, target: Target) -> bool:
    """Whether one request is answered; over a connection, whether one SYN is."""
    try:
        link = await phone.open_link(target, _PING_PATIENCE_S)
    except LocalFailure:
        return False
    try:
        return target.transport != "udp" or await _Conversation(phone, link, _blank(target)).is_answered()
    finally:
        link.close()


class _Conversation:
    def __init__(self, phone: Phone, link: Link, attempt: Attempt) -> None:
        self.phone = phone
        self.link = link
        self.attempt = attempt
        self.token = phone.token()
        self.number = 0
        self.rtts: list[float] = []
        self.copies = 0
        """Sent in hope of an answer at this port."""

    async def hold(self, pings: int) -> Attempt:
        first = self._question()
        began = self.phone.now()
        found = await self._ask(first, _COPIES if self.link.transport == "udp" else 1)
        if found is None:
            return self._nothing()
        arrival, said = found
        self.rtts.append(arrival.at - began)
        patience = min(_PATIENCE_S, max(_PING_PATIENCE_S, 2 * self.rtts[0]))  # a server that is slow is no loss
        for _ in range(pings):
            await self.phone.sleep(_PING_APART_S)
            question, began = self._question(), self.phone.now()
            again = await self._ask(question, 1, patience)
            if again is not None:
                self.rtts.append(again[0].at - began)
        self.phone.pinged[str(self.attempt.target)] = self._tally()
        elsewhere = self.link.transport == "udp" and arrival.source != self.link.remote
        return self._with(
            state="answered-elsewhere" if elsewhere else "answered",
            status=said.status,
            reason=said.reason[:200],
            software=said.software[:200] if said.software else None,
            answers=len(self.rtts),
            rtt_ms=round(statistics.median(self.rtts) * 1000, 1),
            answered_from=str(arrival.source) if elsewhere else None,
            seen_as=said.seen_as,
            rport_ignored=await self._ignores_rport() if self.link.transport == "udp" and pings else None,
        )

    async def is_answered(self) -> bool:
        return await self._ask(self._question(), 1, _PING_PATIENCE_S) is not None

    def _tally(self) -> tuple[int, int]:
        """What was answered and the copies that it took; over TCP and what runs on it, SYN and requests, and what was sent again."""
        if self.link.transport == "udp":
            return len(self.rtts), self.copies
        facts = self.link.delivery()
        arrived = 1 + len(self.rtts) if facts is not None else 0
        return arrived, arrived + (facts.retransmitted if facts is not None else 0)

    def _question(self, via_port: int | None = None) -> Question:
        self.number += 1
        return options(self.phone.account, self.link.transport, self.link.local, self.token, self.number, via_port)

    def _with(self, **seen: object) -> Attempt:
        return msgspec.structs.replace(self.attempt, sent=self.number, **seen)

    async def _ask(self, question: Question, copies: int, patience: float = _PATIENCE_S) -> tuple[Arrival, Said] | None:
        found: list[tuple[Arrival, Said]] = []

        def over() -> bool:
            found.extend(_answers(question, self.link.inbox))
            return bool(found) or self.link.closed is not None or bool(self.link.unframed) or (copies > 1 and bool(self.link.quotes))

        for copy in range(copies):
            self.copies += 1
            self.link.send(question.data)
            if await self.phone.until(over, T1_S * 2**copy if copy < copies - 1 else patience):
                break
        return found[0] if found else None

    def _nothing(self) -> Attempt:
        """No answer: what else was seen?"""
        self.phone.pinged[str(self.attempt.target)] = (0, self.copies)
        link = self.link
        if link.quotes:
            quote: Quote = link.quotes[0]
            port = (quote.icmp_type, quote.icmp_code) in ((3, 3), (1, 4))
            return self._with(state="refused" if port else "unreachable", words=str(quote))
        came = next((each.data for each in link.inbox if each.source == link.remote and each.data.strip(b"\r\n\0")), None)
        if came is not None:
            return self._came(came)
        if link.transport == "udp":
            return self._with(state="unreachable" if link.errors else "silent", words=link.errors[0] if link.errors else "")
        if link.unframed:
            return self._heard(bytes(link.unframed))
        if link.closed is not None:
            return self._with(state="reset" if "reset" in link.closed else "closed", words=link.closed)
        return self._with(state="connected-silent", words="connected; nothing came back")

    def _came(self, data: bytes) -> Attempt:
        """Something came back that is no answer to what was asked."""
        try:
            return self._with(state="no-usable-answer", words=sip.parse_datagram(data).start_line[:80])
        except WireError:
            return self._heard(data)

    def _heard(self, data: bytes) -> Attempt:
        # 21 and 22: a TLS alert or handshake record, versions 3.x (RFC 8446 section 5.1).
        if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":
            return self._with(state="tls-on-plain", words="a TLS record came back to plain SIP")
        if data.startswith(b"SIP/2.0 "):
            return self._with(state="no-usable-answer", words=f"damaged, without end or too large: {repr(data[:40])[1:]}")
        return self._with(state="not-sip", words=repr(data[:40])[1:])

    async def _ignores_rport(self) -> bool | None:
        """Name a second port of ours in the Via: RFC 3581 wants the answer at the first all the same. None: neither heard it."""
        try:
            other: UdpSocket = await self.phone.open_udp(self.link.remote)
        except LocalFailure:
            return None
        try:
            other.send(b"\r\n\r\n", self.link.remote)  # opens the way back through a NAT that keeps port numbers
            question = self._question(other.local.port)
            self.link.send(question.data)
            here, there = self.link.inbox, other.inbox
            await self.phone.until(lambda: bool(_answers(question, here) or _answers(question, there)), 1.0)
            if _answers(question, there):
                return True
            return False if _answers(question, here) else None
        finally:
            other.close()


def _answers(question: Question, inbox: list[Arrival]) -> list[tuple[Arrival, Said]]:
    return [(arrival, said) for arrival in inbox if (said := answer_to(question, arrival.data)) is not None]
