"""What of a long sentence stands in a first line."""

import pytest

from edgecheck.model.brief import brief

SEEN = "UDP 198.51.100.10:5060 answers OPTIONS and meets REGISTER with silence"


@pytest.mark.parametrize(
    ("sentence", "told"),
    [
        ("short (as it is): and whole", "short (as it is): and whole"),
        (f"{SEEN} (11 copies in 32 s, no answer and no error): the way is open, so the server or its guard ignores this account, or this address, or both", SEEN),
        (f"{SEEN}; and this is said after a pause, at such a length that nobody who is on the telephone would listen to it", SEEN),
        (f"{SEEN} (11 copies of REGISTER in 32 s, neither an answer nor an error, on a line that lost nothing else)", SEEN),
    ],
)
def test_it_ends_at_a_pause_and_without_brackets(sentence: str, told: str) -> None:
    assert brief(sentence) == told


@pytest.mark.parametrize("between", ["; or ", ", or "])
def test_of_two_causes_none_is_told_alone(between: str) -> None:
    both = f"the password that this account was given at the registrar is another one{between}the realm that the server names is not the account's own"
    assert brief(both) == both


def test_no_address_and_no_port_is_cut() -> None:
    sentence = f"the server at [2001:db8::1]:5060 refuses{' and refuses' * 12}; whatever is asked"
    assert brief(sentence) == f"the server at [2001:db8::1]:5060 refuses{' and refuses' * 12}"
