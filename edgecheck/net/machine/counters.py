"""What this machine's system counts of packets: ``/proc/net/snmp``, ``netstat`` and ``snmp6`` of its network namespace. Linux; anyone may
read them.

A packet is counted as received before the firewall sees it and as delivered after the firewall's INPUT has let it pass, so
what the firewall drops is the difference. What is dropped before IP counts it (XDP, tc, a bridge) is not in it.
"""

import sys
from pathlib import Path

import msgspec

from edgecheck.model.check import Counters

_PROC = Path("/proc/net")
_READINGS = 7


def read(six: bool, proc: Path = _PROC) -> Counters | None:
    """The counters now; None where there are none.

    Of several readings the middle one: a packet that is on its way through the system just then is in one count and not in the other.
    """
    if sys.platform != "linux":
        return None
    files = [proc / name for name in ("snmp", "netstat", *(("snmp6",) if six else ()))]
    try:
        readings = [parse(*(file.read_text() for file in files)) for _ in range(_READINGS)]
    except (OSError, ValueError, KeyError, IndexError):
        return None
    middle = sorted(reading.undelivered for reading in readings)[_READINGS // 2]
    return msgspec.structs.replace(readings[-1], undelivered=middle)


def parse(snmp: str, netstat: str, snmp6: str | None = None) -> Counters:
    """From the files' texts; TCP's counters are in ``snmp`` for both families. Raises ``KeyError`` where one is missing, ``ValueError``."""
    four = _tables(snmp) | _tables(netstat)
    if snmp6 is not None:
        told = {fields[0]: int(fields[1]) for line in snmp6.splitlines() if (fields := line.split())}
        return Counters(
            marked=told["Ip6InECT1Pkts"],
            undelivered=told["Ip6InReceives"] - told["Ip6InDelivers"] - told["Ip6OutForwDatagrams"],
            no_listener_udp=told["Udp6NoPorts"],
            resets_sent=four["Tcp:OutRsts"],
            led_on=told["Ip6OutForwDatagrams"],
            read_udp=told["Udp6InDatagrams"],
            accepted_tcp=four["Tcp:PassiveOpens"],
        )
    whole = four["Ip:InReceives"] - four["Ip:ReasmReqds"] + four["Ip:ReasmOKs"]
    return Counters(
        marked=four["IpExt:InECT1Pkts"],
        undelivered=whole - four["Ip:InDelivers"] - four["Ip:ForwDatagrams"],
        no_listener_udp=four["Udp:NoPorts"],
        resets_sent=four["Tcp:OutRsts"],
        led_on=four["Ip:ForwDatagrams"],
        read_udp=four["Udp:InDatagrams"],
        accepted_tcp=four["Tcp:PassiveOpens"],
        reverse_path=four.get("TcpExt:IPReversePathFilter", 0),
    )


def _tables(text: str) -> dict[str, int]:
    """Two lines a table: names, then values. Raises ``ValueError``."""
    told: dict[str, int] = {}
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        head, *fields = names.split()
        told |= {head + field: int(value) for field, value in zip(fields, values.split()[1:], strict=False)}
    return told
