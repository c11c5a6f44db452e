"""A1-A10: what ALGs do to what phones get, answers and requests."""

import re

from tests.lab.alg import Edge, Fate, edit, edit_body, method, mutation, recount, response, split, to_private


@mutation("A1", "in")
def via_private(data: bytes, edge: Edge) -> bytes:
    """Via of an answer turned back: received= and rport= show the private address."""

    def change(text: bytes) -> bytes:
        text = re.sub(rb";received=[^;\r\n]*", b";received=" + edge.private.encode(), text)
        return re.sub(rb";rport=[0-9]*", f";rport={edge.private_port}".encode(), text)

    return edit(data, "Via|v", change, 1) if not method(data) else data


@mutation("A2", "in")
def addresses_private(data: bytes, edge: Edge) -> bytes:
    """The public address in Contact, From, To and the Request-URI turned private."""
    start, _, rest = data.partition(b"\r\n")
    if method(data):
        data = to_private(start, edge) + b"\r\n" + rest
    for name in ("Contact|m", "From|f", "To|t"):
        data = edit(data, name, lambda text: to_private(text, edge))
    return data


@mutation("A2-contact", "in")
def server_contact(data: bytes, edge: Edge) -> bytes:
    """The server's own Contact replaced by the router's address: the dialog's next request goes there."""
    return edit(data, "Contact|m", lambda text: text.replace(edge.remote.encode(), edge.public.encode()))


@mutation("A3", "in")
def media_relayed(data: bytes, edge: Edge) -> bytes:
    """SDP c= of an answer replaced by the router's address: it relays the media."""
    return edit_body(data, lambda body: re.sub(rb"^(c=IN IP4 )[0-9.]+", rb"\g<1>" + edge.public.encode(), body, flags=re.MULTILINE))


@mutation("A4", "in")
def expires_lowered(data: bytes, edge: Edge) -> bytes:
    """The granted registration time lowered to 60 s."""
    data = edit(data, "Contact|m", lambda text: re.sub(rb"expires=[0-9]+", b"expires=60", text))
    return edit(data, "Expires", lambda text: b"Expires: 60\r\n")


@mutation("A5", "in")
def status_altered(data: bytes, edge: Edge) -> bytes:
    """200 turned into 403."""
    return data.replace(b"SIP/2.0 200 OK", b"SIP/2.0 403 Forbidden", 1)


@mutation("A5-busy", "out")
def answered_itself(data: bytes, edge: Edge) -> bytes | Fate:
    """The router answers INVITE with 486 itself; the server never sees it."""
    return Fate((), (response(data, "486 Busy Here"),)) if method(data) == "INVITE" else data


@mutation("A6", "in")
def other_source_port(data: bytes, edge: Edge) -> bytes | Fate:
    """Answers come from another source port than the server's."""
    return Fate((data,), remote_port=5099) if not method(data) else data


@mutation("A7", "in")
def challenge_swallowed(data: bytes, edge: Edge) -> bytes | Fate:
    """401 swallowed."""
    return Fate() if data.startswith(b"SIP/2.0 401") else data


@mutation("A7-provisional", "in")
def provisional_swallowed(data: bytes, edge: Edge) -> bytes | Fate:
    """1xx swallowed."""
    return Fate() if data.startswith(b"SIP/2.0 1") else data


@mutation("A8", "in")
def requests_blocked(data: bytes, edge: Edge) -> bytes | Fate:
    """Requests from the server dropped."""
    return Fate() if method(data) else data


@mutation("A9", "in")
def body_touched(data: bytes, edge: Edge) -> bytes:
    """Every public address in the body turned private, whatever the body is."""
    head, body = split(data)
    return recount(head + to_private(body, edge))


@mutation("A10", "out")
def ack_lost(data: bytes, edge: Edge) -> bytes | Fate:
    """ACK goes astray."""
    return Fate() if method(data) == "ACK" else data
