"""A real BIND with a zone for each fault of names, outside: on port 53 of both of the server's addresses, and of its IPv6 address.

Every host of the ground resolves by it. The name servers of other people are told apart by address.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.lab import ready
from tests.lab.dns_box import DnsBox
from tests.lab.ground import Program, python
from tests.lab.routers import KernelRouter
from tests.lab.topology import ALTERNATE, HOME, OUTSIDE, SERVER, SERVER6, WAN, Plan, Topology

PLAN = Plan(home=KernelRouter(sip_alg=("udp", "tcp")), six=KernelRouter(mapping="none"))
"""Behind a router that translates, with the kernel's SIP ALG on; IPv6 is routed. ``lan-host`` has none."""

ZONE = f"""$TTL 300
@ SOA ns admin 1 60 60 60 60
@ NS ns
ns A {SERVER}
a A {SERVER}
b A {ALTERNATE}
c A 198.51.100.12
all NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.all
all NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp.all
all NAPTR 10 10 "s" "SIPS+D2T" "" _sips._tcp.all
_sip._udp.all SRV 20 0 5060 b
_sip._udp.all SRV 10 10 5062 a
_sip._tcp.all SRV 10 0 5060 a
_sips._tcp.all SRV 10 0 5061 a
_sip._udp.srv SRV 10 0 5070 a
_sip._tcp.srv SRV 10 0 5071 b
_sips._tcp.srv SRV 10 0 5072 c
plain A 198.51.100.16
alias CNAME plain
_sip._tcp.tcponly SRV 10 0 5071 b
tcponly A {ALTERNATE}
_sip._udp.elsewhere SRV 10 0 5060 a
elsewhere A 198.51.100.19
_sip._udp.missing SRV 10 0 5060 gone
www CNAME a
_sip._udp.cname SRV 10 0 5060 www
dangling NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.nowhere
dangling A 198.51.100.15
_sip._udp.dot SRV 0 0 0 .
empty TXT "nothing here"
blocked A 0.0.0.0
weights NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.weights
_sip._udp.weights SRV 5 1 5066 c
_sip._udp.weights SRV 10 20 5060 a
_sip._udp.weights SRV 10 70 5062 b
_sip._udp.weights SRV 10 10 5064 c
web NAPTR 10 20 "s" "SIP+D2W" "" _sip._ws.web
web NAPTR 10 10 "s" "SIPS+D2W" "" _sips._ws.web
_sip._ws.web SRV 10 0 8080 a
_sips._ws.web SRV 10 0 8443 b
dual A {SERVER}
dual AAAA {SERVER6}
six AAAA {SERVER6}
home A {WAN}
_sip._udp.dualsrv SRV 10 0 5060 dual
_sip._udp.sixsrv SRV 10 0 5060 six
"""
OTHER = f"{ALTERNATE}:53"
"""The same server tells other things to whom asks it here: an inside view, and addresses for what does not exist."""
NOBODY, SILENT = f"{OUTSIDE}:53", "192.0.2.200:53"
"""No DNS server: one refuses by ICMP, of the other nothing is heard."""
STUN = f"{OUTSIDE}:3478"
BY_SIX = f"[{SERVER6}]:53"
_INSIDE = f"""$TTL 300
@ SOA ns admin 1 60 60 60 60
@ NS ns
ns A {SERVER}
plain A 192.168.88.77
inside A 192.168.88.78
"""
FAULTS: dict[str, dict[str, str]] = {
    "sip:u@all.example.com": {"found": "pass"},
    "sip:u@nosuch.example.com": {"nxdomain": "fail"},
    "sip:u@empty.example.com": {"no-records": "fail"},
    "sip:u@x.broken.test": {"server-failure": "fail"},
    "sip:u@elsewhere.not-ours.test": {"server-failure": "fail"},
    "sip:u@missing.example.com": {"srv-target-missing": "fail"},
    "sip:u@cname.example.com": {"srv-target-alias": "warn", "found": "pass"},
    "sip:u@dangling.example.com": {"naptr-dangling": "warn", "found": "pass"},
    "sip:u@dot.example.com": {"not-offered": "fail"},
    "sip:u@elsewhere.example.com": {"address-mismatch": "warn", "found": "pass"},
    "sip:u@tcponly.example.com;transport=udp": {"transport-not-published": "warn", "found": "pass"},
    "sip:u@blocked.example.com": {"null-address": "fail", "found": "pass"},
    "sip:u@many.example.com": {"found": "pass"},
    "sip:u@weights.example.com": {"found": "pass"},
    "sip:u@web.example.com": {"found": "pass"},
    "sip:u@dual.example.com": {"found": "pass"},
    "sip:u@six.example.com": {"found": "pass"},
    "sip:u@sixsrv.example.com": {"found": "pass"},
    f"sip:u@six.example.com|{BY_SIX}|6": {"found": "pass"},
    f"sip:u@plain.example.com|{BY_SIX}|6": {"no-usable-address": "fail"},
    "sip:u@six.example.com||4": {"no-usable-address": "fail"},
    f"sip:u@plain.example.com|{OTHER}": {"address-mismatch": "warn", "found": "pass", "invented-answers": "warn"},
    f"sip:u@inside.example.com|{OTHER}": {"address-mismatch": "warn", "found": "pass", "invented-answers": "warn"},
    f"sip:u@home.example.com|||{STUN}": {"own-address": "warn", "found": "pass"},
    f"sip:u@plain.example.com|||{STUN}": {"found": "pass"},
    f"sip:u@plain.example.com|{HOME}:53": {"address-mismatch": "warn", "found": "pass"},
    f"sip:u@all.example.com|{HOME}:53": {"found": "pass"},
    f"sip:u@plain.example.com|{NOBODY}": {"server-failure": "warn", "found": "pass"},
    f"sip:u@inside.example.com|{NOBODY}": {"server-failure": "inconclusive"},
}
"""What is asked for, and behind bars the resolver that was chosen, the family and the STUN server -> findings of ``dns``."""
LIE = "198.51.100.66"
CHOOSY = "client, where the box answers for one DNS server alone"
_BEHIND = {"intercepted": "warn", "found": "pass"}
BOXED: dict[str, dict[str, dict[str, str]]] = {
    "client": {
        "sip:u@plain.example.com": {"found": "pass"},
        f"sip:u@plain.example.com|{SERVER}:53": _BEHIND,
        f"sip:u@all.example.com|{OTHER}": _BEHIND,
    },
    "lan-host": {f"sip:u@plain.example.com|{SERVER}:53": _BEHIND, f"sip:u@all.example.com|{SERVER}:53": _BEHIND},
    CHOOSY: {
        f"sip:u@plain.example.com|{SERVER}:53": {"address-mismatch": "warn", "found": "pass"},
        f"sip:u@all.example.com|{SERVER}:53": {"found": "pass"},
    },
}
"""Behind the same router that answers all DNS itself, and is every host's DNS server: over UDP and TCP for the client, over UDP alone for
``lan-host``. What it says of all but one name is true."""
OF_SILENCE = {f"sip:u@nosuch.example.com|{SILENT}": {"server-failure": "inconclusive"}}
"""Takes its ten seconds: for the benchmark alone."""
OF_IPV4_ALONE = {"sip:u@sixsrv.example.com": {"no-usable-address": "fail"}, "sip:u@dualsrv.example.com": {"found": "pass"}}
"""The same on ``lan-host``, which has no IPv6."""

ONE_PORT = "asked from one port, while the box is there and after it"
_ASK = f"""import dns.message, dns.query
question = dns.message.make_query("plain.example.com", "A")
print(dns.query.udp(question, "{SERVER}", timeout=15, source_port=40000).answer[0][0])"""

MANY = 40
"""More than a datagram of 1232 bytes holds."""
_LONG = "a-very-long-host-name-so-that-the-answer-must-be-cut"
_CONFIG = """options {{ directory "{folder}"; listen-on port 53 {{ {server}; {other}; }}; listen-on-v6 {{ {six}; }}; pid-file "{folder}/pid";
  session-keyfile "{folder}/key"; recursion no; dnssec-validation no; }};
controls {{}};
view "inside" {{ match-destinations {{ {other}; }};
  zone "example.com" {{ type master; file "inside"; }};
  zone "invalid" {{ type master; file "invented"; }};
}};
view "outside" {{
  zone "example.com" {{ type master; file "zone"; }};
  zone "broken.test" {{ type master; file "none-such"; }};
  zone "invalid" {{ type master; file "empty"; }};
}};
"""
_EMPTY = f"$TTL 300\n@ SOA ns admin 1 60 60 60 60\n@ NS ns\nns A {SERVER}\n"


def start(topology: Topology, folder: Path) -> Program:
    """Start one, and let the whole ground resolve by it; returns when it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    many = [f"_sip._udp.many SRV 10 0 {6000 + number} {_LONG}-{number}\n{_LONG}-{number} A 198.51.100.{100 + number}\n" for number in range(1, MANY + 1)]
    (folder / "zone").write_text(ZONE + "".join(many))
    (folder / "empty").write_text(_EMPTY)
    (folder / "invented").write_text(f"{_EMPTY}* A 198.51.100.80\n")
    (folder / "inside").write_text(_INSIDE)
    (folder / "named.conf").write_text(_CONFIG.format(folder=folder, server=SERVER, other=ALTERNATE, six=SERVER6))
    (folder / "resolv.conf").write_text(f"nameserver {SERVER}\n")
    topology.ground.shell(f"ip -n core route add blackhole {SILENT.removesuffix(':53')}; mount --bind {folder / 'resolv.conf'} /etc/resolv.conf")
    return ready.says(topology.ground.spawn("server", "named", "-c", str(folder / "named.conf"), "-g", "-n", "1"), " running")


def look_at_all(topology: Topology, folder: Path, *more: str) -> dict[str, Any]:
    """Start it, and a box on the router; targets, findings and summaries of ``dns`` for every account of the tables, and for more of them."""
    start(topology, folder)
    topology.ground.spawn("outside", *python("-m", "tests.lab.stub_stun", "plain", OUTSIDE, OUTSIDE), ready="ready")
    with DnsBox(topology, folder / "box", says={"plain.example.com": LIE}) as box, ThreadPoolExecutor() as pool:
        found = locate(topology, "client", *dict.fromkeys((*FAULTS, *more)))
        (folder / "resolv.conf").write_text(f"nameserver {HOME}\n")
        box.lead("lan", "udp", "tcp")
        box.lead("guests", "udp")
        asked_of_one_port = [_ask(topology)]
        hosts = ("client", "lan-host")
        seen = dict(zip(hosts, pool.map(lambda host: locate(topology, host, *BOXED[host]), hosts), strict=True))
        box.lead("lan", server=SERVER)
        seen[CHOOSY] = locate(topology, "client", *BOXED[CHOOSY])
        (folder / "resolv.conf").write_text(f"nameserver {SERVER}\n")
    asked_of_one_port.append(_ask(topology))
    return found | {ONE_PORT: asked_of_one_port} | {f"{uri}, boxed, on {host}": result for host, results in seen.items() for uri, result in results.items()}


def _ask(topology: Topology) -> str:
    """The address that plain.example.com has for a client which asks the server from the same port every time."""
    return topology.ground.run("client", *python("-c", _ASK), check=True).stdout.strip()


def locate(topology: Topology, namespace: str, *accounts: str) -> dict[str, Any]:
    """What ``dns`` makes of these, looked at from there, all at once."""
    done = topology.ground.run(namespace, *python("-m", "tests.lab.locating", *accounts), check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
