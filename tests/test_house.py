"""The house: its walls, its documents, and that what they say is so."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from edgecheck import profiles
from edgecheck.checks import ALL, DOCTOR
from edgecheck.report import schema

ROOT = Path(__file__).resolve().parent.parent
TOP = {"pyproject.toml", "README.md", "LICENSE", "edgecheck", "echo_server", "tests", "docs"}
CHECKS = [check.id for check in (*ALL, *DOCTOR)]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


def in_git() -> bool:
    return (ROOT / ".git").exists()


def tracked() -> list[Path]:
    """Every file of the project: git's list, or in an unpacked archive all that is there."""
    if in_git():
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
        return [ROOT / name.decode() for name in done.stdout.split(b"\0") if name and (ROOT / name.decode()).is_file()]
    return [file for name in TOP for file in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name]) if file.is_file()]


def texts(*suffixes: str) -> list[tuple[Path, str]]:
    return [(file.relative_to(ROOT), file.read_text("utf-8")) for file in tracked() if file.suffix in suffixes]


# ------------------------------------------------------------------------------------------------------------------- the walls


def test_imports_go_downward_only():
    done = run("-c", "from importlinter.cli import lint_imports; import sys; sys.exit(lint_imports())")
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_has_nothing_to_say():
    done = run("-m", "ruff", "check", "--no-cache", "edgecheck", "echo_server", "tests")
    assert done.returncode == 0, done.stdout


def test_mypy_has_nothing_to_say():
    done = run("-m", "mypy")
    assert done.returncode == 0, done.stdout


IMPORTED_AS = {"prometheus-client": "prometheus_client", "pystun3": "stun", "netifaces-plus": "netifaces", "dnspython": "dns"}
"""Distribution -> the module that it installs, where the names differ."""


def test_every_import_is_a_declared_dependency():
    """What happens to be installed beside a dependency today is gone tomorrow."""
    names = [re.split(r"[<>=]", each)[0] for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]]
    declared = {IMPORTED_AS.get(name, name) for name in names} | {"edgecheck", "echo_server"}
    foreign = set()
    for folder in ("edgecheck", "echo_server"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                modules = [name.name for name in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and node.level == 0:
                    modules.append(node.module or "")
                tops = {module.partition(".")[0] for module in modules}
                foreign |= {f"{file.relative_to(ROOT)}: {top}" for top in tops if top not in sys.stdlib_module_names and top not in declared}
    assert foreign == set()


def test_the_package_itself_imports_nothing():
    source = (ROOT / "edgecheck" / "__init__.py").read_text()
    assert "import" not in re.sub(r'""".*?"""', "", source, flags=re.DOTALL)


def test_the_top_holds_only_what_is_prescribed():
    names = {file.relative_to(ROOT).parts[0] for file in tracked()}
    assert {name for name in names if not name.startswith(".")} <= TOP


def test_no_file_is_named_for_nothing():
    weak = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    assert [file for file in tracked() if file.stem in weak] == []


# ----------------------------------------------------------------------------------------------------------------- every check


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_has_its_page(check):
    page = ROOT / "docs" / "checks" / f"{check}.md"
    assert page.is_file(), f"docs/checks/{check}.md: question, what is sent, what can and what cannot be concluded"
    assert "cannot" in page.read_text().lower(), "a page says what cannot be concluded, too"


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_has_its_tests(check):
    name = check.replace("-", "_")
    folder = ROOT / "tests" / "checks"
    assert [*folder.glob(f"test_{name}*.py"), *folder.glob(f"{name}/test_*.py")], f"tests/checks/test_{name}.py"


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_has_its_lab_rows(check):
    rows = [text for file in (ROOT / "tests" / "lab").rglob("*.py") if f'"{check}"' in (text := file.read_text())]
    assert rows, f"no scenario of tests/lab expects anything of {check}"


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_is_in_a_profile_or_says_that_it_must_be_named(check):
    in_a_profile = any(check in profiles.load(name).checks for name in profiles.names())
    says_so = "run when named" in (ROOT / "docs" / "checks" / f"{check}.md").read_text()
    assert in_a_profile != says_so


def test_checks_that_take_minutes_come_last_and_in_no_profile():
    """Nobody behind them may need the alternate address uncontacted: whoever waits to contact it goes on when they begin."""
    assert [check.lengthy for check in ALL] == sorted(check.lengthy for check in ALL)
    assert not {check.id for check in ALL if check.lengthy} & {id for name in profiles.names() for id in profiles.load(name).checks}


# --------------------------------------------------------------------------------------------------------------- the documents


def test_the_schema_is_not_stale():
    stored = ROOT / "docs" / "report.schema.json"
    assert stored.is_file(), "python -m edgecheck.report.schema > docs/report.schema.json"
    assert stored.read_text() == schema.text(), "stale: python -m edgecheck.report.schema > docs/report.schema.json"


def test_links_between_documents_lead_somewhere():
    dead = []
    for file, text in texts(".md"):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
            if "://" not in target and not (ROOT / file.parent / target).exists():
                dead.append(f"{file}: {target}")
    assert dead == []


def test_no_document_names_a_path_of_one_machine():
    own = re.compile(r"(?<![\w.])/(?:home|root|Users|work|mnt)/\w+")
    assert [f"{file}: {found[0]}" for file, text in texts(".md", ".toml", ".py", "") if (found := own.search(text))] == []


def test_unfinished_work_says_why():
    bare = re.compile(r"\b(TODO|FIXME|XXX)\b(?!:? ?\S+ \S+ \S+)")
    assert [str(file) for file, text in texts(".py", ".md", ".toml") if bare.search(text) and file.name != "test_house.py"] == []


def readme_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_readme_has_its_two_commands():
    commands = readme_commands()
    assert [command for command in commands if command.endswith("edgecheck run")]
    assert [command for command in commands if command.endswith("-m pytest")]
    assert all(command.startswith("python3 -m venv .venv && ") for command in commands)


def test_what_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`edgecheck ([a-z]+)", text))
    assert {"run", "checks", "profiles", "explain", "stun"} <= named
    told = ""
    for command in sorted(named):
        done = run("-m", "edgecheck", command, "--help")
        assert done.returncode == 0, command
        told += done.stdout
    inline = re.findall(r"`[^`]+`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    options = set(re.findall(r"(?<![\w-])(--[a-z-]+)", " ".join(inline)))
    assert options
    assert {option for option in options if option not in told} == set()
    for profile in re.findall(r"--profile ([a-z0-9-]+)", text):
        assert profile in profiles.names()


def test_continuous_integration_runs_the_readmes_command():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    matching = [line for line in (ROOT / "README.md").read_text().splitlines() if re.match(r"python3 -m venv .*pytest", line)]
    assert len(matching) == 1, "the line that .ci/run looks for"


def test_the_wheel_holds_the_data():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build["packages"] == ["edgecheck", "echo_server"], "hatchling takes every file of a package, the TOML data among them"
    assert (ROOT / "edgecheck" / "profiles" / "generic-pbx.toml").is_file()
    assert not any(line.strip() in ("*.toml", "*.json") for line in (ROOT / ".gitignore").read_text().splitlines())
