"""Every conclusion about the edge has a case in which it is so and one that looks so: docs/conclusions.md, held against findings and files."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "conclusions.md").read_text("utf-8")
CHECKS = ("topology", "port-forwarding", "rtp-range", "mapping-lifetime", "outbound", "host", "sip-alg")
KNOWLEDGE = tomllib.loads((ROOT / "edgecheck" / "diagnosis" / "knowledge" / "explanations.toml").read_text("utf-8"))
_REFERENCE = re.compile(r"`((?:\.\./checks/)?[a-z_]+\.py): ([^`]+)`")


def rows(check: str) -> dict[str, tuple[str, str]]:
    """Finding -> where it is so, and what looks so."""
    section = PAGE.partition(f"\n## {check}\n")[2].partition("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section.splitlines() if line.startswith("| `")]
    return {name.strip("| `"): (so, alike) for name, so, alike in cells}


@pytest.mark.parametrize("check", CHECKS)
def test_every_conclusion_stands_there_and_no_other(check: str) -> None:
    assert list(rows(check)) == [id.partition(".")[2] for id in KNOWLEDGE if id.startswith(f"{check}.")]


@pytest.mark.parametrize("check", CHECKS)
def test_every_case_exists(check: str) -> None:
    for finding, cells in rows(check).items():
        for cell in cells:
            references = _REFERENCE.findall(cell)
            assert references, f"{check}.{finding}: {cell}"
            for file, words in references:
                assert file.startswith("../checks/") == ("in memory" in cell), cell
                assert words in (ROOT / "tests" / "lab" / file).read_text("utf-8"), f"{check}.{finding}: {file} has no {words!r}"
