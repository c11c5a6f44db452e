"""What this machine offers to the laboratory, each found out by doing it once, and said precisely where it is missing."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

from tests.lab.ground import TOOLS, Ground, LabError, missing_tools

_NAT = """
ip netns add trial
ip link add one type veth peer name two netns trial
ip netns exec trial nft -f - <<'END'
table ip trial { chain source { type nat hook postrouting priority srcnat; oifname "two" masquerade random,fully-random; }
}
END
ip netns exec trial conntrack -F 2>/dev/null
"""
_SIP_HELPER = """
nft -f - <<'END'
table ip trial { ct helper sip { type "sip" protocol udp; l3proto ip; }
chain alg { type filter hook prerouting priority -150; udp dport 5060 ct helper set "sip"; }
}
END
"""
_TUN = "ip tuntap add dev trial mode tun && ip link set trial up"
_IPV6 = "ip link set lo up && ip -6 addr show dev lo | grep -q ::1"
TRIALS = {"nat": _NAT, "sip-helper": _SIP_HELPER, "tun": _TUN, "ipv6": _IPV6}
MEANING = {
    "nat": "network namespaces with nftables NAT",
    "sip-helper": "the kernel's SIP helper (nf_conntrack_sip)",
    "tun": "TUN devices (/dev/net/tun must be readable and writable)",
    "ipv6": "IPv6",
}


class Facilities:
    """Answers are kept: each trial runs once."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._answers: dict[str, str | None] = {}

    def missing(self, name: str) -> str | None:
        """Why there is no such facility here (a sentence), or None when there is. A name that is no trial is a program's."""
        if name not in self._answers:
            self._answers[name] = self._try(name) if name in TRIALS else self._find(name)
        return self._answers[name]

    def _find(self, tool: str) -> str | None:
        return f"{tool} is not installed" if missing_tools(tool) else None

    def _try(self, name: str) -> str | None:
        if not sys.platform.startswith("linux"):
            return f"this is {sys.platform}, and {MEANING[name]} need Linux"
        absent = missing_tools(*TOOLS)
        if absent:
            return f"not installed: {', '.join(absent)}"
        try:
            with Ground(self._scratch / f"trial-{name}") as ground:
                ground.shell(TRIALS[name])
        except (LabError, OSError) as error:
            return f"no {MEANING[name]}: {_first_words(str(error))}"
        return None


def require(facilities: Facilities, names: tuple[str, ...], refuse: Callable[[str], None]) -> None:
    """Call ``refuse`` with the reason for the first of these that is missing."""
    for name in names:
        reason = facilities.missing(name)
        if reason is not None:
            refuse(f"laboratory: {reason}")


def _first_words(text: str) -> str:
    """The system's own complaint, without the command before and the numbered script behind it."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not re.match(r" *[0-9]+  ", line)]
    return " / ".join(lines[1:3] or lines)[:300]
