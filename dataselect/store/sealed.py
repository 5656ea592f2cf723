"""Content that carries its own checksum, and what happens to a file that is not as it was written.

A flipped bit in JSON is often JSON again, with another number. So what this package writes and
reads back later carries a SHA-256 of itself:

- a JSON object has it under the key `sha256`, of its other content in canonical form (`keys`), so
  that a program may lay the text out anew. Files that people own may be edited by hand: whoever
  removes the key says so, and files of before it have none;
- a line of a journal ends in the first 16 digits of it, of the bytes before.

Artifacts have theirs in their record (`artifact`), and a large file of unfinished work in itself
(`proxies.saved_state`).

What we made ourselves and find spoilt is set aside, never deleted, and made again (`read_own`,
`set_aside`). What a user gives is refused by its reader. Of a journal the spoilt line is left out.
"""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.store.files import write_atomic
from dataselect.store.keys import canonical_json

SEAL = "sha256"
"""The key of the checksum in an object."""
_DIGITS, _WHOLE_DIGITS = 16, 64
_BEFORE, _AFTER = f',"{SEAL}":"'.encode(), b'"}'
_TAIL = len(_BEFORE) + _DIGITS + len(_AFTER)
_SEAM = re.compile(rb'(?<=,"sha256":"[0-9a-f]{16}"\}).(?=\{)', re.DOTALL)
_FEW = 4
"""A tail that differs from that of a sealed line in so many bytes is a spoilt one."""

logger = logging.getLogger("dataselect")


class SpoiltError(ValueError):
    """What was read is not what was written; the text says how, for a line about the file."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object with its checksum, as the last key."""
    plain = {key: value for key, value in content.items() if key != SEAL}
    return {**plain, SEAL: _digest(plain)}


def unsealed(content: object) -> dict[str, Any]:
    """The object without its checksum; one that has none is taken as it is.

    Raises SpoiltError where the checksum is that of other content.
    """
    if not isinstance(content, dict):
        raise SpoiltError("is no JSON object")
    # Where the key itself is spoilt, what it is of is not.
    last = next(reversed(content), "")
    seal = SEAL if SEAL in content else last
    written = content.get(seal)
    plain = {key: value for key, value in content.items() if key != seal}
    if seal != SEAL and not (isinstance(written, str) and len(written) == _WHOLE_DIGITS):
        return content
    try:
        digest = _digest(plain)
    except (ValueError, TypeError):
        digest = ""
    if written == digest:
        return plain
    if seal == SEAL:
        raise SpoiltError("does not agree with its checksum")
    return content


def sealed_line(record: Mapping[str, Any], *, ascii_only: bool = True) -> bytes:
    """One line of a journal, with its checksum and line end. Raises ValueError for NaN."""
    assert record, "an empty record says nothing"
    text = json.dumps(
        dict(record), separators=(",", ":"), ensure_ascii=ascii_only, allow_nan=False
    ).encode()
    return text[:-1] + _BEFORE + _line_digest(text) + _AFTER + b"\n"


def read_line(line: bytes) -> dict[str, Any]:
    """The record of a line, without its checksum; a line of before has none.

    Raises SpoiltError where it is no JSON object, or not the one that was written.
    """
    line = line.rstrip(b"\r\n")
    text, tail = line[:-_TAIL] + b"}", line[-_TAIL:]
    framed = tail[: len(_BEFORE)] + tail[-len(_AFTER) :]
    if framed == _BEFORE + _AFTER:
        if tail[len(_BEFORE) : -len(_AFTER)] != _line_digest(text):
            raise SpoiltError("does not agree with its checksum")
        line = text
    elif len(line) > _TAIL and _differing(framed, _BEFORE + _AFTER) < _FEW:
        # Not a line of before: its content may be another one too.
        raise SpoiltError("has a spoilt checksum")
    try:
        record = strict_json.loads(line)
    except (ValueError, RecursionError):
        raise SpoiltError("is no JSON") from None
    if not isinstance(record, dict):
        raise SpoiltError("is no JSON object")
    return record


def whole_lines(
    data: bytes, spoilt: Callable[[int, str], object]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines that are as they were written, by number from 1; of each other one `spoilt` is told
    the number, and what is wrong."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        # Where the line end itself was spoilt, two lines look like one.
        for part in _SEAM.split(line):
            try:
                yield number, read_line(part)
            except SpoiltError as error:
                spoilt(number, str(error))


def write_own(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON object, with its checksum, for `read_own`."""
    write_atomic(path, json.dumps(sealed(content), ensure_ascii=False, allow_nan=False).encode())


def read_own(path: Path, damaged: Path | None = None) -> dict[str, Any] | None:
    """A JSON object that this package wrote, without its checksum; None where there is none.

    One that is not as it was written is set aside (`set_aside`), with a note, and None.
    """
    try:
        return unsealed(strict_json.loads(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except IsADirectoryError:
        problem = "is a folder"
    except SpoiltError as error:
        problem = str(error)
    except (ValueError, RecursionError):
        problem = "is no JSON"
    set_aside(path, problem, "it is made again", damaged)
    return None


def set_aside(path: Path, problem: str, then: str, damaged: Path | None = None) -> Path:
    """Move what is spoilt out of the way, and say so in one line; its new path.

    It stays beside its old place as `NAME.spoilt-N`, or goes to the folder `damaged` as
    `FOLDER-NAME.N`. `then`: what follows, as in "it is made again".
    """
    if damaged is None:
        stem = path.with_name(f"{path.name}.spoilt-")
    else:
        stem = damaged / f"{path.parent.name}-{path.name}."
        damaged.mkdir(parents=True, exist_ok=True)
    number = 1
    while (aside := stem.with_name(f"{stem.name}{number}")).exists():
        number += 1
    # Another process may have found the same and moved it already.
    with suppress(FileNotFoundError):
        path.rename(aside)
    logger.warning("%s: %s; moved to %s, %s", path, problem, aside, then)
    return aside


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content)).hexdigest()


def _differing(some: bytes, others: bytes) -> int:
    return sum(a != b for a, b in zip(some, others, strict=True))


def _line_digest(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:_DIGITS].encode()
