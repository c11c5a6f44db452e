"""``edgecheck register``: its command line, where the password comes from, and that it goes nowhere else."""

import io
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecheck.cli import invoke, register, status
from edgecheck.model.account import parse_account
from edgecheck.model.errors import UsageError

SECRET = "hunter2-of-the-command-line"


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A UDP port at which nobody listens: taken over TCP, so that nothing else gets it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.bind(("127.0.0.1", 0))
        yield int(one.getsockname()[1])


def account(port: int) -> str:
    return f"sip:alice@127.0.0.1:{port};transport=tcp"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alice@example.com"], "does not begin with sip:"),
        (["sip:alice:pw@example.com"], "No password in the address"),
        (["sip:alice@example.com", "--resolver", "dns.example.com"], "--resolver 'dns.example.com' is not IP"),
        (["sip:alice@example.com", "--proxy", "sip:a b"], "--proxy"),
        (["sip:alice@example.com", "--ca", "nowhere.pem"], "--ca nowhere.pem: cannot be read"),
        (["sip:alice@example.com", "--password-file", "nowhere"], "--password-file nowhere: cannot be read"),
        (["sip:alice@example.com", "--timeout", "0"], "--timeout takes seconds"),
        (["sip:alice@example.com", "-4", "-6"], "contradict"),
        (["sip:alice@example.com", "--source", "::1", "-4"], "not an IPv4 address"),
        (["sip:alice@example.com", "--source", "192.0.2.77"], "192.0.2.77: this machine has no such address"),
        (["sip:ali%zz@example.com"], "no user that a SIP address may have"),
        (["sip:alice@example.com", "--auth-user", ""], "--auth-user is empty"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["register", *arguments]) == status.USAGE
    out, said = capsys.readouterr()
    assert words in said
    assert said.count("\n") == 1
    assert out == ""


@pytest.mark.parametrize("check", ["dns", "transport", "tls", "registration"])
def test_its_checks_are_none_of_run(check: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", check]) == status.USAGE
    assert "edgecheck register sip:USER@DOMAIN" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "read"),
    [("9.9.9.9", "9.9.9.9:53"), ("9.9.9.9:5353", "9.9.9.9:5353"), ("2620:fe::fe", "[2620:fe::fe]:53"), ("[2620:fe::fe]:5353", "[2620:fe::fe]:5353")],
)
def test_a_resolver_is_an_address(text: str, read: str) -> None:
    assert register._resolver(text) == read


# --- the password ------------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def password(file: Path | None = None, *, dry: bool = False, stdin: object = None) -> str | None:
    return register._password(str(file) if file else None, parse_account("sip:alice@example.com", dry=dry), stdin)


def test_from_a_file_without_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    for data, read in ((b"secret\n", "secret"), (b"secret\r\n", "secret"), (b" a b ", " a b "), ("pässwort".encode(), "pässwort")):
        file.write_bytes(data)
        assert password(file) == read


@pytest.mark.parametrize("data", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * 5000, b"nul\0"])
def test_a_file_that_holds_none(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "password"
    file.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        password(file)
    assert "lines" not in str(caught.value)


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(register.PASSWORD_VARIABLE, "from outside")
    assert password() == "from outside"
    file = tmp_path / "password"
    file.write_text("from a file")
    assert password(file) == "from a file", "what was named on the command line comes first"
    monkeypatch.setenv(register.PASSWORD_VARIABLE, "")
    with pytest.raises(UsageError, match="empty"):
        password()


def test_a_person_at_a_terminal_is_asked_unless_it_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(register.PASSWORD_VARIABLE, raising=False)
    asked = []
    monkeypatch.setattr(register.getpass, "getpass", lambda prompt, stream: asked.append(prompt) or "typed")
    monkeypatch.setattr(register.sys, "stderr", Terminal())
    assert password(stdin=Terminal()) == "typed"
    assert password(stdin=Terminal(), dry=True) is None
    assert password(stdin=io.StringIO()) is None
    assert len(asked) == 1
    assert "alice" in asked[0]


def test_it_is_in_no_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, closed_port: int, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(register.PASSWORD_VARIABLE, SECRET)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "report.json"
    assert invoke(["register", account(closed_port), "--json", str(file)]) == status.FAILED
    told, said = capsys.readouterr()
    assert SECRET not in told + said + file.read_text()
    report = json.loads(file.read_text())
    assert report["server"] is None
    assert report["settings"]["account"]["user"] == "alice"
    assert [check["id"] for check in report["checks"]] == ["dns", "transport", "tls", "registration"]
    assert invoke(["explain", str(file)]) == status.FAILED
    assert capsys.readouterr().out.splitlines()[0] == told.splitlines()[0], "judged anew it says the same"
