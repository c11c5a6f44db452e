"""Baselines: reports kept under a name, to be compared with later."""

import re
from pathlib import Path
from typing import NamedTuple

from edgecheck.model.errors import UsageError
from edgecheck.model.verdict import Report
from edgecheck.report import json
from edgecheck.store.files import replace
from edgecheck.store.places import data_directory

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIX = ".json"


class Kept(NamedTuple):
    """One line of the list."""

    name: str
    report: Report | None
    """None: the file is not a report that this version reads."""
    trouble: str = ""


def valid(name: str) -> bool:
    """Letters, digits, ``.``, ``_`` and ``-``, 64 at most: a name that is a file's name on every platform, and never a path."""
    return _NAME.fullmatch(name) is not None and not name.endswith((".", _SUFFIX))


def save(name: str, report: Report) -> Path:
    """Keep it under this name, in place of an earlier one. Raises ``UsageError``."""
    file = _file(name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace(file, json.render(report), private=True)
    except OSError as error:
        raise UsageError(f"The baseline {name} could not be kept in {file.parent}: {error.strerror or error}.") from None
    return file


def load(name: str) -> Report:
    """The report kept under this name. Raises ``UsageError``."""
    file = _file(name)
    try:
        with file.open("rb") as stream:
            data = stream.read(json.MAX_SIZE + 1)
    except FileNotFoundError:
        names = ", ".join(kept.name for kept in listed())
        there = f"There are: {names}." if names else f"There is none yet: edgecheck baseline save {name} REPORT.json keeps one."
        raise UsageError(f"There is no baseline {name!r}. {there}") from None
    except OSError as error:
        raise UsageError(f"The baseline {name} cannot be read: {error.strerror or error}.") from None
    try:
        return json.read(data)
    except UsageError as error:
        raise UsageError(f"The baseline {name}: {error}") from None


def listed() -> list[Kept]:
    """All of them, by name."""
    out = []
    try:
        files = sorted(_folder().glob(f"*{_SUFFIX}"))
    except OSError:
        files = []
    for file in files:
        name = file.name.removesuffix(_SUFFIX)
        try:
            out.append(Kept(name, load(name)))
        except UsageError as error:
            out.append(Kept(name, None, str(error)))
    return out


def remove(name: str) -> None:
    """Forget it. Raises ``UsageError``."""
    load_path = _file(name)
    try:
        load_path.unlink()
    except FileNotFoundError:
        raise UsageError(f"There is no baseline {name!r} to remove: edgecheck baseline list shows what there is.") from None
    except OSError as error:
        raise UsageError(f"The baseline {name} could not be removed: {error.strerror or error}.") from None


def _folder() -> Path:
    return data_directory() / "baselines"


def _file(name: str) -> Path:
    if not valid(name):
        raise UsageError(f"{name[:80]!r} cannot be a baseline's name: letters, digits, '.', '_' and '-', 64 at most, not ending in .json.")
    return _folder() / f"{name}{_SUFFIX}"
