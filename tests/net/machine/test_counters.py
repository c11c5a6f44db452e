"""What the system counts of packets, from Linux's own words, and on this machine."""

import socket
import sys
from pathlib import Path

import pytest

from edgecheck.model.check import Counters
from edgecheck.net.machine.counters import parse, read

SNMP = """\
Ip: Forwarding DefaultTTL InReceives ForwDatagrams InDiscards InDelivers OutRequests ReasmReqds ReasmOKs
Ip: 1 64 1000 30 0 950 800 4 2
Icmp: InMsgs InErrors
Icmp: 7 0
Tcp: RtoAlgorithm RtoMin ActiveOpens PassiveOpens InErrs OutRsts InCsumErrors
Tcp: 1 200 5 8 0 12 0
Udp: InDatagrams NoPorts InErrors
Udp: 400 9 0
"""
NETSTAT = "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 0 14\nIpExt: InNoRoutes InECT1Pkts\nIpExt: 0 77\n"
SIX = "Ip6InReceives    \t500\nIp6InDelivers    \t490\nIp6OutForwDatagrams \t4\nUdp6NoPorts   \t3\nUdp6InDatagrams \t21\nIp6InECT1Pkts \t5\n"


def test_each_family_has_its_own_and_resets_are_counted_for_both() -> None:
    # Of four fragments two datagrams were made: 998 whole ones came in.
    assert parse(SNMP, NETSTAT) == Counters(marked=77, undelivered=18, no_listener_udp=9, resets_sent=12, led_on=30, read_udp=400, accepted_tcp=8, reverse_path=14)
    assert parse(SNMP, NETSTAT, SIX) == Counters(marked=5, undelivered=6, no_listener_udp=3, resets_sent=12, led_on=4, read_udp=21, accepted_tcp=8)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there are none")
@pytest.mark.parametrize(
    ("snmp", "six", "is_six"),
    [("", SIX, False), ("Ip: InReceives\nIp: many\n", SIX, False), (SNMP.replace("OutRsts", "Resets"), SIX, False), (SNMP, "Ip6InReceives\n", True)],
)
def test_what_is_written_otherwise_is_no_counter(tmp_path: Path, snmp: str, six: str, is_six: bool) -> None:
    for name, text in (("snmp", SNMP), ("netstat", NETSTAT), ("snmp6", SIX)):
        (tmp_path / name).write_text(text)
    assert read(is_six, tmp_path) is not None
    (tmp_path / "snmp").write_text(snmp)
    (tmp_path / "snmp6").write_text(six)
    assert read(is_six, tmp_path) is None


def test_a_system_without_them(tmp_path: Path) -> None:
    assert read(False, tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's counters")
def test_a_datagram_that_nobody_listens_for_is_counted_here() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        to = closed.getsockname()
    before = read(False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", to)
    after = read(False)
    assert before is not None
    assert after is not None
    assert after.no_listener_udp > before.no_listener_udp
