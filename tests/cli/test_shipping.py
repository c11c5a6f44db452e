"""Manual pages and shell completion, made from the commands, and tried with the programs that read them."""

import os
import re
import shutil
import subprocess
import sys

import pytest
import typer

from edgecheck.cli import invoke
from edgecheck.cli.app import app
from edgecheck.cli.manual import PAGES, page


def need(name):
    """The path of a program; without it a skip with the reason, or a failure where the laboratory is required."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("EDGECHECK_LAB_REQUIRED"):
            pytest.fail(f"{name} is needed here")
        pytest.skip(f"{name} is not here")
    return found


@pytest.mark.parametrize("program", PAGES)
def test_a_manual_page_is_well_formed(program):
    done = subprocess.run(
        [need("man"), "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-"], input=page(program), capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "SYNOPSIS" in re.sub(".\x08", "", done.stdout)  # struck twice for bold


def test_the_page_names_every_command_and_option(capsys):
    assert invoke(["manual"]) == 0
    text = capsys.readouterr().out.replace("\\-", "-")
    for name, command in typer.main.get_command(app).commands.items():
        assert f".SS {name}\n" in text
        for option in getattr(command, "params", ()):
            assert all(word in text for word in option.opts if word.startswith("-")), (name, option.opts)


def test_an_unknown_program_or_shell_is_one_sentence(capsys):
    for arguments in (["manual", "ls"], ["completion", "tcsh"]):
        assert invoke(arguments) == 64
        assert capsys.readouterr().err.count("\n") == 1


COMPLETE = """
set -eu
edgecheck() { "$PYTHON" -m edgecheck "$@"; }
eval "$(edgecheck completion bash | sed "s|_EDGECHECK_COMPLETE=complete_bash \\$1|_EDGECHECK_COMPLETE=complete_bash $PYTHON -m edgecheck|")"
COMP_WORDS=($WORDS); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_edgecheck_completion edgecheck
echo "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("edgecheck comp", "compare completion"),
        ("edgecheck run sip-a", "sip-alg"),
        ("edgecheck run --profile kam", "kamailio"),
        ("edgecheck baseline re", "remove"),
    ],
)
def test_bash_completes(typed, offered):
    environment = {**os.environ, "PYTHON": sys.executable, "WORDS": typed}
    done = subprocess.run([need("bash"), "-c", COMPLETE], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_every_shell_has_its_script(shell, capsys):
    assert invoke(["completion", shell]) == 0
    assert "_EDGECHECK_COMPLETE" in capsys.readouterr().out
