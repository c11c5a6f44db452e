"""One running server: binds, tests itself, serves until it is told to stop."""

import asyncio
import logging
import secrets
import signal
import ssl
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from echo_server import roles
from echo_server.core import EchoServer
from echo_server.journal import Journal
from echo_server.probing.probe_sockets import ProbeSockets
from echo_server.probing.source_ports import SourcePorts
from echo_server.sessions.limits import DEFAULT_BOUNDS, OPEN_BOUNDS, OPEN_LIMITS, TOKEN_LIMITS, within
from echo_server.settings.certificate import load_context
from echo_server.settings.config import Addresses, Config, StartError
from echo_server.sockets import icmp, self_test
from echo_server.sockets.binding import Bound, bind_all
from echo_server.sockets.listeners import UdpSockets
from echo_server.sockets.media_sockets import MediaSockets, descriptor_budget
from echo_server.sockets.streams import Acceptor, Conversations, Gate
from edgecheck.wire.address import Target
from edgecheck.wire.control import Service

if TYPE_CHECKING:
    from echo_server.desk.site import Desk
    from echo_server.web.open_session import Keep

_COUNTS_S = 60.0
"""How often what was dropped is told, if anything was."""


def run(config: Config, say: Callable[[str], None], notes: tuple[str, ...] = ()) -> None:
    """Serve until SIGTERM or SIGINT. ``say`` prints the ready line; ``notes`` are sentences told before it. Raises ``StartError``."""
    # The Proactor loop of Windows cannot watch plain sockets.
    factory = asyncio.SelectorEventLoop if sys.platform == "win32" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(config, say, notes))


async def _serve(config: Config, say: Callable[[str], None], notes: tuple[str, ...]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    _stop_on_signals(loop, stop)
    journal = Journal()
    loop.set_exception_handler(lambda _, context: journal.write(f"Event loop: {context.get('message', 'a fault')}."))
    budget = descriptor_budget()
    context, fingerprint = load_context(config.certificate, config.key)
    bound = bind_all(config)
    try:
        addresses = tuple(_tested(one, bound, journal) for one in config.addresses)
        for key in [key for key in bound.udp if roles.for_probes(key.listener)]:
            bound.udp.pop(key).close()  # every session gets its own
        services = {one.family: _service(one, bound, config) for one in addresses}
        reports = _reports(config)
        low, high = config.media_ports
        server = EchoServer(
            services,
            key=secrets.token_bytes(32),
            draw=secrets.token_bytes,
            certificate=fingerprint,
            token=config.token,
            limits=within(TOKEN_LIMITS if config.token else OPEN_LIMITS, min(budget, high - low + 1)),
            bounds=DEFAULT_BOUNDS if config.token else OPEN_BOUNDS,
            on_fault=journal.write_fault,
            wall=time.time,
            tickets_by=time.time,
        )
        media = MediaSockets(server, {one.family: one.primary for one in addresses}, budget)
        running = _Running(server, bound, addresses, media, context, journal, reports, config.media_ports)
        await running.start()
        for one in addresses:
            _print(describe(services[one.family], bound.control_port))
        if config.reach_ports:
            _print(describe_reach(bound))
        for note in notes:
            _print(note)
        target = Target(addresses[0].public_primary, bound.control_port, config.token)
        say(f"ready {target}")
        counts = asyncio.create_task(_tell_counts(server, journal))
        await stop.wait()
        counts.cancel()
        await running.stop()
    finally:
        bound.close()


def _reports(config: Config) -> "tuple[Keep, Desk] | tuple[()]":
    """What takes a report into the store, and the page that shows them; nothing where none are kept. Raises ``StartError``."""
    if not config.reports:
        return ()
    from echo_server.desk.site import Desk
    from echo_server.desk.store import Store, StoreFailed

    try:
        store = Store(config.reports, (TOKEN_LIMITS if config.token else OPEN_LIMITS).reports_bytes)
        store.prepare()
    except StoreFailed as error:
        raise StartError(f"{error} Name another with --reports, or none.") from None
    return store.keep, Desk(store, config.admin_token)


def _print(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


class _Running:
    """Every socket in the loop's care, and out of it again."""

    def __init__(
        self,
        server: EchoServer,
        bound: Bound,
        addresses: tuple[Addresses, ...],
        media: MediaSockets,
        context: ssl.SSLContext,
        journal: Journal,
        reports: "tuple[Keep, Desk] | tuple[()]",
        media_ports: tuple[int, int],
    ) -> None:
        from echo_server.web.control_site import ControlSite
        from echo_server.web.open_session import Hands

        self._loop = asyncio.get_running_loop()
        self._server = server
        self._bound = bound
        self._media = media
        self._context = context
        self._udp = UdpSockets(server, bound.udp)
        self._conversations = Conversations(server, self._loop)
        hosts = {("A", one.family): one.primary for one in addresses}
        hosts |= {("B", one.family): one.alternate for one in addresses if one.alternate is not None}
        ports = SourcePorts()
        probes = ProbeSockets(self._udp, ports, hosts, media_ports, self._loop)
        self._site = ControlSite(server, Hands(self._udp, media, probes, hosts, ports), journal, *reports)
        self._acceptors: list[Acceptor] = []

    async def start(self) -> None:
        from aiohttp import web

        # Its log tells what strangers sent, in tracebacks; faults of ours are told by the site itself.
        silent = logging.Logger("aiohttp", level=logging.CRITICAL)
        self._runner = web.AppRunner(self._site.application(), access_log=None, keepalive_timeout=5.0, handle_signals=False, logger=silent)
        await self._runner.setup()
        gate = Gate(self._server.bounds)
        handshake_s = self._server.bounds.handshake_s
        for key, listening in self._bound.streams.items():
            if key.listener == "control":
                self._acceptors.append(
                    Acceptor(self._loop, listening, self._control_protocol, gate, self._context, handshake_s, must_ask=True)
                )
            elif key.listener == "sips":
                factory = self._conversations.factory(f"sip:{self._bound.sips_port}", "tls")
                self._acceptors.append(Acceptor(self._loop, listening, factory, gate, self._context, handshake_s))
            else:
                offered = self._bound.reach.get(key.family, ())
                encrypted = any(key.listener == f"reach:{row.port}" and row.transport == "tls" for row in offered)
                factory = self._conversations.factory(key.listener, "tls" if encrypted else "tcp")
                context = self._context if encrypted else None
                self._acceptors.append(Acceptor(self._loop, listening, factory, gate, context, handshake_s))
        for key, made in self._bound.udp.items():
            self._loop.add_reader(made.fileno(), self._udp.reader(key))
        self._media.start(self._loop)

    def _control_protocol(self, peer: object) -> asyncio.Protocol:
        assert self._runner.server is not None
        protocol: asyncio.Protocol = self._runner.server()
        return protocol

    async def stop(self) -> None:
        for acceptor in self._acceptors:
            acceptor.close()
        await self._site.close()
        for made in self._bound.udp.values():
            self._loop.remove_reader(made.fileno())
        self._media.close()
        self._conversations.close()
        await self._runner.cleanup()


def _stop_on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))


def _tested(addresses: Addresses, bound: Bound, journal: Journal) -> Addresses:
    """The addresses of this family that send and receive: without the alternate when it does not. Raises ``StartError``."""
    deaf = self_test.deaf(bound.udp, addresses.family)
    if not deaf:
        return addresses
    if any(sender[0] == receiver[0] == "A" for sender, receiver in deaf):
        raise StartError(f"{addresses.primary} does not receive what it sends to itself: is a firewall on this machine in the way?")
    journal.write(
        f"{addresses.alternate} and {addresses.primary} do not hear each other: the alternate address is left out. "
        "Is a firewall on this machine in the way?"
    )
    for sockets in (bound.udp, bound.streams):
        for key in [key for key in sockets if key.family == addresses.family and key.listener[0] == "B"]:
            sockets.pop(key).close()
    return addresses._replace(alternate=None, public_alternate=None)


def _service(addresses: Addresses, bound: Bound, config: Config) -> Service:
    """What clients of this family are told, but for the ports that each one's probes come from."""
    capabilities = ["stun-tcp", "sip-udp", "sip-tcp", "sip-tls", "sip-calls", "sip-calls-tcp", "media", "dial", "inquire", "hop-limit"]
    if addresses.alternate is not None:
        capabilities.insert(0, "alternate-address")
    capabilities += ["probe-from-sip", "push"]
    if config.reports:
        capabilities.append("reports")
    if icmp.SUPPORTED:
        capabilities += ["udp-errors", "least-ttl"]
    return Service(
        address=addresses.public_primary,
        alternate=addresses.public_alternate if addresses.alternate is not None else None,
        stun_ports=bound.stun_ports,
        sip_port=bound.sip_port,
        alternate_sip_port=bound.alternate_sip_port,
        sips_port=bound.sips_port,
        media=config.media_ports,
        reach=bound.reach.get(addresses.family, ()),
        capabilities=tuple(capabilities),
    )


def describe(service: Service, control_port: int) -> str:
    """What is offered at the addresses of one family, and what is not, in one or two sentences."""
    where = service.address if service.alternate is None else f"{service.address} and {service.alternate}"
    tested = "all answer" if service.alternate is None else "all reachable from each other"
    sentence = (
        f"STUN {service.stun_ports[0]}/{service.stun_ports[1]}, SIP {service.sip_port}/{service.alternate_sip_port} "
        f"(TLS {service.sips_port}), control {control_port} on {where}: {tested}."
    )
    if service.alternate is None:
        sentence += (
            "\nOne address only: forwarding from a never-contacted address and the full filtering test will be skipped; "
            "--alternate adds a second."
        )
    if "udp-errors" not in service.capabilities:
        sentence += "\nThis system does not tell ICMP errors: who refused a probe will not be known."
    return sentence


def describe_reach(bound: Bound) -> str:
    """The ports that are only there to be reached: what could be had, and what could not, which is no fault."""
    rows = dict.fromkeys(f"{row.transport.upper()} {row.port}" for offered in bound.reach.values() for row in offered)
    sentence = f"For the outbound check: {', '.join(rows) or 'no further port'}."
    return f"{sentence} Not to be had, and nothing else needs it: {', '.join(bound.unreachable)}." if bound.unreachable else sentence


async def _tell_counts(server: EchoServer, journal: Journal) -> None:
    """Once a minute what was dropped, when it was anything."""
    told = dict(server.counters)
    while True:
        await asyncio.sleep(_COUNTS_S)
        now = dict(server.counters)
        new = [f"{now[what] - told.get(what, 0)} {what}" for what in sorted(now) if now[what] > told.get(what, 0)]
        if new:
            journal.write(f"Dropped in the last minute: {', '.join(new)}.")
        told = now
