"""The test at the start: does every address of ours send, and does every other one of ours receive it?"""

import secrets
import select
import socket
from collections.abc import Mapping
from time import monotonic

from echo_server.sockets.binding import Key

_TRIES = 3
_PATIENCE_S = 0.3


def deaf(sockets: Mapping[Key, socket.socket], family: int) -> list[tuple[str, str]]:
    """Pairs of listeners (sender, receiver) of this family between which nothing arrives. Run before the sockets are served."""
    mine = {key.listener: made for key, made in sockets.items() if key.family == family and not key.listener.startswith("sip:")}
    pairs = [("A1", "AX"), ("AX", "A1"), ("A2", "AX")]
    if "B1" in mine:
        pairs += [("AX", "B1"), ("AX", "B2"), ("BX", "A1"), ("BX", "A2"), ("A1", "BX"), ("B1", "AX"), ("B2", "AX")]
    return [(sender, receiver) for sender, receiver in pairs if not _hears(mine[sender], mine[receiver])]


def _hears(sender: socket.socket, receiver: socket.socket) -> bool:
    question = b"edgecheck self-test " + secrets.token_bytes(16)
    for _ in range(_TRIES):
        try:
            sender.sendto(question, receiver.getsockname())
        except OSError:
            return False
        deadline = monotonic() + _PATIENCE_S
        while (left := deadline - monotonic()) > 0 and select.select([receiver], [], [], left)[0]:
            try:
                data, source = receiver.recvfrom(2048)
            except OSError:
                continue
            if data == question and source[:2] == sender.getsockname()[:2]:
                return True
    return False
