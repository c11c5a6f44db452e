"""What is said on each port, and how the server's answer is known from a stranger's."""

from edgecheck.checks.outbound.aims import Aim
from edgecheck.checks.sip_alg.messages import Caller, options, recognize
from edgecheck.model.check import Network
from edgecheck.wire import control, probe, rtp, stun
from edgecheck.wire.address import Endpoint
from edgecheck.wire.errors import WireError

DNS_ITEM = 0
_CHANNELS = 8


class Language:
    """The words of one run: a series for echoes, one for SIP, one for DNS."""

    def __init__(self, net: Network) -> None:
        self.echo_series = net.new_series()
        self.sip_series = net.new_series()
        self.dns_series = net.new_series()
        self._net = net

    def question(self, aim: Aim, number: int, local: Endpoint) -> bytes:
        """What is sent to the ``number``-th aim. Without a session only STUN is understood by the server."""
        net = self._net
        if not net.in_session:
            return stun.binding_request(control.stun_transaction_id(net.session, self.echo_series, number))
        if aim.speech == "sip":
            return options(self._caller(aim, number, local)).data
        return self.plain(aim, number)

    def plain(self, aim: Aim, number: int) -> bytes:
        """The same without SIP: an echo, in RTP where that belongs."""
        asked = probe.serialize(probe.Probe(probe.Kind.ECHO, self._net.session, self.echo_series, number))
        if aim.speech == "rtp":
            return rtp.probe_packet(asked, number, 160 * number, int.from_bytes(self._net.session[:4], "big"))
        return asked

    def _caller(self, aim: Aim, number: int, local: Endpoint) -> Caller:
        server = Endpoint(self._net.primary.host, aim.port)
        return Caller(
            transport=aim.transport,
            local=local,
            server=server,
            session=self._net.session,
            series=self.sip_series,
            channel=number % _CHANNELS,
            attempt=number // _CHANNELS,
        )

    def sip_item(self, aim: Aim, number: int, local: Endpoint) -> int:
        """Under which item the server accounts for the SIP question of this aim."""
        return options(self._caller(aim, number, local)).item

    def dns(self, number: int) -> bytes:
        """A DNS question (RFC 1035 section 4.1) for a name that cannot exist and tells the server whose it is."""
        label = control.sip_marker(self._net.session, self.dns_series, DNS_ITEM).encode()
        head = number.to_bytes(2, "big") + bytes.fromhex("0100 0001 0000 0000 0000")
        return head + bytes((len(label),)) + label + b"\x07invalid\0" + bytes.fromhex("0001 0001")

    def is_dns_answer(self, data: bytes) -> bool:
        """Whether somebody answered that question: QR is set and the name comes back."""
        label = control.sip_marker(self._net.session, self.dns_series, DNS_ITEM).encode()
        return len(data) >= 12 and bool(data[2] & 0x80) and label in data.lower()

    def answers(self, data: bytes, aim: Aim, number: int, local: Endpoint) -> bool:
        """Whether this is the server's answer to the question (not to the plain companion)."""
        net = self._net
        if not net.in_session:
            return _stun_answer(data, control.stun_transaction_id(net.session, self.echo_series, number))
        if aim.speech == "sip":
            return data.startswith(b"SIP/2.0 ") and recognize(data, net.session, self.sip_series) == self.sip_item(aim, number, local)
        return self.answers_plain(data, number)

    def answers_plain(self, data: bytes, number: int) -> bool:
        """Whether this is the echo of this aim."""
        try:
            echoed = probe.parse(data, 0 if data.startswith(probe.MAGIC) else rtp.PROBE_OFFSET)
        except WireError:
            return False
        return (echoed.kind, echoed.session, echoed.series, echoed.item) == (
            probe.Kind.ECHOED,
            self._net.session,
            self.echo_series,
            number,
        )


def _stun_answer(data: bytes, transaction: bytes) -> bool:
    if data[8:20] != transaction:
        return False
    try:
        message = stun.parse(data[: stun.HEADER + int.from_bytes(data[2:4], "big")])
    except WireError:
        return False
    return message.message_class is stun.Class.SUCCESS and message.mapped is not None


def first_words(data: bytes, most: int = 80) -> str:
    """What a stranger said, its first line, fit for a sentence."""
    line = data.lstrip().split(b"\n", 1)[0][:most]
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line.rstrip(b"\r"))
    return text or f"{len(data)} bytes"
