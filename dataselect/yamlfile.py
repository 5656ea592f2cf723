"""Strict YAML 1.2 files checked against pydantic models, with line and column in every error.

Ordinary loaders are lenient where a manifest must not be: PyYAML keeps the last of two equal
keys, reads `no` as false and `1.10` as 1.1, and forgets where a value stood. So the node graph
that ruamel.yaml composes is turned into plain values here: core-schema scalars only (a date or
`no` stays text), no tags, no merge keys, no duplicate keys, a bound on what aliases expand to,
and the place and spelling of every value kept for the error messages.

`Section` is one mapping of such a file and `Document` a whole file; `read` gives the model or
raises one InputError, for the fault that comes first in the file. Faults that only the data on
disk can show (a missing file, a missing column) are left to what reads that data; `where` gives
it the place to name. Writing YAML is not covered.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from dataselect.errors import InputError

KeyPath = tuple[str | int, ...]
"""The way to a value from the top of a file: ("candidates", 0, "path")."""

_MOST_BYTES = 8 * 2**20
_MOST_VALUES = 200_000
_TAG = "tag:yaml.org,2002:"
_CONSTANTS = {"true": True, "false": False, "": None, "~": None, "null": None}
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


def quoted(value: object) -> str:
    """`value` for a message: in quotes, on one line, control characters escaped, cut at 64."""
    text = repr(value)
    return text if len(text) <= 66 else f"{text[:64]}…{text[0]}"


def nearest(name: str, choices: Iterable[str]) -> str:
    """ "did you mean 'path'?" for the choice most like `name`, or "" where none is like it."""
    by_folded = {choice.casefold(): choice for choice in choices}
    close = get_close_matches(name.casefold(), by_folded, n=1)
    return f"did you mean {quoted(by_folded[close[0]])}?" if close else ""


def slug(text: str) -> str:
    """`text` made into an id, as near as can be; "" where nothing of it can stay."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.casefold()).strip("._-")[:64].rstrip("._-")


def _check_id(text: str) -> str:
    if _ID.fullmatch(text):
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
    "problem; mend" does where the section or the field itself is the place.
    """

    def __init__(self, problem: str, mend: str, *path: str | int) -> None:
        self.path = path
        super().__init__(f"{problem}; {mend}")


class Positions:
    """Where each key of a file stands, and how its value is spelled there."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._marks: dict[KeyPath, tuple[int, int]] = {(): (1, 1)}
        self._spellings: dict[KeyPath, str] = {}

    def record(self, path: KeyPath, line: int, column: int, spelling: str | None) -> None:
        """Keep line and column, counted from 1, and the spelling of a scalar."""
        self._marks[path] = (line, column)
        if spelling is not None:
            self._spellings[path] = spelling

    def mark(self, path: KeyPath) -> tuple[int, int]:
        """Line and column of the key `path`, or of its nearest parent in the file."""
        while path not in self._marks:
            path = path[:-1]
        return self._marks[path]

    def of(self, path: KeyPath) -> str:
        """`file:line:column` of the key `path`, or of its nearest parent in the file."""
        line, column = self.mark(path)
        return f"{self.file}:{line}:{column}"

    def below(self, path: KeyPath) -> "Positions":
        """The same places, counted from the key `path` instead of the top of the file."""
        inner, depth = Positions(self.file), len(path)
        inner._marks = {k[depth:]: v for k, v in self._marks.items() if k[:depth] == path}
        inner._spellings = {k[depth:]: v for k, v in self._spellings.items() if k[:depth] == path}
        return inner

    def spelling(self, path: KeyPath) -> str | None:
        """The text of a scalar as the file has it (`1.10`, not 1.1); None for other values."""
        return self._spellings.get(path)


class Section(BaseModel):
    """One mapping of a YAML file: unknown keys refused, a docstring under each field."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    def _require_one(self, first: str, second: str, mend: str = "") -> None:
        """Raise unless exactly one of two keys has a value."""
        given = [key for key in (first, second) if getattr(self, key) is not None]
        if not given:
            raise ValueError(
                f"neither {first!r} nor {second!r} is given; {mend or 'give one of them'}"
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


def load(path: Path) -> tuple[dict[str, Any], Positions]:
    """The plain values of a YAML file (dict, list, str, int, float, bool, None) and their places.

    Raises InputError for a file that is missing, empty, too large, not UTF-8 or not YAML, whose
    top level is not a mapping, or that holds what the module docstring rules out.
    """
    text = _read_text(path)
    positions = Positions(path)
    yaml = YAML(typ="safe", pure=True)
    yaml.composer.warn_double_anchors = False
    try:
        root = yaml.compose(text)
        if yaml.resolver.processing_version != (1, 2):
            raise InputError(f"{path}:1:1", "asks for an older YAML", "remove the '%YAML' line")
        if root is None:
            raise InputError(f"{path}:1:1", "the file is empty", "write its keys")
        if not isinstance(root, MappingNode):
            raise InputError(
                f"{path}:1:1", "the file holds no keys", "begin its lines like 'candidates:'"
            )
        values: dict[str, Any] = _Builder(positions).build(root, ())
    except MarkedYAMLError as error:
        raise _syntax_error(path, error) from None
    except ReaderError as error:
        where = _after(path, text[: error.position])
        raise InputError(where, "a control character in the text", "remove it") from None
    except RecursionError:
        raise InputError(path, "the values are nested too deeply", "unnest them") from None
    return values, positions


def _read_text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise InputError(
                path,
                f"the file has {size / 2**20:.0f} MiB, a YAML file here at most 8",
                "name a manifest or plan, not the data",
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        beside = [p.name for p in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        mend = nearest(path.name, beside) or "check the name and the folder"
        raise InputError(path, "there is no such file", mend) from None
    except IsADirectoryError:
        raise InputError(path, "this is a folder", "name a YAML file in it") from None
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "check the file") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        where = _after(path, raw[: error.start].decode("utf-8-sig"))
        raise InputError(where, "the text is not UTF-8", "save the file as UTF-8") from None


def _after(path: Path, text: str) -> str:
    """`file:line:column` of the character that follows `text`."""
    return f"{path}:{text.count(chr(10)) + 1}:{len(text) - text.rfind(chr(10))}"


def _syntax_error(path: Path, error: MarkedYAMLError) -> InputError:
    problem = error.problem or "this is not YAML"
    mark = error.problem_mark or error.context_mark
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
    mends = {
        "'\\t'": "indent with spaces, not tabs",
        "cannot start any token": "put text that begins with it in quotes",
        "mapping values": "put text that holds ': ' in quotes, or mend the indentation",
        "undefined alias": "put text that begins with '*' in quotes",
        "another document": "keep one document in the file",
    }
    start = f" from line {error.context_mark.line + 1} on" if error.context_mark else ""
    default = f"mend the indentation, brackets or quotes{start}"
    mend = next((mend for part, mend in mends.items() if part in problem), default)
    return InputError(where, problem, mend)


class _Builder:
    """Turns composed nodes into plain values and keeps their places."""

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self.values = 0

    def build(self, node: Node, path: KeyPath) -> Any:
        self.values += 1
        if self.values > _MOST_VALUES:
            self._refuse(
                node, f"the file expands to more than {_MOST_VALUES:,} values", "drop aliases"
            )
        if isinstance(node, ScalarNode):
            return self._scalar(node)
        if isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
            return [self._child(child, child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
            return self._mapping(node, path)
        return self._refuse_tag(node)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, ScalarNode) or not key_node.value:
                self._refuse(key_node, "a key must be plain text", "write it like 'key: value'")
            if key_node.tag == f"{_TAG}merge":
                self._refuse(key_node, "merge keys ('<<') are not supported", "write the keys out")
            self._scalar(key_node)
            # The spelling rather than the value: an id such as 2024 is a key too.
            key = key_node.value
            if key in values:
                first = self.positions.mark((*path, key))[0]
                self._refuse(
                    key_node,
                    f"the key {quoted(key)} is given twice (first in line {first})",
                    "remove or rename one of them",
                )
            values[key] = self._child(key_node, value_node, (*path, key))
        return values

    def _child(self, place: Node, node: Node, path: KeyPath) -> Any:
        spelling = node.value if isinstance(node, ScalarNode) else None
        mark = place.start_mark
        self.positions.record(path, mark.line + 1, mark.column + 1, spelling)
        return self.build(node, path)

    def _scalar(self, node: ScalarNode) -> str | int | float | bool | None:
        text: str = node.value
        kind = str(node.tag).removeprefix(_TAG)
        try:
            if kind in ("bool", "null"):
                return _CONSTANTS[text.lower()]
            if kind == "int":
                digits = text.replace("_", "")
                based = digits.lstrip("+-")[:2].lower() in ("0x", "0o", "0b")
                return int(digits, 0 if based else 10)
            if kind == "float":
                return float(re.sub(r"\.(inf|nan)", r"\1", text.lower().replace("_", "")))
        except (KeyError, ValueError):
            self._refuse(node, f"{quoted(text)} cannot be read as {kind}", "put text in quotes")
        # Dates, '<<' and '=' are kinds of their own to ruamel but text in the core schema.
        if kind not in ("str", "timestamp", "merge", "value"):
            self._refuse_tag(node)
        if match := _CONTROL.search(text):
            self._refuse(node, f"the control character {match[0]!r} in {quoted(text)}", "remove it")
        return text

    def _refuse_tag(self, node: Node) -> NoReturn:
        tag = quoted(str(node.tag).replace(_TAG, "!!"))
        self._refuse(node, f"the tag {tag} is not supported", "write plain values without '!'")

    def _refuse(self, node: Node, problem: str, mend: str) -> NoReturn:
        mark = node.start_mark
        raise InputError(f"{self.positions.file}:{mark.line + 1}:{mark.column + 1}", problem, mend)


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
    problem, mend = _describe(model, first, faults[first], positions)
    raise InputError(positions.of(first), problem, mend)


def _path_of(detail: ErrorDetails, data: Any) -> KeyPath:
    """The place in `data` of a pydantic error, whose own path also names branches of unions."""
    path: list[str | int] = []
    value = data
    for step in detail["loc"]:
        inside = (
            step in value
            if isinstance(value, Mapping)
            else isinstance(value, list) and isinstance(step, int) and step < len(value)
        )
        if inside:
            path.append(step)
            value = value[step]
        elif detail["type"] == "missing":
            path.append(step)
    error = detail.get("ctx", {}).get("error")
    return (*path, *error.path) if isinstance(error, FieldError) else tuple(path)


def dotted(path: KeyPath) -> str:
    """`candidates[0].path`; keys that are not plain words are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if _ID.fullmatch(step) else quoted(step))
    return text


def _describe(
    model: type[Section], path: KeyPath, details: list[ErrorDetails], positions: Positions
) -> tuple[str, str]:
    """Problem and mend for the faults found at one place (several from a union)."""
    detail = details[0]
    kind, value = detail["type"], detail["input"]
    parent, key = dotted(path[:-1]), str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        keys = _keys_at(model, path[:-1])
        problem = f"unknown key {quoted(key)}" + (f" in {parent}" if parent else "")
        listed = f"(keys: {', '.join(keys)})"
        return problem, f"{nearest(key, keys) or 'remove it or mend its name'} {listed}"
    if kind == "missing":
        return f"{parent or 'the file'} has no {key!r}", f"add '{key}:'"
    prefix = f"{dotted(path)}: " if path else ""
    if kind == "value_error":
        problem, _, mend = str(detail["ctx"]["error"]).partition("; ")
        return prefix + problem, mend
    if isinstance(value, list):
        details = [each for each in details if each["type"] != "string_type"] or details
    wanted = " or ".join(dict.fromkeys(_wanted(each) for each in details))
    spelling = positions.spelling(path)
    texts = any(each["type"] == "string_type" for each in details)
    if texts and isinstance(value, bool | int | float) and spelling is not None:
        what = "true or false" if isinstance(value, bool) else "a number"
        return f"{prefix}{spelling} means {what} here", f"put text in quotes: '{spelling}'"
    mend = f"write {wanted}"
    if kind == "literal_error" and isinstance(value, str):
        choices = re.findall("'([^']*)'", wanted)
        mend = f"{nearest(value, choices)} {mend}".strip()
    return f"{prefix}{_shown(value, spelling)} does not fit", mend


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
    for step in path:
        if isinstance(step, str):
            model = _section_in(model.model_fields[step].annotation) or model
    return list(model.model_fields)


def _section_in(annotation: Any) -> type[Section] | None:
    """The one section type inside `Proxy | None`, `list[Source]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)
