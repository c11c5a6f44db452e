"""The report for a person: its order, its economy, and that no peer can speak to the terminal."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecheck.model.verdict import PbxSettings, SettingsPart
from edgecheck.report import text
from tests.reports import alg, finding, forwarded, nat, preserved, report, result, rtp, rtp_open, skipped

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def lines(*results, width=0, color=False, **more):
    return text.render(report(*results, **more), width=width, color=color).splitlines()


def test_the_first_line_is_verdict_and_headline():
    assert lines(rtp(((12000, 20000),)), headline="Calls may be silent.")[0] == "FAIL  Calls may be silent."
    assert lines(forwarded("UDP 5060"), headline="All is well.")[0] == "PASS  All is well."


def test_rows_are_aligned_and_the_gravest_comes_first():
    out = lines(forwarded("UDP 5060"), result(finding("nat-behavior.pooling", "warn", "address", "two addresses")), rtp(((12000, 20000),)))
    assert out[2:5] == [
        "  fail  rtp-range        10000-11999 open both ways; 12000-20000 never arrive",
        "  warn  nat-behavior     two addresses",
        "  pass  port-forwarding  UDP 5060 arrive",
    ]


def test_what_is_fine_takes_one_line():
    out = lines(forwarded("UDP 5060", "TCP 5060", "TCP 5061"), rtp_open(), preserved())
    assert len([line for line in out if line.startswith("  pass")]) == 3
    assert len(out) == 1 + 1 + 3 + 1 + 1, "first line, blank, rows, blank, last line"


def rows_of(*results):
    return [line.strip() for line in lines(*results) if line.startswith(" ")]


def test_troubles_of_several_kinds_have_a_row_a_kind():
    ports = [finding("port-forwarding.blocked", "fail", f"UDP {port}", f"UDP {port} does not arrive.") for port in range(5060, 5070)]
    lost = finding("port-forwarding.undecided", "inconclusive", "TCP 5061", "TCP 5061 could not be told: too much loss.")
    assert rows_of(result(lost, *ports, summary="10 of 11 ports never arrive")) == [
        "fail  port-forwarding  10 of 11 ports never arrive",
        "fail          UDP 5060 does not arrive (and 9 more like it)",
        "inconclusive  TCP 5061 could not be told: too much loss",
    ]


def test_a_lone_row_that_the_first_line_has_said_is_not_said_again():
    lone = result(finding("sip-alg.no-trace", "inconclusive", "UDP 5060", "No trace of an ALG."), summary="no trace of an ALG")
    assert lines(lone, headline="No trace of an ALG.")[1:2] == [""]
    assert not any("inconclusive" in line for line in lines(lone, headline="No trace of an ALG."))
    assert any("inconclusive" in line for line in lines(lone, headline="Another sentence."))


def test_troubles_of_one_kind_are_told_by_the_checks_own_sentence():
    ports = [finding("port-forwarding.blocked", "fail", f"UDP {port}") for port in range(5060, 5070)]
    assert len(rows_of(result(*ports, summary="none of 10 ports arrives"))) == 1


def test_a_detail_that_begins_like_the_row_is_not_told_twice():
    kinds = (
        finding("sip-alg.rewritten", "fail", "UDP 5060", "Hop 1 (192.168.88.1) rewrites SIP on UDP 5060 (Via): the phone goes dark."),
        finding("sip-alg.pinhole", "warn", "UDP 5060", "Something opens ports on UDP 5060."),
    )
    assert rows_of(result(*kinds, summary="TCP passes; hop 1 (192.168.88.1) rewrites Via on UDP 5060")) == [
        "fail  sip-alg  TCP passes; hop 1 (192.168.88.1) rewrites Via on UDP 5060",
        "warn  Something opens ports on UDP 5060",
    ]


def test_what_could_not_be_told_comes_with_its_reason():
    lost = result(finding("sip-alg.undecided", "inconclusive", "UDP 5060", "UDP 5060 could not be told: too much loss."), summary="1 undecided")
    assert rows_of(lost) == ["inconclusive  sip-alg  1 undecided", "inconclusive  UDP 5060 could not be told: too much loss"]


def test_a_long_detail_is_cut_at_a_pause():
    words = "UDP 5060 is rewritten: " + "; ".join(f"the {number}th thing is not as it was" for number in range(30))
    both = result(finding("sip-alg.rewritten", "fail", "UDP 5060", words), finding("sip-alg.undecided", "inconclusive", "TCP 5060"), summary="x")
    (row,) = [line for line in rows_of(both) if "rewritten" in line]
    assert len(row) < 210
    assert row.endswith("it was ...")


def test_one_trouble_is_told_by_the_checks_own_sentence():
    out = lines(rtp(((12000, 20000),)))
    assert sum("12000-20000" in line for line in out) == 1


def test_what_was_not_tested_is_listed_with_its_reason():
    one_port = finding("port-forwarding.not-tested", "skipped", "TCP 5060", "in use by asterisk (pid 812)", evidence=())
    out = lines(skipped("sip-alg", "the server offers no sip-udp"), result(finding("port-forwarding.forwarded", "pass"), one_port))
    start = out.index("Not tested")
    assert out[start + 1 : start + 3] == ["  sip-alg: the server offers no sip-udp.", "  port-forwarding (TCP 5060): in use by asterisk (pid 812)"]
    assert not any(line.startswith("  skipped") for line in out)


def test_a_reason_that_names_its_subject_is_not_led_by_it():
    busy = finding("port-preservation.not-tested", "skipped", "UDP 5060", "UDP 5060 was not asked: in use here.", evidence=())
    out = lines(result(busy, finding("port-preservation.preserved", "pass")))
    assert out[out.index("Not tested") + 1] == "  port-preservation: UDP 5060 was not asked: in use here."


def test_one_reason_is_told_once():
    out = lines(preserved(), skipped("sip-alg", "interrupted"), skipped("rtp-range", "interrupted"))
    assert out[out.index("Not tested") + 1] == "  sip-alg, rtp-range: interrupted."


def test_without_a_session_one_sentence_is_all():
    unreachable = result(finding("control.unreachable", "inconclusive", "h:8443", "Could not reach h:8443: is it running?"))
    assert lines(unreachable, skipped("sip-alg", "there is no session"), headline="Could not reach h:8443: is it running?", server=None) == [
        "INCONCLUSIVE  Could not reach h:8443: is it running?"
    ]


def test_without_a_session_what_is_fine_here_is_not_told_and_what_is_wrong_is():
    unreachable = result(finding("control.unreachable", "inconclusive", "h:8443", "Could not reach h:8443: is it running?"))
    fine, nothing = result(finding("host.fine", "pass"), summary="nothing here"), skipped("sip-alg", "there is no session")
    told = {"headline": "Could not reach h:8443: is it running?", "server": None, "advice": ("Look there.",)}
    assert lines(unreachable, fine, nothing, **told) == ["INCONCLUSIVE  Could not reach h:8443: is it running?"]
    clock = result(finding("host.clock", "warn", "clock", "The clock is wrong."), summary="the clock is wrong")
    assert lines(unreachable, clock, nothing, **told)[1:4] == ["", "  warn  host  the clock is wrong", ""]


def test_a_session_that_was_lost_keeps_what_was_measured():
    lost = result(finding("control.lost", "inconclusive", "h:8443", "The server was lost in mid-run."))
    assert any(line.startswith("  pass") for line in lines(lost, preserved(), skipped("sip-alg", "lost")))


def test_what_the_first_line_says_of_the_run_as_a_whole_is_no_row():
    lost = result(finding("control.lost", "inconclusive", "h:8443", "The server was lost in mid-run."))
    assert not any("  control  " in line for line in lines(lost, preserved(), headline="The server was lost in mid-run."))
    assert any("  control  " in line for line in lines(lost, preserved(), headline="SIP is rewritten."))


def test_advice_is_numbered_and_a_second_line_belongs_to_its_step():
    out = lines(rtp(((12000, 20000),)), advice=("Forward it.\nOr use TLS.", "Run again."))
    start = out.index("What to do")
    assert out[start + 1 : start + 4] == ["  1. Forward it.", "     Or use TLS.", "  2. Run again."]


def test_the_last_line_tells_time_server_and_where_to_read_on():
    given = report(alg("UDP 5060"), notes=("Not finished: interrupted.",))
    out = text.render(given, proof="--html report.html").splitlines()
    assert out[-3:] == [
        "Note: Not finished: interrupted.",
        "",
        "6.2 s against 198.51.100.10. Proof: --html report.html. More: edgecheck explain sip-alg.rewritten",
    ]


def test_what_to_read_on_is_what_the_first_line_is_about():
    given = report(result(finding("transport.refused")), result(finding("tls.expired")), headline_of="tls.expired")
    assert text.render(given).splitlines()[-1].endswith("More: edgecheck explain tls.expired")


@pytest.mark.parametrize(
    ("proof", "more", "told"),
    [
        ("", {}, "6.2 s against 198.51.100.10."),
        ("/tmp/r.html", {}, "6.2 s against 198.51.100.10. Proof: /tmp/r.html."),
        ("", {"server": None, "settings": {"target": "sip:pbx.example:5060"}}, "6.2 s against sip:pbx.example:5060."),
        ("", {"server": None, "settings": {"target": "sip:a@b", "account": {}}}, "6.2 s of looking."),
        ("", {"server": None, "settings": {"target": "echo.example.net:8443"}}, "6.2 s without a server."),
    ],
)
def test_the_last_line_promises_nothing_that_is_not_there(proof, more, told):
    assert text.render(report(nat(), **more), proof=proof).splitlines()[-1] == told


@pytest.mark.parametrize("width", [50, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    words = "several ordinary words " * 12
    out = lines(alg("UDP 5060", "TCP 5060"), nat(), skipped("rtp-range", words), headline=words, advice=(words,), notes=(words,), width=width)
    assert max(map(len, out)) <= width


def test_a_command_is_never_broken_in_two():
    out = text.render(report(alg("UDP 5060")), width=80, proof="edgecheck report @12 --format html -o report.html").splitlines()
    assert out[-3:] == [
        "6.2 s against 198.51.100.10.",
        "Proof: edgecheck report @12 --format html -o report.html.",
        "More: edgecheck explain sip-alg.rewritten",
    ]


@pytest.mark.parametrize("width", [0, 80])
def test_color_changes_no_word_and_no_place(width):
    results = (alg("UDP 5060", "TCP 5060"), nat(), skipped("rtp-range", "no media"), result(finding("control.lost", "inconclusive")))
    plain, colored = (text.render(report(*results), width=width, color=color) for color in (False, True))
    assert "\x1b" not in plain
    assert ESCAPE.sub("", colored) == plain
    for match in re.finditer(r"\x1b\[[1-9][0-9;]*m(.*?)\x1b\[0m", colored):
        assert match[1] in {"FAIL", "fail", "pass", "inconclusive"}, "color stands only beside the verdict words"


def test_jargon_has_its_plain_twin_the_first_time_only():
    out = "\n".join(lines(rtp_open(), nat(), advice=("Forward RTP.", "Forward RTP again."), headline="RTP is fine."))
    assert out.startswith("PASS  RTP (call audio) is fine.")
    assert out.count("(call audio)") == 1
    assert 'filtering ("port restricted cone")' in out, "a sentence that brings the common name needs no other twin"


@given(st.text())
def test_no_peer_can_speak_to_the_terminal(words):
    hostile = finding("sip-alg.answered-by-other", "fail", words, words + "\x1b[2J\u202e", evidence=(words,))
    out = text.render(report(result(hostile, hostile, summary=words), skipped("rtp-range", words), headline=words, advice=(words,), notes=(words,)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", out)


def test_first_line_alone():
    assert text.first_line(report(rtp_open(), headline="Fine.")) == "PASS  Fine."


def test_findings_alone():
    rows = text.findings((finding("nat-behavior.filtering", "pass", "filtering", "Open."), finding("nat-behavior.undecided", "inconclusive", "mapping", "Lost.")))
    assert rows == ["inconclusive  mapping: Lost", "pass          filtering: Open"]


def test_an_address_is_never_cut():
    target = "edge://" + "k" * 60 + "@host.example"
    assert any(target in line for line in lines(rtp_open(), advice=(f"Run {target} there.",), width=50))


def test_settings_can_be_pasted_and_obey_no_peer():
    settings = PbxSettings(pbx="x", title="X", parts=(SettingsPart(where="x.conf", text="a=1\n; " + "long " * 60 + "\nb=\x1b[2J\n"),))
    told = lines(nat(), settings_for_pbx=(settings,), width=80)
    start = told.index("  x.conf:")
    assert told[start + 1] == "a=1"
    assert told[start + 2].startswith("; long long")
    assert len(told[start + 2]) > 80, "a wrapped line would be two settings"
    assert told[start + 3] == "b=\\x1b[2J"


def test_settings_that_a_command_prints_do_not_push_the_first_line_away():
    settings = PbxSettings(pbx="x", title="X", parts=(SettingsPart(where="x.conf", text="a=1\n" * 40),))
    told = text.render(report(nat(), settings_for_pbx=(settings,)), width=80, settings_by="edgecheck settings @12").splitlines()
    start = told.index("Settings for X, as this edge calls for them, ready to paste:")
    assert told[start + 1 : start + 3] == ["  edgecheck settings @12", ""]
    assert "a=1" not in told


def test_a_finding_of_two_sentences_is_not_told_twice() -> None:
    sentences = "The password was not sent. Give the authority with --ca FILE."
    first = finding("registration.untrusted", "inconclusive", "sip:a@b", sentences)
    assert text.render(report(result(first, summary=sentences.removesuffix(".")))).count("The password was not sent") == 1
