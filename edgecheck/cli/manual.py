"""The manual pages, made from the commands themselves so that they say what ``--help`` says.

``edgecheck manual | man -l -`` shows one. That of the server is made from its declaration of options; nothing of it runs.
"""

import re
from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any

import typer

from edgecheck.model.errors import UsageError

_COMMON = 3
"""Options that a program of commands has itself: --version, --help and the like."""
_STATUS = (
    ("0", "All decided, nothing failed or warned."),
    ("1", "Warnings."),
    ("2", "At least one failure."),
    ("3", "Undecided, nothing tested, or the server could not be reached."),
    ("64", "The command line is wrong."),
)
_ENVIRONMENT = (
    ("EDGECHECK_SERVER", "The echo server, where none is named."),
    ("EDGECHECK_TOKEN", "Its token, or for edgecheck-server the token to use."),
    ("EDGECHECK_SIP_PASSWORD", "The password of the account for register."),
    ("EDGECHECK_WEBHOOK", "Where watch posts changes."),
    ("NO_COLOR", "No color when set."),
)
# By name, not by import: the client needs nothing of the server but this declaration, and only here.
PAGES = {"edgecheck": "edgecheck.cli.app", "edgecheck-server": "echo_server.__main__"}


def known(program: str) -> str:
    """A program that has a page. Raises ``UsageError``."""
    if program not in PAGES:
        raise UsageError(f"There is no manual page of {program[:40]!r}: {', '.join(PAGES)}.")
    return program


def page(program: str) -> str:
    """The manual page of this program, in troff's man macros."""
    command = typer.main.get_command(import_module(PAGES[program]).app)
    return "\n".join(_page(program, command)) + "\n"


def _page(program: str, command: Any) -> Iterator[str]:
    commands: dict[str, Any] = dict(getattr(command, "commands", {}))
    yield f'.TH {_word(program.upper())} 1 "" "edgecheck" "User Commands"'
    yield ".SH NAME"
    yield f"{_word(program)} \\- {_text(_first(command.help or ''))}"
    yield ".SH SYNOPSIS"
    alone = _runs_alone(command)
    if alone:
        yield from _synopsis(program, command, ())
    for name, each in commands.items():
        yield from _synopsis(f"{program} {name}", each, getattr(each, "commands", {}))
    yield ".SH DESCRIPTION"
    yield _text(command.help or "")
    if alone:
        yield ".SH OPTIONS"
        yield from _options(command)
    if commands:
        yield ".SH COMMANDS"
        for name, each in commands.items():
            yield from _command(name, each)
    yield ".SH EXIT STATUS"
    for code, words in _STATUS:
        yield from _item(code, words)
    yield ".SH ENVIRONMENT"
    for name, words in _ENVIRONMENT:
        yield from _item(name, words)
    yield ".SH SEE ALSO"
    other = next(name for name in PAGES if name != program)
    yield f".BR {_word(other)} (1)"


def _command(name: str, command: Any) -> Iterator[str]:
    inner: dict[str, Any] = dict(getattr(command, "commands", {}))
    yield f".SS {_word(name)}"
    yield _text(command.help or "")
    if inner:
        for each, sub in inner.items():
            yield from _item(f"{name} {each} {_arguments(sub)}".strip(), sub.help or "")
        return
    yield from _options(command)


def _runs_alone(command: Any) -> bool:
    """Whether it does something without a command: the server serves."""
    return not getattr(command, "commands", {}) or len(command.params) > _COMMON


def _synopsis(call: str, command: Any, inner: Iterable[str]) -> Iterator[str]:
    words = f"{'|'.join(inner)} ..." if inner else f"[OPTION]... {_arguments(command)}"
    yield ".br"
    yield f".B {_word(call)}"
    yield _text(words.strip())


def _arguments(command: Any) -> str:
    return " ".join(_metavar(each) for each in command.params if each.param_type_name == "argument")


def _metavar(parameter: Any) -> str:
    words = str(parameter.metavar or parameter.name.upper())
    return words if words.startswith("[") or parameter.required else f"[{words}]..." if parameter.nargs == -1 else f"[{words}]"


def _options(command: Any) -> Iterator[str]:
    for each in command.params:
        if each.param_type_name == "argument" and each.help:
            yield from _item(str(each.metavar or each.name.upper()), each.help)
    for each in command.params:
        if each.param_type_name != "option" or each.hidden:
            continue
        names = ", ".join(each.opts)
        default = each.default
        words = each.help or ""
        if isinstance(default, (int, float, str)) and not isinstance(default, bool) and default != "":
            words = f"{words} Default: {default}.".strip()
        yield from _item(f"{names} {each.metavar}" if each.metavar else names, words)


def _item(term: str, words: str) -> Iterator[str]:
    yield ".TP"
    yield f".B {_text(term)}"
    yield _text(words) or "\\&"


def _first(text: str) -> str:
    return re.split(r"(?<=[.:])\s", text.strip(), maxsplit=1)[0].rstrip(".:")


def _word(text: str) -> str:
    return f'"{_text(text)}"' if " " in text else _text(text)


def _text(text: str) -> str:
    """Text of one paragraph: no macro may begin in it, hyphens stay what they are."""
    one = " ".join(text.split()).replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    return f"\\&{one}" if one.startswith((".", "'")) else one
