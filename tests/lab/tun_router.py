"""A router in user space, between two TUN devices: ``inner`` (towards the client) and ``outer`` (towards the server), which must exist.

    python -m tests.lab.tun_router '{"weather": {"delay_ms": 25}, "nat": {"mapping": "address-dependent"}, "alg": {"mutations": ["R1"]}}'

It prints ``ready``, and again for each further line of options on stdin (a new set of options: a new router, that remembers nothing).

``weather``: ``delay_ms``, ``jitter_ms`` (uniform, on top), ``keep_order``, ``loss`` (0 to 1), ``burst`` (mean length of a run of losses),
``reorder`` (the share of packets that overtake: they skip the delay), ``duplicate`` (0 to 1), ``rate`` (packets a second; what is over is
dropped, after ``allowance`` packets), ``seed``; under ``up`` and ``down`` for one direction alone. The weather is on the far side of the
NAT: a packet lost on its way in has not refreshed anything.
``nat``: ``user_nat.NatOptions``; absent = it routes only.
``alg``: ``mutations`` (ids of ``alg.MUTATIONS``), ``ports`` (the server's), ``transports``, ``pinholes`` (true: it lets in, from the
server's address, what goes to a port that has sent a REGISTER, or that the SDP of an INVITE names).

The kernel takes one off the TTL on either side of us; one of the two is given back, so that the router counts as one hop.
"""

import heapq
import json
import os
import random
import select
import struct
import sys
import time
from collections import deque
from typing import Any

from tests.lab import alg, ip
from tests.lab.ip import End
from tests.lab.user_nat import Nat, NatOptions

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_BATCH = 256
"""Packets taken from one side before the other has its turn."""


class Weather:
    """What one direction of the path does to packets. Release times come out in order of sending unless jitter reorders."""

    def __init__(self, options: dict[str, Any], seed: int) -> None:
        self.delay: float = options.get("delay_ms", 0) / 1000
        self.jitter: float = options.get("jitter_ms", 0) / 1000
        self.keep_order: bool = options.get("keep_order", False)
        self.loss: float = options.get("loss", 0)
        self.burst: float = options.get("burst", 1)
        self.reorder: float = options.get("reorder", 0)
        self.duplicate: float = options.get("duplicate", 0)
        self.rate: float = options.get("rate", 0)
        self.allowance: float = options.get("allowance", max(5, self.rate / 10))
        self._random = random.Random(seed)
        self._tokens, self._filled = self.allowance, 0.0
        self._bad = False
        self._last = 0.0

    @property
    def calm(self) -> bool:
        """Nothing happens to a packet."""
        return not (self.delay or self.jitter or self.loss or self.reorder or self.duplicate or self.rate)

    @property
    def steady(self) -> bool:
        """Packets leave in the order in which they came."""
        return not (self.reorder or self.duplicate or (self.jitter and not self.keep_order))

    def times(self, now: float) -> tuple[float, ...]:
        """When this packet is to be released: once, never, or more than once."""
        if (self.rate and not self._within_rate(now)) or (self.loss and self._lost()):
            return ()
        if not (self.jitter or self.reorder or self.duplicate):
            return (now + self.delay,)
        due = now if self.reorder and self._random.random() < self.reorder else now + self.delay + self._random.random() * self.jitter
        if self.keep_order:
            due = self._last = max(due, self._last)
        return (due, due) if self.duplicate and self._random.random() < self.duplicate else (due,)

    def _within_rate(self, now: float) -> bool:
        self._tokens = min(self.allowance, self._tokens + (now - self._filled) * self.rate) if self._filled else self.allowance
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _lost(self) -> bool:
        """Independent losses, or runs of them (Gilbert's model) with the same mean rate."""
        if self.burst <= 1:
            return self._random.random() < self.loss
        leave = 1 / self.burst if self._bad else self.loss / (self.burst * (1 - self.loss))
        if self._random.random() < leave:
            self._bad = not self._bad
        return self._bad


class Router:
    """Everything between the two devices."""

    def __init__(self, inner: int, outer: int, options: dict[str, Any]) -> None:
        self.inner, self.outer = inner, outer
        weather = options.get("weather", {})
        common = {name: value for name, value in weather.items() if name not in ("up", "down")}
        seed = common.get("seed", 1)
        self.up = Weather({**common, **weather.get("up", {})}, seed)
        self.down = Weather({**common, **weather.get("down", {})}, seed + 1)
        nat = options.get("nat")
        self.nat = None if nat is None else Nat(NatOptions(**{name: _frozen(value) for name, value in nat.items()}))
        rules = options.get("alg", {})
        self.mutations: tuple[str, ...] = tuple(rules.get("mutations", ()))
        self.pinholes: bool = rules.get("pinholes", False)
        for name in self.mutations:
            alg.MUTATIONS[name]  # a wrong id ends the program now, not at the first packet
        self.alg_ports = frozenset(rules.get("ports", (5060,)))
        self.alg_protocols = frozenset({"udp": ip.UDP, "tcp": ip.TCP}[name] for name in rules.get("transports", ("udp", "tcp")))
        self.ordered: deque[tuple[float, bool, bytes]] = deque()
        self.heap: list[tuple[float, int, bool, bytes]] = []
        self._sequence = 0
        self._one_queue = (
            self.up.steady and self.down.steady and self.up.delay == self.down.delay and not (self.up.jitter or self.down.jitter)
        )
        self._reassembly = ip.Reassembly()

    # --- weather ---

    def from_inner(self, packet: bytes, now: float) -> None:
        """A packet from the client's side: translated first, then into the weather."""
        for one in self._leave(packet, now) if self.nat is not None or self.mutations else (packet,):
            self._into(self.up, one, True, now)

    def from_outer(self, packet: bytes, now: float) -> None:
        """A packet from outside: through the weather first."""
        self._into(self.down, packet, False, now)

    def _into(self, weather: Weather, packet: bytes, up: bool, now: float) -> None:
        if weather.calm:
            self._release(packet, up, now)
            return
        for due in weather.times(now):
            if self._one_queue:
                self.ordered.append((due, up, packet))
            else:
                self._sequence += 1
                heapq.heappush(self.heap, (due, self._sequence, up, packet))

    def release_due(self, now: float) -> float | None:
        """Release what is due; seconds until the next, None when nothing waits."""
        ordered, heap = self.ordered, self.heap
        while ordered and ordered[0][0] <= now:
            _, up, packet = ordered.popleft()
            self._release(packet, up, now)
        while heap and heap[0][0] <= now:
            _, _, up, packet = heapq.heappop(heap)
            self._release(packet, up, now)
        nexts = [queue[0][0] - now for queue in (ordered, heap) if queue]
        return min(nexts) if nexts else None

    def _release(self, packet: bytes, up: bool, now: float) -> None:
        if up or (self.nat is None and not self.mutations):
            _write(self.outer if up else self.inner, packet)
            return
        for one in self._enter(packet, now):
            _write(self.inner, one)

    # --- translation ---

    def _read(self, packet: bytes) -> tuple[bytes, ip.Header] | None:
        """The whole datagram that this packet completes, with the TTL that it came with; None where it completes none."""
        whole = self._reassembly.whole(packet)
        found = ip.read(whole) if whole is not None else None
        if whole is None or found is None:
            return None
        return ip.with_ttl(whole, min(255, whole[8] + 1)), found

    def _leave(self, packet: bytes, now: float) -> list[bytes]:
        read = self._read(packet)
        if read is None:
            return []
        whole, found = read
        if found.protocol == ip.ICMP and ip.quoted(whole) is not None:
            return self._error_out(whole, now)
        self._open_pinholes(whole, found, now)
        fate = self._fate(whole, found, "out", now)
        if fate is None:
            return self._translated(whole, found, now, "")
        for data in fate.back:
            _write(self.inner, ip.udp(found.destination, found.source, data))
        out = []
        for data in fate.forward:
            changed = ip.with_payload(whole, found, data) if data != ip.payload(whole, found) else whole
            if fate.ttl is not None:
                changed = ip.with_ttl(changed, fate.ttl, fate.tos)
            out += self._translated(changed, found, now, fate.kind)
        return out

    def _translated(self, packet: bytes, found: ip.Header, now: float, kind: str) -> list[bytes]:
        if self.nat is None:
            return ip.fragments(packet)
        outside = self.nat.outbound(found.protocol, found.source, found.destination, now, kind)
        changed = ip.rewrite(packet, source=outside)
        if found.destination.host in self.nat.addresses:
            self._hairpin(changed, outside, found, now)
            return []
        return ip.fragments(changed)

    def _hairpin(self, packet: bytes, outside: End, found: ip.Header, now: float) -> None:
        """RFC 4787 section 6: inside to inside by the outside address; the source shown is the outside one."""
        assert self.nat is not None
        if not self.nat.options.hairpinning:
            return
        target = self.nat.inbound(found.protocol, found.destination, outside, now)
        if target is not None:
            for part in ip.fragments(ip.rewrite(packet, destination=target)):
                _write(self.inner, part)

    def _enter(self, packet: bytes, now: float) -> list[bytes]:
        read = self._read(packet)
        if read is None:
            return []
        whole, found = read
        if found.protocol == ip.ICMP and ip.quoted(whole) is not None:
            return self._error_in(whole, now)
        if self.nat is None:
            target = found.destination
        else:
            allowed = self.nat.inbound(found.protocol, found.destination, found.source, now)
            if allowed is None:
                if self.nat.options.unsolicited == "reject" and found.protocol != ip.ICMP:
                    _write(self.outer, ip.unreachable(whole, found.destination.host, 13))
                return []
            target = allowed
        fate = self._fate(whole, found, "in", now, target)
        if fate is None:
            return ip.fragments(ip.rewrite(whole, destination=target))
        out = []
        for data in fate.forward:
            changed = ip.with_payload(whole, found, data) if data != ip.payload(whole, found) else whole
            source = None if fate.remote_port is None else End(found.source.host, fate.remote_port)
            end = target if fate.private_port is None else End(target.host, fate.private_port)
            out += ip.fragments(ip.rewrite(changed, source=source, destination=end))
        return out

    def _error_out(self, packet: bytes, now: float) -> list[bytes]:
        """An ICMP error from inside about a packet that came in: the excerpt shows it as it was outside."""
        excerpt = ip.quoted(packet)
        inner = ip.read(excerpt) if excerpt is not None else None
        if self.nat is None or excerpt is None or inner is None:
            return [packet]
        outside = self.nat.outbound(inner.protocol, inner.destination, inner.source, now)
        return [ip.with_quote(packet, ip.rewrite(excerpt, destination=outside), source=outside.host)]

    def _error_in(self, packet: bytes, now: float) -> list[bytes]:
        """An ICMP error about a packet that left: back to the one who sent it, the excerpt as it was inside."""
        excerpt = ip.quoted(packet)
        inner = ip.read(excerpt) if excerpt is not None else None
        if self.nat is None or excerpt is None or inner is None:
            return [packet]
        mapping = self.nat.find(inner.protocol, inner.source, now)
        if mapping is None:
            return []
        return [ip.with_quote(packet, ip.rewrite(excerpt, source=mapping.inside), destination=mapping.inside.host)]

    # --- ALG ---

    def _open_pinholes(self, packet: bytes, found: ip.Header, now: float) -> None:
        data = ip.payload(packet, found) if self.pinholes and found.destination.port in self.alg_ports else b""
        if self.nat is None or found.protocol != ip.UDP or not alg.is_sip(data):
            return
        outside = self.nat.outbound(found.protocol, found.source, found.destination, now)
        if alg.method(data) == "REGISTER":
            self.nat.open(ip.UDP, outside, found.source, found.destination.host)
        elif alg.method(data) == "INVITE" and (port := alg.media_port(data)):
            self.nat.open(ip.UDP, End(outside.host, port), End(found.source.host, port), found.destination.host)

    def _fate(self, packet: bytes, found: ip.Header, direction: str, now: float, inside: End | None = None) -> alg.Fate | None:
        """What the ALG does with it; None: not its business (or, on TCP, beyond its powers)."""
        server = found.destination if direction == "out" else found.source
        if not self.mutations or found.protocol not in self.alg_protocols or server.port not in self.alg_ports:
            return None
        data = ip.payload(packet, found)
        if not data:
            return None
        private = found.source if direction == "out" else inside or found.destination
        if self.nat is None:
            public = private
        else:
            public = self.nat.outbound(found.protocol, private, server, now) if direction == "out" else found.destination
        edge = alg.Edge(_text(private.host), private.port, _text(public.host), public.port, _text(server.host), server.port)
        fate = alg.apply(self.mutations, direction, data, edge)
        if found.protocol == ip.UDP:
            return fate
        # TCP: only what keeps the stream's count of bytes, or withholds the segment altogether
        if not fate.forward or (len(fate.forward) == 1 and len(fate.forward[0]) == len(data)):
            return alg.Fate(fate.forward)
        return None


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value


def _text(host: bytes) -> str:
    return ".".join(map(str, host))


def _write(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except OSError as error:  # a full queue drops, as a router does; anything else is told and the router goes on
        print(f"write: {error}", file=sys.stderr, flush=True)


def _open(name: str) -> int:
    import fcntl

    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN | _IFF_NO_PI))
    return device


def main() -> None:
    """Route until stdin ends."""
    inner, outer = _open("inner"), _open("outer")
    router = Router(inner, outer, json.loads(sys.argv[1]))
    print("ready", flush=True)
    read, clock = os.read, time.monotonic
    devices = [inner, outer, 0]
    pending = b""
    while True:
        wait = router.release_due(clock())
        ready, _, _ = select.select(devices, [], [], wait)
        for device in ready:
            if device == 0:
                data = read(0, 65536)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    router = Router(inner, outer, json.loads(line))
                    print("ready", flush=True)
                continue
            take = router.from_inner if device == inner else router.from_outer
            now = clock()
            for _ in range(_BATCH):
                try:
                    packet = read(device, 65536)
                except BlockingIOError:
                    break
                if packet[0] >> 4 == 4:
                    take(packet, now)


if __name__ == "__main__":
    main()
