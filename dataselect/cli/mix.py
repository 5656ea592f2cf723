"""`dataselect mix`: mixture weights of the next pretraining run, from runs on other mixtures."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.command import Command, Commands
from dataselect.cli.common import JsonOption, errors, print_json, tell
from dataselect.cli.interrupts import this_command
from dataselect.report.output import write_out

mix_app = typer.Typer(
    name="mix",
    help="Predict mixtures from runs on other mixtures, and propose the best one.",
    no_args_is_help=True,
    cls=Commands,
)


class _Fit(Command):
    json_file = ("--out", "'--json FILE' is called '--out FILE' here, and --json alone prints")


class _Propose(Command):
    json_file = ("--json-file", "'--json FILE' is old: --json alone prints, as in '--json > FILE'")


ModelOption = Annotated[
    Path,
    typer.Option("--with", metavar="FILE", help="Model of the runs, written by `mix fit --out`."),
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", help="Share that intervals cover.")
]


@mix_app.command(cls=_Fit)
def fit(
    metrics: Annotated[
        list[Path],
        typer.Option(
            "--metrics",
            metavar="PATH",
            help="Columns: run, and each metric; or a folder of results by run. Repeatable.",
        ),
    ],
    ratios: Annotated[
        Path | None,
        typer.Option(
            "--ratios", metavar="CSV", help="Columns: run, and the weight of each source."
        ),
    ] = None,
    swarm: Annotated[
        Path | None,
        typer.Option(
            "--swarm",
            metavar="DIR",
            help="Folder of `mix swarm`, in place of --ratios and --epochs.",
        ),
    ] = None,
    epochs: Annotated[
        Path | None,
        typer.Option(
            "--epochs",
            metavar="CSV",
            help="Epochs of each source in each run; columns as in --ratios.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="What to optimise: a metric, several as a=2,b=1, or a YAML file. [their mean]",
        ),
    ] = None,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Lower metrics are better, as with losses.")
    ] = False,
    trust_direction: Annotated[
        bool,
        typer.Option(
            "--trust-direction", help="Do not check the direction by names and shape of metrics."
        ),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write the model to this file.")
    ] = None,
    trees: Annotated[
        bool, typer.Option("--trees", help="Try gradient-boosted trees too (needs LightGBM).")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the folds.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Fit surrogates of every metric to a swarm's runs, averaged by cross-validation."""
    with errors():
        import dataselect as ds
        from dataselect.errors import InputError
        from dataselect.report.console import terminal
        from dataselect.report.live import LiveWatch
        from dataselect.report.mixture.proposal import print_fit

        weights = swarm or ratios
        if weights is None or (swarm is not None and ratios is not None):
            there = "both are" if swarm is not None else "neither it nor --swarm is"
            raise InputError("--ratios", f"{there} given", "give one of --ratios and --swarm")
        if swarm is not None and not swarm.is_dir():
            raise InputError(swarm, "is no folder", "name one that 'dataselect mix swarm' wrote")
        with LiveWatch(terminal(stderr=True)) as watch:
            fitted = ds.fit_mixture(
                weights,
                metrics,
                epochs=epochs,
                objective=objective,
                lower_is_better=lower_is_better,
                trust_direction=trust_direction,
                trees=trees,
                seed=seed,
                watch=watch,
                command=this_command(),
            )
        if out is not None:
            fitted.save(out)
        if as_json:
            print_json(fitted.document)
            return
        print_fit(fitted.model, fitted.rankings, terminal())
        if fitted.repetition is not None:
            tell(fitted.repetition)
        if out is not None:
            tell(f"model: {out}")


@mix_app.command(cls=Command)
def predict(
    model: ModelOption,
    at: Annotated[
        Path,
        typer.Option(
            "--at", metavar="CSV", help="Mixtures. Columns: run, and the weight of each source."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="CSV", help="Write the predictions to this file.")
    ],
    epochs: Annotated[
        Path | None,
        typer.Option(
            "--epochs",
            metavar="CSV",
            help="Epochs of each source in each mixture. [as in the runs]",
        ),
    ] = None,
    confidence: ConfidenceOption = 0.9,
) -> None:
    """Predict metrics and objective of mixtures, with intervals."""
    with errors():
        import dataselect as ds
        from dataselect.wording import message

        predictions = ds.predict_mixtures(model, at, epochs=epochs, confidence=confidence)
        predictions.to_csv(out)
        for note in predictions.notes:
            tell(f"note: {message(note)}")
        tell(f"predictions of {len(predictions.runs)} mixtures: {out}")


@mix_app.command(cls=_Propose)
def propose(
    model: ModelOption,
    constraints: Annotated[
        Path | None,
        typer.Option(
            "--constraints", metavar="YAML", help="Tokens, repetition, bounds, prior, floors."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Write the weights as files for trainers."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json-file", metavar="FILE", hidden=True)
    ] = None,
    pareto: Annotated[
        int,
        typer.Option("--pareto", min=0, help="Also find this many trade-offs between the metrics."),
    ] = 0,
    confidence: ConfidenceOption = 0.9,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the search.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Propose the best mixture within constraints, with its gain, and write it for trainers."""
    with errors():
        import dataselect as ds
        from dataselect.report.console import terminal
        from dataselect.report.mixture.proposal import print_proposal

        proposal = ds.propose_mixture(
            model,
            constraints=constraints,
            pareto=pareto,
            confidence=confidence,
            seed=seed,
            command=this_command(),
        )
        if out is not None:
            proposal.write(out)
        if json_file is not None:
            write_out(json_file, proposal.to_json(), "--json")
        if as_json:
            print_json(proposal.document)
            return
        console = terminal()
        print_proposal(proposal.document, console)
        if out is not None:
            for note in proposal.export_notes:
                console.print(f"note: {note}", markup=False, highlight=False)
            console.print(f"files: {out}", markup=False, highlight=False)
