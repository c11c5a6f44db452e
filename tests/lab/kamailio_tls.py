"""A real Kamailio outside, with a TLS port for each kind of certificate, and SIP over WebSocket on one of them."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from edgecheck.model.phone import NOWHERE
from tests.fakes.certificates import Identity, issue
from tests.lab import kamailio
from tests.lab.ground import LabError, Program, python
from tests.lab.ready import End
from tests.lab.routers import KernelRouter
from tests.lab.tls_box import TlsBox
from tests.lab.topology import SERVER, Plan, Topology

DOMAIN = "pbx.example.com"
PLAN = Plan(home=KernelRouter(sip_alg=("udp", "tcp")))
"""Behind a router that translates, with the kernel's SIP ALG on port 5060."""
# One reader of TCP: with two of them Kamailio 5.6 sometimes frees TLS sessions twice, and ends (signal 11).
_CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
enable_tls=yes
tcp_accept_no_cl=yes
listen=udp:{address}:5060
listen=tcp:{address}:5060
{listens}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib64/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "tm.so"
loadmodule "siputils.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"
loadmodule "tls.so"
modparam("tls", "config", "{folder}/tls.cfg")

request_route {{ force_rport(); sl_send_reply("200", "OK"); }}
event_route[xhttp:request] {{
  if ($hdr(Upgrade) =~ "websocket") {{ ws_handle_handshake(); exit; }}
  xhttp_reply("404", "Not Found", "text/plain", "no");
}}
"""


PORTS: dict[str, tuple[dict[str, str] | None, dict[str, str]]] = {
    "5060": ({"answered": "pass", "rport-ignored": "warn"}, {"skipped": "skipped"}),
    "5060;transport=tcp": ({"answered": "pass"}, {"skipped": "skipped"}),
    "5061;transport=tls": ({"answered": "pass"}, {"trusted": "pass"}),
    "5061;transport=wss": ({"answered": "pass"}, {"trusted": "pass"}),
    "5062;transport=tls": ({"answered": "pass"}, {"expired": "fail"}),
    "5063;transport=tls": ({"answered": "pass"}, {"name-mismatch": "fail"}),
    "5064;transport=tls": ({"answered": "pass"}, {"incomplete-chain": "fail"}),
    "5065;transport=tls": ({"answered": "pass"}, {"self-signed": "fail"}),
    "5066;transport=tls": (None, {"client-certificate-wanted": "fail"}),
    "5067;transport=tls": ({"answered": "pass"}, {"not-yet-valid": "fail"}),
    "5068;transport=tls": ({"answered": "pass"}, {"unknown-authority": "fail"}),
    "5069;transport=tls": ({"answered": "pass"}, {"intercepted": "warn"}),
    "5070;transport=tls": ({"answered": "pass"}, {"wildcard-only": "warn"}),
    "5071;transport=tls": ({"answered": "pass"}, {"expires-soon": "warn"}),
    "5072;transport=tls": ({"answered": "pass"}, {"incomplete-chain": "fail", "unknown-authority": "fail"}),
    "5073;transport=tls": ({"tls-failed": "fail"}, {"old-version": "fail"}),
    "5074;transport=tls": ({"tls-failed": "fail"}, {"not-tls": "fail"}),
    "5075;transport=tls": ({"answered": "pass"}, {"sni-needed": "warn"}),
    "5076;transport=tls": ({"answered": "pass"}, {"weak-cipher": "warn"}),
    "5061;transport=tcp": ({"wrong-transport": "fail"}, {"skipped": "skipped"}),
    "5999": ({"refused": "fail"}, {"skipped": "skipped"}),
    "5999;transport=tcp": ({"refused": "fail"}, {"skipped": "skipped"}),
}
"""What stands behind the domain in the address -> findings of ``transport`` (None: either version of TLS) and of ``tls``. At UDP 5060 the ALG
delivers to the port in the Via."""


INTERCEPTED = {"intercepted": "fail"}
BOXED: dict[str, tuple[str, bool, dict[str, dict[str, str]]]] = {
    "a box at the provider": (
        "core",
        True,
        {"5061;transport=tls": INTERCEPTED, "5061;transport=wss": INTERCEPTED, "5068;transport=tls": INTERCEPTED},
    ),
    "a scanner on this machine": ("client", True, {"5070;transport=tls": INTERCEPTED}),
    "a server that makes certificates on demand": (
        "server",
        True,
        {"5071;transport=tls": {"unknown-authority": "fail", "intercepted": "warn", "sni-needed": "warn"}},
    ),
    "a relay in the router": (
        "home",
        False,
        {
            "5064;transport=tls": {"incomplete-chain": "fail", "unknown-authority": "fail"},
            "5065;transport=tls": {"self-signed": "fail"},
            "5069;transport=tls": {"intercepted": "warn"},
        },
    ),
}
"""All at once, each with ports of its own: where it stands, whether it opens TLS, and what ``tls`` then finds. The last two are honest."""


def identities() -> tuple[Identity, dict[int, tuple[list[Identity], str]]]:
    """A root, and by port what is shown there, with Kamailio's settings for it."""
    root = issue("Lab Root", authority=True)
    middle = issue("Lab Intermediate", root, authority=True)
    stranger, inspector = issue("Another Root", authority=True), issue("FortiGate CA", root, authority=True)
    good = issue(DOMAIN, middle, names=(DOMAIN,))
    return root, {
        5061: ([good, middle], ""),
        5062: ([issue(DOMAIN, middle, names=(DOMAIN,), ends=-2), middle], ""),
        5063: ([issue("other", middle, names=("sip.other.example",)), middle], ""),
        5064: ([issue(DOMAIN, middle, names=(DOMAIN,), issuer_at="http://ca.example/i.crt", logged=True)], ""),
        5065: ([issue(DOMAIN, names=(DOMAIN,))], ""),
        5066: ([good, middle], "verify_certificate = yes\nrequire_certificate = yes\nca_list = {folder}/root.pem"),
        5067: ([issue(DOMAIN, middle, names=(DOMAIN,), begins=2), middle], ""),
        5068: ([issue(DOMAIN, stranger, names=(DOMAIN,)), stranger], ""),
        5069: ([issue(DOMAIN, inspector, names=(DOMAIN,)), inspector], ""),
        5070: ([issue("any", middle, names=(f"*.{DOMAIN.partition('.')[2]}",)), middle], ""),
        5071: ([issue(DOMAIN, middle, names=(DOMAIN,), ends=5), middle], ""),
        5072: ([issue(DOMAIN, middle, names=(DOMAIN,))], ""),
        5073: ([good, middle], "method = TLSv1.1\ncipher_list = ALL:@SECLEVEL=0"),
        5075: ([issue("default", middle, names=("default.example.net",)), middle], "server_name = default.example.net"),
        5076: ([good, middle], "method = TLSv1.2\ncipher_list = ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA"),
    }


def start(topology: Topology, folder: Path) -> tuple[Program, Path]:
    """Start one; returns it and the file of the root, once it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    root, ports = identities()
    (folder / "root.pem").write_bytes(root.pem)
    sections = ["[client:default]\nmethod = TLSv1.2+\n"]
    for port, (shown, more) in ports.items():
        (folder / f"{port}.pem").write_bytes(b"".join(each.pem for each in shown))
        (folder / f"{port}.key").write_bytes(shown[0].key_pem)
        floor = "" if "method" in more else "method = TLSv1.2+\n"
        own = f"{floor}certificate = {folder}/{port}.pem\nprivate_key = {folder}/{port}.key\n{more.format(folder=folder)}\n"
        sections.append(f"[server:{SERVER}:{port}]\n{own}")
        if port == 5061:
            sections.insert(0, f"[server:default]\n{own}")
            sections.append(f"[server:{SERVER}:5075]\nserver_name = {DOMAIN}\n{own}")  # who names nothing gets the last one
    (folder / "tls.cfg").write_text("\n".join(sections))
    listens = "\n".join(f"listen=tls:{SERVER}:{port}" for port in ports)
    config = _CONFIG.format(listens=listens, folder=folder, address=SERVER)
    program = kamailio.run(topology, "server", folder, config, End(SERVER), *(End(SERVER, port, "tcp") for port in ports))
    return program, folder / "root.pem"


def look_at_all(topology: Topology, folder: Path) -> dict[str, Any]:
    """Start it, and a web server beside it at TCP 5074; what ``transport`` and ``tls`` find at each of ``PORTS``, from the client."""
    # Of an address that nobody has most networks say so at once; the zones' ground is one that says nothing for seconds.
    topology.ground.shell(f"ip -n core route add unreachable {NOWHERE}")
    running, root = start(topology, folder)
    web = python("-u", "-m", "http.server", "5074", "--bind", SERVER, "--directory", str(folder))
    topology.ground.spawn("server", *web, ready="Serving")
    found = reach(topology, root, [f"{DOMAIN}:{behind}" for behind in PORTS])
    with ExitStack() as boxes:
        for name, (where, substitutes, places) in BOXED.items():
            ports = tuple({int(place.partition(";")[0]) for place in places})
            boxes.enter_context(TlsBox(topology.ground, where, folder / name, ports=ports, substitutes=substitutes))
        names = {place: name for name, (_, _, places) in BOXED.items() for place in places}
        seen = reach(topology, root, [f"{DOMAIN}:{place}" for place in names])
    if running.process.poll() is not None:
        raise LabError(f"kamailio has ended meanwhile\n{running.stderr[-3000:]}")
    found |= {f"{place}, {names[place]}": result for place, result in seen.items()}
    return found


def reach(topology: Topology, root: Path, places: list[str]) -> dict[str, Any]:
    """What ``transport`` and ``tls`` find there, looked at from the client at once, by what stands behind the domain."""
    accounts = [f"sip:u@{place}" for place in places]
    done = topology.ground.run("client", *python("-m", "tests.lab.reaching", SERVER, str(root), *accounts), check=True)
    return {account.partition(f"{DOMAIN}:")[2]: found for account, found in json.loads(done.stdout).items()}
