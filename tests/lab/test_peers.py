"""Real peers: their clients against our server, our client against their server, and servers that must not mislead us."""

import itertools
import json
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab import ready, runs
from tests.lab.conftest import Laboratory
from tests.lab.ground import LabError, Program, python
from tests.lab.nats import EIGHT, Nat
from tests.lab.ready import End
from tests.lab.stub_stun import KINDS
from tests.lab.topology import ALTERNATE, SERVER, Topology

pytestmark = pytest.mark.lab
NATS = {nat.name: nat for nat in EIGHT}
PATIENCE_S = 40
"""pystun3 needs 16 s behind a port-restricted NAT, and 32 s where nothing comes back."""
REGISTER = Path(__file__).with_name("sipp_register.xml")


class Site(NamedTuple):
    nat: Nat
    topology: Topology
    directory: Path


# --- their STUN clients against our server -------------------------------------------------------------------------------------------

PYSTUN3 = {"full cone": "Full Cone", "adf": "Restric NAT", "apdf": "Restric Port NAT", "symmetric": "Symmetric NAT"}
"""Its own spelling."""
VOVIDA = {
    "full cone": "Independent Mapping, Independent Filter, preserves ports, no hairpin",
    "adf": "Independent Mapping, Address Dependent Filter, preserves ports, no hairpin",
    "apdf": "Independent Mapping, Port Dependent Filter, preserves ports, no hairpin",
    "symmetric": "Dependent Mapping, random port, no hairpin",
}
NATDISCOVERY = {
    "full cone": ("Endpoint Independent Mapping", "Endpoint Independent Filtering"),
    "adf": ("Endpoint Independent Mapping", "Address Dependent Filtering"),
    "apdf": ("Endpoint Independent Mapping", "Address and Port Dependent Filtering"),
    "symmetric": ("Address and Port Dependent Mapping", "Address and Port Dependent Filtering"),
}


@pytest.fixture(scope="module")
def stun_peers(laboratory: Laboratory) -> Iterator[dict[tuple[str, str], Program]]:
    """Every client on every NAT, all started at once: they mostly wait, and each has a network of its own."""
    laboratory.need("stun", "turnutils_natdiscovery")
    pystun3 = (sys.executable, "-c", "import sys; from stun.cli import main; sys.argv[0] = 'pystun3'; main()")
    started: dict[tuple[str, str], Program] = {}
    with ExitStack() as stack:
        for name in PYSTUN3:
            topology = stack.enter_context(laboratory.stand(NATS[name].plan, f"peers {name}"))
            runs.serve(topology, runs.Server(), laboratory.directory(f"peers run {name}"))
            client = topology.client
            for peer, command in {
                "pystun3": (*pystun3, "-H", SERVER, "-i", client),
                "vovida": ("stun", SERVER, "-i", client),
                "natdiscovery": ("turnutils_natdiscovery", "-m", "-f", "-L", client, SERVER),
            }.items():
                started[peer, name] = topology.ground.spawn("client", *command)
        yield started


def whole(program: Program) -> str:
    """All that a program says until it ends."""
    lines = []
    while True:
        try:
            lines.append(program.line(PATIENCE_S))
        except LabError:
            if program.process.poll() is None:
                raise  # it did not end: it hangs
            return "\n".join(lines) + program.stderr


@pytest.mark.parametrize("name", VOVIDA)
def test_vovidas_client(stun_peers: dict[tuple[str, str], Program], name: str) -> None:
    assert f"Primary: {VOVIDA[name]}" in whole(stun_peers["vovida", name])


@pytest.mark.parametrize("name", NATDISCOVERY)
def test_coturns_client(stun_peers: dict[tuple[str, str], Program], name: str) -> None:
    said = whole(stun_peers["natdiscovery", name])
    for words in NATDISCOVERY[name]:
        assert f"NAT with {words}!" in said, said


@pytest.mark.parametrize("name", PYSTUN3)
def test_pystun3(stun_peers: dict[tuple[str, str], Program], name: str) -> None:
    assert f"NAT Type: {PYSTUN3[name]}" in whole(stun_peers["pystun3", name])


# --- their SIP clients against our mirror --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sip_site(laboratory: Laboratory) -> Iterator[Site]:
    laboratory.need("sipsak", "sipp")
    directory = laboratory.directory("sip peers")
    with laboratory.stand(NATS["apdf"].plan, "sip peers") as topology:
        runs.serve(topology, runs.Server(), directory)
        yield Site(NATS["apdf"], topology, directory)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sipsak(sip_site: Site, transport: str) -> None:
    """OPTIONS: 200, with our Via's received and rport filled in as RFC 3581 wants."""
    done = sip_site.topology.ground.run("client", "sipsak", "-vv", "-E", transport, "-s", f"sip:echo@{SERVER}")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^SIP/2\.0 200 OK", done.stdout, re.MULTILINE)
    assert re.search(r"^Via: .*;received=203\.0\.113\.1", done.stdout, re.MULTILINE)
    assert re.search(r"^Via: .*;rport=[0-9]+", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize("flow", ["call", "register"])
def test_sipp(sip_site: Site, flow: str, transport: str) -> None:
    """A whole call (INVITE, 200 with SDP, ACK, BYE), and a whole registration with its challenge; status 0 says that every step came."""
    scenario = ("-sn", "uac", "-d", "100") if flow == "call" else ("-sf", str(REGISTER))
    command = (
        "sipp",
        *scenario,
        "-m",
        "1",
        "-nostdin",
        "-timeout",
        str(PATIENCE_S),
        "-t",
        transport,
        "-i",
        sip_site.topology.client,
        "-p",
        "5070",
        f"{SERVER}:5060",
    )
    done = sip_site.topology.ground.run("client", *command)
    assert done.returncode == 0, done.stdout + done.stderr


# --- our client against foreign STUN servers -----------------------------------------------------------------------------------------


STUN_ENDS = [End(*end, question=bytes.fromhex("000100002112a442") + b"edgecheck...") for end in itertools.product((SERVER, ALTERNATE), (3478, 3479))]


class Answers(NamedTuple):
    """``edgecheck stun`` before each foreign server, all started at once: they mostly wait (pystun3 beside ours, above all)."""

    running: dict[tuple[str, str], Program]
    """By kind of server and NAT."""

    def report(self, kind: str, nat: str) -> dict[str, Any]:
        program = self.running[kind, nat]
        text = whole(program)
        assert text.startswith("{"), text
        said: dict[str, Any] = json.loads(text)
        return {**said, "status": program.stop()}


STUBBED = [*((kind, "full cone") for kind in sorted(KINDS)), *((kind, "apdf") for kind in ("dead-alternate", "ignores", "silent-change"))]
"""On the full cone every lie arrives; on the other the silence has to be told from a filter."""


@pytest.fixture(scope="module")
def answers(laboratory: Laboratory) -> Iterator[Answers]:
    laboratory.need("turnserver")
    with ExitStack() as stack:
        running = {}
        for kind, name in [*(("coturn", nat.name) for nat in EIGHT), *STUBBED]:
            directory = laboratory.directory(f"{kind} {name}")
            topology = stack.enter_context(laboratory.stand(NATS[name].plan, f"{kind} {name}"))
            if kind == "coturn":
                options = (
                    "-n",
                    "-S",
                    "-L",
                    SERVER,
                    "-L",
                    ALTERNATE,
                    "--no-tcp",
                    "--no-tls",
                    "--no-dtls",
                    "--no-cli",
                    "--pidfile",
                    str(directory / "pid"),
                )
                program = topology.ground.spawn("server", "turnserver", *options, "--log-file", "stdout")
                # asked from outside, so that the client's router has no part in it
                ready.serves(topology.ground, program, "outside", *STUN_ENDS)
            else:
                topology.ground.spawn("server", *python("-m", "tests.lab.stub_stun", kind, SERVER, ALTERNATE), ready="ready")
            environment = {"HOME": str(directory), "XDG_STATE_HOME": str(directory / "state")}
            running[kind, name] = topology.ground.spawn(
                "client", *python("-m", "edgecheck", "stun", SERVER, "--json", "-"), environment=environment
            )
        yield Answers(running)


@pytest.mark.parametrize("nat", EIGHT, ids=lambda nat: nat.name)
def test_coturns_server(answers: Answers, nat: Nat) -> None:
    """The same verdict as with our own server. Where the mapping follows the port asked, or the router takes strangers' packets for itself,
    asking spoils the control by which silence is judged: without receipts the filter cannot be told there, and is not."""
    seen = answers.report("coturn", nat.name)["observation"]
    assert (seen["behind_nat"], seen["mapping"]) == (nat.behind, nat.mapping)
    if nat.name in ("apdfo", "symmetric"):
        assert seen["filtering"] in (None, nat.filtering)
        assert seen["classic_type"] in (None, nat.classic)
    else:
        assert (seen["filtering"], seen["classic_type"]) == (nat.filtering, nat.classic)


@pytest.mark.parametrize(("kind", "nat"), STUBBED)
def test_servers_that_mislead(answers: Answers, kind: str, nat: str) -> None:
    """No NAT verdict from a server that does not do what CHANGE-REQUEST asks; the mapping only where another address really answered."""
    report = answers.report(kind, nat)
    seen = report["observation"]
    if (kind, nat) == ("dead-alternate", "apdf"):
        # it does change its port, and that alone proves the strictest filter
        assert (seen["filtering"], seen["classic_type"], seen["mapping"]) == ("address-and-port-dependent", None, None)
        return
    assert seen["filtering"] is None
    assert seen["classic_type"] is None
    other_answers = kind in ("ignores", "refuses", "silent-change", "garbage")
    assert seen["mapping"] == ("endpoint-independent" if other_answers else None)
    assert report["status"] == 3
    assert seen["reasons"]["filtering"]
