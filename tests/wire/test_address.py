"""Endpoints and targets: text <-> values, one canonical text an address, and no token in any message."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgecheck.wire.address import (
    DEFAULT_CONTROL_PORT,
    Endpoint,
    Target,
    parse_authority,
    parse_endpoint,
    parse_host,
    parse_port,
    parse_target,
)
from edgecheck.wire.errors import Malformed, WireError

quick = settings(max_examples=200, deadline=None)


@pytest.mark.parametrize(
    ("text", "endpoint", "family"),
    [
        ("192.0.2.1:5060", Endpoint("192.0.2.1", 5060), 4),
        ("[2001:db8::1]:5060", Endpoint("2001:db8::1", 5060), 6),
        ("[::ffff:192.0.2.1]:0", Endpoint("192.0.2.1", 0), 4),
        ("[2001:DB8:0:0::1]:65535", Endpoint("2001:db8::1", 65535), 6),
    ],
)
def test_endpoint(text, endpoint, family):
    assert parse_endpoint(text) == endpoint
    assert endpoint.family == family
    assert parse_endpoint(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "192.0.2.1",
        "192.0.2.1:",
        "192.0.2.1:65536",
        "192.0.2.1:-1",
        "192.0.2.1:+5",
        "192.0.2.1:5 ",
        "192.0.2.1:٣",
        "2001:db8::1:5060",
        "[2001:db8::1]",
        "[192.0.2.1]:5060",
        "[fe80::1%eth0]:5060",
        "example.com:5060",
        "192.0.2.01:5060",
        "192.0.2:5060",
        "[2001:db8::1:5060",
        "192.0.2.1:000005060",
    ],
)
def test_not_an_endpoint(text):
    with pytest.raises(Malformed):
        parse_endpoint(text)


def test_host_and_port():
    assert parse_host("2001:0db8::0:1") == "2001:db8::1"
    assert parse_port("00080") == 80
    for text in ("", "1.2.3.4/32", " 1.2.3.4", "١.2.3.4"):
        with pytest.raises(Malformed):
            parse_host(text)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("edge://echo.example.net", Target("echo.example.net", DEFAULT_CONTROL_PORT, "")),
        ("edge://t0ken@echo.example.net:9443", Target("echo.example.net", 9443, "t0ken")),
        ("edge://t:o:k@192.0.2.1:9443/", Target("192.0.2.1", 9443, "t:o:k")),
        ("  edge://t@[2001:db8::1]\n", Target("2001:db8::1", DEFAULT_CONTROL_PORT, "t")),
        ("edge://t@[2001:db8::1]:1", Target("2001:db8::1", 1, "t")),
    ],
)
def test_target(text, target):
    assert parse_target(text) == target
    assert parse_target(str(target)) == target


@pytest.mark.parametrize(
    "text",
    [
        "",
        "edge://",
        "echo.example.net",
        "http://h",
        "edge://t@",
        "edge://t@h:",
        "edge://t@h:0",
        "edge://t@h:99999",
        "edge://t@h/path",
        "edge://a@b@c",
        "edge://t@[h]",
        "edge://t@[::1",
        "edge://t@::1",
        "edge://t@[fe80::1%eth0]",
        "edge://t@h h",
    ],
)
def test_not_a_target(text):
    with pytest.raises(Malformed):
        parse_target(text)


@pytest.mark.parametrize(
    "text",
    [
        "edge://s3cret@",
        "edge://s3cret@h:0",
        "edge://s3cret@h:99999",
        "edge://s3cret@[h]",
        "edge://s3cret@h/x",
        "edge:/s3cret@h",
        "edge://s3cret@@",
    ],
)
def test_a_refusal_never_holds_the_token(text):
    with pytest.raises(Malformed) as refusal:
        parse_target(text)
    assert "s3cret" not in str(refusal.value)


def test_a_target_can_be_shown_without_its_token():
    target = Target("2001:db8::1", 8443, "s3cret")
    assert target.authority == "[2001:db8::1]:8443"
    assert "s3cret" not in repr(target)
    assert "s3cret" not in f"{[target]}"
    assert str(target) == "edge://s3cret@[2001:db8::1]:8443"


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("echo.example.net", Target("echo.example.net")),
        ("echo.example.net:1", Target("echo.example.net", 1)),
        ("2001:db8::1", Target("2001:db8::1")),
        ("[2001:db8::1]:1", Target("2001:db8::1", 1)),
        ("::ffff:192.0.2.1", Target("192.0.2.1")),
    ],
)
def test_authority(text, target):
    assert parse_authority(text) == target
    assert parse_authority(text, "t") == target._replace(token="t")


@pytest.mark.parametrize("text", ["", ":", ":80", "a b", "a/b", "u@h", "h:x", "h:1\n", "[h]:1", "[]", "[]:1", "1::2::3", "h\n"])
def test_not_an_authority(text):
    with pytest.raises(Malformed):
        parse_authority(text)


endpoints = st.builds(
    Endpoint,
    st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).filter(lambda address: address.ipv4_mapped is None).map(str)),
    st.integers(0, 65535),
)


@quick
@given(endpoints)
def test_endpoint_round_trip(endpoint):
    assert parse_endpoint(str(endpoint)) == endpoint


@quick
@given(endpoints, st.text("abcXYZ019-_.~:=+", max_size=30))
def test_target_round_trip(endpoint, token):
    target = Target(endpoint.host, endpoint.port or 1, token)
    assert parse_target(str(target)) == target


@quick
@given(
    st.one_of(
        st.text(max_size=40), st.text("edg:/[]@.%01af ", max_size=40), st.text("[]:@/.1f", max_size=12).map(lambda text: "edge://" + text)
    )
)
@example("edge://[")
def test_any_text(text):
    for read in (parse_endpoint, parse_host, parse_port, parse_target, parse_authority):
        try:
            value = read(text)
        except WireError:
            continue
        again = str(value.authority if read is parse_authority else value)
        assert read(again) == value
