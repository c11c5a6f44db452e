"""What a phone behind a NAT sends to the SIP mirror."""

from edgecheck.wire import sip
from edgecheck.wire.address import Endpoint

PEER = Endpoint("203.0.113.7", 5060)
SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.168.1.2\r\ns=-\r\nc=IN IP4 192.168.1.2\r\nt=0 0\r\n"
    b"m=audio 12000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtcp:12001 IN IP4 192.168.1.2\r\n"
)


def request(
    method: str, marker: str = "", *, via: str = "192.168.1.2:5060;branch=z9hG4bK1;rport", body: bytes = b"", **changes: str | None
) -> bytes:
    """A request of a phone behind a NAT; ``changes``: headers by name with _ for -, None = left out."""
    headers: dict[str, str | None] = {
        "Via": f"SIP/2.0/UDP {via}",
        "Max-Forwards": "70",
        "From": f"<sip:me@198.51.100.10>;tag=f{marker}",
        "To": "<sip:echo@198.51.100.10>",
        "Call-ID": f"call-{marker}@192.168.1.2",
        "CSeq": f"1 {method}",
        "Contact": "<sip:me@192.168.1.2:5060>",
    }
    headers.update({name.replace("_", "-"): value for name, value in changes.items()})
    if body:
        headers["Content-Type"] = "application/sdp"
    return sip.build(
        f"{method} sip:echo@198.51.100.10 SIP/2.0", [(name, value) for name, value in headers.items() if value is not None], body
    )
