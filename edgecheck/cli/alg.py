"""``edgecheck alg --against``: a SIP server that is not ours, from one side, and a report."""

import contextlib
from typing import NamedTuple

from edgecheck.cli import history
from edgecheck.cli.output import Output
from edgecheck.cli.run import carry_out, end_as_by_ctrl_c, live, source_of
from edgecheck.model.errors import UsageError


class Asked(NamedTuple):
    """The words of the command line, as they came."""

    against: str
    source: str | None
    family: int | None
    timeout: float | None
    history: bool = True
    """Whether the run is kept."""


def alg(asked: Asked, output: Output) -> int:
    """Look, write the reports, return the exit status."""
    from edgecheck import against

    output.check()
    host, port, transport = against.parse_server(asked.against)
    source = source_of(asked.source, asked.family)
    if asked.timeout is not None and not 0 < asked.timeout < float("inf"):
        raise UsageError("--timeout takes seconds, more than 0.")
    end_as_by_ctrl_c()
    settings = against.Settings(host=host, port=port, transport=transport, source=source, family=asked.family, timeout=asked.timeout)
    with contextlib.ExitStack() as stack:
        show = live(output, stack)
        report = carry_out(lambda: against.look(settings, show))
    return history.keep_and_write(report, output, asked.history)
