"""An echo server behind a router of its own, as at a cloud provider: private addresses, each translated one to one; and that router's ALG."""

from pathlib import Path

from tests.lab.ground import Program, python
from tests.lab.runs import TOKEN
from tests.lab.topology import ALTERNATE, SERVER, Topology

_OWN, _OWN_ALTERNATE, _EDGE = "10.0.0.10", "10.0.0.11", "10.0.0.1"
_ADDRESSES = f"""ip -n server addr flush dev eth0
ip -n server addr add {_OWN}/24 dev eth0
ip -n server addr add {_OWN_ALTERNATE}/24 dev eth0
ip -n server route replace default via {_EDGE}
ip -n core addr add {_EDGE}/24 dev services
ip -n core addr add {SERVER}/32 dev lo
ip -n core addr add {ALTERNATE}/32 dev lo
ip netns exec core nft -f - <<'END'
table ip far-end {{
  ct helper sip {{ type "sip" protocol udp; l3proto ip; }}
  chain alg {{ type filter hook prerouting priority -150; policy accept; udp dport 5060 ct helper set "sip"; }}
  chain to {{ type nat hook prerouting priority dstnat; dnat to ip daddr map {{ {SERVER} : {_OWN}, {ALTERNATE} : {_OWN_ALTERNATE} }}; }}
  chain from {{ type nat hook postrouting priority srcnat;
    oifname "edge" snat to ip saddr map {{ {_OWN} : {SERVER}, {_OWN_ALTERNATE} : {ALTERNATE} }};
  }}
}}
END
"""


def serve(topology: Topology, directory: Path) -> Program:
    """Start the echo server behind it; returns when it is ready."""
    topology.ground.shell(_ADDRESSES)
    addresses = ("--address", _OWN, "--alternate", _OWN_ALTERNATE, "--public-address", SERVER, "--public-alternate", ALTERNATE)
    arguments = (*addresses, "--state-dir", str(directory / "server"), "--token", TOKEN)
    return topology.ground.spawn("server", *python("-m", "echo_server", *arguments), ready="ready ", timeout=30)
