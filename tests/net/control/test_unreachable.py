"""The whole command against everything that may stand where the server should: one clear sentence, the right exit status, no token."""

import asyncio
import re
import socket
from collections.abc import Callable

import pytest
from aiohttp import web

from edgecheck import runner
from edgecheck.checks import BY_ID
from edgecheck.cli import invoke, status
from edgecheck.net.control import session
from edgecheck.wire import control
from tests.net.command import Run, Said
from tests.net.live import TOKEN
from tests.net.peers import HELLO, Peers, answers, certificate, http, service, silent, slams, until_gone, welcomes
from tests.server_process import ServerProcess


def ended(said: Said, *meanings: str, cause: str = "unreachable") -> None:
    """Undecided; the first line is the sentence, which holds these meanings, and the report says the same."""
    assert said.code == status.UNDECIDED
    assert said.report["verdict"] == "inconclusive"
    for meaning in meanings:
        assert re.search(meaning, said.headline), f"{meaning!r} is not said in: {said.headline}"
    control_check, *others = said.report["checks"]
    assert [finding["id"] for finding in control_check["findings"]] == [f"control.{cause}"]
    # two checks can tell something without a session; the rest was not tried, and none of them may fail for that
    assert {check["verdict"] for check in others if not BY_ID[check["id"]].alone} == {"skipped"}
    assert {check["verdict"] for check in others} <= {"skipped", "pass", "warn", "inconclusive"}


QUICK = 0.5


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where silence must be waited for."""
    monkeypatch.setattr(session, "CONNECT_S", QUICK)


# ---- nobody there


def test_a_name_that_does_not_exist(run: Run) -> None:
    ended(run("no-such-host.invalid"), r"no-such-host\.invalid could not be resolved", "check the spelling")


def test_a_name_that_nobody_could_have(run: Run) -> None:
    ended(run("a" * 70 + ".invalid"), "could not be resolved", "check the spelling")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_listens_there(host: str, run: Run) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        ended(run(f"{host}:{port}", "-4"), rf"{host}:{port}: the connection was refused by 127\.0\.0\.1", "Is edgecheck-server running")


@pytest.mark.usefixtures("quick")
def test_a_resolver_that_does_not_answer(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocked DNS: the system's resolver may wait a minute, and the command does not."""
    import threading

    over = threading.Event()
    monkeypatch.setattr(runner, "_RESOLVE_S", 0.5)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30) and [])
    try:
        ended(run("echo.example.net"), r"echo\.example\.net", "DNS")
        assert not over.is_set()
    finally:
        over.set()


def test_a_source_that_this_machine_does_not_have(run: Run) -> None:
    ended(run("127.0.0.1:9", "--source", "192.0.2.77"), r"192\.0\.2\.77", "no such address")


def test_a_source_of_the_other_family(run: Run) -> None:
    ended(run("127.0.0.1:9", "--source", "::1"), r"127\.0\.0\.1", "IPv6")


# ---- somebody else there


async def _closes(ws: web.WebSocketResponse) -> None:
    """Upgrades and says good-bye."""


async def _resets(ws: web.WebSocketResponse) -> None:
    transport = ws._req.transport  # type: ignore[union-attr]
    assert isinstance(transport, asyncio.Transport)
    transport.abort()


async def _hello_and_gone(ws: web.WebSocketResponse) -> None:
    await ws.send_str(control.serialize(HELLO))
    await _resets(ws)


async def _another_protocol(ws: web.WebSocketResponse) -> None:
    await ws.send_str(control.serialize(control.Hello(protocol=2, version="2.0" * 10_000, nonce="ab" * 16)))
    await until_gone(ws)


async def _imposter(ws: web.WebSocketResponse) -> None:
    await welcomes(ws, "not the token")
    await until_gone(ws)


async def _refuses(ws: web.WebSocketResponse) -> None:
    await ws.send_str(control.serialize(HELLO))
    await ws.receive()
    words = "Too many sessions\x1b[31m; try in a minute. " + "x" * 100_000
    await ws.send_str(control.serialize(control.Refused(reason="busy", message=words)))


def _says(text: str | bytes) -> Callable[[web.WebSocketResponse], object]:
    async def talk(ws: web.WebSocketResponse) -> None:
        await (ws.send_str(text) if isinstance(text, str) else ws.send_bytes(text))
        await until_gone(ws)

    return talk


PORTAL = "it is not an edgecheck server"
CHANNELS = {
    "closes": (_closes, "closed the control channel"),
    "resets": (_resets, "closed the control channel"),
    "hello and gone": (_hello_and_gone, "closed the control channel"),
    "another protocol": (_another_protocol, "speaks protocol 2"),
    "without the token": (_imposter, "cannot prove that it knows the token"),
    "busy": (_refuses, "refused the session: Too many sessions"),
    "garbage": (_says("garbage"), "not as an edgecheck server does"),
    "not UTF-8, in a text frame's place": (_says(b"\xff\xfe\x00"), "not as an edgecheck server does"),
    "binary hello": (_says(control.serialize(HELLO).encode()), "not as an edgecheck server does"),
    "giant": (_says('{"type":"hello","version":"' + "x" * (control.MAX_MESSAGE + 1) + '"}'), "not as an edgecheck server does"),
    "a giant word": (_says('{"type":"' + "x" * 1_000_000 + '"}'), "not as an edgecheck server does"),
    "deep": (_says("[" * 100_000), "not as an edgecheck server does"),
    "deep object": (_says('{"type":"hello","limits":' * 50_000), "not as an edgecheck server does"),
    "out of order": (_says(control.serialize(control.Pong(id=1, at_ms=0.0))), "not as an edgecheck server does"),
    "control characters": (_says('{"type":"\x1b]0;owned\x07"}'), "not as an edgecheck server does"),
}


@pytest.mark.parametrize("who", CHANNELS)
def test_something_else_on_the_control_channel(who: str, peers: Peers, run: Run) -> None:
    talk, meaning = CHANNELS[who]
    where = f"127.0.0.1:{peers.channel(talk)}"  # type: ignore[arg-type]
    ended(run(where), re.escape(where), meaning)


WEB = {
    "a page": (http("200 OK"), "HTTP 200"),
    "a portal's page": (http("511 Network Authentication Required"), "HTTP 511"),
    "a reverse proxy": (http("502 Bad Gateway"), "HTTP 502"),
    "a mail server": (b"220 mail.example ESMTP\r\n", PORTAL),
    "half a head": (b"HTTP/1.1 200 OK\r\nContent-", "without a whole answer"),
    "an endless head": (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000, PORTAL),
    "nothing": (b"", "without a whole answer"),
    "a false upgrade": (http("101 Switching Protocols", "Upgrade: websocket", "Connection: upgrade", "Sec-WebSocket-Accept: x"), PORTAL),
}


@pytest.mark.parametrize("who", WEB)
def test_a_web_server_with_tls(who: str, peers: Peers, run: Run) -> None:
    response, meaning = WEB[who]
    where = f"127.0.0.1:{peers.tcp(answers(response), certificate('www.hotel.example')[0])}"
    ended(run(where), re.escape(where), meaning, "[Cc]heck host and port|Log in")


@pytest.mark.parametrize("code", ["302 Found", "307 Temporary Redirect", "301 Moved Permanently"])
def test_a_captive_portal_is_named_and_not_followed(code: str, peers: Peers, run: Run) -> None:
    visits: list[bytes] = []

    async def login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await reader.readline())

    portal = f"http://127.0.0.1:{peers.tcp(login)}/login?to=edgecheck"
    context, _ = certificate("portal.hotel.example")
    where = f"127.0.0.1:{peers.tcp(answers(http(code, f'Location: {portal}')), context)}"
    ended(run(where), re.escape(where), f"HTTP {code[:3]}", re.escape(portal[:40]), "captive portal", "Log in")
    assert not visits


def test_a_plain_web_server(peers: Peers, run: Run) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)  # it does not wait for a whole line of what it cannot read
        writer.write(http("400 Bad Request"))

    where = f"127.0.0.1:{peers.tcp(plain)}"
    ended(run(where), re.escape(where), "does not speak TLS", "check the port")


def test_a_server_that_closes_at_once(peers: Peers, run: Run) -> None:
    where = f"127.0.0.1:{peers.tcp(slams)}"
    ended(run(where), re.escape(where), "does not speak TLS|was cut", "port|path")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["TCP", "TLS", "channel", "proof"])
def test_a_server_that_says_nothing(how: str, peers: Peers, run: Run) -> None:
    async def mute(ws: web.WebSocketResponse) -> None:
        if how == "proof":
            await ws.send_str(control.serialize(HELLO))
        await until_gone(ws)

    listen = {"TCP": lambda: peers.tcp(silent), "TLS": lambda: peers.tcp(silent, certificate("mute")[0])}
    port = listen.get(how, lambda: peers.channel(mute))()
    said = run(f"127.0.0.1:{port}")
    ended(said, f"127.0.0.1:{port}: a connection opens", f"no answer comes over it within {QUICK} s", "no edgecheck-server", "MTU", "holds up TLS")
    assert "firewall" not in said.headline, "it lets the connection in"


NONSENSE = {
    "observed": {"observed": "nonsense"},
    "observed port": {"observed": "127.0.0.1:99999"},
    "session": {"session": "zz"},
    "address": {"service": service(address="echo.example.net")},
    "alternate": {"service": service(alternate="999.1.2.3")},
    "alternate of the other family": {"service": service(alternate="::1")},
    "STUN port": {"service": service(stun_ports=(3478, 99_999))},
    "no STUN port": {"service": service(stun_ports=(0, 3479))},
    "probe port": {"service": service(probe_ports=(-1, 0))},
    "SIP port": {"service": service(sip_port=70_000)},
    "media": {"service": service(media=(20_000, 10_000))},
    "media beyond": {"service": service(media=(1, 2**40))},
}


@pytest.mark.parametrize("what", NONSENSE)
def test_a_server_that_knows_the_token_and_talks_nonsense(what: str, peers: Peers, run: Run) -> None:
    async def talk(ws: web.WebSocketResponse) -> None:
        await welcomes(ws, TOKEN, **NONSENSE[what])
        await until_gone(ws)

    where = f"127.0.0.1:{peers.channel(talk)}"
    ended(run(where), re.escape(where), "not as an edgecheck server does")


@pytest.mark.parametrize("limit", ["session_s", "pace", "copies", "ports", "dials"])
def test_limits_that_allow_nothing(limit: str, peers: Peers, run: Run) -> None:
    async def talk(ws: web.WebSocketResponse) -> None:
        hello = control.Hello(protocol=1, version="1", nonce=HELLO.nonce, limits=control.Limits(**{limit: 0}))
        await ws.send_str(control.serialize(hello))
        await until_gone(ws)

    where = f"127.0.0.1:{peers.channel(talk)}"
    ended(run(where), re.escape(where), "not as an edgecheck server does")


# ---- the server itself, and the wrong token


def test_the_wrong_token(server: ServerProcess, run: Run) -> None:
    where = server.target.authority
    ended(run(where, token="another-" + TOKEN[::-1]), re.escape(where), "does not know this token", "Copy the whole edge://", cause="refused")


def test_no_token(server: ServerProcess, run: Run) -> None:
    where = server.target.authority
    ended(run(where, token=""), re.escape(where), "asks for a token", "edge://", cause="refused")


def test_the_token_on_the_command_line_stays_there(run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGECHECK_TOKEN", "")
    for words in ([f"edge://{TOKEN}@no-such-host.invalid"], ["--server", "no-such-host.invalid", "--token", TOKEN, "-v"]):
        assert invoke(["run", *words]) == status.UNDECIDED
        out, err = capfd.readouterr()
        assert "no-such-host.invalid" in out
        assert TOKEN not in out + err
