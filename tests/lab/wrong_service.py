"""A SIP service that is not the PBX in question: it answers whatever arrives on UDP and TCP 5060, and prints ``ready`` when it can."""

import select
import socket
import sys

ANSWER = b"SIP/2.0 400 Bad Request\r\nServer: another PBX\r\nContent-Length: 0\r\n\r\n"


def main() -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("0.0.0.0", 5060))
    tcp = socket.create_server(("0.0.0.0", 5060), backlog=64)
    streams: list[socket.socket] = []
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([udp, tcp, sys.stdin, *streams], [], [])
        for one in ready:
            if one is sys.stdin:
                return
            if one is udp:
                _, source = udp.recvfrom(2048)
                udp.sendto(ANSWER, source)
            elif one is tcp:
                streams.append(tcp.accept()[0])
            elif isinstance(one, socket.socket):
                try:
                    heard = one.recv(2048)
                    if heard:
                        one.sendall(ANSWER)
                        continue
                except OSError:
                    pass
                one.close()
                streams.remove(one)


if __name__ == "__main__":
    main()
