"""Nothing answered as configured. Is anybody there, and does another transport of the same server take a REGISTER?

OPTIONS on the way that stayed silent measure its loss; a REGISTER without credentials and without a Contact asks each other transport.
"""

import asyncio
from collections.abc import Callable
from typing import Literal, NamedTuple

from edgecheck.checks.registration.line import CONNECT_S, Line
from edgecheck.checks.registration.loss import untroubled
from edgecheck.checks.registration.messages import Way
from edgecheck.checks.registration.observation import Attempt
from edgecheck.model.account import SipTransport
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Phone, Target

_CONTROLS, _CONTROLS_ALONE = 3, 7
"""OPTIONS that measure the loss of a way on which REGISTER met silence: few where ``transport`` has measured it already."""
_CONTROLS_OF_CONNECTIONS = 5
"""The same, where no connection for it came about."""
_TRANSPORTS: dict[SipTransport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}


class _Tried(NamedTuple):
    """What came of one request beside the REGISTER."""

    connected: bool
    answered: bool
    copies: int
    retransmitted: int = 0
    """Segments that TCP sent again."""
    clean: bool = False
    """Whether TCP is known to have lost nothing."""


class OtherWays:
    """The server of an account, asked in other ways than the configured one."""

    def __init__(self, phone: Phone, options: Callable[[Way, str], bytes], register: Callable[[Line, str], bytes]) -> None:
        """``options``, ``register``: make a request with this branch."""
        self._phone = phone
        self._options = options
        self._register = register

    async def ask(self, silent: Attempt, target: Target, attempts: list[Attempt]) -> dict[str, object]:
        """Facts of the observation. ``silent``: what got no answer at ``target``; what is among ``attempts`` is not asked again."""
        asked = {(attempt.transport, attempt.target) for attempt in attempts}
        others = [
            Target(transport=transport, host=self._phone.account.domain, address=target.address, port=port)
            for transport, port in _TRANSPORTS.items()
        ]
        others = [other for other in others if (other.transport, str(other.endpoint)) not in asked]
        measuring = _CONTROLS if str(target) in self._phone.pinged else _CONTROLS_ALONE
        wanted = {"timeout": _CONTROLS_OF_CONNECTIONS, "silent": measuring, "provisional-only": _CONTROLS_ALONE, "tls-silent": _CONTROLS}
        controls = wanted.get(silent.trouble or "", 0)
        self._phone.progress(0, 0, f"does {target.address} answer in any other way?")
        tried = await asyncio.gather(
            *(self._tried(target, "OPTIONS") for _ in range(controls)), *(self._tried(other, "REGISTER") for other in others)
        )
        facts: dict[str, object] = {}
        if controls:
            found = tried[:controls]
            facts |= {
                "options_answered": sum(each.answered for each in found),
                "options_copies": sum(each.copies for each in found),
                "options_connected": sum(each.connected for each in found) if target.transport != "udp" else 0,
                "options_retransmitted": sum(each.retransmitted for each in found),
                "options_asked": controls,
                "options_clean": sum(each.clean for each in found),
            }
        answered = tuple(str(other) for other, each in zip(others, tried[controls:], strict=True) if each.answered)
        return facts | {"other_transports": answered}

    async def _tried(self, target: Target, method: Literal["OPTIONS", "REGISTER"]) -> _Tried:
        try:
            link = await self._phone.open_link(target, CONNECT_S)
        except LocalFailure as error:
            return _Tried(connected=False, answered=False, copies=0, clean=untroubled(error.delivery))
        try:
            line = Line(self._phone, target, link)
            branch = f"z9hG4bK{self._phone.token(8)}"
            request = self._options(line.way, branch) if method == "OPTIONS" else self._register(line, branch)
            heard = await line.ask(request, branch, "reach", method=method, timeout=4.0)
        finally:
            link.close()
        facts = heard.attempt.delivery
        return _Tried(
            connected=True,
            answered=heard.message is not None,
            copies=heard.attempt.copies,
            retransmitted=facts.retransmitted if facts else 0,
            clean=untroubled(facts),
        )
