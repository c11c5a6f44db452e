"""The verdict sheet: whole, in order, and shown in the documents as it is in the data."""

import re
from pathlib import Path

import pytest

from edgecheck.checks.registration.judge import BY_STATUS
from edgecheck.diagnosis import sheet_page
from edgecheck.diagnosis.knowledge import sheet
from edgecheck.diagnosis.pages import page

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "registration.md"
WANTED = {400, 401, 403, 404, 407, 408, 410, 420, 421, 423, 430, 439, 480, 484, 486, 488, 491, 494, 500, 502, 503, 504, 600, 603, 604, 606, 301, 302, 305, 200}


def test_the_document_shows_the_data() -> None:
    shown = DOCUMENT.read_text("utf-8").partition("## The sheet\n\n")[2]
    assert shown == sheet_page.markdown(), "stale: python -m edgecheck.diagnosis.sheet_page (behind the heading 'The sheet')"


def test_every_code_has_its_row() -> None:
    told = {code: row.id for row in sheet.rows() for code in row.codes}
    assert WANTED - set(told) == set()
    assert {status: cause for status, cause in BY_STATUS.items() if told.get(status, cause) != cause} == {}


@pytest.mark.parametrize("row", sheet.rows(), ids=lambda row: row.id)
def test_a_row_is_whole(row: sheet.Row) -> None:
    text = "\n".join(page(row.finding_id))
    assert row.first in text
    for number, cause in enumerate(row.causes, 1):
        assert f"{number}. {cause}" in text, "causes are told in their order"
    for topic in row.topics():
        for program in sheet.programs():
            assert topic.lines(program)
            assert all(line in text for line in topic.lines(program))


def test_each_program_says_where_its_settings_were_read() -> None:
    assert [program.title.split()[0] for program in sheet.programs()] == ["Asterisk,", "Asterisk,", "FreePBX", "FreeSWITCH", "Kamailio", "3CX", "Any"]
    assert all(program.source for program in sheet.programs())
    assert len({row.id for row in sheet.rows()}) == len(sheet.rows())


@pytest.mark.parametrize(
    ("word", "where"),
    [
        ("fail2ban", "registration.wrong-credentials"),
        ("qualify_frequency", "registration.not-reachable"),
        ("auth_rejection_permanent", "registration.wrong-credentials"),
        ("Firewall Checker", "registration.no-response"),
        ("registertimeout", "registration.temporarily-unavailable"),
        ("modprobe -r nf_nat_sip", "registration.bad-request"),
        ("fromdomain", "registration.bad-request"),
        ("hotspot", "registration.no-response"),
        ("Via and Contact", "registration.contact-rewritten"),
    ],
)
def test_what_the_guides_say_by_hand_is_on_the_page(word: str, where: str) -> None:
    assert word in "\n".join(page(where))


def test_no_setting_is_shown_without_its_confidence() -> None:
    text = "\n".join(page("registration.forbidden"))
    for program in sheet.programs():
        assert re.search(rf"{re.escape(program.title)}\n(?:    .*\n)+?    \[.*{re.escape(program.source)}\]", text)
