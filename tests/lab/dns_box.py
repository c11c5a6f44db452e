"""A router that answers DNS itself: a real dnsmasq in its namespace, which goes on to the real server, except for what it was told to say.

``with DnsBox(topology, directory, says={"plain.example.com": "198.51.100.66"}) as box: ...`` It listens on the router's own addresses; hosts that do
not ask it are led to it by ``box.lead("lan")`` (a link of the router's, ``udp`` alone unless told otherwise), wherever they send.
"""

from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab import ready
from tests.lab.ground import Program
from tests.lab.topology import SERVER, Topology

NAMESPACE = "home"
_NO_TABLE = "table ip dns-box { }\ndelete table ip dns-box\n"


class DnsBox:
    """A context manager; leaving it takes the box and what leads to it away."""

    def __init__(self, topology: Topology, directory: Path, *, says: dict[str, str], upstream: str = SERVER) -> None:
        """``says``: addresses that it gives for these names and all below, whatever the real server ``upstream`` has."""
        self._ground, self._directory, self._says, self._upstream = topology.ground, directory, says, upstream
        self._led: dict[str, list[str]] = {}
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir(parents=True, exist_ok=True)
        lies = [f"--address=/{name}/{address}" for name, address in self._says.items()]
        own = ("--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=", f"--pid-file={self._directory / 'dnsmasq.pid'}", f"--server={self._upstream}")
        self._program = self._ground.spawn(NAMESPACE, "dnsmasq", "--keep-in-foreground", "--log-facility=-", *own, *lies)
        ready.says(self._program, "started")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._nft("")
        if self._program is not None:
            self._program.stop()

    def lead(self, link: str, *transports: str, server: str = "") -> None:
        """Whatever comes in by this link of the router's for port 53 of anybody, or of this DNS server alone, is answered by the box: over
        UDP, or over these."""
        whom = f"ip daddr {server} " if server else ""
        self._led[link] = [f'iifname "{link}" {whom}{transport} dport 53 redirect' for transport in transports or ("udp",)]
        rules = [rule for rules in self._led.values() for rule in rules]
        body = "\n".join(["type nat hook prerouting priority dstnat - 5; policy accept;", *rules])
        self._nft(f"table ip dns-box {{ chain first {{\n{body}\n}}\n}}\n")

    def _nft(self, table: str) -> None:
        """Rules count for a flow's first packet: what is still tracked would go on as before, and a port that is used again would be led to a
        box that has gone, whose host refuses in the server's name."""
        flush = f"ip netns exec {NAMESPACE} conntrack -F 2>/dev/null"
        self._ground.shell(f"ip netns exec {NAMESPACE} nft -f - <<'END'\n{_NO_TABLE}{table}END\n{flush}")
