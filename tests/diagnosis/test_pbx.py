"""Settings for a PBX: only what was measured is set, and the files are in the form that the PBX reads."""

import configparser
from xml.etree import ElementTree

import msgspec
import pytest

from edgecheck import profiles
from edgecheck.diagnosis import settings_for_pbx
from edgecheck.diagnosis.pbx import FAMILIES
from edgecheck.model.profile import PortNeed
from edgecheck.model.verdict import ClientFacts, ServerFacts
from tests.reports import PROFILE, SERVER, alg, clean, finding, nat, result, rtp, rtp_open

CLIENT = ClientFacts(
    source="192.168.1.20",
    interfaces=(
        {"name": "lo", "addresses": ["127.0.0.1"], "networks": ["127.0.0.0/8"]},
        {"name": "docker0", "addresses": ["172.17.0.1"], "networks": ["172.17.0.0/16"]},
        {"name": "eth0", "addresses": ["192.168.1.20", "fe80::1"], "networks": ["192.168.1.0/24", "fe80::/64"]},
    ),
)
WAYS = (("udp", 5060, "unchanged"), ("tcp", 5060, "unchanged"), ("tls", 5061, "unchanged"))
TOUCHED = (("udp", 5060, "rewritten"), ("tcp", 5060, "unchanged"), ("tls", 5061, "unchanged"))


def lifetime(keepalive):
    return result(finding("mapping-lifetime.short", "warn", "UDP mapping"), observation={"recommended_keepalive_s": keepalive})


def unwrapped(text):
    """Comments of several lines as one."""
    return text.replace("\n; ", " ").replace("\n   ", " ")


def test_no_comment_is_broken_by_a_terminal_of_80_columns():
    for given in ((nat(), alg("UDP 5060", ways=TOUCHED)), (nat(), lifetimes(recommended_keepalive_s=None, udp_s=[0, 5]))):
        for pbx in ("asterisk", "kamailio", "freeswitch", "3cx", "freepbx", "fusionpbx"):
            for text in parts(pbx, *given).values():
                assert max(map(len, text.splitlines())) < 80, pbx
    assert "edgecheck run mapping-lifetime" in parts("asterisk", nat())["pjsip.conf"], "a command stays whole"


def untouched():
    return msgspec.structs.replace(clean(), observation=alg("UDP 5060", ways=WAYS).observation)


def parts(pbx, *results, client=CLIENT, profile=PROFILE):
    (settings,) = settings_for_pbx(results, profile, SERVER, client, pbx)
    assert settings.pbx == pbx
    assert all(part.text.endswith("\n") and part.where for part in settings.parts)
    return {part.where: part.text for part in settings.parts}


def sections(text):
    """As Asterisk reads it: ``;`` begins a comment; ``[name](!)`` is a template; a key may stand twice."""
    out, current = {}, None
    for line in text.splitlines():
        line = line.partition(";")[0].strip()
        if line.startswith("["):
            current = out.setdefault(line, [])
        elif line:
            key, equals, value = line.partition("=")
            assert equals, line
            current.append((key, value))
    return out


MEASURED = (nat(), rtp_open(), untouched(), lifetime(20))


def test_asterisk_gets_what_was_measured():
    files = parts("asterisk", *MEASURED)
    pjsip = sections(files["pjsip.conf"])
    assert pjsip["[transport-udp]"] == [
        ("type", "transport"),
        ("protocol", "udp"),
        ("bind", "0.0.0.0:5060"),
        ("external_media_address", "203.0.113.9"),
        ("external_signaling_address", "203.0.113.9"),
        ("local_net", "192.168.1.0/24"),
        ("local_net", "172.17.0.0/16"),
    ]
    assert ("rtp_symmetric", "yes") in pjsip["[across-edge](!)"]
    assert ("force_rport", "yes") in pjsip["[across-edge](!)"]
    assert ("qualify_frequency", "20") in pjsip["[across-edge-aor](!)"]
    assert ("keep_alive_interval", "20") in pjsip["[global]"]
    assert sections(files["rtp.conf"]) == {"[general]": [("rtpstart", "10000"), ("rtpend", "20000")]}
    assert "measured, open both ways" in files["rtp.conf"]


def lifetimes(**observed):
    return result(finding("mapping-lifetime.undecided", "inconclusive", "UDP mapping"), observation=observed)


def test_idle_connections_are_held_by_what_they_were_seen_to_live():
    """A keep-alive that holds UDP mappings may come too late on TCP."""
    files = parts("asterisk", nat(), lifetimes(recommended_keepalive_s=120, tcp_s=[15, 24]))
    assert ("qualify_frequency", "120") in sections(files["pjsip.conf"])["[across-edge-aor](!)"]
    assert ("keep_alive_interval", "10") in sections(files["pjsip.conf"])["[global]"]
    kamailio = parts("kamailio", nat(), lifetimes(recommended_keepalive_s=120, tcp_s=[15, 24]))
    assert "tcp_keepidle=10\n" in kamailio["kamailio.cfg, global parameters"]
    untold = parts("asterisk", nat(), lifetimes(recommended_keepalive_s=120, tcp_s=[45, None]))
    assert ("keep_alive_interval", "120") in sections(untold["pjsip.conf"])["[global]"]


def test_a_lifetime_that_no_keepalive_holds_is_not_called_unmeasured():
    text = unwrapped(parts("asterisk", nat(), lifetimes(recommended_keepalive_s=None, udp_s=[0, 5]))["pjsip.conf"])
    assert "live less than 5 s" in text
    assert "not measured (edgecheck run mapping-lifetime)" not in text
    assert "suits most routers" not in text
    assert "could not be measured" in parts("asterisk", nat(), lifetimes(udp_s=[10, None]))["pjsip.conf"]


def test_what_was_not_measured_is_a_comment_that_says_so():
    """Nothing but the profile and this machine's addresses are known."""
    files = parts("asterisk", result(finding("nat-behavior.undecided", "inconclusive", "NAT"), observation={"behind_nat": None}))
    pjsip = sections(files["pjsip.conf"])
    assert not any(key.startswith("external") or key == "local_net" for key, _ in pjsip["[transport-udp]"])
    for words in ("external address: not measured", "transport: not measured", "keep-alive: not measured"):
        assert words in files["pjsip.conf"]
    assert "whether it is open was not measured" in files["rtp.conf"]


def test_without_translation_no_external_address_is_set():
    for pbx in FAMILIES:
        told = "".join(parts(pbx, nat(behind_nat=False), untouched()).values())
        assert "203.0.113.9" not in told, pbx
        assert "nothing translates addresses here" in told, pbx


def test_several_public_addresses_are_none_to_set():
    """Which one it is depends on the line that a call leaves by."""
    several = result(
        finding("nat-behavior.pooling", "warn", "addresses"),
        observation={"behind_nat": True, "mapped_address": "203.0.113.9:40000", "pooling": "arbitrary"},
    )
    pjsip = parts("asterisk", several)["pjsip.conf"]
    assert "external_media_address" not in pjsip
    assert "several public addresses" in pjsip


def test_the_providers_address_is_called_that():
    provider = result(finding("topology.carrier-grade-nat", "warn", "path"))
    assert "is the provider's (carrier-grade NAT)" in parts("asterisk", nat(), provider)["pjsip.conf"]


def test_a_transport_that_an_alg_touches_is_not_chosen():
    files = parts("asterisk", nat(), alg("UDP 5060", ways=TOUCHED))
    assert "[transport-tls]" in files["pjsip.conf"]
    assert "SIP passed untouched on TLS 5061; on UDP 5060 that was not so" in unwrapped(files["pjsip.conf"])
    assert "transport: TLS" in parts("3cx", nat(), alg("UDP 5060", ways=TOUCHED))["the trunk's options"]
    assert "internal_ssl_enable=true" in parts("freeswitch", nat(), alg("UDP 5060", ways=TOUCHED))["vars.xml"]


def test_a_range_that_ends_early_may_end_there():
    text = unwrapped(parts("asterisk", nat(), rtp(((12000, 20000),)))["rtp.conf"])
    assert "12000-20000 does not arrive: forward it, or end the range at 11999" in text
    assert "rtpend=20000" in text


@pytest.mark.parametrize(
    ("cause", "more", "told"),
    [
        ("no-rule", (), "not one of these ports arrives: forward them"),
        ("carrier-grade-nat", (), "no rule in your router alone lets them in (carrier-grade NAT)"),
        ("no-rule", (result(finding("topology.carrier-grade-nat", "fail", "path")),), "no rule in your router alone lets them in"),
        ("host-firewall", (), "let them in in this machine's own firewall"),
        ("wrong-host", (), "see What to do in the report"),
        ("no-rule", (result(finding("host.vpn", "warn", "tun0")),), "see What to do in the report"),
    ],
)
def test_nobody_is_to_forward_what_no_rule_lets_in(cause, more, told):
    shut = finding("rtp-range.inbound-blocked", "fail", "UDP 10000-20000", observed=f"10000-20000: {cause}")
    seen = {"range": [10000, 20000], "inbound_open": 0, "inbound_blocked": [[10000, 20000]]}
    text = unwrapped(parts("asterisk", nat(), result(shut, observation=seen), *more)["rtp.conf"])
    assert told in text
    assert ("forward them" in text) is (told.endswith("forward them"))


def test_a_check_that_could_not_tell_is_not_called_unasked():
    seen = msgspec.structs.replace(CLIENT, public_address="203.0.113.9")
    silent = result(finding("nat-behavior.udp-blocked", "inconclusive", "UDP"), observation={"behind_nat": None})
    text = unwrapped(parts("asterisk", silent, client=seen)["pjsip.conf"])
    assert "as the echo server saw the control channel; nat-behavior could not tell it over UDP" in text
    assert "nat-behavior was not asked" in unwrapped(parts("asterisk", untouched(), client=seen)["pjsip.conf"])


def test_a_network_that_is_not_known_is_not_made_up():
    """A report of an older version has addresses without masks."""
    old = ClientFacts(source="192.168.1.20", interfaces=({"name": "eth0", "addresses": ["192.168.1.20"]},))
    pjsip = parts("asterisk", nat(), client=old)["pjsip.conf"]
    assert "local_net=" not in pjsip
    assert "local_net: not known" in pjsip


@pytest.mark.parametrize("networks", [7, ["x"], [None], [["192.168.1.0/24"]], "192.168.1.0/24"])
def test_a_report_edited_by_hand_is_no_error(networks):
    client = ClientFacts(source="nonsense\n[x]", interfaces=({"networks": networks},))
    told = "".join(text for pbx in FAMILIES for text in parts(pbx, nat(), client=client).values())
    assert "nonsense" not in told


def test_a_hostile_address_is_not_written_into_a_file():
    odd = result(finding("nat-behavior.no-nat", "pass"), observation={"behind_nat": True, "mapped_address": '1.2.3.4"/><x>:5060'})
    for pbx in FAMILIES:
        assert "<x>" not in "".join(parts(pbx, odd).values())


def test_freeswitchs_files_are_xml():
    files = parts("freeswitch", *MEASURED)
    tree = {where: ElementTree.fromstring(f"<settings>{text}</settings>") for where, text in files.items()}
    assert [each.get("data") for each in tree["vars.xml"]] == ["external_rtp_ip=203.0.113.9", "external_sip_ip=203.0.113.9"]
    profile = {each.get("name"): each.get("value") for each in tree["sip_profiles/internal.xml and external.xml, in <settings>"]}
    assert profile["ext-rtp-ip"] == "$${external_rtp_ip}"
    assert profile["apply-nat-acl"] == "nat.auto"
    assert profile["ping-mean-interval"] == "20"
    rtp_ports = {each.get("name"): each.get("value") for each in tree["autoload_configs/switch.conf.xml, in <settings>"]}
    assert rtp_ports == {"rtp-start-port": "10000", "rtp-end-port": "20000"}


def test_kamailio_advertises_and_the_relay_too():
    files = parts("kamailio", *MEASURED)
    assert "listen=udp:192.168.1.20:5060 advertise 203.0.113.9:5060\n" in files["kamailio.cfg, global parameters"]
    relay = configparser.ConfigParser()
    relay.read_string(files["rtpengine.conf"])
    assert dict(relay["rtpengine"]) == {
        "listen-ng": "127.0.0.1:2223", "interface": "192.168.1.20!203.0.113.9", "port-min": "10000", "port-max": "20000"
    }  # fmt: skip


def test_consoles_name_their_fields():
    fields = parts("3cx", *MEASURED)["admin console, Advanced > Network (version 18: Settings > Network)"]
    assert "Public IP, static: 203.0.113.9 (measured" in fields
    fields = parts("freepbx", *MEASURED)["Settings > Asterisk SIP Settings (unverified; FreePBX writes pjsip.conf itself)"]
    assert "Local Networks: 192.168.1.0/24, 172.17.0.0/16" in fields
    fields = parts("fusionpbx", *MEASURED)["Advanced > Variables (unverified)"]
    assert "external_sip_ip: 203.0.113.9" in fields


def test_a_report_has_the_settings_of_its_profiles_pbx():
    asterisk = msgspec.structs.replace(PROFILE, pbx="asterisk")
    assert [one.pbx for one in settings_for_pbx(MEASURED, asterisk, SERVER, CLIENT)] == ["asterisk"]
    assert settings_for_pbx(MEASURED, PROFILE, SERVER, CLIENT) == ()
    assert settings_for_pbx((nat(behind_nat=False),), asterisk, SERVER, CLIENT) == ()
    assert settings_for_pbx(MEASURED, asterisk, ServerFacts(address="127.0.0.1"), CLIENT) == ()


def test_profiles_name_families_that_exist():
    named = {profiles.load(name).pbx for name in profiles.names()} - {""}
    assert named == set(FAMILIES)


# ---- a PBX that does not listen where calls come in


@pytest.mark.parametrize(
    ("pbx", "where", "says"),
    [
        ("asterisk", "pjsip.conf", "bind: nobody listens where calls come in (UDP 5060: asterisk (pid 812) listens on 127.0.0.1)\nbind=0.0.0.0:5060"),
        ("freeswitch", "sip_profiles/internal.xml and external.xml, in <settings>", '<param name="sip-ip" value="192.168.1.20"/>'),
        ("kamailio", "kamailio.cfg, global parameters", "# listen: nobody listens where calls come in (UDP 5060: "),
        ("3cx", "admin console, Advanced > Network (version 18: Settings > Network)", "network interface: 192.168.1.20 (nobody listens where calls"),
    ],
)
def test_a_pbx_that_listens_elsewhere_is_told_where_to_listen(pbx, where, says):
    row = {"transport": "udp", "port": 5060, "state": "forwarded", "listens_elsewhere": [{"program": "asterisk (pid 812)", "address": "127.0.0.1"}]}
    seen = result(finding("port-forwarding.listens-elsewhere", "warn"), observation={"ports": [row], "local_address": "192.168.1.20"})
    sip = msgspec.structs.replace(PROFILE, ports=(PortNeed(ports="5060", transport="udp", purpose="SIP", protocol="sip"),))
    told = parts(pbx, nat(), seen, profile=sip)[where]
    assert says in (unwrapped(told) if pbx in ("asterisk", "3cx") else told)
    assert says not in parts(pbx, nat(), profile=sip)[where]
    assert says not in parts(pbx, nat(), seen)[where], "nobody says that the port is SIP's"
