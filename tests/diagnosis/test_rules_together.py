"""Causes that meet in one report: what one of them explains of the others, and what it leaves standing beside it."""

import msgspec
import pytest

from edgecheck.checks.port_forwarding import PortRow, shut_out
from edgecheck.checks.port_forwarding.primary import Led
from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.rules import held
from tests.diagnosis.saved import RTP, UDP_BLOCKED, advice, headline, ports, symmetric, topology
from tests.reports import PROFILE, SERVER, alg, finding, nat, result


def test_what_follows_is_not_told_again():
    """One cause, one step: nobody is sent to forward ports behind the provider's NAT."""
    steps = advice(topology("carrier-grade-nat"), ports(("blocked", "UDP 5060"), ("blocked", "TCP 5061")), RTP, nat())
    assert steps[0].startswith("Ask the provider for a public address")
    assert not any("forward UDP" in step for step in steps)


def test_a_warning_is_as_grave_as_what_follows_from_it():
    facts = Facts((topology("carrier-grade-nat", verdict="warn"), ports(("blocked", "UDP 5060"))), PROFILE, SERVER)
    (one,) = held(facts)
    assert one.verdict == "fail"


def test_the_hosts_firewall_explains_only_the_ports_that_it_drops():
    sentence = headline(ports(("host-firewall", "UDP 5060"), ("no-rule", "TCP 5061")))
    assert sentence == "Calls from outside may not arrive: this machine's own firewall drops UDP 5060, and TCP 5061 is not forwarded."


def test_two_causes_that_fit_are_both_told():
    sentence = headline(topology("double-nat", verdict="warn"), ports(("host-firewall", "UDP 5060"), ("no-rule", "TCP 5061")))
    assert "two routers in a row translate addresses (double NAT), and TCP 5061 does not arrive through both" in sentence
    assert "this machine's own firewall drops UDP 5060" in sentence


def test_carrier_grade_nat_excuses_no_alg():
    sentence = headline(topology("carrier-grade-nat"), ports(("blocked", "UDP 5060")), alg("UDP 5060"))
    assert "carrier-grade NAT" in sentence
    assert "192.168.1.1 rewrites SIP on UDP 5060" in sentence


def test_an_alg_that_drops_sip_is_why_sip_is_not_let_out():
    blocked = result(finding("outbound.blocked", "fail", "UDP 5060"), finding("outbound.blocked", "fail", "TCP 443"))
    sentence = headline(alg("UDP 5060", cause="destroyed", located=False), blocked)
    assert sentence == "Registrations and calls may fail: TCP 443 does not get out to the server, and something on the path drops SIP on UDP 5060."


def test_one_box_that_opens_tls_is_told_once():
    shown = finding("outbound.intercepted", "fail", "TLS 5061, TLS 443", observed="another certificate")
    replaced = result(finding("sip-alg.certificate-replaced", "fail", "TLS 5061"))
    told = "Registrations and calls may fail: something on the path shows a certificate of its own on TLS 5061, TLS 443"
    assert headline(result(shown), replaced) == f"{told}."
    beside = finding("outbound.intercepted", "fail", "TCP 5060", observed="intercepted")
    assert headline(result(shown, beside)) == f"{told}, and somebody else answers on TCP 5060 in the server's place."
    assert "opens TLS" in headline(result(beside), replaced), "another port's answer does not explain it"


def test_udp_that_is_blocked_explains_no_tcp():
    blocked = UDP_BLOCKED
    steps = advice(blocked, ports(("blocked", "UDP 5060"), ("blocked", "TCP 5061")), RTP)
    assert any("forward TCP 5061" in step or "forward UDP 5060 and TCP 5061" in step for step in steps)
    assert not any("RTP" in step and "forward" in step for step in steps)


def test_a_symmetric_nat_of_which_nothing_else_is_known_says_no_more():
    assert headline(symmetric()) == 'Audio may go one way only: the public port changes with each destination ("symmetric" NAT).'


def test_the_located_box_is_blamed_only_for_what_was_followed_to_it():
    """SIP over TCP is rewritten, too; who does that was not looked for."""
    both = result(
        finding("sip-alg.rewritten", "fail", "UDP 5060", "Hop 1 (192.168.1.1) rewrites SIP on UDP 5060."),
        finding("sip-alg.rewritten", "fail", "TCP 5060", "Something on the path rewrites SIP on TCP 5060."),
        observation={"located": [{"hop": 1, "address": "192.168.1.1", "where": ["Via"]}]},
    )
    assert "192.168.1.1 rewrites SIP on UDP 5060 and something on the path rewrites SIP on TCP 5060" in headline(both).replace(",", "")


def test_two_boxes_in_a_row_are_both_named():
    row = result(
        finding("sip-alg.rewritten", "fail", "UDP 5060", "Hop 1 (192.168.1.1) and hop 2 (100.64.0.1) rewrites SIP on UDP 5060."),
        observation={"located": [{"hop": 1, "address": "192.168.1.1", "where": []}, {"hop": 2, "address": "100.64.0.1", "where": []}]},
    )
    assert "192.168.1.1 and 100.64.0.1 rewrite SIP" in headline(row)


def test_sdp_is_named_where_it_is_touched():
    touched = alg("UDP 5060")
    probes = [{"transport": "udp", "server_port": 5060, "changes": [{"direction": "request", "where": "sdp c=", "action": "rewritten"}]}]
    touched = msgspec.structs.replace(touched, observation={**touched.observation, "probes": probes})
    assert "192.168.1.1 rewrites SIP on UDP 5060 (SDP is rewritten, too)." in headline(touched), "who rewrites SDP was not seen"
    somebody = msgspec.structs.replace(alg("UDP 5060", located=False), observation={"probes": probes})
    assert "something on the path rewrites SIP and SDP on UDP 5060" in headline(somebody)


def test_a_failure_without_a_rule_stands_beside_the_others():
    sentence = headline(RTP, result(finding("future.kind", "fail", "host", "Something new is wrong.")))
    assert sentence == "Calls may ring but be silent: RTP 15000-15009 does not arrive, and something new is wrong."


def test_where_several_causes_fit_all_are_told():
    both = result(
        finding(
            "port-forwarding.blocked",
            "fail",
            "UDP 5060",
            observed="blocked: no-rule or provider-drops",
            remedies=("To tell which of the 2 causes it is: look for the rule in the router's port forwarding table.",),
        )
    )
    assert headline(both) == "Calls from outside may not arrive: UDP 5060 does not arrive (no rule or the provider turns it away)."
    assert advice(both, nat())[:2] == (
        "See that there is a rule, and a right one: in the router, forward UDP 5060 to 192.168.1.20.",
        "To tell which of the 2 causes it is: look for the rule in the router's port forwarding table.",
    )


def closed_rtp(fits, summary="never arrives"):
    """No RTP port is let in, for these causes."""
    tell = ("To tell which of the causes it is: look at the router's page.",) if " or " in fits else ()
    shut = finding("rtp-range.inbound-blocked", "fail", "UDP 10000-20000", summary, observed=f"10000-20000: {fits}", remedies=tell)
    return result(shut, observation={"range": [10000, 20000], "inbound_blocked": [[10000, 20000]], "remapped": []})


def port(subject, fits):
    tell = (f"To tell which of the causes of {subject} it is: look at the router's page.",)
    return finding("port-forwarding.blocked", "fail", subject, observed=f"blocked: {fits}", remedies=tell)


def test_double_nat_explains_rtp_of_which_nothing_is_let_in():
    fits = "no-rule or carrier-grade-nat"
    results = (topology("double-nat", verdict="warn"), result(port("UDP 5060", fits)), closed_rtp(fits), nat())
    assert headline(*results) == (
        "Calls from outside may not arrive, and calls may be silent: two routers in a row translate addresses (double NAT), and UDP 5060 and "
        "UDP 10000-20000 do not arrive through both."
    )
    (step,) = [step for step in advice(*results) if "forward" in step]
    assert "forward UDP 5060 and UDP 10000-20000 (RTP) in both: in the outer one" in step


def test_where_the_outer_router_leads_on_the_inner_one_is_to_be_seen_to():
    fits = "no-rule or wrong-host or filtered-behind"
    results = (topology("double-nat", verdict="warn"), result(port("UDP 5060", fits)), closed_rtp(fits), nat())
    assert "UDP 5060 and UDP 10000-20000 do not arrive through both" in headline(*results)
    (step,) = advice(*results)
    assert step == (
        "The outer router leads UDP 5060 and UDP 10000-20000 (RTP) on: in the inner one, forward UDP 5060 and UDP 10000-20000 (RTP) to "
        "192.168.1.20. If there is such a rule, see that it leads there, and that no filter undoes it."
    )


def test_double_nat_explains_no_rtp_rule_that_ends_too_early():
    results = (topology("double-nat", verdict="warn"), closed_rtp("no-rule"), nat())
    assert any("forward UDP 10000-20000 (RTP)" in step for step in advice(*results))


def test_what_the_same_causes_fit_is_one_step_and_other_causes_another():
    wrong, none = "wrong-host or host-firewall", "no-rule or provider-drops"
    results = (result(port("UDP 5060", none), port("TCP 5060", wrong)), closed_rtp(none), nat())
    assert advice(*results) == (
        "See that there is a rule, and a right one: in the router, forward UDP 5060 and UDP 10000-20000 (RTP) to 192.168.1.20.",
        "To tell which of the causes of UDP 5060 it is: look at the router's page.",
        "See that the router's rule for TCP 5060 leads to 192.168.1.20.",
        "To tell which of the causes of TCP 5060 it is: look at the router's page.",
        "To tell which of the causes it is: look at the router's page.",
    )


@pytest.mark.parametrize(("inbound", "told"), [("drops", True), ("accepts", False), (None, False)])
def test_who_adds_the_missing_rule_hears_of_the_firewall_behind_it(inbound, told):
    machine = {"machine": {"firewall": {"name": "nftables", "inbound": inbound}}}
    steps = advice(ports(("no-rule", "UDP 5060")), result(finding("host.fine", "pass", "this machine"), observation=machine), nat())
    assert steps[0].startswith("In the router, forward UDP 5060 to 192.168.1.20; if there is such a rule,")
    assert ("own firewall (nftables) drops what none of its rules admits" in steps[0]) is told


def test_the_device_that_holds_a_port_is_named_in_the_step():
    mapping = {"internal_host": "192.168.1.30", "description": "another phone"}
    held = result(finding("port-forwarding.held-by-another", "fail", "UDP 5060"), observation={"ports": [{"port": 5060, "mapping": mapping}]})
    (step,) = advice(held, nat())
    assert step.startswith("On 192.168.1.30 (another phone), to which the router leads UDP 5060, switch UPnP off")
    nobody = msgspec.structs.replace(held, observation={"ports": [{"port": 5060, "mapping": None}, "?"]})
    assert advice(nobody, nat())[0].startswith("On the device that holds it")


def test_one_firewall_is_opened_once():
    (step,) = advice(ports(("host-firewall", "UDP 5060")), closed_rtp("host-firewall"), nat())
    assert "let in UDP 5060 and, for RTP, UDP 10000-20000" in step


def test_a_port_that_this_machines_firewall_may_drop_sends_nobody_to_wait():
    reason = "UDP 5060 could not be told: it arrives at this machine; look at this machine's own firewall."
    (step,) = advice(result(finding("port-forwarding.undecided", "inconclusive", "UDP 5060", reason)))
    assert step.startswith("Look at this machine's own firewall for UDP 5060 (ufw status")


def test_a_guard_is_told_whom_to_exempt_and_a_rule_for_some_alone_is_thought_of():
    row = PortRow(port=5060, transport="udp", purpose="SIP", required=True, state="blocked")
    reasons = {shut_out.reason(shut_out.Witness("udp", 5060, False)): 1}
    reasons |= {shut_out.reason_of_another(row, led): 2 for led in (Led(rules=[row]), Led(unused=[row]))}
    for reason, steps in reasons.items():
        told = advice(result(finding("port-forwarding.undecided", "inconclusive", "UDP 5060", f"UDP 5060 could not be told: {reason}.")))
        assert told[0].startswith("Exempt the echo server (198.51.100.10 and 198.51.100.11) from the port scan")
        assert len(told) == steps, told


def test_what_only_an_administrator_can_see_sends_nobody_to_wait():
    reason = "UDP 5060 could not be told: asterisk did not answer; whether it arrived could not be seen: run as an administrator."
    (step,) = advice(result(finding("port-forwarding.undecided", "inconclusive", "UDP 5060", reason)))
    assert step.startswith("Run port-forwarding once as an administrator")


def test_sip_that_arrives_cut_up_is_not_called_dropped():
    cut = finding("sip-alg.destroyed", "fail", "TCP 5060", "Something on the path destroys SIP.", observed="what arrived is no SIP message any more")
    gone = finding("sip-alg.destroyed", "fail", "UDP 5060", "Something on the path destroys SIP.", observed="none of 12 copies arrived")
    assert "something on the path cuts up SIP on TCP 5060." in headline(result(cut))
    assert "something on the path drops SIP on UDP 5060, and something on the path cuts up SIP on TCP 5060." in headline(result(gone, cut))


def test_an_answer_that_is_turned_into_another_is_not_called_dropped():
    spoiled = finding("sip-alg.destroyed", "fail", "UDP 5060", "Something on the path destroys SIP.", observed="the answer 200 became 403")
    assert "something on the path spoils SIP on UDP 5060 (the answer 200 became 403)." in headline(result(spoiled))
    lost = [{"transport": "udp", "server_port": 5060, "method": "INVITE", "request": "lost", "response": "undecided"}]
    assert "something on the path drops SIP on UDP 5060." in headline(result(spoiled, observation={"incoming": lost}))


def test_a_box_is_not_blamed_for_what_another_may_do_beside_it():
    """It was seen to rewrite Via; who turns answers into refusals was not seen."""
    summary = "Something on the path destroys SIP on UDP 5060: the answer 200 became 403. At hop 1 (192.168.1.1) was seen: Via in requests."
    spoiled = result(
        finding("sip-alg.destroyed", "fail", "UDP 5060", summary, observed="the answer 200 became 403"),
        observation={"located": [{"hop": 1, "address": "192.168.1.1", "where": ["Via"]}]},
    )
    assert "192.168.1.1" not in headline(spoiled)


def test_tls_is_offered_for_signaling_alone_where_udp_does_not_get_out():
    observation = alg("UDP 5060", ways=(("udp", 5060, "undecided"), ("tls", 5061, "unchanged"))).observation
    seen = result(finding("sip-alg.undecided", "inconclusive", "UDP 5060"), observation=observation)
    steps = advice(UDP_BLOCKED, seen)
    assert "Until then SIP itself can use TLS 5061: it passed there. Call audio is UDP and needs TURN over TCP or TLS." in steps


def test_more_causes_than_anybody_would_follow_are_counted_in_the_first_line():
    several = "no-rule or wrong-host or provider-drops or carrier-grade-nat"
    (one,) = (finding("port-forwarding.blocked", "fail", "UDP 5060", observed=f"blocked: {several}"),)
    assert headline(result(one)) == "Calls from outside may not arrive: UDP 5060 does not arrive (4 causes fit, see below)."


def test_what_an_alg_does_besides_is_told_once():
    """Answers by Via's port, opened ports: the same box, the same switch."""
    besides = result(finding("sip-alg.via-port", "warn", "UDP 5060"), finding("sip-alg.pinhole", "warn", "UDP 5060"))
    assert advice(alg("UDP 5060"), besides) == advice(alg("UDP 5060"))
    assert headline(alg("UDP 5060"), besides) == headline(alg("UDP 5060"))


def test_an_alg_that_drops_here_and_answers_there_is_switched_off_once():
    (step,) = advice(alg("UDP 5060", cause="answered-by-other", located=False), alg("TCP 5060", cause="destroyed", located=False))
    assert step.count("Switch the SIP ALG") == 1


def test_the_gravest_cause_is_the_first_step():
    steps = advice(ports(("no-rule", "UDP 5060")), alg("TCP 5060", cause="destroyed", located=False), nat())
    assert [step.split()[0] for step in steps] == ["Switch", "In"]


def test_where_this_machines_firewall_drops_sip_rtp_is_looked_for_there_first():
    """Nobody is sent to the router for RTP before the firewall that is known to drop was opened."""
    first, second = advice(ports(("host-firewall", "UDP 5060")), RTP, nat())
    assert first.startswith("In this machine's own firewall, let in UDP 5060 and, for RTP, UDP 10000-20000 (look at: ufw status")
    assert second == "Should RTP still not arrive then: in the router, forward UDP 10000-20000 to 192.168.1.20."


def test_what_only_another_network_could_tell_is_not_to_be_run_again_from_here():
    reason = "Whether this network lets UDP 5060 out could not be told: nothing reaches the server there; nobody else is known to have reached it"
    out = result(finding("outbound.undecided", "inconclusive", "UDP 5060", reason))
    sip = result(finding("sip-alg.undecided", "inconclusive", "UDP 5060", "Whether SIP is touched on UDP 5060 could not be told: nothing got through"))
    (step,) = advice(sip, out)
    assert step.startswith("Run this once from another network against the same server: if UDP 5060 is reached from there")
    assert "whether this network lets UDP 5060 out could not be told" in headline(sip, out)


def test_udp_that_nothing_is_known_of_is_not_told_twice():
    reason = "Whether this network lets UDP 5060 out could not be told: nothing reaches the server there; nobody else is known to have reached it"
    blocked = result(finding("nat-behavior.udp-blocked", "inconclusive", "UDP", "No UDP packet from here arrives at the server."))
    told = advice(blocked, result(finding("outbound.undecided", "inconclusive", "UDP 5060", reason)))
    assert sum("from another network" in step for step in told) == 1
    tcp = advice(blocked, result(finding("outbound.undecided", "inconclusive", "TCP 5060", reason)))
    assert any("if TCP 5060 is reached from there" in step for step in tcp)


def test_sip_and_rtp_that_lack_a_rule_are_forwarded_in_one_step():
    (step,) = advice(ports(("no-rule", "UDP 5060"), ("no-rule", "TCP 5060")), closed_rtp("no-rule"), nat())
    assert step.startswith("In the router, forward UDP 5060 and TCP 5060, and UDP 10000-20000 (RTP), to 192.168.1.20; if there is such a rule")
    over_tcp = closed_rtp("no-rule", "RTP does not arrive; over TCP it is let in, so the rule seems to be for TCP alone.")
    assert len(advice(ports(("no-rule", "UDP 5060")), over_tcp, nat())) == 2
    assert len(advice(ports(("no-rule", "UDP 5060")), RTP, nat())) == 2, "a rule that misses a part has a fault of its own"


def test_sip_and_rtp_that_lead_elsewhere_are_led_here_in_one_step():
    (step,) = advice(ports(("wrong-host", "UDP 5060"), ("wrong-host", "TCP 5060")), closed_rtp("wrong-host"), nat())
    assert step == "Let the router's rule for UDP 5060 and TCP 5060, and for UDP 10000-20000 (RTP), lead to 192.168.1.20, this machine."
    assert len(advice(ports(("wrong-host", "UDP 5060")), closed_rtp("no-rule"), nat())) == 2


def test_udp_that_may_be_closed_at_the_server_sends_nobody_to_this_networks_firewall_first():
    first, *_ = advice(result(finding("nat-behavior.udp-blocked", "inconclusive", "UDP", "No UDP packet from here arrives at the server.")))
    assert first.startswith("Run this once from another network")


def test_without_translation_nothing_is_called_forwarding():
    sentence = headline(ports(("no-rule", "UDP 5060")), nat(behind_nat=False))
    assert sentence == "Calls from outside may not arrive: UDP 5060 is not let in by the firewall before this machine."


def test_rtp_is_told_with_its_cause():
    def blocked(*found):
        findings = (finding("rtp-range.inbound-blocked", "fail", f"UDP {ports}", observed=f"{ports}: {causes}") for ports, causes in found)
        return result(*findings, observation={"range": [10000, 20000], "inbound_blocked": [[12000, 20000]]})

    assert headline(blocked(("12000-20000", "no-rule"))) == "Calls may ring but be silent: RTP 12000-20000 does not arrive (no rule)."
    assert headline(blocked(("11000-11999", "wrong-host"), ("15000-20000", "no-rule or provider-drops"))) == (
        "Calls may ring but be silent: RTP 11000-11999 does not arrive (the rule leads to another machine), "
        "and RTP 15000-20000 does not arrive (no rule or the provider turns it away)."
    )
    odd = ", ".join(map(str, range(10001, 10201, 2)))
    assert headline(blocked((odd, "no-rule"))) == (
        "Calls may ring but be silent: RTP 10001, 10003, 10005 and 97 more ranges do not arrive (no rule)."
    )


def test_what_this_machine_does_not_send_is_nobodys_doing_on_the_way():
    own = finding("outbound.refused", "fail", "UDP 5060", "This machine's own system refuses to send to UDP 5060: look at its firewall.")
    assert headline(result(own)) == "Registrations and calls may fail: this machine's own firewall does not let out UDP 5060."
