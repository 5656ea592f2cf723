"""`dataselect mix swarm MANIFEST`: mixtures to train with one's own trainer."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import JsonOption, errors, print_json
from dataselect.cli.interrupts import this_command
from dataselect.cli.run import ManifestFile


def swarm(
    manifest: ManifestFile,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Write the swarm into this folder.")
    ],
    runs: Annotated[
        int | None,
        typer.Option("--runs", help="Models to train. [three for each source that is new]"),
    ] = None,
    constraints: Annotated[
        Path | None,
        typer.Option(
            "--constraints", metavar="YAML", help="Tokens, bounds, prior, parts of the sources."
        ),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--sources", metavar="NAMES", help="Sources to mix, as a,b. Repeatable. [all texts]"
        ),
    ] = None,
    export: Annotated[
        list[str] | None,
        typer.Option(
            "--export", metavar="NAMES", help="Trainers to write for, as a,b. Repeatable. [weights]"
        ),
    ] = None,
    tokens: Annotated[
        str | None, typer.Option("--tokens", help="Tokens that each run trains on, such as 5B.")
    ] = None,
    target_epochs: Annotated[
        bool,
        typer.Option(
            "--target-epochs", help="Cut texts so that runs read them as often as the target."
        ),
    ] = False,
    replicates: Annotated[
        int, typer.Option("--replicates", min=0, help="Runs of the prior, with different seeds.")
    ] = 2,
    reuse: Annotated[
        Path | None,
        typer.Option(
            "--reuse",
            metavar="EARLIER",
            help="A trained swarm (its folder or ratios.csv) that these runs are added to.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the design.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Design mixtures to train with your own trainer, and write its configurations."""
    with errors():
        import dataselect as ds
        from dataselect.report.console import terminal
        from dataselect.report.mixture.swarm import print_swarm

        made = ds.design_swarm(
            manifest,
            runs=runs,
            constraints=constraints,
            sources=_listed(sources),
            tokens=tokens,
            target_epochs=target_epochs,
            replicates=replicates,
            reuse=reuse,
            export=_listed(export) or "weights",
            seed=seed,
            command=this_command(),
        )
        made.write(out)
        if as_json:
            print_json(made.document)
            return
        console = terminal()
        print_swarm(made.design, made.notes, console)
        console.print(f"files: {out}; read its README.md first", markup=False, highlight=False)


def _listed(given: list[str] | None) -> list[str] | None:
    if not given:
        return None
    return [name.strip() for text in given for name in text.split(",")]
