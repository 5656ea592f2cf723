"""Strict YAML 1.2 files as plain values, with the line and column of each.

Ordinary loaders are too lenient for a manifest: PyYAML keeps the last of two equal keys, reads
`no` as false and `1.10` as 1.1, and loses the place of a value. So this module turns the node
graph that ruamel.yaml composes into plain values: core-schema scalars only (a date or `no` stays
text), no tags, no merge keys, no duplicate keys. It keeps the place and spelling of every value for
the error messages.

Bounds hold while a file is read, not after: no more bytes are read than a file may have, no more
nodes are made than it may have values, and aliases are expanded only as far. So a file that is too
large, or an alias bomb, is refused in bounded memory and time.

Not covered: what the values mean (`schema`), and writing YAML.
"""

import os
import re
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from dataselect.errors import InputError
from dataselect.formats.similar_files import YAML_FILES, meant_file, meant_in
from dataselect.wording import is_id, quoted

KeyPath = tuple[str | int, ...]
"""Keys and indices from the top of a file to a value: ("candidates", 0, "path")."""

_MOST_BYTES = 4 * 2**20
_MOST_VALUES = 100_000
_TOO_MANY = f"the file has more than {_MOST_VALUES:,} values"
_NOT_DATA = "name a manifest or plan, not the data"
_TAG = "tag:yaml.org,2002:"
_CONSTANTS = {"true": True, "false": False, "": None, "~": None, "null": None}
_GROUPED = re.compile(r"[+-]?\d{1,3}(_\d{3})+(\.\d*)?([eE][+-]?\d+)?")
"""A number with its thousands parted: 2_5 may as well be meant as 2.5."""
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


class _BoundedComposer(Composer):
    """Composes nodes, and gives up at one value more than a file may have."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self._values = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        is_key = isinstance(parent, MappingNode) and index is None
        self._values += not is_key
        if self._values > _MOST_VALUES:
            mark = self.parser.peek_event().start_mark
            raise ComposerError(None, None, _TOO_MANY, mark)
        return super().compose_node(parent, index)


def bounded_yaml() -> YAML:
    """A reader of safe YAML that refuses, as a MarkedYAMLError, a text with too many values."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _BoundedComposer
    return yaml


class Positions:
    """Line and column of each key of a file, and the spelling of its value."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._marks: dict[KeyPath, tuple[int, int]] = {(): (1, 1)}
        self._spellings: dict[KeyPath, str] = {}

    def record(self, path: KeyPath, line: int, column: int, spelling: str | None) -> None:
        """Keep line and column (from 1) and the spelling of a scalar; None for other values."""
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
        """The positions below the key `path`, with paths relative to it."""
        inner, depth = Positions(self.file), len(path)
        inner._marks = {k[depth:]: v for k, v in self._marks.items() if k[:depth] == path}
        inner._spellings = {k[depth:]: v for k, v in self._spellings.items() if k[:depth] == path}
        return inner

    def over(self, other: "Positions") -> "Positions":
        """These positions, and those of `other` for the keys that have none here."""
        both = Positions(self.file)
        both._marks = other._marks | self._marks
        both._spellings = {
            path: text for path, text in other._spellings.items() if path not in self._marks
        } | self._spellings
        return both

    def spelling(self, path: KeyPath) -> str | None:
        """The text of a scalar as the file has it (`1.10`, not 1.1); None for other values."""
        return self._spellings.get(path)


def dotted(path: KeyPath) -> str:
    """`candidates[0].path`; keys that are not plain words are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += ("." if text else "") + (step if is_id(step) else quoted(step))
    return text


def load(path: Path) -> tuple[dict[str, Any], Positions]:
    """The plain values of a YAML file (dict, list, str, int, float, bool, None) and their places.

    Raises InputError for a file that is missing, empty, too large, not UTF-8 or not YAML, whose
    top level is not a mapping, or that has something that the module docstring excludes.
    """
    text = _read_text(path)
    positions = Positions(path)
    yaml = bounded_yaml()
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
        with path.open("rb") as file:
            # A pipe or a device does not say its size.
            raw = file.read(_MOST_BYTES + 1)
            size = max(os.fstat(file.fileno()).st_size, len(raw))
    except FileNotFoundError:
        fix = meant_file(path, YAML_FILES) or "check the name and the folder"
        raise InputError(path, "there is no such file", fix) from None
    except IsADirectoryError:
        raise InputError(path, "this is a folder", meant_in(path, YAML_FILES)) from None
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "check the file") from None
    if size > _MOST_BYTES:
        raise InputError(
            path, f"the file has {-(-size // 2**20)} MiB, a YAML file here at most 4", _NOT_DATA
        )
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
    fixes = {
        "'\\t'": "indent with spaces, not tabs",
        "cannot start any token": "put text that begins with it in quotes",
        "mapping values": "put text that holds ': ' in quotes, or fix the indentation",
        "undefined alias": "put text that begins with '*' in quotes",
        "another document": "keep one document in the file",
        _TOO_MANY: _NOT_DATA,
    }
    start = f" from line {error.context_mark.line + 1} on" if error.context_mark else ""
    default = f"fix the indentation, brackets or quotes{start}"
    fix = next((fix for part, fix in fixes.items() if part in problem), default)
    return InputError(where, problem, fix)


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
            # The spelling, not the value: an id such as 2024 is a text key.
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
        if kind in ("int", "float") and "_" in text and not _GROUPED.fullmatch(text):
            plain = text.replace("_", "")
            fix = f"write {plain}, or put text in quotes; underscores part thousands (1_000)"
            self._refuse(node, f"{quoted(text)} is not a number", fix)
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
        # Dates, '<<' and '=' have types in ruamel but are text in the core schema.
        if kind not in ("str", "timestamp", "merge", "value"):
            self._refuse_tag(node)
        if match := _CONTROL.search(text):
            self._refuse(node, f"the control character {match[0]!r} in {quoted(text)}", "remove it")
        return text

    def _refuse_tag(self, node: Node) -> NoReturn:
        tag = quoted(str(node.tag).replace(_TAG, "!!"))
        self._refuse(node, f"the tag {tag} is not supported", "write plain values without '!'")

    def _refuse(self, node: Node, problem: str, fix: str) -> NoReturn:
        mark = node.start_mark
        raise InputError(f"{self.positions.file}:{mark.line + 1}:{mark.column + 1}", problem, fix)
