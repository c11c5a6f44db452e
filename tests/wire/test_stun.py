"""STUN: golden bytes of RFC 5769, classic RFC 3489 messages, and what is malformed."""

import aioice.stun
import pytest

from edgecheck.wire import stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import Malformed, TooLong
from edgecheck.wire.stun import Attribute, Class, Message

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")

# RFC 5769 section 2.1. The padding is of spaces, as the RFC has it on purpose.
REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701 bc34d686 fa87dfae"
    "80220010 5354554e 20746573 7420636c 69656e74"
    "00240004 6e0001ff"
    "80290008 932ff9b1 51263b36"
    "00060009 6576746a 3a683676 59202020"
    "00080014 9aeaa70c bfd8cb56 781ef2b5 b2d3f249 c1b571a2"
    "80280004 e57a3bcf"
)
# RFC 5769 section 2.2
IPV4_RESPONSE = bytes.fromhex(
    "0101003c 2112a442 b7e7a701 bc34d686 fa87dfae"
    "8022000b 74657374 20766563 746f7220"
    "00200008 0001a147 e112a643"
    "00080014 2b91f599 fd9e90c3 8c7489f9 2af9ba53 f06be7d7"
    "80280004 c07d4c96"
)
# RFC 5769 section 2.3
IPV6_RESPONSE = bytes.fromhex(
    "01010048 2112a442 b7e7a701 bc34d686 fa87dfae"
    "8022000b 74657374 20766563 746f7220"
    "00200014 0002a147 0113a9fa a5d3f179 bc25f4b5 bed2b9d9"
    "00080014 a382954e 4be67bf1 1784c97c 8292c275 bfe3ed41"
    "80280004 c8fb0b4c"
)
GOLDEN = (REQUEST, IPV4_RESPONSE, IPV6_RESPONSE)

# RFC 3489: the first four bytes of the transaction id are not the cookie.
CLASSIC_ID = bytes.fromhex("00112233445566778899aabbccddeeff")


def classic(number: str, body: str) -> bytes:
    """A message of RFC 3489 with this type and these attributes, all in hexadecimal."""
    attributes = bytes.fromhex(body)
    return bytes.fromhex(number) + len(attributes).to_bytes(2, "big") + CLASSIC_ID + attributes


# --- RFC 5769 ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", GOLDEN)
def test_the_vectors_here_are_those_of_the_rfc(data):
    """A slip in writing them out would break the HMAC over the RFC's own password."""
    assert aioice.stun.parse_message(data).check_message_integrity(b"VOkJxbRl1RmTxUk/WvJxBt")


def test_rfc5769_request():
    message = stun.parse(REQUEST)
    assert message[:4] == (Class.REQUEST, stun.BINDING, TRANSACTION, stun.COOKIE_BYTES)
    assert not message.classic
    assert message.attributes == (
        Attribute(stun.SOFTWARE, "STUN test client"),
        Attribute(0x0024, bytes.fromhex("6e0001ff")),
        Attribute(0x8029, bytes.fromhex("932ff9b151263b36")),
        Attribute(stun.USERNAME, "evtj:h6vY"),
        Attribute(stun.MESSAGE_INTEGRITY, bytes.fromhex("9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2")),
        Attribute(stun.FINGERPRINT, 0xE57A3BCF),
    )
    assert message.not_understood == (0x0024,)  # PRIORITY is ICE's; 0x8029 may be ignored


def test_rfc5769_ipv4_response():
    message = stun.parse(IPV4_RESPONSE)
    assert message.message_class == Class.SUCCESS
    assert message.get(stun.SOFTWARE) == "test vector"
    assert message.mapped == Endpoint("192.0.2.1", 32853)


def test_rfc5769_ipv6_response():
    assert stun.parse(IPV6_RESPONSE).mapped == Endpoint("2001:db8:1234:5678:11:2233:4455:6677", 32853)


@pytest.mark.parametrize("data", GOLDEN)
def test_fingerprint_of_the_rfc(data):
    assert stun.fingerprint_matches(data) is True
    without = data[:2] + (len(data) - 28).to_bytes(2, "big") + data[4:-8]
    assert stun.fingerprint_matches(without) is None
    assert stun.with_fingerprint(without) == data


@pytest.mark.parametrize("position", [0, 3, 19, 25, -9, -1])
def test_a_touched_message_does_not_match_its_fingerprint(position):
    touched = bytearray(IPV4_RESPONSE)
    touched[position] ^= 1
    assert stun.fingerprint_matches(bytes(touched)) is False


def test_fingerprint_does_not_fit_a_full_message():
    full = stun.serialize(Message(Class.REQUEST, 1, TRANSACTION, attributes=(Attribute(stun.PADDING, bytes(stun.MAX_BODY - 4)),)))
    with pytest.raises(TooLong):
        stun.with_fingerprint(full)


# --- RFC 8489, 5780: what we write, to the byte ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("address", "port", "flags"), [(True, True, "06"), (True, False, "04"), (False, True, "02"), (False, False, "00")])
def test_change_request(address, port, flags):
    data = stun.binding_request(TRANSACTION, stun.change_request(address, port))
    assert data == bytes.fromhex("00010008 2112a442 b7e7a701 bc34d686 fa87dfae 00030004 000000" + flags)
    assert stun.parse(data).get(stun.CHANGE_REQUEST) == (address, port)


def test_a_bare_binding_request_is_its_header():
    assert stun.binding_request(TRANSACTION) == bytes.fromhex("00010000 2112a442") + TRANSACTION
    assert stun.binding_request(CLASSIC_ID[4:], cookie=CLASSIC_ID[:4]) == bytes.fromhex("00010000") + CLASSIC_ID


@pytest.mark.parametrize(
    ("attribute", "wire"),
    [
        (Attribute(stun.RESPONSE_PORT, 5060), "00270002 13c40000"),
        (Attribute(stun.ERROR_CODE, (420, "Unknown Attribute")), "00090015 00000414 556e6b6e6f776e20417474726962757465000000"),
        (Attribute(stun.UNKNOWN_ATTRIBUTES, (3, 0x7FFF, 0x26)), "000a0006 00037fff0026 0000"),
        (Attribute(stun.PADDING, bytes(5)), "00260005 0000000000 000000"),
        (Attribute(stun.OTHER_ADDRESS, Endpoint("192.0.2.9", 3479)), "802c0008 00010d97c0000209"),
        (Attribute(stun.RESPONSE_ORIGIN, Endpoint("2001:db8::9", 3478)), "802b0014 00020d96 20010db8000000000000000000000009"),
        (Attribute(stun.XOR_MAPPED_ADDRESS_OLD, Endpoint("192.0.2.1", 32853)), "80200008 0001a147e112a643"),
        (Attribute(0x7777, b"raw"), "77770003 72617700"),
    ],
)
def test_attributes_on_the_wire(attribute, wire):
    message = Message(Class.ERROR, stun.BINDING, TRANSACTION, attributes=(attribute,))
    body = bytes.fromhex(wire)
    assert stun.serialize(message) == b"\x01\x11" + len(body).to_bytes(2, "big") + stun.COOKIE_BYTES + TRANSACTION + body
    assert stun.parse(stun.serialize(message)) == message


def test_response_port_is_read_in_two_bytes_and_in_four():
    """RFC 5780 section 7.5 says two bytes; its figure draws four, and servers were written after both."""
    head = bytes.fromhex("00010008 2112a442") + TRANSACTION
    assert stun.parse(head + bytes.fromhex("0027000213c40000")).get(stun.RESPONSE_PORT) == 5060
    assert stun.parse(head + bytes.fromhex("0027000413c40000")).get(stun.RESPONSE_PORT) == 5060


def test_class_and_method_share_the_type_field():
    """RFC 8489 figure 3: bits 4 and 8 are the class, the rest the method."""
    for number, expected in (
        (0x0001, (Class.REQUEST, 1)),
        (0x0011, (Class.INDICATION, 1)),
        (0x0101, (Class.SUCCESS, 1)),
        (0x0111, (Class.ERROR, 1)),
    ):
        message = stun.parse(number.to_bytes(2, "big") + bytes(2) + stun.COOKIE_BYTES + TRANSACTION)
        assert (message.message_class, message.method) == expected
    assert stun.parse(b"\x3e\xef" + bytes(2) + stun.COOKIE_BYTES + TRANSACTION).method == 0xFFF
    assert stun.serialize(Message(Class.ERROR, 0xFFF, TRANSACTION))[:2] == b"\x3f\xff"


def test_the_first_of_two_attributes_counts():
    first, second = Endpoint("192.0.2.1", 1), Endpoint("192.0.2.2", 2)
    message = Message(
        Class.SUCCESS, 1, TRANSACTION, attributes=(Attribute(stun.MAPPED_ADDRESS, first), Attribute(stun.MAPPED_ADDRESS, second))
    )
    assert stun.parse(stun.serialize(message)).mapped == first


def test_which_address_is_believed():
    """A NAT that rewrites addresses it recognizes leaves the XORed one alone."""
    plain, draft, xored = Endpoint("10.0.0.2", 1), Endpoint("192.0.2.2", 2), Endpoint("192.0.2.3", 3)
    attributes = (
        Attribute(stun.MAPPED_ADDRESS, plain),
        Attribute(stun.XOR_MAPPED_ADDRESS_OLD, draft),
        Attribute(stun.XOR_MAPPED_ADDRESS, xored),
    )
    assert [Message(Class.SUCCESS, 1, TRANSACTION, attributes=attributes[:n]).mapped for n in range(4)] == [None, plain, draft, xored]


def test_old_and_new_names_of_the_server_addresses():
    a, b, c, d = (Endpoint("192.0.2.1", n) for n in range(4))
    old = (Attribute(stun.SOURCE_ADDRESS, a), Attribute(stun.CHANGED_ADDRESS, b))
    new = (Attribute(stun.RESPONSE_ORIGIN, c), Attribute(stun.OTHER_ADDRESS, d))
    message = Message(Class.SUCCESS, 1, TRANSACTION, attributes=old)
    assert (message.response_origin, message.other_address, message.error) == (a, b, None)
    message = Message(Class.SUCCESS, 1, TRANSACTION, attributes=old + new)
    assert (message.response_origin, message.other_address) == (c, d)


def test_error_code():
    message = stun.parse(bytes.fromhex("01110008 2112a442") + TRANSACTION + bytes.fromhex("00090004 00000414"))
    assert message.error == (420, "")


def test_not_understood_lists_each_type_once():
    attributes = (Attribute(0x7FFF, b""), Attribute(0x9999, b""), Attribute(0x7FFF, b"x"), stun.change_request(True, True))
    assert Message(Class.REQUEST, 1, TRANSACTION, attributes=attributes).not_understood == (0x7FFF,)


# --- RFC 3489 --------------------------------------------------------------------------------------------------------------------


def test_a_classic_request_is_recognized_and_keeps_its_sixteen_bytes():
    data = classic("0001", "0003000400000006")
    message = stun.parse(data)
    assert stun.is_stun(data)
    assert message.classic
    assert message.cookie + message.transaction_id == CLASSIC_ID
    assert message.get(stun.CHANGE_REQUEST) == (True, True)
    assert stun.serialize(message) == data


def test_a_classic_response():
    message = stun.parse(classic("0101", "0001000800011388c00002050004000800010d96c63364010005000800010d97c6336402"))
    assert message.mapped == Endpoint("192.0.2.5", 5000)
    assert message.response_origin == Endpoint("198.51.100.1", 3478)
    assert message.other_address == Endpoint("198.51.100.2", 3479)


def test_the_draft_xor_uses_the_classic_transaction_id():
    """Before there was a cookie the mask was the first bytes of the transaction id: here 00112233."""
    assert stun.parse(classic("0101", "80200008000113 99 c0112036")).mapped == Endpoint("192.0.2.5", 0x1388)


@pytest.mark.parametrize(
    "body",
    [
        "00060005 616c696365 000000 0003000400000002",  # padded, as RFC 8489 wants
        "00060005 616c696365 0003000400000002",  # not padded at all
        "0003000400000002 00060005 616c696365",  # the last one not padded
    ],
)
def test_classic_attributes_may_lack_padding(body):
    message = stun.parse(classic("0001", body))
    assert message.get(stun.USERNAME) == "alice"
    assert message.get(stun.CHANGE_REQUEST) == (False, True)
    assert len(message.attributes) == 2


def test_a_message_with_the_cookie_must_be_padded():
    with pytest.raises(Malformed):
        stun.parse(bytes.fromhex("00010009 2112a442") + TRANSACTION + bytes.fromhex("00060005 616c696365"))


# --- Bad bytes -------------------------------------------------------------------------------------------------------------------


def response(body: str) -> bytes:
    attributes = bytes.fromhex(body)
    return b"\x01\x01" + len(attributes).to_bytes(2, "big") + stun.COOKIE_BYTES + TRANSACTION + attributes


@pytest.mark.parametrize(
    "data",
    [
        b"\x40" + REQUEST[1:],  # ChannelData, not STUN
        b"OPTIONS sip:x SIP/2.0\r\n",
        b"\x80" + bytes(19),  # RTP
        REQUEST + b"\0",  # trailing byte
        REQUEST + REQUEST,
        response("0020000800"),  # length not a multiple of 4
        response("00200010 0001a147e112a643"),  # attribute longer than the message
        response("00200004 0001a147"),  # address too short
        response("00200008 0002a147e112a643"),  # IPv6 in 4 bytes
        response("00200008 0003a147e112a643"),  # unknown family
        response("00200018 0002a147" + "00" * 20),  # longer than any address
        response("00010000"),
        response("00030000"),
        response("00090000"),
        response("00090004 00000464"),  # number 100
        response("000a0003 00030000"),  # half a type
        response("00270000"),
        response("00270003 13c40000"),
        response("80280000"),
        response("80280008 0000000000000000"),
    ],
)
def test_malformed(data):
    with pytest.raises(Malformed):
        stun.parse(data)


def test_too_many_attributes():
    with pytest.raises(TooLong):
        stun.parse(response("80220000" * (stun.MAX_ATTRIBUTES + 1)))
    with pytest.raises(TooLong):
        stun.serialize(Message(Class.REQUEST, 1, TRANSACTION, attributes=(Attribute(0x9999, b""),) * (stun.MAX_ATTRIBUTES + 1)))
    assert len(stun.parse(response("80220000" * stun.MAX_ATTRIBUTES)).attributes) == stun.MAX_ATTRIBUTES


def test_text_that_is_not_utf8_can_still_be_told():
    assert stun.parse(response("80220004 ff41e241")).get(stun.SOFTWARE) == "\\xffA\\xe2A"


def test_an_unmapped_dual_stack_server_means_ipv4():
    assert stun.parse(response("00010014 00021388" + "00" * 10 + "ffffc0000205")).mapped == Endpoint("192.0.2.5", 5000)


@pytest.mark.parametrize(
    "message",
    [
        Message(Class.REQUEST, 1, b"short"),
        Message(Class.REQUEST, 0x1000, TRANSACTION),
        Message(Class.REQUEST, 1, TRANSACTION, b"12345"),
        *(
            Message(Class.REQUEST, 1, TRANSACTION, attributes=(Attribute(*attribute),))
            for attribute in [
                (stun.MAPPED_ADDRESS, Endpoint("example.net", 1)),
                (stun.MAPPED_ADDRESS, Endpoint("192.0.2.1", 65536)),
                (stun.MAPPED_ADDRESS, Endpoint("192.0.2.1", -1)),
                (stun.XOR_MAPPED_ADDRESS, None),
                (stun.CHANGE_REQUEST, None),
                (stun.ERROR_CODE, (800, "")),
                (stun.ERROR_CODE, (-1, "")),
                (stun.ERROR_CODE, 420),
                (stun.UNKNOWN_ATTRIBUTES, (65536,)),
                (stun.UNKNOWN_ATTRIBUTES, 3),
                (stun.RESPONSE_PORT, 65536),
                (stun.RESPONSE_PORT, "5060"),
                (stun.FINGERPRINT, -1),
                (stun.SOFTWARE, b"bytes"),
                (stun.SOFTWARE, "\ud800"),
                (stun.NONCE, "text"),
                (0x7777, "text"),
                (0x10000, b""),
            ]
        ),
    ],
)
def test_a_value_without_a_wire_form_is_refused(message):
    with pytest.raises(Malformed):
        stun.serialize(message)


def test_a_body_that_the_length_field_cannot_tell():
    assert len(stun.serialize(Message(Class.REQUEST, 1, TRANSACTION, attributes=(Attribute(stun.PADDING, bytes(65528)),)))) == 20 + 65532
    with pytest.raises(TooLong):
        stun.serialize(Message(Class.REQUEST, 1, TRANSACTION, attributes=(Attribute(stun.PADDING, bytes(65529)),)))
