"""`dataselect agree`: how well proxies' scores rank candidates whose targets are known."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import JsonOption, errors, print_json


def agree(
    proxy: Annotated[
        Path,
        typer.Argument(
            metavar="PROXY.csv",
            help="Proxy scores: 'id' and a column for each metric; optional 'seed', 'size'.",
        ),
    ],
    target: Annotated[
        Path,
        typer.Argument(
            metavar="TARGET.csv",
            help="Target scores: 'id' and a column for each metric; optional 'seed'.",
        ),
    ],
    lower_is_better: Annotated[
        bool,
        typer.Option("--lower-is-better", help="Lower proxy scores are better, as with losses."),
    ] = False,
    target_lower_is_better: Annotated[
        bool, typer.Option("--target-lower-is-better", help="Lower target scores are better.")
    ] = False,
    lower: Annotated[
        str | None,
        typer.Option(
            "--lower",
            metavar="COLUMNS",
            help="Lower is better for these proxy metrics alone, as in nll,ppl.",
        ),
    ] = None,
    target_lower: Annotated[
        str | None,
        typer.Option(
            "--target-lower", metavar="COLUMNS", help="The same for these target columns alone."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            "--only", metavar="COLUMNS", help="Compare these proxy metrics alone, as in nll,ppl."
        ),
    ] = None,
    target_only: Annotated[
        str | None,
        typer.Option(
            "--target-only", metavar="COLUMNS", help="Compare with these target columns alone."
        ),
    ] = None,
    trust_direction: Annotated[
        bool,
        typer.Option("--trust-direction", help="Do not check the direction by names of columns."),
    ] = False,
    counts: Annotated[
        Path | None,
        typer.Option(
            "--counts",
            metavar="COUNTS.csv",
            help="Scores of the candidates by counting words, from score ngram:TEXT.",
        ),
    ] = None,
    ablate: Annotated[
        bool,
        typer.Option(
            "--ablate",
            help="Compare each metric with counting words, or else with the first, on the same "
            "candidates.",
        ),
    ] = False,
    top: Annotated[
        str | None,
        typer.Option(
            "--top",
            metavar="COUNTS",
            help="Evaluate choosing among the proxy's best k: comma-separated k. [1,3,5]",
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=100, help="Bootstrap draws for the intervals.")
    ] = 2000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the bootstrap.")] = 0,
    confidence: Annotated[
        float, typer.Option("--confidence", help="Share that intervals cover.")
    ] = 0.9,
    as_json: JsonOption = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the JSON to this file, which a plan's 'discrepancy' can name.",
        ),
    ] = None,
) -> None:
    """Compare how proxies rank candidates with how their targets do, from two CSV files."""
    with errors():
        import dataselect as ds
        from dataselect.report.console import terminal
        from dataselect.report.tables.agreements import print_agreements

        agreements = ds.agree(
            proxy,
            target,
            lower_is_better=_columns("lower", lower, lower_is_better),
            target_lower_is_better=_columns("target-lower", target_lower, target_lower_is_better),
            top=_counts(top) if top is not None else (),
            draws=draws,
            seed=seed,
            confidence=confidence,
            only=_named(only),
            target_only=_named(target_only),
            trust_direction=trust_direction,
            counts=counts,
            ablate=ablate,
        )
        if out is not None:
            agreements.write(out)
        if as_json:
            print_json(agreements.document)
        else:
            print_agreements(agreements.document, terminal())


def _columns(option: str, names: str | None, of_all: bool) -> bool | list[str]:
    from dataselect.errors import InputError

    if names is None:
        return of_all
    if of_all:
        raise InputError(f"--{option}", f"--{option}-is-better is given as well", "keep one")
    return _named(names)


def _named(names: str | None) -> list[str]:
    return [] if names is None else [name.strip() for name in names.split(",")]


def _counts(text: str) -> tuple[int, ...]:
    from dataselect.errors import InputError
    from dataselect.wording import quoted

    parts = [part.strip() for part in text.split(",")]
    # Python reads 1_0 as 10 too, and digits of other scripts.
    if not all(part.isascii() and part.isdigit() and int(part[:9]) for part in parts):
        raise InputError("--top", f"{quoted(text)} is not a list of counts", "write one like 1,3,5")
    return tuple(map(int, parts))
