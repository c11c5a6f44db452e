"""Services that run while the check does: a Kamailio, a web server, a UDP service that is not SIP, and a UAS on another host."""

import select
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from echo_server.settings.certificate import make_certificate
from tests.lab import ready
from tests.lab.ground import Program, python
from tests.lab.kamailio import run as run_kamailio
from tests.lab.ready import End
from tests.lab.topology import Topology
from tests.waiting import PATIENCE_S

_KAMAILIO = """
debug=1
log_stderror=yes
children=1
tcp_children=1
enable_tls=yes
auto_aliases=no
listen=udp:{host}:5060
listen=tcp:{host}:5060
listen=tls:{host}:5061
loadmodule "sl.so"
loadmodule "tls.so"
modparam("tls", "tls_method", "TLSv1.2+")
modparam("tls", "certificate", "{directory}/certificate.pem")
modparam("tls", "private_key", "{directory}/key.pem")
request_route {{ sl_send_reply("200", "OK"); }}
"""
UAS = """<?xml version="1.0"?>
<scenario name="options">
<recv request="OPTIONS"/>
<send><![CDATA[

SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[call_number]
[last_Call-ID:]
[last_CSeq:]
Server: the other PBX
Content-Length: 0

]]></send>
</scenario>
"""


def kamailio(topology: Topology, namespace: str, host: str, directory: Path) -> Program:
    """Start a Kamailio on UDP and TCP 5060 and TLS 5061 that answers every request; returns when it does."""
    directory.mkdir(parents=True, exist_ok=True)
    certificate, key = make_certificate((host,), datetime.now(UTC))
    (directory / "certificate.pem").write_bytes(certificate)
    (directory / "key.pem").write_bytes(key)
    config = _KAMAILIO.format(host=host, directory=directory)
    return run_kamailio(topology, namespace, directory, config, End(host), End(host, 5060, "tcp"), End(host, 5061, "tcp"))


def uas(topology: Topology, namespace: str, host: str, directory: Path) -> Program:
    """Start a SIPp that answers OPTIONS over UDP as another PBX would."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "uas.xml").write_text(UAS)
    running = topology.ground.spawn(
        namespace, "sipp", "-sf", str(directory / "uas.xml"), "-i", host, "-p", "5060", "-t", "u1", "-nostdin"
    )
    return ready.serves(topology.ground, running, namespace, End(host))


def service(topology: Topology, namespace: str, what: str, port: int) -> Program:
    """``web``: accepts and waits for a request. ``mute``: a UDP service that answers nobody it does not know."""
    return topology.ground.spawn(namespace, *python("-m", "tests.lab.pbx", what, str(port)), ready="ready")


def listeners(topology: Topology, namespace: str, sockets: tuple[tuple[str, int, str], ...]) -> Program:
    """One program with these sockets (transport, port, address), which answers nobody. ``::`` is dual-stack, ``::/6`` IPv6 alone."""
    told = ",".join(f"{transport} {host} {port}" for transport, port, host in sockets)
    return topology.ground.spawn(namespace, *python("-m", "tests.lab.pbx", "sockets", told), ready="ready")


def _open(told: str) -> socket.socket:
    transport, host, port = told.split()
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM)
    if ":" in host:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host.endswith("/6"))
    made.bind((host.removesuffix("/6"), int(port)))
    if transport == "tcp":
        made.listen(64)
    return made


def _options(host: str, local: tuple[str, int], number: int) -> bytes:
    return (
        f"OPTIONS sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP {local[0]}:{local[1]};branch=z9hG4bKlab{number};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:lab@{host}>;tag=l\r\nTo: <sip:{host}>\r\nCall-ID: lab{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def ask(host: str, number: int, patience: float) -> bytes | None:
    """One OPTIONS over UDP; the answer, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.connect((host, 5060))
        udp.settimeout(patience)
        udp.send(_options(host, udp.getsockname(), number))
        try:
            return udp.recv(4096)
        except OSError:
            return None


def main(what: str, argument: str) -> None:
    if what == "traffic":
        # Somebody's calls while the check runs: one request after another; tells how many were put and answered.
        put = answered = 0
        print("ready", flush=True)
        while not select.select([sys.stdin], [], [], 0.02)[0]:
            put += 1
            answered += ask(argument, put, PATIENCE_S) is not None
        print(put, answered, flush=True)
    elif what == "mute":
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", int(argument)))
        print("ready", flush=True)
        sys.stdin.read()
    elif what == "sockets":
        opened = [_open(told) for told in argument.split(",")]
        print("ready", len(opened), flush=True)
        sys.stdin.read()
    elif what == "web":
        tcp = socket.create_server(("0.0.0.0", int(argument)), backlog=64)
        print("ready", flush=True)
        held = []
        while True:
            ready, _, _ = select.select([tcp, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            held.append(tcp.accept()[0])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
