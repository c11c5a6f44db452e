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
from edgecheck.net.bell import Bell
from edgecheck.net.ways import Ways
from edgecheck.wire.address import Endpoint, parse_endpoint

if TYPE_CHECKING:
    import dns.message

_WAITS_S = (1.0, 2.0, 2.0)
_WAITS_AGAIN_S = (1.0, 1.0)
"""For a server that was silent to an earlier question."""
_TCP_S = 3.0
_PAYLOAD = 1232
"""Bytes that an answer over UDP may have: more is cut by paths that drop fragments (DNS flag day 2020)."""
_MOST_ALIASES = 8


class Resolver:
    """Asks DNS servers through the phone's sockets."""

    def __init__(self, ways: Ways, bell: Bell, own: Sequence[str]) -> None:
        self._ways = ways
        self._bell = bell
        self.own = tuple(own)
        """``ip:port`` of this machine's servers."""
        self._silent: set[str] = set()

    async def ask(self, name: str, type: RecordType, via: str | None) -> Answer:
        """One question, to this server or to this machine's own in turn."""
        began = asyncio.get_running_loop().time()
        servers = (via,) if via else self.own
        answer = Answer(name=name, type=type, server="system", rcode="UNREACHABLE", note="this machine has no DNS server set")
        for server in servers:
            answer = await self._one(name, type, server)
            if answer.told:
                break
        return _timed(answer, asyncio.get_running_loop().time() - began)

    async def _one(self, name: str, type: RecordType, server: str) -> Answer:
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
        try:
            socket = await self._ways.open_udp(to)
        except LocalFailure as error:
            return refused("UNREACHABLE", str(error))
        try:
            waits = _WAITS_AGAIN_S if server in self._silent else _WAITS_S
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

    async def _over_tcp(self, query: "dns.message.Message", to: Endpoint) -> "dns.message.Message | None":
        stream: Stream = await self._ways.connect(to, _TCP_S)
        try:
            data = query.to_wire()
            stream.send(len(data).to_bytes(2, "big") + data)

            def whole() -> bool:
                size = int.from_bytes(stream.received[:2], "big")
                return stream.closed is not None or (len(stream.received) >= 2 and len(stream.received) >= 2 + size)

            await self._bell.until(whole, _TCP_S)
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
