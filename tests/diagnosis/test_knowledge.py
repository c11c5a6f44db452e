"""What is known: every finding has its page, and nothing unconfirmed is told as a fact."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

import edgecheck
from edgecheck.checks import ALL, DOCTOR, port_forwarding
from edgecheck.checks.dns.judge import Nowhere
from edgecheck.checks.outbound.judge import CLOSED
from edgecheck.checks.port_forwarding.causes import CAUSES
from edgecheck.checks.port_forwarding.judge import UNHEARD
from edgecheck.checks.registration.judge import BY_STATUS
from edgecheck.checks.tls.judge import Cause as TlsCause
from edgecheck.checks.transport.judge import Trouble
from edgecheck.diagnosis import knowledge
from edgecheck.diagnosis.pages import page
from edgecheck.model.errors import UsageError

PACKAGE = Path(edgecheck.__file__).parent
CHECKS = {check.id for check in (*ALL, *DOCTOR)}


COURSES = [PACKAGE / name for name in ("course.py", "judging.py", "runner.py", "doctor.py")]
OF_EVERY_CHECK = {"cut-short", "fault", "skipped"}
"""What the runner says of any check: ``f"{check.id}.fault"``."""


def first_words(tree: ast.AST, function: str, position: int) -> set[str]:
    """The literals that a function of this name is called with."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == function]
    arguments = [node.args[position] for node in calls if len(node.args) > position]
    return {part.value for argument in arguments for part in ast.walk(argument) if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def causes(tree: ast.AST, prefix: str) -> set[str]:
    """The causes that ``f"{prefix}.{cause}"`` stands for. A new way of composing ids makes this test red until it is taught here."""
    found = {
        "port-forwarding": lambda: {*get_args(port_forwarding.State), *CAUSES, UNHEARD, "not-tested"},
        "rtp-range": lambda: first_words(tree, "add", 0),
        "sip-alg": lambda: first_words(tree, "_finding", 1),
        "topology": lambda: first_words(tree, "finding", 0),
        "registration": lambda: registration_causes(),
        "outbound": lambda: set(CLOSED),
        "host": lambda: first_words(tree, "warn", 0),
        "dns": lambda: set(get_args(Nowhere)),
        "transport": lambda: set(get_args(Trouble)),
        "tls": lambda: set(get_args(TlsCause)),
        "control": lambda: {cause for file in COURSES for cause in first_words(ast.parse(file.read_text()), "control_finding", 0)},
    }[prefix]()
    assert found
    return found


def registration_causes() -> set[str]:
    """Its findings are made in several files: what ``found`` is called with, and what status codes and other conditions are called."""
    trees = [ast.parse(file.read_text()) for file in (PACKAGE / "checks" / "registration").glob("*.py")]
    found = {cause for tree in trees for cause in first_words(tree, "found", 0)} | set(BY_STATUS.values())
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "cause":
                found |= {part.value for part in alternatives(node.value) if isinstance(part.value, str)}
    return found


def alternatives(value: ast.expr) -> Iterator[ast.Constant]:
    """The literals that an expression may come to; those that it only compares with are left out."""
    if isinstance(value, ast.Constant):
        yield value
    for branch in [value.body, value.orelse] if isinstance(value, ast.IfExp) else value.values if isinstance(value, ast.BoolOp) else []:
        yield from alternatives(branch)


@cache  # every check's page asks
def emitted() -> frozenset[str]:
    """Every finding id that the checks and the runner can give."""
    out = {f"{check}.{cause}" for check in CHECKS for cause in OF_EVERY_CHECK}
    for file in [*(PACKAGE / "checks").rglob("*.py"), *COURSES]:
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if not (isinstance(node, ast.keyword) and node.arg == "id"):
                continue
            if isinstance(node.value, ast.Constant) and "." in str(node.value.value):
                out.add(str(node.value.value))
            if isinstance(node.value, ast.JoinedStr):
                first, last = node.value.values[0], node.value.values[-1]
                if isinstance(first, ast.Constant):
                    prefix = first.value.rstrip(".")
                    out |= {f"{prefix}.{cause}" for cause in causes(tree, prefix)}
                else:
                    assert isinstance(last, ast.Constant)
                    assert last.value.lstrip(".") in OF_EVERY_CHECK
    return frozenset(out)


def test_every_finding_that_can_be_emitted_has_its_page():
    found = emitted()
    assert {"sip-alg.rewritten", "rtp-range.inbound-blocked", "port-forwarding.blocked", "control.unreachable"} <= found
    assert {finding_id for finding_id in found if knowledge.explanation(finding_id) is None} == set()


@pytest.mark.parametrize("finding_id", sorted(knowledge.explanations()))
def test_a_page_is_whole(finding_id):
    explanation = knowledge.explanations()[finding_id]
    for text in (explanation.title, explanation.means, explanation.matters, explanation.proved, *explanation.do):
        assert text.strip() == text
        assert text
    assert explanation.do


def test_every_router_has_steps_and_a_source():
    vendors = [router.vendor for router in knowledge.routers()]
    assert len(vendors) == len(set(vendors)) > 30
    for router in knowledge.routers():
        assert router.steps
        assert router.source


def test_those_without_a_switch_are_listed():
    assert {router.vendor for router in knowledge.routers() if not router.switch} >= {"pfSense", "OPNsense", "AVM FRITZ!Box", "Cisco Meraki MX"}


def test_the_unconfirmed_is_marked_wherever_it_is_shown():
    text = "\n".join(page("sip-alg.rewritten"))
    for router in knowledge.routers():
        block = text.split(f"\n  {router.vendor}", 1)[1].split("]", 1)[0]
        assert ("UNVERIFIED" in block) == (router.confidence == "unverified"), router.vendor
        assert ("no such switch" in block.splitlines()[0]) == (not router.switch)
        if router.short and router.switch:
            assert router.confidence != "unverified", "the short list is told as a fact"


@pytest.mark.parametrize(
    ("finding_id", "title", "vendor"),
    [
        ("rtp-range.inbound-blocked", "Where ports are forwarded, by vendor", "  Netgear"),
        ("port-preservation.remapped", "Where source ports are kept, by vendor", "  pfSense"),
        ("mapping-lifetime.short", "Where UDP mappings are made to live longer, by vendor", "  Cisco ASA"),
    ],
)
def test_a_page_tells_where_it_is_set(finding_id, title, vendor):
    lines = page(finding_id)
    table = lines[lines.index(title) :]
    assert vendor in table
    sources = [line for line in table if line.startswith("    [")]
    assert len(sources) == len([line for line in table if line.startswith("  ") and line[2] != " "]), "every row names its source"


def test_a_page_tells_meaning_consequence_proof_and_steps():
    text = page("rtp-range.inbound-blocked")
    for title in ("What it means", "What it does to calls", "How it is proved", "What to do"):
        assert title in text


def test_a_check_lists_its_findings():
    assert [line.split()[0] for line in page("port-preservation")] == [
        f"port-preservation.{cause}" for cause in ("preserved", "remapped", "one-port-remapped", "in-use", "undecided")
    ]


@pytest.mark.parametrize(("typo", "meant"), [("sip-alg.rewriten", "sip-alg.rewritten"), ("rtp-rnage", "rtp-range"), ("rtp.open", "rtp-range.open")])
def test_a_typo_is_met_with_a_suggestion(typo, meant):
    with pytest.raises(UsageError, match=f"did you mean {re.escape(meant)}"):
        page(typo)


@pytest.mark.parametrize("word", ["", "*", "*.fault", "nonsense.fault", "zzzzzzzz", "../../etc/passwd"])
def test_any_other_word_is_refused(word):
    with pytest.raises(UsageError, match="There is no finding"):
        page(word)
