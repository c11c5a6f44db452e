"""Real probes and the real mirror's answers to them, for the tests of ``sip-alg``."""

from echo_server.answering import sip_mirror
from edgecheck.checks.sip_alg import messages
from edgecheck.checks.sip_alg.messages import Caller, Step
from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint

LOCAL = Endpoint("192.168.88.2", 40000)
PUBLIC = Endpoint("203.0.113.1", 20000)
SERVER = Endpoint("198.51.100.10", 5060)
SESSION = b"\x01\x02\x03\x04\x05\x06\x07\x08"
CALLER = Caller(transport="udp", local=LOCAL, server=SERVER, session=SESSION, series=3, channel=0, media_port=10050)

OPTIONS = messages.options(CALLER).data
REGISTER = messages.register(CALLER).data
INVITE = messages.invite(CALLER).data


def answers(request: bytes, seen: Endpoint = PUBLIC) -> list[bytes]:
    """What the mirror says to it."""
    place = sip_mirror.Place("udp", SERVER, seen, (10000, 10099))
    return sip_mirror.respond(place, sip.parse(request), b"key", CALLER.marker(Step.INVITE))


CHALLENGED = answers(REGISTER)[0]
AUTHORIZED = messages.register(CALLER, Step.AUTHORIZED, sip.parse(CHALLENGED).get("WWW-Authenticate")).data
REGISTERED = answers(AUTHORIZED)[0]
TRYING, RINGING, ANSWERED = answers(INVITE)
ACK = messages.within_dialog(CALLER, Step.ACK, ANSWERED).data
BYE = messages.within_dialog(CALLER, Step.BYE, ANSWERED).data
REQUESTS = {"OPTIONS": OPTIONS, "REGISTER": REGISTER, "AUTHORIZED": AUTHORIZED, "INVITE": INVITE, "ACK": ACK, "BYE": BYE}
RESPONSES = {"401": CHALLENGED, "200 REGISTER": REGISTERED, "100": TRYING, "180": RINGING, "200 INVITE": ANSWERED}


def swap(data: bytes, *pairs: tuple[str, str]) -> bytes:
    """Replace each first text by the second one, which must be there: a mutation that changes nothing tests nothing."""
    for old, new in pairs:
        assert old.encode() in data, (old, data)
        data = data.replace(old.encode(), new.encode())
    return data


def recount(data: bytes) -> bytes:
    """Content-Length as long as the body is."""
    head, body = data.split(b"\r\n\r\n", 1)
    lines = [b"Content-Length: %d" % len(body) if line.startswith(b"Content-Length:") else line for line in head.split(b"\r\n")]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
