"""A bare Python loop over the same ports: what the language and the machine need for the packets alone. No NAT knowledge, no proof, no retry.

    python -m tests.bench.floor serve SERVER ALTERNATE PORT          one socket a port; echoes; probes when told to on TCP PORT
    python -m tests.bench.floor ask LOCAL PUBLIC SERVER PORT         prints {"in": [ports, seconds], "out": [ports, seconds]}

``in``: the server sends one packet to every port of PUBLIC from ALTERNATE. ``out``: one from every port of LOCAL to the same port of the server,
and its echo. Each ends when all are in, or when nothing more came for ``QUIET_S``.
"""

import json
import resource
import select
import socket
import sys
import time

LOW, HIGH = 10000, 20000
QUIET_S = 0.5
BATCH = 900
"""Packets sent before the arrivals are looked at: a receive queue holds some hundreds."""
PAYLOAD = bytes(172)
"""The size of an RTP packet with 20 ms of PCMU."""


def raise_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def bound(host: str) -> list[socket.socket]:
    made = []
    for port in range(LOW, HIGH + 1):
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.setblocking(False)
        one.bind((host, port))
        made.append(one)
    return made


def watch(sockets: list[socket.socket]) -> tuple[select.epoll, dict[int, socket.socket]]:
    poll = select.epoll(len(sockets))
    for one in sockets:
        poll.register(one.fileno(), select.EPOLLIN)
    return poll, {one.fileno(): one for one in sockets}


def serve(host: str, alternate: str, port: int) -> None:
    raise_limit()
    sockets = bound(host)
    poll, by_number = watch(sockets)
    prober = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    prober.bind((alternate, 0))
    told = socket.create_server((host, port))
    poll.register(told.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for number, _ in poll.poll():
            if number == told.fileno():
                connection, _ = told.accept()
                target = connection.recv(64).decode()
                for one in range(LOW, HIGH + 1):
                    prober.sendto(PAYLOAD, (target, one))
                connection.close()
                continue
            data, source = by_number[number].recvfrom(2048)
            by_number[number].sendto(data, source)


def drain(poll: select.epoll, by_number: dict[int, socket.socket], seen: set[int], wait: float) -> bool:
    ready = poll.poll(wait, 1024)
    for number, _ in ready:
        by_number[number].recv(2048)
        seen.add(number)
    return bool(ready)


def ask(local: str, public: str, server: str, port: int) -> None:
    raise_limit()
    told = {}
    began = time.monotonic()
    sockets = bound(local)
    poll, by_number = watch(sockets)
    seen: set[int] = set()
    with socket.create_connection((server, port)) as connection:
        connection.send(public.encode())
        while len(seen) < len(sockets) and drain(poll, by_number, seen, QUIET_S):
            pass
    told["in"] = (len(seen), time.monotonic() - began)
    seen = set()
    began = time.monotonic()
    for start in range(0, len(sockets), BATCH):
        for one in sockets[start : start + BATCH]:
            one.sendto(PAYLOAD, (server, one.getsockname()[1]))
        drain(poll, by_number, seen, 0)
    while len(seen) < len(sockets) and drain(poll, by_number, seen, QUIET_S):
        pass
    told["out"] = (len(seen), time.monotonic() - began)
    print(json.dumps(told))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        ask(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
