"""`dataselect predict`: target accuracy from proxy scores and transfer functions."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import JsonOption, errors, print_json
from dataselect.cli.options import EveryBenchmark


def predict(
    scores: Annotated[
        Path,
        typer.Argument(
            metavar="SCORES.csv",
            help="Proxy scores: 'id' and a column for each benchmark, or 'id', 'benchmark', "
            "'metric'; optional 'seed'.",
        ),
    ],
    functions: Annotated[
        Path,
        typer.Option("--with", metavar="FILE", help="Transfer functions, written by `fit`."),
    ],
    setting: Annotated[
        Path | None,
        typer.Option(
            "--setting",
            metavar="FILE",
            help="JSON file of what the scores were measured with, as for `fit`.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Use functions that were fitted for another setting.")
    ] = False,
    same_data: Annotated[
        bool,
        typer.Option(
            "--same-data", help="Scores are of later checkpoints of the runs that were fitted."
        ),
    ] = False,
    every_benchmark: EveryBenchmark = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the predictions to this CSV file."),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            "--confidence",
            help="Share that intervals cover, and probability that tells two candidates apart.",
        ),
    ] = 0.9,
    draws: Annotated[
        int, typer.Option("--draws", min=100, help="Draws for intervals and probabilities.")
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Predict candidates' target accuracy from a CSV file of proxies' scores, and rank them."""
    with errors():
        import dataselect as ds
        from dataselect.report.console import terminal
        from dataselect.report.tables.forecasts import print_forecasts

        predictions = ds.predict(
            scores,
            functions,
            setting=setting,
            force=force,
            same_data=same_data,
            every_benchmark=every_benchmark,
            confidence=confidence,
            draws=draws,
            seed=seed,
        )
        if out is not None:
            predictions.to_csv(out)
        if as_json:
            print_json(predictions.document)
            return
        console = terminal()
        print_forecasts(predictions.document, console)
        if out is not None:
            console.print(f"predictions: {out}", markup=False, highlight=False)
