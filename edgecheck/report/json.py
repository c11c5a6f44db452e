"""The report as JSON: what ``--json`` writes and ``explain REPORT.json`` reads back."""

import msgspec

from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import SCHEMA, Report

MAX_SIZE = 64 << 20
"""Bytes: a report of every check over all 65,535 ports stays below 20 MB; what is larger was not written by edgecheck."""
_FAMILY = SCHEMA.partition("/")[0]


class _Head(msgspec.Struct):
    """Read first, so that a report of another version is named as that and not as a heap of unknown fields."""

    schema: str


def render(report: Report) -> bytes:
    """The report as indented JSON, with a line end."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def read(data: bytes) -> Report:
    """Read a saved report. Raises ``UsageError`` in one sentence for whatever is not one of this version."""
    if len(data) > MAX_SIZE:
        raise UsageError(f"This file has {len(data) >> 20} MB and a report has {MAX_SIZE >> 20} at most: it is not a report of edgecheck.")
    try:
        schema = msgspec.json.decode(data, type=_Head).schema
    except msgspec.ValidationError:
        raise UsageError("This file is JSON but not a report of edgecheck: it names no schema.") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UsageError(f"This file is not whole JSON, so not a report of edgecheck: {_plain(error)}.") from None
    except RecursionError:
        raise UsageError("This file is nested too deeply to be a report of edgecheck.") from None
    if schema != SCHEMA:
        if schema.partition("/")[0] == _FAMILY:
            raise UsageError(f"This report has the form {schema[:40]!r}; this version of edgecheck reads {SCHEMA!r} only.")
        raise UsageError(f"This file is JSON of another kind ({schema[:40]!r}), not a report of edgecheck.")
    try:
        return msgspec.json.decode(data, type=Report)
    except RecursionError:
        raise UsageError("This file is nested too deeply to be a report of edgecheck.") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UsageError(f"This report was damaged or edited by hand: {_plain(error)}.") from None


def _plain(error: Exception) -> str:
    return str(error).replace("`", "'").rstrip(".")
