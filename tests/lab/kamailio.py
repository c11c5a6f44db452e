"""A real Kamailio as registrar: digest, bindings, and users to whom it answers as they need it for a test."""

from pathlib import Path

from tests.fakes.certificates import issue
from tests.lab import ready
from tests.lab.ground import Program
from tests.lab.ready import End
from tests.lab.topology import Topology

PASSWORD = "s3cret word"
DOMAIN = "pbx.example.com"

_CONFIG = """#!KAMAILIO
debug=1
log_stderror=yes
children=2
disable_tcp=no
tcp_children=2
auto_aliases=no
alias="pbx.example.com"
listen=udp:{address}:5060
listen=tcp:{address}:5060
listen=tls:{address}:5061
enable_tls=yes
tcp_accept_no_cl=yes
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib64/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "pv.so"
loadmodule "rr.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "nathelper.so"
loadmodule "xhttp.so"
loadmodule "websocket.so"
loadmodule "tls.so"
loadmodule "path.so"
modparam("registrar", "use_path", 1)
modparam("registrar", "path_use_received", 1)
modparam("path", "use_received", 1)
{outbound}modparam("tls", "config", "{folder}/tls.cfg")
modparam("usrloc", "db_mode", 0)
modparam("registrar", "max_expires", {most_expires})
modparam("registrar", "received_avp", "$avp(received)")
modparam("nathelper", "received_avp", "$avp(received)")
modparam("registrar", "max_contacts", 5)
modparam("auth", "algorithm", "{algorithm}")
modparam("auth", "qop", "auth")
modparam("tm", "fr_timer", 2000)

request_route {{
  force_rport();
  if (is_method("REGISTER")) {{
    if ($fU == "barred") {{ sl_send_reply("403", "Not from your address"); exit; }}
    if ($fU == "nobody") {{ sl_send_reply("404", "Not Found"); exit; }}
    if ($fU == "mute") {{ exit; }}
    if ($rd != "{address}" && $rd != "pbx.example.com") {{ add_path_received(); t_relay(); exit; }}
    if ($fU == "double") {{
      if (!pv_proxy_authenticate("edge", "{password}", "0")) {{ proxy_challenge("edge", "1"); exit; }}
    }}
    if ($fU == "proxied") {{
      if (!pv_proxy_authenticate("edge", "{password}", "0")) {{ proxy_challenge("edge", "1"); exit; }}
    }} else if (!pv_www_authenticate("$fd", "{password}", "0")) {{
      www_challenge("$fd", "1");
      exit;
    }}
    if ($fU == "locked") {{ sl_send_reply("403", "Account locked"); exit; }}
    if ($fU == "patient" && $(hdr(Expires){{s.int}}) > 0 && $(hdr(Expires){{s.int}}) < 300) {{
      append_to_reply("Min-Expires: 300\\r\\n");
      sl_send_reply("423", "Interval Too Brief");
      exit;
    }}
    if ($fU != "dark") {{ fix_nated_register(); }}
    if ($fU == "here") {{ append_to_reply("Service-Route: <sip:{address};lr>\\r\\n"); }}
    if ($fU == "by") {{ append_to_reply("Service-Route: <sip:{beyond};lr>, <sip:{address};lr>\\r\\n"); }}
    if ($fU == "strict") {{ append_to_reply("Service-Route: <sip:{address}>\\r\\n"); }}
    if ($fU == "closed") {{ append_to_reply("Service-Route: <sip:{beyond}:5999;lr>\\r\\n"); }}
    if ($fU == "absent") {{ append_to_reply("Service-Route: <sip:192.0.2.99;lr>\\r\\n"); }}
    save("location");
    exit;
  }}
  # a preloaded Route (RFC 3608): ours is taken off, and who is named next is sent to
  if ($hdr(Route) != $null && loose_route() && $du != $null) {{ t_relay(); exit; }}
  if ($rd != "{address}" && $rd != "pbx.example.com") {{ t_relay(); exit; }}
  if (is_method("OPTIONS") && $rU == $null) {{ sl_send_reply("200", "OK"); exit; }}
  if (!lookup("location")) {{ sl_send_reply("480", "Nobody there"); exit; }}
  t_relay();
}}
event_route[xhttp:request] {{
  if ($hdr(Upgrade) =~ "websocket") {{ ws_handle_handshake(); exit; }}
  xhttp_reply("404", "Not Found", "text/plain", "no");
}}
"""


_OUTBOUND = """loadmodule "outbound.so"
loadmodule "stun.so"
modparam("registrar", "outbound_mode", 1)
modparam("registrar", "flow_timer", 20)
"""


def start(
    topology: Topology, directory: Path, address: str, *, algorithm: str = "MD5", most_expires: int = 3600, outbound: bool = False, beyond: str = ""
) -> Program:
    """Start one at UDP and TCP 5060 and TLS 5061 (WebSocket, too) of this address of the server's; returns when it answers.

    ``ca.pem`` in ``directory`` is the authority of its certificate. ``outbound``: it keeps flows (RFC 5626) and answers STUN. ``beyond``: a
    proxy that some accounts' Service-Route names.
    """
    directory.mkdir(parents=True, exist_ok=True)
    root = issue("Lab Root", authority=True)
    shown = issue("registrar", root, names=(address,))
    (directory / "ca.pem").write_bytes(root.pem)
    (directory / "own.pem").write_bytes(shown.pem)
    (directory / "own.key").write_bytes(shown.key_pem)
    own = f"method = TLSv1.2+\ncertificate = {directory}/own.pem\nprivate_key = {directory}/own.key\n"
    (directory / "tls.cfg").write_text(f"[server:default]\n{own}[client:default]\nmethod = TLSv1.2+\n")
    given = {"address": address, "algorithm": algorithm, "password": PASSWORD, "most_expires": most_expires, "beyond": beyond}
    config = _CONFIG.format(**given, folder=directory, outbound=_OUTBOUND if outbound else "")
    return run(topology, "server", directory, config, End(address), End(address, 5060, "tcp"), End(address, 5061, "tcp"))


def run(topology: Topology, namespace: str, directory: Path, config: str, *ends: End) -> Program:
    """Start one that is configured so; returns when it serves at all of these ends.

    OpenSSL takes some 20 MB of its shared memory for a dozen certificates; where memory is short, it drops requests, or ends.
    """
    file = directory / "kamailio.cfg"
    file.write_text(config)
    options = ("-f", str(file), "-DD", "-E", "-P", str(directory / "pid"), "-w", str(directory), "-Y", str(directory), "-m", "256", "-M", "16")
    return ready.serves(topology.ground, topology.ground.spawn(namespace, "kamailio", *options), namespace, *ends)
