"""JUnit XML: one case a finding; what could not be tested never looks like a pass."""

from xml.etree import ElementTree as XML

from hypothesis import given
from hypothesis import strategies as st

from edgecheck.report import junit
from tests.reports import clean, finding, report, result, rtp, skipped


def tree(*results, **more):
    return XML.fromstring(junit.render(report(*results, **more)).encode())


def test_a_case_a_finding_and_a_suite_a_check():
    root = tree(rtp(((12000, 20000), (11000, 11001))), clean(), skipped("port-forwarding", "why"))
    assert {suite.get("name"): suite.get("tests") for suite in root} == {"rtp-range": "2", "sip-alg": "1", "port-forwarding": "1"}
    assert (root.get("tests"), root.get("failures"), root.get("errors"), root.get("skipped")) == ("4", "2", "0", "1")


def test_each_verdict_has_its_element():
    verdicts = ("pass", "warn", "fail", "inconclusive", "skipped")
    root = tree(result(*(finding(f"sip-alg.{verdict}", verdict, verdict.title()) for verdict in verdicts)))
    kinds = {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}
    assert kinds == {"Pass": ["system-out"], "Warn": ["system-out"], "Fail": ["failure"], "Inconclusive": ["error"], "Skipped": ["skipped"]}


def test_a_failure_bears_cause_proof_and_remedy():
    failure = tree(
        result(finding("sip-alg.rewritten", "fail", "UDP 5060", "Rewritten.", expected="a", observed="b", remedies=("Switch it off.",)))
    ).find(".//failure")
    assert failure.get("type") == "sip-alg.rewritten"
    assert failure.get("message") == "Rewritten."
    assert failure.text.splitlines() == ["Rewritten.", "expected: a", "observed: b", "proof: 8 copies sent, 0 arrived", "do: Switch it off."]


def test_a_case_keeps_its_name_when_the_cause_changes():
    names = [tree(result(finding(f"sip-alg.{cause}", "fail", "UDP 5060"))).find(".//testcase").get("name") for cause in ("none", "rewritten")]
    assert names == ["UDP 5060", "UDP 5060"]


def test_two_findings_on_one_subject_have_two_names():
    root = tree(result(finding("sip-alg.harmless", "warn"), finding("sip-alg.rewritten", "fail")))
    assert [case.get("name") for case in root.iter("testcase")] == ["UDP 5060", "UDP 5060 (2)"]


def test_a_fault_of_ours_carries_its_traceback():
    broken = result(finding("sip-alg.fault", "inconclusive"), fault="Traceback: boom")
    assert tree(broken).find(".//system-err").text == "Traceback: boom"


@given(st.text())
def test_whatever_a_peer_sent_the_document_stays_well_formed(words):
    root = tree(result(finding("sip-alg.rewritten", "fail", words, words, evidence=(words,)), finding("sip-alg.none", "pass", words, words), fault=words))
    assert len(list(root.iter("testcase"))) == 2
