"""`dataselect traces mark`: mark the key steps of reasoning."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dataselect.cli.common import errors, notes
from dataselect.cli.completion import benchmarks as benchmark_names
from dataselect.cli.options import DEFAULT_TRACES, FolderOption, LimitOption
from dataselect.cli.traces import OutFile, one_benchmark, report, say_written

if TYPE_CHECKING:
    from dataselect.benchmarks.marks import Rule
    from dataselect.traces.trace import TraceSet


class RuleName(StrEnum):
    """What a rule marks."""

    numbers = "numbers"
    operators = "operators"
    content = "content"


def mark(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Reasoning by item, with <span> marks or for --by: JSONL with id and reasoning, "
            "or a trace file.",
        ),
    ],
    by: Annotated[
        RuleName | None,
        typer.Option("--by", help="Mark by a rule, in place of marks in FILE; for ablation."),
    ] = None,
    onto: Annotated[
        Path | None,
        typer.Option(
            "--onto", metavar="FILE", help="Trace file whose traces get FILE's marks and are kept."
        ),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(
            "--benchmarks",
            metavar="NAME",
            autocompletion=benchmark_names,
            help="Whose items JSONL is of, where there is no --onto.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="NAME", help="Name of the model that wrote the JSONL's reasoning."
        ),
    ] = "given",
    folder: FolderOption = None,
    limit: LimitOption = None,
    out: OutFile = None,
) -> None:
    """Mark key steps: take <span> marks from reasoning, or propose them by a rule."""
    from dataselect.errors import InputError
    from dataselect.traces import marking
    from dataselect.traces.library import trace_path
    from dataselect.traces.recording.texts import is_trace_file, read_reasoning
    from dataselect.traces.trace import read_traces, write_traces

    with errors(), notes(report):
        if by is not None and onto is not None:
            raise InputError("--by", "the marks are FILE's with --onto", "give one of the two")
        made: TraceSet
        if onto is not None:
            made = marking.onto(read_traces(onto), read_reasoning(file), file.name)
        elif by is not None and is_trace_file(file):
            made = marking.by_rule(read_traces(file), by.value)
        elif is_trace_file(file):
            raise InputError(
                file, "it is a trace file", "give --by RULE, or the marked reasoning and --onto"
            )
        elif benchmark is None:
            raise InputError("--benchmarks", "it says whose items FILE is of", "give it, or --onto")
        else:
            chosen = one_benchmark(benchmark, folder, limit)
            rule: Rule | None = None if by is None else by.value
            made = marking.from_texts(chosen, read_reasoning(file), model, rule)
        header = made.header
        path = out or trace_path(DEFAULT_TRACES, header.benchmark, f"{header.model}-marked")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_traces(path, header, made.traces.values(), made.exclusions)
        say_written(path, made)
