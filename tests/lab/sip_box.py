"""A box that takes SIP on its way to anywhere, in user space, as a router's own SIP proxy does: UDP 5060 is led to it, and nothing else.

``answers``: it answers every request itself, in the name of whoever was asked. ``relays``: it hands each on in a packet of its own, with a
TTL of its own, and hands back what is answered: the look-alike, whose answers are the server's.

    with SipBox(topology.ground, "home"):
        ...
"""

import contextlib
import select
import socket
import struct
import sys
from types import TracebackType
from typing import Literal, Self

from tests.lab import alg
from tests.lab.ground import Ground, Program, python

PORT = 15_060
MARK = 8
_ORIGINAL_ADDRESS = 20  # IP_RECVORIGDSTADDR, linux/in.h
_LED = """table ip sip-box {{
  chain passing {{
    type filter hook prerouting priority -160; policy accept;
    iifname "lan" udp dport 5060 notrack tproxy to :{own} meta mark set {mark} accept
  }}
  chain back {{ type filter hook output priority -310; policy accept; udp sport 5060 notrack; }}
}}
"""
_REMOVED = "table ip sip-box { }\ndelete table ip sip-box\n"
Way = Literal["answers", "relays"]


class SipBox:
    """One such box, in a router's namespace. A context manager."""

    def __init__(self, ground: Ground, namespace: str, way: Way = "answers") -> None:
        self._ground, self._namespace, self._way = ground, namespace, way
        self._program: Program | None = None

    def __enter__(self) -> Self:
        self._program = self._ground.spawn(self._namespace, *python("-m", "tests.lab.sip_box", self._way), ready="ready")
        self._shell(f"nft -f - <<'END'\n{_REMOVED}{_LED.format(own=PORT, mark=MARK)}END")
        self._shell(f"ip rule add fwmark {MARK} lookup 160; ip netns exec {self._namespace} ip route replace local default dev lo table 160")
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._shell(f"nft -f - <<'END'\n{_REMOVED}END")
        self._shell(f"ip rule del fwmark {MARK} lookup 160")
        if self._program is not None:
            self._program.stop()

    def _shell(self, command: str) -> None:
        self._ground.shell(f"ip netns exec {self._namespace} {command}")


def _open(address: tuple[str, int]) -> socket.socket:
    """A socket with anybody's address."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_IP, socket.IP_TRANSPARENT, 1)
    made.bind(address)
    return made


def _asked(listener: socket.socket) -> tuple[bytes, tuple[str, int], tuple[str, int]]:
    """What came, from whom, and to whom it was going."""
    data, ancillary, _, source = listener.recvmsg(65535, 256)
    port, address = struct.unpack_from("!2xH4s", ancillary[0][2])
    return data, source, (socket.inet_ntoa(address), port)


def _say(as_whom: tuple[str, int], data: bytes, to: tuple[str, int]) -> None:
    with _open(as_whom) as voice:
        voice.sendto(data, to)


def main() -> None:
    """Serve until ended."""
    way = sys.argv[1]
    listener = _open(("0.0.0.0", PORT))
    listener.setsockopt(socket.SOL_IP, _ORIGINAL_ADDRESS, 1)
    relays: dict[socket.socket, tuple[tuple[str, int], tuple[str, int]]] = {}
    onward: dict[tuple[tuple[str, int], tuple[str, int]], socket.socket] = {}
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([listener, *relays], [], [])
        for one in ready:
            if one is not listener:
                phone, server = relays[one]
                with contextlib.suppress(ConnectionRefusedError):
                    _say(server, one.recv(65535), phone)
                continue
            data, phone, server = _asked(listener)
            if not alg.is_sip(data):
                continue  # what it does not understand it keeps
            if way == "answers":
                _say(server, alg.response(data, "200 OK", b"Contact: <sip:box@192.0.2.77>\r\n"), phone)
            else:
                if (phone, server) not in onward:
                    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                    made.connect(server)
                    onward[phone, server] = made
                    relays[made] = (phone, server)
                with contextlib.suppress(ConnectionRefusedError):
                    onward[phone, server].send(data)


if __name__ == "__main__":
    main()
