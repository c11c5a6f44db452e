"""One link to a server: requests go out with their retransmissions, and everything that comes is read, whoever it is from."""

import re
from typing import NamedTuple

from msgspec.structs import replace

from edgecheck.checks.registration import messages
from edgecheck.checks.registration.credentials import challenges_of
from edgecheck.checks.registration.dialogue import option_tags, redirections, seconds
from edgecheck.checks.registration.flow import KeepAlive
from edgecheck.checks.registration.observation import Attempt, Challenged, Inbound, Purpose, Trouble
from edgecheck.checks.tls.names import match
from edgecheck.model.check import Arrival
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Link, Phone, Target
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError
from edgecheck.wire.transaction import TIMEOUT, ClientTransaction, method_of

CONNECT_S = 8.0
"""For a connection. Four SYNs at least: so the controls and the first try together send more than are lost by chance."""
_MOST_ARRIVALS = 400
"""In one transaction: a server that never stops talking is left."""
_BABBLE_COPIES = 5
"""Who has answered so many copies, and never with an answer to them, will not begin to."""
_MOST_INBOUND = 20
_ICMP_ENOUGH = 2
"""Errors about so many copies: the first one may be about a moment (RFC 1122 section 4.2.3.9 calls them soft)."""
_NONCE_SHOWN = 12
_RELIABLE = ("tcp", "tls", "ws", "wss")


class Heard(NamedTuple):
    """What came of one request."""

    message: sip.Message | None
    """The final answer."""
    attempt: Attempt


class Arrived(NamedTuple):
    """A message and when it came, on the phone's clock."""

    message: sip.Message
    at: float


class Line:
    """A link and what has been read from it."""

    def __init__(self, phone: Phone, target: Target, link: Link, name: str = "") -> None:
        """``name``: the domain that a certificate must prove."""
        self.distrust = _distrust(phone, link, name or phone.account.next_hop.host)
        """Why credentials may not be given to whoever is at the other end; empty: it is plain by choice, or its certificate is right."""
        self.phone = phone
        self.target = target
        self.link = link
        self.way = messages.Way(target.transport, link.local)
        self.inbound: list[Inbound] = []
        self.own_call = ""
        """Call-ID of the OPTIONS to our own address."""
        self.keeper: KeepAlive | None = None
        """Keeps the flow open, once the registrar has taken it (RFC 5626)."""
        self.registered_at: float | None = None
        """When the 200 came: requests from then on came through the registration."""
        self._read = 0
        self._strangers: list[tuple[sip.Message, str]] = []
        """Answers that belong to no request of ours, and where they came from."""
        self._garbage: list[bytes] = []
        self._past: list[ClientTransaction] = []
        """Late copies of answers to these are nothing new."""
        self._late: dict[str, Arrived] = {}
        """First final answers to requests that had been given up, by branch."""
        self._tag = phone.token(4)

    async def ask(
        self,
        request: bytes,
        branch: str,
        purpose: Purpose,
        *,
        method: str = "REGISTER",
        credentials: str | None = None,
        timeout: float = TIMEOUT,
        beside: "Line | None" = None,
    ) -> Heard:
        """Send it, repeat it as the RFC says, until a final answer or the end of all patience. ``beside`` is listened to meanwhile."""
        transaction = ClientTransaction(request, branch, method, reliable=self.target.transport in _RELIABLE, timeout=timeout)
        began = self.phone.now()
        quoted, heard_before = len(self._quotes()), self._read
        self._strangers, self._garbage = [], []
        self._past.append(transaction)
        source: str | None = None
        self.link.send(transaction.begin(began))
        while not transaction.over:
            source = self.read(transaction) or source
            if transaction.over or self._stopped(transaction, quoted, heard_before):
                break
            now = self.phone.now()
            again = transaction.tick(now)
            if again is not None:
                self.link.send(again)
            lines = [line for line in (self, beside) if line is not None]
            for line in lines:
                line.keep()
            if beside not in (None, self):
                lines[-1].read()
            dues = [due for due in (transaction.due(), *(line.keeper.due() for line in lines if line.keeper)) if due is not None]
            if dues and not transaction.over:
                await self.phone.until(
                    lambda: self._news(transaction, quoted) or any(line.pending for line in lines),  # noqa: B023 - of this round
                    max(0.0, min(dues) - self.phone.now()),
                )
        attempt = self._attempt(transaction, purpose, began, credentials, source, quoted)
        return Heard(transaction.final, attempt)

    def read(self, transaction: ClientTransaction | None = None) -> str | None:
        """Take in what has arrived; where the answer came from, when it is there. Requests are answered at once."""
        source = None
        while self._read < len(self.link.inbox):
            arrival = self.link.inbox[self._read]
            self._read += 1
            if arrival.data == sip.PING and self.target.transport != "udp":
                self.link.send(sip.PONG)
            if (self.keeper is not None and self.keeper.heard(arrival.data)) or not arrival.data.strip(b"\r\n\0"):
                continue  # keep-alives
            try:
                message = sip.parse_datagram(arrival.data)
            except WireError:
                if arrival.source == self.target.endpoint:
                    self._garbage.append(arrival.data[:80])
                continue
            if message.is_request:
                self._serve(message, str(arrival.source))
            elif transaction is not None and transaction.receive(message, self.phone.now()):
                source = source or (str(arrival.source) if (message.status or 0) >= 200 else None)
            else:
                self._astray(message, arrival)
        return source

    def _astray(self, message: sip.Message, arrival: Arrival) -> None:
        """An answer to nothing that is waited for."""
        past = next((each for each in self._past if each.owns(message)), None)
        if past is None:
            self._strangers.append((message, str(arrival.source)))
        elif past.final is None and (message.status or 0) >= 200:
            self._late.setdefault(past.branch, Arrived(message, arrival.at))

    async def late(self, attempt: Attempt, branch: str, began: float, ends: float) -> Attempt:
        """The attempt with what came after it was given up, if anything does until then."""

        def came() -> bool:
            self.read()
            return branch in self._late

        await self.phone.until(came, max(0.0, ends - self.phone.now()))
        found = self._late.get(branch)
        if found is None:
            return attempt
        words = f"{found.message.status} {(found.message.reason or '')[:120]}".strip() + f" after {found.at - began:.1f} s"
        return replace(attempt, trouble="late", words=words)

    @property
    def pending(self) -> bool:
        """Whether something has come that was not read."""
        return self._read < len(self.link.inbox)

    def keep(self) -> None:
        """Keep the flow open, where that is due."""
        if self.keeper is not None and self.link.closed is None:
            self.keeper.tick()

    def _serve(self, message: sip.Message, source: str) -> None:
        try:
            reply = messages.answer(message, self._tag)
        except WireError:
            return
        if reply is not None:
            self.link.send(reply)
        if message.method != "ACK" and self.registered_at is not None and len(self.inbound) < _MOST_INBOUND:
            after = round(self.phone.now() - self.registered_at, 3)
            own = message.method == "OPTIONS" and message.get("Call-ID") == self.own_call
            self.inbound.append(Inbound(method=message.method or "", source=source, after_s=after, own=own))

    def _quotes(self) -> list[str]:
        return [str(quote) for quote in self.link.quotes if quote.to == self.target.endpoint and not quote.expired]

    def _news(self, transaction: ClientTransaction, quoted: int) -> bool:
        return self._read < len(self.link.inbox) or self._broken() or self._refused(transaction, quoted)

    def _broken(self) -> bool:
        return self.link.closed is not None or bool(self.link.unframed)

    def _refused(self, transaction: ClientTransaction, quoted: int) -> bool:
        return len(self._quotes()) - quoted >= min(_ICMP_ENOUGH, transaction.copies) and transaction.copies >= _ICMP_ENOUGH

    def _stopped(self, transaction: ClientTransaction, quoted: int, heard_before: int) -> bool:
        wrong = len(self._garbage) + sum(_similar(transaction, message) for message, _ in self._strangers)
        babbles = wrong >= transaction.copies >= _BABBLE_COPIES
        return babbles or self._broken() or self._refused(transaction, quoted) or self._read - heard_before > _MOST_ARRIVALS

    def _attempt(
        self, transaction: ClientTransaction, purpose: Purpose, began: float, credentials: str | None, source: str | None, quoted: int
    ) -> Attempt:
        target = self.target
        out = Attempt(
            purpose=purpose,
            target=str(target.endpoint),
            transport=target.transport,
            status=None,
            reason=None,
            elapsed_s=round(self.phone.now() - began, 3),
            copies=transaction.copies,
            credentials=credentials is not None,
            algorithm=credentials,
            provisional=transaction.provisional,
            provisionals=transaction.provisionals,
            delivery=self.link.delivery(),
        )
        if transaction.final is None:
            trouble, words = self._trouble(transaction, quoted)
            return replace(out, trouble=trouble, words=words)
        changes = altered(transaction.request, transaction.final)
        return replace(out, **_facts(transaction.final, source, str(target.endpoint)), altered=changes)

    def _trouble(self, transaction: ClientTransaction, quoted: int) -> tuple[Trouble, str]:
        garbage = bytes(self.link.unframed[:80]) or (self._garbage[0] if self._garbage else b"")
        if garbage:
            return "not-sip", not_sip(garbage)
        ours = [(message, source) for message, source in self._strangers if _similar(transaction, message)]
        if ours:
            message, source = ours[0]
            why = "; ".join(altered(transaction.request, message)) or "it does not belong to the request"
            return "mismatched", f"{message.status} {message.reason} from {source}, but {why}"
        if transaction.provisional is not None:
            return "provisional-only", f"{transaction.provisional}, then nothing"
        quotes = self._quotes()[quoted:]
        if quotes:
            return "icmp", quotes[0]
        if self.link.closed is not None:
            return ("reset" if "reset" in self.link.closed else "closed"), self.link.closed
        if self.link.errors and not self.link.quotes:
            return "local", self.link.errors[-1]
        return "silent", ""


def unopened(target: Target, error: LocalFailure, purpose: Purpose = "fetch") -> Attempt:
    """An attempt that ended before anything could be sent."""
    known: dict[str, Trouble] = {
        "refused": "refused",
        "reset": "reset",
        "timeout": "timeout",
        "no-route": "no-route",
        "tls": "tls",
        "tls-silent": "tls-silent",
        "not-websocket": "not-sip",
    }
    return Attempt(
        purpose=purpose,
        target=str(target.endpoint),
        transport=target.transport,
        status=None,
        reason=None,
        elapsed_s=0.0,
        copies=0,
        trouble=known.get(error.reason, "local"),
        words=str(error),
        delivery=error.delivery,
    )


def _distrust(phone: Phone, link: Link, name: str) -> str:
    if link.handshake is None:
        return ""
    if not link.handshake.trusted:
        return "leads to no authority that this machine knows"
    certificate = phone.read_certificate(link.handshake.chain[0]) if link.handshake.chain else None
    return f"does not name {name}" if certificate is not None and match(certificate, name) == "none" else ""


def _similar(transaction: ClientTransaction, message: sip.Message) -> bool:
    """Whether a phone would see an answer to its request in it, were it not for what was altered."""
    asked = sip.parse_datagram(transaction.request)
    number = (asked.get("CSeq") or "").split()[:1]
    return message.get("Call-ID") == asked.get("Call-ID") or (
        method_of(message) == transaction.method and (message.get("CSeq") or "").split()[:1] == number
    )


def _facts(message: sip.Message, source: str | None, target: str) -> dict[str, object]:
    try:
        via = sip.via_parts(sip.split_addresses(message.get("Via") or "")[0]).parameters
    except (WireError, IndexError):
        via = {}
    rport = via.get("rport", "")
    return {
        "status": message.status,
        "reason": (message.reason or "")[:120],
        "answered_from": source if source not in (None, target) else None,
        "received": via.get("received", "")[:60] or None,
        "rport": int(rport) if rport.isascii() and rport.isdigit() and len(rport) <= 5 else None,
        "warning": _short(message.get("Warning")),
        "server": _short(message.get("Server") or message.get("User-Agent")),
        "retry_after_s": seconds(message.get("Retry-After")),
        "min_expires_s": seconds(message.get("Min-Expires")),
        "requires": option_tags(message, "Require", "Unsupported") if (message.status or 0) >= 300 else (),
        "redirect_to": redirections(message) if (message.status or 0) in (301, 302, 305) else (),
        "challenges": tuple(
            Challenged(
                realm=each.realm[:80],
                algorithm=each.name[:40],
                qop=each.qop[:4],
                stale=each.stale,
                proxy=each.proxy,
                problem=each.problem,
                nonce=each.nonce[:_NONCE_SHOWN],
            )
            for each in challenges_of(message)
        ),
    }


def _short(text: str | None) -> str | None:
    return None if text is None else text[:160]


def altered(request: bytes, answer: sip.Message) -> tuple[str, ...]:
    """What an answer must repeat (RFC 3261 section 8.2.6.2) and does not: somebody on the way, or the server, wrote it anew."""
    asked = sip.parse_datagram(request)
    pairs = [(name, _identity(asked, name), _identity(answer, name)) for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    return tuple(f"{name}: sent {sent!r}, came back {came[:120]!r}" for name, sent, came in pairs if sent != came)


def _identity(message: sip.Message, name: str) -> str:
    """The part of a header that an answer repeats as it is."""
    value = message.get(name) or ""
    if name == "Via":
        try:
            via = sip.via_parts(sip.split_addresses(value)[0])
        except (WireError, IndexError):
            return value
        return f"{via.host}:{via.port};branch={via.parameters.get('branch', '')}"
    if name in ("From", "To"):
        tag = sip.parameters(value).get("tag", "") if name == "From" else ""
        return sip.address_uri(value) + (f";tag={tag}" if tag else "")
    return " ".join(value.split())


def not_sip(data: bytes) -> str:
    """What speaks there, as far as its first bytes tell."""
    if data[:1] in (b"\x15", b"\x16") and data[1:2] == b"\x03":
        return "TLS: this port wants an encrypted connection"
    if data.startswith(b"HTTP/"):
        return f"a web server: {_line(data)}"
    if data.startswith(b"SSH-"):
        return f"SSH: {_line(data)}"
    if data.startswith(b"SIP/2.0 "):
        return f"SIP, but damaged, without end or too large ({_line(data)})"
    return f"something else ({_line(data)})"


def _line(data: bytes) -> str:
    """The beginning of its first line, what cannot be printed as a question mark."""
    text = data.split(b"\r\n")[0][:40].decode("latin-1")
    return re.sub(r"[^\x20-\x7e]", "?", text)
