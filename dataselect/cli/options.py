"""Options of several commands that score models or read benchmarks."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dataselect.traces.library import TRACES_FOLDER

DEFAULT_TRACES = Path(TRACES_FOLDER)
FolderOption = Annotated[
    Path | None,
    typer.Option("--folder", help="Folder that holds the benchmarks as JSONL files. [the Hub]"),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="Only the first LIMIT items of each benchmark.")
]


class Device(StrEnum):
    """Where models run."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[Device, typer.Option("--device", help="auto takes a GPU if there is one.")]

EveryBenchmark = Annotated[
    bool,
    typer.Option(
        "--every-benchmark",
        help="Take means over benchmarks whose score says nothing, too.",
    ),
]
