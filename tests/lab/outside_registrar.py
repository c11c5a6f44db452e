"""A real registrar of the world outside: Kamailio on UDP, TCP and TLS, as small as it can be, stamped as Kamailio stamps by itself."""

from pathlib import Path

from echo_server.settings.certificate import keep_certificate
from tests.lab import kamailio
from tests.lab.ground import Program
from tests.lab.ready import End
from tests.lab.topology import SERVER, Topology

_CONFIG = """debug=0
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
alias="{server}"
enable_tls=yes
listen=udp:{server}:5060
listen=tcp:{server}:5060
listen=tls:{server}:5061
loadmodule "tls.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{certificate}")
modparam("tls", "private_key", "{key}")

request_route {{
    if (method == "REGISTER") {{
        append_to_reply("WWW-Authenticate: Digest realm=\\"outside\\", nonce=\\"0123456789abcdef\\", algorithm=MD5\\r\\n");
        sl_send_reply("401", "Unauthorized");
        exit;
    }}
    sl_send_reply("200", "OK");
}}
"""


def serve(topology: Topology, directory: Path) -> Program:
    """Start it in the server's namespace; returns when it answers."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key, _ = keep_certificate(directory, [SERVER])
    config = _CONFIG.format(server=SERVER, certificate=certificate, key=key)
    return kamailio.run(topology, "server", directory, config, End(SERVER), End(SERVER, 5060, "tcp"), End(SERVER, 5061, "tcp"))
