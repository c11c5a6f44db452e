"""Findings of what is tried beside the methods: sizes, another port in Via, the certificate. Pure."""

from edgecheck.checks.sip_alg.observation import Channel, SipAlgObservation, Size, ViaPort
from edgecheck.model.verdict import Finding, Verdict

_WAYS = {"out": "arrive at the server", "back": "come back from the server"}


def beside_findings(seen: SipAlgObservation) -> list[Finding]:
    """None where nothing is the matter."""
    findings = [_size(size) for size in seen.sizes if size.passes is False]
    if seen.via_port is not None and seen.via_port.at_via:
        findings.append(_via_port(seen.via_port))
    for channel in seen.channels:
        if channel.certificate_replaced:
            findings.append(_certificate(channel))
    return findings


def _size(size: Size) -> Finding:
    way = size.lost_on_way or "out"
    counts = f"{size.sent} sent, {size.arrived} arrived; {size.answered} non-SIP ones returned by the server, {size.returned} came back"
    return Finding(
        id="sip-alg.large-datagrams-lost",
        verdict=Verdict.WARN,
        subject=f"UDP {size.server_port} ({size.bytes} bytes)",
        summary=f"Datagrams of {size.bytes} bytes do not {_WAYS[way]} on UDP {size.server_port}, SIP or not: it is their size, and not "
        "what they hold. Either fragments are dropped on the way, or whatever is that long, or a box that looks at this port alone takes "
        "no more. SIP messages of that size (many codecs, video, ICE) need TCP or TLS here.",
        expected="datagrams pass whatever their size",
        observed=counts,
        evidence=(
            f"INVITEs and non-SIP datagrams of {size.bytes} bytes: {counts}",
            "shorter ones from the same machine passed at that time",
        ),
        reference="RFC 3261 section 18.1.1; RFC 4787 section 10",
    )


def _via_port(seen: ViaPort) -> Finding:
    return Finding(
        id="sip-alg.via-port",
        verdict=Verdict.WARN,
        subject=f"UDP {seen.server_port}",
        summary="Something on the path reads Via and delivers answers to the port named there, instead of where the request came from: it "
        "is an ALG, and phones that listen at the port they send from, behind a Via with another one, hear nothing.",
        expected="the answer goes to where the request came from",
        observed=f"{seen.at_via} answers came to {seen.via}, {seen.at_source} to {seen.sent_from}",
        evidence=(
            f"OPTIONS sent from {seen.sent_from} naming {seen.via} in Via; the server answered {seen.answered} times, to its source",
            f"{seen.at_via} answers came to {seen.via}, {seen.at_source} to {seen.sent_from}",
        ),
        reference="RFC 3581 section 4",
    )


def _certificate(channel: Channel) -> Finding:
    name, shown, proved = channel.name, channel.certificate or "", channel.certificate_proved
    issuer = f' (issuer: "{channel.certificate_issuer}")' if channel.certificate_issuer else ""
    # That SIP came through to the server tells who opens and passes on from who answers in its place.
    deed = (
        f"opens TLS on {name} and shows its own certificate{issuer}"
        if channel.server_saw
        else (f"answers TLS on {name} with its own certificate{issuer}, and the server hears nothing")
    )
    return Finding(
        id="sip-alg.certificate-replaced",
        verdict=Verdict.FAIL,
        subject=name,
        summary=f"Something on the path {deed}: phones that check it refuse to connect, and what the others say is read on the way.",
        expected="the server's own certificate",
        observed=f"another one, {shown[:16]}...{issuer}",
        evidence=(f"shown on {name}: SHA-256 {shown}{issuer}", f"the server proved over the control channel that its own is {proved}"),
        reference="RFC 3261 section 26.3.1",
    )
