"""The record of what was sent: whatever happens to the file or the clock, "recent" never becomes "long ago", and no run fails of it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecheck.net.machine.memory import KEEP_S, Clocks, FileMemory, NoMemory

SERVER, OTHER = "198.51.100.11", "198.51.100.10"


class Machine:
    """A machine with a clock on the wall, which may be wrong, and one that counts since the start."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "memory.json"
        self.wall = 1_800_000_000.0
        self.steady = 5_000.0
        self.boot = "first"

    def run(self, network: str = "home") -> FileMemory:
        """What a run that begins now knows."""
        return FileMemory(self.file, network, Clocks(lambda: self.wall, lambda: self.steady, self.boot))

    def wait(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds

    def restart(self, down: float = 60.0) -> None:
        self.wall += down
        self.steady, self.boot = 10.0, "second"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def note_all(memory: FileMemory) -> None:
    memory.note_contact(SERVER)
    memory.note_sent([5060, *range(10_000, 10_100)])
    memory.note_sent([5061], "tcp")
    memory.note("filtering", "endpoint-independent")


def ages(memory: FileMemory) -> list[float | None]:
    fact = memory.recall("filtering")
    return [memory.contacted(SERVER), memory.sent_from(10_050), memory.sent_from(5061, "tcp"), fact[1] if fact else None]


def test_a_later_run_knows_what_and_how_long_ago(machine: Machine) -> None:
    note_all(machine.run())
    machine.wait(42)
    later = machine.run()
    assert ages(later) == pytest.approx([42.0] * 4)
    assert later.recall("filtering") == ("endpoint-independent", pytest.approx(42.0))
    assert later.contacted(OTHER) is None
    assert [later.sent_from(port) for port in (9_999, 10_100, 5061)] == [None] * 3
    assert later.sent_from(5060, "tcp") is None
    assert later.recall("exposed") is None


def test_the_same_run_knows_it_too(machine: Machine) -> None:
    memory = machine.run()
    note_all(memory)
    machine.wait(7)
    assert ages(memory) == pytest.approx([7.0] * 4)


def test_the_newest_time_counts(machine: Machine) -> None:
    memory = machine.run()
    memory.note_sent(range(10_000, 10_100))
    machine.wait(100)
    memory.note_sent([10_050])
    memory.note("filtering", "address-dependent")
    machine.wait(1)
    memory.note("filtering", "endpoint-independent")
    later = machine.run()
    assert [later.sent_from(10_050), later.sent_from(10_051)] == pytest.approx([1.0, 101.0])
    assert later.recall("filtering") == ("endpoint-independent", pytest.approx(0.0))


def test_another_network_knows_nothing_of_it(machine: Machine) -> None:
    note_all(machine.run())
    assert ages(machine.run("office")) == [None] * 4
    machine.run("office").note_contact(SERVER)
    machine.wait(5)
    assert ages(machine.run()) == pytest.approx([5.0] * 4)


def test_after_the_hour_it_is_forgotten_and_leaves_the_file(machine: Machine) -> None:
    note_all(machine.run())
    machine.wait(KEEP_S - 1)
    assert ages(machine.run()) == pytest.approx([KEEP_S - 1] * 4)
    machine.wait(2)
    last = machine.run()
    last.note_contact(OTHER)
    assert SERVER not in machine.file.read_text()
    assert "10099" not in machine.file.read_text()
    assert ages(machine.run()) == [None] * 4


def test_the_file_stays_small_and_forgets_nothing_of_this_hour(machine: Machine) -> None:
    """A watch of every minute, with other ports each time."""
    memory = machine.run()
    for turn in range(300):
        memory.note_sent(range(1_000 + turn * 50, 1_000 + turn * 50 + 20, 2))
        machine.wait(1)
    for number in range(100):
        machine.run(f"network {number}").note_contact(SERVER)
        memory.note_contact(OTHER)
    assert machine.file.stat().st_size < 100_000
    later = machine.run()
    for turn in range(300):
        age = later.sent_from(1_000 + turn * 50)
        assert age is not None, "what was sent within the hour is known"
        assert age <= 300 - turn + 0.1, "and never told to be longer ago than it was"


# ---- clocks


def test_a_clock_set_back_keeps_recent_recent(machine: Machine) -> None:
    note_all(machine.run())
    machine.wait(30)
    machine.wall -= 86_400
    assert ages(machine.run()) == pytest.approx([30.0] * 4)
    machine.run().note_contact(OTHER)
    machine.wait(30)
    assert ages(machine.run()) == pytest.approx([60.0] * 4)
    machine.wait(KEEP_S)
    assert machine.run().contacted(SERVER) is None, "and it ends: not a day later, when the clock is where it was"


def test_a_clock_put_right_keeps_recent_recent(machine: Machine) -> None:
    """A small machine without a battery starts in the past, runs, and is told the time."""
    machine.wall -= 5 * 365 * 86_400
    note_all(machine.run())
    machine.wait(30)
    machine.wall += 5 * 365 * 86_400
    assert ages(machine.run()) == pytest.approx([30.0] * 4)
    machine.run().note_contact(OTHER)
    machine.wait(30)
    assert ages(machine.run()) == pytest.approx([60.0] * 4)


@pytest.mark.parametrize("step", [-86_400.0, 86_400.0])
def test_a_clock_set_during_a_run(step: float, machine: Machine) -> None:
    memory = machine.run()
    note_all(memory)
    machine.wall += step
    machine.wait(20)
    assert ages(memory) == pytest.approx([20.0] * 4)
    memory.note_contact(OTHER)
    assert ages(machine.run()) == pytest.approx([20.0] * 4)


def test_set_back_over_a_restart_is_recent_and_a_fact_of_the_future_is_none(machine: Machine) -> None:
    """Nothing tells how long ago it was. Sent: perhaps just now. A fact that later verdicts rest on: not known."""
    note_all(machine.run())
    machine.restart()
    machine.wall -= 86_400
    assert ages(machine.run()) == [0.0, 0.0, 0.0, None]
    machine.run().note_contact(OTHER)
    machine.wait(KEEP_S + 1)
    assert ages(machine.run()) == [None] * 4


def test_a_restart_leaves_the_wall_clock_to_tell(machine: Machine) -> None:
    note_all(machine.run())
    machine.restart(down=120)
    assert ages(machine.run()) == pytest.approx([120.0] * 4)
    machine.steady = 9_000.0  # up for longer than before, when the note was written: another boot all the same
    assert ages(machine.run()) == pytest.approx([120.0] * 4)


@pytest.mark.parametrize(("step", "sent", "fact"), [(540.0, 10.0, 550.0), (-540.0, 0.0, 10.0), (0.0, 10.0, 10.0)])
def test_where_no_start_is_told_from_another_both_clocks_are_heard(step: float, sent: float, fact: float, machine: Machine) -> None:
    """A platform whose steady clock sleeps when the machine does, and which does not name its start: the cautious answer for each."""
    machine.boot = ""
    note_all(machine.run())
    machine.wall += step
    machine.wait(10)
    assert ages(machine.run()) == pytest.approx([sent, sent, sent, fact])


# ---- the file

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "torn": lambda whole: whole[: len(whole) // 2],
    "empty": lambda whole: b"",
    "not JSON": lambda whole: b"\x00\xff\xfe" * 100,
    "a list": lambda whole: b"[]",
    "a number": lambda whole: b"17",
    "huge": lambda whole: b'{"' + b"a" * (17 << 20) + b'": {}}',
    "deep": lambda whole: b'{"a":' * 100_000,
    "deep and whole": lambda whole: b'{"x": ' + b"[" * 900 + b"]" * 900 + b"}",
    "networks that are none": lambda whole: json.dumps(dict.fromkeys(json.loads(whole), 5)).encode(),
    "a number beyond all floats": lambda whole: _with(whole, contacts={SERVER: "@"}).replace(b'"@"', b"1" + b"0" * 400),
    "infinite": lambda whole: _with(whole, contacts={SERVER: float("inf")}, at=float("inf")),
    "exponent": lambda whole: _with(whole, contacts={SERVER: "@"}).replace(b'"@"', b"1e999"),
    "not a number": lambda whole: _with(whole, contacts={SERVER: float("nan")}, sent=[[float("nan"), "udp", [[1, 2]]]]),
    "words for numbers": lambda whole: _with(whole, contacts={SERVER: "now"}, at="today"),
    "rows that are none": lambda whole: _with(whole, sent=[1, [2], [3, "udp", 4], [5, "udp", [[6]]], ["x", None, [["a", "b"]]]]),
    "ports that are none": lambda whole: _with(whole, sent=[[1.0, "udp", [[-5, 10**9]]], [1.0, "udp", [[70_000, 70_001]]]]),
    "facts that are none": lambda whole: _with(whole, facts={"filtering": ["x"], "exposed": None}),
}


def _with(whole: bytes, **fields: object) -> bytes:
    content = json.loads(whole)
    for network in content.values():
        network.update(fields)
    return json.dumps(content).encode()


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_an_empty_one_and_is_written_anew(damage: str, machine: Machine) -> None:
    note_all(machine.run())
    machine.file.write_bytes(DAMAGE[damage](machine.file.read_bytes()))
    memory = machine.run()
    assert memory.contacted(OTHER) is None
    assert all(age is None or age >= 0 for age in ages(memory))
    note_all(memory)
    machine.wait(3)
    assert ages(machine.run()) == pytest.approx([3.0] * 4)
    assert machine.file.stat().st_size < 100_000


def test_damage_during_a_run_does_not_forget_what_the_run_did(machine: Machine) -> None:
    memory = machine.run()
    note_all(memory)
    machine.file.write_bytes(b"{")
    machine.wait(4)
    assert ages(memory) == pytest.approx([4.0] * 4)
    memory.note_contact(OTHER)
    assert ages(machine.run()) == pytest.approx([4.0] * 4)


@pytest.mark.parametrize("obstacle", ["a file for a folder", "a folder for the file", "a pipe for the file", "a pipe for the lock", "no right to write"])
def test_what_cannot_be_kept_is_known_to_the_run_alone(obstacle: str, tmp_path: Path) -> None:
    folder = tmp_path / "state"
    if obstacle == "a file for a folder":
        folder.write_text("not a folder")
    else:
        folder.mkdir()
    if obstacle == "a folder for the file":
        (folder / "memory.json").mkdir()
    elif obstacle == "a pipe for the file":
        os.mkfifo(folder / "memory.json")  # reading it would wait for a writer, for ever
    elif obstacle == "a pipe for the lock":
        os.mkfifo(folder / "memory.json.lock")
    elif obstacle == "no right to write":
        folder = Path("/proc/edgecheck")  # root may write nearly everywhere, and not there
    machine = Machine(folder)
    memory = machine.run()
    note_all(memory)
    machine.wait(2)
    assert ages(memory) == pytest.approx([2.0] * 4)
    assert not list(tmp_path.rglob(".memory-*")), "no litter"


def test_only_this_user_may_read_where_it_went(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "state")
    note_all(machine.run())
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    assert machine.file.stat().st_mode & 0o077 == 0


# ---- more than one run at a time


def test_a_run_learns_what_another_did_meanwhile(machine: Machine) -> None:
    """The router does not care which process it was."""
    first, second = machine.run(), machine.run()
    note_all(second)
    machine.wait(5)
    assert ages(first) == pytest.approx([5.0] * 4)
    first.note_contact(OTHER)
    assert second.contacted(OTHER) == pytest.approx(0.0)


WRITER = """
import sys
from pathlib import Path
from edgecheck.net.machine.memory import FileMemory
name, file = sys.argv[1:]
memory = FileMemory(Path(file), "home")
print("ready", flush=True)
sys.stdin.readline()
for number in range(100):
    memory.note_contact(f"192.0.2.{number}/{name}")
    memory.note_sent([10_000 + number], name)
"""


def test_processes_side_by_side_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, name, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate()[1] for writer in writers] == [None] * 3
    assert [writer.returncode for writer in writers] == [0] * 3
    memory = FileMemory(file, "home")
    for name in ("one", "two", "three"):
        assert [n for n in range(100) if memory.contacted(f"192.0.2.{n}/{name}") is None] == []
        assert [n for n in range(100) if memory.sent_from(10_000 + n, name) is None] == []


def test_a_run_killed_while_writing_leaves_a_whole_record(tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    FileMemory(file, "home").note_contact(SERVER)
    endless = WRITER.replace("for number in range(100):", "import itertools\nfor number in itertools.count():").replace("10_000 + number", "10_000 + number % 50_000")
    writer = subprocess.Popen([sys.executable, "-c", endless, "udp", str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.stdin.write("go\n")
    writer.stdin.flush()
    reader = FileMemory(file, "home")
    while reader.contacted("192.0.2.20/udp") is None:  # it is in the middle of its work
        assert writer.poll() is None
    writer.kill()
    writer.communicate()
    json.loads(file.read_text())
    after = FileMemory(file, "home")
    assert after.contacted(SERVER) is not None
    after.note_contact(OTHER)  # and its lock went with it
    assert FileMemory(file, "home").contacted(OTHER) is not None


def test_a_stopped_process_that_holds_the_lock_does_not_stop_a_run(tmp_path: Path) -> None:
    import fcntl

    file = tmp_path / "memory.json"
    FileMemory(file, "home").note_contact(SERVER)
    with (tmp_path / "memory.json.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        memory = FileMemory(file, "home")
        memory.note_contact(OTHER)
        assert memory.contacted(OTHER) is not None


def test_no_memory_has_none() -> None:
    memory = NoMemory()
    memory.note_contact(SERVER)
    memory.note_sent([5060])
    memory.note("filtering", "x")
    assert (memory.contacted(SERVER), memory.sent_from(5060), memory.recall("filtering")) == (None, None, None)
