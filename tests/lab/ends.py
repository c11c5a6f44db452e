"""Plain packets at both ends of a NAT: a client inside, and the four STUN sockets of a server outside.

What does not arrive is proved by what arrives behind it: a marker sent later over a pair of addresses known to be open.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.lab.packets import Packets
from tests.lab.topology import ALTERNATE, SERVER, Topology


@dataclass(frozen=True)
class Ends:
    """``server`` has a1 and a2 at its primary address, b1 and b2 at the alternate one."""

    topology: Topology
    client: Packets
    server: Packets

    def mapped(self, name: str, to: str = "a1") -> tuple[str, int]:
        """Send from the client's socket ``name`` to the server's ``to``; the source that the server sees."""
        host = SERVER if to.startswith("a") else ALTERNATE
        self.client.send(name, (host, 3478 if to.endswith("1") else 3479), b"hello")
        return self.server.receive(to)[1]

    def arrives(self, name: str, mapped: tuple[str, int], *senders: str) -> list[str]:
        """Which of these server sockets can reach the client's ``name``, that has sent to a1 already."""
        for sender in senders:
            self.server.send(sender, mapped, sender.encode())
        self.server.send("a1", mapped, b"marker")
        return [data.decode() for data, _ in self.client.until(name, b"marker")]


@contextmanager
def both_ends(topology: Topology) -> Iterator[tuple[Packets, Packets]]:
    """The client's and the server's, whose sockets are bound."""
    client, server = Packets(topology.ground, "client"), Packets(topology.ground, "server")
    try:
        for name, host in (("a", SERVER), ("b", ALTERNATE)):
            server.bind(f"{name}1", 3478, host)
            server.bind(f"{name}2", 3479, host)
        yield client, server
    finally:
        client.stop()
        server.stop()
