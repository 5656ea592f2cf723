"""Entry point of `dataselect` and `python -m dataselect`.

`dataselect --help` prints the text below, because importing typer takes several times as long as
starting Python. A test compares the text with typer's own.
"""

import os
import sys

_BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_CHOSEN_BY_USER = ("OMP_NUM_THREADS", "GOTO_NUM_THREADS", *_BLAS_THREADS)

_OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""Python's default is 700. Libraries make hundreds of thousands of objects that stay; to look for
garbage among them that often, and once more at the end, is a fifth of a short command."""

_HELP_COLUMNS = 80
HELP = """\
Usage: dataselect [OPTIONS] COMMAND [ARGS]...

  Decide which data to pretrain on next: rank candidates with tiny proxy models
  scored on a frontier model's reasoning traces (rBridge).

Options:
  --version             Show the version.
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  -h, --help            Show this message and exit.

Commands:
  init       Write a new project: manifests, plans, and small texts on which the
             first one runs.
  doctor     Check environment, GPUs, disk, Hub and engines, with a fix for what
             is not in order.
  validate   Check manifest, plan, benchmarks, traces and the first rows of
             every source.
  design     Propose sizes, seeds and survivors of each rung for a budget, and
             write the plan.
  plan       Print what a run would train and what it would cost, and spend
             nothing.
  run        Screen, predict, rank and report; repeat the command to resume.
  status     Show runs from any shell that sees the store: progress, time left,
             cost, failures.
  report     Write a report's pages again from its report.json.
  view       Write pages of the items on which candidates differ most, token by
             token.
  score      Score models on benchmarks: rBridge, R^phi and the paper's
             baselines, item by item.
  calibrate  Score a proxy's checkpoints, pair them with a target's accuracies,
             and fit the functions.
  fit        Fit transfer functions from proxy scores to target accuracy, and
             print their errors.
  predict    Predict candidates' target accuracy from a CSV file of proxies'
             scores, and rank them.
  agree      Compare how proxies rank candidates with how their targets do, from
             two CSV files.
  traces     Get, make, check and share a frontier model's reasoning traces.
  mix        Search for the weights of a mixture, predict mixtures from runs on
             others, and propose the best one. `mix candidates.yaml` is short
             for `mix search candidates.yaml`.
"""


def main() -> None:
    """Entry point of the console script."""
    if sys.argv[1:] in (["--help"], ["-h"]) and _columns() >= _HELP_COLUMNS:
        sys.stdout.write(HELP)
        return
    settle_blas_threads()
    import gc

    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from dataselect.cli import main as command

    try:
        command()
    finally:
        gc.freeze()  # else all objects are looked through again before Python ends


def _columns() -> int:
    """Width of the terminal, as typer takes it; that of the text where there is none."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(1).columns or _HELP_COLUMNS
    except OSError:
        return _HELP_COLUMNS


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
