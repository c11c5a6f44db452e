"""Faults planted / faults named: what the registration doctor makes of each.

    python -m tests.bench.bench_faults [--memory]

In a world of memory (every fault of ``tests/faults_of_registration``, on a jumping clock), then in the laboratory, behind a NAT: Kamailio and
SIPp (``registration``), the zones of a BIND (``dns``), the ports of a Kamailio with a certificate each (``transport``, ``tls``), the latter two
with the kernel's SIP ALG on; ``--memory`` leaves those out. Bar: all of them, and nothing else called a failure.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgecheck.checks.registration.judge import BY_STATUS
from tests.bench.measure import Bars, conditions, table
from tests.checks.doctoring import visit
from tests.faults_of_registration import FAULTS
from tests.lab import bind, kamailio_tls
from tests.lab.registrations import AGREED, ALG, BEHIND_ALG, CODES, KAMAILIO, OPEN, verdicts, visit_all, visit_behind_alg
from tests.lab.sipp_oddities import ODDITIES
from tests.lab.topology import Topology

Row = tuple[str, str, str, str, bool]
"""Where, fault, wanted, found, whether it is right."""


def in_memory() -> list[Row]:
    rows = []
    for fault in FAULTS:
        found = visit(fault.world(), fault.target(), fault.secret).verdicts
        others = {cause for cause, verdict in found.items() if verdict == "fail"} - {fault.cause}
        right = found.get(fault.cause) == fault.verdict and not others and ("registered" in found) == fault.registers
        rows.append(("memory", fault.name, f"{fault.cause} ({fault.verdict})", _told(found), right))
    return rows


def in_the_laboratory() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with Topology(OPEN, directory / "ground") as topology:
            heard = visit_all(topology, directory / "open", ODDITIES)
        with Topology(BEHIND_ALG, directory / "alg ground") as topology:
            watched = visit_behind_alg(topology, directory / "alg", ODDITIES)
    rows: list[Row] = []
    for name, (_, expected) in (KAMAILIO | AGREED).items():
        rows += (_row("Kamailio", name, expected, heard[name]), _row("Kamailio, SIP ALG", name, ALG[name], watched[name]))
    for code in CODES:
        rows.append(_row("SIPp", str(code), {BY_STATUS[code]: "fail"}, heard[code]))
    for each in ODDITIES:
        rows.append(_row("SIPp", each.name, each.expected, heard[each.name]))
        rows.append(_row("SIPp, SIP ALG", each.name, each.behind_alg or each.expected, watched[each.name]))
    return rows


def _row(where: str, name: str, expected: dict[str, str], result: dict[str, Any]) -> Row:
    found = verdicts(result)
    return where, name, _told(expected), _told(found), found == expected


def of_names() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch, Topology(bind.PLAN, Path(scratch) / "ground") as topology:
        seen = bind.look_at_all(topology, Path(scratch) / "bind", *bind.OF_SILENCE)
        alone = bind.locate(topology, "lan-host", *bind.OF_IPV4_ALONE)
    rows = [(uri, expected, seen[uri]["findings"]) for uri, expected in (bind.FAULTS | bind.OF_SILENCE).items()]
    for host, accounts in bind.BOXED.items():
        rows += [(name := f"{uri}, boxed, on {host}", expected, seen[name]["findings"]) for uri, expected in accounts.items()]
    rows += [(f"{uri}, no IPv6", expected, alone[uri]["findings"]) for uri, expected in bind.OF_IPV4_ALONE.items()]
    return [("BIND", uri, _told(expected), _told(found), found == expected) for uri, expected, found in rows]


def of_certificates() -> list[Row]:
    with tempfile.TemporaryDirectory() as scratch, Topology(kamailio_tls.PLAN, Path(scratch) / "ground") as topology:
        seen = kamailio_tls.look_at_all(topology, Path(scratch) / "kamailio")
    rows: list[Row] = []
    for behind, (reached, trusted) in kamailio_tls.PORTS.items():
        wanted = (reached or {}) | trusted
        found = (seen[behind]["transport"] if reached is not None else {}) | seen[behind]["tls"]
        rows.append(("Kamailio, ports", behind, _told(wanted), _told(found), found == wanted))
    for name, (_, _, places) in kamailio_tls.BOXED.items():
        for place, wanted in places.items():
            found = seen[f"{place}, {name}"]["tls"]
            rows.append(("TLS, boxes", f"{name}, {place}", _told(wanted), _told(found), found == wanted))
    return rows


def _told(found: dict[str, str]) -> str:
    return ", ".join(f"{cause} ({verdict})" for cause, verdict in found.items() if verdict != "skipped")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memory", action="store_true", help="only the world of memory")
    options = parser.parse_args()
    print(conditions())
    rows = in_memory() + ([] if options.memory else [*in_the_laboratory(), *of_names(), *of_certificates()])
    print(table(("where", "planted", "wanted", "named", ""), [(*row[:4], "" if row[4] else "WRONG") for row in rows]))
    bars = Bars()
    for where in dict.fromkeys(row[0] for row in rows):
        here = [row for row in rows if row[0] == where]
        named = sum(row[4] for row in here)
        bars.hold(f"{where}: faults named", f"{named} of {len(here)}", "all", named == len(here))
    return bars.show()


if __name__ == "__main__":
    sys.exit(main())
