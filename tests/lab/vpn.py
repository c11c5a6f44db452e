"""A VPN without secrets: a TUN device's packets, carried in UDP datagrams to the device at the other end.

``python -m tests.lab.vpn DEVICE HOST PORT`` waits there for whoever speaks first; with ``to`` behind, that is whom it speaks to.
"""

import fcntl
import os
import select
import socket
import struct
import sys

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def main(device: str, host: str, port: str, role: str = "") -> None:
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH", device.encode(), _IFF_TUN | _IFF_NO_PI))
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    peer: tuple[str, int] | None = (host, int(port)) if role == "to" else None
    if peer is None:
        line.bind((host, int(port)))
    print("ready", flush=True)
    while True:
        for one in select.select([tun, line], [], [])[0]:
            if one is line:
                packet, peer = line.recvfrom(65536)
                os.write(tun, packet)
            elif peer is not None:
                line.sendto(os.read(tun, 65536), peer)
            else:
                os.read(tun, 65536)


if __name__ == "__main__":
    main(*sys.argv[1:])
