"""Routers of the Linux kernel: what one does, in RFC 4787 words, and the nftables rules that make it so.

Mapping. ``masquerade`` keeps the port where it can, so one local port looks the same to everybody: endpoint-independent as long as nothing
clashes. ``random,fully-random`` draws a new port for every destination address and port.

Filtering. Connection tracking admits only what answers a packet sent to exactly that address and port. Anything looser is a ``dnat`` of
unsolicited UDP to the one host of this network, but only

* to a port that the host has used (``endpoint-independent``): a set of ports filled on the way out;
* ... from an address to which that very port has sent (``address-dependent``): a set of (port, address);
* ... from an address to which *any* port has sent anything (``address-dependent by host``): the trap NAT that remembers hosts. RFC
  4787 has no word for it, home routers have it (``xt_recent``).

A DMZ host, which gets everything whether it has sent or not, is none of these; many a page calls it "full cone". It is ``dmz`` here.
"""

from dataclasses import dataclass
from typing import Literal

Filtering = Literal["endpoint-independent", "address-dependent", "address-dependent by host", "address-and-port-dependent", "none"]

MEMORY_S = 300
"""How long a filter's sets remember, seconds."""


@dataclass(frozen=True, kw_only=True)
class Forward:
    """A static rule: what arrives for these ports goes to that host, port for port."""

    ports: str
    """``5060`` or ``10000-10099``."""
    to: str = ""
    """The LAN address; empty = the client."""
    transports: tuple[str, ...] = ("udp", "tcp")


@dataclass(frozen=True, kw_only=True)
class KernelRouter:
    """One router that the Linux kernel itself plays."""

    mapping: Literal["preserving", "random", "none"] = "preserving"
    """``none``: it routes and translates nothing."""
    port_range: str = ""
    """``20000-29999``: mapped ports are drawn from here whatever the local port; empty = the local port is kept where possible."""
    filtering: Filtering = "address-and-port-dependent"
    """Of UDP; TCP always needs to have been asked for. ``none``: everything passes (only sensible where nothing is translated)."""
    unsolicited: Literal["drop", "take", "reject"] = "drop"
    """What becomes of a packet that nobody asked for: dropped, taken by the router for itself (its system answers), or rejected by ICMP."""
    dmz: bool = False
    """Everything that nobody asked for goes to the client."""
    forwards: tuple[Forward, ...] = ()
    sip_alg: tuple[str, ...] = ()
    """Of ``udp`` and ``tcp``: the kernel's SIP helper on port 5060."""
    blocked: tuple[str, ...] = ()
    """Transports that may not go out."""
    udp_rate: int = 0
    """UDP packets a second that pass; what is over is dropped (flood protection). 0 = no limit."""
    udp_timeout_s: int = 0
    """How long an idle UDP mapping lives; 0 = as the kernel has it, 30 s."""
    udp_stream_timeout_s: int = 0
    """The same for one whose two-way traffic went on for more than two seconds; 0 = as the kernel has it, 120 s."""
    tcp_timeout_s: int = 0
    """How long an idle TCP connection is remembered; 0 = as the kernel has it, five days."""

    @property
    def switches(self) -> tuple[str, ...]:
        """Kernel settings, once connection tracking is there."""
        told = (
            ("udp_timeout", self.udp_timeout_s),
            ("udp_timeout_stream", self.udp_stream_timeout_s),
            ("tcp_timeout_established", self.tcp_timeout_s),
        )
        return tuple(f"net.netfilter.nf_conntrack_{name}={seconds}" for name, seconds in told if seconds)


def rules(router: KernelRouter, client: str, *, six: bool = False) -> str:
    """The router's nftables rules. Its interfaces are ``lan`` and ``wan``; ``client`` is the host that it serves."""
    family = "ip6" if six else "ip"
    chains = [_input(router, family), _forward(router, family)]
    if router.mapping != "none":
        if six:
            raise ValueError("there is no IPv6 translation in this laboratory")
        chains.append(_source_nat(router))
    if router.mapping != "none" and (router.forwards or router.dmz or _loose(router)):
        chains.append(_destination_nat(router, client))
    if _loose(router):
        chains.insert(0, _remember(router))
    if router.sip_alg:
        chains.insert(0, _sip_helper(router, family))
    body = "\n".join(chains)
    return f"table {family} edge {{\n{body}\n}}\n"


def _loose(router: KernelRouter) -> bool:
    return router.filtering in ("endpoint-independent", "address-dependent", "address-dependent by host")


def _chain(name: str, kind: str, hook: str, priority: str, lines: list[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"  chain {name} {{\n    type {kind} hook {hook} priority {priority}; policy accept;\n{body}\n  }}"


def _reaction(router: KernelRouter, family: str) -> str:
    refusal = {"ip": "icmp type admin-prohibited", "ip6": "icmpv6 type admin-prohibited"}[family]
    return {"drop": "drop", "take": "accept", "reject": f"reject with {refusal}"}[router.unsolicited]


def _input(router: KernelRouter, family: str) -> str:
    """Packets for the router itself. The answer to one taken is the system's own: port unreachable, or a reset."""
    return _chain(
        "local",
        "filter",
        "input",
        "filter",
        ['iifname "wan" ct state established,related accept', f'iifname "wan" meta l4proto {{ tcp, udp }} {_reaction(router, family)}'],
    )


def _forward(router: KernelRouter, family: str) -> str:
    lines = (
        [f"meta l4proto udp limit rate over {router.udp_rate}/second burst {max(5, router.udp_rate // 10)} packets drop"]
        if router.udp_rate
        else []
    )
    lines += [f'iifname "lan" meta l4proto {transport} drop' for transport in router.blocked]
    lines.append("ct state established,related accept")
    if router.filtering != "none":
        if router.mapping == "none":
            lines += [f'iifname "wan" {transport} dport {rule.ports} accept' for rule in router.forwards for transport in rule.transports]
        lines.append('iifname "wan" ct status dnat accept')
        lines.append(f'iifname "wan" meta l4proto {{ tcp, udp }} {_reaction(router, family)}')
    return _chain("across", "filter", "forward", "filter", lines)


def _source_nat(router: KernelRouter) -> str:
    target = f" to :{router.port_range}" if router.port_range else ""
    flags = " random,fully-random" if router.mapping == "random" else ""
    lines = [f'oifname "wan" meta l4proto {{ tcp, udp }} masquerade{target}{flags}', 'oifname "wan" masquerade']
    return _chain("source", "nat", "postrouting", "srcnat", lines)


def _destination_nat(router: KernelRouter, client: str) -> str:
    lines = [
        f'iifname "wan" {transport} dport {rule.ports} dnat to {rule.to or client}'
        for rule in router.forwards
        for transport in rule.transports
    ]
    if router.filtering == "endpoint-independent":
        lines.append(f'iifname "wan" udp dport @used dnat to {client}')
    elif router.filtering == "address-dependent":
        lines.append(f'iifname "wan" udp dport . ip saddr @used dnat to {client}')
    elif router.filtering == "address-dependent by host":
        lines.append(f'iifname "wan" ip saddr @hosts udp dport @used dnat to {client}')
    if router.dmz:
        lines.append(f'iifname "wan" meta l4proto {{ tcp, udp }} dnat to {client}')
    return _chain("destination", "nat", "prerouting", "dstnat", lines)


def _remember(router: KernelRouter) -> str:
    """Sets filled on the way out, after translation (srcnat is 100), so that the port is the mapped one."""
    kind = {"address-dependent": "inet_service . ipv4_addr"}.get(router.filtering, "inet_service")
    fill = {"address-dependent": "udp sport . ip daddr"}.get(router.filtering, "udp sport")
    dynamic = f"flags dynamic,timeout; timeout {MEMORY_S}s; size 65535;"
    sets = [f"  set used {{ type {kind}; {dynamic} }}"]
    lines = [f'oifname "wan" update @used {{ {fill} }}']
    if router.filtering == "address-dependent by host":
        sets.append(f"  set hosts {{ type ipv4_addr; {dynamic} }}")
        lines.append('oifname "wan" update @hosts { ip daddr }')
    return "\n".join(sets) + "\n" + _chain("remember", "filter", "postrouting", "150", lines)


def _sip_helper(router: KernelRouter, family: str) -> str:
    """The helper is bound when a connection is first seen: before translation, after tracking began (-200)."""
    helpers = [f'  ct helper sip-{transport} {{ type "sip" protocol {transport}; l3proto {family}; }}' for transport in router.sip_alg]
    lines = [f'{transport} dport 5060 ct helper set "sip-{transport}"' for transport in router.sip_alg]
    return "\n".join(helpers) + "\n" + _chain("alg", "filter", "prerouting", "-150", lines)
