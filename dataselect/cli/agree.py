"""`dataselect agree`: how well proxies' scores rank candidates whose targets are known."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import errors, print_json


def agree(
    proxy: Annotated[
        Path,
        typer.Argument(
            metavar="PROXY.csv",
            help="Scores of proxies: 'id' and a column for each metric; 'seed', 'size' if any.",
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET.csv", help="Accuracy of the targets: 'id' and columns; 'seed' if any."
        ),
    ],
    lower_is_better: Annotated[
        bool, typer.Option("--lower-is-better", help="Of the proxy's scores, as with losses.")
    ] = False,
    target_lower_is_better: Annotated[
        bool, typer.Option("--target-lower-is-better", help="Of the target's, likewise.")
    ] = False,
    top: Annotated[
        str | None,
        typer.Option("--top", help="How many of the proxy's best to look at, with commas. [1,3,5]"),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=100, help="Bootstrap draws for the intervals.")
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the bootstrap.")] = 0,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Share that intervals are to cover.")
    ] = 0.9,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare how proxies rank candidates with how their targets do, from two CSV files."""
    with errors():
        from rich.console import Console

        import dataselect as ds
        from dataselect.report.tables.agreements import print_agreements

        found = ds.agree(
            proxy,
            target,
            lower_is_better=lower_is_better,
            target_lower_is_better=target_lower_is_better,
            top=_counts(top) if top is not None else (),
            draws=draws,
            seed=seed,
            confidence=confidence,
        )
        if as_json:
            print_json(found.document)
        else:
            print_agreements(found.document, Console())


def _counts(text: str) -> tuple[int, ...]:
    from dataselect.errors import InputError
    from dataselect.wording import quoted

    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = (0,)
    if min(counts) < 1:
        raise InputError("--top", f"{quoted(text)} is no list of counts", "write one like 1,3,5")
    return counts
