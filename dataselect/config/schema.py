"""Sections of a YAML file as pydantic models, with line and column in every error.

`Section` is one mapping of such a file and `Document` a whole file; `read` gives the model or
raises one InputError, for the fault that comes first in the file. Faults that only the data on
disk can show (a missing file, a missing column) are left to what reads that data; `where` gives
it the place to name.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from dataselect.config.yamlfile import KeyPath, Positions, dotted, load
from dataselect.errors import InputError
from dataselect.wording import is_id, nearest, quoted, slug


def _check_id(text: str) -> str:
    if is_id(text):
        return text
    such = f", such as {slug(text)!r}" if slug(text) else ""
    raise ValueError(
        f"{quoted(text)} is not an id; use 1 to 64 of a-z 0-9 . _ - and begin with a letter or"
        f" digit{such} (a free title may stand in 'title')"
    )


Id = Annotated[str, AfterValidator(_check_id)]
"""A pydantic field for an id: it names files and appears in reports, so it is kept plain."""


def _check_text(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty; write some, or leave the key out")
    return text


Text = Annotated[str, AfterValidator(_check_text)]
"""A pydantic field for text that is not empty."""


class FieldError(ValueError):
    """What a validator raises when the fault lies at one of several keys.

    `path` leads from the section under validation to that key. A plain ValueError with the text
    "problem; fix" does where the section or the field itself is the place.
    """

    def __init__(self, problem: str, fix: str, *path: str | int) -> None:
        self.path = path
        super().__init__(f"{problem}; {fix}")


class Section(BaseModel):
    """One mapping of a YAML file: unknown keys refused, a docstring under each field."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    def _require_one(self, first: str, second: str, fix: str = "") -> None:
        """Raise unless exactly one of two keys has a value."""
        given = [key for key in (first, second) if getattr(self, key) is not None]
        if not given:
            raise ValueError(
                f"neither {first!r} nor {second!r} is given; {fix or 'give one of them'}"
            )
        if len(given) == 2:
            raise FieldError(f"{first!r} is given as well", "keep one of the two", second)


class Document(Section):
    """A whole YAML file."""

    name: Id
    """Names the folder of what comes out. Default: the name of the file without its ending."""

    _positions: Positions = PrivateAttr(default_factory=lambda: Positions(Path("(in memory)")))

    @property
    def base(self) -> Path:
        """The folder of the file, which the paths in it are relative to."""
        return self._positions.file.parent

    def where(self, *path: str | int) -> str:
        """`file:line:column` of a key, for errors that only the data on disk can show."""
        return self._positions.of(path)

    def document_at(self, model: type["DocumentT"], key: str) -> "DocumentT":
        """The document that is written out under `key` of this one instead of being named."""
        positions = self._positions.below((key,))
        document = validate(model, {"name": self.name, **getattr(self, key)}, positions)
        document._positions = positions
        return document


SectionT = TypeVar("SectionT", bound=Section)
DocumentT = TypeVar("DocumentT", bound=Document)


def read(model: type[DocumentT], path: Path) -> DocumentT:
    """The document in the file `path`; raises one InputError with line and column."""
    data, positions = load(path)
    document = validate(model, {"name": slug(path.stem), **data}, positions)
    document._positions = positions
    return document


def in_memory(model: type[DocumentT], data: Mapping[str, Any]) -> DocumentT:
    """The document that plain values make, as a file of them would; errors name the key."""
    title = model.__name__.lower()
    places = _Keys(Path(f"{title} (a mapping)"))
    try:
        document = validate(model, {"name": title, **data}, places)
    except InputError as error:  # which says the key in its own words
        raise InputError(places.file, error.problem, error.fix) from None
    document._positions = places
    return document


class _Keys(Positions):
    """Places in values that have no lines."""

    def of(self, path: KeyPath) -> str:
        return f"{self.file}, {dotted(path)}" if path else str(self.file)


def validate(model: type[SectionT], data: Mapping[str, Any], positions: Positions) -> SectionT:
    """`data` as a `model`; raises an InputError for the fault that comes first in the file.

    Equal places: an unknown key goes before the key that is missing because of it.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults: dict[KeyPath, list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False):
            faults.setdefault(_path_of(detail, data), []).append(detail)
    # A union reports each of its branches: the one that went deepest is the one that was meant.
    paths = [p for p in faults if not any(q != p and q[: len(p)] == p for q in faults)]
    unknown = {p[:-1] for p in paths if faults[p][0]["type"] == "extra_forbidden"}

    def order(path: KeyPath) -> tuple[bool, tuple[int, int]]:
        explained = faults[path][0]["type"] == "missing" and path[:-1] in unknown
        return explained, positions.mark(path)

    first = min(paths, key=order)
    problem, fix = _describe(model, first, faults[first], positions)
    raise InputError(positions.of(first), problem, fix)


def _path_of(detail: ErrorDetails, data: Any) -> KeyPath:
    """The place in `data` of a pydantic error, whose own path also names branches of unions."""
    path: list[str | int] = []
    value = data
    for i, step in enumerate(detail["loc"], start=1):
        inside = (
            step in value
            if isinstance(value, Mapping)
            else isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if inside:
            path.append(step)
            value = value[step]
        elif detail["type"] == "missing" and i == len(detail["loc"]):
            path.append(step)
    error = detail.get("ctx", {}).get("error")
    return (*path, *error.path) if isinstance(error, FieldError) else tuple(path)


def _describe(
    model: type[Section], path: KeyPath, details: list[ErrorDetails], positions: Positions
) -> tuple[str, str]:
    """Problem and fix for the faults found at one place (several from a union)."""
    detail = details[0]
    kind, value = detail["type"], detail["input"]
    parent, key = dotted(path[:-1]), str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        keys = _keys_at(model, path[:-1])
        problem = f"unknown key {quoted(key)}" + (f" in {parent}" if parent else "")
        listed = f"(keys: {', '.join(keys)})"
        return problem, f"{nearest(key, keys) or 'remove it or fix its name'} {listed}"
    if kind == "missing":
        return f"{parent or 'the file'} has no {key!r}", f"add '{key}:'"
    prefix = f"{dotted(path)}: " if path else ""
    if kind == "value_error":
        problem, _, fix = str(detail["ctx"]["error"]).partition("; ")
        return prefix + problem, fix
    if isinstance(value, list):
        details = [each for each in details if each["type"] != "string_type"] or details
    wanted = " or ".join(dict.fromkeys(_wanted(each) for each in details))
    spelling = positions.spelling(path)
    texts = any(each["type"] == "string_type" for each in details)
    if texts and isinstance(value, bool | int | float) and spelling is not None:
        what = "true or false" if isinstance(value, bool) else "a number"
        return f"{prefix}{spelling} means {what} here", f"put text in quotes: '{spelling}'"
    fix = f"write {wanted}"
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall("'([^']*)'", wanted)
        fix = f"{nearest(value, choices)} {fix}".strip()
    return f"{prefix}{_shown(value, spelling)} does not fit", fix


def _shown(value: object, spelling: str | None) -> str:
    if value is None:
        return "an empty value"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return quoted(value) if isinstance(value, str) or spelling is None else spelling


def _wanted(detail: ErrorDetails) -> str:
    """What pydantic wanted, in the words of someone who writes YAML."""
    limits = {
        "greater_than": "a number above {gt:g}",
        "greater_than_equal": "a number of at least {ge:g}",
        "less_than": "a number below {lt:g}",
        "less_than_equal": "a number of at most {le:g}",
        "too_short": "{min_length} or more entries",
        "literal_error": "{expected}",
        "string_type": "text",
        "list_type": "a list",
        "dict_type": "a mapping ('key: value' lines)",
        "model_type": "a mapping ('key: value' lines)",
        "finite_number": "a finite number",
    }
    kind = detail["type"]
    if kind in limits:
        return limits[kind].format(**detail.get("ctx", {}))
    families = {"float": "a number", "int": "a whole number", "bool": "true or false"}
    return families.get(kind.split("_")[0], detail["msg"].lower())


def _keys_at(model: type[Section], path: KeyPath) -> list[str]:
    """The keys that the section at `path` may have, in the order of their documentation."""
    sections = [model]
    for step in path:
        if isinstance(step, str):
            annotations = [
                s.model_fields[step].annotation for s in sections if step in s.model_fields
            ]
            sections = [found for each in annotations for found in _sections_in(each)] or sections
    return list(sections[0].model_fields)


def _sections_in(annotation: Any) -> list[type[Section]]:
    """The section types inside `Proxy | None`, `list[Source]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for each in get_args(annotation) for found in _sections_in(each)]
