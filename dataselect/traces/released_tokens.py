"""The token log-probabilities of the released traces, grouped by trace.

A row is one token: a reference to its trace, its text, its log-probability (or probability), and
possibly its bytes and position. The first row determines the columns. Text such as
`\\xe2\\x89`, with which the API shows part of a character, is converted to bytes.

Not here: the check that the tokens spell the reasoning, which reveals misread rows (`released`).
"""

import math
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.errors import InputError
from dataselect.traces.alignment import ServerToken
from dataselect.traces.released_files import FIX, find_column, looked_for, read_rows

_ESCAPED = re.compile(r"(?:bytes:)?((?:\\x[0-9a-fA-F]{2})+)")
_MAY_BE_POSITIONS = {"index", "idx"}


@dataclass
class TokenRows:
    """The tokens of one trace."""

    where: str
    """File and row of the first token."""

    rows: list[tuple[int | None, str, bytes | None, float | None]]
    """(position, text, bytes, log-probability in nats) of each token, in order."""

    @property
    def problem(self) -> str | None:
        """Why tokens must be missing or repeated; None when nothing shows that."""
        positions = [position for position, *_ in self.rows if position is not None]
        # Any first position is valid, because they may be counted through the whole file.
        if positions and positions != [*range(positions[0], positions[0] + len(self.rows))]:
            return f"its token positions (from {self.where}) do not go up by ones"
        return None

    @property
    def tokens(self) -> list[ServerToken]:
        """The tokens in the form in which servers report them."""
        return [ServerToken(text, data, logprob) for _, text, data, logprob in self.rows]


@dataclass(frozen=True)
class _Columns:
    trace: str | None
    position: str | None
    text: str
    data: str | None
    logprob: str
    is_probability: bool


def read_tokens(folder: Path) -> tuple[dict[str, TokenRows], str]:
    """The token rows of a benchmark's folder by trace, and the column or rule that gives the trace.

    Without a column for the trace, positions must restart with each trace, and its name is its
    number from 0. Raises InputError for a missing column and for a value of the wrong type.
    """
    source = read_rows(folder)
    first = next(source, None)
    if first is None:
        raise InputError(folder, "its *.jsonl files hold no token rows", FIX)
    columns = _columns(folder, *first)
    parsed = [_parse(folder, *first, columns)]
    parsed += [_parse(folder, where, row, columns) for where, row in source]
    if columns.trace is not None:
        by_trace, together = _by_trace(parsed)
        may_be_positions = columns.trace.lower() in _MAY_BE_POSITIONS and columns.position is None
        if together or not may_be_positions or not all(map(str.isdecimal, by_trace)):
            for token_rows in by_trace.values():
                # Rows of equal position keep their order, and `problem` reports them.
                token_rows.rows.sort(key=lambda row: row[0] or 0)
            return by_trace, columns.trace
        parsed = [(where, "", (int(name), *row[1:])) for where, name, row in parsed]
    return _by_restart(parsed), "the number of restarts of its positions"


_Parsed = tuple[str, str, tuple[int | None, str, bytes | None, float | None]]


def _by_trace(parsed: list[_Parsed]) -> tuple[dict[str, TokenRows], bool]:
    """Rows by trace, and whether the rows of each trace are contiguous."""
    traces: dict[str, TokenRows] = {}
    together, last = True, None
    for where, name, row in parsed:
        together &= name == last or name not in traces
        traces.setdefault(name, TokenRows(where, [])).rows.append(row)
        last = name
    return traces, together


def _by_restart(parsed: list[_Parsed]) -> dict[str, TokenRows]:
    traces: dict[str, TokenRows] = {}
    last = math.inf
    for where, _, row in parsed:
        position = row[0]
        assert position is not None
        if position <= last:
            traces[str(len(traces))] = TokenRows(where, [])
        traces[str(len(traces) - 1)].rows.append(row)
        last = position
    return traces


def _columns(folder: Path, where: str, row: dict[str, Any]) -> _Columns:
    trace = find_column(row, "id") or find_column(row, "question")
    position = find_column(row, "position", but=trace)
    text, logprob = find_column(row, "token"), find_column(row, "logprob")
    probability = find_column(row, "probability")
    if trace is None and position is None:
        raise InputError(
            folder, f"{where} does not say which trace it is of: {looked_for('id', row)}", FIX
        )
    if text is None:
        raise InputError(folder, f"{where} has no token text: {looked_for('token', row)}", FIX)
    if logprob is None and probability is None:
        raise InputError(
            folder, f"{where} has no log-probability: {looked_for('logprob', row)}", FIX
        )
    value = logprob if logprob is not None else probability
    assert value is not None
    data = find_column(row, "bytes")
    return _Columns(trace, position, text, data, value, is_probability=logprob is None)


def _parse(folder: Path, where: str, row: dict[str, Any], columns: _Columns) -> _Parsed:
    def refuse(column: str, wanted: str) -> InputError:
        return InputError(
            folder, f"{where}: its {column} is {row.get(column)!r:.60}, not {wanted}", FIX
        )

    name = "" if columns.trace is None else row.get(columns.trace)
    if not isinstance(name, str | int):
        raise refuse(str(columns.trace), "text or a whole number")
    position = None
    if columns.position is not None:
        position = row.get(columns.position)
        if not isinstance(position, int):
            raise refuse(columns.position, "a whole number")
    text = row.get(columns.text)
    if not isinstance(text, str):
        raise refuse(columns.text, "text")
    value = row.get(columns.logprob)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise refuse(columns.logprob, "a number")
    logprob = None if value is None or math.isnan(value) else float(value)
    if columns.is_probability and logprob is not None:
        if not 0 <= logprob <= 1:
            raise refuse(columns.logprob, "within 0..1")
        logprob = math.log(logprob) if logprob > 0 else None
    raw = None if columns.data is None else row.get(columns.data)
    try:
        data = _data(text, raw)
    except ValueError:
        raise refuse(str(columns.data), "a list of bytes") from None
    # Tokens and names repeat, and a million rows must fit into memory.
    return where, sys.intern(str(name)), (position, sys.intern(text), data, logprob)


def _data(text: str, raw: object) -> bytes | None:
    """The token's bytes, None where only its text is known. Raises ValueError."""
    if isinstance(raw, str):
        raw = strict_json.loads(raw)
    if raw is not None:
        if not isinstance(raw, list) or not all(isinstance(byte, int) for byte in raw):
            raise ValueError
        return bytes(raw)
    escaped = _ESCAPED.fullmatch(text)
    if escaped is None:
        return None
    data = bytes.fromhex(escaped[1].replace("\\x", ""))
    try:
        data.decode()
    except UnicodeDecodeError:
        return data
    # The API never shows whole characters this way: the token is that text.
    return None
