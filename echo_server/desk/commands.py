"""``edgecheck-server reports``: what clients left here, listed, read, compared, exported, removed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from echo_server.settings.config import ConfigError, StartError

if TYPE_CHECKING:
    from echo_server.desk.store import Store

commands = typer.Typer(help="Reports that clients left here (run --share).", no_args_is_help=True)

Database = Annotated[
    str | None, typer.Option("--reports", metavar="URL", envvar="EDGECHECK_REPORTS", help="The store, as the server was given it.")
]
State = Annotated[Path | None, typer.Option("--state-dir", metavar="DIR", help="The server's state directory.")]
Number = Annotated[int, typer.Argument(metavar="N", help="A number of the list.")]


@commands.command("list")
def list_them(
    reports: Database = None,
    state_dir: State = None,
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, max=10_000)] = 50,
    address: Annotated[str, typer.Option("--place", metavar="IP", help="Only those of this public address.")] = "",
) -> None:
    """List them, newest first."""
    from edgecheck.report.text import safe

    store = _store(reports, state_dir)
    rows = store.rows(most, address)
    if not rows:
        print("No report yet: a client leaves one with  edgecheck run --share.")
    for row in rows:
        at = row.received_at.strftime("%Y-%m-%d %H:%M:%S")
        place = f"{row.public_address or row.source} through {row.gateway or 'no gateway'}"
        print(safe(f"{row.id:<6} {at}  {row.verdict:12}  {place}  {row.headline}"))


@commands.command()
def show(number: Number, reports: Database = None, state_dir: State = None) -> None:
    """Show one as text, judged by this version."""
    from echo_server.desk import reading
    from edgecheck.report import text

    proof = f"edgecheck-server reports export {number} report.html"
    sys.stdout.write(text.render(reading.report(_store(reports, state_dir), number), width=100, proof=proof))


@commands.command()
def compare(
    before: Annotated[int, typer.Argument(metavar="BEFORE")],
    after: Annotated[int, typer.Argument(metavar="AFTER")],
    reports: Database = None,
    state_dir: State = None,
) -> None:
    """Tell what changed from one to another."""
    from echo_server.desk import reading
    from edgecheck.comparison import compare as difference
    from edgecheck.report import comparison

    store = _store(reports, state_dir)
    sys.stdout.write(comparison.render(difference(reading.report(store, before), reading.report(store, after)), width=100))


@commands.command()
def export(
    number: Number,
    file: Annotated[str, typer.Argument(metavar="FILE", help="Written as JSON, or as a page where it ends in .html; - is stdout.")] = "-",
    reports: Database = None,
    state_dir: State = None,
) -> None:
    """Write one to a file."""
    from echo_server.desk import reading
    from edgecheck.report import html, json

    report = reading.report(_store(reports, state_dir), number)
    data = html.render(report).encode(errors="replace") if file.endswith(".html") else json.render(report)
    if file == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise ConfigError(f"{file} could not be written: {error.strerror or error}.") from None


@commands.command()
def remove(number: Number, reports: Database = None, state_dir: State = None) -> None:
    """Forget one."""
    if not _store(reports, state_dir).remove(number):
        raise ConfigError(f"There is no report {number}.")
    print(f"Removed {number}.")


def _store(url: str | None, state_dir: Path | None) -> "Store":
    from echo_server.desk.store import Store, StoreFailed, default_url
    from echo_server.settings.state import state_directory

    directory = state_dir or state_directory()
    if url is None and not (directory / "reports.sqlite").exists():
        raise ConfigError(
            f"There is no store for reports in {directory}: name the server's, as in edgecheck-server reports list --state-dir DIR, or its "
            "--reports URL."
        )
    try:
        return Store(url or default_url(directory))
    except StoreFailed as error:
        raise StartError(str(error)) from None
