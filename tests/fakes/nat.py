"""A NAT and firewall in RFC 4787's words, made of memory: what a packet's addresses become, or that it is dropped."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Literal

from edgecheck.wire.address import Endpoint

Behavior = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]
Allocation = Literal["preserved", "sequential", "random", "parity"]
PUBLIC = "203.0.113.1"
CLIENT = "192.168.88.2"


STREAM_S = 2.0
"""Two-way traffic of more than so many seconds is a stream, as on Linux."""


def _now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Life:
    """How long an idle UDP mapping still lives."""

    born: float
    ends: float
    answered: bool = False


def _key(behavior: Behavior, remote: Endpoint) -> object:
    return {"endpoint-independent": None, "address-dependent": remote.host, "address-and-port-dependent": remote}[behavior]


@dataclass(kw_only=True)
class Nat:
    """One edge. ``translate`` False: a stateful firewall, or nothing at all when ``filtering`` is None."""

    translate: bool = True
    mapping: Behavior = "endpoint-independent"
    filtering: Behavior | None = "address-and-port-dependent"
    """None: everything that belongs to a mapping, or to this machine where nothing is translated, gets in."""
    allocation: Allocation = "preserved"
    remembers_hosts: bool = False
    """The filter is keyed by remote host alone, for the whole network behind (``adfh``)."""
    takes_for_itself: bool = False
    """WAN input is open: an unsolicited packet leaves an entry that clashes with a later mapping towards that remote (``apdfo``)."""
    per_destination_ports: bool = False
    """Like Linux: a mapping for each destination, which keeps the port unless it clashes."""
    hairpinning: bool = False
    forwarded: dict[tuple[str, int], int] = field(default_factory=dict)
    """(transport, public port) -> local port."""
    exposed: bool = False
    """Everything unsolicited goes to the one machine behind (DMZ host)."""
    udp_public: str = ""
    """Another public address from which UDP leaves; empty = the same."""
    blocks_udp: bool = False
    lifetime: float | None = None
    """Seconds after which an idle UDP mapping, and whom its socket has contacted, is forgotten; None: never. Outbound packets refresh it."""
    stream_lifetime: float | None = None
    """The same once two-way traffic went on for more than two seconds; None: no difference."""
    sip_lifetime: float | None = None
    """The same of what goes to port 5060: an ALG keeps it longer; None: no difference."""
    inbound_refreshes: bool = True
    """Inbound packets that are let in refresh it too. One that is dropped never does."""
    keeps_flows: bool = False
    """From whom it has once let something in unasked, it lets in more to that port, whatever becomes of the rules (Linux, until idle)."""
    calls: int = 0
    """TCP connections that the server has attempted so far, each from a port of its own."""
    questions: int = 0
    """That it has put to services, the same."""
    sessions: int = 0
    """With the server, so far."""
    seed: int = 0

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._mappings: dict[tuple[str, int, object], Endpoint] = {}
        self._owners: dict[tuple[str, Endpoint], set[object]] = {}
        self._contacts: dict[tuple[str, int], set[Endpoint]] = {}
        self._hosts: set[str] = set()
        self._own: set[tuple[Endpoint, int]] = set()
        self._next = 20_000
        self._let_in: dict[tuple[str, Endpoint, int], int] = {}
        self._lives: dict[tuple[int, Endpoint | None], Life] = {}

    @property
    def public(self) -> str:
        return PUBLIC if self.translate else CLIENT

    def outbound(self, transport: str, port: int, remote: Endpoint) -> Endpoint | None:
        """The source that the remote sees, or None when the packet is dropped."""
        if transport == "udp" and self.blocks_udp:
            return None
        if transport == "udp":
            self._expire()
            self._refresh(port, remote, inbound=False)
        self._hosts.add(remote.host)
        self._contacts.setdefault((transport, port), set()).add(remote)
        if not self.translate:
            return Endpoint(CLIENT, port)
        key = (transport, port, remote if self.per_destination_ports else _key(self.mapping, remote))
        if key not in self._mappings:
            public = (self.udp_public if transport == "udp" else "") or self.public
            self._mappings[key] = Endpoint(public, self._allocate(transport, port, remote))
        return self._mappings[key]

    def _allocate(self, transport: str, port: int, remote: Endpoint) -> int:
        if self.allocation == "preserved" and (remote, port) not in self._own:
            return port
        if self.allocation == "sequential":
            self._next += 1
            return self._next
        taken = {public.port for public in self._mappings.values()}
        while True:
            candidate = self._random.randrange(20_000, 60_000)
            if self.allocation == "parity":
                candidate += (candidate - port) % 2
            if candidate not in taken:
                return candidate

    def inbound(self, transport: str, remote: Endpoint, port: int) -> int | None:
        """The local port that a packet to this public port reaches, or None when it is dropped."""
        if transport == "udp" and self.blocks_udp:
            return None
        if transport == "udp":
            self._expire()
        flow = transport, remote, port
        local = self._let_in[flow] if flow in self._let_in else self._admit(transport, remote, port)
        if self.keeps_flows and local is not None:
            self._let_in[flow] = local
        if transport == "udp" and local is not None:
            self._refresh(local, remote, inbound=True)
        return local

    def _life_key(self, port: int, remote: Endpoint) -> tuple[int, Endpoint | None]:
        each = self.per_destination_ports or self.mapping != "endpoint-independent" or not self.translate
        return port, remote if each else None

    def _refresh(self, port: int, remote: Endpoint, *, inbound: bool) -> None:
        if self.lifetime is None:
            return
        key, now = self._life_key(port, remote), _now()
        life = self._lives.get(key)
        if life is None:
            if not inbound:
                of_sip = remote.port == 5060 and self.sip_lifetime is not None
                self._lives[key] = Life(now, now + (self.sip_lifetime if of_sip and self.sip_lifetime is not None else self.lifetime))
            return
        if inbound and not self.inbound_refreshes:
            life.answered = True
            return
        if remote.port == 5060 and self.sip_lifetime is not None:
            life.ends, life.answered = now + self.sip_lifetime, life.answered or inbound
            return
        stream = life.answered and now - life.born > STREAM_S and self.stream_lifetime is not None
        life.ends = now + (self.stream_lifetime if stream and self.stream_lifetime is not None else self.lifetime)
        life.answered = life.answered or inbound

    def forget(self) -> None:
        """As after a restart: every mapping, and whom anybody has contacted."""
        for memory in (self._mappings, self._contacts, self._hosts, self._own, self._let_in, self._lives):
            memory.clear()

    def _expire(self) -> None:
        """Forget what was idle for too long."""
        now = _now() if self._lives else 0.0
        for key in [key for key, life in self._lives.items() if life.ends <= now]:
            del self._lives[key]
            port, remote = key
            contacts = self._contacts.get(("udp", port), set())
            contacts -= {remote} if remote is not None else set(contacts)
            scopes = (None, remote, remote.host if remote else None)
            for mapped in [one for one in self._mappings if one[:2] == ("udp", port) and one[2] in scopes]:
                del self._mappings[mapped]

    def _admit(self, transport: str, remote: Endpoint, port: int) -> int | None:
        if (transport, port) in self.forwarded:
            return self.forwarded[transport, port]
        if self.remembers_hosts:
            return port if remote.host in self._hosts else None
        if not self.translate:
            local: int | None = port
        else:
            keys = [key for key, public in self._mappings.items() if key[0] == transport and public.port == port]
            local = keys[0][1] if keys else (port if self.exposed else None)
            if not keys and self.exposed:
                return port
        if local is not None and self._lets_in(transport, local, remote):
            return local
        if self.takes_for_itself:
            self._own.add((remote, port))
        return None

    def _lets_in(self, transport: str, local: int, remote: Endpoint) -> bool:
        if self.filtering is None:
            return True
        contacts = self._contacts.get((transport, local), set())
        if self.filtering == "endpoint-independent":
            return bool(contacts)
        if self.filtering == "address-dependent":
            return any(one.host == remote.host for one in contacts)
        return remote in contacts


EIGHT: dict[str, dict[str, object]] = {
    "none": {"translate": False, "filtering": None},
    "firewall": {"translate": False},
    "full cone": {"filtering": "endpoint-independent"},
    "restricted cone": {"filtering": "address-dependent"},
    "restricted by host": {"remembers_hosts": True},
    "port restricted cone": {"per_destination_ports": True},
    "port restricted, open input": {"per_destination_ports": True, "takes_for_itself": True},
    "symmetric": {"mapping": "address-and-port-dependent", "allocation": "random"},
}
"""The eight NATs of the laboratory, as arguments of ``Nat``."""
