"""A real PostgreSQL of the test's own: a cluster in a folder, reached through a socket file, gone with the test."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.waiting import PATIENCE_S


def program(name: str) -> str:
    """Where it is; without it the test is skipped with the reason, or fails where the laboratory is required."""
    found = shutil.which(name) or next((str(each) for each in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)
    if found is None:
        if os.environ.get("EDGECHECK_LAB_REQUIRED"):
            pytest.fail(f"{name} (Debian package postgresql) is needed here")
        pytest.skip("PostgreSQL is not here")
    return found


@contextmanager
def running() -> Iterator[str]:
    """The URL of an empty database. PostgreSQL refuses to run as root: then it runs as nobody."""
    initdb, postgres = program("initdb"), program("postgres")
    # a short path: that of a socket has room for 107 bytes
    with tempfile.TemporaryDirectory(prefix="pg-", dir="/tmp") as folder:
        drop = []
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            drop = ["setpriv", "--reuid=nobody", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
        data = Path(folder) / "data"
        made = [*drop, initdb, "-D", str(data), "-U", "edgecheck", "-A", "trust", "-E", "UTF8", "--no-sync", "--no-instructions"]
        subprocess.run(made, check=True, capture_output=True, cwd=folder)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off", "-c", "max_connections=20"]
        process = subprocess.Popen(
            [*drop, postgres, "-D", str(data), *options], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        assert process.stderr is not None
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if "ready to accept connections" in line:
                    break
            else:
                pytest.fail("PostgreSQL did not start:\n" + "".join(said))
            yield f"postgresql://edgecheck@/postgres?host={folder}"
        finally:
            process.terminate()
            process.wait(2 * PATIENCE_S)
            process.stderr.close()
