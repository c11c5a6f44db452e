"""The laboratory cleans up after itself, keeps to itself, and says what is wrong; as root and as an ordinary user."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.conftest import Laboratory
from tests.lab.facilities import Facilities, require
from tests.lab.ground import REPOSITORY, Ground, LabError, python
from tests.lab.nats import EIGHT
from tests.lab.packets import Packets
from tests.lab.topology import ALTERNATE, CLIENT, SERVER, WAN, Plan, Topology
from tests.waiting import wait_until

pytestmark = pytest.mark.lab


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or while it was read
        return False


def host_names() -> str:
    return subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout


def test_nothing_leaks_and_nothing_stays(laboratory: Laboratory) -> None:
    """The host sees no namespace of ours; leaving ends every program, also when the block fails."""
    before = host_names()
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    started: list[int] = []

    def fail() -> None:
        with laboratory.stand(Plan(), "leaks") as topology:
            started.append(topology.ground.spawn("server", *python("-c", stubborn), ready="up").process.pid)
            started.append(topology.ground.holder)
            assert host_names() == before
            assert "core" in topology.ground.run(None, "ip", "netns", "list").stdout
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert len(started) == 2
    assert not any(map(alive, started))
    assert host_names() == before


def test_the_laboratory_dies_with_us(laboratory: Laboratory) -> None:
    """Even killed outright we leave no program behind."""
    script = (
        "from pathlib import Path; from tests.lab.ground import Ground, python; import sys, time\n"
        "ground = Ground(Path(sys.argv[1])); ground.__enter__(); ground.shell('ip netns add x')\n"
        "program = ground.spawn('x', *python('-c', 'import time; print(\"up\", flush=True); time.sleep(600)'), ready='up')\n"
        "print(program.process.pid, ground.holder, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(laboratory.directory("orphan"))]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert all(map(alive, pids))
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: not any(map(alive, pids)), "the end of the laboratory's programs")


def test_in_a_user_namespace(laboratory: Laboratory) -> None:
    """What an ordinary user has: the same network and the same NAT inside a user namespace."""
    apdf = next(nat for nat in EIGHT if nat.name == "apdf")
    with Topology(apdf.plan, laboratory.directory("user"), as_user=True) as topology:
        client, server = Packets(topology.ground, "client"), Packets(topology.ground, "server")
        server.bind("a", 3478, SERVER)
        server.bind("b", 3478, ALTERNATE)
        client.bind("p", 40000, CLIENT)
        client.send("p", (SERVER, 3478), b"x")
        assert server.receive("a") == (b"x", (WAN, 40000))
        server.send("b", (WAN, 40000), b"stranger")
        server.send("a", (WAN, 40000), b"marker")
        assert client.until("p", b"marker") == []


def test_errors_say_what_happened(laboratory: Laboratory) -> None:
    with Ground(laboratory.directory("errors")) as ground:
        ground.shell("ip netns add x")
        with pytest.raises(LabError, match=r"no-such-command|not found"):
            ground.shell("ip netns exec x no-such-command")
        with pytest.raises(LabError, match=r"ended \(status 3\) before it said more\nwhy"):
            ground.spawn("x", *python("-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"), ready="up")
        with pytest.raises(LabError, match=r"said nothing within 0\.2 s"):
            ground.spawn("x", *python("-c", "import time; time.sleep(60)"), ready="up", timeout=0.2)
        with pytest.raises(LabError, match="did not end"):
            ground.run("x", "sleep", "60", timeout=0.2)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One reason, precise, for the first thing that is not to be had. (This needs no laboratory.)"""
    refused: list[str] = []
    require(Facilities(tmp_path), ("no-such-program-anywhere",), refused.append)
    assert refused == ["laboratory: no-such-program-anywhere is not installed"]
    monkeypatch.setattr("tests.lab.ground.shutil.which", lambda tool, path: None if tool == "nft" else f"/bin/{tool}")
    assert Facilities(tmp_path).missing("nat") == "not installed: nft"
    monkeypatch.setattr("tests.lab.facilities.sys.platform", "darwin")
    assert Facilities(tmp_path).missing("tun") == "this is darwin, and TUN devices (/dev/net/tun must be readable and writable) need Linux"
