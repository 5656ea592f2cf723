"""The help text in `__main__` equals the one of typer, and prints without loading typer."""

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from dataselect.__main__ import HELP, settle_blas_threads
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


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, "1"),
        ({"OMP_NUM_THREADS": "3"}, None),
        ({"OPENBLAS_NUM_THREADS": "3"}, "3"),
        ({"OPENBLAS_NUM_THREADS": ""}, "1"),
    ],
)
def test_blas_has_one_thread_unless_the_user_says_otherwise(
    given: dict[str, str], found: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    monkeypatch.setattr(os, "environ", {**chosen, **given})
    settle_blas_threads()
    assert os.environ.get("OPENBLAS_NUM_THREADS") == found
    assert "MKL_NUM_THREADS" not in os.environ, "PyTorch takes it for its own"


def test_threads_are_settled_before_numpy_is_loaded() -> None:
    code = (
        "import os, sys\nfrom dataselect.__main__ import settle_blas_threads\n"
        "settle_blas_threads()\nassert 'numpy' not in sys.modules\n"
        "import torch\nprint(torch.get_num_threads() == int(sys.argv[1]))\n"
    )
    kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    command = [sys.executable, "-c", "import torch; print(torch.get_num_threads())"]
    usual = subprocess.run(command, env=kept, capture_output=True, text=True, check=True).stdout
    ran = subprocess.run(
        [sys.executable, "-c", code, usual.strip()],
        env=kept,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "True\n", "PyTorch keeps its threads"
