"""Shell completion: the script for a shell, and what a shell asks while somebody types."""

import os

from edgecheck.model.errors import UsageError

VARIABLE = "_EDGECHECK_COMPLETE"
"""Set by the script when it asks."""
SHELLS = ("bash", "zsh", "fish", "powershell")


def script(shell: str) -> str:
    """What this shell must read. Raises ``UsageError``."""
    if shell not in SHELLS:
        raise UsageError(f"There is no completion for {shell[:40]!r}: {', '.join(SHELLS)}.")
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    return get_completion_script(prog_name="edgecheck", complete_var=VARIABLE, shell=shell)


def prepare() -> None:
    """Where a shell asks, typer answers it, and needs to know the shells."""
    if VARIABLE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]

        completion_init()


def checks(incomplete: str) -> list[str]:
    """Ids of checks that begin so."""
    from edgecheck.checks import ALL

    return [check.id for check in ALL if check.id.startswith(incomplete)]


def profiles(incomplete: str) -> list[str]:
    """Names of profiles that begin so."""
    from edgecheck import profiles as known

    return [name for name in known.names() if name.startswith(incomplete)]
