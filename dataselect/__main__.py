"""Entry point of `dataselect` and `python -m dataselect`.

`dataselect --help` prints the text below, because importing typer takes several times as long as
starting Python. A test compares the text with typer's own.
"""

import os
import sys

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_CHOSEN_BY_USER = ("OMP_NUM_THREADS", "GOTO_NUM_THREADS", *_BLAS_THREADS)

HELP = """\
Usage: dataselect [OPTIONS] COMMAND [ARGS]...

  Decide which data to pretrain on next: rank candidates with tiny proxy models
  scored on a frontier model's reasoning traces (rBridge).

Options:
  --version  Show the version.
  --help     Show this message and exit.

Commands:
  init       Write candidates/, stages/ and reports/ with examples to start...
  validate   Check manifest, plan, benchmarks, traces and the first rows of...
  design     Propose sizes, seeds and survivors of each rung for a budget,...
  plan       Print what a run would train and what it would cost, and spend...
  run        Screen, predict, rank and report; repeat the command to resume.
  status     Show runs from any shell that sees the store: progress, time...
  report     Write a report's pages again from its report.json.
  view       Write pages of the items on which candidates differ most,...
  score      Score models on benchmarks: rBridge, R^phi and the paper's...
  calibrate  Score a proxy's checkpoints, pair them with a target's...
  fit        Fit transfer functions from proxy scores to target accuracy,...
  predict    Predict candidates' target accuracy from a CSV file of...
  agree      Compare how proxies rank candidates with how their targets do,...
  traces     Get, make, check and share a frontier model's reasoning traces.
  mix        Search for the weights of a mixture, predict mixtures from...
"""


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:] == ["--help"]:
        sys.stdout.write(HELP)
        return
    settle_blas_threads()
    from dataselect.cli import main as command

    command()


def settle_blas_threads() -> None:
    """Let NumPy and SciPy compute with one thread, unless the environment says otherwise.

    Their matrices are small here: with all cores, threads that wait for each other cost several
    times the work (`benchmarks/speed`). BLAS reads the number when it is loaded, so this comes
    before any import. Models compute in PyTorch, which has threads of its own, and jobs in
    processes whose number of threads is the plan's.
    """
    if not any(os.environ.get(name) for name in _CHOSEN_BY_USER):
        os.environ.update(dict.fromkeys(_BLAS_THREADS, "1"))


if __name__ == "__main__":
    main()
