"""When other people's programs serve, who say nothing of it on stdout: one logs it, others answer datagrams and take connections."""

import json
import socket
import sys
from contextlib import suppress
from typing import NamedTuple

from tests.lab.ground import Ground, LabError, Program, python
from tests.waiting import PATIENCE_S, wait_until


class End(NamedTuple):
    """Where something is to serve."""

    host: str
    port: int = 5060
    transport: str = "udp"
    """``tcp``: it serves once it takes a connection; ``udp``: once it answers."""
    question: bytes = b""
    """Over UDP; empty: a SIP OPTIONS for ``user``."""
    user: str = ""


def says(program: Program, words: str) -> Program:
    """Return it once its standard error holds these words. Raises ``LabError`` when it ends, or time is up, before."""
    with suppress(TimeoutError):
        wait_until(lambda: words in program.stderr or program.process.poll() is not None, words)
    if words not in program.stderr:
        raise LabError(f"{program.name} does not start\n{program.stderr[-3000:]}")
    return program


def serves(ground: Ground, program: Program, namespace: str, *ends: End) -> Program:
    """Return it once it serves at all of these ends, seen from this namespace. Raises ``LabError`` when it ends, or time is up, before."""
    asked = [end._replace(question=(end.question or _options(end)).hex()) for end in ends]
    asker = ground.spawn(namespace, *python("-m", "tests.lab.ready", json.dumps(asked)))
    with suppress(TimeoutError):
        wait_until(lambda: asker.process.poll() is not None or program.process.poll() is not None, program.name, 2 * PATIENCE_S)
    if asker.stop() != 0:
        raise LabError(f"{program.name} does not serve\n{asker.stderr[-300:]}\n{program.stderr[-3000:]}")
    return program


def _options(end: End) -> bytes:
    uri = f"sip:{end.user}@{end.host}" if end.user else f"sip:{end.host}"
    return (
        f"OPTIONS {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {end.host}:9;branch=z9hG4bKready;rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:lab@{end.host}>;tag=l\r\nTo: <{uri}>\r\nCall-ID: ready\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def _looks(host: str, port: int, transport: str, question: str, _user: str) -> bool:
    with socket.socket(type=socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.2)
        try:
            asking.connect((host, port))
            return transport == "tcp" or bool(asking.send(bytes.fromhex(question)) and asking.recv(4096))
        except OSError:
            return False


if __name__ == "__main__":
    for one in json.loads(sys.argv[1]):
        wait_until(lambda one=one: _looks(*one), f"{one[:3]}")
