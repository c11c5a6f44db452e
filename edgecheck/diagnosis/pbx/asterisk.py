"""Asterisk: ``pjsip.conf`` and ``rtp.conf``."""

from edgecheck.diagnosis.pbx.edge import Edge, Transport
from edgecheck.diagnosis.pbx.wrapping import text
from edgecheck.model.verdict import SettingsPart

_PORTS: dict[Transport, int] = {"udp": 5060, "tcp": 5060, "tls": 5061}


def render(edge: Edge) -> tuple[SettingsPart, ...]:
    """A transport, templates for endpoints and their AORs, the RTP range."""
    transport = edge.transport or "udp"
    pjsip = [
        f"; transport: {edge.transport_told}. A new or changed transport needs a restart of Asterisk.",
        f"[transport-{transport}]",
        "type=transport",
        f"protocol={transport}",
        *([f"; bind: {edge.unheard}"] if edge.unheard else []),
        f"bind=0.0.0.0:{_PORTS[transport]}",
        *(["; cert_file= and priv_key_file=: your certificate", "method=tlsv1_2"] if transport == "tls" else []),
        f"; external address: {edge.external_told}",
    ]
    if edge.external:
        pjsip += [f"external_media_address={edge.external}", f"external_signaling_address={edge.external}"]
        pjsip += [f"local_net={network}" for network in edge.networks]
    if edge.external and edge.networks_told:
        pjsip.append(f"; local_net: {edge.networks_told}")
    pjsip += [
        "",
        "; for every endpoint on the far side of this edge: [mytrunk](across-edge)",
        "[across-edge](!)",
        "type=endpoint",
        f"transport=transport-{transport}",
        "rtp_symmetric=yes",
        "force_rport=yes",
        "direct_media=no",
        "; only for phones that are behind a NAT of their own, not for a provider: rewrite_contact=yes",
        "",
        "; its AOR: [mytrunk](across-edge-aor)",
        f"; keep-alive: {edge.keepalive_told}",
        "[across-edge-aor](!)",
        "type=aor",
        f"qualify_frequency={edge.keepalive_s}",
        "",
        "; once in the file: keeps TCP and TLS connections alive",
        "[global]",
        "type=global",
        f"keep_alive_interval={edge.tcp_keepalive_s}",
    ]
    return (SettingsPart(where="pjsip.conf", text=text(pjsip, "; ")), SettingsPart(where="rtp.conf", text=text(_rtp(edge), "; ")))


def _rtp(edge: Edge) -> list[str]:
    if edge.rtp is None:
        return [f"; {edge.rtp_told}"]
    return ["[general]", f"; {edge.rtp_told}", f"rtpstart={edge.rtp[0]}", f"rtpend={edge.rtp[1]}"]
