"""The NATs of the laboratory, by name, and what each is in the words of RFC 4787.

The first eight are the bench on which the known tools were measured. ``full cone`` is the true endpoint-independent filter: it admits
everybody, but only to ports that have a mapping. The router that hands everything to one host, used or not, is the ninth, ``dmz host``.
"""

from dataclasses import dataclass
from typing import Literal

from tests.lab.routers import KernelRouter
from tests.lab.topology import Plan

Behavior = Literal["endpoint-independent", "address-dependent", "address-and-port-dependent"]
EIM: Behavior = "endpoint-independent"
ADM: Behavior = "address-dependent"
APDM: Behavior = "address-and-port-dependent"


@dataclass(frozen=True, kw_only=True)
class Nat:
    """One NAT and the truth about it, as ``test_nat_proofs`` proves it with plain packets."""

    name: str
    plan: Plan
    mapping: Behavior = EIM
    filtering: Behavior = APDM
    classic: str
    """The RFC 3489 alias that edgecheck is to print."""
    behind: bool = True
    unsolicited: Literal["nothing", "delivered", "refused"] = "nothing"
    """What becomes of a packet to a port that has sent nothing."""
    by_host: bool = False
    """The filter remembers hosts, not mappings: a later run on the same network may not be able to tell."""
    preserving: bool = True
    """A local port keeps its number, where nothing clashes."""


def _plan(**options: object) -> Plan:
    return Plan(home=KernelRouter(**options))  # type: ignore[arg-type]


def _routed(**options: object) -> Plan:
    return Plan(home=KernelRouter(mapping="none", **options), public_lan=True)  # type: ignore[arg-type]


EIGHT: tuple[Nat, ...] = (
    Nat(name="none", plan=_routed(filtering="none"), filtering=EIM, classic="open internet", behind=False, unsolicited="delivered"),
    Nat(name="stateful firewall", plan=_routed(), classic="symmetric udp firewall", behind=False),
    Nat(name="full cone", plan=_plan(filtering="endpoint-independent"), filtering=EIM, classic="full cone"),
    Nat(name="adf", plan=_plan(filtering="address-dependent"), filtering=ADM, classic="restricted cone"),
    Nat(name="adfh", plan=_plan(filtering="address-dependent by host"), filtering=ADM, classic="restricted cone", by_host=True),
    Nat(name="apdf", plan=_plan(), classic="port restricted cone"),
    Nat(name="apdfo", plan=_plan(unsolicited="take"), classic="port restricted cone", unsolicited="refused"),
    Nat(name="symmetric", plan=_plan(mapping="random"), mapping=APDM, classic="symmetric", preserving=False),
)
DMZ = Nat(name="dmz host", plan=_plan(dmz=True), filtering=EIM, classic="full cone", unsolicited="delivered")
REMAPPING = Nat(name="remapping", plan=_plan(port_range="20000-29999"), classic="port restricted cone", preserving=False)
"""Linux draws the port from a range whatever the local one was, once: while a mapping lives, it is used towards other destinations too."""
CARRIER_GRADE = Nat(name="carrier-grade", plan=Plan(carrier=KernelRouter()), classic="port restricted cone")
BY_KERNEL: tuple[Nat, ...] = (*EIGHT, DMZ, REMAPPING, CARRIER_GRADE)
