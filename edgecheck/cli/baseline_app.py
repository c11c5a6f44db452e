"""The commands of ``edgecheck baseline`` and their options."""

from typing import Annotated

import typer

from edgecheck.cli import options

app = typer.Typer(help="Keep reports under a name, to compare with later (run --baseline NAME).", no_args_is_help=True)


@app.command("save")
def save(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, '.', '_', '-'.")],
    report: options.SavedReport,
    verbose: options.Verbose = False,
) -> None:
    """Keep a saved report under a name."""
    from edgecheck.cli import baselines

    raise typer.Exit(baselines.save(name, report))


@app.command("list")
def listing(verbose: options.Verbose = False) -> None:
    """List what is kept."""
    from edgecheck.cli import baselines

    raise typer.Exit(baselines.listing())


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME")], no_color: options.NoColor = False, verbose: options.Verbose = False
) -> None:
    """Show a kept report, judged by this version."""
    from edgecheck.cli import baselines

    raise typer.Exit(baselines.show(name, no_color))


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(metavar="NAME")], verbose: options.Verbose = False) -> None:
    """Forget a kept report."""
    from edgecheck.cli import baselines

    raise typer.Exit(baselines.remove(name))
