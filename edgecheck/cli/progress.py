"""Progress where no person looks at a terminal."""

import sys

from edgecheck.model.verdict import CheckResult


class Quiet:
    """Says nothing."""

    def check_started(self, id: str, question: str) -> None: ...

    def progress(self, id: str, done: int, total: int, note: str) -> None: ...

    def check_finished(self, result: CheckResult) -> None: ...

    def notice(self, text: str) -> None: ...


class Words(Quiet):
    """Passes notices on to stderr, each a line; a log is not the place for bars."""

    def notice(self, text: str) -> None:
        from edgecheck.report.text import safe

        print(safe(text), file=sys.stderr)
