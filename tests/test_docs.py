"""What the documents say is so: links, observation fields, finding ids, options, limits, terms."""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer.main

from echo_server.__main__ import app as server
from echo_server.sessions.limits import DEFAULT_BOUNDS, OPEN_BOUNDS, OPEN_LIMITS, TOKEN_LIMITS
from edgecheck import profiles
from edgecheck.checks import ALL, DOCTOR, port_forwarding
from edgecheck.model.check import Check
from edgecheck.model.profile import Expectation, PortNeed, Profile
from edgecheck.model.verdict import CheckResult, Finding, Report, Verdict
from edgecheck.wire import control, probe
from tests.diagnosis.test_knowledge import emitted

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def words(page: str | Path) -> str:
    return (DOCS / page).read_text("utf-8")


def prose(text: str) -> str:
    """Without code blocks: what stands there is no link and no heading."""
    return _FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """What a ``#fragment`` may name, as GitHub makes it from headings."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(text: str, heading: str) -> str:
    """From a heading of the second level to the next one."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {heading!r}"
    return found[1]


def rows(text: str) -> Iterator[list[str]]:
    """The rows of every Markdown table, without head and rule."""
    lines = [line for line in prose(text).splitlines() if line.startswith("|")]
    for line in lines:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def coded(cell: str) -> list[str]:
    """What stands in code style."""
    return re.findall(r"`([^`]+)`", prose(cell))


# -------------------------------------------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = []
    for target in _LINK.findall(prose(page.read_text("utf-8"))):
        name, _, fragment = target.partition("#")
        if "://" in name:
            continue
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (fragment and fragment not in anchors(file.read_text("utf-8"))):
            dead.append(target)
    assert dead == []


def test_the_index_names_every_page() -> None:
    index = DOCS / "README.md"
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in _LINK.findall(index.read_text("utf-8"))}
    assert {file for file in DOCS.rglob("*") if file.is_file() and file != index} - linked == set()


# ------------------------------------------------------------------------------------------------------------------------- checks


def page_of(check: Check) -> str:
    return words(Path("checks") / f"{check.id}.md")


@pytest.mark.parametrize("check", [*ALL, *DOCTOR], ids=lambda check: check.id)
def test_a_page_names_every_observation_field(check: Check) -> None:
    named = {word for row in rows(page_of(check)) for word in coded(row[0])}
    fields = {field.name for field in msgspec.structs.fields(check.observation)}
    assert fields - named == set()


@pytest.mark.parametrize("check", [*ALL, *DOCTOR], ids=lambda check: check.id)
def test_a_page_says_what_null_means(check: Check) -> None:
    """For the whole table or in a field's own row."""
    assert "`null`" in page_of(check)


@pytest.mark.parametrize("check", [*ALL, *DOCTOR], ids=lambda check: check.id)
def test_a_page_names_every_finding_and_no_other(check: Check) -> None:
    named = {word for word in coded(page_of(check)) if re.fullmatch(rf"{check.id}\.[a-z-]+", word)}
    # What the runner may say of any check stands on the report's page.
    of_all = {f"{check.id}.{cause}" for cause in ("skipped", "cut-short", "fault")}
    possible = {finding for finding in emitted() if finding.partition(".")[0] == check.id}
    assert possible - of_all <= named
    assert named <= possible


@pytest.mark.parametrize("check", [*ALL, *DOCTOR], ids=lambda check: check.id)
def test_a_page_asks_the_checks_question(check: Check) -> None:
    assert check.question.lower() in " ".join(page_of(check).lower().split())


def test_the_states_of_a_port_are_explained() -> None:
    page = words("checks/port-forwarding.md")
    assert {word for row in rows(page) for word in coded(row[0])} >= set(get_args(port_forwarding.State))


# ------------------------------------------------------------------------------------------------------------------------- report


def test_the_report_page_names_fields_verdicts_and_control_findings() -> None:
    page = words("report.md")
    named = set(coded(page))
    for kind in (Report, CheckResult, Finding):
        assert {field.name for field in msgspec.structs.fields(kind)} - named == set(), kind
    assert {verdict.value for verdict in Verdict} <= named
    assert {finding for finding in emitted() if finding.startswith("control.")} == {word for word in named if word.startswith("control.")}


# ------------------------------------------------------------------------------------------------------------------------- server


def server_options() -> dict[str, Any]:
    """Long option -> default, as ``--help`` shows them; None where it shows none."""
    command: Any = typer.main.get_command(server)
    context = command.make_context("edgecheck-server", [], resilient_parsing=True)
    return {
        next(name for name in option.opts if name.startswith("--")): option.get_default(context)
        for option in command.get_params(context)
    }


def test_the_table_of_server_options_is_the_real_one() -> None:
    told = {coded(row[0])[0].split()[0]: row[-1] for row in rows(section(words("server.md"), "Options")) if coded(row[0])}
    options = server_options()
    assert set(told) == set(options)
    for name, default in options.items():
        if isinstance(default, int | str) and not isinstance(default, bool):
            assert told[name] == str(default), name


def test_limits_are_the_real_ones() -> None:
    table = {coded(row[0])[0]: row for row in rows(section(words("protocol.md"), "Limits")) if coded(row[0])}
    assert set(table) == {field.name for field in msgspec.structs.fields(control.Limits)}
    for name, row in table.items():
        assert row[2:] == [f"{getattr(limits, name):,}" for limits in (TOKEN_LIMITS, OPEN_LIMITS)], name


def test_bounds_are_the_real_ones() -> None:
    _, _, *told, _ = rows(section(words("server.md"), "Security first").partition("### Limits")[2])
    for column, bounds in ((1, DEFAULT_BOUNDS), (2, OPEN_BOUNDS)):
        numbers = [bounds.sessions, bounds.sessions_per_source, bounds.addresses, bounds.requests]
        sizes = [bounds.session_bytes, bounds.total_bytes, bounds.mirror_bytes]
        rest = [bounds.streams, bounds.streams_per_source, bounds.handshake_s, bounds.stream_idle_s]
        wanted = [f"{number:,}" for number in numbers] + [f"{size >> 20} MiB" for size in sizes] + [f"{number:,.0f}" for number in rest]
        assert [row[column] for row in told] == wanted


def test_requests_and_probes_are_all_named() -> None:
    named = set(coded(words("protocol.md")))
    tags = {kind.__struct_config__.tag for kind in (*get_args(control.Request), *get_args(control.Reply))}
    assert tags - named == set()
    told = {coded(row[1])[0]: row[0] for row in rows(section(words("protocol.md"), "The probe")) if len(row) == 4 and coded(row[1])}
    assert told == {kind.name: str(kind.value) for kind in probe.Kind}


# ----------------------------------------------------------------------------------------------------------------------- profiles


def test_every_key_of_a_profile_is_explained() -> None:
    named = {word for row in rows(words("profiles.md")) for word in coded(row[0])}
    for kind in (Profile, PortNeed, Expectation):
        assert {field.name for field in msgspec.structs.fields(kind)} - named == set(), kind


def test_the_example_profile_is_one() -> None:
    example = re.search(r"```toml\n(.*?)```", words("profiles.md"), re.DOTALL)
    assert example
    assert profiles.parse(example[1], "mypbx.toml").rtp == (10000, 10499)


# ----------------------------------------------------------------------------------------------------------------------- glossary


def test_the_glossary_knows_the_terms() -> None:
    page = words("glossary.md").lower()
    terms = (
        "endpoint-independent mapping", "address-dependent mapping", "address-and-port-dependent mapping",
        "endpoint-independent filtering", "address-dependent filtering", "address-and-port-dependent filtering",
        "full cone", "restricted cone", "port restricted cone", "symmetric", "symmetric udp firewall", "open internet", "udp blocked",
        "sip alg", "hairpinning", "nat loopback", "cgn", "carrier-grade nat", "port forwarding", "port preservation", "static port",
        "keep-alive", "one-way audio", "port parity", "ip address pooling", "mapped address", "mapping lifetime", "rport", "received",
        "symmetric rtp", "stun", "canary", "receipt",
    )  # fmt: skip
    assert [term for term in terms if term not in page] == []


# --------------------------------------------------------------------------------------------------------------------- benchmarks


def test_every_benchmark_stands_on_its_page() -> None:
    named = set(re.findall(r"python -m (tests\.bench\.\w+)", words("benchmarks.md")))
    assert named == {f"tests.bench.{file.stem}" for file in (ROOT / "tests" / "bench").glob("bench_*.py")}
    assert [name for name in named if find_spec(name) is None] == []
