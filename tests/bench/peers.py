"""The peers: their commands, and what their words mean in RFC 4787's. Only what a tool asserts is taken for an answer.

Vovida's client tells "Dependent Mapping" and "Firewall" without saying on what they depend; that is right wherever they depend on something.
coturn's client says "NAT with Endpoint Independent Mapping!" without a NAT, too, unless it was told its own address: whether there is a NAT is not
taken from it, then.
"""

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tests.lab.ground import LabError, Program, python
from tests.lab.nats import ADM, APDM, EIM, Nat
from tests.lab.topology import ALTERNATE, SERVER, Topology

DEPENDENT = "dependent"
"""On the address, or on the port as well: not told which."""
COTURN_PORT = 3480
_WAIT = f"""
import socket
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asking.settimeout(0.1)
for _ in range(100):
    asking.sendto(bytes.fromhex("000100002112a442") + bytes(12), ("{SERVER}", {COTURN_PORT}))
    try:
        raise SystemExit(not asking.recv(2048))
    except OSError:
        pass
raise SystemExit(1)
"""
Verdict = Literal["right", "unsure", "wrong"]


class Answer(NamedTuple):
    """What a tool asserted; None = nothing."""

    mapping: str | None = None
    filtering: str | None = None
    behind: bool | None = None

    @property
    def label(self) -> str:
        """Short, for the confusion table: ``EIM/APDF``."""
        mapping = "no NAT" if self.behind is False else _SHORT.get(self.mapping or "", "?") + ("M" if self.mapping else "")
        return "?" if self == Answer() else f"{mapping}/{_SHORT.get(self.filtering or '', '?')}{'F' if self.filtering else ''}"


_SHORT = {EIM: "EI", ADM: "AD", APDM: "APD", DEPENDENT: "dep."}


def truth(nat: Nat) -> Answer:
    """What there is to be found out."""
    return Answer(nat.mapping, nat.filtering, nat.behind)


def judged(answer: Answer, nat: Nat) -> Verdict:
    """Wrong: something that was asserted is not so. Right: mapping and filtering (of a NAT whose mapping depends: the mapping) are told and so."""
    told = zip(answer, truth(nat), strict=True)
    if any(one is not None and one != real and not (one == DEPENDENT and real != EIM) for one, real in told):
        return "wrong"
    enough = answer.mapping is not None and (answer.filtering is not None or nat.mapping != EIM)
    return "right" if enough else "unsure"


# ------------------------------------------------------------------------------------------------------------------ what they say

_VOVIDA = (
    ("Independent Mapping, Independent Filter", Answer(EIM, EIM, True)),
    ("Independent Mapping, Address Dependent Filter", Answer(EIM, ADM, True)),
    ("Independent Mapping, Port Dependent Filter", Answer(EIM, APDM, True)),
    ("Dependent Mapping", Answer(DEPENDENT, None, True)),
    ("Firewall", Answer(EIM, DEPENDENT, False)),
    ("Open", Answer(EIM, EIM, False)),
)
_PYSTUN3 = {
    "Open Internet": Answer(EIM, EIM, False),
    "Symmetric UDP Firewall": Answer(EIM, DEPENDENT, False),
    "Full Cone": Answer(EIM, EIM, True),
    "Restric NAT": Answer(EIM, ADM, True),
    "Restric Port NAT": Answer(EIM, APDM, True),
    "Symmetric NAT": Answer(DEPENDENT, None, True),
}


def of_vovida(output: str) -> Answer:
    """``Primary: Independent Mapping, Port Dependent Filter, preserves ports, no hairpin``; "Blocked or could not reach" is no assertion."""
    found = re.search(r"^Primary: (.*)$", output, re.MULTILINE)
    words = found[1] if found else ""
    return next((answer for start, answer in _VOVIDA if words.startswith(start)), Answer())


def of_natdiscovery(output: str) -> Answer:
    """``NAT with Address Dependent Filtering!``"""
    told = {kind: behavior for behavior, kind in re.findall(r"NAT(?: with|!) \(?(.+?) (Mapping|Filtering)", output)}
    behaviors = {"Endpoint Independent": EIM, "Address Dependent": ADM, "Address and Port Dependent": APDM}
    return Answer(behaviors.get(told.get("Mapping", "")), behaviors.get(told.get("Filtering", "")), False if "No NAT!" in output else None)


def of_pystun3(output: str) -> Answer:
    """``NAT Type: Restric Port NAT``"""
    found = re.search(r"^NAT Type: (.*)$", output, re.MULTILINE)
    return _PYSTUN3.get(found[1].strip(), Answer()) if found else Answer()


def of_edgecheck(observation: dict[str, Any] | None) -> Answer:
    """The observation of ``nat-behavior``."""
    seen = observation or {}
    return Answer(seen.get("mapping"), seen.get("filtering"), seen.get("behind_nat"))


# ------------------------------------------------------------------------------------------------------------------ how they are run


def vovida(port: int = 3478) -> tuple[str, ...]:
    """Vovida's client, 2003."""
    return ("stun", f"{SERVER}:{port}")


def natdiscovery(port: int = 3478) -> tuple[str, ...]:
    """coturn's client: mapping and filtering."""
    return ("turnutils_natdiscovery", "-m", "-f", "-p", str(port), SERVER)


def pystun3(source: str, port: int = 3478) -> tuple[str, ...]:
    """pystun3, told its own address (else it can't ever say "open") and asked for a fresh port."""
    return python("-m", "stun.cli", "-H", SERVER, "-P", str(port), "-i", source, "-p", "0")


def serve_coturn(topology: Topology, directory: Path) -> Program:
    """coturn beside our server, on the same two addresses; returns once it answers."""
    ports = (f"--listening-port={COTURN_PORT}", f"--alt-listening-port={COTURN_PORT + 1}")
    files = (f"--pidfile={directory}/turnserver.pid", f"--log-file={directory}/turnserver.log", f"--userdb={directory}/turndb")
    options = ("-n", "-S", "--no-tcp", "--no-tls", "--no-dtls", "--no-cli", "-L", SERVER, "-L", ALTERNATE)
    program = topology.ground.spawn("server", "turnserver", *options, *ports, *files)
    if topology.ground.run("server", *python("-c", _WAIT), timeout=20).returncode != 0:
        raise LabError(f"coturn does not answer: {program.stderr[-500:]}")
    return program
