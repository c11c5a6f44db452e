"""A box that opens TLS, as a company's proxy, a firewall with "SSL inspection" or a virus scanner does: it ends the phone's TLS itself, shows a
certificate that it has just made for the name asked for, signed by an authority of its own, and goes on to the real server over a TLS
connection of its own. Put where the packets pass, a router's namespace or the client's own::

    with TlsBox(topology.ground, "home", directory, ports=(5061, 8443)) as box:
        ...                                             # box.authority: PEM file of its authority; box.relayed: what went through it

``substitutes=False`` is the look-alike: the same box in the same place, every connection ends in it and another one leaves it, and not a
byte of TLS is touched.
"""

import contextlib
import json
import selectors
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from tests.fakes.certificates import issue
from tests.lab.ground import Ground, Program, python

PORT = 10_443
"""Where it listens, in its own namespace."""
MARK = 7
"""On its own connections, so that they are not led to it again."""
_ORIGINAL_DESTINATION = 80  # SO_ORIGINAL_DST, linux/netfilter_ipv4.h
_REMOVED = "table ip tls-box { }\ndelete table ip tls-box\n"
_LED = """table ip tls-box {{
  chain passing {{ type nat hook prerouting priority dstnat - 5; policy accept; tcp dport {{ {ports} }} redirect to :{own}; }}
  chain leaving {{ type nat hook output priority -105; policy accept; meta mark != {mark} tcp dport {{ {ports} }} redirect to :{own}; }}
}}
"""


class TlsBox:
    """One such box, in a namespace that packets cross. A context manager; leaving it takes box and redirection away."""

    def __init__(
        self,
        ground: Ground,
        namespace: str,
        directory: Path,
        *,
        ports: tuple[int, ...] = (5061,),
        substitutes: bool = True,
        issuer: str = "Corp Proxy CA",
    ) -> None:
        """``ports``: connections to these TCP ports, of whatever host, are led to it. ``issuer``: its authority, which no machine trusts
        unless it is told to."""
        self._ground, self._namespace, self._ports = ground, namespace, ports
        self._options = {"substitutes": substitutes, "issuer": issuer, "directory": str(directory)}
        self.authority = directory / "box-authority.pem"
        """The certificate of its authority; written by a box that substitutes."""
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self.authority.parent.mkdir(parents=True, exist_ok=True)
        self._program = self._ground.spawn(self._namespace, *python("-m", "tests.lab.tls_box", json.dumps(self._options)), ready="ready")
        self._nft(_REMOVED + _LED.format(ports=", ".join(map(str, self._ports)), own=PORT, mark=MARK))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._nft(_REMOVED)
        if self._program is not None:
            self._program.stop()

    @property
    def relayed(self) -> list[str]:
        """The connections that it took, in order: ``198.51.100.10:5061``, and behind it the name asked for, where it opened TLS."""
        return [] if self._program is None else self._program.stderr.splitlines()

    def _nft(self, rules: str) -> None:
        """With the flows, for rules count for a flow's first packet."""
        flush = f"ip netns exec {self._namespace} conntrack -F 2>/dev/null"
        self._ground.shell(f"ip netns exec {self._namespace} nft -f - <<'END'\n{rules}END\n{flush}")


class _Authority:
    """Makes a certificate for each name, once."""

    def __init__(self, name: str, directory: Path) -> None:
        self._identity = issue(name, authority=True)
        self._directory = directory
        self._made: dict[str, Path] = {}
        self._lock = threading.Lock()
        (directory / "box-authority.pem").write_bytes(self._identity.pem)

    def context(self, name: str) -> ssl.SSLContext:
        """A server's settings, with a certificate for this name (an address is one, too)."""
        with self._lock:
            if name not in self._made:
                shown = issue(name, self._identity, names=(name,))
                self._made[name] = self._directory / f"box-{len(self._made)}.pem"
                self._made[name].write_bytes(shown.key_pem + shown.pem + self._identity.pem)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self._made[name])
        return made


def _onward(target: tuple[str, int]) -> socket.socket:
    """A connection to the real server."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.settimeout(30)
    made.connect(target)
    return made


def _opened(client: socket.socket, target: tuple[str, int], authority: _Authority) -> tuple[ssl.SSLSocket, ssl.SSLSocket]:
    """Both ends' TLS. The server's is made while the client's waits: of a server that refuses the client sees no certificate."""
    reached: list[ssl.SSLSocket] = []

    def choose(shown: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> int | None:
        _tell(target, name or "-")
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        try:
            reached.append(trusting.wrap_socket(_onward(target), server_hostname=name))
        except OSError:
            return int(ssl.ALERT_DESCRIPTION_HANDSHAKE_FAILURE)
        shown.context = authority.context(name or target[0])
        return None

    context = authority.context("nobody")
    context.sni_callback = choose
    return context.wrap_socket(client, server_side=True), reached[0]


def _relay(one: socket.socket, other: socket.socket) -> None:
    """Copy until either end is done."""
    with selectors.DefaultSelector() as ready, one, other:
        for source, sink in ((one, other), (other, one)):
            ready.register(source, selectors.EVENT_READ, sink)
        while True:
            for key, _ in ready.select():
                for data in _at_hand(cast(socket.socket, key.fileobj)):
                    if not data:
                        return
                    key.data.settimeout(30)
                    key.data.sendall(data)


def _at_hand(source: socket.socket) -> Iterator[bytes]:
    """What can be read now; at last nothing, where the other end is done. (That TLS has something to read need not be anybody's data.)"""
    while True:
        source.setblocking(False)
        try:
            data = source.recv(65536)
        except (ssl.SSLWantReadError, BlockingIOError):
            return
        yield data
        if not data:
            return


def _serve(client: socket.socket, authority: _Authority | None) -> None:
    packed = client.getsockopt(socket.SOL_IP, _ORIGINAL_DESTINATION, 16)
    port, address = struct.unpack("!2xH4s8x", packed)
    target = (socket.inet_ntoa(address), port)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with client, contextlib.suppress(OSError):  # whichever end breaks it off, the other is told by the end of its connection
        if authority is None:
            _tell(target)
            _relay(client, _onward(target))
        else:
            _relay(*_opened(client, target, authority))


def _tell(target: tuple[str, int], *more: str) -> None:
    sys.stderr.write(" ".join((f"{target[0]}:{target[1]}", *more)) + "\n")
    sys.stderr.flush()


def main() -> None:
    """Serve until ended."""
    options = json.loads(sys.argv[1])
    authority = _Authority(options["issuer"], Path(options["directory"])) if options["substitutes"] else None
    with socket.create_server(("", PORT), backlog=128) as listener:
        print("ready", flush=True)
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, authority), daemon=True).start()


if __name__ == "__main__":
    main()
