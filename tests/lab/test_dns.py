"""The check ``dns`` behind a NAT with the kernel's SIP ALG, against a real BIND outside; sofia-sip's ``sip-dig`` is another opinion on RFC 3263."""

from itertools import groupby
from typing import Any

import pytest

from tests.lab import bind
from tests.lab.conftest import Laboratory
from tests.lab.topology import HOME, SERVER, SERVER6

pytestmark = pytest.mark.lab
CHECK = "dns"

AS_SIP_DIG = (
    f"sip:u@{SERVER};transport=udp",
    f"sip:u@{SERVER}:5070;transport=tcp",
    f"sips:u@{SERVER}",
    "sip:u@plain.example.com:5070;transport=tcp",
    "sips:u@plain.example.com:5070",
    "sip:u@plain.example.com;transport=tcp",
    "sip:u@alias.example.com;transport=udp",
    "sip:u@all.example.com",
    "sips:u@all.example.com",
    "sip:u@srv.example.com",
    "sip:u@srv.example.com;transport=udp",
    "sip:u@srv.example.com;transport=tcp",
    "sips:u@srv.example.com",
    "sip:u@weights.example.com",
    "sip:u@tcponly.example.com",
    "sip:u@elsewhere.example.com;transport=udp",
    "sip:u@dual.example.com;transport=udp",
    "sip:u@six.example.com;transport=udp",
    "sip:u@dualsrv.example.com;transport=udp",
    "sip:u@sixsrv.example.com",
)
"""Both must name the same targets, those that it prefers first; among those that it likes equally the order is a matter of taste: it takes
IPv6 first, we IPv4, and draws by weight where we put the heaviest first. Without ``transport=``, records or sips it adds TCP, for requests too large for UDP: such are left out."""
NOT_SIP_DIGS = {
    "sip:u@web.example.com": [["wss", 8443, bind.ALTERNATE], ["ws", 8080, SERVER]],
    f"sip:u@[{SERVER6}]": [["udp", 5060, SERVER6]],
    "sip:u@web.example.com;transport=ws": [["ws", 8080, SERVER]],
    "sip:u@weights.example.com": [
        ["udp", 5066, "198.51.100.12"],
        ["udp", 5062, bind.ALTERNATE],
        ["udp", 5060, SERVER],
        ["udp", 5064, "198.51.100.12"],
    ],
}
"""RFC 7118 it does not know, it prints an IPv6 address as it was written, and the heaviest comes first only most of the time."""
Looked = tuple[dict[str, Any], dict[str, list[list[str]]], dict[str, Any]]


@pytest.fixture(scope="module")
def answers(laboratory: Laboratory) -> Looked:
    """What we say of each account, what sip-dig does, and what we say on a host without IPv6."""
    laboratory.need("named", "sip-dig", "dnsmasq")
    with laboratory.stand(bind.PLAN, "names") as topology:
        ours = bind.look_at_all(topology, laboratory.directory("bind"), *AS_SIP_DIG, *NOT_SIP_DIGS)
        script = "\n".join(f"echo '== {uri}'; timeout 5 sip-dig '{uri}' || true" for uri in AS_SIP_DIG)
        dug = topology.ground.run("client", "sh", "-s", stdin=script).stdout
        return ours, _dug(dug), bind.locate(topology, "lan-host", *bind.OF_IPV4_ALONE)


def _dug(text: str) -> dict[str, list[list[str]]]:
    """By account, lines ``preference weight transport port address``."""
    found: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        if line.startswith("== "):
            found[line[3:]] = rows = []
        elif line.startswith("\t"):
            rows.append(line.split())
    return found


@pytest.mark.parametrize("uri", AS_SIP_DIG)
def test_the_targets_are_those_of_sip_dig(answers: Looked, uri: str) -> None:
    ours, theirs = answers[0][uri]["targets"], answers[1][uri]
    assert theirs, "sip-dig found nothing"
    assert len(ours) == len(theirs)
    for _, alike in groupby(theirs, key=lambda row: row[0]):
        wanted = [[transport, int(port), address] for _, _, transport, port, address in alike]
        here, ours = ours[: len(wanted)], ours[len(wanted) :]
        assert sorted(here) == sorted(wanted)


@pytest.mark.parametrize("uri", NOT_SIP_DIGS)
def test_the_targets_are_those_of_the_zone(answers: Looked, uri: str) -> None:
    assert answers[0][uri]["targets"] == NOT_SIP_DIGS[uri]


@pytest.mark.parametrize("uri", bind.FAULTS)
def test_each_planted_fault_is_named(answers: Looked, uri: str) -> None:
    assert answers[0][uri]["findings"] == bind.FAULTS[uri]


@pytest.mark.parametrize(("host", "uri"), [(host, uri) for host, accounts in bind.BOXED.items() for uri in accounts])
def test_a_router_that_answers_for_every_dns_server(answers: Looked, host: str, uri: str) -> None:
    assert answers[0][f"{uri}, boxed, on {host}"]["findings"] == bind.BOXED[host][uri]


def test_nothing_of_a_box_that_went_is_left_on_the_router(answers: Looked) -> None:
    """A flow that the router still tracked would be led to where nobody listens any more, and what follows would read as a DNS server that refuses."""
    assert answers[0][bind.ONE_PORT] == [bind.LIE, "198.51.100.16"]


def test_what_the_server_itself_says_is_told_only_where_it_was_heard(answers: Looked) -> None:
    uri, plain = f"sip:u@plain.example.com|{SERVER}:53", "plain.example.com is 198.51.100.16, and not 198.51.100.66"
    told = {host: answers[0][f"{uri}, boxed, on {host}"]["summaries"]["intercepted"] for host in ("client", "lan-host")}
    assert "(dnsmasq-" in told["client"]
    assert "cannot be told from here" in told["client"]
    assert plain in told["lan-host"]
    assert "the same for" in answers[0][f"sip:u@all.example.com|{SERVER}:53, boxed, on lan-host"]["summaries"]["intercepted"]
    choosy = answers[0][f"{uri}, boxed, on {bind.CHOOSY}"]["summaries"]["address-mismatch"]
    assert "198.51.100.66 for the DNS server 198.51.100.10:53 over UDP, and 198.51.100.16 over TCP" in choosy
    assert "or the name's addresses change" in choosy, "nothing answered where nobody is: no proof"
    lied = answers[0][f"sip:u@plain.example.com|{HOME}:53"]["summaries"]["address-mismatch"]
    assert bind.LIE in lied
    assert "198.51.100.16" in lied
    assert "split DNS" in lied


@pytest.mark.parametrize("uri", bind.OF_IPV4_ALONE)
def test_on_a_host_without_ipv6(answers: Looked, uri: str) -> None:
    seen = answers[2][uri]
    assert seen["findings"] == bind.OF_IPV4_ALONE[uri]
    assert all(":" not in address for _, _, address in seen["targets"])


def test_an_answer_that_is_cut_is_asked_for_over_tcp(answers: Looked) -> None:
    assert len(answers[0]["sip:u@many.example.com"]["targets"]) == 12
