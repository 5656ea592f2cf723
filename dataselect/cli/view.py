"""`dataselect view`: pages of the items on which the candidates of a run differ most."""

from typing import Annotated

import typer

from dataselect.cli.common import errors, notes, tell
from dataselect.cli.completion import reports
from dataselect.cli.options import Device, DeviceOption

_LARGE = 10_000_000
"""Bytes of a page that a phone takes long to open."""


def view(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            autocompletion=reports,
            help="Folder of a report, or the name of a run.",
        ),
    ],
    items: Annotated[
        int, typer.Option("--items", min=1, help="So many items of each benchmark.")
    ] = 10,
    item: Annotated[
        list[str] | None,
        typer.Option("--item", metavar="ID", help="This one; repeat for several."),
    ] = None,
    benchmarks: Annotated[
        str | None,
        typer.Option("--benchmarks", metavar="NAMES", help="Of these, with commas. [all]"),
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(
            "--candidates",
            help="Show the tokens of these, with commas, and compare the first two. [the first "
            "eight of the ranking]",
        ),
    ] = None,
    stage: Annotated[
        int | None,
        typer.Option("--stage", min=1, help="Of this stage. [the last with two candidates]"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", metavar="DIR", help="The store of the run. [where it recorded itself]"
        ),
    ] = None,
    device: DeviceOption = Device.auto,
) -> None:
    """Write pages of the items on which candidates differ most, token by token."""
    import dataselect as ds
    from dataselect.benchmarks.named import split_names
    from dataselect.report.console import terminal
    from dataselect.report.tables.items import print_items
    from dataselect.wording import message

    console, progress = terminal(), terminal(stderr=True)

    def report(text: str) -> None:
        progress.print(message(text), style="dim", markup=False, highlight=False)

    with errors(resume=True), notes(report):
        shown = ds.view(
            run,
            items=items,
            item=item or (),
            benchmarks=split_names(benchmarks or ""),
            candidates=split_names(candidates or ""),
            stage=stage,
            store=store,
            device=device.value,
            report=report,
        )
        pages = shown.write()
        print_items(shown.benchmarks, console)
        for page in pages:
            tell(page)
            if page.stat().st_size > _LARGE:
                size = page.stat().st_size / 1e6
                report(f"{page.name} has {size:.0f} MB; fewer --items or --candidates open faster")
