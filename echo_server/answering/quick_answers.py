"""The short way for what makes up a flood of STUN: the same request over and over, whose answer differs in its transaction id alone."""

from collections.abc import Callable

from echo_server import roles
from echo_server.answering.accounts import Accounts
from echo_server.answering.answers import Answers
from echo_server.outbound import Outbound
from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint

_PLAIN_REQUEST = b"\0\1\0\0" + stun.COOKIE_BYTES
"""How a Binding request without attributes begins; the transaction id follows, and that is all."""
_SOURCES = 8192
"""Sources remembered, a listener; then it begins anew."""

Quick = Callable[[bytes, tuple[str, int], float], bytes | None]
"""(datagram, source, now) -> the answer from the same socket; empty: none is due; None: take ``Datagrams.handle``."""


class QuickAnswers:
    """Remembers the answer that ``handle`` (of ``Datagrams``) made for a source, and makes the next ones of it."""

    def __init__(self, accounts: Accounts, answers: Answers, handle: Callable[[str, Endpoint, bytes, float], list[Outbound]]) -> None:
        self._accounts = accounts
        self._answers = answers
        self._handle = handle
        self._remembered: list[dict[tuple[str, int], tuple[bytes, bytes, bool]]] = []

    def forget(self) -> None:
        """Who is trusted has changed."""
        for known in self._remembered:
            known.clear()

    def at(self, listener: str, family: int) -> Quick:
        """For one listener. Takes a Binding request without attributes, over IPv4, of no session; leaves everything else."""
        if roles.for_probes(listener):
            return lambda data, source, now: None
        known: dict[tuple[str, int], tuple[bytes, bytes, bool]] = {}
        self._remembered.append(known)
        answers, handle = self._answers, self._handle
        session_of, allows = self._accounts.sessions.get, answers.rate.allows
        note = self._accounts.contacts.note if listener[0] == "B" else None

        def answer(data: bytes, source: tuple[str, int], now: float) -> bytes | None:
            if data[:8] != _PLAIN_REQUEST or len(data) != stun.HEADER or session_of(data[8:16]) is not None:
                return None
            parts = known.get(source)
            if parts is not None:
                if note is not None:
                    note(source[0], now)
                head, tail, limited = parts
                if limited and not allows(source[0], now):
                    answers.counters["rate"] += 1
                    return b""
                return head + data[8:] + tail
            if family != 4:  # XOR-MAPPED-ADDRESS of IPv6 is XORed with the transaction id too
                return None
            outbound = handle(listener, Endpoint(*source), data, now)
            if len(outbound) != 1:
                return b""
            if len(known) >= _SOURCES:
                known.clear()
            made = outbound[0].data
            known[source] = (made[:8], made[stun.HEADER :], not answers.is_trusted(source[0]))
            return made

        return answer
