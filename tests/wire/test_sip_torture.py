"""The 49 torture messages of RFC 4475, read from a folder beside the repository (or named by RFC4475_DIR); they are not copied here.

What this parser asks of a message is a start line, header lines and their end. So most of what the RFC calls invalid (a negative
Content-Length, a method that CSeq does not repeat, a quote that is never closed) must come through as a fact: it is for the
reader to say what is wrong with it, and for ``sip-alg`` to say that it was not so when it was sent.
"""

import os
from pathlib import Path

import pytest

from edgecheck.wire import sip
from edgecheck.wire.errors import Malformed, Truncated, WireError

FOLDER = Path(os.environ.get("RFC4475_DIR") or Path(__file__).parents[3] / "shared/data/rfc4475")
pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the RFC 4475 messages are not here: set RFC4475_DIR to a folder of their .dat files"
)

WELL_FORMED = {
    # section 3.1.1, valid messages
    "wsinv": ("INVITE", 150),
    "intmeth": ("!interesting-Method0123456789_*+`.%indeed'~", 0),
    "esc01": ("INVITE", 150),
    "escnull": ("REGISTER", 0),
    "esc02": ("RE%47IST%45R", 0),
    "lwsdisp": ("OPTIONS", 0),
    "longreq": ("INVITE", 150),
    "dblreq": ("REGISTER", 0),
    "semiuri": ("OPTIONS", 0),
    "transports": ("OPTIONS", 0),
    "mpart01": ("MESSAGE", 553),
    "unreason": (200, 154),
    "noreason": (100, 0),
    # section 3.1.2, invalid, but not in their start line or their lines
    "badinv01": ("INVITE", 152),
    "scalar02": ("REGISTER", 0),
    "scalarlg": (503, 0),
    "quotbal": ("INVITE", 152),
    "ltgtruri": ("INVITE", 159),
    "escruri": ("INVITE", 150),
    "baddate": ("INVITE", 150),
    "regbadct": ("REGISTER", 0),
    "badaspec": ("OPTIONS", 0),
    "badvers": ("OPTIONS", 0),
    "mismatch01": ("OPTIONS", 0),
    "mismatch02": ("NEWMETHOD", 138),
    "ncl": ("INVITE", None),
    # section 3.2, transaction layer
    "badbranch": ("OPTIONS", 0),
    # section 3.3, application layer
    "insuf": ("INVITE", 152),
    "unkscm": ("OPTIONS", 0),
    "novelsc": ("OPTIONS", 0),
    "unksm2": ("REGISTER", 0),
    "bext01": ("OPTIONS", 0),
    "invut": ("INVITE", 40),
    "regaut01": ("REGISTER", 0),
    "multi01": ("INVITE", 154),
    "mcl01": ("OPTIONS", None),
    "bcast": (200, 154),
    "zeromf": ("OPTIONS", 0),
    "cparam01": ("REGISTER", 0),
    "cparam02": ("REGISTER", 0),
    "regescrt": ("REGISTER", 0),
    "sdp01": ("INVITE", 150),
    # section 3.4, backward compatibility
    "inv2543": ("INVITE", None),
}
"""Name -> (method or status, Content-Length as declared)."""
REFUSED = {
    "clerr": Truncated,  # 3.1.2.2: Content-Length 9999
    "lwsruri": Malformed,  # 3.1.2.8: a space in the Request-URI
    "lwsstart": Malformed,  # 3.1.2.9: two spaces in the Request-Line
    "trws": Malformed,  # 3.1.2.10: spaces at its end
    "bigcode": Malformed,  # 3.1.2.19: a status code of ten digits
    "baddn": Truncated,  # 3.1.2.15; as archived the file ends without the empty line
}


def read(name: str) -> bytes:
    return (FOLDER / f"{name}.dat").read_bytes()


def test_every_message_has_an_expectation():
    assert {path.stem for path in FOLDER.glob("*.dat")} == WELL_FORMED.keys() | REFUSED.keys()
    assert len(WELL_FORMED) + len(REFUSED) == 49


@pytest.mark.parametrize("name", WELL_FORMED)
def test_well_formed(name):
    data = read(name)
    message = sip.parse(data)
    first, declared = WELL_FORMED[name]
    assert (message.method or message.status) == first
    assert message.content_length == declared
    assert message == sip.parse_datagram(data)
    assert sip.serialize(message) == data
    # Every byte is somewhere: start line, headers, empty line, body.
    head = b"".join(header.raw for header in message.headers) + b"\r\n"
    assert data.endswith(head + message.body)
    assert data[: -len(head + message.body)].count(b"\n") == 1
    if declared is not None and name != "dblreq":
        assert len(message.body) == declared


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    with pytest.raises(REFUSED[name]):
        sip.parse(read(name))


@pytest.mark.parametrize("name", [*WELL_FORMED, *REFUSED])
def test_every_prefix_is_a_message_or_an_error(name):
    data = read(name)
    for size in range(len(data)):
        try:
            message = sip.parse(data[:size])
        except WireError:
            continue
        # Without a (readable) Content-Length, or beyond it, RFC 3261 leaves no way to tell.
        assert message.content_length is None or len(message.body) >= message.content_length


# --- What a reader of these messages would look for -------------------------------------------------------------------------------


def test_wsinv():
    """3.1.1.1: every legal way to waste white space."""
    message = sip.parse(read("wsinv"))
    assert message.get("To") == "sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n"
    assert sip.parameters(message.get("To")) == {"tag": "1918181833n"}
    assert sip.address_uri(message.get("From")) == "sip:jdrosen@example.com"
    assert sip.parameters(message.get("From")) == {"tag": "98asjd8"}
    assert message.get("CSeq") == "0009 INVITE"
    assert message.get("Max-Forwards") == "0068"
    assert message.get("Subject") == ""
    vias = [sip.via_parts(item) for value in message.all("Via") for item in sip.split_addresses(value)]
    assert [(via.transport, via.host, via.parameters["branch"]) for via in vias] == [
        ("UDP", "192.0.2.2", "390skdjuw"),
        ("TCP", "spindle.example.com", "z9hG4bK9ikj8"),
        ("UDP", "192.168.255.111", "z9hG4bK30239"),
    ]
    contact = message.get("m")
    assert sip.address_uri(contact) == "sip:jdrosen@example.com"
    assert sip.parameters(contact) == {"newparam": "newvalue", "secondparam": "", "q": "0.33"}


def test_intmeth():
    """3.1.1.2: control characters in quotes, a URI of odd but legal characters, a name with every token character."""
    message = sip.parse(read("intmeth"))
    assert sip.parameters(message.get("From"))["tag"] == "_token~1'+`*%!-."
    assert "\x00" in message.get("To")
    assert "\x07" in message.get("To")
    assert message.headers[6].name == "extensionHeader-!.%*+_`'~"
    assert sip.uri_parts(message.uri).host == "example.com"


def test_dblreq():
    """3.1.1.8: a second request in the same datagram, after the body. It is not ours to drop."""
    message = sip.parse(read("dblreq"))
    assert message.content_length == 0
    second = sip.parse(message.body)
    assert second.method == "INVITE"
    assert second.get("Call-ID") == "dblreq.0ha0isnda977644900765@192.0.2.15"


def test_semiuri():
    """3.1.1.9: a semicolon in the user part."""
    assert sip.uri_parts(sip.parse(read("semiuri")).uri)[:3] == ("sip", "user;par=u%40example.net", "example.com")


def test_transports():
    """3.1.1.10"""
    assert [sip.via_parts(value).transport for value in sip.parse(read("transports")).all("v")] == ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]


def test_unreason_and_noreason():
    """3.1.1.12 and 3.1.1.13"""
    assert sip.parse(read("unreason")).reason == "= 2**3 * 5**2 но сто девяносто девять - простое"
    assert sip.parse(read("noreason")).reason == ""


def test_clerr_as_a_datagram():
    """3.1.2.2: over UDP the missing bytes will never come, and that is the finding."""
    message = sip.parse_datagram(read("clerr"))
    assert (message.content_length, len(message.body)) == (9999, 154)


def test_ncl_and_mcl01():
    """3.1.2.3 and 3.3.9: what stands there can be told, only not as a number."""
    assert sip.parse(read("ncl")).get("Content-Length") == "-999"
    assert sip.parse(read("mcl01")).all("Content-Length") == ("13", "5")


def test_uris_that_are_none():
    """3.1.2.7, 3.3.2 and 3.3.3"""
    for name in ("ltgtruri", "unkscm", "novelsc"):
        with pytest.raises(Malformed):
            sip.uri_parts(sip.parse(read(name)).uri)


def test_badinv01():
    """3.1.2.1: semicolons and commas without anything between them."""
    message = sip.parse(read("badinv01"))
    assert message.get("Via") == "SIP/2.0/UDP 192.0.2.15;;,;,,"
    assert message.get("Contact") == '"Joe" <sip:joe@example.org>;;;;'
    assert sip.parameters(message.get("Contact")) == {}


def test_quotbal():
    """3.1.2.6: what a quote opens that nothing closes lasts to the end."""
    value = sip.parse(read("quotbal")).get("To")
    assert value == '"Mr. J. User <sip:j.user@example.com>'
    assert sip.split_addresses(value) == [value]


def test_badvers():
    """3.1.2.16: well-formed, and of a version that nobody speaks."""
    assert sip.parse(read("badvers")).version == "SIP/7.0"


def test_multi01():
    """3.3.8: fields that should stand once"""
    message = sip.parse(read("multi01"))
    assert [len(message.all(name)) for name in ("CSeq", "Call-ID", "To", "From", "Max-Forwards")] == [2, 2, 2, 2, 2]
