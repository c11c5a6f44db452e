"""The real process: start, ready line, secrets, ports held by others, end."""

import asyncio
import os
import re
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from echo_server.settings.tokens import ALPHABET
from edgecheck.wire import control
from tests.server_process import ANY_PORTS, ServerProcess
from tests.waiting import PATIENCE_S

Start = Callable[..., ServerProcess]


def test_one_line_on_stdout_and_what_is_offered_on_stderr(start: Start) -> None:
    server = start()
    try:
        assert re.fullmatch(r"ready edge://[^@]+@127\.0\.0\.1:[0-9]+", server.ready)
        first, *others = server.log.splitlines()
        assert re.fullmatch(
            r"STUN \d+/\d+, SIP \d+/\d+ \(TLS \d+\), control \d+ on 127\.0\.0\.1 and 127\.0\.0\.2: all reachable from each other\.", first
        )
        assert any(line.startswith("Certificate made (self-signed, kept); token made (kept).") for line in others)
        assert any("the admin's token for it was made in" in line for line in others)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ""
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_in_the_middle_of_work(start: Start, connect: Any, number: int) -> None:
    server = start()

    async def work() -> int:
        async with connect(server.target) as client:
            with socket.create_connection(("127.0.0.1", client.service.sip_port)):
                sending = asyncio.create_task(
                    client.ask(control.Probe, series=1, address="127.0.0.1", ports=((40000, 50000),), senders=("A1",), pace=100)
                )
                await client.ask(control.Ping)
                status = await asyncio.to_thread(server.stop, number)
                sending.cancel()
                return status

    assert asyncio.run(work()) == 0


def test_token_and_certificate_are_kept_and_nobody_else_may_read_the_secrets(start: Start, tmp_path: Path) -> None:
    lines, states = [], []
    for _ in range(2):
        server = start(f"--state-dir={tmp_path / 'kept'}")
        lines.append(server.target.token)
        states.append({file.name: file.read_bytes() for file in (tmp_path / "kept").iterdir()})
        assert server.stop() == 0
    assert lines[0] == lines[1]
    assert states[0] == states[1]
    assert set(states[0]) == {"token", "key.pem", "certificate.pem", "admin-token", "reports.sqlite"}
    assert re.fullmatch(f"[{ALPHABET}]{{4}}(-[{ALPHABET}]{{4}}){{3}}", lines[0])
    for secret in ("token", "key.pem", "admin-token", "reports.sqlite"):
        assert stat.S_IMODE((tmp_path / "kept" / secret).stat().st_mode) == 0o600


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_token_of_ones_own(start: Start, connect: Any, how: str) -> None:
    server = start("--token=my-own-token") if how == "option" else start(environment={"EDGECHECK_TOKEN": "my-own-token"})
    try:
        assert server.target.token == "my-own-token"
        assert "my-own-token" not in server.log
        assert asyncio.run(_ping(connect, server)) >= 0
        assert not (server.state / "state" / "token").exists()
    finally:
        assert server.stop() == 0


async def _ping(connect: Any, server: ServerProcess) -> float:
    async with connect(server.target) as client:
        return float((await client.ask(control.Ping)).at_ms)


def test_an_open_server_has_no_token_and_tighter_limits(start: Start, connect: Any) -> None:
    server = start("--open")

    async def hello() -> Any:
        async with connect(server.target) as client:
            return client.hello

    try:
        assert server.ready.startswith("ready edge://127.0.0.1:")
        said = asyncio.run(hello())
        assert said.open
        assert said.limits.pace < control.Limits().pace
        assert "Open to all" in server.log
    finally:
        assert server.stop() == 0


def test_sessions_and_refusals_are_told_without_secrets(start: Start, connect: Any) -> None:
    server = start()

    async def work() -> None:
        with pytest.raises(PermissionError, match="does not know this token"):
            await connect(server.target, token="wrong-token").__aenter__()
        async with connect(server.target, certificate="99" * 32) as client:
            assert client.welcome.intercepted
            assert (await client.ask(control.Ping)).at_ms >= 0
            assert client.session.hex() not in server.log

    try:
        asyncio.run(work())
        refused, opened = [line for line in server.log.splitlines() if "Refused" in line or "opened from" in line]
        assert re.search(r"Refused 127\.0\.0\.1:\d+: This server does not know this token\.", refused)
        assert re.search(r"Session 1 opened from 127\.0\.0\.1:\d+, through a box that opens TLS and shows its own certificate\.", opened)
        assert server.target.token not in server.log
    finally:
        assert server.stop() == 0


def test_one_address_says_what_will_be_skipped(start: Start, connect: Any) -> None:
    server = start("--address=127.0.0.1")

    async def service() -> Any:
        async with connect(server.target) as client:
            return client.service

    try:
        assert "One address only: forwarding from a never-contacted address and the full filtering test will be skipped" in server.log
        told = asyncio.run(service())
        assert told.alternate is None
        assert told.probe_ports[1] == 0
        assert "alternate-address" not in told.capabilities
    finally:
        assert server.stop() == 0


def test_behind_a_translation_the_public_addresses_are_told(start: Start, connect: Any) -> None:
    server = start("--address=127.0.0.1", "--alternate=127.0.0.2", "--public-address=198.51.100.10", "--public-alternate=198.51.100.11")

    async def service() -> Any:
        async with connect(server.target._replace(host="127.0.0.1")) as client:
            return client.service

    try:
        assert server.target.host == "198.51.100.10"
        told = asyncio.run(service())
        assert (told.address, told.alternate) == ("198.51.100.10", "198.51.100.11")
    finally:
        assert server.stop() == 0


def test_ipv6(start: Start, connect: Any) -> None:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as trial:
            trial.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"no IPv6 loopback here: {error}")
    server = start("--address=::1")

    async def work() -> tuple[control.Welcome, control.Probed, bytes]:
        loop = asyncio.get_running_loop()
        async with connect(server.target) as client:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.bind(("::1", 0))
                port = sock.getsockname()[1]
                probed = await client.ask(control.Probe, series=1, address="::1", ports=((port, port),), senders=("AX",))
                async with asyncio.timeout(PATIENCE_S):
                    return client.welcome, probed, await loop.sock_recv(sock, 100)

    try:
        assert re.fullmatch(r"ready edge://[^@]+@\[::1\]:[0-9]+", server.ready)
        welcome, probed, data = asyncio.run(work())
        assert welcome.service.address == "::1"
        assert probed.sent == 1
        assert bytes.fromhex(welcome.session) in data
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("kind", "option", "transport"),
    [
        (socket.SOCK_DGRAM, "--stun-port", "udp"),
        (socket.SOCK_STREAM, "--sip-port", "tcp"),
        (socket.SOCK_STREAM, "--control-port", "tcp"),
    ],
)
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_held_ends_the_start_and_its_holder_is_named(
    start: Start, kind: socket.SocketKind, option: str, transport: str, address: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as holder:
        holder.bind((address, 0))
        if kind is socket.SOCK_STREAM:
            holder.listen()
        port = holder.getsockname()[1]
        server = start(*(argument for argument in ANY_PORTS if not argument.startswith(option)), f"{option}={port}")
        log, status = server.log, server.process.wait(PATIENCE_S)
        server.stop()
    assert (server.ready, status) == ("", 1)
    assert log.count("\n") == 1
    assert f"{transport.upper()} {port} on 127.0.0.1 is held by " in log
    assert option in log
    if sys.platform == "linux":
        assert f"(pid {os.getpid()})" in log


def test_an_address_of_another_machine(start: Start) -> None:
    server = start("--address=192.0.2.1")
    log, status = server.log, server.process.wait(PATIENCE_S)
    server.stop()
    assert status == 1
    assert log.startswith("192.0.2.1 is not an address of this machine")


@pytest.mark.parametrize(
    "options",
    [
        ["--nonsense"],
        ["--stun-port=70000"],
        ["--stun-port=5060", "--sip-port=5060"],
        ["--media-ports=20000-10000"],
        ["--media-ports=x"],
        ["--media-ports=1-2,5-6"],
        ["--address=nowhere"],
        ["--address=127.0.0.1", "--address=127.0.0.3"],
        ["--address=127.0.0.1", "--alternate=127.0.0.1"],
        ["--alternate=127.0.0.2"],
        ["--address=0.0.0.0"],
        ["--address=127.0.0.1", "--token=short"],
        ["--address=127.0.0.1", "--token=with@sign-in-it"],
        ["--address=127.0.0.1", "--open", "--token=long-enough"],
        ["--address=127.0.0.1", "--certificate=x.pem"],
    ],
)
def test_a_command_line_that_is_wrong(options: list[str]) -> None:
    server = ServerProcess(*options)
    status, log = server.process.wait(PATIENCE_S), server.log
    server.stop()
    assert (server.ready, status) == ("", 64)
    assert log.count("\n") == 1


def test_a_certificate_that_cannot_be_used(start: Start, tmp_path: Path) -> None:
    for name in ("certificate", "key"):
        (tmp_path / name).write_text("no PEM")
    server = start(f"--certificate={tmp_path / 'certificate'}", f"--key={tmp_path / 'key'}")
    status, log = server.process.wait(PATIENCE_S), server.log
    server.stop()
    assert status == 1
    assert log.startswith("The certificate ")


def test_the_page_says_what_this_is_and_no_secret(server: ServerProcess) -> None:
    async def fetch() -> tuple[int, str, str, int]:
        async with aiohttp.ClientSession() as http:
            async with http.get(f"https://{server.target.authority}/", ssl=False) as page:
                text, kind = await page.text(), page.headers["Server"]
            async with http.get(f"https://{server.target.authority}/nowhere", ssl=False) as missing:
                return page.status, text, kind, missing.status

    status, text, kind, missing = asyncio.run(fetch())
    assert (status, kind, missing) == (200, "edgecheck", 404)
    assert "edgecheck echo server" in text
    assert server.target.token not in text


def test_version() -> None:
    server = ServerProcess("--version")
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", server.ready)
    assert server.process.wait(PATIENCE_S) == 0
    server.stop()
