"""A router's own word: miniupnpd (UPnP IGD, NAT-PMP, PCP) in a router's namespace, truthful or lying, with mappings made beforehand."""

from dataclasses import dataclass
from pathlib import Path

from tests.lab.ground import LabError, Program
from tests.lab.topology import CLIENT, HOME, Topology

PROGRAMS = ("miniupnpd", "upnpc")
MANUFACTURER, MODEL, NUMBER = "Laboratory Works", "Edge 2000", "7.7"
_CONFIGURATION = """
ext_ifname=wan
listening_ip={address}/24
http_port=5000
enable_upnp={upnp}
enable_natpmp={pcp}
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
# Chains that miniupnpd fills; only ``nat`` hooks are needed for what it lists. The lab's own rules stay as they are.
_TABLE = """
table inet upnp {
  chain prerouting { type nat hook prerouting priority -101; policy accept; }
  chain postrouting { type nat hook postrouting priority 99; policy accept; }
  chain forward { type filter hook forward priority -1; policy accept; }
}
"""


@dataclass(frozen=True, kw_only=True)
class Igd:
    """How the router speaks of itself."""

    upnp: bool = True
    pcp: bool = True
    """NAT-PMP and PCP."""
    says: str = ""
    """The WAN address that it tells; empty = the one it has."""
    mappings: tuple[tuple[int, int, str, str], ...] = ()
    """Made before the run: (external port, internal port, ``udp`` or ``tcp``, description), all leading to the client."""

    def start(self, topology: Topology, directory: Path, namespace: str = "home", address: str = HOME) -> Program:
        """Run it; returns when it serves, with its mappings made."""
        directory.mkdir(parents=True, exist_ok=True)
        configuration = directory / "miniupnpd.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                address=address,
                upnp="yes" if self.upnp else "no",
                pcp="yes" if self.pcp else "no",
                outside=f"ext_ip={self.says}" if self.says else "",
                directory=directory,
                manufacturer=MANUFACTURER,
                model=MODEL,
                number=NUMBER,
            )
        )
        topology.ground.shell(f"ip netns exec {namespace} nft -f - <<'END'\n{_TABLE}END")
        command = ("miniupnpd", "-d", "-f", str(configuration), "-P", str(directory / "pid"))
        program = topology.ground.spawn(namespace, *command)
        self._await(topology, program, address)
        for external, internal, transport, description in self.mappings:
            arguments = ("-e", description, "-a", CLIENT, str(internal), str(external), transport.upper())
            topology.ground.run("client", "upnpc", *arguments, check=True)
        return program

    def _await(self, topology: Topology, program: Program, address: str) -> None:
        trial = f"import socket; socket.create_connection(({address!r}, 5000), 0.2)" if self.upnp else ""
        for _ in range(50):
            if program.process.poll() is not None:
                raise LabError(f"miniupnpd ended\n{program.stderr}")
            if not trial or topology.ground.run("client", "python3", "-c", trial).returncode == 0:
                return
        raise LabError(f"miniupnpd does not serve\n{program.stderr}")


def listed(topology: Topology) -> list[str]:
    """The router's port mappings, as ``upnpc`` lists them."""
    told = topology.ground.run("client", "upnpc", "-l").stdout
    return [line.split("  ")[0].rsplit(" ", 1)[0] + line[line.find("->") :] for line in told.splitlines() if "->" in line]
