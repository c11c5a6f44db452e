"""PCP: ANNOUNCE and its answer (RFC 6887 sections 7 and 14.1)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.wire import pcp
from edgecheck.wire.errors import Malformed, TooLong, Truncated, WireError
from edgecheck.wire.pcp import Response

quick = settings(max_examples=200, deadline=None)
GOLDEN = bytes.fromhex("02 80 00 00 00000000 00012345 000000000000000000000000")


def test_the_request_holds_the_client_as_a_mapped_address():
    assert pcp.announce_request("192.168.88.2") == bytes.fromhex("02 00 0000 00000000 00000000000000000000ffff c0a85802")


def test_the_request_of_an_ipv6_client():
    assert pcp.announce_request("2001:db8::2")[8:] == bytes.fromhex("20010db8000000000000000000000002")


def test_no_address_no_request():
    with pytest.raises(Malformed):
        pcp.announce_request("router.example")


def test_a_response():
    assert pcp.parse(GOLDEN) == Response(opcode=pcp.ANNOUNCE, result=0, lifetime_s=0, epoch_s=0x12345)
    assert pcp.serialize(Response(0, 0, 0, 0x12345)) == GOLDEN


@pytest.mark.parametrize("size", range(len(GOLDEN)))
def test_every_proper_prefix_is_truncated(size):
    with pytest.raises(Truncated):
        pcp.parse(GOLDEN[:size])


@pytest.mark.parametrize("data", [b"\x00" + GOLDEN[1:], b"\x02\x00" + GOLDEN[2:], GOLDEN + b"\0"])
def test_malformed(data):
    """NAT-PMP, a request reflected, a length that is no multiple of 4."""
    with pytest.raises(Malformed):
        pcp.parse(data)


def test_too_long():
    with pytest.raises(TooLong):
        pcp.parse(GOLDEN + bytes(1080))


@pytest.mark.parametrize("response", [Response(128, 0, 0, 0), Response(0, 256, 0, 0), Response(0, 0, -1, 0), Response(0, 0, 0, 1 << 32)])
def test_what_cannot_be_written(response):
    with pytest.raises(Malformed):
        pcp.serialize(response)


@quick
@given(st.binary(max_size=1200))
def test_total(data):
    try:
        assert isinstance(pcp.parse(data), Response)
    except WireError:
        pass


@quick
@given(st.integers(0, 127), st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_there_and_back(opcode, result, lifetime, epoch):
    response = Response(opcode, result, lifetime, epoch)
    assert pcp.parse(pcp.serialize(response)) == response
