"""Entry point of `dataselect` and `python -m dataselect`.

`dataselect --help` prints the text below, because importing typer takes several times as long as
starting Python. A test compares the text with typer's own.
"""

import sys

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
  report     Write a report's pages again from its report.json.
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
    from dataselect.cli import main as command

    command()


if __name__ == "__main__":
    main()
