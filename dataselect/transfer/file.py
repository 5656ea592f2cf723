"""The JSON file that holds fitted transfer functions, one per benchmark.

Such files are shared between teams and edited by hand, so they are checked strictly: unknown or
missing fields, wrong types, numbers that are not finite and repeated benchmarks are refused. The
refits that intervals need are in the file, so nothing is fitted again when it is read.

Schema 2 added what a robust fit needs (sigmoids, knots, bounds, unknown settings), schema 3 the
number of datasets and what is known of new ones and of later checkpoints. Files of schema 1 and 2
are still read; the fields they lack have defaults that keep their meaning. Whoever edits a file
removes its `sha256`, which is of the content as it was written.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dataselect.errors import InputError
from dataselect.formats.jsonfile import parse_json, read_json, sealed_json
from dataselect.transfer.function import TransferFunction

_FIX = "fit the function again, or fix that field"


class _File(BaseModel):
    """The file: the functions as their dataclasses define them, and the schema version."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, frozen=True, populate_by_name=True
    )
    version: Annotated[Literal[1, 2, 3], Field(alias="schema")]
    functions: list[TransferFunction]


def to_json(functions: Iterable[TransferFunction]) -> str:
    """Text of a transfer file: {"schema": 3, "functions": [...], "sha256": ...}; deterministic."""
    file = _File(version=3, functions=list(functions))
    return sealed_json(file.model_dump_json(by_alias=True), indent=2)


def from_json(text: str | bytes, where: str | Path) -> dict[str, TransferFunction]:
    """Functions by benchmark from a transfer file's text; `where` names the file in errors.

    Raises InputError for the first fault, naming the field, as in `functions.0.r2`.
    """
    return _by_benchmark(parse_json(_File, text, where, _FIX), where)


def read_transfer_file(path: Path) -> dict[str, TransferFunction]:
    """Functions by benchmark from a file. Raises InputError as `from_json`, or if unreadable."""
    return _by_benchmark(read_json(_File, path, _FIX), path)


def _by_benchmark(file: _File, where: str | Path) -> dict[str, TransferFunction]:
    functions = {function.benchmark: function for function in file.functions}
    if not functions:
        raise InputError(where, "it holds no transfer function", "fit one first")
    if len(functions) < len(file.functions):
        raise InputError(
            where, "a benchmark has more than one transfer function", "leave one for each"
        )
    return functions
