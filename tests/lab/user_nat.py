"""A NAT in the words of RFC 4787, every mapping with every filtering; the router on TUN devices translates by it. No packet, no socket
here: ends in, ends out, and the clock is an argument.

A mapping binds an inside end to an outside end of the router. *Mapping behavior* (section 4.1) says towards which remotes it is reused,
*filtering behavior* (section 5) from which remotes it admits packets; both are kept apart, as the RFC does and Linux does not.
"""

import random
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.lab.ip import End

EI, AD, APD = "endpoint-independent", "address-dependent", "address-and-port-dependent"
BY_HOST = "address-dependent by host"


@dataclass(frozen=True, kw_only=True)
class NatOptions:
    """What the router's JSON may say under ``nat``."""

    outside: tuple[str, ...] = ("203.0.113.1",)
    """Public addresses. With several, a mapping takes the next in turn unless ``paired`` (RFC 4787 section 4.1, IP address pooling)."""
    paired: bool = True
    """One inside host keeps to one public address."""
    mapping: str = EI
    filtering: str = APD
    """Also ``address-dependent by host``: what any port of the inside host has contacted may reach every mapping."""
    allocation: str = "preserved"
    """``preserved`` (the next free one when taken), ``sequential``, ``random``, ``parity`` (random, but odd stays odd and even even)."""
    ports: tuple[int, int] = (20000, 29999)
    """Where ports come from that are not preserved."""
    hairpinning: bool = False
    lifetime_s: float = 300.0
    """An idle UDP mapping is forgotten after this."""
    inbound_refreshes: bool = True
    """RFC 4787 section 6: inbound packets that were let in keep the mapping alive."""
    unsolicited: str = "drop"
    """``drop``, or ``reject``: ICMP administratively prohibited."""
    forwards: tuple[tuple[str, int, int, str], ...] = ()
    """Static rules: transport, lowest and highest port, inside address."""
    seed: int = 1


@dataclass(slots=True, eq=False)
class Mapping:
    """One binding and whom it has contacted."""

    protocol: int
    inside: End
    outside: End
    used: float
    hosts: set[bytes] = field(default_factory=set)
    remotes: set[End] = field(default_factory=set)


class Nat:
    """The table."""

    def __init__(self, options: NatOptions) -> None:
        self.options = options
        self.addresses = tuple(socket.inet_aton(address) for address in options.outside)
        self._by_inside: dict[tuple[object, ...], Mapping] = {}
        self._by_outside: dict[tuple[int, End], Mapping] = {}
        self._contacted: dict[bytes, set[bytes]] = {}
        """By inside host: every address it has sent to."""
        self._answers: dict[tuple[int, End, End], End] = {}
        """What came in by a static rule is answered from where it came to: (protocol, inside, remote) -> outside."""
        self._holes: dict[tuple[int, End, bytes], End] = {}
        """What somebody who reads the traffic has let in: (protocol, outside, remote address) -> inside."""
        self._random = random.Random(options.seed)
        self._sequence = count()
        self._turn = count()

    def __len__(self) -> int:
        return len(self._by_outside)

    def outbound(self, protocol: int, inside: End, remote: End, now: float, kind: str = "") -> End:
        """As what a packet leaves; a mapping is made where there is none. ``kind`` sets packets apart that are treated otherwise (SIP)."""
        self._contacted.setdefault(inside.host, set()).add(remote.host)
        answered = self._answers.get((protocol, inside, remote))
        if answered is not None:
            return answered
        key = (protocol, inside, kind, *self._scope(remote))
        mapping = self._by_inside.get(key)
        if mapping is not None and self._expired(mapping, now):
            self._forget(mapping)
            mapping = None
        if mapping is None:
            mapping = Mapping(protocol, inside, self._allocate(protocol, inside), now)
            self._by_inside[key] = self._by_outside[(protocol, mapping.outside)] = mapping
        mapping.used = now
        mapping.hosts.add(remote.host)
        mapping.remotes.add(remote)
        return mapping.outside

    def inbound(self, protocol: int, outside: End, remote: End, now: float) -> End | None:
        """Where a packet from outside goes, or None: there is no mapping, or its filter holds the packet back.

        A packet that is held back does not refresh anything.
        """
        mapping = self.find(protocol, outside, now)
        if mapping is not None and self._admits(mapping, remote):
            if self.options.inbound_refreshes:
                mapping.used = now
            return mapping.inside
        hole = self._holes.get((protocol, outside, remote.host))
        if hole is not None:
            return hole
        transport = {6: "tcp", 17: "udp"}.get(protocol)
        for name, low, high, host in self.options.forwards:
            if name == transport and low <= outside.port <= high:
                inside = End(socket.inet_aton(host), outside.port)
                self._answers[(protocol, inside, remote)] = outside
                return inside
        return None

    def open(self, protocol: int, outside: End, inside: End, host: bytes) -> None:
        """Let in what this remote address sends to this outside end, whether there is a mapping or not: an ALG's pinhole."""
        self._holes[(protocol, outside, host)] = inside

    def find(self, protocol: int, outside: End, now: float) -> Mapping | None:
        """The living mapping of an outside end."""
        mapping = self._by_outside.get((protocol, outside))
        if mapping is not None and self._expired(mapping, now):
            self._forget(mapping)
            return None
        return mapping

    def _scope(self, remote: End) -> tuple[object, ...]:
        return {EI: (), AD: (remote.host,), APD: (remote,)}[self.options.mapping]

    def _admits(self, mapping: Mapping, remote: End) -> bool:
        filtering = self.options.filtering
        if filtering == EI:
            return True
        if filtering == AD:
            return remote.host in mapping.hosts
        if filtering == BY_HOST:
            return remote.host in self._contacted[mapping.inside.host]
        return remote in mapping.remotes

    def _expired(self, mapping: Mapping, now: float) -> bool:
        return mapping.protocol == 17 and now - mapping.used > self.options.lifetime_s

    def _forget(self, mapping: Mapping) -> None:
        del self._by_outside[(mapping.protocol, mapping.outside)]
        for key in [key for key, other in self._by_inside.items() if other is mapping]:
            del self._by_inside[key]

    def _allocate(self, protocol: int, inside: End) -> End:
        host = self.addresses[(inside.host[3] if self.options.paired else next(self._turn)) % len(self.addresses)]
        for port in self._candidates(inside.port):
            if (protocol, End(host, port)) not in self._by_outside:
                return End(host, port)
        raise RuntimeError("the router has no port left")

    def _candidates(self, local: int) -> Iterator[int]:
        low, high = self.options.ports
        size = high - low + 1
        if self.options.allocation == "preserved":
            yield local
            yield from range(low, high + 1)
            return
        drawn = next(self._sequence) if self.options.allocation == "sequential" else self._random.randrange(size)
        for step in range(size):
            port = low + (drawn + step) % size
            if self.options.allocation != "parity" or port % 2 == local % 2:
                yield port
