"""The one-sided test of ``sip-alg`` against any SIP server, as a report like any other: ``edgecheck alg --against``."""

from dataclasses import dataclass
from typing import Any

import msgspec

from edgecheck.checks.sip_alg import CHECK
from edgecheck.checks.sip_alg.against import Aim, Transport, probe_against
from edgecheck.course import Course, Show, reported
from edgecheck.model.errors import ServerUnreachable, UsageError
from edgecheck.model.profile import Profile
from edgecheck.model.verdict import Report, Verdict
from edgecheck.net import foreign
from edgecheck.net.control.reach import resolve
from edgecheck.net.machine import host
from edgecheck.wire import sip
from edgecheck.wire.errors import WireError

PROFILE = Profile(
    name="alg",
    title="Any SIP server, from one side",
    source="RFC 3261 section 8.2.6.2",
    confidence="verified",
    checks=(CHECK.id,),
)
"""What it is judged by; stored in its reports, so that they can be judged anew."""
_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for."""

    host: str
    """Name or IP address."""
    port: int
    transport: Transport | None = None
    source: str | None = None
    family: int | None = None
    timeout: float | None = None

    @property
    def target(self) -> str:
        """``sip:pbx.example.com:5060``."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return f"sip:{name}:{self.port}" + (f";transport={self.transport}" if self.transport else "")


def parse_server(text: str) -> tuple[str, int, Transport | None]:
    """Host, port and transport of ``sip:HOST[:PORT][;transport=T]``. Raises ``UsageError``."""
    wanted = "sip:HOST, sip:HOST:PORT or sip:HOST;transport=udp|tcp|tls"
    try:
        uri = sip.uri_parts(text)
    except WireError:
        raise UsageError(f"--against {text!r} is no SIP server: give {wanted}.") from None
    transport = uri.parameters.get("transport", "tls" if uri.scheme == "sips" else "").lower()
    if transport and transport not in _PORTS:
        raise UsageError(f"--against: there is no transport {transport!r} here: give {wanted}.")
    if uri.port == 0 or not uri.host or not all(character.isalnum() or character in "-._:" for character in uri.host):
        raise UsageError(f"--against {text!r} is no SIP server: give {wanted}.")
    chosen: Transport | None = "udp" if transport == "udp" else "tcp" if transport == "tcp" else "tls" if transport else None
    return uri.host, uri.port or _PORTS[transport or "udp"], chosen


class _Look(Course):
    """One look from one side."""

    def __init__(self, settings: Settings, show: Show) -> None:
        super().__init__(show, (CHECK,), PROFILE, settings.target, settings.timeout)
        self.settings = settings

    def why_untested(self) -> str:
        return "it was not reached" if not self.control else "its address is not known"

    def settings_told(self) -> dict[str, Any]:
        asked = self.settings
        return {
            "profile": msgspec.to_builtins(PROFILE),
            "checks": [CHECK.id],
            "target": asked.target,
            "source": asked.source,
            "family": asked.family,
            "timeout": asked.timeout,
        }

    async def carry_out(self) -> None:
        asked = self.settings
        self.client = host.facts(asked.source)
        try:
            address = await resolve(
                asked.host, asked.port, asked.family or (None if asked.source is None else 6 if ":" in asked.source else 4)
            )
            source = asked.source or foreign.source_for(address)
        except ServerUnreachable as error:
            self.control_finding("unreachable", Verdict.INCONCLUSIVE, str(error))
            return
        except OSError:
            text = f"No route to {asked.host}: is this machine's network up?"
            self.control_finding("unreachable", Verdict.INCONCLUSIVE, text)
            return
        self.client = host.facts(source)
        aim = Aim(host=asked.host, address=address, port=asked.port, transport=asked.transport)
        network = foreign.without_server(address, source, self.progress)
        check = msgspec.structs.replace(CHECK, probe=lambda net, profile: probe_against(net, aim))
        await self.one(check, network)


async def look(settings: Settings, show: Show) -> Report:
    """Do the job. Cancelled (``Ctrl-C``), it ends cleanly and reports what is known so far."""
    return await reported(_Look(settings, show))
