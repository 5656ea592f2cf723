"""Options of several commands that score models or read benchmarks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataselect.cli.completion import benchmarks
from dataselect.traces.library import TRACES_FOLDER

DEFAULT_TRACES = Path(TRACES_FOLDER)
BenchmarkOption = Annotated[
    str,
    typer.Option(
        "--benchmarks",
        metavar="NAME",
        autocompletion=benchmarks,
        help="A known benchmark, or the YAML file of your own.",
    ),
]
"""Of commands that take one. The name is that of commands that take several."""
FolderOption = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        help="Folder that holds the benchmarks as JSONL files. [the Hub]",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", metavar="N", min=1, help="Only the first N items of each benchmark."),
]


class Device(StrEnum):
    """Where models run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[Device, typer.Option("--device", help="auto takes a GPU if there is one.")]

KeyVariable = Annotated[
    str,
    typer.Option("--key-variable", metavar="NAME", help="Environment variable that holds the key."),
]
EveryBenchmark = Annotated[
    bool,
    typer.Option(
        "--every-benchmark",
        help="Take means over benchmarks whose score says nothing, too.",
    ),
]
