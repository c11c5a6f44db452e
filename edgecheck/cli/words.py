"""What was typed as text is taken as text.

Newer versions of typer have pydantic look at every parameter, also at those that were not given: its import takes longer than all of the
command line beside it. Text needs no look; for anything else typer's own way is gone. A version that keeps its converters elsewhere is
left alone.
"""

from collections.abc import Iterator
from typing import Any

import typer.main


class AsTyped:
    """In the place of a parameter's converter, which is built only for a value that needs one."""

    def __init__(self, several: bool) -> None:
        self._several = several

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value for the command, of what the parser found or the default. Raises as typer's own does."""
        if value is None:
            return () if self._several else None
        typed = value if self._several and isinstance(value, list | tuple) else (value,)
        if param.type_descriptor.annotation in (str, list[str]) and all(isinstance(one, str) for one in typed):
            return list(typed) if self._several else value
        param._runtime_param = None
        return param.get_runtime_param().coerce(value, param=param, ctx=ctx)


def command_of(app: typer.Typer) -> Any:
    """The app as a command to be called."""
    command = typer.main.get_command(app)
    for parameter in _parameters(command):
        if getattr(parameter, "_runtime_param", parameter) is None:
            parameter._runtime_param = AsTyped(several=parameter.nargs == -1 or parameter.multiple)
    return command


def _parameters(command: Any, parent: Any = None) -> Iterator[Any]:
    """Of the command and all below it; the help option, too, which is made for a context."""
    context = command.context_class(command, parent=parent, **command.context_settings)
    yield from command.get_params(context)
    for below in getattr(command, "commands", {}).values():
        yield from _parameters(below, context)
