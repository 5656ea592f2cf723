"""One thing in a file changed: the values, keys and bytes that a fault of a disk, a program or a
hand leaves behind. Seeded, so that a finding can be made again.
"""

import copy
import json
import random
import string
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Files = dict[str, bytes]
"""A folder's files by name."""
Path = tuple[str | int, ...]
"""The way to a value in a JSON document."""


@dataclass(frozen=True)
class Mutation:
    """One change to a folder."""

    area: str
    """Which part of the folder, such as `config`."""
    kind: str
    """What was done, such as `bit flipped`."""
    where: str
    """The key, tensor or line it was done to."""
    files: Files
    """The folder afterwards."""
    value: str = ""
    """What stands there now, where that can be shown."""

    def __str__(self) -> str:
        shown = f" = {self.value[:60]}" if self.value else ""
        return f"{self.area}: {self.where} {self.kind}{shown}"


# Values -----------------------------------------------------------------------------------------

Change = Callable[[Any, random.Random], Any]


class UnfitError(Exception):
    """This change cannot be made to this value, or leaves it as it was."""


def digit_changed(value: Any, draw: random.Random) -> Any:
    """Another digit in a number or in a text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnfitError
    text = value if isinstance(value, str) else json.dumps(value)
    places = [n for n, letter in enumerate(text) if letter.isdigit()]
    if not places:
        raise UnfitError
    place = draw.choice(places)
    other = draw.choice([d for d in string.digits if d != text[place]])
    changed = text[:place] + other + text[place + 1 :]
    if isinstance(value, str):
        return changed
    return int(changed) if isinstance(value, int) else float(changed)


def bit_flipped(value: Any, draw: random.Random) -> Any:
    """One bit of an integer, a double, or of a letter."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value ^ (1 << draw.choice([*range(12), 20, 30]))
    if isinstance(value, float):
        (bits,) = struct.unpack("<q", struct.pack("<d", value))
        (flipped,) = struct.unpack("<d", struct.pack("<q", bits ^ (1 << draw.randrange(63))))
        return flipped
    if isinstance(value, str) and value:
        place = draw.randrange(len(value))
        letter = chr(ord(value[place]) ^ (1 << draw.randrange(5)))
        return value[:place] + letter + value[place + 1 :]
    raise UnfitError


def type_changed(value: Any, draw: random.Random) -> Any:
    """The value as another type of JSON."""
    others: list[Any] = [None, [], {}, [value], str(value), "", True]
    if isinstance(value, str):
        others += [1, 0.5]
    return draw.choice(others)


def sign_changed(value: Any, _: random.Random) -> Any:
    """The number times −1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitError
    return -value


def not_finite(value: Any, draw: random.Random) -> Any:
    """NaN or an infinity, as Python's JSON writes them."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitError
    return draw.choice([float("nan"), float("inf"), float("-inf")])


def zeroed(value: Any, _: random.Random) -> Any:
    """0 in place of a number, nothing in place of a list, object or text."""
    if isinstance(value, bool) or value is None:
        raise UnfitError
    return type(value)()


def enlarged(value: Any, draw: random.Random) -> Any:
    """A number many times as large."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnfitError
    return value * draw.choice([2, 10, 1000, 10**6])


VALUE_CHANGES: dict[str, Change] = {
    "digit changed": digit_changed,
    "bit flipped": bit_flipped,
    "type changed": type_changed,
    "sign changed": sign_changed,
    "not finite": not_finite,
    "zeroed": zeroed,
    "enlarged": enlarged,
}


# JSON documents -----------------------------------------------------------------------------------


def paths(document: Any, depth: int = 4) -> Iterator[Path]:
    """The ways to all values of a document, containers included."""
    pairs: Any = ()
    if isinstance(document, dict):
        pairs = document.items()
    elif isinstance(document, list):
        pairs = enumerate(document)
    for key, value in pairs:
        yield (key,)
        if depth > 1:
            for rest in paths(value, depth - 1):
                yield (key, *rest)


def at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def changed(document: Any, path: Path, value: Any) -> Any:
    """A copy with another value there."""
    made = copy.deepcopy(document)
    at(made, path[:-1])[path[-1]] = value
    return made


def without(document: Any, path: Path) -> Any:
    """A copy without that key or element."""
    made = copy.deepcopy(document)
    del at(made, path[:-1])[path[-1]]
    return made


def renamed(document: Any, path: Path, draw: random.Random) -> Any:
    """A copy where that key has another name: a letter lost, doubled, or in capitals."""
    key = path[-1]
    if not isinstance(key, str) or not key:
        raise UnfitError
    place = draw.randrange(len(key))
    name = draw.choice(
        [
            key[:place] + key[place + 1 :],
            key[:place] + key[place] + key[place:],
            key.upper(),
            f"_{key}",
            f"{key} ",
        ]
    )
    holder = at(document, path[:-1])
    if name in holder:
        raise UnfitError
    made = copy.deepcopy(document)
    inner = at(made, path[:-1])
    items = [(name if each == key else each, value) for each, value in inner.items()]
    inner.clear()
    inner.update(items)
    return made


def json_change(document: Any, draw: random.Random, chosen: list[Path]) -> tuple[str, Path, Any]:
    """(kind, where, the document afterwards) of one change at one of the ways given."""
    kinds = [*VALUE_CHANGES, "removed", "key renamed"]
    while True:
        path, kind = draw.choice(chosen), draw.choice(kinds)
        try:
            if kind == "removed":
                made = without(document, path)
            elif kind == "key renamed":
                made = renamed(document, path, draw)
            else:
                made = changed(document, path, VALUE_CHANGES[kind](at(document, path), draw))
        except UnfitError:
            continue
        if json.dumps(made) != json.dumps(document):
            return kind, path, made


def spell(path: Path) -> str:
    return ".".join(map(str, path))


# Bytes --------------------------------------------------------------------------------------------


def byte_change(data: bytes, draw: random.Random, first: int, last: int) -> tuple[str, int, bytes]:
    """(kind, place, the bytes afterwards) of one change between two places."""
    place = draw.randrange(first, last)
    kind = draw.choice(["bit flipped", "bit flipped", "byte lost", "byte doubled", "cut off"])
    if kind == "bit flipped":
        flipped = data[place] ^ (1 << draw.randrange(8))
        return kind, place, data[:place] + bytes([flipped]) + data[place + 1 :]
    if kind == "byte lost":
        return kind, place, data[:place] + data[place + 1 :]
    if kind == "byte doubled":
        return kind, place, data[: place + 1] + data[place:]
    return kind, place, data[:place]
