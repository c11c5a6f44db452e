"""One sentence for the person on the phone: the gravest thing, its cause, and nothing that is not proved."""

import msgspec
import pytest

from edgecheck.diagnosis import diagnose, leading_id
from edgecheck.model.profile import PortNeed
from edgecheck.model.verdict import ServerFacts
from tests.reports import PROFILE, SERVER, alg, clean, finding, forwarded, nat, preserved, result, rtp, rtp_open, skipped


def headline(*results, server=SERVER):
    return diagnose(results, PROFILE, server)[1]


def blocked(*subjects, verdict="fail", cause="blocked"):
    return result(*(finding(f"port-forwarding.{cause}", verdict, subject) for subject in subjects))


def test_ringing_but_silent():
    assert headline(forwarded("UDP 5060"), rtp(((12000, 20000),)), nat(), preserved(), alg("UDP 5060")) == (
        "Calls may ring but be silent: 192.168.1.1 rewrites SIP on UDP 5060, and RTP 12000-20000 does not arrive."
    )


def test_a_box_that_was_not_located_is_not_named():
    assert "something on the path rewrites SIP on UDP 5060 and TCP 5060" in headline(alg("UDP 5060", "TCP 5060", located=False))


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        ([blocked("UDP 5060")], "Calls from outside may not arrive: UDP 5060 does not arrive."),
        ([blocked("UDP 5060", "TCP 5061")], "Calls from outside may not arrive: UDP 5060 and TCP 5061 do not arrive."),
        ([blocked("TCP 5060", cause="refused")], "Calls from outside may not arrive: TCP 5060 is refused."),
        (
            [blocked("UDP 5060"), rtp(((10000, 20000),))],
            "Calls from outside may not arrive, and calls may be silent: UDP 5060 does not arrive, and RTP 10000-20000 does not arrive.",
        ),
        ([alg("UDP 5060", cause="destroyed", located=False)], "Registrations and calls may fail: something on the path drops SIP on UDP 5060."),
        (
            [result(finding("nat-behavior.udp-blocked", "fail", "UDP", "UDP does not leave this network."))],
            "No calls over UDP are possible here: UDP does not leave this network.",
        ),
        (
            [result(finding("port-preservation.remapped", "fail", "UDP"))],
            "Audio may go one way only: the NAT changes port numbers.",
        ),
        (
            [result(finding("control.intercepted", "fail", "h:8443", "Something between here and h opens TLS."))],
            "Something between here and h opens TLS.",
        ),
        ([result(finding("future.unknown", "fail", "x", "a new kind of trouble"))], "A new kind of trouble."),
    ],
)
def test_failures(results, sentence):
    assert headline(*results) == sentence


def test_a_failure_says_only_what_failed():
    sentence = headline(rtp(((12000, 20000),)), blocked("TCP 5061", verdict="warn"))
    assert "5061" not in sentence


def test_many_holes_and_many_ports_stay_one_sentence():
    assert "10500-10509, 11000, 15000-15100 and 1 more range does not arrive" in headline(
        rtp(((10500, 10509), (11000, 11000), (15000, 15100), (16000, 16001)))
    )
    assert "UDP 1, UDP 2, UDP 3, and 5 more do not arrive" in headline(blocked(*(f"UDP {port}" for port in range(1, 9))))


def test_warnings():
    symmetric = result(finding("nat-behavior.endpoint-dependent-mapping", "warn", "mapping"))
    assert headline(symmetric) == (
        'Calls should work, with a reservation: the public port changes with each destination ("symmetric" NAT).'
    )


def test_all_fine():
    assert headline(forwarded("UDP 5060"), rtp_open(), nat(), preserved(), clean()) == (
        "Nothing here stands in the way of calls: the ports asked for arrive, RTP 10000-20000 is open both ways, "
        "ports keep their numbers, and SIP passes untouched."
    )


@pytest.mark.parametrize("seen", [{"inbound_open": 0, "inbound_blocked": [[10000, 20000]]}, {"inbound_open": None, "inbound_blocked": []}])
def test_a_phone_that_nothing_must_reach_is_not_told_that_everything_does(seen):
    outward = result(finding("rtp-range.open", "pass", "10000-20000"), observation={"range": [10000, 20000], **seen})
    assert "RTP 10000-20000 gets out, and answers to it come back" in headline(outward)


def test_ports_that_were_not_tested_are_not_said_to_be_open():
    seen = {"range": [10000, 20000], "inbound_open": 9999, "inbound_blocked": [], "busy": [[15060, 15061]], "undecided": [[15060, 15061]]}
    told = headline(result(finding("rtp-range.open", "pass", "10000-20000"), observation=seen))
    assert "RTP 10000-20000 (but 15060-15061, in use here and not tested) is open both ways" in told


def test_a_part_that_is_fine_is_not_the_whole():
    assert headline(preserved()) == "What was checked is fine: ports keep their numbers."
    assert headline(preserved(), skipped("sip-alg", "x")) == "What was checked is fine: ports keep their numbers; sip-alg was not tested."


def test_undecided():
    lost = result(finding("sip-alg.undecided", "inconclusive", "UDP 5060", "Copies were lost."))
    assert headline(lost, preserved()) == "Nothing is known to be wrong, but sip-alg could not be told: copies were lost."
    assert headline(lost) == "Copies were lost."


def test_an_unreachable_server_speaks_for_itself():
    words = "Could not reach echo.example.net:8443: the connection was refused."
    unreachable = result(finding("control.unreachable", "inconclusive", "echo.example.net:8443", words))
    assert headline(unreachable, skipped("sip-alg", "there is no session"), server=None) == words


def test_nothing_tested():
    assert headline(skipped("sip-alg", "the server offers no sip-udp")).startswith("Nothing could be tested: ")


def test_on_loopback_the_first_words_say_so():
    for address in ("127.0.0.1", "127.0.0.2", "::1"):
        assert headline(preserved(), server=ServerFacts(address=address)).startswith(f"Only this machine was checked (echo server on {address}). ")
    assert not headline(preserved(), server=ServerFacts(address="echo.example.net")).startswith("Only")


@pytest.mark.parametrize("observation", [None, {}, {"located": 7, "probes": "x"}, {"located": [None], "probes": [None, {}]}, {"located": []}])
def test_an_observation_of_another_shape_is_no_error(observation):
    odd = result(finding("sip-alg.rewritten", "fail"), observation=observation)
    holes = result(finding("rtp-range.inbound-blocked", "fail", "x"), observation={"inbound_blocked": observation, "range": observation})
    assert "something on the path rewrites SIP on UDP 5060" in headline(odd, holes)


@pytest.mark.parametrize(
    ("results", "id"),
    [
        ([blocked("UDP 5060", verdict="warn"), alg("UDP 5060"), rtp(((12000, 20000),))], "sip-alg.rewritten"),
        ([blocked("TCP 5060"), result(finding("nat-behavior.udp-blocked", "fail", "UDP"))], "nat-behavior.udp-blocked"),
        ([result(finding("future.unknown", "fail", "x", "a new kind of trouble"))], "future.unknown"),
        ([result(finding("sip-alg.undecided", "inconclusive")), result(finding("outbound.undecided", "inconclusive"))], "outbound.undecided"),
        ([blocked("UDP 5060", verdict="warn")], "port-forwarding.blocked"),
        ([preserved()], None),
    ],
)
def test_what_the_first_line_is_about(results, id):
    assert leading_id(results, PROFILE, SERVER) == id


def of_cause(cause, ports, rtp_cause):
    """Ports and RTP that do not arrive, each with its causes."""
    single = " or " not in cause
    port = finding(f"port-forwarding.{cause if single else 'blocked'}", "fail", ports, observed=f"blocked: {cause}")
    audio = finding("rtp-range.inbound-blocked", "fail", "UDP 10000-20000", observed=f"10000-20000: {rtp_cause}")
    return headline(result(port), result(audio, observation={"range": [10000, 20000], "inbound_blocked": [[10000, 20000]]}))


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("no-rule", "UDP 5060 and RTP 10000-20000 are not forwarded"),
        ("wrong-host", "UDP 5060 and RTP 10000-20000 lead to another machine"),
        ("host-firewall", "this machine's own firewall drops UDP 5060 and RTP 10000-20000"),
        ("no-rule or provider-drops", "UDP 5060 and RTP 10000-20000 do not arrive (no rule or the provider turns it away)"),
    ],
)
def test_rtp_that_is_silent_for_the_same_cause_is_told_with_the_ports(cause, told):
    assert of_cause(cause, "UDP 5060", cause) == f"Calls from outside may not arrive, and calls may be silent: {told}."


def test_rtp_that_is_silent_for_another_cause_is_told_apart():
    assert of_cause("wrong-host", "UDP 5060", "no-rule").endswith(
        ": UDP 5060 leads to another machine, and RTP 10000-20000 does not arrive (no rule)."
    )
    assert "RTP 10000-20000 does not arrive (no rule or the provider" in of_cause("no-rule", "UDP 5060", "no-rule or provider-drops")


OPTIONAL = msgspec.structs.replace(
    PROFILE,
    ports=(
        PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip"),
        PortNeed(ports="8089", transport="tcp", purpose="WebRTC phones (secure WebSocket), if used", required=False),
    ),
)


@pytest.mark.parametrize(
    ("subject", "more", "sentence"),
    [
        ("TCP 8089", (), "Calls should work; only optional ports are closed: TCP 8089 is not forwarded."),
        ("UDP 5060", (), "Calls should work, with a reservation: UDP 5060 is not forwarded."),
        (
            "TCP 8089",
            (result(finding("topology.double-nat", "warn", "x", observed="y")),),
            "Calls should work, with a reservation: two routers in a row translate addresses (double NAT), "
            "and TCP 8089 does not arrive through both.",
        ),
    ],
)
def test_ports_that_the_profile_calls_optional_are_no_reservation(subject, more, sentence):
    closed = result(finding("port-forwarding.no-rule", "warn", subject, observed="blocked: no-rule"))
    assert diagnose((closed, *more), OPTIONAL, SERVER)[1] == sentence


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        ("UDP 5060", "The way in is open, but calls from outside may not be heard: nobody listens where UDP 5060 comes in."),
        ("TCP 8089", "Calls should work; only optional ports are closed or not heard: nobody listens where TCP 8089 comes in."),
    ],
)
def test_a_port_that_nobody_hears_is_no_mere_reservation(subject, sentence):
    unheard = result(finding("port-forwarding.listens-elsewhere", "warn", subject, observed="forwarded, unheard"))
    assert diagnose((unheard,), OPTIONAL, SERVER)[1] == sentence
