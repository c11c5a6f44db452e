"""From what was seen to RFC 4787's words: every branch by a row that shows it."""

from itertools import product
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.checks.nat_behavior.classify import classic_type, classify_filtering, classify_mapping, classify_pooling
from edgecheck.checks.nat_behavior.observation import Mapping, mapping_row
from edgecheck.checks.unsolicited import RECALLS_S, REMEMBERS_S, FilterEvidence
from edgecheck.model.evidence import Answered, Exchange
from tests.checks.truth import AD, APD, EI

A, B = "198.51.100.10", "198.51.100.11"
A1, A2, B1 = f"{A}:3478", f"{A}:3479", f"{B}:3478"


def rows(*seen: tuple[str | int, str | int | None, str | int | None]) -> list[Mapping]:
    """What A1, A2 and B1 saw of one socket after the other: a port of 203.0.113.1, or an endpoint; None = no answer."""
    out = []
    for number, mapped in enumerate(seen):
        for remote, one in zip((A1, A2, B1), mapped, strict=True):
            if one is not None:
                where = one if isinstance(one, str) else f"203.0.113.1:{one}"
                out.append(Mapping(local=f"192.168.88.2:{40_001 + number}", remote=remote, mapped=where))
    return out


def mapping(*seen: tuple[str | int, str | int | None, str | int | None], alternate: str | None = B) -> str | None:
    told, reason = classify_mapping(rows(*seen), A, alternate)
    assert (told is None) == bool(reason), "either an answer, or the reason for none"
    return told


# ---- mapping


def test_an_answer_from_elsewhere_than_asked_is_no_mapping() -> None:
    exchange = Exchange(
        question="STUN Binding",
        local="192.168.88.2:40001",
        remote=A1,
        copies=1,
        outcome=Answered(source=A2, mapped="203.0.113.1:40001", rtt_ms=1.0),
    )
    assert mapping_row(exchange) is None
    right = msgspec.structs.replace(exchange, outcome=Answered(source=A1, mapped="203.0.113.1:40001", rtt_ms=1.0))
    assert mapping_row(right) == Mapping(local="192.168.88.2:40001", remote=A1, mapped="203.0.113.1:40001")
    empty = msgspec.structs.replace(exchange, outcome=Answered(source=A1, mapped=None, rtt_ms=1.0, error=401))
    assert mapping_row(empty) is None


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ((1, 1, 1), EI),
        ((1, 1, 2), AD),
        ((1, 2, 3), APD),
        ((1, 2, 1), APD),
        ((1, 2, None), APD),  # another port of one address is enough: it cannot depend on the address alone
        ((1, 1, None), None),
        ((1, None, 1), None),  # might depend on the port
        ((1, None, 2), None),
        ((1, None, None), None),
    ],
)
def test_one_socket(seen: tuple[int, int | None, int | None], told: str | None) -> None:
    assert mapping(seen) == told


def test_another_public_address_is_another_mapping() -> None:
    assert mapping(("203.0.113.1:1", "203.0.113.1:1", "203.0.113.2:1")) == AD
    assert mapping(("203.0.113.1:1", "203.0.113.2:1", "203.0.113.2:1")) == APD


def test_two_ports_at_the_alternate_address_count_too() -> None:
    both = [*rows((1, 1, 2)), Mapping(local="192.168.88.2:40001", remote=f"{B}:3479", mapped="203.0.113.1:3")]
    assert classify_mapping(both, A, B)[0] == APD


@pytest.mark.parametrize("answers", [(True, True, True), (True, None, None), (True, True, None)])
def test_what_is_not_translated_depends_on_nothing(answers: tuple[bool | None, ...]) -> None:
    own = "192.168.88.2:40001"
    assert mapping(tuple(own if answer else None for answer in answers)) == EI  # type: ignore[arg-type]


def test_the_majority_of_the_sockets_decides() -> None:
    assert mapping((1, 1, 1), (2, 2, 2), (3, 4, 5)) == EI
    assert mapping((1, 2, 3), (4, 5, 6), (7, 7, 7)) == APD
    assert mapping((1, 1, 1), (2, None, None), (3, None, None)) == EI, "silent sockets have no vote"


def test_sockets_without_a_majority_disagree() -> None:
    for seen in (((1, 1, 1), (2, 3, 4)), ((1, 1, 1), (2, 2, 3), (4, 5, 6)), ((1, 1, 1), (2, 2, 2), (3, 4, 5), (6, 7, 8))):
        assert mapping(*seen) is None
        assert "sockets disagree" in classify_mapping(rows(*seen), A, B)[1]


def test_with_one_address_only_the_dependence_on_the_port_can_be_told() -> None:
    assert mapping((1, 1, None), (2, 2, None), alternate=None) is None
    assert "one address" in classify_mapping(rows((1, 1, None)), A, None)[1]
    assert mapping((1, 2, None), (3, 4, None), alternate=None) == APD
    assert "too few" in classify_mapping(rows((1, 1, None)), A, B)[1]
    assert "too few" in classify_mapping([], A, B)[1]


def test_ipv6_hosts_are_compared_without_brackets() -> None:
    seen = [
        Mapping(local="[2001:db8:1::2]:40001", remote=f"[2001:db8::{host}]:{port}", mapped=mapped)
        for host, port, mapped in ((10, 3478, "[2001:db8:2::1]:7"), (10, 3479, "[2001:db8:2::1]:7"), (11, 3478, "[2001:db8:2::1]:8"))
    ]
    assert classify_mapping(seen, "2001:db8::10", "2001:db8::11")[0] == AD


@given(st.permutations(rows((1, 1, 1), (2, 2, 2), (3, 4, 5))))
def test_the_order_of_the_answers_decides_nothing(shuffled: list[Mapping]) -> None:
    assert classify_mapping(shuffled, A, B) == (EI, "")


# ---- filtering


def evidence(**facts: Any) -> FilterEvidence:
    """Everything of A1 arrived, nothing else did, and everybody answers when contacted."""
    given = {
        "local": "192.168.88.2:40004",
        "mapped": "203.0.113.1:40004",
        "copies": 9,
        "control": 9,
        "same_address": 0,
        "other_address": 0,
        "same_address_answers": True,
        "alternate_answers": True,
        **facts,
    }
    return FilterEvidence(**given)


def filtering(seen: FilterEvidence | None) -> str | None:
    told, reason = classify_filtering(seen)
    assert (told is None) == bool(reason)
    return told


def test_what_came_in_tells_the_filter() -> None:
    assert filtering(evidence(other_address=9, same_address=9)) == EI
    assert filtering(evidence(other_address=1)) == EI, "one packet is enough"
    assert filtering(evidence(same_address=1)) == AD
    assert filtering(evidence()) == APD


def test_an_arrival_needs_no_control() -> None:
    assert filtering(evidence(other_address=1, control=0, same_address_answers=None, alternate_answers=None)) == EI


@pytest.mark.parametrize(
    ("copies", "control", "proved"),
    [
        (6, 6, False),  # half of all lost: (1/2)^12 = 2.4e-4
        (9, 9, True),  # (1/2)^18 = 4e-6
        (9, 8, False),  # (10/18)^10 (8/18)^8, beside (1/9) (8/9)^8: 1e-4
        (18, 15, True),  # (21/36)^21 (15/36)^15, beside (3/18)^3 (15/18)^15: 8e-8
        (18, 12, False),  # (24/36)^24 (12/36)^12, beside (6/18)^6 (12/18)^12: 1.05e-5
        (45, 22, True),  # (68/90)^68 (22/90)^22, beside (23/45)^23 (22/45)^22: 6e-9
        (45, 14, False),  # (76/90)^76 (14/90)^14, beside (31/45)^31 (14/45)^14: 1.7e-5
        (30, 0, False),
        (0, 0, False),
    ],
)
def test_a_silence_needs_its_control(copies: int, control: int, proved: bool) -> None:
    """At whatever loss goes with the control, below one in 100,000."""
    assert evidence(copies=copies, control=control).silence_proved is proved
    for seen in (evidence(copies=copies, control=control), evidence(copies=copies, control=control, same_address=1)):
        assert (filtering(seen) is not None) is proved
        assert proved or f"{control} of {copies} control packets" in classify_filtering(seen)[1]


@pytest.mark.parametrize("answers", [False, None])
def test_a_silence_needs_a_sender_that_lives(answers: bool | None) -> None:
    dead = evidence(same_address=9, alternate_answers=answers)
    assert filtering(dead) is None
    assert "alternate address did not answer" in classify_filtering(dead)[1]
    dead = evidence(same_address_answers=answers)
    assert filtering(dead) is None
    assert "second port did not answer" in classify_filtering(dead)[1]
    assert filtering(evidence(alternate_answers=answers)) == APD, "its own other port is shut out, whatever the other address does"


def test_with_one_address_only_the_strictest_filter_can_be_told() -> None:
    assert filtering(evidence(other_address=None, alternate_answers=None)) == APD
    loose = evidence(other_address=None, same_address=9, alternate_answers=None)
    assert filtering(loose) is None
    assert "one address" in classify_filtering(loose)[1]


@pytest.mark.parametrize(
    ("contacted", "recalled", "recalled_s", "told"),
    [
        (None, None, None, EI),
        (REMEMBERS_S, None, None, EI),  # long enough ago
        (REMEMBERS_S - 1, None, None, None),
        (0.0, None, None, None),
        (30.0, EI, 60.0, EI),  # it was so before the contact
        (30.0, EI, RECALLS_S - 1, EI),  # ... and nothing has spoken against it since
        (30.0, EI, RECALLS_S, None),
        (30.0, AD, 60.0, None),
        (30.0, APD, 60.0, None),
    ],
)
def test_an_arrival_from_a_contacted_address_is_explained_by_the_contact(
    contacted: float | None, recalled: str | None, recalled_s: float | None, told: str | None
) -> None:
    seen = evidence(other_address=9, same_address=9, alternate_contacted_s=contacted, recalled=recalled, recalled_s=recalled_s)
    assert filtering(seen) == told
    if told is None:
        assert f"contacted the alternate address {contacted:.0f} s ago" in classify_filtering(seen)[1]


@pytest.mark.parametrize("contacted", [None, 0.0, 30.0])
@pytest.mark.parametrize("recalled", [None, EI, AD, APD])
def test_a_contact_explains_no_silence(contacted: float | None, recalled: str | None) -> None:
    """Who is kept out though a router might remember him is kept out."""
    facts = {"alternate_contacted_s": contacted, "recalled": recalled, "recalled_s": 60.0 if recalled else None}
    assert filtering(evidence(same_address=9, **facts)) == AD
    assert filtering(evidence(**facts)) == APD


def test_no_mapped_port_no_filter() -> None:
    assert classify_filtering(None) == (None, "no mapped port could be probed")


# ---- the old names


def test_classic_type_is_the_table_of_rfc_3489() -> None:
    table = {
        (False, EI): "open internet",
        (False, AD): "symmetric udp firewall",
        (False, APD): "symmetric udp firewall",
        (EI, EI): "full cone",
        (EI, AD): "restricted cone",
        (EI, APD): "port restricted cone",
    }
    behaviors = (EI, AD, APD, None)
    for behind, maps, filters in product((True, False, None), behaviors, behaviors):
        if behind is False:
            expected = table.get((False, filters)) if filters else None
        elif behind is None or maps is None:
            expected = None
        elif maps != EI:
            expected = "symmetric"  # whatever the filter: RFC 3489 had no more words
        else:
            expected = table.get((EI, filters))
        assert classic_type(behind, maps, filters) == expected, (behind, maps, filters)


# ---- pooling


def test_pooling_needs_three_mappings() -> None:
    three = rows((1, 2, 3))
    assert classify_pooling(three, ()) == "paired"
    assert classify_pooling(three[:2], ()) is None
    assert classify_pooling(three[:2], ["203.0.113.1:9"]) == "paired"
    assert classify_pooling(three[:2], ["203.0.113.2:9"]) == "arbitrary"
    assert classify_pooling(rows((1, 2, "203.0.113.2:3")), ()) == "arbitrary"
    assert classify_pooling([], ()) is None
