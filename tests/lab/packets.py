"""Plain packets: sockets inside a namespace, moved by a test outside. No line of edgecheck is involved, so that what is proved of a router
here is proved independently of what edgecheck says about it.

Run as a program (``python -m tests.lab.packets``) it obeys JSON lines on stdin and answers each with one on stdout; ``Packets`` is the
test's end of that. Silence is never proved by waiting: a test sends a *marker* after the packet in question, along a path known to be
open, and ``until`` returns what came before it.
"""

import json
import select
import socket
import sys
import time
from typing import Any

from tests.lab.ground import Ground, python
from tests.waiting import PATIENCE_S

Address = tuple[str, int]
ANY = "0.0.0.0"
_SO_RCVBUFFORCE = 33
_ROOM = 4 << 20
"""Bytes: what arrives before anybody reads is kept."""


class Packets:
    """Sockets in one namespace."""

    def __init__(self, ground: Ground, namespace: str) -> None:
        self._program = ground.spawn(namespace, *python("-m", "tests.lab.packets"), ready="ready")

    def _ask(self, **question: Any) -> Any:
        self._program.say(json.dumps(question))
        answer = json.loads(self._program.line(2 * PATIENCE_S))
        if "error" in answer:
            raise OSError(answer["error"])
        return answer["value"]

    def bind(self, name: str, port: int = 0, host: str = ANY) -> Address:
        """A UDP socket called ``name``; its address."""
        return tuple(self._ask(do="bind", name=name, port=port, host=host))

    def send(self, name: str, to: Address, data: bytes, copies: int = 1) -> None:
        """Send; a refusal by the system is raised as OSError."""
        self._ask(do="send", name=name, to=to, data=data.hex(), copies=copies)

    def receive(self, name: str, timeout: float = PATIENCE_S) -> tuple[bytes, Address]:
        """The next datagram. Raises TimeoutError."""
        found = self._ask(do="receive", name=name, timeout=timeout)
        if found is None:
            raise TimeoutError(f"nothing arrived at {name} within {timeout:g} s")
        return bytes.fromhex(found[0]), tuple(found[1])

    def until(self, name: str, marker: bytes, timeout: float = PATIENCE_S) -> list[tuple[bytes, Address]]:
        """All datagrams that arrived before ``marker``. Raises TimeoutError when the marker does not come."""
        seen: list[tuple[bytes, Address]] = []
        while True:
            item = self.receive(name, timeout)
            if item[0] == marker:
                return seen
            seen.append(item)

    def count(self, name: str, quiet: float = 0.5) -> list[float]:
        """Arrival times (monotonic seconds) of all that arrives until nothing has come for ``quiet`` seconds."""
        return list(self._ask(do="count", name=name, quiet=quiet))

    def error(self, name: str, to: Address, data: bytes, timeout: float = PATIENCE_S) -> str | None:
        """Send from ``name`` as a connected socket and return the errno's name that ICMP brought back; None when none came."""
        name_of_error: str | None = self._ask(do="error", name=name, to=to, data=data.hex(), timeout=timeout)
        return name_of_error

    def connect(self, to: Address, port: int = 0, timeout: float = PATIENCE_S) -> str:
        """Open a TCP connection: ``connected`` or the errno's name."""
        return str(self._ask(do="connect", to=to, port=port, timeout=timeout))

    def listen(self, name: str, port: int) -> None:
        """A TCP listener called ``name``."""
        self._ask(do="listen", name=name, port=port)

    def accept(self, name: str, timeout: float = PATIENCE_S) -> Address:
        """The peer of the next connection; it is then known as ``name/peer``."""
        return tuple(self._ask(do="accept", name=name, timeout=timeout))

    def exchange(self, name: str, port: int, to: Address, parts: list[bytes]) -> None:
        """A TCP connection called ``name`` from ``port``; each part goes out as a segment of its own."""
        self._ask(do="exchange", name=name, port=port, to=to, parts=[part.hex() for part in parts])

    def read(self, name: str, size: int, timeout: float = PATIENCE_S) -> bytes:
        """At least ``size`` bytes of the stream ``name``."""
        return bytes.fromhex(self._ask(do="read", name=name, size=size, timeout=timeout))

    def write(self, name: str, data: bytes) -> None:
        """Write to the stream ``name``."""
        self._ask(do="write", name=name, data=data.hex())

    def close(self, *names: str) -> None:
        """Close these; all when none is named."""
        self._ask(do="close", names=names)

    def stop(self) -> None:
        """End the program and with it its sockets."""
        self._program.stop()


class _Sockets:
    """What the program does with each line."""

    def __init__(self) -> None:
        self.sockets: dict[str, socket.socket] = {}

    def bind(self, name: str, port: int, host: str) -> Any:
        made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        except PermissionError:  # an ordinary user's, as large as the system allows
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        made.bind((host, port))
        self.sockets[name] = made
        return made.getsockname()[:2]

    def send(self, name: str, to: list[Any], data: str, copies: int) -> None:
        body, address, made = bytes.fromhex(data), (to[0], to[1]), self.sockets[name]
        for _ in range(copies):
            made.sendto(body, address)

    def receive(self, name: str, timeout: float) -> Any:
        made = self.sockets[name]
        if not select.select([made], [], [], timeout)[0]:
            return None
        data, source = made.recvfrom(65536)
        return data.hex(), source[:2]

    def count(self, name: str, quiet: float) -> list[float]:
        times = []
        while select.select([self.sockets[name]], [], [], quiet)[0]:
            self.sockets[name].recvfrom(65536)
            times.append(time.monotonic())
        return times

    def error(self, name: str, to: list[Any], data: str, timeout: float) -> str | None:
        made = self.sockets[name]
        made.connect((to[0], to[1]))
        made.send(bytes.fromhex(data))
        select.select([made], [], [], timeout)
        return _errno(made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

    def connect(self, to: list[Any], port: int, timeout: float) -> str:
        with _stream(port) as made:
            made.settimeout(timeout)
            try:
                made.connect((to[0], to[1]))
            except TimeoutError:
                return "ETIMEDOUT"
            except OSError as error:
                return _errno(error.errno or 0) or "other"
            return "connected"

    def listen(self, name: str, port: int) -> None:
        made = _stream(port)
        made.listen(16)
        self.sockets[name] = made

    def accept(self, name: str, timeout: float) -> Any:
        self.sockets[name].settimeout(timeout)
        made, peer = self.sockets[name].accept()
        self.sockets[f"{name}/peer"] = made
        return peer[:2]

    def exchange(self, name: str, port: int, to: list[Any], parts: list[str]) -> None:
        made = _stream(port)
        made.settimeout(PATIENCE_S)
        made.connect((to[0], to[1]))
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            made.sendall(bytes.fromhex(part))
        self.sockets[name] = made

    def read(self, name: str, size: int, timeout: float) -> str:
        made, data = self.sockets[name], b""
        made.settimeout(timeout)
        while len(data) < size:
            more = made.recv(65536)
            if not more:
                break
            data += more
        return data.hex()

    def write(self, name: str, data: str) -> None:
        self.sockets[name].sendall(bytes.fromhex(data))

    def close(self, names: list[str]) -> None:
        for name in names or list(self.sockets):
            self.sockets.pop(name).close()


def _stream(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((ANY, port))
    return made


def _errno(number: int) -> str | None:
    import errno

    return errno.errorcode.get(number, str(number)) if number else None


def main() -> None:
    """Obey until stdin ends."""
    sockets = _Sockets()
    print("ready", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        verb = getattr(sockets, question.pop("do"))
        try:
            answer = {"value": verb(**question)}
        except OSError as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
