"""`dataselect fit`: transfer functions from a table of proxy scores and target accuracies."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import errors, print_json, this_command, write_out


class Protocol(StrEnum):
    """How functions are fitted and judged."""

    robust = "robust"
    paper = "paper"


def fit(
    pairs: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS.csv",
            help="Columns benchmark, metric, accuracy; optional tokens, group, chance.",
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
            help="JSON file of what the pairs were measured with: sizes, tokenizer, traces, ...",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the transfer functions to this file.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Draws the five folds.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Fit transfer functions from proxy scores to target accuracy, and say how good they are."""
    from rich.console import Console

    from dataselect.report.tables.fits import fit_document, print_fit
    from dataselect.transfer.file import to_json
    from dataselect.transfer.function import Provenance
    from dataselect.transfer.pairs import read_pairs
    from dataselect.transfer.protocols import (
        PaperFit,
        RobustFit,
        find_direction,
        fit_paper,
        fit_robustly,
    )
    from dataselect.transfer.setting_file import SettingFile, read_setting

    with errors():
        file = read_pairs(pairs)
        settings = read_setting(setting) if setting is not None else SettingFile()
        direction = find_direction(file.benchmarks, lower_is_better)
        fits: dict[str, PaperFit | RobustFit] = {}
        for name, of_one in file.benchmarks.items():
            provenance = Provenance(
                settings.of(name), settings.calibration or pairs.name, this_command()
            )
            fits[name] = (
                fit_paper(of_one, provenance, seed)
                if protocol is Protocol.paper
                else fit_robustly(of_one, provenance, seed, falling=direction.lower_is_better)
            )
        if out is not None:
            write_out(out, to_json(each.function for each in fits.values()))
        facts = {
            "file": str(pairs),
            "protocol": protocol.value,
            "seed": seed,
            "lower_is_better": direction.lower_is_better,
            "direction_from": direction.origin,
            "functions_file": str(out) if out is not None else None,
        }
        document = fit_document(
            file, fits, direction.correlations, facts, [*file.notes, *direction.notes]
        )
        if as_json:
            print_json(document)
            return
        console = Console()
        print_fit(document, console)
        if out is not None:
            console.print(f"transfer functions: {out}", markup=False, highlight=False)
