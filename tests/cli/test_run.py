"""``edgecheck run``: what the command line asks for is what the runner gets."""

import asyncio
import contextlib
import signal

import pytest

from edgecheck import embedded, runner
from edgecheck.cli import invoke
from edgecheck.model.errors import ServerUnreachable
from edgecheck.wire.address import Target
from tests.reports import alg, nat, preserved, report


@pytest.fixture(autouse=True)
def ordinary_surroundings(monkeypatch):
    for name in ("EDGECHECK_SERVER", "EDGECHECK_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def asked(monkeypatch):
    """Stands for the runner; keeps the settings that it was given."""
    kept = []

    async def run(settings, show):
        kept.append(settings)
        show.notice("a notice")
        return report(preserved())

    monkeypatch.setattr(runner, "run", run)
    return kept


def test_a_target_and_nothing_else(asked):
    assert invoke(["run", "edge://t@h:9"]) == 0
    (settings,) = asked
    assert settings.target == Target("h", 9, "t")
    assert settings.profile.name == "generic-pbx"
    assert settings.checks == settings.profile.checks
    assert (settings.source, settings.family, settings.pace, settings.timeout, settings.local_only) == (None, None, None, None, False)
    assert not settings.quick
    assert not settings.tcp


def test_tcp_belongs_to_mapping_lifetime(asked, capsys):
    assert invoke(["run", "mapping-lifetime", "--tcp", "edge://t@h:9"]) == 0
    (settings,) = asked
    assert settings.tcp
    assert invoke(["run", "--tcp", "edge://t@h:9"]) == 64
    assert "name that check" in capsys.readouterr().err


def test_every_option(asked, tmp_path):
    (tmp_path / "token").write_text("t\n")
    words = ["run", "sip-alg", "rtp-range", "sip-alg", "--server", "h", "--token-file", str(tmp_path / "token"), "--profile", "3cx"]
    assert invoke([*words, "--source", "192.0.2.9", "-4", "--pace", "200", "--timeout", "30", "--quick"]) == 0
    (settings,) = asked
    assert settings.target == Target("h", 8443, "t")
    assert settings.checks == ("sip-alg", "rtp-range")
    assert settings.profile.name == "3cx"
    assert (settings.source, settings.family, settings.pace, settings.timeout, settings.quick) == ("192.0.2.9", 4, 200, 30.0, True)


def test_the_environment_names_the_server(asked, monkeypatch):
    monkeypatch.setenv("EDGECHECK_SERVER", "h:9")
    monkeypatch.setenv("EDGECHECK_TOKEN", "t")
    assert invoke(["run", "nat-behavior"]) == 0
    assert asked[0].target == Target("h", 9, "t")
    assert not asked[0].local_only


def test_without_a_server_the_embedded_one_is_used_as_fast_as_it_goes(asked, monkeypatch, capsys):
    @contextlib.contextmanager
    def started(rtp, family, source):
        assert rtp == (10000, 20000)
        yield embedded.Embedded(Target("127.0.0.1", 9, "t"), "127.0.0.3", "Only this machine is checked.")

    monkeypatch.setattr(embedded, "started", started)
    assert invoke(["run"]) == 0
    assert (asked[0].target, asked[0].source, asked[0].pace, asked[0].local_only) == (Target("127.0.0.1", 9, "t"), "127.0.0.3", 0, True)
    assert capsys.readouterr().err.startswith("Only this machine is checked.\n")
    assert invoke(["run", "--pace", "50"]) == 0
    assert asked[1].pace == 50


def test_notices_go_to_stderr_and_quiet_has_none(asked, capsys):
    invoke(["run", "edge://t@h"])
    assert capsys.readouterr().err == "a notice\n"
    invoke(["run", "edge://t@h", "--quiet"])
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("PASS  A headline.\n", "")


def test_the_verdict_is_the_exit_status(monkeypatch):
    async def run(settings, show):
        return report(alg("UDP 5060"))

    monkeypatch.setattr(runner, "run", run)
    assert invoke(["run", "edge://t@h"]) == 2


def test_nothing_is_asked_before_the_command_line_is_right(asked, tmp_path):
    assert invoke(["run", "edge://t@h", "--json", str(tmp_path / "no" / "r.json")]) == 64
    assert invoke(["run", "edge://t@h", "rtp-rnage"]) == 64
    assert asked == []


def test_an_ignored_signal_stays_ignored(asked):
    """``nohup edgecheck run``: a closed terminal does not end it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    invoke(["run", "edge://t@h"])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


@pytest.mark.parametrize("end", [KeyboardInterrupt, asyncio.CancelledError, ServerUnreachable("It is gone.")])
def test_sharing_comes_last_and_may_fail(capsys, monkeypatch, tmp_path, end):
    """The report is written before anybody waits for the server again."""
    file = tmp_path / "report.json"

    async def share(*asked):
        assert file.exists()
        raise end

    monkeypatch.setattr("edgecheck.cli.run._checked", lambda settings, show: report(nat()))
    monkeypatch.setattr("edgecheck.sharing.share", share)
    arguments = ["run", "nat-behavior", "edge://a-token-of-tests@127.0.0.1:9", "--share", "--quiet", "--no-history", "--json", str(file)]
    assert invoke(arguments) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("PASS")
    assert captured.err.startswith("The report was not shared")
    assert captured.err.count("\n") == 1
