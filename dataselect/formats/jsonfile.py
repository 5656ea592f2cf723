"""Strict JSON as pydantic models, with the first fault in one line.

Files that this package writes for people carry a SHA-256 of their content (`store.sealed`): where
it is of other content the file is refused, because a flipped bit is often another number. A file
without one is read, as those of older versions and those that were edited on purpose.

Not covered: JSON lines (`benchmarks.jsonl`), and YAML, whose errors have lines (`config.schema`).
"""

import json
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from dataselect.errors import InputError
from dataselect.formats.similar_files import JSON_FILES, unreadable
from dataselect.store.sealed import SEAL, SpoiltError, sealed, unsealed
from dataselect.strict_json import whole_number
from dataselect.wording import quoted

Model = TypeVar("Model", bound=BaseModel)


def read_json(model: type[Model], path: Path, fix: str) -> Model:
    """The file `path` as a `model`. Raises InputError; `fix` is the advice for an invalid field."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error, JSON_FILES, "check its name") from None
    return parse_json(model, data, path, fix)


def sealed_json(text: str, indent: int | None = None) -> str:
    """The text of a JSON object with a checksum of its content, which `read_json` compares."""
    content = sealed(json.loads(text))
    return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def parse_json(model: type[Model], data: str | bytes, where: str | Path, fix: str) -> Model:
    """JSON text as a `model`. Raises InputError with the field, as in `functions.0.r2`.

    A key that an object has twice is refused: JSON readers keep one of the two in silence. So are
    whole numbers beyond all floats, on which arithmetic would fail later, and content that was
    changed after it was written (`sealed_json`).
    """
    content = _refuse_odd(data, where)
    if isinstance(content, dict) and SEAL in content:
        data = json.dumps({key: value for key, value in content.items() if key != SEAL})
    try:
        found = model.model_validate_json(data)
    except ValidationError as invalid:
        error = invalid.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, error["loc"]))
        problem = f"{field}: {error['msg']}" if field else error["msg"]
        raise InputError(where, problem, fix) from None
    # Last, since a field that cannot be says more.
    refuse_changes(content, where)
    return found


def refuse_changes(content: Any, where: str | Path) -> Any:
    """JSON content without the checksum that it carries; what carries none is returned as it is.

    Raises InputError where an object was changed after it was written.
    """
    if not isinstance(content, dict):
        return content
    try:
        return unsealed(content)
    except SpoiltError:
        raise InputError(
            where,
            f"its content was changed after it was written (it does not agree with its {SEAL})",
            f"get or write the file again; to keep the change, remove {SEAL!r}",
        ) from None


def _refuse_odd(data: str | bytes, where: str | Path) -> object:
    """What the JSON says; None where it is none. Raises InputError for what only looks like it."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        counts = Counter(key for key, _ in pairs)
        repeated = next((key for key, count in counts.items() if count > 1), None)
        if repeated is not None:
            raise InputError(where, f"the key {quoted(repeated)} comes twice", "keep one of them")
        return dict(pairs)

    def whole(digits: str) -> int:
        try:
            return whole_number(digits)
        except ValueError as error:
            raise InputError(where, str(error), "correct it") from None

    # What is no JSON is told by the model, with the place.
    with suppress(ValueError, RecursionError):
        return json.loads(data, object_pairs_hook=once, parse_int=whole)
    return None
