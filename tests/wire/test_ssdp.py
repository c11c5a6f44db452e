"""SSDP: the search and the answers to it (UPnP Device Architecture 1.1, section 1.3)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.wire import ssdp
from edgecheck.wire.errors import Malformed, TooLong, Truncated, WireError
from edgecheck.wire.ssdp import Found

quick = settings(max_examples=200, deadline=None)
ANSWER = (
    b"HTTP/1.1 200 OK\r\n"
    b"CACHE-CONTROL: max-age=120\r\n"
    b"st: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n"
    b"EXT:\r\n"
    b"Server: Maker/1.0 UPnP/1.1 Program/2.0\r\n"
    b"LOCATION:http://192.168.88.1:5000/rootDesc.xml\r\n"
    b"\r\n"
)


def test_the_search():
    assert ssdp.search("239.255.255.250", "urn:x") == (
        b'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: urn:x\r\n\r\n'
    )


def test_an_answer():
    assert ssdp.parse(ANSWER) == Found(
        "urn:schemas-upnp-org:device:InternetGatewayDevice:1", "http://192.168.88.1:5000/rootDesc.xml", "Maker/1.0 UPnP/1.1 Program/2.0"
    )


def test_the_first_of_two_headers_counts():
    assert ssdp.parse(ANSWER.replace(b"EXT:", b"LOCATION: http://192.0.2.1/\r\nLocation: http://192.0.2.2/")).location == "http://192.0.2.1/"


@pytest.mark.parametrize("size", range(len(ANSWER)))
def test_every_proper_prefix_is_truncated(size):
    with pytest.raises(Truncated):
        ssdp.parse(ANSWER[:size])


@pytest.mark.parametrize("data", [b"NOTIFY * HTTP/1.1\r\n\r\n", b"M-SEARCH * HTTP/1.1\r\n\r\n", ANSWER.replace(b"200", b"404"), b"\0" * 20])
def test_malformed(data):
    with pytest.raises(Malformed):
        ssdp.parse(data)


@pytest.mark.parametrize("data", [ANSWER + b"x" * ssdp.MAX_SIZE, b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 65 + b"\r\n"])
def test_too_long(data):
    with pytest.raises(TooLong):
        ssdp.parse(data)


@quick
@given(st.one_of(st.binary(max_size=600), st.binary(max_size=300).map(lambda rest: b"HTTP/1.1 200 OK\r\n" + rest + b"\r\n\r\n")))
def test_total(data):
    try:
        assert isinstance(ssdp.parse(data), Found)
    except WireError:
        pass
