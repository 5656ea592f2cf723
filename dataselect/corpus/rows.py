"""The texts of a source, streamed in an order that depends only on the source and the seed.

Files are read in an order drawn from the seed, and their rows pass through a shuffle buffer. So
the order does not depend on the token budget: a smaller budget reads a prefix of a larger one. The
buffer mixes neighbouring rows, not the ends of a long file: a file sorted by topic should be split
or shuffled beforehand. Rows without usable text are counted and left out; rows that cannot be read
raise an error, unless the source has `bad_rows: skip`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataselect.config.manifest import Source
from dataselect.corpus.files import local_files, origin
from dataselect.corpus.hub import hub_rows
from dataselect.corpus.readers import Malformed, read_rows
from dataselect.errors import InputError
from dataselect.wording import quoted

# Raised when the same source and seed would give another order of texts; part of fingerprints.
ORDER_VERSION = 1
BUFFER_DOCUMENTS = 10_000
# A buffer of very long documents holds fewer of them.
BUFFER_CHARACTERS = 64_000_000
_DRAWS_AHEAD = 1024


@dataclass
class RowCounts:
    """Counts of the rows read so far, by what they hold."""

    read: int = 0
    """All rows: the sum of the other four."""
    used: int = 0
    """Rows with usable text, including those still in the shuffle buffer."""
    bad: int = 0
    """Rows that could not be read (only with `bad_rows: skip`)."""
    empty: int = 0
    """Rows whose text is empty or white space."""
    non_text: int = 0
    """Rows whose text column is null or not a string."""


def open_rows(
    source: Source, base: Path, seed: int, counts: RowCounts | None = None
) -> Iterator[str]:
    """Stream the texts of a source in the order drawn from the seed, filling in `counts`.

    `base` is the folder that relative paths start from. Raises InputError at once for missing
    files, and during the iteration, with file and line, for a row that cannot be read and for a
    source that ends without any usable text.
    """
    counts = RowCounts() if counts is None else counts
    kind = origin(source, base)
    if kind == "desk":
        # Already in random order, and endless.
        return _usable(source, _synthetic_rows(source, seed), counts)
    rng = np.random.default_rng(seed)
    if kind in ("local", "remote"):
        files = local_files(source, base)
        order = rng.permutation(len(files))
        rows: Iterator[tuple[str, int, object]] = (
            (str(files[i].path), number, value)
            for i in order
            for number, value in read_rows(files[i], source.text_column)
        )
    else:
        place = f"{source.id}: {source.path}"
        rows = ((place, n, value) for n, value in hub_rows(source, seed, source.streaming))
    return _shuffled(_usable(source, rows, counts), rng)


def _synthetic_rows(source: Source, seed: int) -> Iterator[tuple[str, int, object]]:
    from dataselect.synthetic import genres

    if source.name not in genres.names():
        raise InputError(
            f"{source.id}: name",
            f"the synthetic world has no genre {quoted(source.name)}",
            f"set name to one of: {', '.join(genres.names())}",
        )
    documents = genres.documents(source.name, seed)
    return ((f"{source.id}: {source.path}", n, text) for n, text in enumerate(documents, start=1))


def _usable(
    source: Source, rows: Iterator[tuple[str, int, object]], counts: RowCounts
) -> Iterator[str]:
    yield from usable_texts(source, rows, counts)
    if not counts.used:
        raise nothing_usable(source, counts)


def usable_texts(
    source: Source, rows: Iterator[tuple[str, int, object]], counts: RowCounts
) -> Iterator[str]:
    """The texts of `(place, number, value)`, with all rows counted.

    Raises InputError for a row that cannot be read, unless the source has `bad_rows: skip`.
    """
    for place, number, value in rows:
        row = checked_text(value)
        counts.read += 1
        if isinstance(row, Malformed):
            if source.bad_rows == "error":
                raise InputError(
                    f"{place}:{number}",
                    row.problem,
                    f"fix the row, or set bad_rows: skip for {source.id}",
                )
            counts.bad += 1
        elif row is None:
            counts.non_text += 1
        elif not row or row.isspace():
            counts.empty += 1
        else:
            counts.used += 1
            yield row


def checked_text(value: object) -> str | Malformed | None:
    """The row's text, None when it has none, Malformed when no tokenizer can encode it."""
    if isinstance(value, Malformed):
        return value
    if not isinstance(value, str):
        return None
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            return Malformed(f"half of a surrogate pair at character {error.start + 1}")
    return value


def _shuffled(texts: Iterator[str], rng: np.random.Generator) -> Iterator[str]:
    buffer: list[str] = []
    characters = 0
    draws = _Draws(rng)
    for text in texts:
        buffer.append(text)
        characters += len(text)
        while len(buffer) > BUFFER_DOCUMENTS or characters > BUFFER_CHARACTERS:
            drawn = _draw(buffer, draws)
            characters -= len(drawn)
            yield drawn
    while buffer:
        yield _draw(buffer, draws)


def _draw(buffer: list[str], draws: "_Draws") -> str:
    i = draws.below(len(buffer))
    buffer[i], buffer[-1] = buffer[-1], buffer[i]
    return buffer.pop()


class _Draws:
    """The numbers that successive calls of `rng.integers(bound)` give, drawn in blocks.

    A full buffer needs the same bound again and again, and one call per number would be a fifth of
    the cost of reading a short document.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._bound = 0
        self._block: list[int] = []
        self._used = 0
        self._before: Any = None

    def below(self, bound: int) -> int:
        """The next number in 0..bound-1."""
        if bound != self._bound:
            self._rewind()
            self._bound = bound
            # Not a block: the bound may change at every call.
            return int(self._rng.integers(bound))
        if self._used == len(self._block):
            self._before = self._rng.bit_generator.state
            self._block = self._rng.integers(bound, size=_DRAWS_AHEAD).tolist()
            self._used = 0
        self._used += 1
        return self._block[self._used - 1]

    def _rewind(self) -> None:
        """Put the generator in the state that it would have without the unused numbers."""
        if self._used < len(self._block):
            self._rng.bit_generator.state = self._before
            self._rng.integers(self._bound, size=self._used)
        self._block, self._used = [], 0


def nothing_usable(source: Source, counts: RowCounts) -> InputError:
    """The error for a source without any usable text."""
    rows = "the dataset is empty"
    if counts.read:
        rows = (
            f"no usable text in {counts.read} rows ({counts.bad} bad, {counts.empty} empty, "
            f"{counts.non_text} not text)"
        )
    return InputError(f"{source.id}: {source.path}", rows, "check the data and text_column")
