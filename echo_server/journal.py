"""The log: one event a line on stderr, in sentences. No token, no session name, no payload; and no flood."""

import sys
import traceback
from pathlib import Path
from time import monotonic, strftime

_LINES_A_SECOND = 50
"""A flood of refusals must not fill a disk: the rest of the second is counted."""


class Journal:
    """Writes the log."""

    def __init__(self) -> None:
        self._second = -1
        self._written = 0
        self._left_out = 0

    def write(self, sentence: str) -> None:
        """One event."""
        if int(monotonic()) != self._second:
            self._second = int(monotonic())
            if self._left_out:
                self._print(f"{self._left_out} more events in that second are not told.")
            self._written = self._left_out = 0
        self._written += 1
        if self._written > _LINES_A_SECOND:
            self._left_out += 1
        else:
            self._print(sentence)

    def write_fault(self, error: BaseException) -> None:
        """A fault of our own: what and where, without the values, which may be a client's."""
        frame = traceback.extract_tb(error.__traceback__)[-1]
        self.write(f"A fault of this server: {type(error).__name__} in {frame.name} ({Path(frame.filename).name}, line {frame.lineno}).")

    def _print(self, sentence: str) -> None:
        line = "".join(character if character.isprintable() else "?" for character in sentence)
        try:
            print(f"{strftime('%Y-%m-%dT%H:%M:%S%z')} {line}", file=sys.stderr, flush=True)
        except OSError:
            pass  # nobody reads the log any more, or the disk is full: no reason to stop serving
