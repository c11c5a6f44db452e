"""The command line: exit statuses, one sentence for every error, and nothing heavy for ``--help``."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgecheck import __version__, profiles
from edgecheck.cli import invoke, main
from edgecheck.cli.run import carry_out
from edgecheck.model.errors import LocalFailure, ServerUnreachable
from edgecheck.report import json as json_report
from tests.reports import finding, nat, report, result

SETTINGS = {"profile": msgspec.to_builtins(profiles.load("generic-pbx")), "checks": []}
"""Of a report that can be read back."""


def outcome(capsys, *arguments):
    code = invoke(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture(autouse=True)
def no_server_in_the_environment(monkeypatch):
    for name in ("EDGECHECK_SERVER", "EDGECHECK_TOKEN", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_first_contact(capsys):
    code, out, err = outcome(capsys)
    assert (code, err) == (0, "")
    assert out.startswith("edgecheck finds out what this network's edge does to VoIP.\n")
    assert "edgecheck run edge://TOKEN@HOST" in out
    assert "edgecheck-server" in out


def test_what_first_contact_names_exists(capsys):
    _, out, _ = outcome(capsys)
    named = {line.split()[1] for line in out.splitlines() if line.startswith("  edgecheck ")}
    assert named
    for command in named:
        assert outcome(capsys, command, "--help")[0] == 0


def test_no_librarys_own_words_for_a_number(capsys):
    for wrong in (("--pace", "fast"), ("--pace", "-1"), ("--timeout", "soon")):
        assert "Input" not in outcome(capsys, "run", *wrong)[2]


def test_version(capsys):
    assert outcome(capsys, "--version") == (0, f"edgecheck {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "No such command 'rnu'"),
        (["--nope"], "No such option"),
        (["run", "--nope"], "No such option"),
        (["run", "--pace", "fast"], "--pace"),
        (["run", "--pace", "-1"], "--pace"),
        (["run", "--timeout", "soon"], "--timeout"),
        (["run", "--timeout", "0"], "--timeout takes seconds"),
        (["run", "--timeout", "nan"], "--timeout takes seconds"),
        (["run", "-4", "-6"], "contradict"),
        (["run", "--source", "eth0"], "--source: 'eth0' is not an IP address"),
        (["run", "-6", "--source", "192.0.2.1", "edge://h"], "is not an IPv6 address"),
        (["run", "-6"], "needs a server"),
        (["run", "--source", "192.0.2.1"], "needs a server"),
        (["run", "rtp-rnage"], "did you mean rtp-range?"),
        (["run", "weather"], "edgecheck checks lists them"),
        (["run", "echo.example.net:8443"], "A server is given as edge://"),
        (["run", "edge://a@h", "edge://b@i"], "More than one edge://"),
        (["run", "edge://"], "A target looks like edge://TOKEN@HOST:PORT"),
        (["run", "edge://t@h:99999"], "is not a port"),
        (["run", "--server", "h h"], "is not HOST or HOST:PORT"),
        (["run", "--token", "t"], "no server"),
        (["run", "--profile", "asterix"], "did you mean asterisk?"),
        (["run", "--json", "-", "--junit", "-"], "Only one report can go to stdout"),
        (["run", "--json", "/nowhere/at/all/r.json"], "There is no folder /nowhere/at/all"),
        (["explain"], "a run of the history (@last). (edgecheck explain --help)"),
        (["alg"], "edgecheck alg --against sip:HOST"),
        (["explain", "sip-alg.rewriten"], "did you mean sip-alg.rewritten?"),
        (["explain", "missing.json"], "cannot be read"),
        (["profiles", "asterix"], "did you mean asterisk?"),
        (["checks", "x"], "unexpected extra argument"),
        (["stun"], "Missing argument"),
        (["stun", "a b"], "is not HOST or HOST:PORT"),
        (["stun", "h", "--source", "x"], "--source"),
    ],
)
def test_a_wrong_command_line_is_64_and_one_sentence(capsys, arguments, words):
    code, out, err = outcome(capsys, *arguments)
    assert (code, out) == (64, "")
    assert words in err
    assert "Traceback" not in err


def test_secrets_are_never_repeated(capsys, tmp_path):
    secret = "k7v2-mzq4-9xwd"
    (tmp_path / "token").write_text(secret + " extra words")
    for arguments in (
        ["run", f"edge://{secret}@h:99999"],
        ["run", f"edge://{secret}@h", f"edge://{secret}@i"],
        ["run", "--server", f"{secret}@h"],
        ["run", "--token", secret],
        ["run", f"edge://{secret}@h", "--token", "other"],
        ["run", f"{secret}@h"],
        ["run", "--server", "h", "--token-file", str(tmp_path / "token")],
    ):
        code, out, err = outcome(capsys, *arguments)
        assert code == 64, arguments
        assert secret not in out + err, arguments


@pytest.mark.parametrize(("error", "code"), [(ServerUnreachable("No."), 3), (LocalFailure("no-route", "No."), 3), (ValueError("boom"), 3)])
def test_an_error_is_a_sentence_and_undecided(capsys, monkeypatch, error, code):
    def fail():
        raise error

    monkeypatch.setattr("edgecheck.cli.listing.checks", fail)
    told, out, err = outcome(capsys, "checks")
    assert (told, out) == (code, "")
    assert len(err.splitlines()) == 1
    told, out, err = outcome(capsys, "checks", "-v")
    assert "Traceback" in err


def test_a_fault_of_ours_is_named_as_one(capsys, monkeypatch):
    monkeypatch.setattr("edgecheck.cli.listing.checks", lambda: 1 / 0)
    assert "says nothing about the network" in outcome(capsys, "checks")[2]


def test_ctrl_c_is_undecided(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecheck.cli.listing.checks", interrupted)
    assert outcome(capsys, "checks") == (3, "", "Stopped at once; nothing is reported.\n")


def test_ctrl_c_before_anything_was_sent_says_so(capsys, monkeypatch):
    """While it still starts; once packets are sent the first Ctrl-C makes a report, and the second says that there is none."""

    def starting(*given):
        raise KeyboardInterrupt

    def at_work(*given):
        async def work():
            raise KeyboardInterrupt

        return carry_out(work)

    monkeypatch.setattr("edgecheck.cli.run.run", starting)
    assert outcome(capsys, "run") == (3, "", "Stopped before anything was sent: nothing is known of this network yet.\n")
    monkeypatch.setattr("edgecheck.cli.run.run", at_work)
    assert outcome(capsys, "run") == (3, "", "Stopped at once; nothing is reported.\n")


def test_the_first_words_fit_a_terminal_of_80_columns(capsys):
    assert max(map(len, outcome(capsys)[1].splitlines())) <= 80


def test_help_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from edgecheck.cli import invoke\n"
        "code = invoke(['--help'])\n"
        "heavy = {'aiohttp', 'aiortc', 'av', 'cryptography', 'asyncio', 'rich', 'msgspec', 'netifaces', 'stun'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)), code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY [] 0"


def test_what_was_loaded_is_not_searched_for_garbage_and_what_the_work_makes_is():
    program = (
        "import asyncio, gc\n"
        "usual = gc.get_threshold()\n"
        "from edgecheck import runner\n"
        "from edgecheck.cli import main\n"
        "async def run(settings, show):\n"
        "    print('at work', gc.isenabled(), gc.get_threshold() == usual, gc.get_freeze_count() > 10_000)\n"
        "    raise asyncio.CancelledError\n"
        "runner.run = run\n"
        "try:\n"
        "    main(['run', 'nat-behavior', 'edge://t@h', '--no-history'])\n"
        "finally:\n"
        "    print('ended', gc.get_threshold() == usual, len(gc.get_objects()) < 1_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["at work True True True", "ended True True"], done.stderr


def test_a_reader_that_goes_away_is_no_error():
    program = f"{sys.executable} -m edgecheck explain sip-alg.rewritten | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "sip-alg.rewritten: A SIP ALG rewrites addresses\n"
    assert done.stderr == ""


def test_ctrl_c_before_anything_has_begun_is_one_sentence(capsys, monkeypatch):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("edgecheck.cli.invoke", interrupted)
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 3
    assert capsys.readouterr().err == "Stopped at once; nothing is reported.\n"


needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this platform has no /dev/full")


@needs_full
@pytest.mark.parametrize("arguments", [("explain", "sip-alg.rewritten"), ("checks",), ("explain", "{report}"), ("explain", "{report}", "--json", "-")])
def test_a_full_disk_behind_stdout_is_one_sentence(arguments, tmp_path):
    saved = tmp_path / "r.json"
    saved.write_bytes(json_report.render(report(msgspec.structs.replace(nat(), id="unheard-of"), settings=SETTINGS)))
    with Path("/dev/full").open("wb") as full:
        words = [word.format(report=saved) for word in arguments]
        done = subprocess.run([sys.executable, "-m", "edgecheck", *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "Could not write to stdout: No space left on device.\n")


def test_a_reader_that_goes_away_does_not_read_as_a_warning(tmp_path):
    saved = tmp_path / "r.json"
    long = result(finding("unheard-of.x", "fail", summary="x " * 200_000))
    saved.write_bytes(json_report.render(report(long, settings=SETTINGS)))
    program = f"{sys.executable} -m edgecheck explain {saved} | true"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "")


def test_an_account_is_no_check_of_run(capsys):
    code, out, err = outcome(capsys, "run", "sip:me@host")
    assert (code, out) == (64, "")
    assert "edgecheck register" in err


def test_a_bound_that_is_none_is_said_before_anything_begins(capsys):
    assert outcome(capsys, "run", "--timeout", "0") == (64, "", "--timeout takes seconds, more than 0.\n")
