"""A router's own word: miniupnpd (UPnP IGD, NAT-PMP, PCP) in a router's namespace, truthful or lying, with mappings made beforehand."""

import json
from dataclasses import dataclass
from pathlib import Path

from tests.lab import ready
from tests.lab.ground import Program, python
from tests.lab.ready import End
from tests.lab.topology import CLIENT, GUESTS, HOME, HOME_AT_CARRIER, LAN_HOST, WAN, Topology

PROGRAMS = ("miniupnpd", "upnpc")
MANUFACTURER, MODEL, NUMBER = "Laboratory Works", "Edge 2000", "7.7"
PUBLIC = "25.0.0.1"
"""miniupnpd 2.3.1 takes no address that is reserved for documentation for a public one; nothing leaves the laboratory, so another will do."""
HOLDER = "another phone"
"""How the machine that holds ports calls itself."""
_CONFIGURATION = """
ext_ifname=wan
listening_ip={address}/24
listening_ip={other}/24
http_port=5000
enable_upnp=yes
enable_natpmp=yes
{outside}
secure_mode=no
system_uptime=yes
lease_file={directory}/leases
manufacturer_name={manufacturer}
model_name={model}
model_number={number}
uuid=6f6c7f6e-0000-4000-8000-000000000001
upnp_table_name=upnp
upnp_nat_table_name=upnp
upnp_forward_chain=forward
upnp_nat_chain=prerouting
upnp_nat_postrouting_chain=postrouting
allow 1024-65535 0.0.0.0/0 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""
# The chains that miniupnpd fills, before the laboratory's own.
_TABLE = """
table inet upnp
delete table inet upnp
table inet upnp {
  chain prerouting { type nat hook prerouting priority -101; policy accept; }
  chain postrouting { type nat hook postrouting priority 99; policy accept; }
  chain forward { type filter hook forward priority -1; policy accept; }
}
"""
_NAT_PMP = End(HOME, 5351, question=bytes(2))
"""Asked for its public address (RFC 6886 section 3.2)."""


@dataclass(frozen=True, kw_only=True)
class Igd:
    """How the home router speaks of itself."""

    says: str = ""
    """The WAN address that it tells; empty = the one it has, or 0.0.0.0 where that is private or reserved."""
    mappings: tuple[tuple[int, int, str, str], ...] = ()
    """Made before the run: (external port, internal port, ``udp`` or ``tcp``, description), all leading to the client."""
    held: tuple[int, ...] = ()
    """Ports, UDP and TCP, that another machine of the LAN has had mapped before: to itself, or to ``holder``."""
    holder: str = LAN_HOST

    def start(self, topology: Topology, directory: Path) -> Program:
        """Run it; returns when it serves, with its mappings made."""
        directory.mkdir(parents=True, exist_ok=True)
        configuration = directory / "miniupnpd.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                address=HOME,
                other=GUESTS,
                outside=f"ext_ip={self.says}" if self.says else "",
                directory=directory,
                manufacturer=MANUFACTURER,
                model=MODEL,
                number=NUMBER,
            )
        )
        topology.ground.shell(f"ip netns exec home nft -f - <<'END'\n{_TABLE}END")
        program = topology.ground.spawn("home", "miniupnpd", "-d", "-f", str(configuration), "-P", str(directory / "pid"))
        ready.serves(topology.ground, program, "client", _NAT_PMP)
        for external, internal, transport, description in self.mappings:
            arguments = ("-u", f"http://{HOME}:5000/rootDesc.xml", "-e", description, "-a", CLIENT, str(internal), str(external), transport.upper())
            topology.ground.run("client", "upnpc", *arguments, check=True)
        for port in self.held:
            for transport in ("UDP", "TCP"):
                arguments = ("-u", f"http://{GUESTS}:5000/rootDesc.xml", "-e", HOLDER, "-a", self.holder, str(port), str(port), transport)
                topology.ground.run("lan-host", "upnpc", *arguments, check=True)
        return program


def stub(topology: Topology, **options: object) -> Program:
    """One that plays what miniupnpd refuses to say; options as in ``tests.net.stub_router``."""
    return topology.ground.spawn("home", *python("-m", "tests.net.stub_router", json.dumps({"address": HOME, **options})), ready="ready")


def rules(topology: Topology) -> str:
    """The rules behind the router's mappings, as its kernel has them."""
    return topology.ground.shell("ip netns exec home nft list table inet upnp")


def own_public_address(topology: Topology) -> None:
    """Give the home router a WAN address that miniupnpd takes for public, and let it translate to that one."""
    topology.ground.shell(
        f"""ip -n home addr add {PUBLIC}/32 dev wan
ip -n core route add {PUBLIC}/32 via 203.0.113.1
ip netns exec home nft insert rule ip edge source oifname wan snat to {PUBLIC}
"""
    )


def numbered_by_the_provider(topology: Topology) -> None:
    """The home router has the public address itself; the provider's next router only routes, and bears an address of 100.64.0.0/10."""
    topology.ground.shell(
        f"""ip netns exec carrier nft flush ruleset
ip -n carrier addr flush dev wan
ip -n carrier addr add 203.0.113.2/28 dev wan
ip -n carrier route replace default via 203.0.113.14
ip -n carrier route add {WAN}/32 via {HOME_AT_CARRIER}
ip -n home addr add {WAN}/32 dev wan
ip netns exec home nft insert rule ip edge source oifname wan snat to {WAN}
ip -n core route add {WAN}/32 via 203.0.113.2
"""
    )


def second_router(topology: Topology, home: str, second: str) -> None:
    """Make the carrier an ordinary second router: private addresses between the two."""
    topology.ground.shell(in_a_row(home, second))


def in_a_row(home: str, second: str) -> str:
    """The shell's words for it."""
    return f"""ip -n home addr flush dev wan
ip -n home addr add {home}/24 dev wan
ip -n carrier addr flush dev lan
ip -n carrier addr add {second}/24 dev lan
ip -n home route add default via {second}
"""
