"""`dataselect doctor`: whether this machine and its environment can do what a run needs."""

from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.common import DEFAULT_STORE, JsonOption, StoreOption, errors, print_json
from dataselect.cli.completion import manifests
from dataselect.cli.options import KeyVariable
from dataselect.cli.run import PlanOption


def doctor(
    manifest: Annotated[
        Path | None,
        typer.Argument(
            metavar="MANIFEST",
            autocompletion=manifests,
            show_default=False,
            help="Also check what a run of this manifest needs.",
        ),
    ] = None,
    plan: PlanOption = None,
    store: StoreOption = DEFAULT_STORE,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the report.")] = Path(
        "reports"
    ),
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="Also ask this frontier model up to five short questions.",
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option("--base-url", metavar="URL", help="Server of --model. [OpenAI's]"),
    ] = None,
    key_variable: KeyVariable = "OPENAI_API_KEY",
    as_json: JsonOption = False,
) -> None:
    """Check environment, GPUs, disk, Hub and engines, with a fix for what is not in order.

    Nothing is changed, and no key or token is printed. Exit code 3 if there is a problem.
    """
    with errors():
        from dataselect.api.doctor import doctor as examine
        from dataselect.report.console import terminal
        from dataselect.report.tables.findings import FindingsTable

        console = terminal()
        shown = FindingsTable(console)
        examination = examine(
            manifest,
            plan,
            store=store,
            out=out,
            base_url=base_url,
            model=model,
            key_variable=key_variable,
            on_finding=None if as_json else shown.show,
        )
        if as_json:
            print_json(examination.document)
        else:
            console.print(examination.verdict, style="bold", markup=False, highlight=False)
    if not examination.sound:
        raise typer.Exit(3)
