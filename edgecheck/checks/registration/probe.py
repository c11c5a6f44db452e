"""The way of a careful phone: ask for the bindings, register for a short while, see whether we are reached, and take our binding away.

It sends few messages, one after the other. Credentials go out only where the way may have them, and are refused at most twice.
"""

import contextlib

from msgspec.structs import replace

from edgecheck.checks.registration import messages, route
from edgecheck.checks.registration.alg import diverted, hides_nat
from edgecheck.checks.registration.bindings import Listing, read_listing
from edgecheck.checks.registration.credentials import Credentials
from edgecheck.checks.registration.dialogue import Again, Dialogue, Done, Elsewhere, Over, Redirected, Step, option_tags, seconds
from edgecheck.checks.registration.line import CONNECT_S, Line, unopened
from edgecheck.checks.registration.observation import Attempt, Ending, Purpose, RegistrationObservation
from edgecheck.checks.registration.other_ways import OtherWays
from edgecheck.checks.registration.reach import Look
from edgecheck.checks.registration.targets import follow, targets_of
from edgecheck.model import draft
from edgecheck.model.account import Account, Place
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import Phone, Target
from edgecheck.model.profile import Profile
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError
from edgecheck.wire.transaction import TIMEOUT

EXPIRES_S = 120
"""Long enough to look around, short enough to be gone soon should the removal be lost."""
_FAILOVER_S = 8.0
"""Patience with every target after the first: a phone has 32 s for each."""
_LATE_S = 4.0
"""After Timer F: an answer that comes now came too late, which is another fault than none."""


async def probe_account(phone: Phone, profile: Profile) -> RegistrationObservation:
    """Fetch, register, look, remove."""
    visit = _Visit(phone)
    draft.leave(lambda why: visit.so_far())
    try:
        await visit.go()
    finally:
        visit.leave()
    return visit.observation()


class _Visit:
    """One account at its registrar: what is known so far."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self.account: Account = phone.account
        self.names = messages.Names(phone.token(12), phone.token(4), f"urn:uuid:{_uuid(phone.token(16))}")
        auth_user = self.account.digest_user
        self.credentials = Credentials(auth_user, phone.secret() or None, lambda: phone.token(8))
        self.dialogue = Dialogue(self.credentials, expires=EXPIRES_S, dry=self.account.dry)
        self.seen = RegistrationObservation(
            aor=self.account.aor, auth_user=auth_user, ending="no-target", password_edged=_edged(phone.secret())
        )
        self.attempts: list[Attempt] = []
        self.uri = messages.request_uri(self.account.registrar)
        self.redirected_to = ""
        self.line: Line | None = None
        self.before: Listing | None = None
        self.proved: bool | None = None
        self._cseq = 0
        self._may_remain = False
        self._given_up: tuple[str, float] | None = None
        """Branch and beginning of the REGISTER that got no final answer in all the time that a phone has."""

    async def go(self) -> None:
        pending = targets_of(self.phone)
        while pending:
            target = pending.pop(0)
            step = await self._try(target, last=not pending)
            if isinstance(step, Redirected):
                if not step.proxy:
                    parts = sip.uri_parts(step.uris[0])
                    # A Contact may name a user, the Request-URI of a REGISTER does not (section 10.2).
                    self.redirected_to = parts.host
                    self.uri = messages.request_uri(Place(host=parts.host, port=parts.port, secure=parts.scheme == "sips"))
                pending = await follow(self.phone, step, target)
                if not pending:
                    self._end("redirects")
                continue
            if isinstance(step, Over):
                self._note(distrust=self.line.distrust if self.line and step.ending == "untrusted" else "")
                self._end(step.ending)
            if not isinstance(step, Elsewhere):
                break
        if self.seen.ending == "unanswered":
            await self._ask_others()
            if self.line is not None and self._given_up is not None:
                branch, began = self._given_up
                self.attempts[-1] = await self.line.late(self.attempts[-1], branch, began, began + TIMEOUT + _LATE_S)
        elif self.line is not None and hides_nat(self.line.way.local.host, self.line.target):
            self._note(answer_diverted=await diverted(self.phone, self.line.target, self._options_through))

    # --- one target ------------------------------------------------------------------------------------------------------

    async def _try(self, target: Target, *, last: bool) -> Step:
        """Everything at one target; ``Elsewhere`` when the next one is to be tried."""
        self.leave()
        self.credentials.forget()  # a nonce of another server, or of another connection, is refused like a wrong password
        self.phone.progress(0, 0, f"REGISTER to {target}")
        try:
            link = await self.phone.open_link(target, CONNECT_S)
        except LocalFailure as error:
            self.attempts.append(unopened(target, error))
            self._end("unanswered")
            return Elsewhere()
        self.line = Line(self.phone, target, link, self.redirected_to)
        arrived, sent = self.phone.pinged.get(str(target), (0, 0))
        self._note(local=str(link.local), pinged_arrived=arrived, pinged_sent=sent)
        patience = TIMEOUT if not self.attempts else _FAILOVER_S
        step, answer = await self._round("fetch", None, 0, last, patience)
        if isinstance(step, Over) and answer is not None and self.dialogue.refuses_questions(step, answer):
            # Of a 403 it is next to certain that it means the account: silence after it takes nothing from that.
            by_policy = answer.status in (403, 603)
            if by_policy and self.attempts[-1].credentials:
                return step  # many say 403 for a wrong password: it is not tried once more
            registered = await self._register(last, _FAILOVER_S if by_policy else TIMEOUT)
            return step if by_policy and isinstance(registered, Elsewhere) and self.attempts[-1].status is None else registered
        if not isinstance(step, Done) or answer is None:
            return step
        self.before = read_listing(answer, None, None)
        self._note(bindings=self.before.bindings)
        if self.account.dry:
            return Over("challenged")  # it asked for no password
        return await self._register(last, TIMEOUT)

    async def _register(self, last: bool, patience: float) -> Step:
        assert self.line is not None
        contact = self._contact()
        if self.account.dry:  # for no time: whoever asks for no password has nothing to remove by it
            step, answer = await self._round("register", contact, 0, last, patience)
            return Over("challenged") if isinstance(step, Done) else step
        self._may_remain = True  # until it is refused: its 200 may be lost, or not be there yet when the run is cut short
        step, answer = await self._round("register", contact, self.dialogue.expires, last, patience)
        if not isinstance(step, Done) or answer is None:
            self._may_remain = answer is None
            return step
        self.line.registered_at = self.phone.now()
        contact = self.seen.contact_sent or contact
        listing = read_listing(answer, contact, self.names.instance, self.before)
        self._note(
            ending="registered",
            bindings=listing.bindings,
            contact_seen=listing.own.contact if listing.own else None,
            requested_expires_s=self.dialogue.expires,
            granted_expires_s=listing.granted(seconds(answer.get("Expires"))),
            path=answer.all("Path")[:8],
            service_route=answer.all("Service-Route")[:8],
            outbound="outbound" in option_tags(answer, "Require"),
            flow_timer_s=seconds(answer.get("Flow-Timer")),
            gruu=listing.gruu,
            offered=self.dialogue.extensions,
            displaced=_gone(self.before, listing),
        )
        self.seen = await Look(self.line, self.names, self.credentials, self._number, self.attempts).around(self.seen)
        await self._remove(contact)
        return Done()

    async def _remove(self, contact: str) -> None:
        self.phone.progress(0, 0, "removing our binding")
        step, answer = await self._round("remove", contact, 0, True, TIMEOUT)
        if not isinstance(step, Done) or answer is None:
            return
        # Not by what is new since: another phone of the account may have come meanwhile.
        left = read_listing(answer, self.seen.contact_seen or contact, self.names.instance)
        self._may_remain = left.own is not None and left.own.expires_s != 0  # some list what is gone once more, with its end
        self._note(removed=not self._may_remain)
        if self.seen.displaced:
            # Some list only what was registered just now: what is listed again was never gone.
            step, answer = await self._round("fetch", None, 0, True, TIMEOUT)
            listed = {binding.contact for binding in read_listing(answer, None, None).bindings} if answer else set(self.seen.displaced)
            self._note(displaced=tuple(contact for contact in self.seen.displaced if contact not in listed))

    # --- one request and its retries -------------------------------------------------------------------------------------

    async def _round(
        self, purpose: Purpose, contact: str | None, expires: int, last: bool, patience: float
    ) -> tuple[Step, sip.Message | None]:
        """A REGISTER until something other than another try follows from the answer."""
        assert self.line is not None
        self.credentials.spend()
        again = True
        while True:
            if self.line.link.closed is not None and self._answered_here() and await self._reopened() and purpose == "register":
                contact = self._contact()
            branch = self._branch()
            algorithm = self.credentials.algorithm if not self.line.distrust else None
            request = self._request(self.line, contact, self.dialogue.expires if expires else 0, branch, algorithm is not None)
            began = self.phone.now()
            heard = await self.line.ask(request, branch, purpose, credentials=algorithm, timeout=patience)
            self.attempts.append(heard.attempt)
            self._learn(heard.attempt)
            if heard.message is None and again and heard.attempt.trouble in ("closed", "reset") and self._answered_here():
                again = False  # it closed while the request was under way: tried on another connection, once
                continue
            if heard.message is None:
                self._given_up = (branch, began) if heard.attempt.elapsed_s >= TIMEOUT else None
                self._end("unanswered")
                return Elsewhere(), None
            step = self.dialogue.weigh(
                heard.message, sent_credentials=algorithm is not None, trusted=not self.line.distrust, last_target=last
            )
            if isinstance(step, Done):
                proved = self.credentials.taken(heard.message)
                self.proved = proved if proved is not None else self.proved
                return step, heard.message
            if isinstance(step, Elsewhere):
                self._end("refused")
            if not isinstance(step, Again):
                return step, heard.message
            if step.after_s:
                await self.phone.sleep(step.after_s)

    def _contact(self) -> str:
        assert self.line is not None
        contact = messages.contact_uri(self.account, self.line.way)
        if not self.account.dry:
            self._note(contact_sent=contact)
        return contact

    def _answered_here(self) -> bool:
        assert self.line is not None
        here = (self.line.target.transport, str(self.line.target.endpoint))
        return any(attempt.status is not None and (attempt.transport, attempt.target) == here for attempt in self.attempts)

    async def _reopened(self) -> bool:
        """A server may close a connection between two requests (some do after each 401): a phone opens another one."""
        assert self.line is not None
        before = self.line
        try:
            link = await self.phone.open_link(before.target, CONNECT_S)
        except LocalFailure:
            return False
        before.link.close()
        self.line = Line(self.phone, before.target, link, self.redirected_to)
        self.line.inbound, self.line.registered_at = before.inbound, before.registered_at
        self._note(local=str(link.local))
        return True

    def _request(self, line: Line, contact: str | None, expires: int, branch: str, with_credentials: bool) -> bytes:
        return messages.register(
            self.account,
            self.names,
            line.way,
            uri=self.uri,
            branch=branch,
            cseq=self._number(),
            contact=contact,
            expires=expires,
            extensions=self.dialogue.extensions,
            credentials=self.credentials.headers("REGISTER", self.uri) if with_credentials else (),
        )

    def _number(self) -> int:
        """The next CSeq."""
        self._cseq += 1
        return self._cseq

    def _branch(self) -> str:
        return f"z9hG4bK{self.phone.token(8)}"

    def _learn(self, attempt: Attempt) -> None:
        if attempt.received or attempt.rport:
            assert self.line is not None
            # RFC 3581 section 4: received may be left out where it equals sent-by, by servers older than that.
            host = (attempt.received or self.line.way.local.host).strip("[]")
            port = attempt.rport or self.line.way.local.port
            self._note(seen_as=str(Endpoint(host, port)))

    # --- other ways ------------------------------------------------------------------------------------------------------

    async def _ask_others(self) -> None:
        first = next((attempt for attempt in self.attempts), None)
        target = next(iter(targets_of(self.phone)), None)
        if first is None or target is None:
            return
        if first.status is not None and self.line is not None:
            first, target = self.attempts[-1], self.line.target  # it answered, and then no more
        ways = OtherWays(self.phone, self._options_through, lambda line, branch: self._request(line, None, 0, branch, False))
        self._note(**await ways.ask(first, target, self.attempts))

    def _options_through(self, way: messages.Way, branch: str) -> bytes:
        # A Call-ID each: several at once in one call confuse servers.
        names = self.names._replace(call_id=self.phone.token(12))
        by = route.preloaded(self.account, ())
        return messages.options(self.account, names, way, uri=self.uri, branch=branch, cseq=self._number(), route=by)

    # --- the end ---------------------------------------------------------------------------------------------------------

    def _note(self, **facts: object) -> None:
        self.seen = replace(self.seen, **facts)

    def _end(self, ending: Ending) -> None:
        if self.seen.ending != "registered":
            self._note(ending=ending)

    def leave(self) -> None:
        """However it ends, a binding that may remain is asked to go: once, without waiting."""
        if self.line is None:
            return
        if self._may_remain and self.seen.contact_sent is not None and self.seen.removed is None:
            with contextlib.suppress(WireError, ValueError):
                self.line.link.send(self._request(self.line, self.seen.contact_sent, 0, self._branch(), self.credentials.ready))
            self._may_remain = False
        self.line.link.close()
        self._note(inbound=tuple(self.line.inbound))
        self.line = None

    def so_far(self) -> RegistrationObservation:
        """Should it be cut short: only a registration that came about is an end by then."""
        seen = self.observation()
        inbound = tuple(self.line.inbound) if self.line is not None else seen.inbound
        return replace(seen, ending=seen.ending if seen.ending == "registered" else "cut-short", inbound=inbound)

    def observation(self) -> RegistrationObservation:
        """All of it."""
        return replace(self.seen, attempts=tuple(self.attempts), server_proved=self.proved)


def _gone(before: Listing | None, now: Listing) -> tuple[str, ...]:
    listed = {binding.contact for binding in now.bindings}
    # Ours alone, or nothing, may also mean that this registrar lists no others: only what it had listed itself counts.
    return tuple(binding.contact for binding in before.bindings if binding.contact not in listed)[:5] if before else ()


def _edged(password: str | None) -> bool:
    return password is not None and password != password.strip()


def _uuid(digits: str) -> str:
    """RFC 4122, version 4, of 32 hexadecimal digits."""
    fixed = f"{digits[:12]}4{digits[13:16]}8{digits[17:]}"
    return "-".join((fixed[:8], fixed[8:12], fixed[12:16], fixed[16:20], fixed[20:32]))
