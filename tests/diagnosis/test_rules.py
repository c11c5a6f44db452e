"""The table of rules: each row with a saved report that it holds for, and the sentence that is told of it."""

import msgspec
import pytest

from edgecheck.diagnosis.facts import Facts
from edgecheck.diagnosis.rules import RULES, held
from tests.diagnosis.saved import RTP, UDP_BLOCKED, advice, headline, ports, remapped, symmetric, topology
from tests.reports import PROFILE, SERVER, alg, finding, result

SAVED = {
    "nat-behavior.udp-blocked": [UDP_BLOCKED],
    "outbound.udp-blocked": [result(finding("outbound.udp-blocked", "fail", "UDP", "No UDP gets out."))],
    "topology.carrier-grade-nat": [topology("carrier-grade-nat"), ports(("blocked", "UDP 5060")), RTP],
    "topology.double-nat": [topology("double-nat", verdict="warn"), ports(("no-rule", "UDP 5060"))],
    "port-forwarding.host-firewall": [ports(("host-firewall", "UDP 5060"), ("blocked", "UDP 5060"))],
    "sip-alg.destroyed": [alg("UDP 5060", cause="destroyed")],
    "sip-alg.answered-by-other": [alg("UDP 5060", cause="answered-by-other")],
    "sip-alg.taken-on-the-way": [alg("UDP 5060", cause="taken-on-the-way")],
    "sip-alg.inconsistent": [alg("UDP 5060", cause="inconsistent", located=False)],
    "sip-alg.certificate-replaced": [result(finding("sip-alg.certificate-replaced", "fail", "TLS 5061"))],
    "sip-alg.large-datagrams-lost": [result(finding("sip-alg.large-datagrams-lost", "fail", "UDP 5060"))],
    "sip-alg.via-port": [alg("UDP 5060", cause="via-port", located=False)],
    "sip-alg.rewritten": [alg("UDP 5060"), RTP],
    "port-forwarding.wrong-host": [ports(("wrong-host", "UDP 5060"))],
    "port-forwarding.wrong-port": [ports(("wrong-port", "TCP 5061"))],
    "port-forwarding.reverse-path": [ports(("reverse-path", "UDP 5060"))],
    "port-forwarding.led-on-here": [ports(("led-on-here", "UDP 5060"))],
    "port-forwarding.listens-elsewhere": [ports(("listens-elsewhere", "UDP 5060"), ("listens-elsewhere", "TCP 5060-5061"), verdict="warn")],
    "port-forwarding.no-listener": [ports(("no-listener", "UDP 5060"))],
    "port-forwarding.no-rule": [ports(("no-rule", "UDP 5060"), ("no-rule", "TCP 5061"))],
    "port-forwarding.blocked": [ports(("blocked", "UDP 5060"))],
    "port-forwarding.refused": [ports(("refused", "TCP 5060"))],
    "rtp-range.inbound-blocked": [RTP],
    "rtp-range.outbound-blocked": [result(finding("rtp-range.outbound-blocked", "fail", "UDP 10000-10099"))],
    "rtp-range.return-blocked": [result(finding("rtp-range.return-blocked", "fail", "UDP 10000-10099"))],
    "nat-behavior.endpoint-dependent-mapping": [symmetric(), remapped()],
    "rtp-range.remapped": [remapped()],
    "sip-alg.only-sip-passes": [alg("UDP 5060", cause="only-sip-passes", located=False)],
    "port-preservation.remapped": [result(finding("port-preservation.remapped", "fail", "UDP")), remapped()],
    "port-preservation.one-port-remapped": [result(finding("port-preservation.one-port-remapped", "fail", "UDP 5060"))],
    "mapping-lifetime.very-short": [result(finding("mapping-lifetime.very-short", "fail", "UDP mapping", observed="5 to 10 s"))],
    "nat-behavior.pooling": [result(finding("nat-behavior.pooling", "fail", "addresses")), topology("several-addresses", verdict="warn")],
    "port-forwarding.held-by-another": [ports(("held-by-another", "UDP 5060"))],
    "port-forwarding.provider-drops": [ports(("provider-drops", "UDP 5060"))],
    "port-forwarding.router-refuses": [ports(("router-refuses", "UDP 5060-5061"))],
    "port-forwarding.router-answers": [ports(("router-answers", "UDP 5060"))],
    "port-forwarding.answered-before": [ports(("answered-before", "TCP 5060"))],
    "port-forwarding.answered": [ports(("answered", "UDP 5060"))],
    "port-forwarding.filtered-behind": [ports(("filtered-behind", "UDP 5060"))],
    "outbound.captive-portal": [result(finding("outbound.captive-portal", "fail", "web"))],
    "outbound.blocked": [result(finding("outbound.blocked", "fail", "UDP 5060"))],
    "outbound.refused": [result(finding("outbound.refused", "fail", "TCP 5060"))],
    "outbound.intercepted": [result(finding("outbound.intercepted", "fail", "TLS 5061"))],
    "outbound.dns-intercepted": [result(finding("outbound.dns-intercepted", "fail", "DNS"))],
    "host.clock": [result(finding("host.clock", "fail", "clock"))],
    "host.vpn": [result(finding("host.vpn", "warn", "wg0")), ports(("no-rule", "UDP 5060"))],
    "host.sip-helper": [result(finding("host.sip-helper", "fail", "kernel"))],
    "sip-alg.pinhole": [alg("UDP 5060", cause="pinhole", located=False)],
    "topology.several-routes": [topology("several-routes")],
    "topology.wan-address-differs": [topology("wan-address-differs")],
}
def test_carrier_grade_nat_that_leads_ports_on_explains_no_port_that_is_closed():
    (finding_,) = topology("carrier-grade-nat", verdict="warn").findings
    led_on = result(msgspec.structs.replace(finding_, observed="2 layers of NAT, and ports are led on"))
    sentence = headline(led_on, ports(("no-rule", "TCP 5061")))
    assert sentence == "Calls from outside may not arrive: TCP 5061 is not forwarded."
    assert headline(led_on) == (
        "Calls should work, with a reservation: the provider translates addresses too (carrier-grade NAT), and leads ports on to here."
    )
    assert advice(led_on)[0].startswith("The provider's NAT leads ports on to this network: ask the provider whether that is meant to stay")


SENTENCES = {
    "nat-behavior.udp-blocked": "No calls over UDP are possible here: UDP does not leave this network.",
    "outbound.udp-blocked": "No calls over UDP are possible here: no UDP gets out.",
    "topology.carrier-grade-nat": "Calls from outside may not arrive, and calls may be silent: the provider translates addresses too "
    "(carrier-grade NAT), so no port can be forwarded to here.",
    "topology.double-nat": "Calls from outside may not arrive: two routers in a row translate addresses (double NAT), and UDP 5060 does not "
    "arrive through both.",
    "port-forwarding.host-firewall": "Calls from outside may not arrive: this machine's own firewall drops UDP 5060.",
    "sip-alg.destroyed": "Registrations and calls may fail: 192.168.1.1 drops SIP on UDP 5060.",
    "sip-alg.answered-by-other": "Registrations and calls may fail: 192.168.1.1 answers SIP itself on UDP 5060.",
    "sip-alg.taken-on-the-way": "Registrations and calls may fail: 192.168.1.1 takes SIP before it reaches the server on UDP 5060.",
    "sip-alg.inconsistent": "Calls may drop, go silent or stop arriving: something on the path rewrites SIP inconsistently on UDP 5060.",
    "sip-alg.certificate-replaced": "Registrations and calls may fail: something on the path opens TLS and shows a certificate of its own on TLS 5061.",
    "sip-alg.large-datagrams-lost": "Registrations and calls may fail: long SIP messages are lost on UDP 5060.",
    "sip-alg.via-port": "Calls may drop, go silent or stop arriving: something on the path sends answers to SIP on UDP 5060 to the port that "
    "Via names.",
    "sip-alg.rewritten": "Calls may ring but be silent: 192.168.1.1 rewrites SIP on UDP 5060, and RTP 15000-15009 does not arrive.",
    "port-forwarding.wrong-host": "Calls from outside may not arrive: UDP 5060 leads to another machine.",
    "port-forwarding.wrong-port": "Calls from outside may not arrive: TCP 5061 arrives at another port of this machine.",
    "port-forwarding.reverse-path": "Calls from outside may not arrive: this machine's own check of senders (rp_filter) drops UDP 5060.",
    "port-forwarding.led-on-here": "Calls from outside may not arrive: this machine's own rules lead UDP 5060 on to a container or a virtual machine.",
    "port-forwarding.listens-elsewhere": "The way in is open, but calls from outside may not be heard: nobody listens where UDP 5060 and "
    "TCP 5060-5061 come in.",
    "port-forwarding.no-listener": "Calls from outside may not arrive: the router's rule leads UDP 5060 to a port of this machine on "
    "which nothing listens.",
    "port-forwarding.no-rule": "Calls from outside may not arrive: UDP 5060 and TCP 5061 are not forwarded.",
    "port-forwarding.blocked": "Calls from outside may not arrive: UDP 5060 does not arrive.",
    "port-forwarding.refused": "Calls from outside may not arrive: TCP 5060 is refused.",
    "rtp-range.inbound-blocked": "Calls may ring but be silent: RTP 15000-15009 does not arrive.",
    "rtp-range.outbound-blocked": "Calls may ring but be silent: RTP 10000-10099 does not get out.",
    "rtp-range.return-blocked": "Calls may ring but be silent: RTP 10000-10099 gets no answer back.",
    "nat-behavior.endpoint-dependent-mapping": 'Audio may go one way only: the public port changes with each destination ("symmetric" NAT), '
    "RTP 10000-20000 too.",
    "rtp-range.remapped": "Audio may go one way only: RTP 10000-20000 leaves by other ports.",
    "sip-alg.only-sip-passes": "Phones and trunks that register may be unreachable between keep-alives: something on the path drops "
    "keep-alives on UDP 5060.",
    "port-preservation.remapped": "Audio may go one way only: the NAT changes port numbers, RTP 10000-20000 too.",
    "port-preservation.one-port-remapped": "Audio may go one way only: UDP 5060 leaves by another port.",
    "mapping-lifetime.very-short": "Phones and trunks that register may be unreachable between keep-alives: the UDP mapping is forgotten after 5 to 10 s.",
    "nat-behavior.pooling": "Audio may go one way only: this network leaves by several public addresses.",
    "port-forwarding.held-by-another": "Calls from outside may not arrive: UDP 5060 is held by another device in the router.",
    "port-forwarding.provider-drops": "Calls from outside may not arrive: UDP 5060 is turned away before the router.",
    "port-forwarding.router-refuses": "Calls from outside may not arrive: UDP 5060-5061 are refused by the router itself.",
    "port-forwarding.router-answers": "Calls from outside may not arrive: UDP 5060 is answered by the router itself.",
    "port-forwarding.answered-before": "Calls from outside may not arrive: TCP 5060 is answered by something before the router.",
    "port-forwarding.answered": "Calls from outside may not arrive: UDP 5060 does not reach this machine.",
    "port-forwarding.filtered-behind": "Calls from outside may not arrive: UDP 5060 is filtered behind the router's rule.",
    "outbound.captive-portal": "Registrations and calls may fail: a captive portal or web proxy stands before the internet.",
    "outbound.blocked": "Registrations and calls may fail: UDP 5060 does not get out to the server.",
    "outbound.refused": "Registrations and calls may fail: TCP 5060 is refused on its way out.",
    "outbound.intercepted": "Registrations and calls may fail: somebody else answers on TLS 5061 in the server's place.",
    "outbound.dns-intercepted": "Registrations and calls may fail: this network answers DNS itself, whoever is asked.",
    "host.vpn": "Calls from outside may not arrive: the checks went through a VPN (wg0), at whose far end UDP 5060 is not let in.",
    "host.clock": "Registrations and calls may fail: this machine's clock is wrong.",
    "host.sip-helper": "Calls may drop, go silent or stop arriving: this machine's own kernel has a SIP ALG in force.",
    "sip-alg.pinhole": "Calls may drop, go silent or stop arriving: something on the path opens ports at SIP's word on UDP 5060.",
    "topology.several-routes": "Audio may go one way only: this machine has several ways out.",
    "topology.wan-address-differs": "Audio may go one way only: the router names a WAN address that nobody outside sees.",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.causes[0])
def test_each_rule_has_its_sentence(rule):
    assert headline(*SAVED[rule.causes[0]]) == SENTENCES[rule.causes[0]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.causes[0])
def test_each_rule_says_nothing_of_what_passed(rule):
    """The same ids as passes: nothing holds."""
    passed = result(*(finding(cause, "pass") for cause in rule.causes), id="x")
    assert held(Facts((passed,), PROFILE, SERVER)) == ()


@pytest.mark.parametrize("id", sorted({id for rule in RULES for id in rule.causes} | {"port-forwarding.answered", "port-forwarding.undecided"}))
def test_nobody_is_told_to_do_nothing_about_a_trouble(id):
    for verdict in ("fail", "warn", "inconclusive"):
        assert not any(step.startswith("Nothing") for step in advice(result(finding(id, verdict, "UDP 5060"))))
