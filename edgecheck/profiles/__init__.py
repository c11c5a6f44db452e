"""Profiles as data files: ``edgecheck/profiles/*.toml``, or a person's own file of the same form.

What is wrong with a file is told with its name, line and key: a profile decides what counts as a failure, so one that is
half understood must not be used.
"""

import difflib
import tomllib
from pathlib import Path

import msgspec

from edgecheck.checks import BY_ID
from edgecheck.model.errors import UsageError
from edgecheck.model.profile import PortNeed, Profile
from edgecheck.profiles.locate import line_of
from edgecheck.wire import ports
from edgecheck.wire.errors import Malformed

DEFAULT = "generic-pbx"
_FOLDER = Path(__file__).parent
_MAX_SIZE = 256 << 10
"""Bytes: a profile is a page of text; what is larger is some other file, given by mistake."""


def names() -> tuple[str, ...]:
    """The profiles that come with edgecheck."""
    return tuple(sorted(file.stem for file in _FOLDER.glob("*.toml")))


def load(name_or_path: str) -> Profile:
    """The profile of this name, or in this file. Raises ``UsageError``."""
    if name_or_path in names():
        return read(_FOLDER / f"{name_or_path}.toml")
    file = Path(name_or_path)
    if file.suffix == ".toml" or len(file.parts) > 1 or file.is_file():
        return read(file)
    near = difflib.get_close_matches(name_or_path, names(), 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}, or give a file."
    raise UsageError(f"There is no profile {name_or_path!r}: {hint}")


def read(file: Path) -> Profile:
    """Read a profile's file. Raises ``UsageError``."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_SIZE + 1)
    except OSError as error:
        raise UsageError(f"Profile {file}: cannot be read ({error.strerror or error}).") from None
    if len(data) > _MAX_SIZE:
        raise UsageError(f"Profile {file}: larger than {_MAX_SIZE >> 10} KiB, so it is hardly a profile.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"Profile {file}, line {line}: not UTF-8 text.") from None
    return parse(text, str(file))


def parse(text: str, file: str) -> Profile:
    """Read a profile's text; ``file`` is what it is called in messages. Raises ``UsageError``."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # the message ends in "(at line 3, column 7)" or "(at end of document)"
        raise UsageError(f"Profile {file}: not valid TOML: {error}.") from None
    except RecursionError:
        raise UsageError(f"Profile {file}: nested too deeply to be a profile.") from None
    try:
        profile = msgspec.convert(tree, Profile)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `")
        raise _wrong(text, file, path.rstrip("`"), message) from None
    _check(profile, text, file)
    return profile


def _wrong(text: str, file: str, path: str, message: str) -> UsageError:
    """``path`` is msgspec's: ``$.ports[2].transport``; the offending key of an unknown or missing field is in the message."""
    path = path or "$"
    if "`" in message:
        key = message.split("`")[1]
        path = f"{path}.{key}" if "field" in message else path
    line = line_of(text, path)
    where = f", line {line}" if line else ""
    end = "" if message.endswith("?") else "."
    return UsageError(f"Profile {file}{where}, key {path.removeprefix('$').lstrip('.') or '(top)'}: {message}{end}")


def _check(profile: Profile, text: str, file: str) -> None:
    """What types alone do not say. Raises ``UsageError``."""

    def wrong(path: str, message: str) -> UsageError:
        return _wrong(text, file, path, message)

    for field in ("name", "title", "source"):
        if not getattr(profile, field).strip():
            raise wrong(f"$.{field}", "must not be empty")
    if not profile.checks:
        raise wrong("$.checks", "names no check")
    for index, check in enumerate(profile.checks):
        if check not in BY_ID:
            near = difflib.get_close_matches(check, BY_ID, 1)
            raise wrong(f"$.checks[{index}]", f"there is no check {check!r}" + (f", did you mean {near[0]!r}?" if near else ""))
        if check in profile.checks[:index]:
            raise wrong(f"$.checks[{index}]", f"{check!r} stands twice")
    if profile.preservation_sample < 0:
        raise wrong("$.preservation_sample", "must be 0 (all ports) or more")
    if profile.rtp is not None:
        low, high = profile.rtp
        if low > high:
            raise wrong("$.rtp", f"the range is upside down: [{low}, {high}]")
        if not 1 <= low <= high <= 65535:
            raise wrong("$.rtp", f"[{low}, {high}] is not within 1 to 65535")
    taken: dict[tuple[str, str, int], int] = {}
    for index, need in enumerate(profile.ports):
        for port in _expand(need, index, text, file):
            first = taken.setdefault((need.direction, need.transport, port), index)
            if first != index:
                named = f"{need.transport.upper()} {port} ({need.direction})"
                raise wrong(f"$.ports[{index}].ports", f"{named} is named already by entry {first + 1}")


def _expand(need: PortNeed, index: int, text: str, file: str) -> range:
    path = f"$.ports[{index}].ports"
    low, dash, high = need.ports.partition("-")
    if "," in need.ports:
        raise _wrong(text, file, path, f"{need.ports!r}: one port or one range LO-HI an entry")
    if dash and low.strip().isdecimal() and high.strip().isdecimal() and int(low) > int(high):
        raise _wrong(text, file, path, f"the range is upside down: {need.ports!r}")
    try:
        ((first, last),) = ports.parse(need.ports)
    except Malformed as error:
        raise _wrong(text, file, path, str(error)) from None
    return range(first, last + 1)
