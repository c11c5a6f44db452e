"""Cause accuracy: every laboratory edge whose truth is known, and look-alikes; right, could not tell, wrong.

    python -m tests.bench.bench_causes [--only WORD] [--workers 3] [--raw FOLDER] [--verbose]

A case is a scenario of ``tests.lab`` with a ``truth``, one of the laboratory's mutations of an ALG (``alg_scenarios``), or one of its ports
that are not reached (``test_causes``, ``test_rtp_causes``). Each stands a network of its own, runs edgecheck there with every check that takes no minutes (a scenario that names checks: with those), and holds
what the report asserts against the truth:

- *right*: every cause is asserted, and nothing that is not so;
- *inconclusive*: a cause is not told (only its symptom, or two that fit), and nothing that is not so is asserted;
- *wrong*: something is asserted that is not so, or an ALG is placed at a hop where it is not.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from edgecheck.checks import ALL
from tests.bench.measure import Bars, conditions, table
from tests.lab import runs
from tests.lab.alg_scenarios import CASES as MUTATIONS
from tests.lab.alg_scenarios import Case as Mutation
from tests.lab.expectation import OneOf
from tests.lab.ground import LabError
from tests.lab.port_edge import Case as Port
from tests.lab.scenario import Scenario
from tests.lab.scenarios import SCENARIOS
from tests.lab.scenarios_of_causes import LOOKALIKES
from tests.lab.test_causes import CASES as PORTS
from tests.lab.test_rtp_causes import CASES as STRETCHES
from tests.lab.test_rtp_causes import Case as Stretches
from tests.lab.topology import Plan, Topology, UserRouter
from tests.lab.truth import Judged, Judgement, Truth, asserted, judge
from tests.lab.user_nat import EI

BAR = 0.95
QUICK = tuple(check.id for check in ALL if not check.lengthy)
_FINDINGS = {
    "harmless": ("sip-alg.harmless",),
    "rewriting": ("sip-alg.rewritten",),
    "inconsistent": ("sip-alg.inconsistent",),
    "destructive": ("sip-alg.destroyed", "sip-alg.answered-by-other"),
}
"""Level of interference -> what is asserted by it."""
_NAMED = {check.id for check in ALL}


class Case(NamedTuple):
    """A scenario, and what is the matter there."""

    scenario: Scenario
    truth: Truth


class Outcome(NamedTuple):
    """One case."""

    case: Scenario
    judged: Judged
    asserted: list[str]
    headline: str
    seconds: float


def cases(only: str) -> Iterator[Case]:
    """Every scenario whose truth is told."""
    scenarios = [Case(one, one.truth) for one in (*SCENARIOS, *LOOKALIKES) if one.truth is not None]
    for one in (*scenarios, *map(_of_mutation, MUTATIONS), *map(_of_port, PORTS), *map(_of_stretches, STRETCHES)):
        if only in one.scenario.name:
            yield one


def _of_port(case: Port) -> Case:
    """One cause must be asserted; several are to be listed. Carrier-grade NAT may be told by ``topology`` as well."""
    told = [causes for causes in (case.causes, *case.differing.values()) if causes]
    alone = tuple(dict.fromkeys(f"port-forwarding.{causes[0]}" for causes in told if len(causes) == 1))
    several = next((causes for causes in told if len(causes) > 1), ())
    fits = tuple(f"port-forwarding.{cause}" for cause in several)
    truth = Truth(causes=alone, fits=fits)
    scenario = Scenario(
        name=f"port {case.name}", description="", plan=case.plan, options=("port-forwarding",), prepare=case.prepare, expected={}
    )
    return Case(scenario, truth)


def _of_stretches(case: Stretches) -> Case:
    """The same for stretches of the RTP range."""
    told = list(case.causes.values())
    alone = tuple(dict.fromkeys(f"rtp-range.{causes[0]}" for causes in told if len(causes) == 1))
    several = next((causes for causes in told if len(causes) > 1), ())
    truth = Truth(causes=alone, fits=tuple(f"rtp-range.{cause}" for cause in several))
    scenario = Scenario(name=f"rtp {case.name}", description="", plan=case.plan, options=("rtp-range",), prepare=case.prepare, expected={})
    return Case(scenario, truth)


def _of_mutation(case: Mutation) -> Case:
    """The ALG is in the home router. What it does to answers alone cannot be located."""
    levels = case.interference.values if isinstance(case.interference, OneOf) else (case.interference,)
    harm = tuple(dict.fromkeys(name for level in levels for name in _FINDINGS.get(level, ())))
    plan = Plan(home=UserRouter(nat={"mapping": EI}, alg={"mutations": list(case.mutations)}))
    free = "none" in levels
    truth = Truth(
        causes=() if free else ("|".join(harm),),
        also=("sip-alg.pinhole", "sip-alg.only-sip-passes", *(harm if free else ())),
        hops=(1,),
        must_locate=False,
    )
    return Case(Scenario(name=f"mutation {case.name}", description="", plan=plan, options=("sip-alg",), expected={}), truth)


def play(one: Case, raw: Path | None) -> Outcome:
    """One network, one run."""
    case, began = one.scenario, time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        with Topology(case.plan, directory / "lab") as topology:
            if case.prepare is not None:
                case.prepare(topology, directory)
            server = runs.serve(topology, case.server, directory)
            if case.witness:
                runs.run(topology, case.server, directory / "witness", "nat-behavior", "rtp-range", rtp=case.rtp, namespace="outside")
            named = () if _NAMED & set(case.options) else QUICK
            report = runs.run(topology, case.server, directory, *named, *case.options, rtp=case.rtp, timeout=300)
            if "Traceback" in server.stderr:
                raise LabError(f"the server stumbled:\n{server.stderr}")
    if raw is not None:
        (raw / f"{case.name.replace(' ', '-').replace('/', '-')}.json").write_text(json.dumps(report, indent=1))
    return Outcome(case, _with_faults(report, judge(report, one.truth)), asserted(report), report["headline"], time.monotonic() - began)


def _with_faults(report: dict[str, Any], judged: Judged) -> Judged:
    """A fault of edgecheck's own counts as wrong: it is nobody's cause."""
    faults = runs.faults(report)
    return Judged("wrong", faults[0].splitlines()[-1]) if faults else judged


def tell(outcomes: list[Outcome], verbose: bool) -> int:
    """Print the table and the bars; the exit status."""
    order: dict[Judgement, int] = {"wrong": 0, "inconclusive": 1, "right": 2}
    shown = sorted(outcomes, key=lambda one: order[one.judged.judgement])
    rows = [(one.judged.judgement, one.case.name, f"{one.seconds:.0f} s", one.judged.words or ", ".join(one.asserted)) for one in shown]
    print("\n" + table(("", "case", "took", "what was not so, or not told; what was asserted"), rows))
    if verbose:
        print("\n" + "\n".join(f"{one.case.name}: {one.headline}" for one in shown))
    counted = Counter(one.judged.judgement for one in outcomes)
    right, unsure, wrong = counted["right"], counted["inconclusive"], counted["wrong"]
    print(f"\n{len(outcomes)} cases: {right} right, {unsure} inconclusive, {wrong} wrong; {conditions()}")
    bars = Bars()
    share = right / len(outcomes) if outcomes else 0.0
    bars.hold("cause accuracy", f"{100 * share:.1f} % ({right} of {len(outcomes)})", f">= {100 * BAR:.0f} %", share >= BAR)
    bars.hold("wrong causes asserted", str(wrong), "0", wrong == 0)
    return bars.show()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="cases with this in their name")
    parser.add_argument("--workers", type=int, default=3, help="networks at a time")
    parser.add_argument("--raw", type=Path, metavar="FOLDER", help="write every report there")
    parser.add_argument("--verbose", action="store_true", help="the headlines, too")
    options = parser.parse_args()
    chosen = list(cases(options.only))
    if options.raw:
        options.raw.mkdir(parents=True, exist_ok=True)
    print(f"{conditions()}\n{len(chosen)} cases, {options.workers} at a time; checks: {', '.join(QUICK)}", flush=True)
    with ThreadPoolExecutor(options.workers) as pool:
        outcomes = []
        for one in pool.map(lambda case: play(case, options.raw), chosen):
            outcomes.append(one)
            print(f"{len(outcomes)}/{len(chosen)}  {one.judged.judgement}: {one.case.name}", file=sys.stderr, flush=True)
    return tell(outcomes, options.verbose)


if __name__ == "__main__":
    sys.exit(main())
