"""STUN Binding answers a second, ours beside coturn's, under the same loader, runs interleaved.

    python -m tests.bench.bench_stun_server [--runs 15] [--seconds 2]

Both servers listen on two loopback addresses and answer a 20-byte request with XOR-MAPPED-ADDRESS, MAPPED-ADDRESS,
RESPONSE-ORIGIN, OTHER-ADDRESS and SOFTWARE; that their attributes are the same is looked at, not assumed. Each gets one core, the
loader another. Told are answers a second, and answers a second of the server's own CPU time, which a busy machine spoils less:
the bars are held against those. Runs come in pairs, ours and coturn's one right after the other with the order changing, and it is the
two of a pair that are compared: what else the machine does changes from one second to the next.
"""

import argparse
import os
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from edgecheck.wire import stun
from tests.bench.measure import Bars, conditions, spread, table

ROOT = Path(__file__).resolve().parents[2]
BAR_LEAST = 100_000
"""Answers a second, per core, at any rate."""
WINDOW = 64
SOURCES = 16
TICKS = os.sysconf("SC_CLK_TCK")

LOADER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }

/* loader HOST PORT SECONDS WINDOW SOURCES: keeps WINDOW requests in flight over SOURCES sockets; prints answers, bytes of one, losses. */
int main(int argc, char **argv) {
    int sources = atoi(argv[5]), window = atoi(argv[4]), sockets[256], flying[256];
    double seconds = atof(argv[3]), heard[256];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    unsigned char request[20] = {0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, answer[2048];
    uint32_t number = 0;
    long answers = 0, lost = 0;
    ssize_t size = 0;
    for (int i = 0; i < sources; i++) {
        sockets[i] = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        if (connect(sockets[i], (struct sockaddr *)&to, sizeof to)) return 1;
        flying[i] = 0;
        heard[i] = now();
    }
    double end = now() + seconds;
    for (double t = now(); t < end; t = now()) {
        for (int i = 0; i < sources; i++) {
            for (int n = 0; n < 32; n++) {
                ssize_t got = recv(sockets[i], answer, sizeof answer, 0);
                if (got < 0) break;
                if (got >= 20 && answer[0] == 1 && answer[1] == 1) { answers++; size = got; }
                flying[i]--;
                heard[i] = t;
            }
            if (flying[i] > 0 && t - heard[i] > 0.05) { lost += flying[i]; flying[i] = 0; heard[i] = t; }
            while (flying[i] < window / sources) {
                number++;
                memcpy(request + 16, &number, 4);
                if (send(sockets[i], request, 20, 0) != 20) break;
                flying[i]++;
            }
        }
    }
    printf("%ld %zd %ld\n", answers, size, lost);
    return 0;
}
"""


_NAMES = {
    getattr(stun, name): name.replace("_", "-")
    for name in ("XOR_MAPPED_ADDRESS", "MAPPED_ADDRESS", "RESPONSE_ORIGIN", "OTHER_ADDRESS", "SOFTWARE")
}


class Run(NamedTuple):
    """One run against one server."""

    rate: float
    """Answers a second."""
    per_cpu: float
    """Answers a second of the server's CPU time."""
    size: int
    """Bytes of an answer."""
    lost: int


def pin(process_id: int, core: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process_id, {core % (os.cpu_count() or 1)})


def cpu_seconds(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_it_answers(port: int) -> tuple[str, ...]:
    """The attributes of its answer, in their order."""
    request = bytes.fromhex("000100002112a442") + bytes(12)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(0.2)
        for _ in range(50):
            asking.sendto(request, ("127.0.0.1", port))
            try:
                return tuple(_NAMES.get(attribute.type, hex(attribute.type)) for attribute in stun.parse(asking.recv(2048)).attributes)
            except OSError:
                time.sleep(0.1)
    raise SystemExit(f"nothing answers on port {port}")


def python_loader(port: int, seconds: float) -> tuple[int, int, int]:
    """Where there is no C compiler: slower than the servers, so it tells only CPU time."""
    sockets = []
    for _ in range(SOURCES):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.connect(("127.0.0.1", port))
        sockets.append(made)
    request = bytes.fromhex("000100002112a442") + bytes(12)
    answers = size = lost = 0
    for made in sockets:
        for _ in range(WINDOW // SOURCES):
            made.send(request)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        readable = select.select(sockets, [], [], 0.05)[0]
        for made in readable:
            size = len(made.recv(2048))
            answers += 1
            made.send(request)
        if not readable:
            lost += WINDOW
            for made in sockets:
                made.send(request)
    for made in sockets:
        made.close()
    return answers, size, lost


def load(loader: Path | None, process_id: int, port: int, seconds: float) -> Run:
    before, begun = cpu_seconds(process_id), time.monotonic()
    if loader is None:
        answers, size, lost = python_loader(port, seconds)
    else:
        command = [str(loader), "127.0.0.1", str(port), str(seconds), str(WINDOW), str(SOURCES)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
            pin(running.pid, 1)
            assert running.stdout is not None
            answers, size, lost = map(int, running.stdout.read().split())
    elapsed, used = time.monotonic() - begun, cpu_seconds(process_id) - before
    return Run(answers / elapsed, answers / max(used, 1e-9), size, lost)


def build_loader(directory: Path) -> Path | None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        print("no C compiler: a Python loader is the bottleneck, look at answers per CPU second", file=sys.stderr)
        return None
    source, loader = directory / "loader.c", directory / "loader"
    source.write_text(LOADER)
    subprocess.run([compiler, "-O2", "-o", loader, source], check=True)
    return loader


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        loader = build_loader(directory)
        servers: dict[str, tuple[subprocess.Popen[str], int]] = {}
        try:
            ports = {"control": 0, "stun": free_port(), "alternate-stun": 0, "sip": 0, "alternate-sip": 0, "sips": 0}
            ours = subprocess.Popen(
                [sys.executable, "-m", "echo_server", "--address=127.0.0.1", "--alternate=127.0.0.2", f"--state-dir={directory}"]
                + [f"--{port}-port={number}" for port, number in ports.items()],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=ROOT,
            )
            servers["edgecheck-server"] = (ours, ports["stun"])
            assert ours.stdout is not None
            ours.stdout.readline()
            if shutil.which("turnserver"):
                port = free_port()
                command = f"turnserver -n -S --no-tcp --no-tls --no-dtls --no-cli -L 127.0.0.1 -L 127.0.0.2 -p {port} --alt-listening-port={port + 1}"
                quiet = subprocess.DEVNULL
                coturn = subprocess.Popen(
                    [*command.split(), f"--pidfile={directory}/pid", f"--log-file={directory}/log"], stdout=quiet, stderr=quiet, text=True
                )
                servers["coturn"] = (coturn, port)
            else:
                print("coturn is not installed: ours alone", file=sys.stderr)
            runs: dict[str, list[Run]] = {server: [] for server in servers}
            attributes = {server: wait_until_it_answers(port) for server, (_, port) in servers.items()}
            for process, _ in servers.values():
                for task in Path(f"/proc/{process.pid}/task").iterdir():
                    pin(int(task.name), 0)
            print(conditions())
            for number in range(options.runs):
                for server in sorted(servers, reverse=bool(number % 2)):
                    process, port = servers[server]
                    runs[server].append(load(loader, process.pid, port, options.seconds))
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait(10)
                if process.stdout is not None:
                    process.stdout.close()
        return tell(runs, attributes)


def tell(runs: dict[str, list[Run]], attributes: dict[str, tuple[str, ...]]) -> int:
    rows = []
    for server, all_runs in runs.items():
        rate, per_cpu = (spread((run[index] for run in all_runs), 0) for index in (0, 1))
        rows.append((server, len(all_runs), rate, per_cpu, all_runs[-1].size, sum(run.lost for run in all_runs)))
    print(table(("server", "runs", "answers/s: median (least-most)", "answers/CPU s", "bytes", "lost"), rows))
    for server, names in attributes.items():
        print(f"{server} answers with {', '.join(names)}")
    print(conditions())
    bars = Bars()
    ours = runs["edgecheck-server"]
    least = min(run.per_cpu for run in ours)
    bars.hold("answers per CPU second, the least of all runs", f"{least:,.0f}", f">= {BAR_LEAST:,}", least >= BAR_LEAST)
    if "coturn" in runs:
        ratios = [one.per_cpu / other.per_cpu for one, other in zip(ours, runs["coturn"], strict=True)]
        middle = statistics.median(ratios)
        bars.hold("... against coturn's, pair by pair: median (least-most)", f"{spread(ratios)} x", ">= 1.00 x", middle >= 1)
        same = sorted(attributes["edgecheck-server"]) == sorted(attributes["coturn"])
        bars.hold("the same attributes in both answers", "the same" if same else "not the same", "the same", same)
    return bars.show()


if __name__ == "__main__":
    sys.exit(main())
