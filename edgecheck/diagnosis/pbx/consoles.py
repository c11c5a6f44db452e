"""PBXs that are set in a web console: which field gets what."""

from edgecheck.diagnosis.pbx.edge import Edge
from edgecheck.diagnosis.pbx.wrapping import wrapped
from edgecheck.model.verdict import SettingsPart


def three_cx(edge: Edge) -> tuple[SettingsPart, ...]:
    """Fields of 3CX's console. The page for the address is in 3CX's manual (version 20); the others are unverified."""
    return (
        SettingsPart(
            where="admin console, Advanced > Network (version 18: Settings > Network)",
            text=_fields(
                ("Public IP, static", edge.external, edge.external_told),
                ("network interface", edge.source, edge.unheard or "this machine's address"),
                ("external audio ports (RTP; where in the console is unverified)", _range(edge), edge.rtp_told),
                ("firewall keep-alive interval in seconds (where is unverified)", str(edge.keepalive_s), edge.keepalive_told),
            ),
        ),
        SettingsPart(where="the trunk's options", text=_fields(("transport", _upper(edge), edge.transport_told))),
    )


def freepbx(edge: Edge) -> tuple[SettingsPart, ...]:
    """Fields of FreePBX's console (unverified). It writes ``pjsip.conf`` itself: what is pasted there is lost."""
    return (
        SettingsPart(
            where="Settings > Asterisk SIP Settings (unverified; FreePBX writes pjsip.conf itself)",
            text=_fields(
                ("External Address", edge.external, edge.external_told),
                ("Local Networks", ", ".join(edge.networks) or None, edge.networks_told or "the networks of this machine"),
                ("RTP Port Ranges", _range(edge), edge.rtp_told),
            ),
        ),
        SettingsPart(
            where="each trunk and extension, pjsip settings, Advanced (unverified)",
            text=_fields(
                ("Qualify Frequency", str(edge.keepalive_s), edge.keepalive_told), ("transport", _upper(edge), edge.transport_told)
            ),
        ),
    )


def fusionpbx(edge: Edge) -> tuple[SettingsPart, ...]:
    """Fields of FusionPBX's console (unverified). It writes FreeSWITCH's files from its database."""
    return (
        SettingsPart(
            where="Advanced > Variables (unverified)",
            text=_fields(
                ("external_rtp_ip", edge.external, edge.external_told),
                ("external_sip_ip", edge.external, edge.external_told),
                ("transport", _upper(edge), edge.transport_told),
            ),
        ),
        SettingsPart(
            where="Advanced > SIP Profiles, both profiles (unverified)",
            text=_fields(
                ("apply-nat-acl", "nat.auto", "phones behind a NAT of their own are answered where they come from"),
                ("nat-options-ping", "true", edge.keepalive_told),
                ("ping-mean-interval", str(edge.keepalive_s), edge.keepalive_told),
            ),
        ),
        SettingsPart(
            where="autoload_configs/switch.conf.xml",
            text=_fields(
                ("rtp-start-port", str(edge.rtp[0]) if edge.rtp else None, edge.rtp_told),
                ("rtp-end-port", str(edge.rtp[1]) if edge.rtp else None, edge.rtp_told),
            ),
        ),
    )


def _range(edge: Edge) -> str | None:
    return f"{edge.rtp[0]}-{edge.rtp[1]}" if edge.rtp else None


def _upper(edge: Edge) -> str | None:
    return edge.transport.upper() if edge.transport else None


def _fields(*rows: tuple[str, str | None, str]) -> str:
    """A line a field; one without a value says why."""
    told = (f"{name}: {value} ({why})" if value else f"{name}: leave as it is ({why})" for name, value, why in rows)
    return "".join(f"{line}\n" for row in told for line in wrapped(row, "   "))
