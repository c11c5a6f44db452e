"""NAT-PMP: the external address request and its answer (RFC 6886 sections 3.2 and 3.5)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecheck.wire import nat_pmp
from edgecheck.wire.errors import Malformed, TooLong, Truncated, WireError
from edgecheck.wire.nat_pmp import ExternalAddress

quick = settings(max_examples=200, deadline=None)
GOLDEN = bytes.fromhex("00 80 0000 00012345 cb007101")
NO_ADDRESS_YET = bytes.fromhex("00 80 0003 00000007")


def test_the_request_is_version_0_opcode_0():
    assert bytes.fromhex("0000") == nat_pmp.EXTERNAL_ADDRESS_REQUEST


def test_an_answer():
    assert nat_pmp.parse(GOLDEN) == ExternalAddress(0, 0x12345, "203.0.113.1")
    assert nat_pmp.serialize(ExternalAddress(0, 0x12345, "203.0.113.1")) == GOLDEN


def test_an_answer_without_an_address():
    assert nat_pmp.parse(NO_ADDRESS_YET) == ExternalAddress(3, 7, None)
    assert nat_pmp.parse(NO_ADDRESS_YET + bytes(4)).address is None  # many routers send the field all the same, as zeros


@pytest.mark.parametrize("size", range(len(GOLDEN)))
def test_every_proper_prefix_is_truncated(size):
    with pytest.raises(Truncated):
        nat_pmp.parse(GOLDEN[:size])


@pytest.mark.parametrize("data", [b"\x00\x00" + GOLDEN[2:], b"\x02" + GOLDEN[1:], b"\x00\x81" + GOLDEN[2:]])
def test_other_messages_are_malformed(data):
    """Our own request reflected, PCP, the answer to a mapping request."""
    with pytest.raises(Malformed):
        nat_pmp.parse(data)


def test_too_long():
    with pytest.raises(TooLong):
        nat_pmp.parse(GOLDEN + bytes(1100))


@pytest.mark.parametrize("answer", [ExternalAddress(0, 0, None), ExternalAddress(2, 0, "192.0.2.1"), ExternalAddress(0, -1, "192.0.2.1"), ExternalAddress(0, 0, "x")])
def test_what_cannot_be_written(answer):
    with pytest.raises(Malformed):
        nat_pmp.serialize(answer)


@quick
@given(st.binary(max_size=1200))
def test_total(data):
    try:
        assert isinstance(nat_pmp.parse(data), ExternalAddress)
    except WireError:
        pass


@quick
@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.ip_addresses(v=4))
def test_there_and_back(result, epoch, address):
    answer = ExternalAddress(result, epoch, str(address) if result == 0 else None)
    assert nat_pmp.parse(nat_pmp.serialize(answer)) == answer
