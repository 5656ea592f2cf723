"""The `dataselect` command: parses arguments, calls the API, and turns errors into exit codes.

Exit codes: 0 done, 2 bad input, 3 incomplete (run the same command again), 4 locked by another
run, 130 interrupted (Ctrl-C, SIGTERM or SIGHUP). Heavy libraries are imported inside the commands,
so that `--help` and a mistyped option answer at once.
"""

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from dataselect._version import __version__
from dataselect.cli.agree import agree
from dataselect.cli.calibrate import calibrate
from dataselect.cli.command import CONTEXT, Command, Commands
from dataselect.cli.design import design
from dataselect.cli.doctor import doctor
from dataselect.cli.fit import fit
from dataselect.cli.hub_retries import tell_retries_once
from dataselect.cli.interrupts import (
    EXIT_CODE,
    end_as_by_ctrl_c,
    ignore_signals,
    say_interrupted,
)
from dataselect.cli.mix import mix_app
from dataselect.cli.mix_search import SearchByDefault, search
from dataselect.cli.mix_swarm import swarm
from dataselect.cli.predict import predict
from dataselect.cli.report import report
from dataselect.cli.run import init, plan, run, validate
from dataselect.cli.score import score
from dataselect.cli.status import status
from dataselect.cli.trace_compare import compare
from dataselect.cli.trace_files import export, show, verify
from dataselect.cli.trace_marks import mark
from dataselect.cli.traces import build, pull, weigh
from dataselect.cli.view import view

app = typer.Typer(
    name="dataselect",
    help="Decide which data to pretrain on next: rank candidates with tiny proxy models scored "
    "on a frontier model's reasoning traces (rBridge).",
    no_args_is_help=True,
    cls=Commands,
    context_settings=CONTEXT,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
traces_app = typer.Typer(
    name="traces",
    help="Get, make, check and share a frontier model's reasoning traces.",
    no_args_is_help=True,
    cls=Commands,
)
_COMMANDS: tuple[Callable[..., None], ...] = (
    init,
    doctor,
    validate,
    design,
    plan,
    run,
    status,
    report,
    view,
    score,
    calibrate,
    fit,
    predict,
    agree,
)
_TRACES: tuple[Callable[..., None], ...] = (pull, build, weigh, mark, show, verify, export, compare)
for command in _COMMANDS:
    app.command(cls=Command)(command)
for command in _TRACES:
    traces_app.command(cls=Command)(command)
app.add_typer(traces_app)
mix_app.command(cls=Command)(search)
mix_app.command(cls=Command)(swarm)
app.add_typer(
    mix_app,
    cls=SearchByDefault,
    help="Search for the weights of a mixture, predict mixtures from runs on others, and propose "
    "the best one. `mix candidates.yaml` is short for `mix search candidates.yaml`.",
)


def main() -> None:
    """Entry point of the console script."""
    tell_retries_once()
    end_as_by_ctrl_c()
    try:
        app(prog_name="dataselect")  # also for `python -m dataselect`
    except (KeyboardInterrupt, SystemExit) as ended:
        if isinstance(ended, SystemExit) and ended.code != EXIT_CODE:
            raise
        say_interrupted(resume=True)  # before the command has begun
        sys.exit(EXIT_CODE)
    finally:
        ignore_signals()


def _version(requested: bool) -> None:
    if requested:
        typer.echo(f"dataselect {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
