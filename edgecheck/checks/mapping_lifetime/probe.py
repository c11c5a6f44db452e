"""The measurement: all flows begin together, each is asked in its own time."""

import asyncio
import math
from collections.abc import Sequence

from msgspec.structs import replace

from edgecheck.checks.mapping_lifetime.bounds import (
    NO_TCP,
    bounds,
    cut_short,
    observe,
    of_kind,
    refreshed_from_outside,
    sip_apart,
    untold,
    with_tcp,
)
from edgecheck.checks.mapping_lifetime.flows import COPIES, Flow, Prober, ServerClock, contact_once, converse, open_unused, sip_line
from edgecheck.checks.mapping_lifetime.observation import BareTest, IdlePoint, Kind, LifetimeObservation
from edgecheck.checks.mapping_lifetime.tcp import TcpMeasurement
from edgecheck.checks.mapping_lifetime.watch import PERIODS_S, Watch
from edgecheck.checks.unsolicited import remembered
from edgecheck.model import draft
from edgecheck.model.check import Network, UdpSocket
from edgecheck.model.errors import ControlLost, RequestDeclined
from edgecheck.model.profile import Profile

GRID_S = (5, 10, 15, 20, 25, 30, 35, 45, 60, 90, 120, 150, 180)
QUICK_S = 45
"""The longest idle time of a quick run."""
SURE_DEAD = 2
"""Times in a row proved too long after which no longer one is waited for: a NAT forgets, it does not remember again."""
INBOUND_EVERY_S = 3.0
"""Sooner than the shortest time of the grid: else a mapping that lives five seconds is gone before the first packet could refresh it."""
INBOUND_COPIES = 4
SPARE = 4
"""Sockets in place of those whose first exchange went wrong: two for the silent flows, two for the one that is sent to."""
ATTEMPTS = 4
"""At finding sockets to which nothing is forwarded."""
CONTACTS = 3
LEAD_S = 1.0
"""The control is refreshed so long before a burst."""
SESSION_MARGIN_S = 20
FORGOT = "the router forgot everything at once, however young (did it restart, reconnect or load its rules anew?): it was no idleness"
UNTOLD = "whether the router forgot everything at once, however young, could not be told"
NO_SIP = "SIP on the server's SIP port got no answer, or this server does not send from there"
_ALL_OF_SERVER = "packets from the server get in to sockets that have sent it nothing"


async def probe_network(net: Network, profile: Profile) -> LifetimeObservation:
    """Measure; see the package's text."""
    measurement = _Measurement(net)
    try:
        return await measurement.measure()
    finally:
        await measurement.end()
        for socket in measurement.sockets:
            socket.close()
        net.memory.note_sent([socket.local.port for socket in measurement.sockets])


class _Measurement:
    """One run, with what it has found out so far."""

    def __init__(self, net: Network) -> None:
        self.sockets: list[UdpSocket] = []
        self._net = net
        self._clock = ServerClock(net)
        self._probers: list[Prober] = []
        self._points: list[IdlePoint] = []
        self._lost = False
        """The session is gone: what is known is told."""
        self._silent_over = False
        """The flows of kind ``packet`` have all been asked."""
        self._watch: Watch | None = None
        """Over young flows, once there are any."""
        self._watching: asyncio.Task[None] | None = None
        self._guarded = asyncio.Event()
        """It has begun, or there will be none."""
        self._died: dict[int, tuple[float, float]] = {}
        """Place in ``_points`` of a flow that was silent -> when it began, and when it was asked."""
        self._broken = ""
        """Why what was left to be asked tells nothing."""

    async def measure(self) -> LifetimeObservation:
        net = self._net
        left = net.limits.session_s - await self._clock.start() - SESSION_MARGIN_S
        grid = tuple(idle for idle in GRID_S if idle <= min(left, QUICK_S if net.quick else math.inf))
        seen = LifetimeObservation(quick=net.quick, grid_s=grid, sender=str(net.primary), reasons={"tcp_s": NO_TCP})
        if not grid:
            return untold(seen, "the server soon ends the session: run this check alone")
        draft.leave(lambda why: cut_short(seen, self._weighed(), why))
        if not net.idle_tcp:
            return await self._measure_udp(seen, grid)
        tcp, telling = TcpMeasurement(net, self._clock, self._forgotten), asyncio.ensure_future(self._tell(grid[-1] + 10))
        draft.leave(lambda why: with_tcp(cut_short(seen, self._weighed(), why), tcp.points, tcp.sender, "" if tcp.points else why))
        of_tcp = asyncio.ensure_future(self._beside(tcp, grid))
        try:
            seen = await self._measure_udp(seen, grid)
            self._guarded.set()
            await of_tcp
        finally:
            for task in (telling, of_tcp):
                task.cancel()
            await asyncio.gather(telling, of_tcp, return_exceptions=True)
        return with_tcp(seen, tcp.points, tcp.sender, tcp.reason)

    async def end(self) -> None:
        """Nobody is watched any more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _measure_udp(self, seen: LifetimeObservation, grid: tuple[int, ...]) -> LifetimeObservation:
        net = self._net
        self._probers = probers = [Prober(net, socket, self._clock) for socket in await self._open(4)]
        if not await self._reach(probers):
            return untold(seen, "no answer came over UDP: see nat-behavior")
        sip = await self._sip_prober()
        if sip is None:
            seen = replace(seen, reasons={**seen.reasons, "sip_s": NO_SIP})
        else:
            self._probers = [*probers, sip]
            seen = replace(seen, sip_sender=str(sip.line.source))
        fit, bare, reason = await self._fit(probers[0], len(PERIODS_S) + (3 if sip else 2) * len(grid) + 1 + SPARE)
        seen = replace(seen, bare=bare, lets_in_all=False if fit else None)
        if not fit and not reason:
            reason = await self._why_all_get_in(probers[0])
            seen = replace(seen, lets_in_all=not reason or None)
            reason = reason or "packets get in whether a socket has sent something or not"
        if reason:
            return untold(seen, reason)
        self._watch = Watch(net, probers[3])
        await self._watch.begin(fit[: len(PERIODS_S)])
        self._watching = asyncio.ensure_future(self._watch.keep())
        self._guarded.set()
        await self._all_kinds(grid, fit[len(PERIODS_S) :], probers, sip)
        points = self._weighed()
        return cut_short(seen, points, self._broken) if self._broken else observe(seen, points)

    async def _open(self, count: int) -> list[UdpSocket]:
        opened = await open_unused(self._net, count)
        self.sockets += opened
        return opened

    async def _sip_prober(self) -> Prober | None:
        """A control of its own, refreshed by SIP: a box that lets nothing but SIP through there would make every flow seem dead."""
        line = sip_line(self._net)
        if line is None:
            return None
        (socket,) = await self._open(1)
        prober = Prober(self._net, socket, self._clock, line)
        for _ in range(CONTACTS):
            if await prober.refresh():
                return prober
        return None

    async def _reach(self, probers: list[Prober]) -> bool:
        for _ in range(CONTACTS):
            if all(await asyncio.gather(*(prober.refresh() for prober in probers))):
                return True
        return False

    async def _fit(self, prober: Prober, wanted: int) -> tuple[list[UdpSocket], BareTest, str]:
        """Sockets to which nothing gets in by itself; none where it does to all. And why that could not be told."""
        fit: list[UdpSocket] = []
        tested = reached = 0
        for _ in range(ATTEMPTS):
            fresh = await self._open((wanted - len(fit)) * (2 if tested else 1))
            open_to_all, burst = await prober.let_in_bare(fresh)
            tested, reached = tested + len(fresh), reached + len(open_to_all)
            bare = BareTest(sockets=tested, reached=reached, copies=burst.copies, control=burst.control)
            fit += [socket for socket in fresh if socket not in open_to_all]
            if fit and not burst.silence_proved:
                return [], bare, f"only {burst.control} of {burst.copies} control copies arrived: the path loses too much"
            if not fit or len(fit) >= wanted:
                return fit[:wanted], bare, ""
        return [], bare, f"{reached} of {tested} free ports are open to everybody: there are too few others to measure with"

    async def _why_all_get_in(self, prober: Prober) -> str:
        """The contacted server reaches every socket. Empty where an address never contacted does, too; else why nothing follows."""
        net = self._net
        if net.alternate is None:
            return f"{_ALL_OF_SERVER}; whether from others too, a server with one address cannot show"
        ago = net.memory.contacted(net.alternate.host)
        if remembered(ago):
            return f"{_ALL_OF_SERVER}; whether from others too cannot be told, the alternate address was contacted {ago:.0f} s ago"
        bare = [socket for socket in self.sockets if all(socket is not other.socket for other in self._probers)]
        if await prober.alternate_gets_in(bare):
            return ""
        return f"{_ALL_OF_SERVER}, from its alternate address none did: this edge may remember whom the network has contacted"

    async def _all_kinds(self, grid: tuple[int, ...], sockets: list[UdpSocket], probers: list[Prober], sip: Prober | None) -> None:
        count = len(grid)
        spare = sockets[2 * count + 1 : 2 * count + 1 + SPARE]
        of_sip = sockets[2 * count + 1 + SPARE :] if sip is not None else []
        tasks = [
            asyncio.ensure_future(work)
            for work in (
                self._packets(grid, sockets[:count], spare[: SPARE // 2], probers[0]),
                self._streams(grid, sockets[count : 2 * count], probers[1]),
                self._inbound(grid, [sockets[2 * count], *spare[SPARE // 2 :]], probers[2]),
                self._sip(grid, of_sip, sip),
            )
        ]
        telling = () if self._net.idle_tcp else (asyncio.ensure_future(self._tell(grid[-1] + 5)),)
        try:
            waiting = set(tasks)
            while waiting and not self._lost:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (*tasks, *telling):
                task.cancel()
            await asyncio.gather(*tasks, *telling, return_exceptions=True)

    async def _tell(self, total: int) -> None:
        began = self._net.now()
        while True:
            self._net.progress(min(total, round(self._net.now() - began)), total, "seconds")
            await self._net.sleep(1.0)

    async def _packets(self, grid: tuple[int, ...], sockets: list[UdpSocket], spare: list[UdpSocket], prober: Prober) -> None:
        flows = list(await asyncio.gather(*(contact_once(self._net, socket) for socket in sockets)))
        for index, flow in enumerate(flows):
            if flow is None and spare:
                flows[index] = await contact_once(self._net, spare.pop())
        await self._ask_each("packet", grid, sockets, flows, prober)
        self._silent_over = True

    async def _streams(self, grid: tuple[int, ...], sockets: list[UdpSocket], prober: Prober) -> None:
        flows = await asyncio.gather(*(converse(self._net, socket) for socket in sockets))
        await self._ask_each("stream", grid, sockets, flows, prober)

    async def _sip(self, grid: tuple[int, ...], sockets: list[UdpSocket], prober: Prober | None) -> None:
        """Too few fit sockets: the longest times are left out."""
        if prober is not None:
            flows = await asyncio.gather(*(contact_once(self._net, socket, prober.line) for socket in sockets))
            await self._ask_each("sip", grid[: len(sockets)], sockets[: len(grid)], flows[: len(grid)], prober)

    async def _ask_each(
        self, kind: Kind, grid: tuple[int, ...], sockets: list[UdpSocket], flows: Sequence[Flow | None], prober: Prober
    ) -> None:
        """Each flow in its time, until two in a row are proved dead."""
        dead = 0
        for idle, socket, flow in zip(grid, sockets, flows, strict=True):
            if flow is None:
                self._points.append(_unasked(kind, idle, socket))
                continue
            await self._wait_until(flow.quiet + idle - min(LEAD_S, idle / 2))
            await prober.refresh()
            await self._wait_until(flow.quiet + idle)
            point = await self._ask(kind, idle, flow, prober)
            dead = dead + 1 if point.alive is False else 0 if point.alive else dead
            if dead >= SURE_DEAD or self._lost or self._broken or (kind == "sip" and self._sip_outlives()):
                return

    def _sip_outlives(self) -> bool:
        """Whether SIP is proved to live longer than everything else: how much longer need not be waited for."""
        packet, stream, sip = (bounds(of_kind(self._points, kind))[0] for kind in ("packet", "stream", "sip"))
        return sip_apart(LifetimeObservation(udp_s=packet, udp_stream_s=stream, sip_s=sip)) == "longer" and stream[1] is not None

    async def _inbound(self, grid: tuple[int, ...], sockets: list[UdpSocket], prober: Prober) -> None:
        """Packets from outside every few seconds, until their effect shows: the twins are dead and this one is not, or it is dead too."""
        flow = None
        for socket in sockets:
            flow = flow or await contact_once(self._net, socket)
        if flow is None:
            return
        due = flow.quiet
        while True:
            due += INBOUND_EVERY_S
            await self._wait_until(due)
            over = self._silent_over
            await prober.refresh()
            point = await self._ask("inbound", int(self._net.now() - flow.quiet), flow, prober)
            if point.alive is False or self._lost or self._broken:
                return
            if over:
                _, upper = bounds(of_kind(self._points, "packet"))[0]
                if upper is None or refreshed_from_outside(self._points)[0] is not None or point.idle_s > grid[-1] + 15:
                    return

    async def _ask(self, kind: Kind, idle: int, flow: Flow, prober: Prober) -> IdlePoint:
        inbox = flow.socket.inbox
        quiet = max(flow.quiet, inbox[-1].at) if inbox and kind != "inbound" else flow.quiet
        burst = await prober.burst(flow, INBOUND_COPIES if kind == "inbound" else COPIES)
        alive, reason = burst.alive, burst.reason
        if burst.lost:
            self._lost, self._broken = True, self._broken or burst.reason
        if alive and burst.began - quiet < idle - 0.5:
            alive, reason = None, "a packet that came in between may have kept it alive"
        if alive is False:
            reason = await self._forgotten(flow.began, burst.last)
            alive = None if reason else False
            self._died[len(self._points)] = (flow.began, burst.last)
        if alive and self._watch is not None and kind in ("packet", "stream"):
            self._watch.lived(idle)
        if alive is None and not reason:
            reason = f"{burst.control} of {burst.copies} control copies arrived: silence proves nothing"
        point = IdlePoint(
            kind=kind,
            idle_s=idle,
            at_most_s=round(burst.last - flow.began, 2),
            alive=alive,
            copies=burst.copies,
            arrived=burst.arrived,
            control=burst.control,
            local=str(flow.socket.local),
            mapped=str(flow.mapped),
            reason=reason,
        )
        self._points.append(point)
        return point

    def _weighed(self) -> list[IdlePoint]:
        """The points, as they are to be read with all that was seen of the watched flows."""
        points = list(self._points)
        for place, (began, asked) in self._died.items():
            remembered = self._watch.known(began, asked) if self._watch is not None else "unknown"
            if remembered == "no":
                points[place] = replace(points[place], alive=None, reason=FORGOT)
                self._broken = self._broken or FORGOT
            elif remembered == "yes" and points[place].reason == UNTOLD:
                points[place] = replace(points[place], alive=False, reason="")
        return points

    async def _beside(self, tcp: TcpMeasurement, grid: tuple[int, ...]) -> None:
        await self._guarded.wait()
        await tcp.measure(grid)

    async def _forgotten(self, began: float, asked: float) -> str:
        """Why a flow that began then, and was dead when asked, may not have died of its age; empty: it did.

        Where nothing gets out over UDP, there is nobody to watch.
        """
        if self._watch is None:
            return ""
        try:
            remembered = await self._watch.remembered(began, asked)
        except (ControlLost, RequestDeclined) as error:
            return str(error)
        self._broken = self._broken or (FORGOT if remembered == "no" else "")
        return {"yes": "", "no": FORGOT, "unknown": UNTOLD}[remembered]

    async def _wait_until(self, at: float) -> None:
        await self._net.sleep(max(0.0, at - self._net.now()))


def _unasked(kind: Kind, idle: int, socket: UdpSocket) -> IdlePoint:
    reason = "the server did not answer when this flow was to begin"
    return IdlePoint(
        kind=kind, idle_s=idle, at_most_s=0.0, alive=None, copies=0, arrived=0, control=0, local=str(socket.local), mapped="", reason=reason
    )
