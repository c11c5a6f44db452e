"""A real BIND with a zone for each fault of names, on port 53 of a namespace whose resolv.conf points to it."""

import time
from pathlib import Path

from tests.lab.ground import Ground, LabError, Program

ZONE = """$TTL 300
@ SOA ns admin 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
a A 127.0.0.1
b A 127.0.0.2
c A 127.0.0.3
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
plain A 127.0.0.6
alias CNAME plain
_sip._tcp.tcponly SRV 10 0 5071 b
tcponly A 127.0.0.2
_sip._udp.elsewhere SRV 10 0 5060 a
elsewhere A 127.0.0.9
_sip._udp.missing SRV 10 0 5060 gone
www CNAME a
_sip._udp.cname SRV 10 0 5060 www
dangling NAPTR 10 10 "s" "SIP+D2U" "" _sip._udp.nowhere
dangling A 127.0.0.5
_sip._udp.dot SRV 0 0 0 .
empty TXT "nothing here"
blocked A 0.0.0.0
"""
OTHER = "127.0.0.2:53"
"""The same server tells other things to whom asks it here: an inside view, and addresses for what does not exist."""
_INSIDE = """$TTL 300
@ SOA ns admin 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
plain A 127.0.0.77
inside A 127.0.0.78
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
    f"sip:u@plain.example.com|{OTHER}": {"address-mismatch": "warn", "found": "pass", "invented-answers": "warn"},
    f"sip:u@inside.example.com|{OTHER}": {"address-mismatch": "warn", "found": "pass", "invented-answers": "warn"},
    "sip:u@plain.example.com|127.0.0.3:53": {"server-failure": "warn", "found": "pass"},
    "sip:u@inside.example.com|127.0.0.3:53": {"server-failure": "inconclusive"},
}
"""What is asked for, and behind a bar the resolver that was chosen -> findings of ``dns``."""

MANY = 40
"""More than a datagram of 1232 bytes holds."""
_LONG = "a-very-long-host-name-so-that-the-answer-must-be-cut"
_CONFIG = """options {{ directory "{folder}"; listen-on port 53 {{ 127.0.0.1; 127.0.0.2; }}; listen-on-v6 {{ none; }}; pid-file "{folder}/pid";
  session-keyfile "{folder}/key"; recursion no; dnssec-validation no; }};
controls {{}};
view "inside" {{ match-destinations {{ 127.0.0.2; }};
  zone "example.com" {{ type master; file "inside"; }};
  zone "invalid" {{ type master; file "invented"; }};
}};
view "outside" {{
  zone "example.com" {{ type master; file "zone"; }};
  zone "broken.test" {{ type master; file "none-such"; }};
  zone "invalid" {{ type master; file "empty"; }};
}};
"""
_EMPTY = "$TTL 300\n@ SOA ns admin 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n"


def start(ground: Ground, namespace: str, folder: Path) -> Program:
    """Start one, and let the whole ground resolve by it; returns when it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    many = [f"_sip._udp.many SRV 10 0 {6000 + number} {_LONG}-{number}\n{_LONG}-{number} A 127.0.1.{number}\n" for number in range(1, MANY + 1)]
    (folder / "zone").write_text(ZONE + "".join(many))
    (folder / "empty").write_text(_EMPTY)
    (folder / "invented").write_text(f"{_EMPTY}* A 127.0.0.80\n")
    (folder / "inside").write_text(_INSIDE)
    (folder / "named.conf").write_text(_CONFIG.format(folder=folder))
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    ground.shell(f"ip -n {namespace} addr add 127.0.0.2/8 dev lo")
    ground.shell(f"mount --bind {folder / 'resolv.conf'} /etc/resolv.conf")
    program = ground.spawn(namespace, "named", "-c", str(folder / "named.conf"), "-g", "-n", "1")
    for _ in range(100):
        if " running" in program.stderr:
            return program
        if program.process.poll() is not None:
            break
        time.sleep(0.1)
    raise LabError(f"named does not start\n{program.stderr[-3000:]}")
