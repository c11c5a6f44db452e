"""``edgecheck stun``: our verdict on a foreign STUN server, pystun3's beside it, and why they differ."""

import asyncio
import sys
from typing import Any

from edgecheck.cli import status
from edgecheck.cli.output import Output, colored, put, width
from edgecheck.cli.run import event_loop, family
from edgecheck.model.errors import UsageError
from edgecheck.wire.address import parse_authority, parse_host
from edgecheck.wire.errors import Malformed

__all__ = ["family", "stun"]
_PORT = 3478


def stun(host: str, source: str | None, wanted: int | None, json: str | None, no_color: bool) -> int:
    """Ask, print both verdicts, return the exit status."""
    import msgspec

    from edgecheck import foreign_stun
    from edgecheck.model.verdict import worst
    from edgecheck.report import text

    output = Output(json=json, no_color=no_color)
    output.check()
    name, port = _server(host)
    if source is not None:
        try:
            source = parse_host(source)
        except Malformed as error:
            raise UsageError(f"--source: {error}.") from None
    with asyncio.Runner(loop_factory=event_loop) as runner:
        answer = runner.run(foreign_stun.ask(name, port, source, wanted))
    code = status.of(worst([finding.verdict for finding in answer.findings]))
    if json is not None and not put(json, msgspec.json.format(msgspec.json.encode(answer), indent=2) + b"\n"):
        code = code if code == status.FAILED else status.UNDECIDED
    if not output.stdout_taken:
        color, columns = colored(sys.stdout, no_color), width(sys.stdout)
        lines = text.findings(answer.findings, color=color, width=columns)
        seen: dict[str, Any] = msgspec.to_builtins(answer.observation)
        lines += [f"{label}: {seen[key]}" for key, label in _SHOWN.items() if seen.get(key) is not None]
        lines.append(f"pystun3: {answer.classic or 'no verdict'}")
        if answer.difference:
            lines += text.wrap(f"They differ: {answer.difference}", columns)
        print("\n".join(lines))
    return code


_SHOWN = {"local_address": "local address", "mapped_address": "mapped address", "classic_type": "RFC 3489 name"}


def _server(text: str) -> tuple[str, int]:
    try:
        target = parse_authority(text)
    except Malformed as error:
        raise UsageError(f"{error}.") from None
    bare = text.count(":") > 1 and not text.startswith("[")
    named = not bare and text.rpartition(":")[2].isdigit() and ":" in text
    return target.host, target.port if named else _PORT
