"""What is known of this router goes to whom it fits, and to nobody else."""

import pytest

from edgecheck.diagnosis import diagnose, knowledge
from edgecheck.diagnosis.facts import Facts
from edgecheck.model.router import RouterName
from tests.reports import PROFILE, SERVER, alg, clean, finding, nat, result, rtp

NETGEAR = {"manufacturer": "NETGEAR, Inc.", "model": "R7000", "wan_address": "203.0.113.9", "protocol": "upnp"}


def topology(router):
    return result(finding("topology.single-nat", "pass", "path"), observation={"router": router})


def advice(*results):
    return diagnose(results, PROFILE, SERVER)[2]


@pytest.mark.parametrize(
    ("manufacturer", "model", "vendors"),
    [
        ("NETGEAR, Inc.", "R7000", ["Netgear"]),
        ("AVM Berlin", "FRITZ!Box 7590", ["AVM FRITZ!Box"]),
        ("FRITZ! Technology GmbH", "FRITZ!Box 5690 Pro", ["AVM FRITZ!Box"]),
        ("TP-LINK", "Archer C7", ["TP-Link"]),
        ("TP-Link", "ER605 Omada", ["TP-Link Omada"]),
        ("MikroTik", "Router OS", ["MikroTik RouterOS"]),
        ("OpenWrt", "OpenWrt router", ["OpenWrt"]),
        ("Ubiquiti Networks", "EdgeRouter X", ["Ubiquiti EdgeRouter"]),
        ("Ubiquiti Networks", "UniFi Dream Machine", ["Ubiquiti UniFi OS (UDM, UXG, UCG)"]),
        ("ASUSTeK Computer Inc.", "RT-AX88U", ["ASUS"]),
        ("pfSense", "FreeBSD router", ["pfSense"]),
        ("DrayTek Corp.", "Vigor2865", ["DrayTek Vigor"]),
        ("ZyXEL", "USG FLEX 200H", ["Zyxel USG FLEX H (uOS)"]),
        ("ZyXEL", "USG FLEX 200", ["Zyxel USG, ZyWALL"]),
        ("ZyXEL", "VMG8324-B10A", ["Zyxel DSL and fiber routers"]),
        ("Huawei Technologies Co., Ltd.", "HG8245", []),
        ("D-Link", "DIR-868L", []),
        ("Debian", "Debian router", []),
    ],
)
def test_a_router_is_known_by_what_it_calls_itself(manufacturer, model, vendors):
    assert [router.vendor for router in knowledge.routers_named(f"{manufacturer} {model}")] == vendors


def test_a_make_without_a_product_line_gives_every_line_of_it():
    assert len(knowledge.routers_named("Ubiquiti")) == 3
    assert all(router.vendor.startswith("Ubiquiti") for router in knowledge.routers_named("Ubiquiti"))


def test_patterns_are_plain_and_few_rows_lack_them():
    for router in knowledge.routers():
        assert all("(?" not in pattern for pattern in router.match), "plain patterns only: what they read comes from the network"
    unmatched = {router.vendor for router in knowledge.routers() if not router.match}
    assert unmatched == {"Linux router"}


def test_the_algs_steps_are_those_of_this_router():
    (step,) = advice(alg("UDP 5060"), topology(NETGEAR))
    first = step.splitlines()[0]
    assert first.startswith("Switch the SIP ALG off in NETGEAR, Inc. R7000 (found by UPnP): Advanced > Setup > WAN Setup: tick \"Disable SIP ALG\"")
    assert "TP-Link" not in step


def test_a_router_of_which_nothing_is_known_leaves_the_list_by_vendor():
    (step,) = advice(alg("UDP 5060"), topology({**NETGEAR, "manufacturer": "D-Link", "model": "DIR-868L"}))
    assert "Netgear: WAN Setup" in step


def test_an_alg_that_was_not_located_may_be_elsewhere():
    (step,) = advice(alg("UDP 5060", located=False), topology(NETGEAR))
    assert "NETGEAR" in step
    assert "another box on the way does it: a second router, the provider, or what stands before the echo server." in step


@pytest.mark.parametrize("loaded", [True, False])
def test_an_alg_that_was_not_located_may_be_elsewhere_whatever_the_router(loaded):
    host = result(finding("host.fine", "pass", "this machine"), observation={"machine": {"sip_helper_loaded": loaded}})
    (step,) = advice(alg("UDP 5060", located=False), host)
    assert "Netgear: WAN Setup" in step
    assert "Should that change nothing, another box on the way does it: a second router, the provider, " in step
    assert ("or this machine itself (the kernel's SIP helper is loaded here)." in step) is loaded


def two_channels(hop, address, **more):
    """UDP was followed to its hop, TCP was not."""
    return result(
        finding("sip-alg.rewritten", "fail", "UDP 5060", f"Hop {hop} ({address}) rewrites SIP on UDP 5060."),
        finding("sip-alg.rewritten", "fail", "TCP 5060", "Something on the path rewrites SIP on TCP 5060."),
        observation={"located": [{"hop": hop, "address": address, "where": ["Via"], **more}], "probes": []},
    )


def test_a_router_is_not_cleared_of_what_was_not_followed():
    (step,) = advice(two_channels(2, "100.64.0.1"), topology(NETGEAR))
    assert "not your own router" not in step
    assert step.startswith("100.64.0.1 (hop 2) does it: ask whoever runs it")
    assert "\nWho does it on TCP 5060 was not seen. Switch the SIP ALG off in NETGEAR, Inc. R7000" in step


def test_a_router_is_not_the_only_one_that_may_do_what_was_not_followed():
    (step,) = advice(two_channels(1, "192.168.1.1"), topology(NETGEAR))
    assert step.count("Switch the SIP ALG off") == 1
    assert "\nWho does it on TCP 5060 was not seen: should it stay, another box on the way does it: a second router, " in step


def bounded(hop):
    """It is one of two neighbors."""
    summary = f"Hop {hop} (203.0.113.14), hop {hop + 1} (203.0.113.30) or a box between them answers SIP on UDP 5060 itself."
    span = {"hop": hop, "address": "203.0.113.14", "up_to_hop": hop + 1, "up_to_address": "203.0.113.30", "where": ["answer"]}
    return result(finding("sip-alg.answered-by-other", "fail", "UDP 5060", summary), observation={"located": [span], "probes": []})


@pytest.mark.parametrize("in_force", [True, False])
def test_this_machine_is_looked_at_where_it_may_be_the_one(in_force):
    summary = "This machine itself, hop 1 (192.168.1.1) or a box between them rewrites SIP on UDP 5060."
    span = {"hop": 0, "address": "this machine", "up_to_hop": 1, "up_to_address": "192.168.1.1", "where": ["Via"]}
    seen = result(finding("sip-alg.rewritten", "fail", "UDP 5060", summary), observation={"located": [span], "probes": []})
    helper = [result(finding("host.sip-helper", "warn", "nf_conntrack_sip", "In force."))] if in_force else []
    first, second = advice(seen, topology(NETGEAR), *helper)[0].splitlines()[:2]
    assert first.startswith("It is done before the first router tells of it: by this machine, by that router, or by a box between them.")
    assert ("has a SIP ALG in force: take that off first" in first) is in_force
    assert second.startswith("Switch the SIP ALG off in NETGEAR, Inc. R7000")
    assert "the provider" not in first + second


def test_nobody_is_sent_to_a_router_that_is_none_of_those_that_may_do_it():
    (step,) = advice(bounded(3), topology(NETGEAR))
    assert step.startswith("Hop 3 (203.0.113.14), hop 4 (203.0.113.30) or a box between them does it, not your own router: ask whoever runs it")
    assert "NETGEAR" not in step
    assert "Switch the SIP ALG off in" not in step


def test_no_remedy_of_a_finding_speaks_of_the_router_where_another_box_does_it():
    ((treated,), *_) = diagnose([bounded(3)], PROFILE, SERVER)
    assert not any("Switch the SIP ALG" in step for step in treated.findings[0].remedies)
    assert len(treated.findings[0].remedies) == 1


def test_a_router_that_may_be_the_one_is_looked_at_first():
    (step,) = advice(bounded(1), topology(NETGEAR))
    assert step.startswith("Switch the SIP ALG off in NETGEAR, Inc. R7000")
    assert "another box on the way does it" in step


def test_a_box_with_the_servers_own_address_is_no_part_of_this_network():
    seen = result(
        finding("sip-alg.rewritten", "fail", "UDP 5060", f"Hop 4 ({SERVER.address}) rewrites SIP on UDP 5060."),
        observation={"located": [{"hop": 4, "address": SERVER.address, "where": ["Request-URI"], "before_server": True}], "probes": []},
    )
    headline, (step,) = diagnose([seen], PROFILE, SERVER)[1:3]
    assert f"{SERVER.address} (before the echo server) rewrites SIP" in headline
    assert step.startswith(f"{SERVER.address} (hop 4) is the echo server's own address: this box stands before the echo server")
    assert "Switch the SIP ALG off in the router" not in step
    assert "provider, if" not in step


def test_the_last_router_before_the_server_may_be_the_servers_own_edge():
    seen = result(
        finding("sip-alg.rewritten", "fail", "UDP 5060", "Hop 3 (192.0.2.9) rewrites SIP on UDP 5060."),
        observation={"located": [{"hop": 3, "address": "192.0.2.9", "where": ["Via"], "before_server": True}], "probes": []},
    )
    (step,) = advice(seen)
    assert step.startswith("192.0.2.9 (hop 3) does it, not your own router: ask whoever runs it (the provider, if it is no second router of yours; ")
    assert "it may be the server's own edge" in step


def test_an_alg_at_the_provider_is_no_matter_of_this_router():
    seen = result(
        finding("sip-alg.rewritten", "fail", "UDP 5060", "Hop 2 (100.64.0.1) rewrites SIP on UDP 5060."),
        observation={"located": [{"hop": 2, "address": "100.64.0.1", "where": ["Via"]}], "probes": []},
    )
    (step,) = advice(seen, topology(NETGEAR))
    assert "NETGEAR" not in step
    assert step.startswith("100.64.0.1 (hop 2) does it, not your own router: ask whoever runs it")


def test_pfsense_users_are_not_sent_after_a_switch():
    (step,) = advice(alg("UDP 5060"), topology({"manufacturer": "pfSense", "model": "FreeBSD router", "protocol": "upnp"}))
    assert step.startswith("No switch for a SIP ALG is known in pfSense FreeBSD router (found by UPnP): pf has no SIP ALG")
    assert "Switch the SIP ALG off" not in step


def test_what_nobody_could_confirm_is_marked():
    (step,) = advice(alg("UDP 5060"), topology({"manufacturer": "Ubiquiti", "model": "UniFi Dream Machine", "protocol": "upnp"}))
    assert "(unverified)" in step
    for router in knowledge.routers():
        assert ("unverified" in router.told()) == (router.confidence == "unverified" or bool(router.unverified) or "unverified" in router.after)
        for topic in ("forwarding", "static_port", "udp_timeout"):
            setting = router.setting(topic)
            assert setting is None or ("(unverified)" in setting.told()) == (setting.confidence == "unverified")


def test_forwarding_is_told_in_the_routers_words():
    (step,) = advice(rtp(((10000, 20000),)), nat(), topology(NETGEAR))
    rule, where = step.splitlines()
    assert rule == "In the router, forward UDP 10000-20000 (RTP) to 192.168.1.20."
    assert where.startswith("NETGEAR, Inc. R7000 (found by UPnP): ADVANCED > Advanced Setup > Port Forwarding")


def test_without_translation_no_router_is_told_to_forward():
    (step,) = advice(rtp(((10000, 20000),)), nat(behind_nat=False), topology(NETGEAR))
    assert "NETGEAR" not in step


def test_ports_kept_and_mappings_kept_longer():
    pfsense = topology({"manufacturer": "pfSense", "model": None, "protocol": "upnp"})
    (step,) = advice(result(finding("port-preservation.remapped", "fail", "UDP")), pfsense)
    assert step.endswith('pfSense (found by UPnP): Firewall > NAT > Outbound: hybrid, a rule for the PBX and phones with "Static Port" ticked.')
    short = result(finding("mapping-lifetime.short", "fail", "UDP mapping"), observation={"recommended_keepalive_s": 15})
    (step,) = advice(short, pfsense)
    assert "to 15 s" in step
    assert "Optimization: Conservative" in step


def test_no_other_makes_setting_is_told_where_the_router_is_known():
    fritz = topology({"manufacturer": "AVM Berlin", "model": "FRITZ!Box 7590", "protocol": "upnp"})
    (step,) = advice(result(finding("port-preservation.remapped", "fail", "UDP")), fritz)
    assert "pfSense" not in step
    (step,) = advice(result(finding("port-preservation.remapped", "fail", "UDP")))
    assert "pfSense" in step


def test_where_there_is_no_switch_the_way_round_is_said_first():
    ways = (("udp", 5060, "rewritten"), ("tls", 5061, "unchanged"))
    fritz = topology({"manufacturer": "AVM Berlin", "model": "FRITZ!Box 7590", "protocol": "upnp"})
    (step,) = advice(alg("UDP 5060", ways=ways), fritz)
    first, second = step.splitlines()
    assert first == "Move the phones and trunks to TLS 5061: SIP passed untouched there."
    assert second.startswith("No switch for a SIP ALG is known in AVM Berlin FRITZ!Box 7590 (found by UPnP): ")
    (step,) = advice(alg("UDP 5060", ways=ways), topology(NETGEAR))
    assert step.splitlines()[-1] == "Or move the phones and trunks to TLS 5061: SIP passed untouched there."


def test_a_providers_router_gets_no_step_of_another_provider():
    speedport = topology({"manufacturer": "Deutsche Telekom", "model": "Speedport W 724V", "protocol": "upnp"})
    (step,) = advice(alg("UDP 5060"), speedport)
    assert "AT&T" not in step
    assert step.endswith("(unverified).")


@pytest.mark.parametrize("carrier", [False, True])
def test_a_timeout_that_few_keep_alives_hold_is_raised_first(carrier):
    short = result(finding("mapping-lifetime.very-short", "fail", "UDP mapping"), observation={"recommended_keepalive_s": 8})
    provider = result(finding("topology.carrier-grade-nat", "warn", "path"))
    step = next(step for step in advice(short, *([provider] if carrier else [])) if "qualify_frequency=8" in step)
    assert step.startswith("Set the NAT keep-alive" if carrier else "Raise the UDP timeout in the router")


@pytest.mark.parametrize(
    ("cause", "looked", "step"),
    [
        ("sip-longer", alg("UDP 5060"), "Switch the SIP ALG off in the router"),
        ("sip-shorter", alg("UDP 5060"), "Switch the SIP ALG off in the router"),
        ("sip-longer", clean(), "Leave it, unless calls fail: "),
        ("sip-shorter", clean(), "Look for a SIP ALG or a SIP session timeout in the router"),
        ("sip-longer", nat(), "Run sip-alg: "),
    ],
)
def test_nobody_is_told_to_look_for_an_alg_that_was_looked_for(cause, looked, step):
    (told,) = advice(looked, result(finding(f"mapping-lifetime.{cause}", "warn", "mapping made by SIP")))
    assert told.startswith(step)


@pytest.mark.parametrize(
    "router", [None, 7, {}, {"manufacturer": None, "model": None}, {"manufacturer": 7}, {"model": ["x"]}, {"manufacturer": "\n" * 9, "model": ""}]
)
def test_a_router_without_a_name_is_no_error(router):
    name = Facts((topology(router),), PROFILE, SERVER).router
    assert name is None or name.name
    assert advice(alg("UDP 5060"), topology(router))


def test_a_router_that_was_read_beside_the_checks_is_known_too():
    (beside,) = diagnose((alg("UDP 5060"),), PROFILE, SERVER, RouterName(protocol="upnp", manufacturer="NETGEAR, Inc.", model="R7000"))[2]
    (asked,) = advice(alg("UDP 5060"), topology(NETGEAR))
    assert beside == asked
    assert "NETGEAR, Inc. R7000 (found by UPnP)" in beside


def test_what_topology_was_told_goes_first():
    other = RouterName(protocol="upnp", manufacturer="Other", model="Box")
    assert Facts((topology(NETGEAR),), PROFILE, SERVER, other).router.name == "NETGEAR, Inc. R7000"


def test_a_long_name_is_cut():
    told = Facts((topology({**NETGEAR, "model": "x" * 9000}),), PROFILE, SERVER).router
    assert len(told.found) < 120


def test_a_name_is_not_said_twice():
    assert Facts((topology({**NETGEAR, "model": "NETGEAR, Inc. R7000"}),), PROFILE, SERVER).router.name == "NETGEAR, Inc. R7000"


def test_what_is_dropped_with_its_flow_points_to_application_control():
    evidence = ("OPTIONS: none of 12 arrived, while 12 of 12 non-SIP datagrams of 1211 bytes arrived, each from a port of its own (and 2 of 62)",)
    found = finding("sip-alg.destroyed", "fail", "UDP 5060", "Something on the path destroys SIP on UDP 5060.", evidence=evidence)
    (step,) = advice(result(found, observation={"located": None, "probes": []}), topology(NETGEAR))
    assert "as application control does: in a firewall that has it, allow SIP." in step
    (plain,) = advice(alg("UDP 5060", cause="destroyed", located=False), topology(NETGEAR))
    assert "application control" not in plain


@pytest.mark.parametrize("hop", [1, 2])
def test_an_unseen_box_behind_the_hop_is_told_of(hop):
    address = "192.168.1.1" if hop == 1 else "100.64.0.1"
    summary = f"Hop {hop} ({address}) or an unseen box right behind it rewrites SIP on UDP 5060 (Via in requests)."
    one = {"hop": hop, "address": address, "where": ["Via"], "or_unseen": True, "up_to_hop": None}
    seen = result(finding("sip-alg.rewritten", "fail", "UDP 5060", summary), observation={"located": [one], "probes": []})
    told = diagnose((seen, topology(NETGEAR)), PROFILE, SERVER)
    assert ("it is an unseen box right behind it" if hop == 1 else f"{address} (hop 2) or a box right behind it does it") in told[2][0]
    assert "or a box right behind it" in told[1]
