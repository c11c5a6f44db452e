"""Profiles: what ships is sound and says where it comes from; what is wrong with a file is told with its name, line and key."""

from pathlib import Path

import pytest

from edgecheck import profiles
from edgecheck.checks import BY_ID
from edgecheck.model.errors import UsageError
from edgecheck.wire import ports

SHIPPED = ("3cx", "asterisk", "freepbx", "freeswitch", "fusionpbx", "generic-pbx", "grandstream", "kamailio", "remote-worker", "teams", "yeastar")
GOOD = """\
name = "mine"
title = "My PBX"
source = "its manual"
confidence = "vendor"
checks = ["port-forwarding"]
rtp = [10000, 10100]
ports = [
  # trunk
  { ports = "5060", transport = "udp", purpose = "SIP", protocol = "sip" },
  { ports = "5061-5063", transport = "tcp", purpose = "TLS", protocol = "sips" },
]

[expect]
mapping = "ignore"
"""


def refusal(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        profiles.parse(text, "mine.toml")
    return str(caught.value)


def test_the_profiles_that_ship():
    assert profiles.names() == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_is_sound(name):
    profile = profiles.load(name)
    assert profile.name == name
    assert set(profile.checks) <= set(BY_ID)
    assert profile.source
    if profile.confidence == "unverified":
        assert "unverified" in " ".join(profile.notes), "a figure that nobody confirmed is not shipped as a fact"


@pytest.mark.parametrize(
    ("name", "range_", "inbound"),
    [
        ("3cx", (9000, 10999), {("udp", 5060), ("tcp", 5060), ("tcp", 5061), ("udp", 5090), ("tcp", 5090)}),
        ("asterisk", (10000, 20000), {("udp", 5060)}),
        ("freeswitch", (16384, 32768), {("udp", 5060), ("tcp", 5060), ("udp", 5080), ("tcp", 5080)}),
        ("fusionpbx", (16384, 32768), {("udp", 5060), ("tcp", 5060), ("udp", 5080), ("tcp", 5080)}),
        ("generic-pbx", (10000, 20000), {("udp", 5060)}),
        ("kamailio", None, {("udp", 5060), ("tcp", 5060)}),
        ("teams", None, {("tcp", 5061)}),
        ("remote-worker", (10000, 10999), set()),
    ],
)
def test_what_must_reach_the_pbx(name, range_, inbound):
    profile = profiles.load(name)
    needed = {
        (need.transport, port)
        for need in profile.ports
        if need.direction == "in" and need.required
        for port in ports.expand(ports.parse(need.ports))
    }
    assert (profile.rtp, needed) == (range_, inbound)


def test_no_profile_asks_for_the_event_socket():
    for name in SHIPPED:
        for need in profiles.load(name).ports:
            assert 8021 not in ports.expand(ports.parse(need.ports))


def test_a_remote_worker_needs_nothing_forwarded():
    expect = profiles.load("remote-worker").expect
    assert (expect.forwarding, expect.rtp_inbound, expect.preservation) == ("ignore", "ignore", "ignore")
    assert "port-forwarding" not in profiles.load("remote-worker").checks


def test_the_default_profile_exists():
    assert profiles.DEFAULT in profiles.names()


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(GOOD)
    assert profiles.load(str(file)).rtp == (10000, 10100)


def test_a_byte_order_mark_is_no_error(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert profiles.load(str(file)).name == "mine"


@pytest.mark.parametrize(
    ("was", "becomes", "line", "key", "words"),
    [
        ("10000, 10100", "10100, 10000", 6, "rtp", "upside down"),
        ("10000, 10100", "0, 10100", 6, "rtp", "not within 1 to 65535"),
        ("10000, 10100", "10000", 6, "rtp", "length 2"),
        ('"port-forwarding"', '"port-forwardin"', 5, "checks[0]", "did you mean 'port-forwarding'"),
        ('"port-forwarding"', '"port-forwarding", "port-forwarding"', 5, "checks[1]", "stands twice"),
        ('["port-forwarding"]', "[]", 5, "checks", "names no check"),
        ('"vendor"', '"sure"', 4, "confidence", "sure"),
        ('title = "My PBX"', 'title = " "', 2, "title", "must not be empty"),
        ('"5060", transport', '"5060,5070", transport', 9, "ports[0].ports", "one port or one range"),
        ('"5061-5063"', '"5063-5061"', 10, "ports[1].ports", "upside down"),
        ('"5061-5063"', '"5061-70000"', 10, "ports[1].ports", "not a port or a range"),
        ('"5061-5063"', '"sip"', 10, "ports[1].ports", "not a port"),
        ('"5061-5063", transport = "tcp"', '"5060-5063", transport = "udp"', 10, "ports[1].ports", "named already by entry 1"),
        ('transport = "tcp"', 'transport = "sctp"', 10, "ports[1].transport", "sctp"),
        ('"5061-5063", transport', '"5061-5063", porpoise = "x", transport', 10, "ports[1].porpoise", "unknown field"),
        ('mapping = "ignore"', 'maping = "ignore"', 14, "expect.maping", "unknown field"),
        ('mapping = "ignore"', 'mapping = "perhaps"', 14, "expect.mapping", "perhaps"),
        ('name = "mine"', 'nmae = "mine"', 1, "nmae", "unknown field"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_key(was, becomes, line, key, words):
    assert was in GOOD
    told = refusal(GOOD.replace(was, becomes, 1))
    assert told.startswith(f"Profile mine.toml, line {line}, key {key}: "), told
    assert not told.endswith("?."), told
    assert words in told


def test_a_missing_key_is_named():
    assert "`source`" in refusal(GOOD.replace('source = "its manual"\n', ""))


def test_tables_instead_of_an_array():
    text = GOOD.split("ports = [")[0] + '[[ports]]\nports = "5060"\ntransport = "udp"\npurpose = "SIP"\n\n[[ports]]\nports = "9-5"\ntransport = "udp"\npurpose = "x"\n'
    assert refusal(text).startswith("Profile mine.toml, line 13, key ports[1].ports: the range is upside down")


def test_bad_toml_is_told_with_its_line():
    assert "at line 5" in refusal(GOOD.replace('["port-forwarding"]', '["port-forwarding" oops'))


def test_deep_nesting_is_refused():
    assert "too deeply" in refusal("x = " + "[" * 5000)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name = 'x'\ntitle = '\xff'\n"])
def test_other_bytes_than_text(tmp_path, content):
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="not UTF-8 text"):
        profiles.load(str(file))


def test_a_huge_file_is_refused(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_bytes(b"#" * (1 << 20))
    with pytest.raises(UsageError, match="larger than 256 KiB"):
        profiles.load(str(file))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        profiles.load(str(tmp_path / "mine.toml"))
    with pytest.raises(UsageError, match="cannot be read"):
        profiles.load(str(tmp_path))


def test_a_name_with_a_typo():
    with pytest.raises(UsageError, match="did you mean asterisk"):
        profiles.load("asterix")
    with pytest.raises(UsageError, match=r"there are 3cx, .* or give a file"):
        profiles.load("zzz")


def test_names_follow_files():
    folder = Path(profiles.__file__).parent
    assert {file.stem for file in folder.glob("*.toml")} == set(profiles.names())
