"""Progress on a terminal: a line a check, a bar where something is counted."""

import io

from rich.console import Console

from edgecheck.cli.live import Count, Live
from tests.reports import finding, result, rtp


def shown(live: Live, width: int = 100) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=False).print(live._render())
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def counted(done: int, total: int, note: str, seconds: float) -> str:
    count = Count(0, 100.0)
    count.update(0, total, note, 100.0)
    count.update(done, total, note, 100.0 + seconds)
    return str(count)


def test_ports_rate_and_time_left():
    assert counted(6214, 10001, "ports", 6.214) == "6,214/10,001 ports, 1,000/s, 4 s left"


def test_no_rate_before_it_can_be_known():
    assert counted(1, 10001, "ports", 0.01) == "1/10,001 ports"
    assert counted(0, 10001, "ports", 5) == "0/10,001 ports"


def test_the_last_second_is_not_counted_down():
    assert counted(10001, 10001, "ports", 10) == "10,001/10,001 ports, 1,000/s"


def test_a_new_round_begins_anew():
    count = Count(0, 0.0)
    count.update(1000, 1000, "ports", 1.0)
    count.update(0, 10, "ports", 2.0)
    count.update(10, 10, "ports", 4.0)
    assert str(count) == "10/10 ports, 5/s"


def test_seconds_that_pass_have_no_rate():
    assert counted(4, 50, "seconds", 4.0) == "4/50 seconds, 46 s left at most"


def test_what_is_about_to_happen_is_said_first():
    live = Live(no_color=True, intro="Against h:8443: 2 checks.")
    live.check_started("rtp-range", "Does every RTP port work?")
    assert shown(live)[0] == "Against h:8443: 2 checks."
    assert len(shown(live)) == 2


def test_a_name_is_never_cut_and_ctrl_c_fits_on_the_line():
    live = Live(no_color=True)
    live._console = Console(file=io.StringIO(), width=80)
    live.check_finished(result(finding("port-preservation.preserved", "inconclusive", summary="word " * 100)))
    live.check_started("rtp-range", "Does every RTP port work?")
    for done in (5000, 15000):
        live.progress("rtp-range", done, 20002, "ports")
    told = shown(live, 80)
    assert len(told) == 2, "a line a check"
    assert "15,000/20,002 ports" in told[1]
    assert told[0].startswith("inconclusive  port-preservation  word")
    assert max(map(len, told)) <= 80 - len("^C")


def test_one_line_a_check_replaced_in_place():
    live = Live(no_color=True)
    live.check_started("rtp-range", "Does every RTP port work?")
    assert shown(live)[0].endswith("rtp-range  Does every RTP port work?")
    live.progress("rtp-range", 5000, 10001, "ports")
    assert shown(live)[0].endswith("5,000/10,001 ports")
    live.check_finished(rtp(((12000, 20000),)))
    assert shown(live) == ["fail  rtp-range  10000-11999 open both ways; 12000-20000 never arrive"]


def test_a_long_sentence_stays_on_its_line():
    live = Live(no_color=True)
    live.check_finished(result(finding("sip-alg.rewritten", "fail", summary="word " * 100)))
    assert len(shown(live, 80)) == 1


def test_progress_of_what_is_unknown_is_no_error():
    live = Live(no_color=True)
    live.progress("", 1, 2, "")
    live.progress("rtp-range", 0, 0, "")
    assert shown(live) == [""] or shown(live) == []


def test_a_peer_cannot_speak_to_the_terminal():
    live = Live(no_color=True)
    live.check_finished(result(finding("sip-alg.answered-by-other", "fail", summary="Server: \x1b[2J[bold]x[/bold]")))
    (line,) = shown(live)
    assert "\\x1b[2J[bold]x[/bold]" in line
