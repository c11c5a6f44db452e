"""Look-alikes for ``tests.bench.bench_causes``: edges that are easily taken for one another. Only their truth is told, not what every
check observes; ``scenarios`` has the edges whose observations are asserted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.lab import igd, pbx
from tests.lab.routers import Forward, KernelRouter
from tests.lab.scenario import CARRIER, NO_RULE, PBX, SILENT, Scenario, routed_by
from tests.lab.topology import ALTERNATE, CLIENT, LAN_HOST, WAN, Plan, Topology, UserRouter
from tests.lab.truth import Truth

_PROVIDERS_ALG = UserRouter(alg={"mutations": ["R8"]})
"""It rewrites From's tag and the CSeq: nothing that needs an address of its own."""
_REWRITTEN = "sip-alg.rewritten|sip-alg.inconsistent"
_DESTROYED = "sip-alg.destroyed|sip-alg.answered-by-other"
_PINHOLE = ("sip-alg.pinhole", "sip-alg.via-port")
"""The kernel's helper opens the ports that SIP names, too, and delivers answers to the port that Via names."""
_NOT_OUT = ("outbound.intercepted", "outbound.blocked")
"""SIP does not get out where an ALG drops it or answers it itself."""
_NOTHING_CLOSED = ("port-forwarding.*", "rtp-range.*")


def _case(
    name: str, description: str, plan: Plan, truth: Truth, *options: str, prepare: Callable[[Topology, Path], None] | None = None
) -> Scenario:
    return Scenario(name=name, description=description, plan=plan, options=options, prepare=prepare, expected={}, truth=truth)


_INNER, _OUTER = "192.168.1.2", "192.168.1.1"
"""Between two routers of one site."""


def _in_a_row(inner: bool, outer: bool) -> Plan:
    """Two routers with private addresses between, each with the PBX's rules or without."""
    leading_on = tuple(Forward(ports=rule.ports, to=_INNER, transports=rule.transports) for rule in PBX)
    return Plan(home=KernelRouter(forwards=PBX if inner else ()), carrier=KernelRouter(forwards=leading_on if outer else ()))


def _telling(topology: Topology, directory: Path) -> None:
    """The inner one tells its WAN address."""
    igd.second_router(topology, _INNER, _OUTER)
    igd.stub(topology, says=_INNER)


def _denying(topology: Topology, directory: Path) -> None:
    """The first words of OPTIONS, REGISTER and INVITE mark a flow; what is marked is dropped, whatever it is."""
    words = ", ".join(f"0x{word.encode().hex()}" for word in ("OPTI", "REGI", "INVI"))
    chain = f"type filter hook forward priority -5; udp dport 5060 @th,64,32 {{ {words} }} ct mark set 1; ct mark 1 drop;"
    topology.ground.shell(f"ip netns exec home nft -f - <<'END'\ntable inet applications {{ chain across {{ {chain} }}\n}}\nEND\n")


def _mute(topology: Topology, directory: Path) -> None:
    igd.second_router(topology, _INNER, _OUTER)


def _numbered(topology: Topology, directory: Path) -> None:
    igd.numbered_by_the_provider(topology)


def _numbered_with_a_dmz(topology: Topology, directory: Path) -> None:
    igd.numbered_by_the_provider(topology)
    rule = f"ip daddr {WAN} udp dport 20000-65535 dnat to {LAN_HOST}"
    topology.ground.shell(
        "ip netns exec home nft -f - <<'END'\n"
        f"table ip dmz {{ chain more {{ type nat hook prerouting priority dstnat + 5; {rule}; }}\n}}\nEND"
    )


def _routed_through(**options: Any) -> Plan:
    """The provider's router stands between; what it does is told by ``_numbered``."""
    return Plan(home=KernelRouter(**options), carrier=KernelRouter())


def _lying(topology: Topology, directory: Path) -> None:
    igd.Igd(says="25.9.9.9").start(topology, directory / "igd")


SCAN_PROTECTION = """table ip scan {
  set bad { type ipv4_addr; flags dynamic,timeout; timeout 300s; }
  set counted { type ipv4_addr; flags dynamic,timeout; timeout 300s; }
  chain before { type filter hook prerouting priority -140; policy accept;
    iifname wan ct state new ip saddr @bad drop
    iifname wan %s ct state new add @counted { ip saddr limit rate over 1/minute burst %d packets } add @bad { ip saddr } drop
  }
}"""
"""Who begins more flows than so many is shut out for five minutes; his flows that are known go on."""
BANNED = f"""table ip banned {{
  chain before {{ type filter hook prerouting priority -140; policy accept; iifname wan ip saddr {ALTERNATE} ct state new drop; }}
}}"""
"""It has been shut out before, by an earlier run."""


_LOOSE: dict[str, dict[str, Any]] = {
    "address-dependent": {"filtering": "address-dependent"},
    "endpoint-independent": {"filtering": "endpoint-independent"},
    "address-dependent by host": {"filtering": "address-dependent by host"},
}
_RULES = [["udp", 5060, 5061, CLIENT], ["tcp", 5060, 5061, CLIENT], ["udp", 10000, 10099, CLIENT]]
"""Those of the PBX, as the user-space router reads them."""


def _with_table(table: str, *, pbx_at_work: bool = False) -> Callable[[Topology, Path], None]:
    def prepare(topology: Topology, directory: Path) -> None:
        topology.ground.shell(f"ip netns exec home nft -f - <<'END'\n{table}\nEND")
        if pbx_at_work:
            pbx.kamailio(topology, "client", CLIENT, directory / "pbx")

    return prepare


def _alg_at_home(*mutations: str) -> Plan:
    return Plan(home=UserRouter(nat={"mapping": "endpoint-independent"}, alg={"mutations": list(mutations)}))


LOOKALIKES: tuple[Scenario, ...] = (
    # ------------------------------------------------------------------------------------------------------------ ports that are shut
    _case(
        "host firewall, and no rule either",
        "nothing gets as far as the firewall: what it would do is not known from outside",
        Plan(host_firewall=True),
        Truth(causes=(NO_RULE,), also=("port-forwarding.host-firewall", "host.firewall*")),
    ),
    _case(
        "rejected, with a firewall behind",
        "the router refuses by ICMP; the host's firewall would drop",
        Plan(home=KernelRouter(unsolicited="reject"), host_firewall=True),
        Truth(causes=(NO_RULE,), also=("port-forwarding.host-firewall", "host.firewall*")),
    ),
    _case(
        "wrong host for one port",
        "5061 leads to another machine, 5060 to this one",
        routed_by(forwards=(Forward(ports="5060"), Forward(ports="5061", to=LAN_HOST), PBX[1])),
        Truth(causes=("port-forwarding.wrong-host",)),
    ),
    _case(
        "throttled, and no rule",
        "500 packets a second pass, and nothing unasked",
        routed_by(udp_rate=500),
        Truth(causes=(NO_RULE,)),
    ),
    _case("everything to this host", "a DMZ host needs no rule", routed_by(dmz=True), Truth(forbidden=_NOTHING_CLOSED)),
    _case(
        "no rule, a tenth lost",
        "silence has two reasons here; only one of them stays when asked again",
        Plan(loss=10),
        Truth(causes=(NO_RULE,)),
    ),
    _case(
        "scan protection, and the rules are right",
        "the router shuts out whoever knocks at many ports: what is silent then lacks no rule",
        routed_by(forwards=PBX),
        Truth(forbidden=_NOTHING_CLOSED),
        prepare=_with_table(SCAN_PROTECTION % ("", 30)),
    ),
    _case(
        "scan protection that bears little, and a pbx at work",
        "it holds the ports, so they are asked last: by then the prober is shut out",
        routed_by(forwards=PBX),
        Truth(forbidden=_NOTHING_CLOSED),
        prepare=_with_table(SCAN_PROTECTION % ("", 12), pbx_at_work=True),
    ),
    _case(
        "scan protection, and a rule for RTP alone",
        "SIP needs none; whoever looks for its rule is shut out before he comes to RTP",
        routed_by(forwards=PBX[1:]),
        Truth(also=(NO_RULE,), forbidden=("rtp-range.*",)),
        "port-forwarding",
        "rtp-range",
        prepare=_with_table(SCAN_PROTECTION % ("", 20)),
    ),
    _case(
        "scan protection, and RTP is asked alone",
        "thirty of a hundred ports are let in, and the rule has them all",
        routed_by(forwards=PBX),
        Truth(forbidden=_NOTHING_CLOSED),
        "rtp-range",
        prepare=_with_table(SCAN_PROTECTION % ("", 30)),
    ),
    _case(
        "scan protection that has shut out the prober before, and the rules are right",
        "nothing of it comes in at all",
        routed_by(forwards=PBX),
        Truth(forbidden=_NOTHING_CLOSED),
        prepare=_with_table(BANNED),
    ),
    _case(
        "scan protection that has shut out the prober before, and no rules",
        "who is let in nowhere either is everybody else",
        Plan(),
        Truth(causes=(NO_RULE,)),
        prepare=_with_table(BANNED),
    ),
    *(
        case
        for name, nat in _LOOSE.items()
        for case in (
            _case(
                f"scan protection that has shut out the prober before, {name} filtering, and the rules are right",
                "the primary address comes in wherever it was contacted: that alone tells of no rule",
                Plan(home=UserRouter(nat={**nat, "forwards": _RULES})),
                Truth(forbidden=_NOTHING_CLOSED),
                prepare=_with_table(BANNED),
            ),
            _case(
                f"nobody is shut out, {name} filtering, and no rules",
                "the alternate address comes in as well once it was contacted: its silence counts",
                Plan(home=UserRouter(nat=nat)),
                Truth(fits=SILENT),
            ),
        )
    ),
    _case(
        "a guard against syn floods that bears one, and the rules are right",
        "datagrams are let in as ever",
        routed_by(forwards=PBX),
        Truth(forbidden=_NOTHING_CLOSED),
        prepare=_with_table(SCAN_PROTECTION % ("meta l4proto tcp", 1)),
    ),
    # ------------------------------------------------------------------------------------------------------------------- layers of NAT
    _case(
        "carrier-grade, no rules at home",
        "neither router forwards; a rule at home would help nobody",
        Plan(carrier=KernelRouter()),
        Truth(causes=("topology.carrier-grade-nat|port-forwarding.carrier-grade-nat",), also=(NO_RULE, *CARRIER)),
    ),
    _case(
        "carrier-grade that refuses",
        "the provider's router answers for itself",
        Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter(unsolicited="take")),
        Truth(causes=("topology.carrier-grade-nat|port-forwarding.carrier-grade-nat",), also=CARRIER),
    ),
    _case(
        "carrier-grade that leads everything on, and rules",
        "one to one: the provider translates, and every port comes through",
        Plan(home=KernelRouter(forwards=PBX), carrier=KernelRouter(dmz=True)),
        Truth(causes=("topology.carrier-grade-nat",), forbidden=_NOTHING_CLOSED),
    ),
    _case(
        "a provider that numbers its routers from 100.64, and rules",
        "the home router has the public address: nobody else translates",
        _routed_through(forwards=PBX),
        Truth(forbidden=(*_NOTHING_CLOSED, "topology.*")),
        prepare=_numbered,
    ),
    _case(
        "a provider that numbers its routers from 100.64, no rules",
        "the same, and the rules are missing",
        _routed_through(),
        Truth(causes=(NO_RULE,), forbidden=("topology.*",)),
        prepare=_numbered,
    ),
    _case(
        "a provider that numbers its routers from 100.64, and another machine gets the rest",
        "the home router leads packets to its public address on, from within too, and they expire there",
        _routed_through(forwards=PBX),
        Truth(forbidden=(*_NOTHING_CLOSED, "topology.*")),
        prepare=_numbered_with_a_dmz,
    ),
    _case(
        "double nat, neither has rules",
        "two routers of one site in a row",
        _in_a_row(inner=False, outer=False),
        Truth(causes=("topology.double-nat", "port-forwarding.double-nat")),
        prepare=_telling,
    ),
    _case(
        "double nat, the outer rule missing",
        "the rules at the inner router are right",
        _in_a_row(inner=True, outer=False),
        Truth(causes=("topology.double-nat", "port-forwarding.double-nat")),
        prepare=_telling,
    ),
    _case(
        "double nat, the inner rule missing",
        "the outer router leads everything to the inner one, where it ends",
        _in_a_row(inner=False, outer=True),
        Truth(causes=("topology.double-nat",), fits=(NO_RULE,)),
        prepare=_telling,
    ),
    _case(
        "double nat, rules at both",
        "two routers, and everything arrives",
        _in_a_row(inner=True, outer=True),
        Truth(causes=("topology.double-nat",), forbidden=_NOTHING_CLOSED),
        prepare=_telling,
    ),
    _case(
        "double nat, nobody tells",
        "two routers in a row look like a DMZ host behind one that merely routes",
        _in_a_row(inner=True, outer=True),
        Truth(also=("topology.double-nat",), forbidden=_NOTHING_CLOSED),
        prepare=_mute,
    ),
    _case(
        "a router that lies about its wan address",
        "UPnP and NAT-PMP tell an address that nobody sees; its rules are right",
        routed_by(forwards=PBX),
        Truth(causes=("topology.wan-address-differs",), forbidden=_NOTHING_CLOSED),
        prepare=_lying,
    ),
    _case(
        "a router that lies about its wan address, and no rules",
        "the lie has nothing to do with what is closed",
        Plan(),
        Truth(causes=("topology.wan-address-differs", NO_RULE)),
        prepare=_lying,
    ),
    # -------------------------------------------------------------------------------------------------------------------------- ALGs
    _case(
        "two algs in a row",
        "the kernel's at home, another one at the provider",
        Plan(home=KernelRouter(forwards=PBX, sip_alg=("udp",)), path=_PROVIDERS_ALG),
        Truth(causes=(_REWRITTEN,), also=_PINHOLE, hops=(1, 2)),
    ),
    _case(
        "two kernel algs, carrier-grade nat",
        "both routers translate and rewrite",
        Plan(home=KernelRouter(forwards=PBX, sip_alg=("udp",)), carrier=KernelRouter(sip_alg=("udp",))),
        Truth(causes=(_REWRITTEN, "topology.carrier-grade-nat|port-forwarding.carrier-grade-nat"), also=(*CARRIER, *_PINHOLE), hops=(1, 2)),
    ),
    _case(
        "alg at the provider only",
        "the home router is innocent",
        Plan(home=KernelRouter(forwards=PBX), path=_PROVIDERS_ALG),
        Truth(causes=(_REWRITTEN,), hops=(2,)),
    ),
    _case(
        "alg at the provider that only adds",
        "a Record-Route more; nothing of what was there is changed",
        Plan(home=KernelRouter(forwards=PBX), path=UserRouter(alg={"mutations": ["R9"]})),
        Truth(causes=(_REWRITTEN,), hops=(2,)),
    ),
    _case(
        "alg that rewrites what is sent again",
        "the first copy of each request passes untouched: followed hop by hop, it looks as if a later router did it",
        Plan(home=UserRouter(nat={"mapping": "endpoint-independent"}, alg={"mutations": ["R1-again", "R5"]}), path=UserRouter(weather={"delay_ms": 5})),
        Truth(causes=(_REWRITTEN,), also=_NOTHING_CLOSED, hops=(1,), must_locate=False),
    ),
    _case(
        "alg at home, another that refuses calls at the provider",
        "the home router rewrites Via, which harms little; somebody else turns 200 into 403",
        Plan(home=KernelRouter(forwards=PBX, sip_alg=("udp",)), path=UserRouter(alg={"mutations": ["A5"]})),
        Truth(causes=("sip-alg.destroyed",), also=_PINHOLE, hops=(1, 2), must_locate=False),
    ),
    _case(
        "alg on tcp at home, on udp at the provider",
        "two boxes, a transport each",
        Plan(home=KernelRouter(forwards=PBX, sip_alg=("tcp",)), path=UserRouter(alg={"mutations": ["R8"], "transports": ["udp"]})),
        Truth(causes=(_REWRITTEN,), also=_PINHOLE, hops=(2,)),
    ),
    _case(
        "alg, and a tenth lost",
        "what is lost is not destroyed",
        Plan(home=KernelRouter(forwards=PBX, sip_alg=("udp",)), loss=10),
        Truth(causes=(_REWRITTEN,), also=_PINHOLE, hops=(1,)),
    ),
    _case(
        "alg that answers itself",
        "503 from the box, in the server's place",
        _alg_at_home("R21"),
        Truth(causes=(_DESTROYED,), fits=SILENT, also=_NOT_OUT),
    ),
    _case(
        "application control that denies sip",
        "all of a flow is dropped once it has had SIP, so what is no SIP from the same port as well",
        Plan(home=KernelRouter(forwards=PBX)),
        Truth(causes=("sip-alg.destroyed",), also=_NOT_OUT, forbidden=_NOTHING_CLOSED),
        prepare=_denying,
    ),
    _case("alg that drops", "every SIP message vanishes, nothing else does", _alg_at_home("R16-all"), Truth(causes=(_DESTROYED,), fits=SILENT, also=_NOT_OUT)),
    _case(
        "alg that gets it wrong",
        "Content-Length no longer fits the body",
        _alg_at_home("R13"),
        Truth(causes=("sip-alg.inconsistent|sip-alg.destroyed",), fits=SILENT, hops=(1,)),
    ),
    _case(
        "ports remapped, no alg",
        "the same outside as behind some ALGs: another source port, and no text touched",
        routed_by(forwards=PBX, port_range="20000-29999"),
        Truth(causes=("port-preservation.remapped",), forbidden=("sip-alg.*",)),
    ),
    # ------------------------------------------------------------------------------------------------------------------------ lifetime
    _case(
        "30 s timeouts",
        "Linux as it comes: 30 s after one exchange",
        routed_by(forwards=PBX),
        Truth(causes=("mapping-lifetime.very-short|mapping-lifetime.short",), also=("mapping-lifetime.*",)),
        "mapping-lifetime",
        "--quick",
    ),
)
