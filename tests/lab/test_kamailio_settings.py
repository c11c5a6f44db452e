"""The settings for Kamailio, read by Kamailio itself."""

import shutil
import subprocess

import pytest

from tests.diagnosis.test_pbx import MEASURED, TOUCHED, parts
from tests.lab.conftest import Laboratory
from tests.reports import alg, nat

pytestmark = pytest.mark.lab
_BEFORE = """#!KAMAILIO
log_stderror=yes
"""
_NEEDED = """
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "usrloc.so"
"""
_AFTER = """
request_route { exit; }
"""


@pytest.mark.parametrize("results", [MEASURED, (nat(), alg("UDP 5060", ways=TOUCHED)), (nat(behind_nat=False),), ()])
def test_kamailio_reads_them(laboratory: Laboratory, results) -> None:
    laboratory.need("kamailio")
    files = parts("kamailio", *results)
    settings, modules, _ = files.values()
    file = laboratory.directory("kamailio") / "kamailio.cfg"
    own = settings.replace("192.168.1.20", "127.0.0.1")  # it binds what it reads, even when it only checks
    file.write_text(_BEFORE + own + _NEEDED + modules + _AFTER)
    done = subprocess.run([shutil.which("kamailio") or "kamailio", "-c", "-f", str(file)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert "config file ok" in done.stderr
