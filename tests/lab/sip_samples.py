"""SIP as a phone and a server write it, for proving ALGs: literal addresses that match the socket's own, as real ALGs want them."""

SDP = (
    "v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\nm=audio {rtp} RTP/AVP 0 8\r\na=rtcp:{rtcp} IN IP4 {host}\r\n"
    "a=candidate:1 1 UDP 2130706431 {host} {rtp} typ host\r\na=rtpmap:0 PCMU/8000\r\n"
)


def request(method: str, host: str, port: int, server: str, *, sdp: bool = False, transport: str = "UDP", rtp: int = 40000) -> bytes:
    """A request from the client at ``host:port``, that announces the port ``rtp``."""
    body = SDP.format(host=host, rtp=rtp, rtcp=40001) if sdp else ""
    kind = "Content-Type: application/sdp\r\n" if sdp else ""
    return (
        f"{method} sip:echo@{server} SIP/2.0\r\nVia: SIP/2.0/{transport} {host}:{port};branch=z9hG4bKabc;rport\r\n"
        f'Contact: "Me" <sip:me@{host}:{port}>;expires=3600\r\nMax-Forwards: 70\r\nFrom: <sip:me@{server}>;tag=one\r\n'
        f"To: <sip:echo@{server}>\r\n"
        f"Call-ID: 77@{host}\r\nCSeq: 1 {method}\r\nk: path\r\nUser-Agent: phone\r\nAllow: INVITE, ACK\r\n"
        f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def answer(to: bytes, status: str, source: tuple[str, int], server: str, *, sdp: bool = False, expires: int | None = None) -> bytes:
    """A server's answer to ``to``, that came from ``source``."""
    lines = to.decode().split("\r\n\r\n")[0].split("\r\n")
    via = next(line for line in lines if line.startswith("Via:")).replace(";rport", f";received={source[0]};rport={source[1]}")
    kept = [line for line in lines if line.startswith(("From:", "To:", "Call-ID:", "CSeq:"))]
    body = SDP.format(host=server, rtp=10000, rtcp=10001) if sdp else ""
    contact = f"Contact: <sip:me@{source[0]}:{source[1]}>;expires={expires}" if expires is not None else f"Contact: <sip:echo@{server}>"
    head = [
        f"SIP/2.0 {status}",
        via,
        *kept,
        contact,
        *([f"Expires: {expires}"] if expires is not None else []),
        *(["Content-Type: application/sdp"] if sdp else []),
    ]
    return ("\r\n".join([*head, f"Content-Length: {len(body)}"]) + "\r\n\r\n" + body).encode()
