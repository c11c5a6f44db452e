"""How bad is a change? Pure: from a message as it left and as it arrived to a level, with the reasons in words.

``harmless``      only the writing changed: case, white space, order, line ends, lists joined.
``rewriting``     contents changed, and what routing relies on (Via, Contact, ``c=``, ``o=``, ``m=``) names what the server really sees.
``inconsistent``  it does not: some places rewritten and others left private, a wrong address, port or length, dialog identifiers that the
                  phone does not know again.
``destructive``   cut short, switched off, another status.

Left private without harm to the call's routing, and so not ``inconsistent``, though it is told: ``a=rtcp`` and ``a=candidate``
beside a rewritten ``c=`` (the Linux ALG knows neither), and Call-ID, which is opaque.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from functools import lru_cache

from edgecheck.checks.sip_alg.compare import MESSAGE, STATUS_LINE, Difference
from edgecheck.checks.sip_alg.observation import LEVELS, Direction, Harm, Level
from edgecheck.wire import sdp, sip
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError
from edgecheck.wire.networks import is_public

EXPECTED_STATUS = {"OPTIONS": 200, "REGISTER": 401, "INVITE": 200, "BYE": 200}
"""What the mirror answers to our requests as they leave; to a REGISTER with Authorization 200."""
_NEEDED = {
    "Via": "no answer can find its way back",
    "From": "no dialog can be identified",
    "To": "no dialog can be identified",
    "Call-ID": "no dialog can be identified",
    "CSeq": "answers cannot be matched",
    "Contact": "nobody can be called back there",
    "Content-Type": "the session description is not known for one",
    "Authorization": "the server will ask for credentials for ever",
    "WWW-Authenticate": "the phone cannot know what to answer",
}
DEFAULT_PORT = 5060
_NO_SIP = "what arrived is no SIP message any more"
_NOWHERE = (ipaddress.ip_network("0.0.0.0/8"), ipaddress.ip_network("::/128"))


def gravest(levels: Iterable[Level]) -> Level:
    """The gravest of these; ``none`` when there are none."""
    return max(levels, key=LEVELS.index, default="none")


def base_level(differences: Sequence[Difference]) -> Level:
    """What the actions alone say."""
    if not differences:
        return "none"
    harmless = all(d.action in ("reformatted", "reordered") or d.where == "retransmissions" for d in differences)
    return "harmless" if harmless else "rewriting"


class _View:
    """What routing reads in a message."""

    def __init__(self, message: sip.Message) -> None:
        self.message = message
        self.vias = [via for value in message.all("Via") for via in sip.split_addresses(value)]
        self.via_host, self.via_port, self.via_parameters = _via(self.vias[0] if self.vias else "")
        self.via_transport = " ".join(self.vias[:1]).partition(" ")[0].rpartition("/")[2].upper()
        self.contact = _uri_endpoint(message.get("Contact"))
        self.lines = lines = sdp.parse(message.body)
        self.origin = _sdp_address(line.value for line in lines if line.kind == "o")
        self.connection = _sdp_address(line.value for line in lines if line.kind == "c")
        self.rtcp = _sdp_address(line.value for line in lines if line.kind == "a" and line.value.startswith("rtcp:"))
        self.candidates = " ".join(line.value for line in lines if line.kind == "a" and line.value.startswith("candidate:"))
        self.media = [line.value.split(" ")[1:2] for line in lines if line.kind == "m"]
        self.last_line = lines[-1] if lines else None

    def tag(self, name: str) -> str:
        return sip.parameters(self.message.get(name) or "").get("tag", "")


def request_harms(sent: bytes, arrived: bytes, differences: Sequence[Difference], local: Endpoint, seen: Endpoint) -> tuple[Harm, ...]:
    """``local``: the socket's own address; ``seen``: where the server saw this message come from."""
    before, after = _read(sent), _read(arrived)
    if before is None or after is None or any(d.where == MESSAGE and d.action == "rewritten" for d in differences):
        return (Harm(level="destructive", direction="request", text=_NO_SIP, where=MESSAGE),) if differences else ()
    found = [
        *_length(before, after),
        *_missing(differences, after),
        *_routing(before, after, local, seen),
        *_media(before, after, local, seen),
        *_target(before, after, differences),
    ]
    return _harms("request", found)


def response_harms(request: bytes, sent: bytes | None, arrived: bytes, differences: Sequence[Difference]) -> tuple[Harm, ...]:
    """``request``: ours as it left, which the phone compares with; ``sent``: the response as the server sent it, if that is known."""
    asked, after = _read(request), _read(arrived)
    before = _read(sent) if sent is not None else None
    if asked is None or after is None:
        return (Harm(level="destructive", direction="response", text=_NO_SIP, where=MESSAGE),)
    found = [*_identity(asked, after)]
    if before is not None and differences:
        found += [*_length(before, after), *_missing(differences, after), *_answer(before, after, differences)]
        found += _answer_media(before, after)
    if after.contact and asked.contact and asked.message.method == "REGISTER" and after.contact != asked.contact:
        text = f"the answer lists {_show(after.contact)} as registered, not the phone's own {_show(asked.contact)}"
        found.append(("inconsistent", "Contact", text))
    return _harms("response", found)


def incoming_harms(sent: bytes, arrived: bytes, differences: Sequence[Difference], local: Endpoint) -> tuple[Harm, ...]:
    """A request of the server's as it came to the phone at ``local``."""
    before, after = _read(sent), _read(arrived)
    if before is None or after is None:
        text = "what arrives is no SIP message any more"
        return (Harm(level="destructive", direction="request", text=text, where=MESSAGE),) if differences else ()
    found = [*_length(before, after), *_missing(differences, after), *_answer_media(before, after)]
    called, was = _uri_endpoint(after.message.uri), _uri_endpoint(before.message.uri)
    if any(d.where == "Request-URI" for d in differences) and called != tuple(local):
        if was == tuple(local):
            text = f"the phone registered as {_show(was)} and is called as {after.message.uri}: some refuse that"
            found.append(("inconsistent", "Request-URI", text))
        else:
            text = f"the phone is called as {after.message.uri}, which is neither what was sent nor its own address"
            found.append(("rewriting", "Request-URI", text))
    if before.message.method != after.message.method:
        found.append(("destructive", "Method", f"{before.message.method} became {after.message.method}"))
    for name in ("Via branch", "Call-ID"):
        one, other = (
            (view.via_parameters.get("branch") if name == "Via branch" else view.message.get("Call-ID")) for view in (before, after)
        )
        if one != other:
            text = f"it comes with another {name}: unless the answer is changed back, its sender does not know it"
            found.append(("inconsistent", name.partition(" ")[0], text))
    if after.contact and before.contact and after.contact != before.contact:
        found.append(("rewriting", "Contact", f"its Contact names {_show(after.contact)}: ACK, BYE and re-INVITE are sent there"))
    return _harms("request", found)


_Found = list[tuple[Level, str, str]]
"""Level; on what it rests, by the name that its change has; and the words."""


def _harms(direction: Direction, found: _Found) -> tuple[Harm, ...]:
    return tuple(Harm(level=level, direction=direction, text=text, where=where) for level, where, text in dict.fromkeys(found))


def _length(before: _View, after: _View) -> _Found:
    declared, real = after.message.content_length, len(after.message.body)
    ours, theirs = before.last_line, after.last_line
    if ours and (theirs is None or not theirs.raw.endswith(b"\n") or len(after.lines) < len(before.lines)) and (declared or 0) > real:
        return [("destructive", "body", f"the body is cut short: Content-Length says {declared}, {real} bytes came")]
    if ours and theirs and not theirs.raw.endswith(b"\n") and ours.raw.startswith(theirs.raw) and ours.raw.endswith(b"\n"):
        return [("destructive", "body", f"the body is cut short: it ends with {theirs.raw.decode('utf-8', 'backslashreplace')!r}")]
    if declared is not None and declared != real:
        effect = "must refuse it" if declared > real else "takes the beginning for the whole"
        text = f"Content-Length says {declared}, but {real} bytes came: the other end {effect}"
        return [("inconsistent", "Content-Length", text)]
    if declared is None and before.message.content_length is not None and real and before.via_transport != "UDP":
        text = "Content-Length is gone or not a number: the stream cannot be followed (RFC 3261 section 18.3)"
        return [("inconsistent", "Content-Length", text)]
    return []


def _missing(differences: Sequence[Difference], after: _View) -> _Found:
    gone = [d.where for d in differences if d.action == "removed" and d.where in _NEEDED and after.message.get(d.where) is None]
    out: _Found = [("inconsistent", name, f"{name} is gone: {_NEEDED[name]}") for name in gone]
    for name, effect in (("Authorization", "its response no longer fits"), ("WWW-Authenticate", "the answer to it will not fit")):
        out += [("inconsistent", name, f"{name} was altered: {effect}") for d in differences if (d.where, d.action) == (name, "rewritten")]
    if any((d.where, d.action) == ("Content-Type", "rewritten") for d in differences):
        out.append(("inconsistent", "Content-Type", "Content-Type was altered: the body is not taken for what it is"))
    return out


def _routing(before: _View, after: _View, local: Endpoint, seen: Endpoint) -> _Found:
    out: _Found = []
    if after.contact and after.contact != before.contact:
        host, port = after.contact
        if host == local.host != seen.host:
            out.append(("inconsistent", "Contact", f"Contact names port {port or DEFAULT_PORT} instead of {local.port}"))
        elif host != seen.host:
            out.append(("inconsistent", "Contact", f"Contact names {_show(after.contact)}, but the server saw {seen}"))
        elif (port or DEFAULT_PORT) != seen.port:
            out.append(("inconsistent", "Contact", f"Contact names port {port or DEFAULT_PORT}, but the server saw port {seen.port}"))
    via = (after.via_host, after.via_port)
    rport = "rport" in after.via_parameters
    if after.vias and via != (before.via_host, before.via_port) and after.via_host != seen.host:
        out.append(("inconsistent", "Via", f"Via names {_show(via)}, but the server saw {seen}"))
    # The address is made good by ``received``, the port by nothing (RFC 3261 section 18.2.2).
    if after.vias and not rport and (after.via_port or DEFAULT_PORT) != seen.port:
        port = after.via_port or DEFAULT_PORT
        out.append(("inconsistent", "Via", f"rport is gone and Via names port {port}: answers go there instead of to port {seen.port}"))
    # Whoever finds Via true to the source takes the phone for one without a NAT, and then believes what the other places say. Where Via
    # stays as it was, they may: the NAT is noticed, and rport leads the answers back (RFC 3581).
    if after.via_host != seen.host or after.via_host == before.via_host or local.host == seen.host:
        return out
    private = {"Contact": after.contact[0] if after.contact else None, "c=": after.connection}
    kept = [name for name, host in private.items() if host == local.host]
    if kept:
        text = f"Via hides the NAT from the server, but {_list(kept)} still {'names' if len(kept) == 1 else 'name'} {local.host}"
        out.append(("inconsistent", "Via", text))
    else:
        text = "Via hides the NAT from the server: no keep-alives from there, no media relay, and the phone goes dark when its mapping ends"
        out.append(("rewriting", "Via", text))
    return out


def _media(before: _View, after: _View, local: Endpoint, seen: Endpoint) -> _Found:
    out = _switched_off(before, after)
    if after.connection and after.connection != before.connection:
        if after.connection != seen.host:
            level: Level = "rewriting" if not is_private(after.connection) else "inconsistent"
            out.append((level, "sdp c=", f"c= names {after.connection}, but the server saw {seen.host}: audio is steered there"))
        if after.rtcp == local.host:
            out.append(("rewriting", "sdp c=", f"a=rtcp was left with {local.host}: RTCP reports get lost"))
        if local.host in after.candidates.split(" "):
            out.append(("rewriting", "sdp c=", f"a=candidate was left with {local.host}: ICE sees a mismatch and gives up"))
    if after.origin and after.connection and after.origin != after.connection and before.origin == before.connection:
        out.append(("inconsistent", "sdp o=", f"o= names {after.origin} and c= names {after.connection}"))
    return out


def _switched_off(before: _View, after: _View) -> _Found:
    out: _Found = []
    if len(after.media) < len(before.media):
        out.append(("destructive", "sdp m=", "an m= line is gone: no media"))
    if before.connection and not after.connection and after.media:
        out.append(("destructive", "sdp c=", "the c= line is gone: nowhere to send media to"))
    for one, other in zip(before.media, after.media, strict=False):
        if one != other:
            port = other[0].partition("/")[0] if other else ""
            if not port.isdecimal() or int(port) == 0:
                out.append(("destructive", "sdp m=", f"the m= line has port {port or 'none'}: the media is switched off"))
            elif int(port) % 2:
                out.append(("inconsistent", "sdp m=", f"the m= line has the odd port {port}: RTP takes the even one (RFC 3550 section 11)"))
    return out


def _target(before: _View, after: _View, differences: Sequence[Difference]) -> _Found:
    if any(d.where == "Request-URI" for d in differences):
        text = f"the server is asked for {after.message.uri} instead of {before.message.uri}: unknown there, and its digest differs"
        return [("inconsistent", "Request-URI", text)]
    if any(d.where == "Method" for d in differences):
        return [("destructive", "Method", f"{before.message.method} became {after.message.method}")]
    return []


def _identity(asked: _View, after: _View) -> _Found:
    """RFC 3261 section 17.1.3 and 12.1.2: by what the phone knows the answer again."""
    pairs = (
        ("Call-ID", asked.message.get("Call-ID"), after.message.get("Call-ID")),
        ("From tag", asked.tag("From"), after.tag("From")),
        ("CSeq", (asked.message.get("CSeq") or "").split(), (after.message.get("CSeq") or "").split()),
        ("Via branch", asked.via_parameters.get("branch"), after.via_parameters.get("branch")),
    )
    strange = [name for name, ours, theirs in pairs if ours != theirs]
    out: _Found = [
        ("inconsistent", name.partition(" ")[0], f"the answer comes back with another {name}: the phone does not know it")
        for name in strange
    ]
    if len(after.vias) > len(asked.vias):
        text = f"the answer comes back with {len(after.vias)} Via: the phone must throw it away (RFC 3261 section 8.1.3.3)"
        out.append(("inconsistent", "Via", text))
    return out


def _answer(before: _View, after: _View, differences: Sequence[Difference]) -> _Found:
    out: _Found = []
    if any(d.where == STATUS_LINE for d in differences) and before.message.status != after.message.status:
        out.append(("destructive", STATUS_LINE, f"the answer {before.message.status} became {after.message.status}"))
    if after.contact and before.contact and after.contact != before.contact and (after.message.get("CSeq") or "").endswith("INVITE"):
        out.append(("rewriting", "Contact", f"the answer's Contact names {_show(after.contact)}: ACK, BYE and re-INVITE are sent there"))
    received, was = after.via_parameters.get("received"), before.via_parameters.get("received")
    if received and was and received != was:
        text = f"received was turned from {was} to {received}: the phone cannot learn its public address from answers"
        out.append(("rewriting", "Via", text))
    for name, one, other in (
        ("Contact expires", _expires(before.message.get("Contact")), _expires(after.message.get("Contact"))),
        ("Expires", _number(before.message.get("Expires")), _number(after.message.get("Expires"))),
    ):
        if one is not None and other is not None and other < one:
            text = f"{name} is lowered from {one} s to {other} s: phones register that much more often"
            out.append(("rewriting", name.partition(" ")[0], text))
    return out


def _answer_media(before: _View, after: _View) -> _Found:
    out = _switched_off(before, after)
    if after.connection and after.connection != before.connection:
        text = f"the answer's c= names {after.connection} instead of {before.connection}: audio is steered there"
        out.append(("rewriting", "sdp c=", text))
    return out


@lru_cache(maxsize=256)  # copies are alike, and each is held against the same original
def _read(data: bytes) -> _View | None:
    try:
        return _View(sip.parse_datagram(data))
    except WireError:
        return None


def _via(value: str) -> tuple[str | None, int | None, dict[str, str]]:
    try:
        via = sip.via_parts(value)
    except WireError:
        return None, None, {}
    return via.host, via.port, via.parameters


def _uri_endpoint(value: str | None) -> tuple[str, int | None] | None:
    try:
        uri = sip.uri_parts(sip.address_uri(sip.split_addresses(value or "")[0]))
    except (WireError, IndexError):
        return None
    return uri.host, uri.port


def _sdp_address(values: Iterable[str]) -> str | None:
    """The last word of ``IN IP4 192.0.2.1``, of the first line that has one."""
    for value in values:
        words = value.split()
        if "IN" in words[:-2]:
            return words[-1].partition("/")[0]
    return None


def _expires(value: str | None) -> int | None:
    return _number(sip.parameters((sip.split_addresses(value or "") or [""])[0]).get("expires"))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 10 else None


def is_private(host: str) -> bool:
    """Whether a packet from the internet cannot be sent there; also what is no address."""
    return not is_public(host) or any(ipaddress.ip_address(host) in network for network in _NOWHERE)


def _show(endpoint: tuple[str | None, int | None]) -> str:
    host, port = endpoint
    return f"{host}:{port}" if port is not None else f"{host}"


def _list(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
