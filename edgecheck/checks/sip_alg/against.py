"""The one-sided test: any SIP server, a few messages, no account and no echo server.

OPTIONS, and a REGISTER that asks to have nothing registered (``Expires: 0``, no credentials), over UDP, TCP and TLS. What an answer has to
repeat (RFC 3261 section 8.2.6.2) and what it says about where the request came from is all there is to judge by: see ``one_sided``.

And one OPTIONS to an address where nobody can be (RFC 5737): whoever answers that, answers everything.
"""

import asyncio
import dataclasses
import hashlib
import secrets
from collections.abc import Sequence
from typing import Literal

import msgspec

from edgecheck import __version__
from edgecheck.checks.hops import SPACING_S
from edgecheck.checks.sip_alg.following import follow
from edgecheck.checks.sip_alg.observation import RoundTrip, SipAlgObservation, Taken
from edgecheck.checks.sip_alg.one_sided import Heard, Tried, read
from edgecheck.checks.sip_alg.taken import TIMED, Climb, Nearer
from edgecheck.model import draft
from edgecheck.model.check import Network, Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError
from edgecheck.wire.framing import SipFramer

Transport = Literal["udp", "tcp", "tls"]
NOWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Kept for documentation: no host has these addresses."""
COPIES_S = (0.0, 0.3, 0.8, 1.6)
"""When a copy leaves over UDP: four of a message at most, for a server that is not ours."""
PATIENCE_S = 2.6
_METHODS = ("OPTIONS", "REGISTER")
_SIPS_PORT = 5061


class Aim(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ask."""

    host: str
    """As it was given: it stands in the Request-URI."""
    address: str
    port: int
    transport: Transport | None = None
    """The one that was asked for: it comes first, and the others are asked beside it."""

    def ways(self) -> tuple[tuple[Transport, int], ...]:
        """Transport and port of each channel."""
        plain = self.port if self.transport != "tls" else 5060
        secure = self.port if self.transport == "tls" else _SIPS_PORT
        found: list[tuple[Transport, int]] = [("udp", plain), ("tcp", plain), ("tls", secure)]
        return tuple(sorted(found, key=lambda way: way[0] != self.transport))


async def probe_against(net: Network, aim: Aim) -> SipAlgObservation:
    """Ask on every way at once. Never raises for what the server says or does not say."""
    ways = [Tried(transport=transport, server=Endpoint(aim.address, port)) for transport, port in aim.ways()]
    udp_port = next(tried.server.port for tried in ways if tried.transport == "udp")
    nobody = Tried(transport="udp", server=Endpoint(NOWHERE[6 if ":" in aim.address else 4], udp_port))
    finished: list[Tried] = []
    target, nearer = f"sip:{aim.host}", Nearer()

    async def ask(tried: Tried) -> None:
        await (_over_udp(net, aim, tried) if tried.transport == "udp" else _over_stream(net, aim, tried))
        finished.append(tried)
        net.progress(len(finished), len(ways) + 1, tried.name)

    def so_far(why: str) -> SipAlgObservation:
        """One answer may prove what no other shows. That a way is silent or clean takes all of its time, and who is sooner all times."""
        whole = {id(one) for one in finished}
        *asked, last = (one if id(one) in whole else dataclasses.replace(one, not_tested=one.not_tested or why) for one in (*ways, nobody))
        # Who answers for the server need not be who answers for nobody.
        taken = None if nobody.answers and nearer.nobody is None else nearer.taken
        return _cut_short(read(target, asked, last, dataclasses.replace(nearer, taken=taken, round_trips=())), why)

    draft.leave(so_far)
    nearer.gateways = (await net.machine()).gateways
    await asyncio.gather(*(ask(tried) for tried in (*ways, nobody)), _look(net, aim, Endpoint(aim.address, udp_port), nearer))
    if nobody.answers:
        nearer.nobody = await climb(net, aim, nobody.server)  # nobody is there: that it is answered is proof enough
    await _time_streams(net, [tried for tried in ways if tried.transport == "tcp" and tried.connect_s is not None], nearer)
    seen = read(target, ways, nobody, nearer)
    draft.leave(lambda why: _cut_short(seen, why))
    return await _follow(net, aim, Endpoint(aim.address, udp_port), seen)


def _cut_short(seen: SipAlgObservation, why: str) -> SipAlgObservation:
    return msgspec.structs.replace(seen, located_reason="" if seen.located else why)


async def _follow(net: Network, aim: Aim, server: Endpoint, seen: SipAlgObservation) -> SipAlgObservation:
    """Who changes a request, where nobody is known to answer it on the way."""
    if seen.located or not net.sees_quotes:
        return seen
    try:
        socket = await net.open_udp()
    except LocalFailure:
        return seen
    try:
        return await follow(net, socket, server, message("OPTIONS", aim, "udp", socket.local), seen)
    finally:
        socket.close()


async def _look(net: Network, aim: Aim, server: Endpoint, nearer: Nearer) -> None:
    """Requests that get no further than hop 1, 2, 3...; and a few from afar, for the time that they take."""
    nearer.taken = await climb(net, aim, server, nearer)


async def _time_streams(net: Network, ways: Sequence[Tried], nearer: Nearer) -> None:
    """A connection is the server's system's own answer."""
    for tried in ways:
        took = [tried.connect_s or 0.0]
        for _ in range(TIMED - 1):
            began = net.now()
            try:
                stream = await net.connect_tcp(tried.server, timeout=1.0)
            except LocalFailure:
                continue
            took.append(net.now() - began)
            stream.close()
        nearer.round_trips += (RoundTrip(of=tried.name, by="server", samples=len(took), least_ms=round(min(took) * 1000, 2)),)


async def climb(net: Network, aim: Aim, server: Endpoint, nearer: Nearer | None = None) -> Taken | None:
    """The fewest hops for which a request to this place has to live to be answered; None where this platform does not show who quotes."""
    if not net.sees_quotes:
        return None
    try:
        socket = await net.open_udp()
    except LocalFailure as failure:
        return Taken(server_port=server.port, reason=str(failure))

    def make(number: int) -> tuple[bytes, bytes]:
        data = message("OPTIONS", aim, "udp", socket.local)
        return data, (sip.parse_datagram(data).get("Call-ID") or "").partition("@")[0].encode()

    climbing = Climb(net, socket, server, make, lambda data: data.startswith(b"SIP/2.0 "))
    try:
        seen = await (climbing.run() if nearer is not None else climbing.run((SPACING_S,)))
        if nearer is not None and seen.hops is not None:
            await climbing.time(TIMED)
            nearer.round_trips += climbing.round_trips()
    finally:
        socket.close()
    return seen


async def _over_udp(net: Network, aim: Aim, tried: Tried) -> None:
    try:
        socket = await net.open_udp()
    except LocalFailure as failure:
        tried.not_tested = str(failure)
        return
    tried.local = socket.local
    for method in _METHODS:
        tried.requests[method] = message(method, aim, tried.transport, socket.local)
    seen = 0

    def answered() -> bool:
        nonlocal seen
        while seen < len(socket.inbox):
            arrival = socket.inbox[seen]
            seen += 1
            _note(tried, arrival.data, arrival.source, arrival.at)
        return all(any(heard.final for heard in tried.answers.get(method, ())) for method in _METHODS)

    try:
        began = net.now()
        for copy, at in enumerate(COPIES_S):
            if await net.until(answered, max(0.0, began + at - net.now())) and copy:
                break
            for method in _METHODS:
                if not any(heard.final for heard in tried.answers.get(method, ())):
                    _send(net, socket, tried, method)
        await net.until(answered, max(0.0, began + PATIENCE_S - net.now()))
    finally:
        tried.errors += socket.errors
        socket.close()


def _send(net: Network, socket: UdpSocket, tried: Tried, method: str) -> None:
    tried.sent_at.setdefault(method, []).append(net.now())
    socket.send(tried.requests[method], tried.server)


async def _over_stream(net: Network, aim: Aim, tried: Tried) -> None:
    began = net.now()
    try:
        connect = net.connect_tls if tried.transport == "tls" else net.connect_tcp
        stream: Stream = await connect(tried.server, timeout=PATIENCE_S)
    except LocalFailure as failure:
        tried.errors.append(str(failure))
        return
    tried.local, tried.connect_s = stream.local, net.now() - began
    framer, seen = SipFramer(), 0

    def answered() -> bool:
        nonlocal seen
        fresh = bytes(stream.received[seen:65_535])
        seen += len(fresh)
        try:
            for data in framer.feed(fresh) if fresh and framer.broken is None else ():
                _note(tried, data, stream.remote, net.now())
        except WireError:
            pass  # what is no SIP says nothing about SIP
        return stream.closed is not None or all(any(heard.final for heard in tried.answers.get(method, ())) for method in _METHODS)

    try:
        for method in _METHODS:
            tried.requests[method] = message(method, aim, tried.transport, stream.local)
            tried.sent_at[method] = [net.now()]
            stream.send(tried.requests[method])
        await net.until(answered, PATIENCE_S)
        if stream.closed is not None:
            tried.errors.append(stream.closed)
    finally:
        stream.close()


def _note(tried: Tried, data: bytes, source: Endpoint, at: float) -> None:
    """Keep an answer with the request that it answers: by CSeq's method, and by anything of ours that it still holds."""
    try:
        answer = sip.parse_datagram(data)
    except WireError:
        return
    if answer.is_request:
        return
    method = next((name for name in _METHODS if (answer.get("CSeq") or "").upper().endswith(name)), None)
    if method is None or method not in tried.requests:
        return
    token = sip.parse_datagram(tried.requests[method]).get("Call-ID") or ""
    if token.partition("@")[0].encode() not in data:
        return  # not an answer to this request
    sent = [when for when in tried.sent_at.get(method, ()) if when <= at]
    known = tried.answers.setdefault(method, [])
    if len(known) < 16:
        known.append(Heard(data, source, at - sent[-1] if sent else 0.0))


def message(method: str, aim: Aim, transport: Transport, local: Endpoint) -> bytes:
    """A phone's OPTIONS or REGISTER, with the socket's true address in Via and Contact: what an ALG looks for."""
    token = secrets.token_hex(8)
    tag = hashlib.sha256(token.encode()).hexdigest()[:10]
    host = f"[{aim.host}]" if ":" in aim.host else aim.host
    own = f"[{local.host}]" if ":" in local.host else local.host
    parameter = "" if transport == "udp" else f";transport={transport}"
    headers = [
        # The token stands in the branch too: an ALG may have changed Call-ID, and then the answer is known by this.
        ("Via", f"SIP/2.0/{transport.upper()} {local};rport;branch=z9hG4bK{token}"),
        ("Contact", f"<sip:edgecheck@{local};transport={transport}>"),
        ("From", f"<sip:edgecheck@{own if method == 'OPTIONS' else host}>;tag={tag}"),
        ("To", f"<sip:{host}>" if method == "OPTIONS" else f"<sip:edgecheck@{host}>"),
        ("Call-ID", f"{token}@{own}"),
        ("CSeq", f"1 {method}"),
        ("Max-Forwards", "70"),
        ("User-Agent", f"edgecheck/{__version__}"),
    ]
    headers += [("Expires", "0")] if method == "REGISTER" else [("Accept", "application/sdp")]
    return sip.build(f"{method} sip:{host}{parameter} SIP/2.0", headers)
