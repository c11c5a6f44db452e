"""Plain twins of technical terms."""

from edgecheck.report.plain import TWINS, Plain


def test_a_twin_stands_behind_the_first_use():
    plain = Plain()
    assert plain.explain("RTP 10000 and RTP 10001") == "RTP (call audio) 10000 and RTP 10001"
    assert plain.explain("RTP") == "RTP"


def test_the_longest_term_wins():
    twin = TWINS["address-and-port-dependent mapping"]
    assert Plain().explain("address-and-port-dependent mapping") == f"address-and-port-dependent mapping ({twin})"


def test_a_term_with_brackets_of_its_own_is_left():
    assert Plain().explain("endpoint-independent mapping (kind of)") == "endpoint-independent mapping (kind of)"
    assert Plain().explain("same port (endpoint-independent mapping)") == "same port (endpoint-independent mapping)"


def test_a_part_of_a_word_is_no_term():
    assert Plain().explain("SRTP and RTP-like, STUNt") == "SRTP and RTP-like, STUNt"
