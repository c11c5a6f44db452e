"""Whose is the address that was written: the hop's that is named, another's, or nobody knows whose; on a row of routers in memory."""

import pytest

from edgecheck.checks.sip_alg.locate import locate, with_neighbors
from edgecheck.checks.sip_alg.observation import Located
from edgecheck.checks.sip_alg.owner import check_owners, written
from edgecheck.checks.sip_alg.taken import name_of
from edgecheck.model.check import Quote
from edgecheck.wire.address import Endpoint
from tests.checks.test_sip_alg_locate import BY_BOTH, BY_HOME, CARRIER, CORE, HOME, SENT, stages
from tests.fakes import clock
from tests.fakes.hops import SERVER, HopSocket, HopWorld, Router

WAN = "203.0.113.1"
TO = Endpoint(SERVER.host, 5060)
ROW = (HOME, CARRIER, CORE)
SEEN = stages(SENT, BY_HOME, BY_HOME)


def test_the_addresses_that_are_written_are_known_by_the_hop_before() -> None:
    assert written(SENT, stages(SENT, BY_HOME), BY_BOTH) == {1: ("100.64.0.2",), 2: (WAN,)}
    assert written(SENT, stages(SENT, SENT), SENT) == {}


@pytest.mark.parametrize(
    ("changed", "hosts"),
    [
        (SENT.replace(b"<sip:x@192.168.88.2", b"<sip:x@203.0.113.7"), ("203.0.113.7",)),
        (SENT.replace(b"Call-ID: 1@192.168.88.2", b"Call-ID: 1@203.0.113.7"), ("203.0.113.7",)),
        (SENT.replace(b"rport;", b"rport=9;received=203.0.113.7;"), ("203.0.113.7",)),
        (SENT.replace(b"<sip:x@192.168.88.2", b"<sip:x@[2001:db8::7]"), ("2001:db8::7",)),
        (SENT.replace(b"Contact: ", b"Record-Route: <sip:203.0.113.7;lr>\r\nContact: "), ("203.0.113.7",)),
        (SENT.replace(b";rport", b""), ()),
        (SENT.replace(b"Call-ID: 1@192.168.88.2", b"Call-ID: 1@198.51.100.10"), ()),
        (SENT.replace(b"Call-ID: 1@192.168.88.2", b"Call-ID: 1.22.333.4444"), ()),
    ],
    ids=["Contact", "Call-ID", "received", "IPv6", "added", "none", "the server's", "no address"],
)
def test_wherever_they_stand(changed: bytes, hosts: tuple[str, ...]) -> None:
    assert written(SENT, stages(SENT, changed), None).get(1, ()) == hosts


@pytest.mark.parametrize("host", [b"224.0.0.1", b"127.0.0.1", b"255.255.255.255", b"0.0.0.0", b"nas.example"])
def test_nothing_is_sent_to_what_is_no_hosts_address(host: bytes) -> None:
    assert written(SENT, stages(SENT, SENT.replace(b"UDP 192.168.88.2", b"UDP " + host)), None) == {}


class Row(HopWorld):
    """Routers; at ``owner`` lives the address that was written, which ``answers`` for itself or takes what comes and says nothing."""

    owner, answers = 0, False

    def send(self, socket: HopSocket, data: bytes, to: Endpoint, ttl: int) -> None:
        if to.host != WAN or not self.owner or ttl < self.owner:
            super().send(socket, data, to, ttl)
        elif self.answers and not self._lost():
            quote = Quote(at=0.0, icmp_type=3, icmp_code=3, offender=WAN, to=to, data=data)
            self._later(self.owner, lambda: socket.quotes.append(quote))


def checked(one: Located, owner: int, *hosts: str, answers: bool = True, loss: float = 0.0, seed: int = 0, tired: bool = False) -> Located:
    async def work() -> Located:
        world = Row(*(Router(address, errors_a_second=1.0 if tired else None) for address in ROW), loss=loss, seed=seed)
        world.owner, world.answers = owner, answers
        (found,) = await check_owners(world, TO, [one], SEEN, {one.hop: hosts})  # type: ignore[arg-type]
        return found

    return clock.run(work())


FIRST = Located(hop=1, address=HOME, where=("Via",))
SECOND = Located(hop=2, address=CARRIER, where=("Via",))


@pytest.mark.parametrize("answers", [True, False])
@pytest.mark.parametrize("tired", [False, True])
def test_a_hop_that_has_the_address_did_it(answers: bool, tired: bool) -> None:
    assert checked(FIRST, 1, WAN, answers=answers, tired=tired) == FIRST
    assert checked(SECOND, 2, WAN, answers=answers, tired=tired) == SECOND


def test_a_hop_that_has_it_not_is_one_of_those_that_fit() -> None:
    found = checked(FIRST, 2, WAN)
    assert (found.hop, found.up_to_hop, found.or_unseen) == (1, 2, False)
    (named,) = with_neighbors([found], SEEN, [HOME])
    assert name_of(named) == f"hop 1 ({HOME}), hop 2 ({CARRIER}) or a box between them"


def test_where_no_address_was_written_a_box_behind_it_fits_as_well() -> None:
    found = checked(FIRST, 1)
    assert (found.up_to_hop, found.or_unseen) == (None, True)
    assert name_of(found) == f"hop 1 ({HOME}) or an unseen box right behind it"


def test_a_hop_that_writes_a_nearer_ones_address_did_it_or_a_box_behind_it() -> None:
    """Where the packet came from, that is the home router's public address: a quote shows the change, so nobody has turned quotes back."""
    found = checked(SECOND, 1, WAN)
    assert (found.hop, found.up_to_hop, found.or_unseen) == (2, None, True)


def test_before_the_server_there_may_be_more_than_shows_itself() -> None:
    """A router that sets the TTL anew: to whoever counts hops, the server comes next."""
    found = checked(Located(hop=1, address=HOME, where=("Via",), before_server=True), 3, WAN)
    assert (found.hop, found.up_to_hop, found.before_server) == (1, 2, False)
    (named,) = with_neighbors([found], stages(SENT), [HOME], SERVER.host)
    assert name_of(named) == f"hop 1 ({HOME}), hop 2 ({SERVER.host}) or a box between them"


def test_whoever_speaks_from_the_servers_address_is_the_servers_own() -> None:
    edge = Located(hop=2, address=SERVER.host, where=("To",))
    assert checked(edge, 0, "10.0.0.10") == edge


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("owner", [0, 2, 3])
def test_loss_makes_no_owner_of_a_hop(owner: int, seed: int) -> None:
    found = checked(FIRST, owner, WAN, loss=0.25, seed=seed, answers=False)
    assert found.up_to_hop is not None or found.or_unseen


def test_a_box_that_turns_the_quotes_back_does_not_lead_to_the_last_router() -> None:
    """What is seen of the change is seen at the server alone."""
    seen = stages(SENT, SENT, SENT)
    at_server = SENT.replace(b"192.168.88.2", WAN.encode())
    located, _ = locate(SENT, seen, at_server)
    assert [(one.hop, one.before_server) for one in located or ()] == [(3, True)], "by the quotes alone"

    async def work() -> tuple[Located, ...]:
        world = Row(*map(Router, ROW))
        world.owner, world.answers = 1, True
        return await check_owners(world, TO, located or (), seen, written(SENT, seen, at_server))  # type: ignore[arg-type]

    (found,) = clock.run(work())
    assert (found.hop, found.address, found.up_to_hop) == (1, HOME, 4)
