"""`dataselect mix`: weights of the next pretraining run from runs on other mixtures."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import errors, this_command, write_out

mix_app = typer.Typer(
    name="mix",
    help="Predict mixtures from runs on other mixtures, and propose the best one.",
    no_args_is_help=True,
)

ModelOption = Annotated[
    Path, typer.Option("--model", metavar="FILE", help="Written by `mix fit --json`.")
]
ConfidenceOption = Annotated[
    float, typer.Option("--confidence", help="Share that intervals are to cover.")
]


@mix_app.command()
def fit(
    ratios: Annotated[
        Path,
        typer.Option(
            "--ratios", metavar="CSV", help="Columns run and one for each source: its weight."
        ),
    ],
    metrics: Annotated[
        Path,
        typer.Option("--metrics", metavar="CSV", help="Columns run and one for each metric."),
    ],
    epochs: Annotated[
        Path | None,
        typer.Option(
            "--epochs", metavar="CSV", help="How often runs read each source: columns as --ratios."
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            "--objective",
            help="What to be good at: a metric, several as a=2,b=1, or a YAML file. [their mean]",
        ),
    ] = None,
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Of the metrics, as with losses.")
    ] = False,
    trust_direction: Annotated[
        bool,
        typer.Option("--trust-direction", help="Do not check it by names and shape of metrics."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the model to this file.")
    ] = None,
    trees: Annotated[
        bool, typer.Option("--trees", help="Try gradient-boosted trees too (needs LightGBM).")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Deals the folds.")] = 0,
) -> None:
    """Fit surrogates of every metric to a swarm's runs, averaged by cross-validation."""
    with errors():
        from rich.console import Console

        from dataselect._version import __version__
        from dataselect.mixture.direction import check_direction
        from dataselect.mixture.model import fit_model
        from dataselect.mixture.model_file import Provenance, to_json
        from dataselect.mixture.objective import find_objective
        from dataselect.mixture.single_share import compare_rankings
        from dataselect.mixture.swarm import read_swarm, with_epochs
        from dataselect.mixture.target_epochs import fitted_repetition
        from dataselect.report.mixture.proposal import print_fit
        from dataselect.store.files import sha256_of

        swarm = read_swarm(ratios, metrics)
        if epochs is not None:
            swarm = with_epochs(swarm, epochs)
        if not trust_direction:
            check_direction(metrics, swarm, lower_is_better)
        wanted = find_objective(objective, swarm.metrics, swarm.values)
        model = fit_model(swarm, wanted, lower_is_better, seed, trees)
        if out is not None:
            files = {
                role: {"name": path.name, "sha256": sha256_of(path)}
                for role, path in (("ratios", ratios), ("metrics", metrics), ("epochs", epochs))
                if path is not None
            }
            provenance = Provenance(command=this_command(), version=__version__, files=files)
            write_out(out, to_json(model, provenance), "--json")
        print_fit(model, compare_rankings(model), Console())
        for line in fitted_repetition(model):
            typer.echo(line)
        if out is not None:
            typer.echo(f"model: {out}")


@mix_app.command()
def predict(
    model: ModelOption,
    at: Annotated[
        Path,
        typer.Option("--at", metavar="CSV", help="Mixtures: run and one column for each source."),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="CSV", help="Write the predictions to this file.")
    ],
    epochs: Annotated[
        Path | None,
        typer.Option(
            "--epochs", metavar="CSV", help="How often each source is read. [as by the runs]"
        ),
    ] = None,
    confidence: ConfidenceOption = 0.9,
) -> None:
    """Predict metrics and objective of mixtures, with intervals."""
    with errors():
        from dataselect.mixture.model_file import read_model
        from dataselect.mixture.predictions import to_csv
        from dataselect.mixture.swarm import read_epochs, read_weights
        from dataselect.mixture.target_epochs import at_epochs

        _check_confidence(confidence)
        fitted, _ = read_model(model)
        runs, weights = read_weights(at, fitted.swarm.sources)
        if epochs is not None:
            rates = read_epochs(epochs, fitted.swarm.sources, runs, weights)
            fitted = at_epochs(fitted, rates)
        predicted = fitted.predict(weights, confidence)
        write_out(out, to_csv(runs, fitted.swarm.metrics, predicted), "--out")
        typer.echo(f"predictions of {len(runs)} mixtures: {out}")


@mix_app.command()
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
    as_json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write everything found to this file."),
    ] = None,
    pareto: Annotated[
        int,
        typer.Option("--pareto", min=0, help="Also find so many trade-offs between the metrics."),
    ] = 0,
    confidence: ConfidenceOption = 0.9,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the search.")] = 0,
) -> None:
    """Propose the best mixture within constraints, with its gain, and write it for trainers."""
    with errors():
        import json

        from rich.console import Console

        from dataselect.errors import InputError
        from dataselect.mixture.constraints import no_limits, read_limits
        from dataselect.mixture.exports import export_all, sources_of
        from dataselect.mixture.model_file import read_model
        from dataselect.mixture.pareto import trade_offs
        from dataselect.mixture.propose import propose as find
        from dataselect.mixture.propose import with_runs
        from dataselect.mixture.response_map import response_map
        from dataselect.mixture.single_share import compare_rankings
        from dataselect.mixture.target_epochs import for_target, notes_on_epochs
        from dataselect.report.mixture.proposal import print_proposal, proposal_document
        from dataselect.report.mixture.readme import mixture_readme
        from dataselect.report.pictures import missing_pictures

        _check_confidence(confidence)
        fitted, provenance = read_model(model)
        swarm = fitted.swarm
        limits = no_limits(swarm.sources)
        if constraints is not None:
            limits = read_limits(constraints, swarm.sources, swarm.metrics, with_runs(fitted))
            fitted = for_target(fitted, limits)
        found = find(fitted, limits, confidence, seed)
        others = trade_offs(fitted, limits, pareto, seed) if pareto else []
        sources = sources_of(
            swarm.sources, found.weights, limits.paths, limits.tokens, limits.tokens_per_document
        )
        files, notes = export_all(sources, limits.target_tokens, seed)
        facts = {
            "model": model.name,
            "constraints": constraints.name if constraints is not None else None,
            "confidence": confidence,
            "seed": seed,
            "command": this_command(),
            "fitted_by": provenance.model_dump(),
        }
        rankings = compare_rankings(fitted, confidence)
        grid = response_map(fitted, confidence)
        document = proposal_document(fitted, limits, found, others, rankings, grid, facts)
        document["notes"] += notes_on_epochs(fitted, limits, found.weights)
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        if out is not None:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as failed:
                raise InputError(
                    out, f"cannot be made: {failed.strerror}", "give another --out"
                ) from None
            files["proposal.json"] = text
            page = mixture_readme({**document, "notes": [*document["notes"], *notes]}, files)
            files |= {"README.md": page, **missing_pictures(document, swarm.weights, out)}
            for name, content in files.items():
                write_out(out / name, content, "--out")
        if as_json is not None:
            write_out(as_json, text, "--json")
        console = Console()
        print_proposal(document, console)
        if out is not None:
            for note in notes:
                console.print(f"note: {note}", markup=False, highlight=False)
            console.print(f"files: {out}", markup=False, highlight=False)


def _check_confidence(confidence: float) -> None:
    from dataselect.errors import InputError

    if not 0 < confidence < 1:
        raise InputError("--confidence", f"{confidence:g} is no share", "write one like 0.9")
