"""What counts as a change: regressions named with their likely cause, and noise that is none."""

import random

import pytest

from edgecheck.checks.port_forwarding.causes import CAUSES as causes_of_the_check
from edgecheck.comparison import compare
from edgecheck.comparison.forwarding import CAUSES
from edgecheck.model.comparison import Kind
from edgecheck.model.router import RouterName
from edgecheck.model.verdict import ClientFacts, ServerFacts, Verdict
from tests.reports import finding, report, result

NO_RULE = "the range has no rule now, its rule leads elsewhere, or a firewall drops it"


def forwarding(*rows, verdict="pass"):
    ports = [{"port": port, "transport": transport, "purpose": "SIP", "required": required, "state": state, "answered_by": who,
              "answered_here": here[0] if here else None}
             for port, transport, state, required, who, *here in rows]  # fmt: skip
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
    after = forwarding((5060, "udp", "answered", True, "kamailio", True))
    assert changes(before, after) == []


def test_a_service_that_no_longer_listens_where_the_port_arrives_is_a_warning():
    """A free port, before the PBX was there or while it was stopped, tells nothing of it."""
    free, served = forwarding((5060, "udp", "forwarded", True, None)), forwarding((5060, "udp", "answered", True, "kamailio", True))
    silent, unheard = (forwarding((5060, "udp", "forwarded", True, None)) for _ in range(2))
    silent.observation["ports"][0]["asked"] = True
    unheard.observation["ports"][0]["listens_elsewhere"] = [{"program": "kamailio (pid 9)", "address": "127.0.0.1"}]
    for heard in (served, silent):
        (worse,) = compare(report(heard), report(unheard)).changes
        assert (worse.kind, worse.required) == (Kind.WORSE, False)
        assert worse.summary == (
            "UDP 5060 arrives where nobody listens now: the program on that port listens elsewhere; before, its service was reached."
        )
        assert compare(report(heard), report(unheard)).verdict is Verdict.WARN
        (better,) = compare(report(unheard), report(heard)).changes
        assert (better.kind, better.after) == (Kind.BETTER, "heard by its service")
        assert better.summary == "UDP 5060 reaches the service on this machine now; before it arrived where nobody listens."
    assert changes(free, unheard) == changes(unheard, free) == changes(unheard, unheard) == []


def test_a_service_that_answers_is_this_machines_another_ones_or_it_could_not_be_told():
    """Behind a rule that leads to another PBX something answers, too."""
    before = forwarding((5060, "tcp", "forwarded", True, None))
    unknown, elsewhere = (forwarding((5060, "tcp", "answered", True, "Server: another PBX", here)) for here in (None, False))
    assert changes(before, unknown) == [(Kind.NOT_COMPARED, "TCP 5060")]
    assert changes(before, elsewhere) == [(Kind.WORSE, "TCP 5060")]
    assert changes(elsewhere, before) == [(Kind.BETTER, "TCP 5060")]


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
        ([[10000, 20000]], "the range has no rule now, its rule leads elsewhere, or a firewall drops it"),
        ([[port, port] for port in range(10001, 20001, 2)], "the new rule names even ports only"),
        ([[10004, 10004], [10008, 10010]], ""),
    ],
)
def test_what_a_hole_in_the_range_looks_like(blocked, cause):
    (change,) = compare(report(rtp()), report(rtp(inbound_blocked=blocked))).changes
    assert (change.kind, change.cause) == (Kind.WORSE, cause)


def closed(*causes):
    """UDP 5060 after the change, with every cause that fits."""
    finding_id = f"port-forwarding.{causes[0] if len(causes) == 1 else 'blocked'}"
    return result(
        finding(finding_id, "fail", "UDP 5060", observed=f"blocked: {' or '.join(causes)}"),
        observation={"ports": [{"port": 5060, "transport": "udp", "required": True, "state": "blocked"}]},
    )


@pytest.mark.parametrize(
    ("causes", "told", "of_the_range"),
    [
        (["host-firewall"], "this machine's own firewall drops it", "this machine's own firewall drops it"),
        (["carrier-grade-nat"], CAUSES["carrier-grade-nat"], CAUSES["carrier-grade-nat"]),
        (["no-rule"], "the router has no rule for it", NO_RULE),
        (["no-rule", "provider-drops"], f"{CAUSES['no-rule']}, or {CAUSES['provider-drops']}", NO_RULE),
        (["host-firewall", "no-rule"], f"{CAUSES['host-firewall']}, or {CAUSES['no-rule']}", NO_RULE),
    ],
)
def test_every_cause_that_fits_is_told_with_a_port_that_closed(causes, told, of_the_range):
    before = report(forwarding((5060, "udp", "forwarded", True, None)), rtp())
    found = compare(before, report(closed(*causes), rtp(inbound_blocked=[[10000, 20000]])))
    assert [(change.subject, change.cause) for change in found.changes] == [("UDP 5060", told), ("RTP inbound", of_the_range)]
    assert "no longer forwarded" not in found.headline, "where it ends was not seen"


def test_causes_have_words():
    assert set(CAUSES) == set(causes_of_the_check)


def outward(verdict="pass", cause="open", dns=None, **states):
    """``udp_5060="blocked"``."""
    rows = [{"transport": way[:3], "port": int(way[4:]), "state": state} for way, state in states.items()]
    lines = tuple(f"{row['transport'].upper()} {row['port']}: 0 of 6 answered" for row in rows if row["state"] != "open")
    return result(finding(f"outbound.{cause}", verdict, evidence=lines), observation={"targets": rows, "dns_intercepted": dns})


def test_one_more_port_that_is_not_let_out():
    """The finding was there before, for another port."""
    before = outward("warn", "blocked", tcp_5060="blocked", udp_5060="open", udp_3478="open", tcp_0080="undecided")
    after = outward("fail", "blocked", tcp_5060="blocked", udp_5060="blocked", udp_3478="undecided", tcp_0080="open")
    assert changes(before, after) == [(Kind.WORSE, "UDP 5060"), (Kind.NOT_COMPARED, "UDP 3478"), (Kind.NOT_COMPARED, "TCP 80")]
    assert changes(after, before, Kind.BETTER) == [(Kind.BETTER, "UDP 5060")]
    assert compare(report(before), report(after)).headline == "After the change: UDP 5060 is not let out now; before it was open."


def test_a_port_that_nothing_needs_is_only_different():
    before, after = outward(udp_0053="open", tcp_5090="open"), outward(cause="limited", udp_0053="blocked", tcp_5090="not-offered")
    assert changes(before, after) == [(Kind.DIFFERENT, "UDP 53")]


def test_dns_that_is_answered_by_another():
    assert changes(outward(dns=False), outward(dns=True)) == [(Kind.WORSE, "DNS")]
    assert changes(outward(dns=None), outward(dns=True)) == []


def test_a_router_that_no_longer_speaks_is_no_better_router():
    router = {"manufacturer": "A", "model": "1", "wan_address": "25.0.0.1"}
    before = result(finding("topology.wan-address-differs", "warn", "router"), observation={"nat_layers": 1, "router": router})
    after = result(finding("topology.single-nat", "pass", "layers"), observation={"nat_layers": 1, "router": None})
    assert changes(before, after) == [(Kind.NOT_COMPARED, "router")]
    assert changes(after, before) == [(Kind.NOT_COMPARED, "router")]


def test_another_router_is_told_whichever_checks_were_run():
    clients = (
        ClientFacts(router=RouterName(gateway="192.168.1.1", protocol="upnp", manufacturer=maker, model=model))
        for maker, model in (("A", "1"), ("B", "2"))
    )
    before, after = (
        report(rtp(inbound_blocked=holes), client=client) for holes, client in zip(([], [[12000, 20000]]), clients, strict=True)
    )
    found = compare(before, after)
    assert "It goes with this: the router is B 2 now; before it was A 1" in found.headline


def test_a_closed_port_that_opens_is_better_and_two_alike_are_told_together():
    before = forwarding((5060, "tcp", "blocked", True, None), (5061, "tcp", "blocked", True, None), (5060, "udp", "refused", True, None))
    after = forwarding(
        (5060, "tcp", "forwarded", True, None), (5061, "tcp", "forwarded", True, None), (5060, "udp", "answered", True, "x", True)
    )
    assert changes(before, after) == [(Kind.BETTER, "TCP 5060-5061"), (Kind.BETTER, "UDP 5060")]
    assert compare(report(before), report(after)).headline == (
        "Nothing got worse, and this got better: TCP 5060-5061 is forwarded now; UDP 5060 is forwarded now."
    )


def test_an_optional_port_that_closes_is_a_warning():
    before, after = (forwarding((5061, "tcp", state, False, None)) for state in ("forwarded", "blocked"))
    assert compare(report(before), report(after)).verdict is Verdict.WARN


def test_sip_that_is_rewritten_now():
    before = sip(("udp", 5060, "none", []), ("tls", 5061, "none", []))
    after = sip(("udp", 5060, "rewriting", ["Via", "Contact"]), ("tls", 5061, "none", []))
    (change,) = compare(report(before), report(after)).changes
    assert (change.kind, change.subject) == (Kind.WORSE, "UDP 5060")
    assert "Contact, Via" in change.summary


def test_calls_that_come_in_rewritten_now():
    was, now = ({"incoming": [{"transport": "udp", "server_port": 5060, "interference": level}]} for level in ("none", "rewriting"))
    before, after = (result(finding("sip-alg.x", "pass"), observation=facts) for facts in (was, now))
    assert changes(before, after) == [(Kind.WORSE, "UDP 5060 in requests that come in")]


def test_sip_that_could_not_be_told_is_not_compared():
    before, after = sip(("udp", 5060, "none", [])), sip(("udp", 5060, None, []))
    assert changes(before, after) == [(Kind.NOT_COMPARED, "UDP 5060")]


def test_what_only_new_ports_tell_is_told_of_the_way_itself():
    """One socket could not tell, for all of its flow was dropped; long messages have nothing to do with it."""
    before, after = sip(("udp", 5060, "none", [])), sip(("udp", 5060, None, []))
    row = {"transport": "udp", "server_port": 5060, "method": "OPTIONS from new ports", "request": "lost", "interference": "destructive"}
    after.observation["beside"] = [row]
    (change,) = compare(report(before), report(after)).changes
    assert (change.kind, change.subject, change.after) == (Kind.WORSE, "UDP 5060", "is destroyed")


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


def test_a_long_finding_is_short_in_the_first_line_and_whole_in_its_row():
    fine = result(finding("registration.registered", "pass", "sip:a@b"), observation={"ending": "registered"})
    sentence = f"401 Unauthorized again, after the challenge was answered: {'most likely the password is wrong; or ' * 5}not."
    refused = result(finding("registration.wrong-credentials", "fail", "sip:a@b", sentence), observation={"ending": "refused"})
    found = compare(report(fine), report(refused))
    assert found.headline == "After the change: 401 Unauthorized again, after the challenge was answered."
    assert [change.summary for change in found.of(Kind.WORSE)] == [sentence]


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
    for seed in range(60):
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


NO_TLS = "Not tested: neither the address nor the DNS names a TLS port."


def without_tls(summary=NO_TLS):
    return result(finding("tls.skipped", "skipped", "tls", summary), observation={"servers": []})


def test_what_neither_run_had_to_test_is_no_change():
    """A plain UDP account has no certificate to look at, today as yesterday."""
    found = compare(report(nat(), without_tls()), report(nat(), without_tls()))
    assert (found.verdict, found.changes) == (Verdict.PASS, ())
    assert found.headline.startswith("Unchanged")


def test_what_was_skipped_for_another_reason_is_not_compared():
    before, after = without_tls(), without_tls("Not tested: TLS 203.0.113.9:5061 was not reached (refused); see transport.")
    found = compare(report(nat(), before), report(nat(), after))
    assert (found.verdict, [change.subject for change in found.changes]) == (Verdict.INCONCLUSIVE, ["tls"])


def test_two_runs_that_tested_nothing_are_not_called_unchanged():
    found = compare(report(without_tls()), report(without_tls()))
    assert (found.verdict, [change.summary for change in found.changes]) == (Verdict.INCONCLUSIVE, ["Neither run tested anything that the other did."])


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
    "check",
    ["port-forwarding", "rtp-range", "sip-alg", "mapping-lifetime", "media-quality", "nat-behavior", "topology", "dns", "tls", "outbound"],
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
