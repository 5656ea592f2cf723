"""The help text in `__main__` equals the one of typer, and prints without loading typer."""

import subprocess
import sys

from typer.testing import CliRunner

from dataselect.__main__ import HELP
from dataselect.cli import app


def test_help_says_what_the_commands_say() -> None:
    shown = CliRunner().invoke(app, ["--help"], prog_name="dataselect")
    assert shown.stdout == HELP, "copy the new help text into dataselect/__main__.py"


def test_help_loads_nothing_but_itself() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nsys.argv = ['dataselect', '--help']\n"
        "from dataselect.__main__ import main\nmain()\n"
        "loaded = set(sys.modules) - before\n"
        "assert loaded == {'dataselect', 'dataselect.__main__', 'dataselect._version'}, loaded\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.stderr, ran.stdout) == ("", HELP)
