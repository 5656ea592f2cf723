"""Sections of a YAML file as pydantic models, with line and column in every error.

`Section` is one mapping of such a file and `Document` a whole file; `read` returns the model or
raises one InputError, for the first fault in the file. Faults in the data on disk (a missing file,
a missing column) are found by the code that reads it; `where` gives it the place for the message.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    PrivateAttr,
    ValidationError,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails

from dataselect.config.yamlfile import KeyPath, Positions, dotted, load
from dataselect.errors import InputError
from dataselect.wording import is_id, nearest, quoted, slug


def _check_id(text: str) -> str:
    if is_id(text):
        return text
    example = f", such as {slug(text)!r}" if slug(text) else ""
    raise ValueError(
        f"{quoted(text)} is not an id; use 1 to 64 of a-z 0-9 . _ - and begin with a letter or"
        f" digit{example} (any text may stand in 'title')"
    )


Id = Annotated[str, AfterValidator(_check_id)]
"""A pydantic field for an id: it names files and appears in reports."""


def _check_text(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty; write some, or leave the key out")
    return text


Text = Annotated[str, AfterValidator(_check_text)]
"""A pydantic field for text that is not empty."""


class FieldError(ValueError):
    """Raised by a validator when the fault is at one of several keys.

    `path` leads from the section under validation to that key. Where the section or the field
    itself is the place, a plain ValueError with the text "problem; fix" is enough.
    """

    def __init__(self, problem: str, fix: str, *path: str | int) -> None:
        self.path = path
        super().__init__(f"{problem}; {fix}")


class Section(BaseModel):
    """One mapping of a YAML file: refuses unknown keys; a docstring under each field."""

    # Not use_attribute_docstrings: it reads the source of every section at every start.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @classmethod
    def field_docs(cls) -> dict[str, str]:
        """The docstring under each field, of those that have one, for the reference pages."""
        found = {
            name: doc
            for base in cls.__bases__
            if issubclass(base, Section)
            for name, doc in base.field_docs().items()
        }
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        lines = body.body if isinstance(body, ast.ClassDef) else []
        for line, below in pairwise(lines):
            match line, below:
                case (
                    ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(doc))),
                ):
                    found[name] = inspect.cleandoc(doc)
        return found

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The JSON schema with `field_docs`, for editors and other readers of it."""
        found = handler(core_schema)
        properties = handler.resolve_ref_schema(found)["properties"]
        for name, doc in cls.field_docs().items():
            properties[name]["description"] = doc
        return found

    def _require_one(self, first: str, second: str, fix: str = "") -> None:
        """Raise ValueError unless exactly one of two keys has a value."""
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
    """Name of the output folder. Default: the file name without its ending."""

    _positions: Positions = PrivateAttr(default_factory=lambda: Positions(Path("(in memory)")))

    @property
    def file(self) -> Path:
        """The file that it was read from."""
        return self._positions.file

    @property
    def base(self) -> Path:
        """The folder of the file; paths in it are relative to this folder."""
        return self._positions.file.parent

    def where(self, *path: str | int) -> str:
        """`file:line:column` of a key, for errors that are found in the data on disk."""
        return self._positions.of(path)

    def document_at(self, model: type["DocumentT"], key: str) -> "DocumentT":
        """The document written out under `key` of this one, in place of a file name."""
        positions = self._positions.below((key,))
        document = validate(model, {"name": self.name, **getattr(self, key)}, positions)
        document._positions = positions
        return document


SectionT = TypeVar("SectionT", bound=Section)
DocumentT = TypeVar("DocumentT", bound=Document)


def read(model: type[DocumentT], path: Path) -> DocumentT:
    """The document in the file `path`. Raises one InputError, with line and column."""
    data, positions = load(path)
    document = validate(model, {"name": slug(path.stem), **data}, positions)
    document._positions = positions
    return document


def in_memory(model: type[DocumentT], data: Mapping[str, Any]) -> DocumentT:
    """The document made from plain values in place of a file. InputErrors name the key."""
    title = model.__name__.lower()
    places = _Keys(Path(f"{title} (a mapping)"))
    try:
        document = validate(model, {"name": title, **data}, places)
    except InputError as error:  # its problem names the key already
        raise InputError(places.file, error.problem, error.fix) from None
    document._positions = places
    return document


class _Keys(Positions):
    """Positions in values that come from no file: the key in place of line and column."""

    def of(self, path: KeyPath) -> str:
        return f"{self.file}, {dotted(path)}" if path else str(self.file)


def validate(model: type[SectionT], data: Mapping[str, Any], positions: Positions) -> SectionT:
    """`data` as a `model`. Raises one InputError, for the first fault in the file.

    An unknown key is reported before a missing key of the same section: it is often a typo of it.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        faults: dict[KeyPath, list[ErrorDetails]] = {}
        for detail in error.errors(include_url=False):
            faults.setdefault(_path_of(detail, data), []).append(detail)
    # A union reports each of its branches: the deepest path is of the branch that was meant.
    paths = [p for p in faults if not any(q != p and q[: len(p)] == p for q in faults)]
    unknown = {p[:-1] for p in paths if faults[p][0]["type"] == "extra_forbidden"}

    def order(path: KeyPath) -> tuple[bool, tuple[int, int]]:
        may_be_typo = faults[path][0]["type"] == "missing" and path[:-1] in unknown
        return may_be_typo, positions.mark(path)

    first = min(paths, key=order)
    problem, fix = _describe(model, first, faults[first], positions)
    raise InputError(positions.of(first), problem, fix)


def _path_of(detail: ErrorDetails, data: Any) -> KeyPath:
    """The place of a pydantic error in `data`, without the branches of unions in its `loc`."""
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
        details = [d for d in details if d["type"] != "string_type"] or details
    expected = " or ".join(dict.fromkeys(_expected(d) for d in details))
    spelling = positions.spelling(path)
    text_expected = any(d["type"] == "string_type" for d in details)
    if text_expected and isinstance(value, bool | int | float) and spelling is not None:
        meaning = "true or false" if isinstance(value, bool) else "a number"
        return f"{prefix}{spelling} means {meaning} here", f"put text in quotes: '{spelling}'"
    fix = f"write {expected}"
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall("'([^']*)'", expected)
        fix = f"{nearest(value, choices)} {fix}".strip()
    return f"{prefix}{_describe_value(value, spelling)} does not fit", fix


def _describe_value(value: object, spelling: str | None) -> str:
    if value is None:
        return "an empty value"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    return quoted(value) if isinstance(value, str) or spelling is None else spelling


def _expected(detail: ErrorDetails) -> str:
    """What pydantic expected, in terms of YAML."""
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
    """The keys that the section at `path` may have, in the order of its fields."""
    sections = [model]
    for step in path:
        if isinstance(step, str):
            annotations = [
                s.model_fields[step].annotation for s in sections if step in s.model_fields
            ]
            inner = [section for a in annotations for section in _sections_in(a)]
            sections = inner or sections
    # Several where a section has one of several forms.
    return list(dict.fromkeys(key for section in sections for key in section.model_fields))


def _sections_in(annotation: Any) -> list[type[Section]]:
    """The section types inside `Proxy | None`, `list[Source]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections_in(part)]
