"""What stands in SIP headers: lists, parameters, addresses, URIs, Via."""

import pytest

from edgecheck.wire import sip
from edgecheck.wire.errors import Malformed


@pytest.mark.parametrize(
    ("value", "items"),
    [
        ("<sip:a@b>", ["<sip:a@b>"]),
        ("<sip:a@b>;expires=3, sip:c@d ,<sip:e>", ["<sip:a@b>;expires=3", "sip:c@d", "<sip:e>"]),
        ('"Bell, Alexander" <sip:a@b,c>, <sip:d>', ['"Bell, Alexander" <sip:a@b,c>', "<sip:d>"]),
        (r'"a \", b" <sip:a>, <sip:b>', [r'"a \", b" <sip:a>', "<sip:b>"]),
        ('"<" <sip:a>, <sip:b>', ['"<" <sip:a>', "<sip:b>"]),
        ('<sip:a?x=">, <sip:b>', ['<sip:a?x=">', "<sip:b>"]),
        ('"never closed <sip:a>, <sip:b>', ['"never closed <sip:a>, <sip:b>']),
        ("*", ["*"]),
        (", ,", []),
        ("", []),
    ],
)
def test_split_addresses(value, items):
    assert sip.split_addresses(value) == items


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<sip:a@b;transport=tcp>;Tag=x;ob", {"tag": "x", "ob": ""}),
        ("sip:a@b;tag=x", {"tag": "x"}),
        ("SIP/2.0/UDP h;branch=z9hG4bK1;rport;received=192.0.2.1", {"branch": "z9hG4bK1", "rport": "", "received": "192.0.2.1"}),
        ("SIP / 2.0 / UDP h ; branch = z ; rport = 5 ", {"branch": "z", "rport": "5"}),
        ('<sip:a>;+sip.instance="<urn:uuid:1;2>";q=0.5', {"+sip.instance": "<urn:uuid:1;2>", "q": "0.5"}),
        (r'<sip:a>;x="a\"b"', {"x": 'a"b'}),
        ("<sip:a>;x=1;X=2", {"x": "1"}),
        ("<sip:a>;;;,;", {",": ""}),
        ("<sip:a>", {}),
    ],
)
def test_parameters(value, expected):
    assert sip.parameters(value) == expected


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ('"A" <sip:a@b;lr>;tag=1', "sip:a@b;lr"),
        ("sip:a@b;tag=1", "sip:a@b"),
        ("caller<sip:a@b>", "sip:a@b"),
        ('"x < y" <sip:a@b>', "sip:a@b"),
        (r'"x \" < y" <sip:a@b>', "sip:a@b"),
        ("< sip:a@b >", "sip:a@b"),
        ("<sip:a@b", "sip:a@b"),
        ("*", "*"),
    ],
)
def test_address_uri(value, uri):
    assert sip.address_uri(value) == uri


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("sip:alice@example.com", ("sip", "alice", "example.com", None, {}, "")),
        ("SIPS:example.com:5061", ("sips", None, "example.com", 5061, {}, "")),
        (
            "sip:a:secret@[2001:db8::1]:5060;transport=tcp;lr?to=x&y=z",
            ("sip", "a:secret", "2001:db8::1", 5060, {"transport": "tcp", "lr": ""}, "to=x&y=z"),
        ),
        ("sip:user;par=u%40example.net@example.com", ("sip", "user;par=u%40example.net", "example.com", None, {}, "")),
        ("sip:a?b@c", ("sip", "a?b", "c", None, {}, "")),
    ],
)
def test_uri_parts(uri, parts):
    assert sip.uri_parts(uri) == parts


@pytest.mark.parametrize(
    "uri", ["", "sip:", "tel:+1", "<sip:a@b>", "sip:a@b:99999", "sip:a@b:x", "sip:a@b c", "sip:a@2001:db8::1", "isbn:2983792873"]
)
def test_uri_parts_malformed(uri):
    with pytest.raises(Malformed):
        sip.uri_parts(uri)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z;rport", ("SIP/2.0", "UDP", "192.0.2.1", 5060, {"branch": "z", "rport": ""})),
        ("SIP/2.0/TLS phone.example.com", ("SIP/2.0", "TLS", "phone.example.com", None, {})),
        ("SIP  /   2.0 /UDP   192.0.2.2 : 5062 ;branch=3", ("SIP/2.0", "UDP", "192.0.2.2", 5062, {"branch": "3"})),
        ("SIP/2.0/TCP [2001:db8::9]:5061;received=[2001:db8::1]", ("SIP/2.0", "TCP", "2001:db8::9", 5061, {"received": "[2001:db8::1]"})),
    ],
)
def test_via_parts(value, parts):
    assert sip.via_parts(value) == parts


@pytest.mark.parametrize(
    "value", ["", "SIP/2.0/UDP", "SIP/2.0 192.0.2.1", "192.0.2.1:5060", "SIP/2.0/UDP a b", "SIP/2.0/UDP a:99999", "SIP/2.0/UDP ;branch=z"]
)
def test_via_parts_malformed(value):
    with pytest.raises(Malformed):
        sip.via_parts(value)
