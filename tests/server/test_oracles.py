"""Programs by other people against the real server: each must find what is there."""

import asyncio
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from edgecheck.wire import control
from tests.server_process import ServerProcess
from tests.waiting import PATIENCE_S


def program(name: str) -> str:
    """Its path; the test is skipped, and says why, where it is not installed."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def output(*command: str, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.fixture(scope="module")
def service(server: ServerProcess) -> control.Service:
    async def ask() -> control.Service:
        from tests.server.conftest import Connecting

        async with Connecting(server.target) as client:
            return client.service

    return asyncio.run(ask())


@pytest.fixture
def one_address(start: Callable[..., ServerProcess]) -> Any:
    running = start("--address=127.0.0.1", "--stun-port=0")
    yield running
    assert running.stop() == 0


def test_aioice_reads_what_we_answer(service: control.Service) -> None:
    stun = pytest.importorskip("aioice.stun", reason="aioice is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE_S)
        sock.bind(("127.0.0.1", 0))
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        for attributes, origin in (
            ({}, ("127.0.0.1", service.stun_ports[0])),
            ({"CHANGE-REQUEST": 6}, ("127.0.0.2", service.stun_ports[1])),
        ):
            request.attributes.clear()
            request.attributes.update(attributes)
            sock.sendto(bytes(request), ("127.0.0.1", service.stun_ports[0]))
            data, source = sock.recvfrom(2048)
            message = stun.parse_message(data)
            assert source == origin
            assert message.message_class == stun.Class.RESPONSE
            assert message.transaction_id == request.transaction_id
            assert message.attributes["XOR-MAPPED-ADDRESS"] == message.attributes["MAPPED-ADDRESS"] == sock.getsockname()
            assert message.attributes["RESPONSE-ORIGIN"] == origin
            assert message.attributes["OTHER-ADDRESS"] == ("127.0.0.2", service.stun_ports[1])
        request.attributes["FINGERPRINT"] = 0
        request.add_fingerprint()
        sock.sendto(bytes(request), ("127.0.0.1", service.stun_ports[0]))
        assert "FINGERPRINT" in stun.parse_message(sock.recv(2048)).attributes  # it raises for a wrong one


def test_pystun3_finds_an_open_internet(service: control.Service) -> None:
    stun = pytest.importorskip("stun", reason="pystun3 is not installed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    found = stun.get_ip_info("127.0.0.1", port, "127.0.0.1", service.stun_ports[0])
    assert found == (stun.OpenInternet, "127.0.0.1", port)


def test_vovidas_client_finds_an_open_internet(service: control.Service) -> None:
    said = output(program("stun"), f"127.0.0.1:{service.stun_ports[0]}", "-v")
    assert "Primary: Open" in said.stdout + said.stderr


def test_coturns_discovery_finds_independent_mapping_and_filtering(service: control.Service) -> None:
    said = output(program("turnutils_natdiscovery"), "-m", "-f", "-p", str(service.stun_ports[0]), "127.0.0.1")
    text = said.stdout + said.stderr
    assert "NAT with Endpoint Independent Mapping!" in text
    assert "NAT with Endpoint Independent Filtering!" in text
    assert f"Other addr: : 127.0.0.2:{service.stun_ports[1]}" in text


def test_coturns_discovery_learns_that_one_address_cannot_change_it(one_address: ServerProcess) -> None:
    tool = program("turnutils_natdiscovery")
    port = re.search(r"STUN (\d+)/", one_address.log)
    assert port is not None
    said = output(tool, "-m", "-f", "-p", port[1], "127.0.0.1")
    text = said.stdout + said.stderr
    assert "UDP reflexive addr: 127.0.0.1" in text
    assert "Other addr" not in text
    assert "Independent Filtering" not in text


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sipsak_is_answered(service: control.Service, transport: str) -> None:
    said = output(program("sipsak"), "-v", "-E", transport, "-s", f"sip:echo@127.0.0.1:{service.sip_port}")
    assert said.returncode == 0, said.stdout
    assert "SIP/2.0 200 OK" in said.stdout


@pytest.mark.parametrize("transport", ["u1", "t1"])
def test_sipp_makes_whole_calls(service: control.Service, transport: str, tmp_path: Any) -> None:
    command = (program("sipp"), "-sn", "uac", "-t", transport, "-m", "10", "-r", "50", "-d", "10", "-nostdin", "-i", "127.0.0.1")
    said = output(*command, f"127.0.0.1:{service.sip_port}", cwd=tmp_path, env={**os.environ, "TERM": "dumb"})
    assert said.returncode == 0, said.stdout[-2000:]
    assert re.search(r"Successful call\s*\|\s*0\s*\|\s*10\b", said.stdout)
    assert re.search(r"Failed call\s*\|\s*0\s*\|\s*0\b", said.stdout)


def test_turnutils_stunclient_reads_its_address(service: control.Service) -> None:
    said = output(program("turnutils_stunclient"), "-p", str(service.stun_ports[0]), "127.0.0.1")
    assert "UDP reflexive addr: 127.0.0.1" in said.stdout + said.stderr
