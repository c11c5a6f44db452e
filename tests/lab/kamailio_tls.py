"""A real Kamailio with a TLS port for each kind of certificate, and SIP over WebSocket on one of them."""

from pathlib import Path

from tests.fakes.certificates import Identity, issue
from tests.lab.ground import Ground, LabError, Program

DOMAIN = "pbx.example.com"
ADDRESS = "127.0.0.1"
_CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=2
auto_aliases=no
enable_tls=yes
tcp_accept_no_cl=yes
listen=udp:127.0.0.1:5060
listen=tcp:127.0.0.1:5060
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


def identities() -> tuple[Identity, dict[int, tuple[list[Identity], str]]]:
    """A root, and by port what is shown there, with Kamailio's settings for it."""
    root = issue("Lab Root", authority=True)
    middle = issue("Lab Intermediate", root, authority=True)
    good = issue(DOMAIN, middle, names=(DOMAIN,))
    return root, {
        5061: ([good, middle], ""),
        5062: ([issue(DOMAIN, middle, names=(DOMAIN,), ends=-2), middle], ""),
        5063: ([issue("other", middle, names=("sip.other.example",)), middle], ""),
        5064: ([issue(DOMAIN, middle, names=(DOMAIN,), issuer_at="http://ca.example/i.crt")], ""),
        5065: ([issue(DOMAIN, names=(DOMAIN,))], ""),
        5066: ([good, middle], "verify_certificate = yes\nrequire_certificate = yes\nca_list = {folder}/root.pem"),
    }


def start(ground: Ground, namespace: str, folder: Path) -> tuple[Program, Path]:
    """Start one; returns it and the file of the root, once it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    root, ports = identities()
    (folder / "root.pem").write_bytes(root.pem)
    sections = ["[client:default]\nmethod = TLSv1.2+\n"]
    for port, (shown, more) in ports.items():
        (folder / f"{port}.pem").write_bytes(b"".join(each.pem for each in shown))
        (folder / f"{port}.key").write_bytes(shown[0].key_pem)
        own = f"method = TLSv1.2+\ncertificate = {folder}/{port}.pem\nprivate_key = {folder}/{port}.key\n{more.format(folder=folder)}\n"
        sections.append(f"[server:{ADDRESS}:{port}]\n{own}")
        if port == 5061:
            sections.insert(0, f"[server:default]\n{own}")
    (folder / "tls.cfg").write_text("\n".join(sections))
    listens = "\n".join(f"listen=tls:{ADDRESS}:{port}" for port in ports)
    (folder / "kamailio.cfg").write_text(_CONFIG.format(listens=listens, folder=folder))
    options = ("-f", str(folder / "kamailio.cfg"), "-DD", "-E", "-P", str(folder / "pid"), "-w", str(folder), "-Y", str(folder), "-m", "32", "-M", "4")
    program = ground.spawn(namespace, "kamailio", *options)
    for _ in range(60):
        if ground.run(namespace, "sipsak", "-s", f"sip:{ADDRESS}").returncode == 0:
            return program, folder / "root.pem"
        if program.process.poll() is not None:
            break
    raise LabError(f"kamailio does not answer\n{program.stderr[-3000:]}")
