"""`dataselect fit`: transfer functions from a table of proxy scores and target accuracies."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import JsonOption, errors, print_json
from dataselect.cli.interrupts import this_command
from dataselect.cli.options import EveryBenchmark


class Protocol(StrEnum):
    """How functions are fitted and their errors measured."""

    robust = "robust"
    paper = "paper"


def fit(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS.csv",
            help="Columns benchmark, metric, accuracy; optional tokens, group (the dataset), "
            "chance, label_nll.",
        ),
    ],
    protocol: Annotated[
        Protocol,
        typer.Option(
            "--protocol",
            help="robust: sigmoid and isotonic, averaged scores, tested intervals; paper: the "
            "best of four families by train R².",
        ),
    ] = Protocol.robust,
    lower_is_better: Annotated[
        bool | None,
        typer.Option(
            "--lower-is-better/--higher-is-better",
            help="Direction of the score. [found from the data]",
        ),
    ] = None,
    setting: Annotated[
        Path | None,
        typer.Option(
            "--setting",
            metavar="FILE",
            help="JSON file of what the pairs were measured with: sizes, tokenizer, traces, ...",
        ),
    ] = None,
    prior: Annotated[
        Path | None,
        typer.Option(
            "--prior",
            metavar="FILE",
            help="Prior on slope and scatter, for few datasets: 'public' or a file.",
        ),
    ] = None,
    offsets: Annotated[
        bool,
        typer.Option(
            "--offsets", help="Give each dataset a height of its own in the fit, shrunk to none."
        ),
    ] = False,
    every_benchmark: EveryBenchmark = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the transfer functions to this file."),
    ] = None,
    prior_out: Annotated[
        Path | None,
        typer.Option(
            "--prior-out", metavar="FILE", help="Write a prior made from this table to this file."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the five folds.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit transfer functions from proxy scores to target accuracy, and print their errors."""
    with errors():
        import dataselect as ds
        from dataselect.report.console import terminal
        from dataselect.report.tables.fits import print_fit

        fitted = ds.fit_transfer(
            pairs,
            protocol=protocol.value,
            lower_is_better=lower_is_better,
            setting=setting,
            prior=prior,
            offsets=offsets,
            every_benchmark=every_benchmark,
            seed=seed,
            command=this_command(),
        )
        if out is not None:
            fitted.write(out)
        if prior_out is not None:
            fitted.write_prior(prior_out, this_command())
        if as_json:
            file = None if out is None else str(out)
            print_json({**fitted.document, "functions_file": file})
            return
        console = terminal()
        print_fit(fitted.document, console)
        if out is not None:
            console.print(f"transfer functions: {out}", markup=False, highlight=False)
        if prior_out is not None:
            console.print(f"prior: {prior_out}", markup=False, highlight=False)
