"""This machine's own facts, read and never changed: routes, tunnels, kernel helper, table sizes, limits. Per platform.

What a platform, or this user, cannot be told is None with the reason.
"""

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import netifaces

from edgecheck.model.machine import DefaultRoute, Firewall, Machine

_TUNNELS = ("tun", "tap", "wg", "utun", "tailscale", "zt", "ipsec", "nordlynx", "proton", "vpn", "gpd", "cscotun")
"""How VPN software names its interfaces. No ``ppp``: that is how a DSL line looks, too."""
_BRIDGES = ("docker", "br-", "virbr", "lxcbr", "lxdbr", "cni", "podman", "vmnet", "vEthernet")
_COMMAND_S = 1.0
_NO_LIMIT = -1
_LINUX_ONLY = "only Linux tells"


async def machine(source: str) -> Machine:
    """All of it. Never raises for what cannot be read."""
    linux = sys.platform == "linux"
    reasons: dict[str, str] = {}
    interface = _interface_of(source)
    routes = await default_routes()
    firewall, rules = await _firewall(6 if ":" in source else 4)
    if firewall is None:
        reasons["firewall"] = _no_firewall()
    loaded = _helper_loaded() if linux else None
    bound = _helper_bound(loaded, rules) if linux else None
    if linux and loaded and bound is None:
        reasons["sip_helper_bound"] = "rules of iptables' are not shown in full" if _is_root() else "its rules may only be read by root"
    for name in ("sip_helper_loaded", "sip_helper_bound", "conntrack", "udp_buffers") if not linux else ():
        reasons[name] = _LINUX_ONLY
    conntrack = _numbers("/proc/sys/net/netfilter/nf_conntrack_count", "/proc/sys/net/netfilter/nf_conntrack_max") if linux else None
    if linux and conntrack is None:
        reasons["conntrack"] = "this kernel tracks no connections here, or does not tell"
    descriptors = _descriptors()
    if descriptors is None:
        reasons["descriptors"] = "this platform has no such limit"
    synchronized = _synchronized() if linux else None
    if synchronized is None:
        reasons["clock_synchronized"] = "the system does not tell"
    if interface is None:
        reasons["interface"] = reasons["tunnel"] = f"no interface has the address {source}"
    return Machine(
        interface=interface,
        tunnel=_is_tunnel(interface) if interface is not None else None,
        default_routes=routes,
        bridges=_bridges(),
        container=_in_container() if linux else None,
        firewall=firewall,
        sip_helper_loaded=loaded,
        sip_helper_bound=bound,
        conntrack=conntrack,
        descriptors=descriptors,
        udp_buffers=_numbers("/proc/sys/net/core/rmem_default", "/proc/sys/net/core/rmem_max") if linux else None,
        clock_synchronized=synchronized,
        reasons={**({} if linux else {"container": _LINUX_ONLY}), **reasons},
    )


def _names() -> list[str]:
    with contextlib.suppress(OSError, ValueError):
        return [str(name) for name in netifaces.interfaces()]
    return []


def _interface_of(source: str) -> str | None:
    for name in _names():
        with contextlib.suppress(OSError, ValueError):
            rows = netifaces.ifaddresses(name)
            both = [*rows.get(netifaces.AF_INET, ()), *rows.get(netifaces.AF_INET6, ())]
            if any(str(row.get("addr", "")).partition("%")[0] == source for row in both):
                return name
    return "lo" if source.startswith("127.") or source == "::1" else None


def _is_tunnel(interface: str) -> bool:
    return interface.lower().startswith(_TUNNELS) or Path(f"/sys/class/net/{interface}/tun_flags").exists()


def _bridges() -> tuple[str, ...]:
    return tuple(name for name in _names() if name.startswith(_BRIDGES))


async def default_routes() -> tuple[DefaultRoute, ...] | None:
    """Every default route of both families; with its metric, of IPv4: IPv6 weighs routers' preferences, too."""
    if sys.platform == "linux":
        four, six = await asyncio.gather(*(_output("ip", "-j", family, "route", "show", "default") for family in ("-4", "-6")))
        if four is not None and six is not None:
            with contextlib.suppress(ValueError, KeyError, AttributeError):
                return (*_told_by_ip(four, 4), *_told_by_ip(six, 6))
    return _told_by_interfaces()


def _told_by_ip(text: str, family: int) -> list[DefaultRoute]:
    """From ``ip -j route``: ways through a line without a router's address, and every next hop of a route that has several."""
    out = []
    for row in json.loads(text or "[]"):
        metric = row.get("metric", 0) if family == 4 else None
        for hop in row.get("nexthops", [row] if "dev" in row else []):
            if row.get("type", "unicast") == "unicast" and "dead" not in hop.get("flags", ()):
                out.append(DefaultRoute(family=family, interface=str(hop["dev"]), gateway=hop.get("gateway"), metric=metric))
    return out


def _told_by_interfaces() -> tuple[DefaultRoute, ...] | None:
    metrics = _linux_metrics()
    out: dict[tuple[int, str, str], DefaultRoute] = {}
    try:
        told: dict[Any, Any] = netifaces.gateways()
    except (OSError, ValueError):
        return None
    for family, number in ((4, netifaces.AF_INET), (6, netifaces.AF_INET6)):
        for row in told.get(number, ()):
            gateway, interface = str(row[0]).partition("%")[0], str(row[1])
            metric = metrics.get((interface, gateway)) if family == 4 else None
            out[family, interface, gateway] = DefaultRoute(family=family, interface=interface, gateway=gateway, metric=metric)
    return tuple(out.values())


def _linux_metrics() -> dict[tuple[str, str], int]:
    """(interface, gateway) -> metric of IPv4 default routes."""
    out = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/net/route").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1] == "00000000" and fields[7] == "00000000":
                packed = int(fields[2], 16).to_bytes(4, sys.byteorder)
                out[fields[0], ".".join(str(byte) for byte in packed)] = int(fields[6])
    return out


def _in_container() -> bool | None:
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    with contextlib.suppress(OSError):
        return any(word in Path("/proc/1/cgroup").read_text() for word in ("docker", "containerd", "kubepods", "libpod", "lxc"))
    return None


def _helper_loaded() -> bool | None:
    if Path("/sys/module/nf_conntrack_sip").exists():
        return True
    with contextlib.suppress(OSError):
        return any(line.startswith("nf_conntrack_sip ") for line in Path("/proc/modules").read_text().splitlines())
    return None


def _helper_bound(loaded: bool | None, rules: str | None) -> bool | None:
    """By itself (kernels before 6.0 with nf_conntrack_helper=1), or by a rule that names it."""
    if loaded is False:
        return False
    with contextlib.suppress(OSError, ValueError):
        if int(Path("/proc/sys/net/netfilter/nf_conntrack_helper").read_text()):
            return True
    told = None
    if rules is not None:
        told = True if "--helper sip" in rules else _nft_sets_sip(rules) if rules.startswith("{") else False
    return False if told is None and _held_by_nobody() else told


def _held_by_nobody() -> bool:
    """Who sets the helper by a rule holds its module (the kernel's ``nf_conntrack_helper_try_module_get``); other modules are listed."""
    module = Path("/sys/module/nf_conntrack_sip")
    with contextlib.suppress(OSError, ValueError):
        return int((module / "refcnt").read_text()) == len(list((module / "holders").iterdir()))
    return False


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _nft_sets_sip(text: str) -> bool | None:
    """Whether a rule sets a SIP helper; one that is made and set by none does nothing. None: iptables' own rules are among them."""
    try:
        entries = [entry for entry in json.loads(text).get("nftables", ()) if isinstance(entry, dict)]
    except (ValueError, AttributeError):
        return None
    helpers = [entry["ct helper"] for entry in entries if "ct helper" in entry]
    sip = {(one.get("family"), one.get("table"), one.get("name")) for one in helpers if one.get("type") == "sip"}
    rules = [entry["rule"] for entry in entries if "rule" in entry]
    if any((rule.get("family"), rule.get("table"), name) in sip for rule in rules for name in _set_helpers(rule)):
        return True
    return None if any("xt" in statement for rule in rules for statement in rule.get("expr", ())) else False


def _set_helpers(rule: dict[str, Any]) -> list[str]:
    """The helpers that a rule sets, and those of a map by which it chooses."""
    set_by = [statement["ct helper"] for statement in rule.get("expr", ()) if isinstance(statement, dict) and "ct helper" in statement]
    return [name for one in set_by for name in ([one] if isinstance(one, str) else re.findall(r'"([^"]+)"', json.dumps(one)))]


def _numbers(*paths: str) -> tuple[int, int] | None:
    try:
        first, second = (int(Path(path).read_text()) for path in paths)
    except (OSError, ValueError):
        return None
    return first, second


def _descriptors() -> tuple[int, int] | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return tuple(_NO_LIMIT if limit == resource.RLIM_INFINITY else limit for limit in (soft, hard))  # type: ignore[return-value]


def _synchronized() -> bool | None:
    """systemd-timesyncd leaves a mark; other time services do not, so that its absence tells nothing."""
    return True if Path("/run/systemd/timesync/synchronized").exists() else None


async def _firewall(family: int) -> tuple[Firewall | None, str | None]:
    """The packet filter as it treats this family, and its rules in full where they may be read."""
    if sys.platform != "linux":
        return None, None
    if os.geteuid() == 0:
        rules = await _output("nft", "-j", "list", "ruleset")
        old = await _output("iptables-save") if rules is None else None
        if rules is not None:
            inbound, outbound = _nft_inbound(rules, family), _nft_inbound(rules, family, "output")
            if _has_older_tables():  # nft does not show them
                inbound = inbound if inbound == "drops" else None
                return Firewall(name="nftables and iptables", inbound=inbound, outbound=outbound if outbound == "drops" else None), None
            return Firewall(name="nftables", inbound=inbound, outbound=outbound), rules
        if old is not None:
            inward, outward = (
                "drops" if any(line.startswith((f":{chain} DROP", f":{chain} REJECT")) for line in old.splitlines()) else None
                for chain in ("INPUT", "OUTPUT")
            )
            return Firewall(name="iptables", inbound=inward, outbound=outward), old  # type: ignore[arg-type]
    return _firewall_by_its_files(), None


def _firewall_by_its_files() -> Firewall | None:
    with contextlib.suppress(OSError):
        if any(line.strip().lower() == "enabled=yes" for line in Path("/etc/ufw/ufw.conf").read_text().splitlines()):
            return Firewall(name="ufw", inbound=None)
    return Firewall(name="firewalld", inbound=None) if Path("/run/firewalld").exists() else None


def _no_firewall() -> str:
    if sys.platform != "linux":
        return "not read on this platform"
    return "no packet filter's rules could be read" if os.geteuid() == 0 else "its rules may only be read by root"


def _has_older_tables() -> bool:
    """Whether rules of iptables' older kind (not those that iptables keeps in nftables) are in force here."""
    with contextlib.suppress(OSError):
        return any(Path(f"/proc/net/{family}_tables_names").read_text().strip() for family in ("ip", "ip6"))
    return False


_SEES_BEFORE = ("netdev", "bridge")
"""Families whose chains see packets to this machine as well, under other hooks."""


def _nft_inbound(text: str, family: int = 4, hook: str = "input") -> Any:
    """Whether a chain for packets of this family to this machine drops by policy, or ends in a rule that drops whatever comes.

    None: rules decide. ``hook``: ``output`` for what leaves it.
    """
    try:
        entries = json.loads(text).get("nftables", ())
    except (ValueError, AttributeError):
        return None
    chains = [entry["chain"] for entry in entries if isinstance(entry, dict) and entry.get("chain", {}).get("hook") in (hook, "ingress")]
    ours = [chain for chain in chains if chain.get("hook") == hook and chain.get("family") in ("inet", "ip6" if family == 6 else "ip")]
    drops = {(chain["family"], chain["table"], chain["name"]): chain.get("policy") == "drop" for chain in ours if "name" in chain}
    ruled = any(chain.get("family") in _SEES_BEFORE or chain.get("hook") == "ingress" for chain in chains)
    settled = set()
    """Chains with a rule for whatever comes: what stands after it is never met."""
    for entry in entries:
        rule = entry.get("rule") if isinstance(entry, dict) else None
        place = (rule.get("family"), rule.get("table"), rule.get("chain")) if rule else None
        if rule and place in drops:
            ruled = True
            words = [name for statement in rule.get("expr", ()) for name in statement]
            always = bool(words) and set(words[:-1]) <= {"counter", "log"} and words[-1] in ("accept", "drop", "reject")
            if always and place not in settled:
                settled.add(place)
                drops[place] = words[-1] != "accept"
    if any(drops.values()):
        return "drops"
    return None if ruled else "accepts"


async def _output(*command: str) -> str | None:
    """What a command of the system's says; None where it is not there, fails or takes long."""
    path = shutil.which(command[0], path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        return None
    try:
        process = await asyncio.create_subprocess_exec(
            path, *command[1:], stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_COMMAND_S):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None
    return out.decode(errors="replace") if process.returncode == 0 else None
