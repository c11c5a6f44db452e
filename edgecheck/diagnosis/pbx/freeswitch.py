"""FreeSWITCH: ``vars.xml``, the sofia profiles, ``switch.conf.xml``."""

from edgecheck.diagnosis.pbx.edge import Edge
from edgecheck.diagnosis.pbx.wrapping import wrapped
from edgecheck.model.verdict import SettingsPart


def render(edge: Edge) -> tuple[SettingsPart, ...]:
    """Variables, profile parameters, the RTP range."""
    variables = [_comment(f"external address: {edge.external_told}")]
    if edge.external:
        variables += [f'<X-PRE-PROCESS cmd="set" data="external_{kind}_ip={edge.external}"/>' for kind in ("rtp", "sip")]
    if edge.transport == "tls":
        variables += [_comment(f"transport: {edge.transport_told}")]
        variables += [f'<X-PRE-PROCESS cmd="set" data="{profile}_ssl_enable=true"/>' for profile in ("internal", "external")]
    profile = [_comment(f"transport: {edge.transport_told}")]
    if edge.unheard and edge.source:
        profile += [_comment(f"address to listen at: {edge.unheard}"), _parameter("sip-ip", edge.source)]
    if edge.external:
        profile += [_parameter(f"ext-{kind}-ip", f"$${{external_{kind}_ip}}") for kind in ("rtp", "sip")]
        networks = ", ".join(edge.networks) or edge.networks_told
        profile += [_comment(f"local networks ({networks}) are told the local address"), _parameter("local-network-acl", "localnet.auto")]
    profile += [
        _parameter("apply-nat-acl", "nat.auto"),
        _comment(f"keep-alive: {edge.keepalive_told}"),
        _parameter("nat-options-ping", "true"),
        _parameter("ping-mean-interval", str(edge.keepalive_s)),
    ]
    gateway = [_comment("in every gateway to a provider"), _parameter("ping", str(edge.keepalive_s))]
    return (
        SettingsPart(where="vars.xml", text=_text(variables)),
        SettingsPart(where="sip_profiles/internal.xml and external.xml, in <settings>", text=_text(profile)),
        SettingsPart(where="sip_profiles/external/YOURS.xml, in <gateway>", text=_text(gateway)),
        SettingsPart(where="autoload_configs/switch.conf.xml, in <settings>", text=_text(_rtp(edge))),
    )


def _rtp(edge: Edge) -> list[str]:
    lines = [_comment(edge.rtp_told)]
    if edge.rtp is not None:
        lines += [_parameter("rtp-start-port", str(edge.rtp[0])), _parameter("rtp-end-port", str(edge.rtp[1]))]
    return lines


def _parameter(name: str, value: str) -> str:
    return f'<param name="{name}" value="{value}"/>'


def _comment(text: str) -> str:
    """Two hyphens would end an XML comment."""
    return "\n".join(wrapped(f"<!-- {text.replace('--', '- -').replace('<', '(').replace('>', ')')} -->", "     "))


def _text(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
