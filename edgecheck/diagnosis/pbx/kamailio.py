"""Kamailio with rtpengine: ``kamailio.cfg`` and ``rtpengine.conf``."""

from edgecheck.diagnosis.pbx.edge import Edge
from edgecheck.diagnosis.pbx.wrapping import text
from edgecheck.model.verdict import SettingsPart


def render(edge: Edge) -> tuple[SettingsPart, ...]:
    """Listeners with the address that they advertise, keep-alives to phones behind NAT, the media relay."""
    return (
        SettingsPart(where="kamailio.cfg, global parameters", text=text(_listeners(edge), "# ")),
        SettingsPart(where="kamailio.cfg, modules (once; the file as shipped loads them with WITH_NAT)", text=text(_modules(edge), "# ")),
        SettingsPart(where="rtpengine.conf", text=text(_relay(edge), "# ")),
    )


def _listeners(edge: Edge) -> list[str]:
    lines = [f"# transport: {edge.transport_told}", f"# external address: {edge.external_told}"]
    if edge.source is None:
        return [*lines, "# listen: this machine's address is not in the report"]
    host = f"[{edge.source}]" if ":" in edge.source else edge.source
    lines += [f"# listen: {edge.unheard}"] if edge.unheard else []
    outside = f" advertise {edge.external}" if edge.external else ""
    for transport, port in (("udp", 5060), ("tcp", 5060), *([("tls", 5061)] if edge.transport == "tls" else [])):
        lines.append(f"listen={transport}:{host}:{port}{outside + f':{port}' if outside else ''}")
    if edge.transport == "tls":
        lines.append("enable_tls=yes")
    lines += ["tcp_keepalive=yes", f"tcp_keepidle={edge.tcp_keepalive_s}"]
    if edge.networks and edge.external:
        lines.append(f"# phones in {', '.join(edge.networks)} need a second listen line without advertise, on another port")
    return lines


def _modules(edge: Edge) -> list[str]:
    return [
        *(['loadmodule "tls.so"'] if edge.transport == "tls" else []),
        'loadmodule "nathelper.so"',
        'loadmodule "rtpengine.so"',
        f"# keep-alive: {edge.keepalive_told}",
        f'modparam("nathelper", "natping_interval", {edge.keepalive_s})',
        'modparam("nathelper", "ping_nated_only", 1)',
        'modparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:2223")',
    ]


def _relay(edge: Edge) -> list[str]:
    lines = ["[rtpengine]", "listen-ng = 127.0.0.1:2223"]
    if edge.source is None:
        lines.append("# interface: this machine's address is not in the report")
    else:
        lines.append(f"interface = {edge.source}" + (f"!{edge.external}" if edge.external else ""))
    lines.append(f"# RTP: {edge.rtp_told}")
    if edge.rtp is not None:
        lines += [f"port-min = {edge.rtp[0]}", f"port-max = {edge.rtp[1]}"]
    return lines
