"""STUN servers that a client must not be misled by, one kind at a time: ``python -m tests.lab.stub_stun KIND ADDRESS ALTERNATE``.

Plain struct code, none of edgecheck's. It prints ``ready`` and serves until its stdin ends.
"""

import select
import socket
import struct
import sys

COOKIE = struct.pack("!I", 0x2112A442)
KINDS = {
    "ignores": "has two addresses and says so, but answers CHANGE-REQUEST from where it was asked",
    "lies": "names an alternate address where nobody is, and answers CHANGE-REQUEST from where it was asked",
    "plain": "one address and no OTHER-ADDRESS; CHANGE-REQUEST is ignored (Google's servers)",
    "same-address": "its OTHER-ADDRESS differs in the port alone, and it answers from there",
    "refuses": "CHANGE-REQUEST is answered with error 420",
    "dead-alternate": "changes the port when asked, but its alternate address is dead",
    "silent-change": "answers plain requests everywhere, and nothing that has a CHANGE-REQUEST",
    "garbage": "answers every request with noise first: no STUN, another transaction, a truncated message; then as ``ignores``",
}


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)


def address(kind: int, where: tuple[str, int], xor: bytes = b"") -> bytes:
    port, host = struct.pack("!H", where[1]), socket.inet_aton(where[0])
    if xor:
        port, host = bytes(a ^ b for a, b in zip(port, xor, strict=False)), bytes(a ^ b for a, b in zip(host, xor, strict=False))
    return attribute(kind, b"\0\1" + port + host)


def change(request: bytes) -> tuple[bool, bool] | None:
    """The flags of a CHANGE-REQUEST (address, port); None when there is none."""
    at = 20
    while at + 4 <= len(request):
        kind, length = struct.unpack_from("!HH", request, at)
        if kind == 3 and length == 4:
            flags = request[at + 7]
            return bool(flags & 4), bool(flags & 2)
        at += 4 + length + -length % 4
    return None


def message(kind: int, transaction: bytes, *attributes: bytes) -> bytes:
    body = b"".join(attributes)
    return struct.pack("!HH", kind, len(body)) + transaction + body


def answers(
    kind: str, request: bytes, source: tuple[str, int], here: tuple[str, int], alternate: str
) -> list[tuple[tuple[str, int], bytes]]:
    """What is sent, and from which of our ends."""
    other_port = 3479 if here[1] == 3478 else 3478
    other = {"plain": None, "same-address": (here[0], other_port)}.get(kind, (alternate, other_port))
    asked = change(request)
    origin = here
    if asked is not None:
        if kind == "refuses":
            return [(here, message(0x0111, request[4:20], attribute(9, b"\0\0\4\x14Unknown Attribute"), attribute(10, b"\0\3")))]
        if kind == "silent-change" or (kind == "dead-alternate" and asked[0]):
            return []
        if kind in ("same-address", "dead-alternate") and (asked[0] or asked[1]):
            origin = (here[0], other_port)
    reply = message(
        0x0101,
        request[4:20],
        address(0x20, source, COOKIE),
        address(1, source),
        address(0x802B, origin),
        *([address(0x802C, other)] if other else []),
    )
    if kind == "garbage":
        other_transaction = message(0x0101, COOKIE + bytes(12), address(0x20, ("192.0.2.99", 9), COOKIE))
        return [(here, b"\xff" * 40), (here, other_transaction), (here, reply[:21]), (origin, reply)]
    return [(origin, reply)]


def main() -> None:
    kind, primary, alternate = sys.argv[1:4]
    if kind not in KINDS:
        raise SystemExit(f"no such kind: {kind}")
    hosts = [primary] if kind in ("lies", "plain", "same-address", "dead-alternate") else [primary, alternate]
    sockets = {}
    for host in hosts:
        for port in (3478, 3479):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind((host, port))
            sockets[host, port] = made
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([*sockets.values(), sys.stdin], [], [])
        for one in ready:
            if not isinstance(one, socket.socket):
                return
            request, source = one.recvfrom(2048)
            if len(request) >= 20 and request[:2] == b"\0\1":
                other = alternate if one.getsockname()[0] == primary else primary
                for end, data in answers(kind, request, source, one.getsockname(), other):
                    sockets[end].sendto(data, source)


if __name__ == "__main__":
    main()
