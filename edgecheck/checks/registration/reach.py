"""After the 200: do requests reach us through the registration, and does the way out that the registrar names lead anywhere?

An OPTIONS goes to our own address, as a call of this phone would: by the Service-Route (RFC 3608), to our GRUU (RFC 5627) where one was
given, so that no other phone of the account answers it. The flow is kept open meanwhile as the registrar asks (RFC 5626).
"""

import contextlib
from collections.abc import Callable

from msgspec.structs import replace

from edgecheck.checks.dns.locate import locate
from edgecheck.checks.registration import messages, route
from edgecheck.checks.registration.credentials import Credentials
from edgecheck.checks.registration.flow import PATIENCE_S, KeepAlive
from edgecheck.checks.registration.line import Heard, Line, unopened
from edgecheck.checks.registration.loss import chance_unreached
from edgecheck.checks.registration.observation import Attempt, RegistrationObservation, ServiceHop
from edgecheck.model.errors import LocalFailure
from edgecheck.model.evidence import WRONG_BY_CHANCE
from edgecheck.model.phone import Target
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError

REACH_S = 3.0
"""Registrars that test their bindings mostly do so at once; whoever calls after that is not waited for."""
_MOST_ASKED = 5
"""OPTIONS to our own address, at most."""
_CONNECT_S = 5.0
_TOLD = ("", "NOERROR", "NXDOMAIN", "NONE")


class Look:
    """One look from a line on which a registration stands."""

    def __init__(
        self, line: Line, names: messages.Names, credentials: Credentials, number: Callable[[], int], attempts: list[Attempt]
    ) -> None:
        """``attempts``: all that was tried so far; what is tried here is added."""
        self.line = line
        self.phone = line.phone
        self.account = line.phone.account
        self.names = names
        self.credentials = credentials
        self.attempts = attempts
        self._number = number

    async def around(self, seen: RegistrationObservation) -> RegistrationObservation:
        """What was seen, added to what was known."""
        began = self.phone.now()
        self.line.own_call = f"{self.names.call_id}-reach"
        self.phone.progress(0, 0, "waiting for a request through the registration")
        if seen.outbound and self.line.target.transport not in ("ws", "wss"):  # WebSocket has pings of its own
            self.line.keeper = KeepAlive(self.phone, self.line.link, seen.flow_timer_s)
            self.line.keep()
        reached = await self._until(self._reached, REACH_S / 3)
        hop: ServiceHop | None = None
        if seen.service_route:
            hop, beyond = await self._hop(seen.service_route)
            answered = await self._by_service_route(seen, hop, beyond) if hop.target is not None else False
            reached = self._reached()
            if not answered and not reached:
                answered = await self._ask(seen, (), self.line) is not None
        else:
            answered = not reached and await self._ask(seen, (), self.line) is not None
        if answered and not self._reached():
            await self._until(self._reached, REACH_S * 2 / 3)
            await self._insist(seen)
        waited = round(self.phone.now() - began, 3)
        keeper = self.line.keeper
        if keeper is not None:
            await self._until(lambda: keeper.told, PATIENCE_S)
            seen = replace(seen, keepalive_answered=keeper.answers > 0, keepalive_copies=keeper.sent)
        return replace(seen, service_hop=hop, waited_s=waited)

    async def _insist(self, seen: RegistrationObservation) -> None:
        """The server gave up, and perhaps only because so little was lost: asked again, until loss is no reason any more."""
        service_route = seen.service_route if self.attempts[-1].route else ()
        for _ in range(_MOST_ASKED - 1):
            unreached = not self._reached() and self.attempts[-1].status in (408, 430)
            if not unreached or chance_unreached(replace(seen, attempts=tuple(self.attempts))) < WRONG_BY_CHANCE:
                return
            await self._ask(seen, () if self.account.proxy is not None else service_route, self.line)
            await self._until(self._reached, REACH_S / 3)

    def _reached(self) -> bool:
        self.line.read()
        return bool(self.line.inbound)

    async def _until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """As the phone's, and the flow is kept meanwhile."""
        ends = self.phone.now() + timeout
        while True:
            left = ends - self.phone.now()
            keeper = self.line.keeper
            if await self.phone.until(condition, max(0.0, min(left, keeper.due() - self.phone.now()) if keeper else left)):
                return True
            if self.phone.now() >= ends:
                return condition()
            self.line.keep()

    # --- the way out -----------------------------------------------------------------------------------------------------

    async def _hop(self, service_route: tuple[str, ...]) -> tuple[ServiceHop, Line | None]:
        """Where requests with this Service-Route go first; a line there, where it is another place than the registrar's."""
        first = route.preloaded(self.account, service_route)[0]
        value = route.items(service_route)[0]
        hop = ServiceHop(uri=sip.address_uri(value)[:200], loose=route.is_loose(value), target=None)
        if self.account.proxy is not None:
            return replace(hop, target=str(self.line.target), same=True), None  # the outbound proxy stays the next hop
        place = route.place_of(first, self.line.target.transport)
        if place is None:
            return replace(hop, words="it is no SIP address"), None
        located = await locate(self.phone, place)
        found = located.targets
        if not found:
            untold = any(step.decisive and step.rcode not in _TOLD for step in located.steps)
            words = "could not be looked up: no DNS server told" if untold else "leads to no address"
            return replace(hop, words=f"{place.host} {words}", untold=untold), None
        if any(self._here(target) for target in found):
            return replace(hop, target=str(self.line.target), same=True), None
        target = found[0]
        try:
            link = await self.phone.open_link(target, _CONNECT_S)
        except LocalFailure as error:
            self.attempts.append(unopened(target, error, "reach"))
            return replace(hop, target=str(target), words=str(error)), None
        return replace(hop, target=str(target)), Line(self.phone, target, link, place.host)

    def _here(self, target: Target) -> bool:
        """Whether that is the place where we have registered: a registration's own flow is as good a way there as any."""
        return (target.transport, target.endpoint) == (self.line.target.transport, self.line.target.endpoint)

    async def _by_service_route(self, seen: RegistrationObservation, hop: ServiceHop, beyond: Line | None) -> bool:
        """Whether an OPTIONS by the Service-Route was answered."""
        if not hop.same and beyond is None:
            return False
        try:
            return await self._ask(seen, seen.service_route, beyond or self.line) is not None
        finally:
            if beyond is not None:
                beyond.link.close()

    # --- the question ----------------------------------------------------------------------------------------------------

    async def _ask(self, seen: RegistrationObservation, service_route: tuple[str, ...], line: Line) -> Heard | None:
        """OPTIONS to our own address; the final answer, None: there was none."""
        uri, by = route.addressed(seen.gruu or self.account.aor, route.preloaded(self.account, service_route))
        heard: Heard | None = None
        for _ in range(2):
            with_credentials = heard is not None
            sent = self.credentials.headers("OPTIONS", uri) if with_credentials else ()
            branch = f"z9hG4bK{self.phone.token(8)}"
            with contextlib.suppress(WireError):
                request = messages.options(
                    self.account,
                    self.names,
                    line.way,
                    uri=uri,
                    branch=branch,
                    cseq=self._number(),
                    to=self.account.aor,
                    route=by,
                    credentials=sent,
                )
                algorithm = self.credentials.algorithm if sent else None
                heard = await line.ask(request, branch, "reach", method="OPTIONS", credentials=algorithm, beside=self.line)
                self.attempts.append(replace(heard.attempt, uri=uri, route=by))
            if heard is None or heard.message is None or heard.message.status not in (401, 407) or self.credentials.refusals:
                break
            if line.distrust or self.credentials.weigh(heard.message, sent=bool(sent)) != "again":
                break
        return heard if heard is not None and heard.message is not None else None
