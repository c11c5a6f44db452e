"""SIP ALGs that Linux does not have: one mutation for each entry of the detector's lists, R1-R23 (what an ALG does to what phones
send) and A1-A10 (what it does to what they get), by the same ids; variants have a suffix.

Written without edgecheck's own SIP code: what it finds is judged by this, so it must not share its mistakes.

A mutation gets the message and the *edge* (the two faces of the mapping that the message crosses) and says what goes on and what goes
back. On TCP a router that rewrites packet by packet cannot change lengths: there, only results of the same length and drops take effect.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Edge(NamedTuple):
    """The mapping in question."""

    private: str
    """Inside address."""
    private_port: int
    public: str
    public_port: int
    remote: str
    """The server's address."""
    remote_port: int


class Fate(NamedTuple):
    """What becomes of one message."""

    forward: tuple[bytes, ...] = ()
    """Goes on in its place; empty = dropped."""
    back: tuple[bytes, ...] = ()
    """Goes back to the sender, as if from the receiver."""
    kind: str = ""
    """Non-empty: translate it by a mapping of its own."""
    remote_port: int | None = None
    """Inbound only: pretend that it came from this port of the server."""
    private_port: int | None = None
    """Inbound only: deliver to this port of the client instead."""
    ttl: int | None = None
    tos: int | None = None


Mutate = Callable[[bytes, Edge], bytes | Fate]


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """One thing that an ALG does."""

    id: str
    direction: str
    """``out`` (from the client), ``in`` (to it)."""
    text: str
    mutate: Mutate
    sip_only: bool = True
    """False: it acts on what is no SIP, too."""


MUTATIONS: dict[str, Mutation] = {}
_START = re.compile(rb"\A(?:SIP/2\.0 \d{3} [^\r\n]*|[A-Z]{2,20} \S+ SIP/2\.0)\r?\n")


def is_sip(data: bytes) -> bool:
    """Whether it begins as a SIP message does."""
    return _START.match(data) is not None


def method(data: bytes) -> str:
    """A request's method; empty for a response."""
    return "" if data.startswith(b"SIP/") else data.partition(b" ")[0].decode()


def media_port(data: bytes) -> int:
    """The port that the SDP names first; 0 where there is none."""
    found = re.search(rb"^m=[a-z]+ ([0-9]{1,5}) ", split(data)[1], re.MULTILINE)
    return int(found[1]) if found else 0


def apply(ids: tuple[str, ...], direction: str, data: bytes, edge: Edge) -> Fate:
    """Send one message through these mutations, in order."""
    fate = Fate((data,))
    for name in ids:
        mutation = MUTATIONS[name]
        if mutation.direction != direction or not fate.forward or (mutation.sip_only and not is_sip(fate.forward[0])):
            continue
        result = mutation.mutate(fate.forward[0], edge)
        if isinstance(result, Fate):
            fate = result._replace(back=fate.back + result.back)
        else:
            fate = fate._replace(forward=(result, *fate.forward[1:]))
    return fate


def mutation(name: str, direction: str, *, sip_only: bool = True) -> Callable[[Mutate], Mutate]:
    """Register a mutation; its docstring says what it does."""

    def register(function: Mutate) -> Mutate:
        MUTATIONS[name] = Mutation(id=name, direction=direction, text=(function.__doc__ or "").strip(), mutate=function, sip_only=sip_only)
        return function

    return register


# --- pieces -------------------------------------------------------------------------------------------------------------------------


def split(data: bytes) -> tuple[bytes, bytes]:
    """Head (with the empty line) and body."""
    at = data.find(b"\r\n\r\n")
    return (data, b"") if at < 0 else (data[: at + 4], data[at + 4 :])


def line(name: str) -> re.Pattern[bytes]:
    """A header's whole line; the compact form after a bar (``Via|v``)."""
    return re.compile(rb"^(?:" + name.encode() + rb")[ \t]*:[^\r\n]*\r\n", re.IGNORECASE | re.MULTILINE)


def edit(data: bytes, name: str, change: Callable[[bytes], bytes], count: int = 0) -> bytes:
    """Change a header's lines (each with its line end)."""
    head, body = split(data)
    return line(name).sub(lambda found: change(found[0]), head, count=count) + body


def recount(data: bytes) -> bytes:
    """Content-Length made right."""
    body = split(data)[1]
    return edit(data, "Content-Length|l", lambda text: text.partition(b":")[0] + b": " + str(len(body)).encode() + b"\r\n")


def edit_body(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change the SDP and make Content-Length right; leave alone what has no SDP."""
    head, body = split(data)
    return recount(head + change(body)) if body.startswith(b"v=0") else data


def to_public(text: bytes, edge: Edge) -> bytes:
    """The private address and port, then the private address, as they look outside."""
    whole = f"{edge.private}:{edge.private_port}".encode()
    return text.replace(whole, f"{edge.public}:{edge.public_port}".encode()).replace(edge.private.encode(), edge.public.encode())


def to_private(text: bytes, edge: Edge) -> bytes:
    """The other way round."""
    whole = f"{edge.public}:{edge.public_port}".encode()
    return text.replace(whole, f"{edge.private}:{edge.private_port}".encode()).replace(edge.public.encode(), edge.private.encode())


def response(request: bytes, status: str, *extra: bytes) -> bytes:
    """An answer as a proxy of the router's own would give it."""
    head = split(request)[0]
    kept = b"".join(b"".join(found[0] for found in line(name).finditer(head)) for name in ("Via|v", "From|f", "To|t", "Call-ID|i", "CSeq"))
    return b"SIP/2.0 " + status.encode() + b"\r\n" + kept + b"Server: edge-alg/1.0\r\n" + b"".join(extra) + b"Content-Length: 0\r\n\r\n"


def _load() -> None:
    from tests.lab import alg_requests, alg_responses  # noqa: F401 - they register themselves


_load()
