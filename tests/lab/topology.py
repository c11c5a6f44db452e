"""The network of the laboratory::

    client ----+
               +--- home router --- [carrier] --- [path] --- core ---+--- server (two addresses)
    lan-host --+                                                     +--- outside

``client`` is where edgecheck runs; ``lan-host`` is for rules that lead to the wrong host; ``carrier`` is a provider's NAT; ``path`` is a
user-space router that delays and loses; ``core`` is the internet, which can lose too; ``outside`` is a stranger.
"""

import json
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.ground import Ground, LabError, Program, python
from tests.lab.routers import KernelRouter, rules
from tests.waiting import wait_until

CLIENT, HOME = "192.168.88.2", "192.168.88.1"
LAN_HOST = "192.168.89.3"
"""On a second port of the home router. (No bridge: its ports come up only after the kernel's link watch, up to a second later.)"""
GUESTS = "192.168.89.1"
"""The home router there."""
PUBLIC_CLIENT, PUBLIC_HOME = "203.0.113.66", "203.0.113.65"
"""The LAN of a site that needs no translation."""
WAN = "203.0.113.1"
"""The outermost router's public address."""
SECOND_WAN = "203.0.113.3"
"""A second public address of a user-space router."""
HOME_AT_CARRIER, CARRIER = "100.64.0.2", "100.64.0.1"
SERVER, ALTERNATE, OUTSIDE = "198.51.100.10", "198.51.100.11", "192.0.2.50"
CLIENT6, HOME6, SERVER6, ALTERNATE6 = "2001:db8:88::2", "2001:db8:88::1", "2001:db8:100::10", "2001:db8:100::11"

_QUEUE = 10_000
_HOST_FIREWALL = """table inet host { chain local { type filter hook input priority filter; policy accept;
ct state established,related accept
meta l4proto { tcp, udp } drop
}
}
"""
_SYSCTL = (
    "net.ipv4.ip_forward=1",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.icmp_ratelimit=0",
)
_SYSCTL6 = (
    "net.ipv6.conf.all.forwarding=1",
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv6.icmp.ratelimit=0",
)


@dataclass(frozen=True, kw_only=True)
class UserRouter:
    """A router played by ``tests.lab.tun_router``: behaviors that Linux lacks. Options as in that module."""

    nat: dict[str, Any] = field(default_factory=dict)
    """Empty: routes only."""
    alg: dict[str, Any] = field(default_factory=dict)
    weather: dict[str, Any] = field(default_factory=dict)

    def options(self) -> dict[str, Any]:
        """As the program reads them."""
        return {name: value for name, value in asdict(self).items() if value}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What stands between the client and the server."""

    home: KernelRouter | UserRouter = field(default_factory=KernelRouter)
    carrier: KernelRouter | None = None
    path: UserRouter | None = None
    """Delay, jitter, loss in user space."""
    loss: int = 0
    """Percent of packets, each way, that the core drops (no state anywhere is touched by a packet dropped there)."""
    public_lan: bool = False
    """The LAN has public addresses; for routers that do not translate."""
    six: KernelRouter | None = None
    """The home router's IPv6 rules; None: no IPv6 anywhere."""
    host_firewall: bool = False
    """The client's own firewall lets in only what it has asked for."""
    wrong_service: bool = False
    """The LAN host has a service on 5060, UDP and TCP, that answers whatever comes."""

    @property
    def facilities(self) -> tuple[str, ...]:
        """What the machine must offer for it, in the words of ``tests.lab.facilities``."""
        routers = (self.home, self.carrier, self.path)
        return (
            *(["tun"] if any(isinstance(router, UserRouter) for router in routers) else []),
            *(["sip-helper"] if any(isinstance(router, KernelRouter) and router.sip_alg for router in routers) else []),
            *(["ipv6"] if self.six is not None else []),
        )


class Topology:
    """The network, standing. A context manager."""

    def __init__(self, plan: Plan, scratch: Path, *, as_user: bool | None = None) -> None:
        self.plan = plan
        self.ground = Ground(scratch, as_user=as_user)
        self.user_routers: dict[str, Program] = {}
        self.client = PUBLIC_CLIENT if plan.public_lan else CLIENT
        self.namespaces = ["client", "lan-host", "home", "core", "server", "outside"]
        self.namespaces += ["carrier"] * (plan.carrier is not None) + ["path"] * (plan.path is not None)

    def __enter__(self) -> Self:
        self.ground.__enter__()
        try:
            self.ground.shell(self._script())
            if self.plan.six is not None:
                self._await_six()
            for name, router in (("home", self.plan.home), ("path", self.plan.path)):
                if isinstance(router, UserRouter):
                    self.user_routers[name] = self.ground.spawn(
                        name, *python("-m", "tests.lab.tun_router", json.dumps(router.options())), ready="ready"
                    )
            if self.plan.wrong_service:
                self.ground.spawn("lan-host", *python("-m", "tests.lab.wrong_service"), ready="ready")
        except BaseException:
            self.ground.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.ground.__exit__(kind, value, trace)

    def forget(self) -> None:
        """Routers forget every connection and every address that they remembered."""
        script = []
        for name in ("home", "carrier"):
            if isinstance(getattr(self.plan, name), KernelRouter):
                script.append(f"ip netns exec {name} conntrack -F 2>/dev/null")
                script.append(
                    f"ip netns exec {name} nft -j list sets | grep -q used && ip netns exec {name} nft flush set ip edge used || true"
                )
                script.append(
                    f"ip netns exec {name} nft -j list sets | grep -q hosts && ip netns exec {name} nft flush set ip edge hosts || true"
                )
        self.ground.shell("\n".join(script))
        for name, program in self.user_routers.items():
            self.reconfigure(name, program, {})

    def reconfigure(self, name: str, program: Program | None = None, changes: dict[str, Any] | None = None) -> None:
        """Give a user-space router new options (sections named in ``changes`` are replaced whole); it forgets its table."""
        router = getattr(self.plan, name)
        program = program or self.user_routers[name]
        program.say(json.dumps({**router.options(), **(changes or {})}))
        program.lines_until("ready")

    def _await_six(self) -> None:
        """IPv6 works only once the kernel's link watch has seen the links: up to a second or two after they came up."""
        try:
            wait_until(lambda: self.ground.run("client", "ping", "-n", "-c", "1", "-W", "0.1", SERVER6).returncode == 0, "IPv6 to the server")
        except TimeoutError as late:
            raise LabError(str(late)) from None

    def _script(self) -> str:
        """Everything as one shell script: one process tree, a fraction of a second."""
        plan = self.plan
        lines = [f"ip netns add {name}" for name in self.namespaces]
        links = [("client", "eth0", "home", "lan"), ("lan-host", "eth0", "home", "guests")]
        chain = ["home", *(["carrier"] if plan.carrier else []), *(["path"] if plan.path else []), "core"]
        links += [(near, "wan", far, "edge" if far == "core" else "lan") for near, far in pairwise(chain)]
        links += [("server", "eth0", "core", "services"), ("outside", "eth0", "core", "strangers")]
        batch = [f"link add {one} netns {near} type veth peer name {other} netns {far}" for near, one, far, other in links]
        lines.append(_batch(None, batch))
        per_namespace = self._addresses(chain)
        switches = [*_SYSCTL, *(_SYSCTL6 if plan.six else ["net.ipv6.conf.all.disable_ipv6=1"])]
        for name in self.namespaces:
            # hosts (not routers) must not forward: a host that does would carry other people's packets on
            settings = switches if name in (*chain, "core") else [switch for switch in switches if "forward" not in switch]
            lines.append(f"ip netns exec {name} sysctl -qw {' '.join(settings)}")
        for name in self.namespaces:
            lines.append(_batch(name, per_namespace[name]))
        for name, router in (("home", plan.home), ("carrier", plan.carrier)):
            if isinstance(router, KernelRouter):
                target = self.client if name == "home" else HOME_AT_CARRIER
                lines.append(f"ip netns exec {name} nft -f - <<'END'\n{rules(router, target)}END")
                if router.switches:
                    lines.append(f"ip netns exec {name} sysctl -qw {' '.join(router.switches)}")
        if plan.six is not None:
            lines.append(f"ip netns exec home nft -f - <<'END'\n{rules(plan.six, CLIENT6, six=True)}END")
        if plan.host_firewall:
            lines.append(f"ip netns exec client nft -f - <<'END'\n{_HOST_FIREWALL}END")
        if plan.loss:
            hook = f"type filter hook forward priority filter; policy accept; numgen random mod 100 < {plan.loss} drop;"
            drop = f"table inet weather {{ chain across {{ {hook} }}\n}}"
            lines.append(f"ip netns exec core nft -f - <<'END'\n{drop}\nEND")
        return "\n".join(lines)

    def _addresses(self, chain: list[str]) -> dict[str, list[str]]:
        plan = self.plan
        gateway, length = (PUBLIC_HOME, 26) if plan.public_lan else (HOME, 24)
        outermost = "carrier" if plan.carrier else "home"
        after = chain[chain.index(outermost) + 1]
        user = isinstance(plan.home, UserRouter)
        batches: dict[str, list[str]] = {name: ["link set lo up"] for name in self.namespaces}

        def put(name: str, *commands: str) -> None:
            batches[name] += commands

        def address(name: str, device: str, *values: str) -> None:
            put(name, *(f"addr add {value} dev {device}{' nodad' if ':' in value else ''}" for value in values), f"link set {device} up")

        address("client", "eth0", f"{self.client}/{length}")
        address("home", "lan", f"{gateway}/{length}")
        put("client", f"route add default via {gateway}")
        address("lan-host", "eth0", f"{LAN_HOST}/24")
        address("home", "guests", f"{GUESTS}/24")
        put("lan-host", f"route add default via {GUESTS}")
        # a user-space NAT owns the public address itself: the namespace that it runs in has another, and the network beyond routes to it
        public = "203.0.113.2" if user and outermost == "home" else WAN
        if plan.carrier:
            address("home", "wan", f"{HOME_AT_CARRIER}/10")
            put("home", f"route add default via {CARRIER}")
            address("carrier", "lan", f"{CARRIER}/10")
        address(outermost, "wan", f"{public}/28")
        put(outermost, "route add default via 203.0.113.14")
        address(after, "edge" if after == "core" else "lan", "203.0.113.14/28")
        behind = ([f"{WAN}/32", f"{SECOND_WAN}/32"] if user else []) + (["203.0.113.64/26"] if plan.public_lan else [])
        put(after, *(f"route add {prefix} via {public}" for prefix in behind))
        if plan.path:
            address("path", "wan", "203.0.113.17/28")
            put("path", "route add default via 203.0.113.30")
            address("core", "edge", "203.0.113.30/28")
            put("core", "route add 203.0.113.0/28 via 203.0.113.17", *(f"route add {prefix} via 203.0.113.17" for prefix in behind))
        for name in ("home", "path"):
            if isinstance(getattr(plan, name), UserRouter):
                put(name, *_detour())
        address("core", "services", "198.51.100.1/24")
        address("core", "strangers", "192.0.2.1/24")
        address("server", "eth0", f"{SERVER}/24", f"{ALTERNATE}/24")
        put("server", "route add default via 198.51.100.1")
        address("outside", "eth0", f"{OUTSIDE}/24")
        put("outside", "route add default via 192.0.2.1")
        if plan.six is not None:
            address("client", "eth0", f"{CLIENT6}/64")
            address("home", "lan", f"{HOME6}/64")
            address("home", "wan", "2001:db8:113::1/64")
            address("core", "edge", "2001:db8:113::fe/64")
            address("core", "services", "2001:db8:100::1/64")
            address("server", "eth0", f"{SERVER6}/64", f"{ALTERNATE6}/64")
            put("client", f"route add ::/0 via {HOME6}")
            put("home", "route add ::/0 via 2001:db8:113::fe")
            put("core", "route add 2001:db8:88::/64 via 2001:db8:113::1")
            put("server", "route add ::/0 via 2001:db8:100::1")
        return batches


def _detour() -> list[str]:
    """Lead what crosses a namespace through its user-space router: in by one TUN device, out by the other."""
    devices = [
        command for name in ("inner", "outer") for command in (f"tuntap add dev {name} mode tun", f"link set {name} txqueuelen {_QUEUE} up")
    ]
    return [
        *devices,
        "rule add iif lan lookup 100",
        "route add default dev inner table 100",
        "rule add iif wan lookup 101",
        "route add default dev outer table 101",
    ]


def _batch(namespace: str | None, commands: list[str]) -> str:
    inside = f"-n {namespace} " if namespace else ""
    return f"ip {inside}-batch - <<'END'\n" + "\n".join(commands) + "\nEND"
