"""Tickets: taken by whoever shares the token, from the same address, in time; everything else is no ticket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echo_server.sessions import tickets
from echo_server.sessions.tickets import Ticket

KEY = tickets.key_of("k7v2-mzq4-9xwd")
GOOD = Ticket(session="0011223344556677", peer="203.0.113.9", addresses=("203.0.113.9", "203.0.113.10"), ends=1000)
TEXT = tickets.issue(KEY, GOOD)


def test_it_is_taken_by_every_server_with_the_token():
    assert tickets.verify(tickets.key_of("k7v2-mzq4-9xwd"), TEXT, "203.0.113.9", 999) == GOOD


@pytest.mark.parametrize(
    ("key", "text", "peer", "now"),
    [
        (tickets.key_of("another"), TEXT, "203.0.113.9", 999),
        (KEY, TEXT, "203.0.113.10", 999),
        (KEY, TEXT, "203.0.113.9", 1000),
        (KEY, "", "203.0.113.9", 0),
        (KEY, "a.b", "203.0.113.9", 0),
        (KEY, TEXT.partition(".")[0], "203.0.113.9", 0),
        (KEY, tickets.issue(KEY, Ticket(session="00", peer="203.0.113.9", addresses=(), ends=9)), "203.0.113.9", 0),
        (KEY, tickets.issue(KEY, Ticket(session="zz" * 8, peer="203.0.113.9", addresses=(), ends=9)), "203.0.113.9", 0),
        (KEY, tickets.issue(KEY, Ticket(session="00" * 8, peer="203.0.113.9", addresses=("192.0.2.1",) * 65, ends=9)), "203.0.113.9", 0),
    ],
)
def test_what_is_not_good_is_none(key, text, peer, now):
    assert tickets.verify(key, text, peer, now) is None


@given(st.integers(0, len(TEXT) - 1), st.characters(min_codepoint=33, max_codepoint=126))
def test_no_changed_character_is_taken(place, character):
    changed = TEXT[:place] + character + TEXT[place + 1 :]
    found = tickets.verify(KEY, changed, "203.0.113.9", 999)
    # the last character of base64 may have bits that mean nothing
    assert found is None or found == GOOD


@given(st.text(max_size=200))
def test_any_text_is_a_ticket_or_none(text):
    assert tickets.verify(KEY, text, "203.0.113.9", 0) is None
