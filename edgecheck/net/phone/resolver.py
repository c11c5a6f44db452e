"""Questions to DNS servers, over our own sockets: what was asked and answered is part of the doctor's record.

dnspython reads and writes the messages, and knows where each platform keeps its servers. A server is asked over UDP, again after
a second and after two more, and over TCP where its answer was cut. The next one is asked when one is silent, refuses or fails, as
a stub resolver does.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from edgecheck.model.check import Stream, UdpSocket
from edgecheck.model.errors import LocalFailure
from edgecheck.model.phone import AddressRecord, AliasRecord, Answer, NaptrRecord, Record, RecordType, SrvRecord
from edgecheck.net.phone.ways import Ways
from edgecheck.net.quoting import tame
from edgecheck.net.sockets.bell import Bell
from edgecheck.wire.address import Endpoint, parse_endpoint

if TYPE_CHECKING:
    import dns.message

_WAITS_S = (1.0, 2.0, 2.0)
_WAITS_AGAIN_S = (1.0, 1.0)
"""For a server that was silent to an earlier question."""
_WAITS_HASTY_S = (0.25, 0.35, 0.5)
"""Where silence is what is expected, or decides nothing."""
_TCP_S = 3.0
_PAYLOAD = 1232
"""Bytes that an answer over UDP may have: more is cut by paths that drop fragments (DNS flag day 2020)."""
_MOST_ALIASES = 8
_NAMES_OF_SERVERS = ("version.bind", "id.server")
_LONGEST_NAME = 80


class Resolver:
    """Asks DNS servers through the phone's sockets."""

    def __init__(self, ways: Ways, bell: Bell, own: Sequence[str]) -> None:
        self._ways = ways
        self._bell = bell
        self.own = tuple(own)
        """``ip:port`` of this machine's servers."""
        self._silent: set[str] = set()

    async def ask(self, name: str, type: RecordType, via: str | None, *, stream: bool = False, hasty: bool = False) -> Answer:
        """One question, to this server or to this machine's own in turn; as ``Phone.resolve`` has it."""
        began = asyncio.get_running_loop().time()
        servers = (via,) if via else self.own
        answer = Answer(name=name, type=type, server="system", rcode="UNREACHABLE", note="this machine has no DNS server set")
        for server in servers:
            waits = _WAITS_HASTY_S if hasty else _WAITS_AGAIN_S if server in self._silent else _WAITS_S
            answer = await self._one(name, type, server, waits, stream=stream)
            if answer.told:
                break
        return _timed(answer, asyncio.get_running_loop().time() - began)

    async def identity(self, server: str) -> str | None:
        """What this server calls itself (RFC 4892); None: it does not say."""
        said = await asyncio.gather(*(self._text(name, server) for name in _NAMES_OF_SERVERS))
        told = dict.fromkeys(f"{text} ({name})" for name, text in zip(_NAMES_OF_SERVERS, said, strict=True) if text)
        return ", ".join(told) or None

    async def _text(self, name: str, server: str) -> str | None:
        import dns.message

        to = parse_endpoint(server)
        query = dns.message.make_query(f"{name}.", "TXT", "CH", id=secrets.randbelow(65_536))
        try:
            socket = await self._ways.open_udp(to)
        except LocalFailure:
            return None
        try:
            heard = await self._over_udp(query, to, socket, _WAITS_HASTY_S)
        finally:
            socket.close()
        strings = [each.strings for rrset in heard.answer for each in rrset if hasattr(each, "strings")] if heard else []
        return tame(b" ".join(strings[0]).decode("latin-1"))[:_LONGEST_NAME] if strings and strings[0] else None

    async def _one(self, name: str, type: RecordType, server: str, waits: Sequence[float], *, stream: bool) -> Answer:
        import dns.exception
        import dns.flags
        import dns.message

        def refused(code: str, note: str) -> Answer:
            return Answer(name=name, type=type, server=server, rcode=code, note=note)

        to = parse_endpoint(server)
        try:
            query = dns.message.make_query(f"{name}.", type, use_edns=0, payload=_PAYLOAD, id=secrets.randbelow(65_536))
        except dns.exception.DNSException:
            return refused("MALFORMED", f"{name!r} cannot be asked for in DNS")
        if stream:
            try:
                heard = await self._over_tcp(query, to, min(_TCP_S, sum(waits)))
            except LocalFailure as error:
                return refused("TIMEOUT", f"over TCP: {error}")
            return _read(heard, name, type, server) if heard else refused("TIMEOUT", "no answer over TCP")
        try:
            socket = await self._ways.open_udp(to)
        except LocalFailure as error:
            return refused("UNREACHABLE", str(error))
        try:
            heard = await self._over_udp(query, to, socket, waits)
            note = "; ".join(dict.fromkeys(socket.errors))
        finally:
            socket.close()
        if heard is None:
            self._silent.add(server)
            return refused("UNREACHABLE" if note else "TIMEOUT", note or f"no answer to {len(waits)} copies in {sum(waits):g} s")
        if heard.rcode() == 1 and not heard.answer:  # FORMERR: a server that does not know EDNS
            query.use_edns(False)
            heard = await self._again(query, to) or heard
        if heard.flags & dns.flags.TC:
            try:
                heard = await self._over_tcp(query, to)
            except LocalFailure as error:
                return refused("TIMEOUT", f"the answer was cut, and over TCP: {error}")
            if heard is None:
                return refused("TIMEOUT", "the answer was cut, and over TCP there was none")
        return _read(heard, name, type, server)

    async def _again(self, query: "dns.message.Message", to: Endpoint) -> "dns.message.Message | None":
        with contextlib.suppress(LocalFailure):
            socket = await self._ways.open_udp(to)
            try:
                return await self._over_udp(query, to, socket, _WAITS_S)
            finally:
                socket.close()
        return None

    async def _over_udp(
        self, query: "dns.message.Message", to: Endpoint, socket: UdpSocket, waits: Sequence[float]
    ) -> "dns.message.Message | None":
        found: list[dns.message.Message] = []
        seen = 0

        def answered() -> bool:
            nonlocal seen
            while seen < len(socket.inbox):
                arrival = socket.inbox[seen]
                seen += 1
                message = _answer_to(query, arrival.data) if arrival.source == to else None
                if message is not None:
                    found.append(message)
            return bool(found) or bool(socket.errors)

        for wait in waits:
            socket.send(query.to_wire(), to)
            if await self._bell.until(answered, wait):
                break
        return found[0] if found else None

    async def _over_tcp(self, query: "dns.message.Message", to: Endpoint, timeout: float = _TCP_S) -> "dns.message.Message | None":
        stream: Stream = await self._ways.connect(to, timeout)
        try:
            data = query.to_wire()
            stream.send(len(data).to_bytes(2, "big") + data)

            def whole() -> bool:
                size = int.from_bytes(stream.received[:2], "big")
                return stream.closed is not None or (len(stream.received) >= 2 and len(stream.received) >= 2 + size)

            await self._bell.until(whole, timeout)
            size = int.from_bytes(stream.received[:2], "big")
            return _answer_to(query, bytes(stream.received[2 : 2 + size]))
        finally:
            stream.close()


def _timed(answer: Answer, seconds: float) -> Answer:
    return msgspec.structs.replace(answer, elapsed_ms=round(seconds * 1000, 1))


def _answer_to(query: "dns.message.Message", data: bytes) -> "dns.message.Message | None":
    """The answer to this very question, or None: bytes of a stranger, a late answer, garbage."""
    import dns.exception
    import dns.message

    try:
        message = dns.message.from_wire(data, ignore_trailing=True, raise_on_truncation=False)
    except (dns.exception.DNSException, ValueError, IndexError):
        return None
    return message if query.is_response(message) else None


def _read(message: "dns.message.Message", name: str, type: RecordType, server: str) -> Answer:
    """The records that belong to the question: along its aliases, and nothing else that a server put in."""
    import dns.rcode
    import dns.rdatatype

    wanted = dns.rdatatype.from_text(type)
    records: list[Record] = []
    owner = name.lower()
    for _ in range(_MOST_ALIASES):
        following: str | None = None
        for rrset in message.answer:
            if _plain(rrset.name) != owner:
                continue
            for each in rrset:
                if each.rdtype == wanted:
                    records.append(_record(owner, rrset.ttl, each))
                elif each.rdtype == dns.rdatatype.CNAME:
                    following = _plain(each.target)
                    records.append(AliasRecord(name=owner, ttl=rrset.ttl, target=following))
        if following is None:
            break
        owner = following
    return Answer(name=name, type=type, server=server, rcode=dns.rcode.to_text(message.rcode()), records=tuple(records))


def _plain(name: Any) -> str:
    """A domain name as text, lower case, without the final dot (the root is empty)."""
    return str(name.to_text(omit_final_dot=True)).lower() if name.to_text() != "." else ""


def _record(owner: str, ttl: int, data: Any) -> Record:
    import dns.rdatatype

    if data.rdtype == dns.rdatatype.SRV:
        return SrvRecord(
            name=owner, ttl=ttl, priority=data.priority, weight=data.weight, port=data.port, target=_plain(data.target)
        )
    if data.rdtype == dns.rdatatype.NAPTR:
        return NaptrRecord(
            name=owner,
            ttl=ttl,
            order=data.order,
            preference=data.preference,
            flags=data.flags.decode("latin-1"),
            service=data.service.decode("latin-1"),
            regexp=data.regexp.decode("latin-1"),
            replacement=_plain(data.replacement),
        )
    if data.rdtype == dns.rdatatype.CNAME:
        return AliasRecord(name=owner, ttl=ttl, target=_plain(data.target))
    return AddressRecord(name=owner, ttl=ttl, address=str(data.address))


def own_servers() -> tuple[str, ...]:
    """``ip:port`` of the DNS servers that this machine is set to; none where that cannot be read."""
    import dns.exception
    import dns.resolver

    try:
        found = dns.resolver.Resolver(configure=True)
    except (dns.exception.DNSException, OSError):
        return ()
    servers = []
    for server in found.nameservers:
        if isinstance(server, str) and "%" not in server:
            servers.append(str(Endpoint(server, found.port)))
    return tuple(servers[:3])
