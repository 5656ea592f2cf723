"""Strict JSON as pydantic models, with the first fault in one line.

Not covered: JSON lines (`benchmarks.jsonl`), and YAML, whose errors have lines (`config.schema`).
"""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from dataselect.errors import InputError
from dataselect.formats.similar_files import JSON_FILES, unreadable
from dataselect.wording import quoted

Model = TypeVar("Model", bound=BaseModel)


def read_json(model: type[Model], path: Path, fix: str) -> Model:
    """The file `path` as a `model`. Raises InputError; `fix` is the advice for an invalid field."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, JSON_FILES, "check its name") from None
    return parse_json(model, data, path, fix)


def parse_json(model: type[Model], data: str | bytes, where: str | Path, fix: str) -> Model:
    """JSON text as a `model`. Raises InputError with the field, as in `functions.0.r2`.

    A key that an object has twice is refused: JSON readers keep one of the two in silence.
    """
    _refuse_repeats(data, where)
    try:
        return model.model_validate_json(data)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, error["loc"]))
        problem = f"{field}: {error['msg']}" if field else error["msg"]
        raise InputError(where, problem, fix) from None


def _refuse_repeats(data: str | bytes, where: str | Path) -> None:
    def once(pairs: list[tuple[str, object]]) -> None:
        counts = Counter(key for key, _ in pairs)
        repeated = next((key for key, count in counts.items() if count > 1), None)
        if repeated is not None:
            raise InputError(where, f"the key {quoted(repeated)} comes twice", "keep one of them")

    # What is no JSON is told by the model, with the place.
    with suppress(ValueError, RecursionError):
        json.loads(data, object_pairs_hook=once)
