"""Plan by capability -> probe, bounded -> judge -> diagnose -> report. Whatever happens, the run ends with a report."""

import asyncio
import contextlib
import ipaddress
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from edgecheck.checks import ALL
from edgecheck.course import Course, Show, reported
from edgecheck.judging import skipped
from edgecheck.model.check import Check
from edgecheck.model.errors import ControlLost, LocalFailure, ServerUnreachable, TokenRefused
from edgecheck.model.profile import Profile
from edgecheck.model.router import RouterFacts
from edgecheck.model.verdict import Report, ServerFacts, Verdict
from edgecheck.net import foreign
from edgecheck.net.control.reach import resolve
from edgecheck.net.control.session import ControlSession
from edgecheck.net.machine import host
from edgecheck.net.network import EdgeNetwork
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.real import RealTransport
from edgecheck.wire.address import Target, parse_host
from edgecheck.wire.errors import WireError

_RESOLVE_S = 5.0
DEFAULT_PACE = 1000
"""Probes a second: a home router's NAT table and its flood protection survive it."""


_USUAL_S = {"port-forwarding": 7, "mapping-lifetime": 190, "sip-alg": 3, "topology": 3}
"""Seconds that a check usually takes over a line without trouble; others: one."""
_QUICK_S = 55


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for."""

    target: Target
    profile: Profile
    checks: tuple[str, ...] = ()
    """Ids; empty = all that the profile names."""
    source: str | None = None
    family: int | None = None
    pace: int | None = None
    """Probes a second at most; None = the default, 0 = as fast as the path takes."""
    timeout: float | None = None
    """Seconds for the whole run; None = no bound but the checks' own."""
    quick: bool = False
    """Where a check can take minutes, a coarser answer sooner."""
    tcp: bool = False
    """mapping-lifetime: of idle TCP connections too."""
    local_only: bool = False
    """The server is the embedded one: only this machine is checked."""

    def told(self) -> dict[str, Any]:
        """What the report says of it: never the token."""
        return {
            "profile": msgspec.to_builtins(self.profile),
            "checks": [check.id for check in self.plan()],
            "target": self.target.authority,
            "source": self.source,
            "family": self.family,
            "pace": self.rate(),
            "timeout": self.timeout,
            "quick": self.quick,
            "tcp": self.tcp,
            "local_only": self.local_only,
        }

    def rate(self) -> int:
        """The pace in force."""
        return DEFAULT_PACE if self.pace is None else self.pace

    def expected_s(self) -> int:
        """How long the run will take, about, seconds: what is paced can be counted, what is silent has to be asked again."""
        usual = {**_USUAL_S, **({"mapping-lifetime": _QUICK_S} if self.quick else {})}
        planned = [check.id for check in self.plan()]
        media = self.profile.rtp if "rtp-range" in planned else None
        paced = 2 * (media[1] - media[0] + 1) / self.rate() if media and self.rate() else 0
        return round(sum(usual.get(check, 1) for check in planned) + paced)

    def plan(self) -> list[Check]:
        """The checks, in the order in which they must run."""
        wanted = self.checks or self.profile.checks
        return [check for check in ALL if check.id in wanted]


_ROUTER_TIME_S = 0.6
"""A router that speaks has told its name by then; one that does not must hold up no run, not even one of half a second."""


_ANYWHERE = "192.0.2.1"


class _Asked(NamedTuple):
    """A question to the router that is under way before there is a network to ask through."""

    source: str
    """The local address from which it is asked."""
    at: float
    answer: asyncio.Task[RouterFacts]


CONTINUE_AFTER_S = (0.3, 1.0)
"""Waits before the tries to reach the server, or another of its group, again."""
MOST_CONTINUED = 2


class _Run(Course):
    """One run against an echo server."""

    def __init__(self, settings: Settings, show: Show) -> None:
        super().__init__(show, settings.plan(), settings.profile, settings.target.authority, settings.timeout)
        self.settings = settings
        self._continued = 0
        """How often a lost session was continued."""
        self._asked: _Asked | None = None

    def why_untested(self) -> str:
        return "there is no session with the server" if self.control else "it was not reached"

    def settings_told(self) -> dict[str, Any]:
        return self.settings.told()

    async def carry_out(self) -> None:
        self._asked = self._ask_router()
        try:
            await self._carry_out()
        finally:
            if self._asked is not None:
                self._asked.answer.cancel()

    async def _carry_out(self) -> None:
        try:
            session = await self._open_session()
        except asyncio.CancelledError:
            waited = f"{time.monotonic() - self.began:.1f} s after it was asked for"
            text = f"The session with {self.settings.target.authority} had not come about {waited}, when the run was ended"
            self.control_finding("unreachable", Verdict.INCONCLUSIVE, f"{text}: nothing was measured.")
            raise
        if session is None:
            self.client = host.facts(self.settings.source)
            await self._carry_out_alone()
            return
        lost = await self._carry_out_with(session)
        # a box that opens TLS and cuts the channel would cut the next one, too
        while lost and not session.intercepted and (again := await self._go_on(session.ticket, lost)) is not None:
            session = again
            lost = await self._carry_out_with(session)
        if lost:
            text = (
                f"The server at {self.settings.target.authority} was lost in mid-run ({lost}): what was measured before is "
                "told here. See that edgecheck-server still runs there, and run again."
            )
            self.control_finding("lost", Verdict.INCONCLUSIVE, text)

    async def _go_on(self, ticket: str, lost: str) -> ControlSession | None:
        """Another session in place of one that was lost, where there is something left to do: with this server or another of its group.

        What was under way when it was lost stays undecided: the receipts for it are gone.
        """
        if not ticket or self._continued >= MOST_CONTINUED or all(check.id in self.begun for check in self.plan):
            return None
        self._continued += 1
        for pause in CONTINUE_AFTER_S:
            await asyncio.sleep(pause)
            try:
                session = await ControlSession.open(self.settings.target, self.settings.source, self.settings.family, ticket)
            except ServerUnreachable:  # and what stands under it: the loss is what is told
                continue
            taken = "the session goes on" if session.welcome.continued else "a new session was opened"
            self.notes.append(
                f"The control channel was lost in mid-run ({lost}); {taken} with {session.peer_host}. "
                "What was under way at that moment is undecided."
            )
            return session
        return None

    async def _carry_out_with(self, session: ControlSession) -> str:
        """What is left to do, with this session; why that was lost, empty if it was not."""
        try:
            network = self._network(session)
            if network is not None:
                if session.intercepted:
                    await self._find_own_address(network)
                if not session.intercepted or network.service.alternate is not None:
                    self.client = msgspec.structs.replace(self.client, public_address=network.observed)
                reading = asyncio.create_task(self._read_router(network))
                enough = (self._asked.at if self._asked is not None else network.now()) + _ROUTER_TIME_S
                try:
                    await self._execute(network, session)
                    await asyncio.wait([reading], timeout=max(0.0, enough - network.now()))
                finally:
                    reading.cancel()
            return session.lost or ""
        finally:
            await session.close()

    async def _read_router(self, network: EdgeNetwork) -> None:
        """Which router it is decides what is advised. Read beside the checks, which have nothing to do with it and do not wait for it."""
        facts = await network.router()
        self.client = msgspec.structs.replace(self.client, router=facts.which)

    def _ask_router(self) -> _Asked | None:
        """Ask while the server is being reached: whoever measures need not wait for it afterwards.

        From the address that the run will have, as far as the routes tell. Where that is a public one, there is no router of one's own.
        """
        settings = self.settings
        try:
            numeric = parse_host(settings.target.host)
        except WireError:
            numeric = None
        try:
            # Of a name, the default route's: nothing is sent to the address, which is for documentation (RFC 5737).
            source = settings.source or foreign.source_for(numeric or _ANYWHERE)
            if ":" in source or ipaddress.ip_address(source).is_global or settings.family == 6:
                return None
        except (OSError, ValueError):  # no route
            return None
        answer = asyncio.create_task(RealTransport(source, Bell()).read_router())
        return _Asked(source, asyncio.get_running_loop().time(), answer)

    async def _open_session(self) -> ControlSession | None:
        settings = self.settings
        try:
            return await ControlSession.open(settings.target, settings.source, settings.family)
        except TokenRefused as error:
            self.control_finding("refused", Verdict.INCONCLUSIVE, str(error))
        except ServerUnreachable as error:
            self.control_finding("unreachable", Verdict.INCONCLUSIVE, str(error))
        return None

    async def _carry_out_alone(self) -> None:
        """No session: what can be told all the same, by the checks that know how to."""
        settings = self.settings
        reached = any(finding.id == "control.refused" for finding in self.control)  # it answered: nothing keeps it from us but the token
        plan = [check for check in self.plan if check.alone and not (reached and check.id == "outbound")]
        if not plan:
            return
        family = settings.family or (None if settings.source is None else 6 if ":" in settings.source else 4)
        try:
            async with asyncio.timeout(_RESOLVE_S):
                address = await resolve(settings.target.host, settings.target.port, family)
            source = settings.source or foreign.source_for(address)
        except (ServerUnreachable, OSError):  # TimeoutError is one
            plan = [check for check in plan if check.id != "outbound"]
            address = source = settings.source or "127.0.0.1"
        network = foreign.without_session(address, settings.target.port, source)
        for check in plan:
            await self.one(check, network)

    def _network(self, session: ControlSession) -> EdgeNetwork | None:
        settings, service = self.settings, session.welcome.service
        self.server = ServerFacts(
            address=session.peer_host,
            alternate=service.alternate,
            version=session.version,
            capabilities=service.capabilities,
            limits=msgspec.to_builtins(session.limits),
        )
        source = settings.source or session.local_host
        self.client = host.facts(source)
        if session.peer_host == service.alternate:
            text = (
                f"{session.peer_host} is the server's alternate address, which must stay uncontacted for the checks to mean anything: "
                f"run again with {service.address}."
            )
            self.control_finding("unreachable", Verdict.INCONCLUSIVE, text)
            return None
        if session.intercepted:
            self._intercepted(session)
        if service.alternate is None:
            self.notes.append(
                "The server has one address only: forwarding from a never-contacted address and the full filtering test are skipped."
            )
        return EdgeNetwork(
            RealTransport(source, Bell()),
            session,
            service,
            limits=session.limits,
            session_name=bytes.fromhex(session.welcome.session),
            observed=session.observed,
            primary_host=session.peer_host,
            memory=host.memory(source, session.peer_host),
            pace=settings.rate(),
            rtt=session.rtt,
            quick=settings.quick,
            idle_tcp=settings.tcp,
            alternate_contacted_s=session.welcome.alternate_contacted_s,
            control_port=settings.target.port,
            certificate=session.welcome.certificate,
            interceptor=session.issuer if session.intercepted else "",
            router=self._asked.answer if self._asked is not None and self._asked.source == source else None,
            progress=self.progress,
        )

    def _intercepted(self, session: ControlSession) -> None:
        text = (
            f"Something between here and {self.settings.target.host} opens TLS and shows its own certificate "
            f'(issuer: "{session.issuer}"). That alone breaks SIP over TLS; the checks went on without the control proof.'
        )
        proof = f"the server proved that its certificate is {session.welcome.certificate[:16]}..., another was shown here"
        self.control_finding("intercepted", Verdict.FAIL, text, proof)
        self.show.notice(text)

    async def _find_own_address(self, network: EdgeNetwork) -> None:
        """The control channel comes from the box, perhaps from its address far from here: ask over UDP where probes must go."""
        mapped = None
        with contextlib.suppress(LocalFailure, ControlLost):
            socket = await network.open_udp()
            try:
                mapped = await network.proved(socket)
            finally:
                socket.close()
        if mapped is not None:
            network.observed = mapped.host
            return
        network.service = msgspec.structs.replace(
            network.service,
            alternate=None,
            capabilities=tuple(name for name in network.service.capabilities if name not in ("alternate-address", "dial")),
        )
        self.notes.append(
            "The control channel comes from the box that opens TLS, and UDP got no answer: this network's own public address is not known, "
            "so nothing was sent to it unasked."
        )

    async def _execute(self, network: EdgeNetwork, session: ControlSession) -> None:
        """Each check in its turn; whoever must wait for the alternate address lets the next one go first."""
        tasks: list[asyncio.Task[None]] = []
        try:
            for check in [check for check in self.plan if check.id not in self.begun and check.id not in self.results]:
                missing = check.needs - set(network.service.capabilities)
                why = f"the server offers no {', '.join(sorted(missing))}" if missing else check.unfit(self.settings.profile)
                if why:
                    self.keep(skipped(check, why))
                    continue
                if session.lost is not None:
                    break  # the report names the rest as not tested, and why
                if check.lengthy:
                    network.gate.open()
                network.gate.someone_waits.clear()
                task = asyncio.create_task(self.one(check, network))
                tasks.append(task)
                parked = asyncio.create_task(network.gate.someone_waits.wait())
                try:
                    await asyncio.wait({task, parked}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    parked.cancel()
            network.gate.open()
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: Settings, show: Show) -> Report:
    """Do the job. Cancelled (``Ctrl-C``), it ends cleanly and reports what is known so far."""
    return await reported(_Run(settings, show))
