"""What a phone does to the network: ``model.phone.Phone``. The same code runs over real sockets and over the tests' peers."""

import asyncio
import contextlib
import errno
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec

from edgecheck.model.account import Account
from edgecheck.model.check import Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import AddressRecord, Answer, Certificate, Handshake, Link, Packet, RecordType, Target
from edgecheck.net import foreign
from edgecheck.net.control import reach
from edgecheck.net.phone import certificate, link, tls
from edgecheck.net.phone.resolver import Resolver, own_servers
from edgecheck.net.phone.ways import Ways
from edgecheck.net.sockets.bell import Bell
from edgecheck.net.sockets.real import RealTransport
from edgecheck.net.sockets.transport import Transport
from edgecheck.wire.address import Endpoint, parse_host

_LOOK_UP_S = 8.0
_LATE_ALERT_S = 0.5
"""Over TLS 1.3 a server refuses a missing client certificate only after our end has finished."""
_CONNECTS_S = 1.4
"""A SYN and its second copy, a second later."""
_TLS_AGAIN_S = 1.5
"""For a server that was silent to an earlier TLS greeting."""
_NO_CIPHER = ("handshake failure", "insufficient security")
_CONNECT_REASONS = {"timeout": "no-answer"}
LookUp = Callable[[str], Awaitable[list[str]]]
"""Addresses by the system's own way. Raises ``OSError``."""


class SocketPhone:
    """Implements ``Phone``."""

    def __init__(
        self,
        account: Account,
        secret: str | None,
        ways: Ways,
        bell: Bell,
        *,
        resolvers: Sequence[str],
        look_up: LookUp,
        family: int | None = None,
        sees_quotes: bool = False,
        progress: Callable[[int, int, str], None] = lambda done, total, note: None,
    ) -> None:
        self.account = account
        self.family = family
        self.sees_quotes = sees_quotes
        self.targets: list[Target] = []
        self.flow: Target | None = None
        self.own_address: str | None = None
        self.pinged: dict[str, tuple[int, int]] = {}
        self.public_address: str | None = None
        self._secret = secret
        self._ways = ways
        self._bell = bell
        self._names = Resolver(ways, bell, resolvers)
        self._look_up = look_up
        self._progress = progress
        self._mute: set[Endpoint] = set()
        """Connected, and silent to a TLS greeting: facts about it are waited for less."""

    def __repr__(self) -> str:  # the password must not reach a log by way of a traceback
        return f"SocketPhone({self.account.aor})"

    @property
    def traffic(self) -> list[Packet]:
        return self._ways.traffic()

    def secret(self) -> str | None:
        return self._secret

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        return await self._bell.until(condition, timeout)

    def wall(self) -> float:
        return time.time()

    def read_certificate(self, data: bytes) -> Certificate | None:
        return certificate.read(data)

    def progress(self, done: int, total: int, note: str = "") -> None:
        self._progress(done, total, note)

    def token(self, size: int = 8) -> str:
        return secrets.token_hex(size)

    @property
    def resolvers(self) -> tuple[str, ...]:
        return self._names.own

    async def resolve(
        self, name: str, type: RecordType, via: str | None = None, *, stream: bool = False, hasty: bool = False
    ) -> Answer:
        return await self._names.ask(name, type, via or self.account.resolver, stream=stream, hasty=hasty)

    async def identity(self, server: str) -> str | None:
        return await self._names.identity(server)

    async def look_up(self, name: str) -> Answer:
        began = self.now()
        answer = Answer(name=name, type="addresses", server="system", rcode="NOERROR")
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                found = await self._look_up(name)
            records = tuple(AddressRecord(name=name, ttl=0, address=parse_host(each)) for each in dict.fromkeys(found))
            answer = msgspec.structs.replace(answer, records=records)
        except TimeoutError:
            answer = msgspec.structs.replace(answer, rcode="TIMEOUT", note=f"the system gave no answer in {_LOOK_UP_S:g} s")
        except (OSError, UnicodeError) as error:
            code, note = _look_up_failure(error)
            answer = msgspec.structs.replace(answer, rcode=code, note=note)
        return msgspec.structs.replace(answer, elapsed_ms=round((self.now() - began) * 1000, 1))

    def source_for(self, host: str) -> str | None:
        return self._ways.source_for(host)

    async def open_udp(self, to: Endpoint, port: int = 0) -> UdpSocket:
        return await self._ways.open_udp(to, port)

    async def open_link(self, target: Target, timeout: float = 5.0, *, server_name: str | None = None) -> Link:
        if target.transport == "udp":
            return link.UdpLink(await self._ways.open_udp(target.endpoint), target.endpoint)
        name = server_name or self.account.domain
        if target.transport in ("ws", "wss"):
            return await self._web_socket(target, name, timeout)
        stream, handshake = await self._connect(target, name, timeout)
        return link.StreamLink(stream, target.transport, self._ways.note, handshake)

    async def connects(self, to: Endpoint, *, hops: int | None = None) -> Literal["open", "refused", "silent"]:
        try:
            stream = await self._ways.connect(to, _CONNECTS_S, hops)
        except LocalFailure as error:
            return "refused" if error.reason in ("refused", "reset") else "silent"
        stream.close()
        return "open"

    async def _connect(self, target: Target, server_name: str, timeout: float) -> tuple[Stream, Handshake | None]:
        """TCP, and TLS where the transport wants it. Raises ``LocalFailure``."""
        if target.transport in ("tcp", "ws"):
            return await self._ways.connect(target.endpoint, timeout), None
        stream, facts = await self._open_tls(target.endpoint, server_name, timeout)
        if facts.failure is not None:
            delivery = stream.delivery()
            stream.close()
            reason = "tls-silent" if facts.failure == "timeout" else "tls"
            raise LocalFailure(reason, f"Could not connect to {target.endpoint}/tls: {_tls_words(facts)}.", delivery)
        return stream, facts

    async def _web_socket(self, target: Target, server_name: str, timeout: float) -> Link:
        authority = f"{target.host}:{target.port}"
        for path in link.PATHS:
            stream, handshake = await self._connect(target, server_name, timeout)
            try:
                await link.upgrade(self._bell, stream, authority, path, timeout)
            except LocalFailure as error:
                stream.close()
                if error.reason != "not-websocket" or path == link.PATHS[-1]:
                    raise
                continue
            return link.WebSocketLink(stream, target.transport, self._ways.note, handshake)
        raise AssertionError("the last path either opened or raised")

    async def _open_tls(self, to: Endpoint, server_name: str | None, timeout: float) -> tuple[tls.TlsStream, Handshake]:
        """Verified first; where that fails, once more without, for the facts; where there is no cipher in common, again with what phones
        still take. Raises ``LocalFailure`` for the connection alone."""
        first = await self._shake(to, tls.context(self.account.ca, verify=True), server_name, timeout)
        facts = first.facts()
        weak = facts.failure == "alert" and facts.alert in _NO_CIPHER
        if weak:
            first.close()
            first = await self._shake(to, tls.context(self.account.ca, verify=True, lenient=True), server_name, timeout)
            facts = first.facts()
        facts = msgspec.structs.replace(facts, weak=weak and facts.failure in (None, "untrusted"))
        if facts.failure != "untrusted":
            return first, facts
        first.close()
        second = await self._shake(to, tls.context(self.account.ca, verify=False, lenient=weak), server_name, timeout)
        verified = {"trusted": False, "verify_code": facts.verify_code, "verify_words": facts.verify_words, "weak": facts.weak}
        return second, msgspec.structs.replace(second.facts(), **verified)

    async def _shake(self, to: Endpoint, settings: ssl.SSLContext, server_name: str | None, timeout: float) -> tls.TlsStream:
        stream = await self._ways.connect(to, timeout)
        made = await tls.shake_hands(self._bell, stream, settings, server_name, timeout)
        if not made.settled:
            self._mute.add(to)
        return made

    async def handshake(self, to: Endpoint, server_name: str | None, timeout: float = 5.0, *, oldest: bool = False) -> Handshake:
        timeout = min(timeout, _TLS_AGAIN_S) if to in self._mute else timeout
        try:
            if oldest:
                stream = await self._shake(to, tls.context(None, verify=False, oldest=True), server_name, timeout)
                facts = stream.facts()
            else:
                stream, facts = await self._open_tls(to, server_name, timeout)
        except LocalFailure as error:
            return Handshake(server_name=server_name, failure=_CONNECT_REASONS.get(error.reason, error.reason), words=str(error))
        try:
            if facts.client_certificate_requested and facts.version == "TLSv1.3":
                await self._bell.until(lambda: stream.closed is not None, _LATE_ALERT_S)
                late = stream.facts()
                if late.alert is not None:
                    facts = msgspec.structs.replace(facts, alert=late.alert, failure="alert")
        finally:
            stream.close()
        return facts


def _tls_words(facts: Handshake) -> str:
    return {
        "not-tls": "what answers there is no TLS",
        "alert": f"the server refused TLS (alert: {facts.alert})",
        "old-version": "the server speaks only versions of TLS below 1.2",
        "timeout": "connected, but nothing answered to the TLS greeting",
        "closed": "the server closed the connection during the TLS handshake",
    }.get(facts.failure or "", f"TLS could not be opened ({facts.words})" if facts.words else "TLS could not be opened")


def _look_up_failure(error: OSError | UnicodeError) -> tuple[str, str]:
    """getaddrinfo's error, as a DNS answer would say it: ``EAI_NONAME`` does not tell no such name from no address."""
    if isinstance(error, socket.gaierror):
        if error.errno in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)):
            return "NONE", error.strerror or "name not known"
        if error.errno == socket.EAI_AGAIN:
            return "TIMEOUT", error.strerror or "temporary failure"
        return "SERVFAIL", error.strerror or str(error)
    if isinstance(error, OSError) and error.errno == errno.EMFILE:
        return "UNREACHABLE", "this machine has no socket left to give"
    return "MALFORMED", str(error)


async def _system_look_up(name: str) -> list[str]:
    found: list[Any] = await reach.look_up(lambda: socket.getaddrinfo(name, None, type=socket.SOCK_STREAM))
    return [str(each[4][0]).partition("%")[0] for each in found]


def _route(host: str) -> str | None:
    with contextlib.suppress(OSError):
        return foreign.source_for(host)
    return None


def real(
    account: Account,
    secret: str | None,
    *,
    source: str | None,
    family: int | None,
    progress: Callable[[int, int, str], None],
) -> SocketPhone:
    """The phone on this machine's sockets. Called inside the event loop."""
    bell = Bell()

    def transport_from(local: str) -> Transport:
        return RealTransport(local, bell)

    return SocketPhone(
        account,
        secret,
        Ways(transport_from, _route, source, family),
        bell,
        resolvers=own_servers(),
        look_up=_system_look_up,
        family=family,
        sees_quotes=RealTransport("127.0.0.1", bell).sees_quotes,
        progress=progress,
    )
