"""What counts as a change: regressions named with their likely cause, and noise that is none."""

import random

import pytest

from edgecheck.comparison import compare
from edgecheck.model.comparison import Kind
from edgecheck.model.verdict import ClientFacts, ServerFacts, Verdict
from tests.reports import finding, report, result


def forwarding(*rows, verdict="pass"):
    ports = [{"port": port, "transport": transport, "purpose": "SIP", "required": required, "state": state, "answered_by": who}
             for port, transport, state, required, who in rows]  # fmt: skip
    return result(finding("port-forwarding.forwarded", verdict), observation={"ports": ports})


def rtp(low=10000, high=20000, **fields):
    facts = {"range": [low, high], "inbound_blocked": [], "outbound_blocked": [], "remapped": [], "undecided": [], **fields}
    return result(finding("rtp-range.open", "pass"), observation=facts)


def sip(*probes, located=()):
    rows = [{"transport": transport, "server_port": port, "method": "OPTIONS", "interference": level,
             "changes": [{"direction": "request", "where": name, "action": "rewritten"} for name in where]}
            for transport, port, level, where in probes]  # fmt: skip
    return result(finding("sip-alg.none", "pass"), observation={"probes": rows, "located": list(located)})


def lifetime(udp):
    return result(finding("mapping-lifetime.long", "pass"), observation={"udp_s": udp, "tcp_s": None})


def nat(mapped="203.0.113.9:40000", verdict="pass", **fields):
    facts = {"mapped_address": mapped, "behind_nat": True, "mapping": "endpoint-independent", "filtering": "address-dependent", **fields}
    return result(finding("nat-behavior.endpoint-independent", verdict), observation=facts)


def changes(before, after, kind=None):
    found = compare(report(before), report(after)).changes
    return [(change.kind, change.subject) for change in found if kind in (None, change.kind)]


# ------------------------------------------------------------------------------------------------------------------ noise


def test_a_report_compared_with_itself_is_unchanged():
    one = report(
        forwarding((5060, "udp", "forwarded", True, None)), rtp(), nat(), lifetime([30, 45]), sip(("udp", 5060, "rewriting", ["Via"]))
    )
    found = compare(one, one)
    assert (found.verdict, found.changes) == (Verdict.PASS, ())
    assert found.headline.startswith("Unchanged")


def test_what_every_run_measures_anew_is_no_change():
    before = nat("203.0.113.9:40000", hairpinning=None)
    after = nat("203.0.113.9:51234", hairpinning=True)
    assert changes(before, after) == []


@pytest.mark.parametrize(
    ("was", "now", "kind"),
    [
        ([30, 45], [30, 45], None),
        ([30, 45], [25, 30], None),  # a life of 30 s: alive at 30 once, dead there the next time
        ([25, 30], [30, 45], None),
        ([45, 60], [25, 30], Kind.WORSE),
        ([25, 30], [45, 60], Kind.BETTER),
        ([180, None], [25, 30], Kind.WORSE),
        ([25, 30], [180, None], Kind.BETTER),
        ([180, None], [60, None], None),  # a shorter test, not a shorter life
        ([None, 30], [None, 5], None),
        ([30, 45], None, Kind.NOT_COMPARED),
        ([30, 45], "soon", Kind.NOT_COMPARED),
    ],
)
def test_lifetimes_are_intervals(was, now, kind):
    assert [found for found, _ in changes(lifetime(was), lifetime(now))] == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("was", "now", "kind"), [(4.3, 4.1, None), (4.3, 3.6, Kind.WORSE), (3.6, 4.3, Kind.BETTER), (4.3, None, Kind.NOT_COMPARED)]
)
def test_a_mean_opinion_score_has_noise(was, now, kind):
    before, after = (
        result(finding("media-quality.good", "pass"), observation={"up": {"mos": mos}, "down": {"mos": 4.2}}) for mos in (was, now)
    )
    assert [found for found, _ in changes(before, after)] == ([] if kind is None else [kind])


def test_whether_the_pbx_happened_to_run_is_no_change():
    before = forwarding((5060, "udp", "forwarded", True, None))
    after = forwarding((5060, "udp", "answered", True, "kamailio"))
    assert changes(before, after) == []


# ------------------------------------------------------------------------------------------------------------------ regressions


def test_the_first_line_names_the_regression_and_what_it_looks_like():
    before = report(forwarding((5060, "udp", "forwarded", True, None)), rtp())
    after = report(forwarding((5060, "udp", "forwarded", True, None)), rtp(inbound_blocked=[[12000, 20000]]))
    found = compare(before, after)
    assert found.verdict is Verdict.FAIL
    assert found.headline == "After the change: RTP 12000-20000 is no longer forwarded (the new rule ends at 11999)."


@pytest.mark.parametrize(
    ("blocked", "cause"),
    [
        ([[12000, 20000]], "the new rule ends at 11999"),
        ([[10000, 10999]], "the new rule begins at 11000"),
        ([[15000, 15009]], "these ports are missing in the new rule, or another rule takes them"),
        ([[10000, 20000]], "the range has no rule now"),
        ([[port, port] for port in range(10001, 20001, 2)], "the new rule names even ports only"),
        ([[10004, 10004], [10008, 10010]], ""),
    ],
)
def test_what_a_hole_in_the_range_looks_like(blocked, cause):
    (change,) = compare(report(rtp()), report(rtp(inbound_blocked=blocked))).changes
    assert (change.kind, change.cause) == (Kind.WORSE, cause)


def test_a_closed_port_that_opens_is_better_and_two_alike_are_told_together():
    before = forwarding((5060, "tcp", "blocked", True, None), (5061, "tcp", "blocked", True, None), (5060, "udp", "refused", True, None))
    after = forwarding((5060, "tcp", "forwarded", True, None), (5061, "tcp", "forwarded", True, None), (5060, "udp", "answered", True, "x"))
    assert changes(before, after) == [(Kind.BETTER, "TCP 5060-5061"), (Kind.BETTER, "UDP 5060")]


def test_an_optional_port_that_closes_is_a_warning():
    before, after = (forwarding((5061, "tcp", state, False, None)) for state in ("forwarded", "blocked"))
    assert compare(report(before), report(after)).verdict is Verdict.WARN


def test_sip_that_is_rewritten_now():
    before = sip(("udp", 5060, "none", []), ("tls", 5061, "none", []))
    after = sip(("udp", 5060, "rewriting", ["Via", "Contact"]), ("tls", 5061, "none", []))
    (change,) = compare(report(before), report(after)).changes
    assert (change.kind, change.subject) == (Kind.WORSE, "UDP 5060")
    assert "Contact, Via" in change.summary


def test_sip_that_could_not_be_told_is_not_compared():
    before, after = sip(("udp", 5060, "none", [])), sip(("udp", 5060, None, []))
    assert changes(before, after) == [(Kind.NOT_COMPARED, "UDP 5060")]


def test_another_box_that_touches_sip():
    before, after = (
        sip(("udp", 5060, "rewriting", ["Via"]), located=[{"hop": 1, "address": host}]) for host in ("192.168.1.1", "192.168.1.254")
    )
    assert changes(before, after) == [(Kind.DIFFERENT, "box")]


def test_a_check_without_a_comparison_of_its_own_is_compared_by_its_findings():
    before = result(finding("topology.single", "pass", "layers"), observation={"nat_layers": 1})
    after = result(finding("topology.double-nat", "warn", "layers"), observation={"nat_layers": 2})
    found = changes(before, after)
    assert found == [(Kind.WORSE, "layers"), (Kind.DIFFERENT, "number of NAT layers")]
    assert [kind for kind, _ in changes(after, before)] == [Kind.BETTER, Kind.DIFFERENT]


def test_a_warning_that_became_a_failure_is_worse():
    before, after = (result(finding("topology.double-nat", verdict), observation={"nat_layers": 2}) for verdict in ("warn", "fail"))
    assert compare(report(before), report(after)).verdict is Verdict.FAIL


def test_what_may_be_behind_a_regression_is_said_beside_it():
    clients = (ClientFacts(source="192.168.1.20", gateway=gateway) for gateway in ("192.168.1.1", "192.168.1.254"))
    before, after = (
        report(rtp(inbound_blocked=holes), client=client) for holes, client in zip(([], [[10000, 20000]]), clients, strict=True)
    )
    assert "It goes with this: another default gateway: 192.168.1.1 before, 192.168.1.254 now" in compare(before, after).headline


# ------------------------------------------------------------------------------------------------------------------ doubt


def test_loss_never_makes_a_change():
    """Whatever becomes undecided in either run, nothing is called better or worse that is the same in truth."""
    for seed in range(200):
        dice = random.Random(seed)
        truth = [[12000, 15000]]

        def seen(dice=dice, truth=truth):
            low = dice.randrange(10000, 19000)
            lost = set(range(low, low + dice.randrange(1, 900)))
            holes = [[port, port] for port in range(12000, 15001) if port not in lost]
            return rtp(inbound_blocked=holes if lost else truth, undecided=[[min(lost), max(lost)]])

        kinds = {kind for kind, _ in changes(seen(), seen())}
        assert kinds <= {Kind.NOT_COMPARED}, seed


def test_an_undecided_port_is_not_compared():
    before, after = (forwarding((5060, "udp", state, True, None)) for state in ("forwarded", "undecided"))
    found = compare(report(before), report(after))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.changes[0].summary == "UDP 5060: now it could not be told whether packets arrive."


def test_a_trouble_that_could_not_be_told_before_is_no_regression():
    before = result(finding("host.undecided", "inconclusive"), observation={"x": None})
    after = result(finding("host.firewall", "fail"), observation={"x": 1})
    assert [kind for kind, _ in changes(before, after)] == [Kind.NOT_COMPARED]
    assert [kind for kind, _ in changes(after, before)] == [Kind.NOT_COMPARED]


def test_a_check_that_was_skipped_is_not_compared():
    before = nat()
    after = result(finding("nat-behavior.skipped", "skipped"), summary="not tested: the server offers no stun")
    assert changes(before, after) == [(Kind.NOT_COMPARED, "nat-behavior")]


def test_another_server_and_other_checks_are_named():
    before = report(nat(), server=ServerFacts(address="198.51.100.10"))
    after = report(rtp(), server=ServerFacts(address="198.51.100.20"))
    summaries = [change.summary for change in compare(before, after).changes]
    assert any("Another echo server (198.51.100.10 before, 198.51.100.20 now)" in text for text in summaries)
    assert {"nat-behavior: tested only before.", "rtp-range: tested only now."} <= set(summaries)


def test_only_ports_of_both_ranges_are_compared():
    found = compare(report(rtp(10000, 20000)), report(rtp(16384, 32768, inbound_blocked=[[30000, 32768]])))
    assert [change.summary for change in found.changes] == ["Only RTP 16384-20000 was tested in both runs."]
    none = compare(report(rtp(10000, 11000)), report(rtp(12000, 13000)))
    assert [change.summary for change in none.changes] == ["rtp-range: the two runs tested no port in common."]


WEIRD = [None, 7, "x", [], {}, [1], [[1]], [None], [["a", "b"]], [[5, 1]], {"a": []}, True, 1.5, [{"port": "x"}], [[0, 70000]]]


@pytest.mark.parametrize(
    "check", ["port-forwarding", "rtp-range", "sip-alg", "mapping-lifetime", "media-quality", "nat-behavior", "topology", "dns", "tls"]
)
def test_facts_of_any_shape_are_compared_without_a_fault(check):
    fields = ("ports", "range", "inbound_blocked", "undecided", "busy", "probes", "located", "udp_s", "tcp_s", "up", "mapped_address", "hops",
              "router", "targets", "names")  # fmt: skip
    dice = random.Random(check)
    for _ in range(150):
        before, after = (
            result(finding(f"{check}.x", "pass"), observation={field: dice.choice(WEIRD) for field in fields}) for _ in range(2)
        )
        found = compare(report(before), report(after))
        assert found.verdict in Verdict
