"""R1-R23: what ALGs do to what phones send."""

import re

from tests.lab.alg import Edge, Fate, edit, edit_body, is_sip, line, method, mutation, response, split, to_public


@mutation("R1", "out")
def via_public(data: bytes, edge: Edge) -> bytes:
    """Via sent-by rewritten to the public address."""
    return edit(data, "Via|v", lambda text: to_public(text, edge), 1)


_KNOWN: set[bytes] = set()


@mutation("R1-again", "out")
def via_public_again(data: bytes, edge: Edge) -> bytes:
    """Via rewritten in every copy of a request but the first: what is new takes another way through the box."""
    if data not in _KNOWN:
        _KNOWN.add(data)
        return data
    return via_public(data, edge)


@mutation("R2", "out")
def via_added(data: bytes, edge: Edge) -> bytes:
    """A Via of the router's own on top, Max-Forwards one less: a proxy that does not say so."""
    own = f"Via: SIP/2.0/UDP {edge.public}:{edge.public_port};branch=z9hG4bKalg1\r\n".encode()
    data = edit(data, "Via|v", lambda text: own + text, 1)
    return edit(data, "Max-Forwards", lambda text: b"Max-Forwards: 69\r\n")


@mutation("R3", "out")
def branch_replaced(data: bytes, edge: Edge) -> bytes:
    """The branch replaced by one that is no RFC 3261 branch."""
    return edit(data, "Via|v", lambda text: re.sub(rb"branch=[^;\r\n]*", b"branch=alg-7", text), 1)


@mutation("R4", "out")
def rport_removed(data: bytes, edge: Edge) -> bytes:
    """;rport removed."""
    return edit(data, "Via|v", lambda text: re.sub(rb";rport(?:=[0-9]*)?(?=[;\r])", b"", text), 1)


@mutation("R4-filled", "out")
def rport_filled(data: bytes, edge: Edge) -> bytes:
    """;rport filled in and received added, in a request, where only a server may."""
    value = f";rport={edge.public_port};received={edge.public}".encode()
    return edit(data, "Via|v", lambda text: re.sub(rb";rport(?=[;\r])", value, text), 1)


@mutation("R5", "out")
def contact_public(data: bytes, edge: Edge) -> bytes:
    """Contact's address rewritten to the public one, Via kept."""
    return edit(data, "Contact|m", lambda text: to_public(text, edge))


@mutation("R5-port", "out")
def contact_port_dropped(data: bytes, edge: Edge) -> bytes:
    """Contact's port dropped."""
    return edit(data, "Contact|m", lambda text: text.replace(f":{edge.private_port}".encode(), b""))


@mutation("R5-parameters", "out")
def contact_parameters_lost(data: bytes, edge: Edge) -> bytes:
    """Everything after Contact's address lost."""
    return edit(data, "Contact|m", lambda text: re.sub(rb">[^\r\n]*", b">", text))


@mutation("R6", "out")
def from_and_request_uri(data: bytes, edge: Edge) -> bytes:
    """The Request-URI gets a port, and From the router's own address: a digest's uri= no longer fits."""
    data = re.sub(rb"\A([A-Z]+ sip:[^\s:;>]*?)(?::[0-9]+)?(;[^\s]*)? SIP/2\.0", rb"\1:5999\2 SIP/2.0", data)
    return edit(data, "From|f", lambda text: re.sub(rb"(sip:[^@>;\r\n]*@)[^>;\r\n]+", rb"\g<1>" + edge.public.encode(), text))


@mutation("R7", "out")
def call_id_public(data: bytes, edge: Edge) -> bytes:
    """Call-ID rewritten, in one direction only: dialogs no longer match."""
    return edit(data, "Call-ID|i", lambda text: text.rstrip(b"\r\n").partition(b"@")[0] + b"@" + edge.public.encode() + b"\r\n")


@mutation("R8", "out")
def tag_and_sequence(data: bytes, edge: Edge) -> bytes:
    """From tag and CSeq altered: a back-to-back agent in the path."""
    data = edit(data, "From|f", lambda text: re.sub(rb";tag=[^;\r\n]*", b";tag=alg", text))
    return edit(data, "CSeq", lambda text: re.sub(rb"[0-9]+", lambda found: str(int(found[0]) + 100).encode(), text, count=1))


@mutation("R9", "out")
def record_route(data: bytes, edge: Edge) -> bytes:
    """Record-Route inserted."""
    own = f"Record-Route: <sip:{edge.public};lr>\r\n".encode()
    return edit(data, "Via|v", lambda text: text + own, 1)


@mutation("R9-hidden", "out")
def topology_hidden(data: bytes, edge: Edge) -> bytes:
    """User-Agent, Supported and Allow stripped: "topology hiding"."""
    for name in ("User-Agent", "Supported|k", "Allow"):
        data = edit(data, name, lambda text: b"")
    return data


@mutation("R10", "out")
def sdp_addresses(data: bytes, edge: Edge) -> bytes:
    """SDP o= and c= rewritten to the public address, Content-Length too."""
    return edit_body(data, lambda body: re.sub(rb"^[oc]=[^\r\n]*", lambda found: to_public(found[0], edge), body, flags=re.MULTILINE))


@mutation("R10-origin", "out")
def sdp_origin_only(data: bytes, edge: Edge) -> bytes:
    """SDP o= rewritten, c= left private."""
    return edit_body(data, lambda body: re.sub(rb"^o=[^\r\n]*", lambda found: to_public(found[0], edge), body, flags=re.MULTILINE))


@mutation("R11", "out")
def sdp_port(data: bytes, edge: Edge) -> bytes:
    """SDP m= port moved by two."""
    return edit_body(
        data,
        lambda body: re.sub(rb"^(m=audio )([0-9]+)", lambda found: found[1] + str(int(found[2]) + 2).encode(), body, flags=re.MULTILINE),
    )


@mutation("R11-zero", "out")
def sdp_port_zero(data: bytes, edge: Edge) -> bytes:
    """SDP m= port set to 0: the stream is refused before it is offered."""
    return edit_body(data, lambda body: re.sub(rb"^(m=audio )[0-9]+", rb"\g<1>0", body, flags=re.MULTILINE))


@mutation("R12", "out")
def sdp_attributes_removed(data: bytes, edge: Edge) -> bytes:
    """a=rtcp and a=candidate removed."""
    return edit_body(data, lambda body: re.sub(rb"^a=(?:rtcp|candidate):[^\r\n]*\r\n", b"", body, flags=re.MULTILINE))


@mutation("R13", "out")
def length_not_adjusted(data: bytes, edge: Edge) -> bytes:
    """SDP rewritten, Content-Length not: the end of the body is cut off or left over."""
    head, body = split(data)
    return head + re.sub(rb"^[oc]=[^\r\n]*", lambda found: to_public(found[0], edge), body, flags=re.MULTILINE)


@mutation("R13-padded", "out")
def length_padded(data: bytes, edge: Edge) -> bytes:
    """Content-Length padded with spaces."""
    return edit(data, "Content-Length|l", lambda text: b"Content-Length:   " + text.partition(b":")[2].strip() + b"\r\n")


@mutation("R13-missing", "out")
def length_missing(data: bytes, edge: Edge) -> bytes:
    """Content-Length removed."""
    return edit(data, "Content-Length|l", lambda text: b"")


@mutation("R13-cut", "out")
def body_cut(data: bytes, edge: Edge) -> bytes:
    """The body's last two bytes lost."""
    return data[:-2] if split(data)[1] else data


@mutation("R14", "out")
def content_type(data: bytes, edge: Edge) -> bytes:
    """Content-Type changed."""
    return edit(data, "Content-Type|c", lambda text: b"Content-Type: text/plain\r\n")


@mutation("R15", "out")
def spelled_otherwise(data: bytes, edge: Edge) -> bytes:
    """Compact forms written out and header names in lower case; nothing changes its meaning."""
    data = edit(data, "k", lambda text: b"Supported" + text[text.index(b":") :])
    return edit(data, "Max-Forwards", lambda text: text.lower())


@mutation("R15-order", "out")
def reordered(data: bytes, edge: Edge) -> bytes:
    """CSeq moved to the end of the headers."""
    head, body = split(data)
    found = line("CSeq").search(head)
    return data if found is None else head[: found.start()] + head[found.end() : -2] + found[0] + b"\r\n" + body


@mutation("R16", "out")
def invite_dropped(data: bytes, edge: Edge) -> bytes | Fate:
    """INVITE dropped, everything else passes."""
    return Fate() if method(data) == "INVITE" else data


@mutation("R16-all", "out")
def sip_dropped(data: bytes, edge: Edge) -> bytes | Fate:
    """All SIP dropped; what is no SIP passes."""
    return Fate()


@mutation("R17", "out", sip_only=False)
def other_dropped(data: bytes, edge: Edge) -> bytes | Fate:
    """What is no SIP dropped on the SIP port."""
    return data if is_sip(data) else Fate()


@mutation("R18", "out", sip_only=False)
def long_dropped(data: bytes, edge: Edge) -> bytes | Fate:
    """Datagrams that need fragments dropped."""
    return Fate() if len(data) > 1472 else data


@mutation("R19", "out")
def source_port(data: bytes, edge: Edge) -> Fate:
    """SIP leaves from another source port than anything else from the same local port."""
    return Fate((data,), kind="sip")


@mutation("R21", "out")
def intercepted(data: bytes, edge: Edge) -> Fate:
    """Any request is answered by the router itself, 200."""
    if not method(data) or method(data) == "ACK":
        return Fate()
    return Fate((), (response(data, "200 OK"),))


@mutation("R22", "out", sip_only=False)
def marking_reset(data: bytes, edge: Edge) -> bytes | Fate:
    """TTL set anew and DSCP cleared for SIP: it went through a proxy."""
    return Fate((data,), ttl=64, tos=0) if is_sip(data) else data


@mutation("R23", "out")
def duplicated(data: bytes, edge: Edge) -> Fate:
    """Requests sent twice."""
    return Fate((data, data))


@mutation("R23-absorbed", "out")
def absorbed(data: bytes, edge: Edge) -> bytes | Fate:
    """The router answers an INVITE with 100 itself and passes it on."""
    return Fate((data,), (response(data, "100 Trying"),)) if method(data) == "INVITE" else data
