"""The options and arguments that several commands share, each written once."""

from typing import Annotated

import typer

from edgecheck.cli import completion

_verbose = False


def said_verbose() -> bool:
    """Whether ``-v`` was given."""
    return _verbose


def _note_verbose(value: bool) -> bool:
    global _verbose
    _verbose = value
    return value


Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Details when something goes wrong.", is_eager=True, callback=_note_verbose)]
Server = Annotated[str | None, typer.Option("--server", metavar="HOST[:PORT]", help="The echo server (also: EDGECHECK_SERVER).")]
Token = Annotated[
    str | None, typer.Option("--token", metavar="T", help="Its token; visible to other users of this machine (better: EDGECHECK_TOKEN).")
]
TokenFile = Annotated[str | None, typer.Option("--token-file", metavar="F", help="Its token, read from a file.")]
Timeout = Annotated[float | None, typer.Option("--timeout", metavar="S", help="Bound on the whole, seconds.")]
SavedReport = Annotated[
    str, typer.Argument(metavar="REPORT.json", help="A saved report (- is stdin), a run of the history (@12, @last), a baseline.")
]
Json = Annotated[str | None, typer.Option("--json", metavar="FILE", help="Write the report as JSON; - is stdout, then nothing else is.")]
Html = Annotated[str | None, typer.Option("--html", metavar="FILE", help="Write the report as one HTML page; - is stdout.")]
Junit = Annotated[str | None, typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML; - is stdout.")]
Source = Annotated[str | None, typer.Option("--source", metavar="IP", help="Local address to check from.")]
Ipv4 = Annotated[bool, typer.Option("-4", help="IPv4 only.")]
Ipv6 = Annotated[bool, typer.Option("-6", help="IPv6 only.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="The first line alone, and no progress.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="No color (also: environment NO_COLOR).")]
Profile = Annotated[
    str,
    typer.Option(
        "--profile", metavar="NAME|FILE", help="The PBX: which ports, and what counts as a failure.", autocompletion=completion.profiles
    ),
]
NoHistory = Annotated[bool, typer.Option("--no-history", help="Do not keep this run (edgecheck history).")]
