"""A kept report, unpacked and judged anew by this version. Blocks; whoever has an event loop calls it in a thread."""

import zlib

import msgspec

from echo_server.desk.store import Store
from echo_server.settings.config import ConfigError
from edgecheck.judging import rejudge
from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report
from edgecheck.report import json


class NoReport(ConfigError):
    """There is none of this number, or what is kept there is none; in one sentence."""


def unpack(packed: bytes) -> bytes:
    """The report's JSON, bounded: what is larger than any report is cut, and then no report."""
    return zlib.decompressobj().decompress(packed, json.MAX_SIZE + 1)


def report(store: Store, number: int) -> Report:
    """The report of this number. Raises ``NoReport``, ``StoreFailed``."""
    packed = store.packed(number)
    if packed is None:
        raise NoReport(f"There is no report {number}: edgecheck-server reports list shows what there is.")
    try:
        return rejudge(json.read(unpack(packed)))
    except UsageError as error:
        raise NoReport(f"Report {number}: {error}") from None
    except (msgspec.ValidationError, RecursionError, zlib.error) as error:
        raise NoReport(f"Report {number} was damaged or made by hand: {str(error)[:200]}.") from None
