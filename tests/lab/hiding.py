"""A router that counts itself as no hop: it leaves the TTL of what it forwards alone, as some firewalls do to keep out of sight."""

from tests.lab.topology import Topology

_MOST_HOPS = 64
_RULES = "\n".join(f'    iifname "lan" ip ttl {hops} ip ttl set {hops + 1} accept' for hops in range(1, _MOST_HOPS + 1))
"""Linux takes one off when it forwards: what comes from the LAN is given one more before that."""
_TABLE = f"""table ip hiding {{
  chain early {{
    type filter hook prerouting priority -140; policy accept;
{_RULES}
  }}
}}
"""


def hiding(namespace: str) -> str:
    """The shell's words for it."""
    return f"ip netns exec {namespace} nft -f - <<'END'\n{_TABLE}END\n"


def hide(topology: Topology, namespace: str) -> None:
    """From now on this router is none in the eyes of whoever counts hops."""
    topology.ground.shell(hiding(namespace))
