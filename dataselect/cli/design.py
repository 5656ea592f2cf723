"""`dataselect design`: what to spend on proxies, before anything is spent."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import JsonOption, errors, print_json
from dataselect.cli.interrupts import this_command
from dataselect.cli.run import ManifestFile, PlanOption


def design(
    manifest: ManifestFile,
    budget: Annotated[
        str,
        typer.Option(
            "--budget", metavar="BUDGET", help="FLOPs as 1e19, or '40 GPU-hours', or '500 USD'."
        ),
    ],
    plan: PlanOption = None,
    flops_per_second: Annotated[
        str | None,
        typer.Option(
            "--flops-per-second",
            metavar="RATE",
            help="What one GPU sustains in training, as 1.2e14 or '120 TFLOP/s'; for hours, money.",
        ),
    ] = None,
    price: Annotated[
        str | None,
        typer.Option(
            "--price", metavar="PRICE", help="Price of an hour of one GPU, as '2.5 USD'; for money."
        ),
    ] = None,
    spread: Annotated[
        float | None,
        typer.Option(
            "--spread",
            metavar="POINTS",
            help="Standard deviation of the targets' accuracies in points. [known targets']",
        ),
    ] = None,
    metric: Annotated[
        str,
        typer.Option(
            "--metric", metavar="NAME", help="Whose published errors count: rbridge or label_nll."
        ),
    ] = "rbridge",
    keep_last: Annotated[
        bool,
        typer.Option(
            "--keep-last",
            help="Keep the plan's last stage with its transfer function; design those before it.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write the plan to this YAML file."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the simulation.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Propose sizes, seeds and survivors of each rung for a budget, and write the plan."""
    with errors():
        import dataselect as ds
        from dataselect.report.console import terminal
        from dataselect.report.tables.design import print_design

        made = ds.design(
            manifest,
            budget,
            plan,
            flops_per_second=flops_per_second,
            price=price,
            spread=spread,
            metric=metric,
            keep_last=keep_last,
            seed=seed,
            command=this_command(),
        )
        if out is not None:
            made.write(out)
        if as_json:
            print_json({**made.document, "plan_file": None if out is None else str(out)})
            return
        console = terminal()
        print_design(made.document, console)
        if out is not None:
            console.print(f"plan: {out}", markup=False, highlight=False)
