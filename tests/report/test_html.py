"""The HTML report: self-contained, harmless whatever a peer sent, readable by everybody, and looked at in a real Chromium."""

import asyncio
import random
import re
import string
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from edgecheck.model.router import RouterName
from edgecheck.model.verdict import ClientFacts, Verdict
from edgecheck.report import html
from edgecheck.report.html import lifetime, nat, rtp, sip
from tests.report.browser import Browser
from tests.reports import finding, report, result
from tests.reports import nat as unremarkable

STYLE = Path(html.__file__).parent / "templates" / "style.css"


def whole(**more):
    """A report with everything that has a picture."""
    rows = [{"local": "192.168.1.20:40000", "remote": f"198.51.100.{host}:3478", "mapped": "203.0.113.9:40000"} for host in (10, 11)]
    change = {
        "direction": "request", "where": "Via", "action": "rewritten", "message": "OPTIONS",
        "sent": "SIP/2.0/UDP 192.168.1.20:5060;branch=z9hG4bKx", "arrived": "SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKx",
    }  # fmt: skip
    points = [{"kind": "packet", "idle_s": 5 * step, "alive": None if step == 5 else step < 6} for step in range(1, 10)]
    return report(
        result(finding("rtp-range.inbound-blocked"), observation={"range": [10000, 20000], "inbound_blocked": [[12000, 20000]], "undecided": [[11000, 11005]]}),
        result(
            finding("sip-alg.rewritten", reference="RFC 3261 18.2.1", expected="untouched", observed="rewritten", remedies=("Switch it off.",)),
            observation={"probes": [{"transport": "udp", "server_port": 5060, "method": "OPTIONS", "request": "rewritten", "changes": [change]},
                                    {"transport": "tls", "server_port": 5061, "method": "OPTIONS", "request": "unchanged", "changes": []}],
                         "located": [{"hop": 1, "address": "192.168.1.1"}]},
        ),
        result(
            finding("nat-behavior.endpoint-independent", "pass"),
            observation={"local_address": "192.168.1.20:40000", "mapped_address": "203.0.113.9:40000", "behind_nat": True, "mapping": "endpoint-independent",
                         "filtering": "address-dependent", "mappings": rows, "filter_test": {"control": 6}},
        ),
        result(finding("topology.single-nat", "pass"),
               observation={"hops": [{"hop": 1, "address": "192.168.1.1", "owns_public_address": True}, {"hop": 2, "address": "203.0.113.14"}],
                            "owner_hop": 1, "public_address": "203.0.113.9", "router": {"manufacturer": "Netgear", "model": "R7000"}}),
        result(finding("mapping-lifetime.short", "warn"), observation={"points": points}),
        result(finding("media-quality.fair", "inconclusive"), observation={"up": {"mos": 4.2, "jitter_ms": 3}, "down": {"mos": 2.9}}),
        **{
            "headline": "Calls will ring but be silent.",
            "advice": ("Switch the SIP ALG off.\nOr use TLS.", "Extend the rule."),
            "client": ClientFacts(source="192.168.1.20", gateway="192.168.1.1", platform="Linux", public_address="203.0.113.9"),
            **more,
        },
    )  # fmt: skip


class Seen(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


# ------------------------------------------------------------------------------------------------------------------ what it says


def test_order_verdict_first_evidence_last():
    page = html.render(whole())
    places = [page.index(f'id="{name}"') for name in ("todo", "path", "checks", "rtp", "sip", "nat", "lifetime", "media", "evidence")]
    assert page.index("<h1>Calls will ring but be silent.</h1>") < places[0]
    assert places == sorted(places)


def test_the_router_that_rewrites_is_named_in_the_path():
    page = html.render(whole())
    assert re.search(
        r'class="guilty"><b>Netgear R7000</b><code>192.168.1.1</code>.*?<strong class="fail">rewrites SIP</strong>', page, re.DOTALL
    )


def test_a_router_that_told_its_name_beside_the_checks_is_named_in_the_path():
    client = ClientFacts(source="192.168.1.20", gateway="192.168.1.1", router=RouterName(protocol="upnp", manufacturer="Netgear", model="R7000"))
    assert "<b>Netgear R7000</b><code>192.168.1.1</code>" in html.render(report(unremarkable(), client=client))


def test_changed_bytes_are_marked_and_nothing_else():
    sent, arrived = sip.marked("SIP/2.0/UDP 192.168.1.20:5060;rport", "SIP/2.0/UDP 203.0.113.9:5060;rport")
    assert [piece for piece, changed in sent if changed] == ["192.168.1.20"]
    assert [piece for piece, changed in arrived if changed] == ["203.0.113.9"]
    assert "".join(piece for piece, _ in sent) == "SIP/2.0/UDP 192.168.1.20:5060;rport"


def test_a_call_that_comes_in_rewritten_is_no_unchanged_way():
    """Outgoing SIP passes; the ALG touches what comes in."""
    way = {"transport": "udp", "server_port": 5060, "method": "OPTIONS", "request": "unchanged", "response": "unchanged", "changes": []}
    change = {"direction": "request", "where": "To", "action": "rewritten", "sent": "a", "arrived": "b", "message": "incoming INVITE"}
    facts = {"probes": [way], "incoming": [{**way, "request": "rewritten", "changes": [change]}]}
    (drawn,) = sip.figure(report(result(finding("sip-alg.rewritten"), observation=facts)))
    assert (drawn.name, [line.message for line in drawn.lines]) == ("UDP 5060", ["incoming INVITE"])


def test_every_port_is_in_the_map_once():
    figure = rtp.figure(whole())
    assert figure is not None
    covered = sorted(
        round(run.y / figure.cell) * figure.columns + 10000 + column
        for run in figure.runs
        for column in range(round(run.x / figure.cell), round((run.x + run.width) / figure.cell))
    )
    assert covered == list(range(10000, 20001))
    assert figure.legend == (
        ("open", "open both ways", "10000-10999, 11006-11999"),
        ("undecided", "undecided", "11000-11005"),
        ("inbound", "nothing arrives from outside", "12000-20000"),
    )


def test_a_port_in_use_is_not_shown_as_one_that_could_not_be_told():
    seen = {"range": [10000, 10099], "busy": [[10060, 10060]], "undecided": [[10060, 10060], [10070, 10070]]}
    figure = rtp.figure(report(result(finding("rtp-range.open", "pass"), observation=seen)))
    assert [(kind, which) for kind, _, which in figure.legend if kind != "open"] == [("busy", "10060"), ("undecided", "10070")]



@pytest.mark.parametrize(("low", "high"), [(10000, 10000), (10000, 10001), (10000, 10099), (1, 65535), (16384, 32768)])
def test_a_map_of_any_range_has_few_rows(low, high):
    figure = rtp.figure(report(result(finding("rtp-range.open", "pass"), observation={"range": [low, high]})))
    assert figure is not None
    assert len(figure.rows) <= 132
    assert sum(round(run.width / figure.cell) for run in figure.runs) == high - low + 1


def test_a_mapping_that_differs_is_seen():
    rows = [{"local": "a:1", "remote": "x:1", "mapped": "m:1"}, {"local": "a:1", "remote": "y:1", "mapped": "m:2"}]
    figure = nat.figure(report(result(finding("nat-behavior.x"), observation={"local_address": "a:1", "mappings": rows})))
    assert figure is not None
    assert [row.same for row in figure.mappings] == [True, False]


def test_lifetimes_have_three_answers():
    figure = lifetime.figure(whole())
    assert figure is not None
    assert [mark.state for mark in figure.marks] == ["alive"] * 4 + ["undecided"] + ["dead"] * 4


# ------------------------------------------------------------------------------------------------------------------ bad input


HOSTILE = "</style></title><script>alert(1)</script><img src=x onerror=alert(1)> {{ 7*7 }} \x1b[31m \x00 \u202e &amp; \"'"


def everywhere(value, text):
    """Every string of it is this text."""
    if isinstance(value, str):
        return text
    if isinstance(value, dict):
        return {key: everywhere(each, text) for key, each in value.items()}
    return [everywhere(each, text) for each in value] if isinstance(value, (list, tuple)) else value


def test_nothing_a_peer_sent_is_markup():
    given = msgspec.to_builtins(whole())
    hostile = everywhere(given, HOSTILE)
    hostile["verdict"] = "fail"
    for index, check in enumerate(hostile["checks"]):
        check["id"] = given["checks"][index]["id"]
        check["verdict"] = "fail"
        for each in check["findings"]:
            each["verdict"] = "fail"
        for name, value in given["checks"][index]["observation"].items():
            check["observation"][name] = everywhere(value, HOSTILE)
    page = html.render(msgspec.convert(hostile, type(whole())))
    seen = Seen(page)
    kinds = {tag for tag, _ in seen.tags}
    assert not kinds & {"script", "img", "iframe", "object", "embed", "form", "base"}
    assert not any(name.startswith("on") for _, attributes in seen.tags for name in attributes)
    assert "{{ 7*7 }}" in seen.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", page)


def test_nothing_is_asked_of_anywhere():
    seen = Seen(html.render(whole()))
    targets = [value for _, attributes in seen.tags for name, value in attributes.items() if name in ("href", "src", "action", "data")]
    assert all(value.startswith(("#", "data:")) for value in targets)
    assert "url(" not in STYLE.read_text()
    policy = next(attributes["content"] for tag, attributes in seen.tags if attributes.get("http-equiv"))
    assert "default-src 'none'" in policy


WEIRD = [
    None,
    7,
    "x",
    [],
    {},
    [1],
    [[1]],
    [None],
    [["a", "b"]],
    True,
    1.5,
    [{"port": "x"}],
    [[0, 70000]],
    [{"changes": 3}],
    {"mos": "x"},
    "\ud800",
]


def test_facts_of_any_shape_make_a_page():
    dice = random.Random(5)
    base = whole()
    for _ in range(80):
        checks = tuple(
            msgspec.structs.replace(
                each, observation={name: dice.choice([value, *WEIRD]) for name, value in (each.observation or {}).items()}
            )
            for each in base.checks
        )
        page = html.render(msgspec.structs.replace(base, checks=checks))
        assert page.endswith("</html>")


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_has_a_page(verdict):
    page = html.render(report(result(finding("a.b", verdict.value)), server=None, client=ClientFacts()))
    assert f'<header class="{verdict.value}">' in page


def test_a_large_report_stays_readable():
    many = tuple(finding("a.b", "fail", f"UDP {number}", evidence=("x" * 300,)) for number in range(2000))
    page = html.render(report(result(*many, observation={"x": ["y" * 1000] * 5000})))
    assert "the JSON report has the rest" in page
    assert len(page) < 3_000_000


# ------------------------------------------------------------------------------------------------------------------ for every reader


def luminance(color):
    """Relative luminance (WCAG 2.2)."""
    parts = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_contrast_is_that_of_wcag_aa():
    schemes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)
    ]
    light, dark, paper = schemes
    for scheme in (light, dark, {**light, **paper}):
        for ink in ("ink", "soft", "fail", "inconclusive", "warn", "pass", "skipped"):
            for ground in ("paper", "card"):
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)
        assert contrast(scheme["mark-ink"], scheme["mark"]) >= 4.5
        for shape in ("open", "closed", "half", "moved", "unknown", "taken"):
            assert contrast(scheme[shape], scheme["paper"]) >= 3, shape


def test_in_a_real_browser(tmp_path):
    """No console error, no request, no sideways scrolling, two sheets of paper, and the keyboard opens the evidence."""
    page, hostile = tmp_path / "report.html", tmp_path / "hostile.html"
    page.write_text(html.render(whole()))
    hostile.write_text(html.render(whole(headline=HOSTILE, advice=(HOSTILE,))))

    async def look():
        async with Browser() as browser:
            await browser.open(hostile)
            assert await browser.ask("document.querySelectorAll('script, img').length") == 0
            shots = []
            for width, scheme in ((1100, "light"), (1100, "dark"), (360, "light")):
                await browser.open(page, width=width, scheme=scheme)
                assert await browser.ask("document.documentElement.scrollWidth <= window.innerWidth"), width
                cell, table = [f"document.querySelector('.sides{inner}').clientWidth" for inner in (" td", "")]
                assert await browser.ask(f"{cell} > 0.9 * {table}") is (width < 500), "on a phone what was touched has the whole line"
                shots.append(await browser.screenshot())
            assert len(set(shots)) == 3
            assert await browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            await browser.open(page)
            for _ in range(60):
                await browser.press("Tab", 9)
                if await browser.ask("document.activeElement.tagName") == "SUMMARY":
                    break
            assert await browser.ask("document.activeElement.parentElement.open") is False
            await browser.press("Enter", 13, "\r")
            assert await browser.ask("document.activeElement.parentElement.open") is True
            assert await browser.pages() <= 2
            assert browser.console == []
            assert browser.requests == []

    asyncio.run(asyncio.wait_for(look(), 90))


def test_template_names_are_all_used():
    """A class that the page names and the style does not (or the reverse) is a slip."""
    named = set(re.findall(r"\.([a-z][a-z-]*)", re.sub(r"\{[^{}]*\}", "{}", STYLE.read_text())))
    page = (STYLE.parent / "page.html").read_text()
    missing = {name for name in named if not re.search(rf"[\s\"'({{]{name}[\s\"'}}]", page)}
    assert missing <= {verdict.value for verdict in Verdict} | {kind for kind, _, _ in rtp._KINDS} | {"open", "css"} | set(
        string.ascii_lowercase
    )
