"""What to do: fits this network where it can, never sends anybody after a switch that does not exist."""

import msgspec
import pytest

from edgecheck.diagnosis import diagnose
from edgecheck.model.profile import PortNeed
from edgecheck.model.verdict import ServerFacts
from tests.reports import PROFILE, SERVER, alg, clean, finding, forwarded, nat, preserved, result, rtp, rtp_open, skipped


def advice(*results, server=SERVER):
    return diagnose(results, PROFILE, server)[2]


def test_nothing_to_do_when_all_is_fine():
    assert advice(forwarded("UDP 5060"), rtp_open(), nat(), preserved(), clean(), skipped("x", "y")) == ()


def test_a_rule_that_ends_too_early():
    assert advice(rtp(((12000, 20000),)), nat()) == (
        "The RTP rule seems to end at 11999; profile asterisk uses 10000-20000. In the router, forward UDP 10000-20000 (RTP) to 192.168.1.20.",
    )


def test_a_rule_that_begins_too_late():
    assert advice(rtp(((10000, 10499),)), nat())[0].startswith("The RTP rule seems to begin at 10500; ")


def test_no_rule_at_all():
    assert advice(rtp(((10000, 20000),)), nat()) == ("In the router, forward UDP 10000-20000 (RTP) to 192.168.1.20.",)


def test_holes_in_the_middle():
    assert advice(rtp(((10500, 10509), (11000, 11000))), nat())[0].startswith("RTP 10500-10509, 11000 is missing in the rule")


def rtp_of_cause(*found, blocked=((12000, 20000),)):
    """``rtp-range``, a finding for each (subject, causes, sentence)."""
    findings = (
        finding("rtp-range.inbound-blocked", "fail", subject, summary, observed=f"{subject.removeprefix('UDP ')}: {causes}") for subject, causes, summary in found
    )
    return result(*findings, observation={"range": [10000, 20000], "inbound_blocked": [list(one) for one in blocked]})


def test_rtp_that_is_led_elsewhere_needs_no_new_rule():
    assert advice(rtp_of_cause(("UDP 12000-20000", "wrong-host", "")), nat()) == (
        "Let the router's rule for UDP 12000-20000 (RTP) lead to 192.168.1.20, this machine.",
    )


@pytest.mark.parametrize(
    ("causes", "begins"),
    [
        ("no-rule", "The RTP rule seems to end at 11999; "),
        ("host-firewall", "In this machine's own firewall, let in UDP 12000-20000 "),
        ("provider-drops", "Ask the provider whether it filters UDP 12000-20000; "),
        ("carrier-grade-nat", "Ask the provider for a public address of your own: "),
        ("no-listener", "In the router's rule, make the internal port equal to the external one"),
        ("led-on-here", "See which container publishes the port (docker ps)"),
        ("wrong-port", "In the router's rule, make the internal port equal to the external one"),
    ],
)
def test_rtp_is_let_in_where_its_cause_is(causes, begins):
    (step,) = advice(rtp_of_cause(("UDP 12000-20000", causes, "")), nat())
    assert step.startswith(begins)
    assert ("forward" in step) is (causes in ("no-rule", "provider-drops"))


def test_rtp_of_two_causes_is_two_steps():
    blocked = ((11000, 11999), (15000, 20000))
    first, second = advice(rtp_of_cause(("UDP 11000-11999", "wrong-host", ""), ("UDP 15000-20000", "no-rule", ""), blocked=blocked), nat())
    assert first.startswith("Let the router's rule for UDP 11000-11999")
    assert second.startswith("RTP 11000-11999, 15000-20000 is missing in the rule or taken by another one; ")


def test_a_rule_for_the_wrong_ports_of_a_pair_or_the_wrong_transport():
    odd = tuple((port, port) for port in range(10001, 10040, 2))
    (step,) = advice(rtp_of_cause(("UDP 10001-10039 (odd ports)", "no-rule", ""), blocked=odd), nat())
    assert step.startswith("The RTP rule seems to let in every other port; ")
    over_tcp = ("UDP 10000-20000", "no-rule", "RTP does not arrive; over TCP it is let in, so the rule seems to be for TCP alone.")
    (step,) = advice(rtp_of_cause(over_tcp, blocked=((10000, 20000),)), nat())
    assert step.startswith("The RTP rule seems to be for TCP: RTP is UDP. In the router, forward UDP 10000-20000")


def test_slower_does_not_help_against_ones_own_firewall():
    summary = "RTP from 10060-10099 could not be told: this machine's own system refuses to send from some of these ports: look at its firewall."
    (step,) = advice(result(finding("rtp-range.undecided", "inconclusive", "UDP 10060-10099", summary)))
    assert step.startswith("In this machine's own firewall, let out UDP 10060-10099 ")


def test_without_translation_nobody_forwards():
    (step,) = advice(rtp(((10000, 20000),)), nat(behind_nat=False))
    assert step.startswith("In the firewall before this machine")
    assert "forward" not in step


def test_where_this_machine_lives_is_not_invented():
    assert advice(rtp(((10000, 20000),))) == ("In the router, forward UDP 10000-20000 (RTP) to this machine.",)


def test_ports_of_one_cause_are_one_step():
    ports = result(*(finding("port-forwarding.blocked", "fail", subject) for subject in ("UDP 5060", "TCP 5061")))
    assert advice(ports, nat()) == (
        "In the router, forward UDP 5060 and TCP 5061 to 192.168.1.20; if there is such a rule, look at this machine's own firewall.",
    )


def test_the_way_round_an_alg_is_one_that_was_seen_to_work():
    ways = (("udp", 5060, "rewritten"), ("tcp", 5060, "undecided"), ("udp", 5080, "rewritten"), ("tls", 5061, "unchanged"))
    (step,) = advice(alg("UDP 5060", ways=ways))
    assert step.splitlines()[1] == "Or move the phones and trunks to TLS 5061: SIP passed untouched there."
    (step,) = advice(alg("UDP 5060", ways=ways[:3]))
    assert "untouched" not in step


def test_a_way_on_which_anything_else_is_the_matter_is_no_way_round():
    ways = (("udp", 5060, "rewritten"), ("tls", 5061, "unchanged"), ("tcp", 5060, "unchanged"))
    opened = result(finding("sip-alg.certificate-replaced", "fail", "TLS 5061"))
    (step, *_) = [one for one in advice(alg("UDP 5060", ways=ways), opened) if "Or move" in one]
    assert "Or move the phones and trunks to TCP 5060: SIP passed untouched there." in step


def test_one_probe_that_was_touched_spoils_a_way():
    ways = (("tcp", 5060, "unchanged"), ("tcp", 5060, "rewritten"))
    assert "untouched" not in advice(alg("UDP 5060", ways=ways))[0]


def test_the_short_list_of_vendors_is_short_and_names_those_without_a_switch():
    (step,) = advice(alg("UDP 5060"))
    assert "OPNsense and pfSense have none" in step
    assert "explain sip-alg.rewritten" in step
    assert len(step) < 330, "about three lines"


def test_undecided_says_how_to_find_out():
    assert advice(result(finding("rtp-range.undecided", "inconclusive", "x"))) == ("Run rtp-range again, slower: --pace 200.",)


def test_on_loopback_the_way_on_is_named():
    assert any("edgecheck-server on a host outside" in step for step in advice(preserved(), server=ServerFacts(address="127.0.0.1")))


def test_every_trouble_gets_remedies_and_what_is_fine_gets_none():
    results, _, _ = diagnose((alg("UDP 5060"), rtp(((12000, 20000),)), preserved(), skipped("x", "y")), PROFILE, SERVER)
    for each in (found for one in results for found in one.findings):
        assert bool(each.remedies) == (each.verdict in ("fail", "warn", "inconclusive")), each.id


def test_diagnosing_twice_adds_nothing():
    once, headline, steps = diagnose((alg("UDP 5060"), rtp(((12000, 20000),))), PROFILE, SERVER)
    assert diagnose(once, PROFILE, SERVER) == (once, headline, steps)


def test_the_verdicts_are_not_touched():
    given = (alg("UDP 5060"), preserved(), skipped("x", "y"))
    treated = diagnose(given, PROFILE, SERVER)[0]
    assert [(each.verdict, [f.verdict for f in each.findings]) for each in treated] == [(each.verdict, [f.verdict for f in each.findings]) for each in given]


def test_where_this_machine_lives_is_known_from_the_ports_too():
    ports = result(finding("port-forwarding.no-rule", "fail", "UDP 5060"), observation={"local_address": "192.168.1.30", "ports": []})
    assert advice(ports)[0].startswith("In the router, forward UDP 5060 to 192.168.1.30")
    assert "to this machine" in advice(result(finding("port-forwarding.no-rule"), observation={"local_address": "x"}))[0]


def test_what_a_check_says_of_finding_out_comes_before_what_holds_in_general():
    found = finding("sip-alg.undecided", "inconclusive", "UDP 5060", remedies=("Ask another server.",))
    assert advice(result(found)) == ("Ask another server.",)


def test_a_server_that_is_not_reached_is_no_check_to_run_again():
    control = result(finding("control.unreachable", "inconclusive", "h:8443", "Could not reach h:8443."))
    (step,) = advice(control, result(finding("outbound.undecided", "inconclusive", "h", "h refuses all.")), server=None)
    assert step.startswith("Check that edgecheck-server runs there")


OPTIONAL = msgspec.structs.replace(
    PROFILE,
    ports=(
        PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip"),
        PortNeed(ports="4569", transport="udp", purpose="IAX2, if used", required=False),
        PortNeed(ports="8089", transport="tcp", purpose="WebRTC phones (secure WebSocket), if used", required=False),
    ),
)


def closed(*found, cause="no-rule"):
    name = f"port-forwarding.{cause if ' or ' not in cause else 'blocked'}"
    tell = ("To tell which of the 2 causes it is: look.",) if " or " in cause else ()
    return result(*(finding(name, verdict, subject, observed=f"blocked: {cause}", remedies=tell) for verdict, subject in found))


@pytest.mark.parametrize(
    ("cause", "step"),
    [
        ("no-rule", "In the router, forward UDP 5060 (and, if used, UDP 4569 and TCP 8089) to 192.168.1.20; if there is such a rule,"),
        ("wrong-host", "Let the router's rule for UDP 5060 (and, if used, UDP 4569 and TCP 8089) lead to 192.168.1.20, this machine."),
        ("host-firewall", "In this machine's own firewall, let in UDP 5060 (and, if used, UDP 4569 and TCP 8089) (look at:"),
        (
            "no-rule or provider-drops",
            "See that there is a rule, and a right one: in the router, forward UDP 5060 (and, if used, UDP 4569 and TCP 8089) to 192.168.1.20.",
        ),
    ],
)
def test_nobody_is_told_to_open_what_is_optional_unless_it_is_used(cause, step):
    both = closed(("fail", "UDP 5060"), ("warn", "UDP 4569"), ("warn", "TCP 8089"), cause=cause)
    assert diagnose((both, nat()), OPTIONAL, SERVER)[2][0].startswith(step)
    (first, *_) = diagnose((closed(("warn", "UDP 4569"), ("warn", "TCP 8089")), nat()), OPTIONAL, SERVER)[2]
    assert first == (
        "Only if you use it (UDP 4569: IAX2; TCP 8089: WebRTC phones): in the router, forward UDP 4569 and TCP 8089 to 192.168.1.20."
    )


def test_through_two_routers_only_what_is_needed_is_asked_for():
    both = closed(("fail", "UDP 5060"), ("warn", "UDP 4569"))
    _, headline, (step, *_) = diagnose((both, result(finding("topology.double-nat", "warn", "routers")), nat()), OPTIONAL, SERVER)
    assert headline.endswith("(double NAT), and UDP 5060 does not arrive through both.")
    assert "Or forward UDP 5060 (and, if used, UDP 4569) in both: " in step


def test_nobody_looks_for_the_cause_of_a_port_that_may_not_be_needed():
    several = closed(("warn", "UDP 4569"), cause="no-rule or provider-drops")
    (step,) = diagnose((several, nat()), OPTIONAL, SERVER)[2]
    assert step.startswith("Only if you use it (UDP 4569: IAX2): see that there is a rule, and a right one: ")


@pytest.mark.parametrize(
    ("sentence", "step"),
    [
        ("The name h could not be resolved: check the spelling.", "Check the spelling of the server's name, and this machine's DNS."),
        ("Could not reach h: this machine has no such address. Give --source one of its own.", "Change --source, -4 or -6 "),
        ("h is not an IPv6 address, as the options ask for (-4, -6, --source): change one of them.", "Change --source, -4 or -6 "),
        ("h is the server's alternate address, which must stay uncontacted", "Run again with the server's primary address."),
        ("The session with h:8444 had not come about 2.1 s after it was asked for, when the run was ended", "Run it again and give it 20 s: "),
        ("Could not reach h:8444: refused.", "Check that edgecheck-server runs there and that its control port (TCP 8444) is open"),
    ],
)
def test_a_server_that_is_not_reached_is_looked_for_where_it_fails(sentence, step):
    (told,) = advice(result(finding("control.unreachable", "inconclusive", "h:8444", sentence)), server=None)
    assert told.startswith(step)


def test_a_sip_port_that_nothing_gets_through_sends_nobody_to_run_it_again():
    silent = finding("sip-alg.undecided", "inconclusive", "UDP 5060", "UDP 5060 could not be told: nothing got through, SIP no more than anything")
    ways = [{"transport": "tls", "server_port": 5061, "method": "INVITE", "request": "unchanged", "response": "unchanged", "changes": []}]
    sip = result(silent, observation={"interference": None, "probes": ways})
    assert advice(sip) == (
        "Nothing gets through to UDP 5060 of the server: run outbound, which looks for who closes it. Meanwhile SIP can use TLS 5061: it passed there.",
    )
    untold = result(finding("outbound.undecided", "inconclusive", "UDP 5060", "UDP 5060 could not be told; nobody else is known to have reached it"))
    (step,) = advice(sip, untold)
    assert step.startswith("Run this once from another network")
    assert step.endswith(" Meanwhile SIP can use TLS 5061: it passed there.")


def test_a_portal_is_to_be_logged_in_to_before_anybody_looks_at_the_server():
    sentence = "Something answered at h:8443, but it is not an edgecheck server (HTTP 302): a captive portal or another web server. Log in to the network first, or check host and port."
    (told,) = advice(result(finding("control.unreachable", "inconclusive", "h:8443", sentence)), server=None)
    assert told.startswith("Open a browser on this network and log in")


def test_what_this_machine_refuses_to_send_is_let_out_here():
    own = "This machine's own system refuses to send to UDP 5060: look at its firewall."
    (told,) = advice(result(finding("outbound.refused", "warn", "UDP 5060", own)))
    assert told.startswith("In this machine's own firewall, let out UDP 5060")


CARRIER = result(finding("topology.carrier-grade-nat", "warn", "NAT", "The provider translates addresses too."), observation={"cgnat": True})


def test_no_finding_tells_to_forward_what_another_says_cannot_be_forwarded():
    """Each finding carries its own steps: those of one that follows from carrier-grade NAT are that one's."""
    ports = result(finding("port-forwarding.no-rule", "fail", "UDP 5060", "UDP 5060 does not arrive."))
    treated, _, _ = diagnose((CARRIER, ports, rtp_of_cause(("UDP 10000-20000", "no-rule", "RTP does not arrive.")), nat()), PROFILE, SERVER)
    steps = {found.id: found.remedies for checked in treated for found in checked.findings}
    for follows in ("port-forwarding.no-rule", "rtp-range.inbound-blocked"):
        assert steps[follows]
        assert all("In the router, forward" not in step and "public address" in step for step in steps[follows]), steps[follows]


def test_behind_a_vpn_the_router_at_home_is_not_where_ports_are_forwarded():
    ports = result(finding("port-forwarding.no-rule", "fail", "UDP 5060", "UDP 5060 does not arrive."))
    vpn = result(finding("host.vpn", "warn", "wg0", "The checks went through a tunnel (wg0): what they say is of the VPN's far end."))
    router = result(
        finding("topology.single-nat", "pass", "NAT"), observation={"router": {"manufacturer": "AVM", "model": "FRITZ!Box 7590", "wan_address": None, "protocol": "upnp"}}
    )
    (treated, *_), headline, steps = diagnose((ports, vpn, router, nat()), PROFILE, SERVER)
    assert headline == "Calls from outside may not arrive: the checks went through a VPN (wg0), at whose far end UDP 5060 is not let in."
    assert steps[0].startswith("Switch the VPN off")
    for step in (*steps, *treated.findings[0].remedies):
        assert "FRITZ" not in step
        assert "In the router" not in step


@pytest.mark.parametrize(("maker", "model"), [("Cisco", "ASA 5506"), ("Cisco", "IOS ISR")])
def test_a_change_that_a_reboot_would_undo_is_kept_first(maker, model):
    """What is typed into the running configuration is gone after a reboot."""
    router = result(
        finding("topology.single-nat", "pass", "NAT"), observation={"router": {"manufacturer": maker, "model": model, "wan_address": None, "protocol": "upnp"}}
    )
    (step,) = advice(router, alg("UDP 5060"))
    assert "write memory" in step
    assert "Reboot it" not in step


def test_a_pfsense_that_rewrites_sip_has_a_package_to_be_removed():
    router = result(
        finding("topology.single-nat", "pass", "NAT"), observation={"router": {"manufacturer": "Netgate", "model": "pfSense", "wan_address": None, "protocol": "upnp"}}
    )
    (step,) = advice(router, alg("UDP 5060"))
    assert "remove it where it is installed" in step


def test_answers_that_stay_away_are_looked_for_where_they_may_be_kept():
    words = "What is sent to UDP 5060 reaches the server, and no answer comes back: this machine's own firewall, this network or the server's keeps the answers."
    (step,) = advice(result(finding("outbound.undecided", "inconclusive", "UDP 5060", words)))
    assert step.startswith("See that answers from UDP 5060 of the server are let in again")
    assert "when its packets reach that port" not in step


# ---- a port that arrives where nobody listens


SIP_PORTS = msgspec.structs.replace(
    PROFILE,
    ports=(
        PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip"),
        PortNeed(ports="5061", transport="tcp", purpose="SIP over TLS", protocol="sips"),
        PortNeed(ports="8089", transport="tcp", purpose="web", protocol="web", required=False),
    ),
)


def unheard(*holders, subject="UDP 5060", **more):
    """``holders``: (program, address)..."""
    transport, _, number = subject.partition(" ")
    told = [{"program": program, "address": address} for program, address in holders]
    row = {"transport": transport.lower(), "port": int(number), "state": "forwarded", "listens_elsewhere": told}
    seen = {"ports": [row], "local_address": "192.168.1.20"}
    return result(finding("port-forwarding.listens-elsewhere", "warn", subject, observed="forwarded, unheard"), observation={**seen, **more})


@pytest.mark.parametrize(
    ("program", "pbx", "setting"),
    [
        ("asterisk (pid 812)", "", "(Asterisk: bind=192.168.1.20:5060 in the transport of pjsip.conf)"),
        ("asterisk (pid 812)", "freepbx", "(FreePBX: the pjsip transports in Settings > Asterisk SIP Settings (unverified))"),
        ("freeswitch (pid 3)", "asterisk", "(FreeSWITCH: sip-ip 192.168.1.20 in the SIP profile)"),
        ("kamailio (pid 9)", "", "(Kamailio: listen=udp:192.168.1.20:5060)"),
        ("3CXPhoneSystem.exe (pid 4)", "", "(3CX: network interface 192.168.1.20 in Advanced > Network)"),
        ("a program of the user pbx", "kamailio", "(Kamailio: listen=udp:192.168.1.20:5060)"),
        (
            "a program of the user pbx",
            "",
            "(Asterisk: bind=192.168.1.20:5060 in the transport of pjsip.conf; FreeSWITCH: sip-ip 192.168.1.20 in the SIP profile; Kamailio: "
            "listen=udp:192.168.1.20:5060; 3CX: network interface 192.168.1.20 in Advanced > Network)",
        ),
    ],
)
def test_who_listens_elsewhere_gets_the_setting_of_its_make_and_the_doubt(program, pbx, setting):
    profile = msgspec.structs.replace(SIP_PORTS, pbx=pbx)
    (step,) = diagnose((unheard((program, "127.0.0.1")),), profile, SERVER)[2]
    assert step == (
        f"If {program} is the PBX, let it listen at 192.168.1.20 for UDP 5060 {setting}, restart it and run this again. If it is not, or if "
        "whoever listens there was stopped for this test: start the PBX and run this again, it is asked then."
    )


def test_who_listens_on_another_address_may_be_meant_to():
    one = unheard(("asterisk (pid 812)", "10.8.0.2"), ("asterisk (pid 812)", "127.0.0.1"), ("asterisk (pid 812)", "::"))
    steps = diagnose((one,), SIP_PORTS, SERVER)[2]
    assert len(steps) == 2
    assert steps[0].count("asterisk (pid 812)") == 1
    assert steps[1] == "Or, where asterisk (pid 812) is meant to be reached at 10.8.0.2: let the rule lead there, and test that address: edgecheck run --source 10.8.0.2."


@pytest.mark.parametrize(
    ("here", "addresses", "told"),
    [
        ("192.168.1.20", ("::",), "Or, where calls are to come over IPv6 alone: nothing is wrong; test that one: edgecheck run -6."),
        ("192.168.1.20", ("::1",), None),
        ("192.168.1.20", ("::", "127.0.0.1"), None),
        ("2001:db8::20", ("0.0.0.0",), "Or, where calls are to come over IPv4 alone: nothing is wrong; test that one: edgecheck run -4."),
        ("2001:db8::20", ("10.8.0.2",), "Or, where calls are to come over IPv4 alone: nothing is wrong; test that one: edgecheck run -4."),
        ("2001:db8::20", ("2001:db8::21",), None),
    ],
)
def test_who_listens_over_the_other_ip_may_be_right(here, addresses, told):
    seen = unheard(*(("asterisk (pid 812)", address) for address in addresses), local_address=here)
    steps = diagnose((seen,), SIP_PORTS, SERVER)[2]
    assert [step for step in steps if "IPv" in step] == ([told] if told else [])
    at = f"[{here}]:5060" if ":" in here else f"{here}:5060"
    assert f"bind={at} " in steps[0]


def test_a_container_that_is_published_elsewhere_is_to_be_published_here():
    (step,) = diagnose((unheard(("docker-proxy (pid 77)", "127.0.0.1")),), SIP_PORTS, SERVER)[2]
    assert step.startswith(
        "If docker-proxy (pid 77), a container's, is the PBX, let it listen at 192.168.1.20 for UDP 5060 (Docker: publish it on 192.168.1.20 "
        "or on every address, -p 5060:5060/udp), restart it"
    )


def test_a_setting_for_sip_over_tls_is_one():
    (step,) = diagnose((unheard(("kamailio (pid 9)", "127.0.0.1"), subject="TCP 5061"),), SIP_PORTS, SERVER)[2]
    assert "(Kamailio: listen=tls:192.168.1.20:5061)" in step


def test_a_web_service_that_listens_elsewhere_gets_no_setting_of_sip():
    (step,) = diagnose((unheard(("nginx (pid 5)", "127.0.0.1"), subject="TCP 8089"),), SIP_PORTS, SERVER)[2]
    assert step == (
        "If nginx (pid 5) is to be reached from outside (TCP 8089), let it listen at 192.168.1.20, restart it and run this again. If it is "
        "not, nothing is wrong but that the way in is open: close it."
    )


@pytest.mark.parametrize("ports", [None, "x", [None], [{"state": "forwarded", "port": 5060, "listens_elsewhere": 7}], [{"state": "forwarded", "port": 5060, "listens_elsewhere": [{"program": None}, 3]}]])
def test_who_listens_elsewhere_may_be_missing_in_a_saved_report(ports):
    (step,) = advice(unheard(("x", "y"), ports=ports))
    assert step.startswith("If it is the PBX, let it listen at this machine's address, or at all of them")


def test_answers_that_stay_out_speak_for_a_filter_and_not_for_a_missing_rule():
    closed = finding(
        "port-forwarding.blocked",
        "fail",
        "UDP 5060",
        observed="blocked: no-rule or provider-drops",
        remedies=("To tell which of the 2 causes it is: look.",),
    )
    row = {"transport": "udp", "local": 5060, "mapped": None, "reason": "the server received 10 of 10 copies from 203.0.113.1:5060, its answers did not come back"}
    lost = result(finding("port-preservation.undecided", "inconclusive", "UDP 5060"), observation={"ports": [row]})
    first, *_ = advice(result(closed), lost, nat())
    assert first.startswith("Ask the provider about UDP 5060 first: ")
    assert "A missing rule does not explain that" in first
    heard = result(finding("port-preservation.preserved", "pass", "ports"), observation={"ports": [{**row, "mapped": 5060, "reason": ""}]})
    assert advice(result(closed), heard, nat())[0].startswith("See that there is a rule")
