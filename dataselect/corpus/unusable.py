"""How many rows of a source have no usable text, and whether that is more than it allows.

A file whose later rows have another key, or lists instead of text, would otherwise be trained on by
its other rows alone, as if these were the candidate. Empty lines of plain text separate paragraphs
and are no rows.
"""

import math

from dataselect.config.manifest import Source
from dataselect.corpus.readers import Absent, Malformed
from dataselect.corpus.rows import RowCounts
from dataselect.errors import InputError
from dataselect.wording import quoted

_KINDS = {
    type(None): "null",
    bool: "a truth value",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    bytes: "bytes",
    str: "an empty text",
}


def unusable_rows(counts: RowCounts, *, plain_text: bool) -> tuple[int, int]:
    """Rows without usable text, and all rows."""
    if plain_text:
        return counts.bad + counts.non_text, counts.read - counts.empty
    return counts.bad + counts.non_text + counts.empty, counts.read


def check_share(
    source: Source, counts: RowCounts, *, plain_text: bool, of: str = "rows", reason: str = ""
) -> None:
    """Raise InputError where more rows than the source allows have no usable text.

    `of` says which rows were counted, and `reason` what most of the others hold.
    """
    unusable, rows = unusable_rows(counts, plain_text=plain_text)
    if unusable <= source.max_unusable * rows:
        return
    most = math.ceil(100 * unusable / rows) / 100
    raise InputError(
        f"{source.id}: {source.path}",
        f"{describe_share(counts, plain_text=plain_text, of=of)}{reason and f': {reason}'}",
        f"check the data and text_column, or allow it with max_unusable: {most:g}",
    )


def describe_share(counts: RowCounts, *, plain_text: bool, of: str = "rows") -> str:
    """One phrase on the rows without usable text; "" where all have some."""
    unusable, rows = unusable_rows(counts, plain_text=plain_text)
    if not unusable:
        return ""
    kinds = {"bad": counts.bad, "non text": counts.non_text}
    if not plain_text:
        kinds["empty"] = counts.empty
    parts = ", ".join(f"{count:,} {name}" for name, count in kinds.items() if count)
    return (
        f"{unusable:,} of {rows:,} {of} have no usable text ({_percent(unusable / rows)}; {parts})"
    )


def why_unusable(value: object, column: str) -> str:
    """What a row holds that has no usable text."""
    if isinstance(value, Malformed):
        return value.problem
    if isinstance(value, Absent):
        keys = ", ".join(quoted(key) for key in value.keys[:5]) or "none"
        return f"no {quoted(column)} (keys: {keys}{', …' if len(value.keys) > 5 else ''})"
    return _KINDS.get(type(value), type(value).__name__)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.1 else f"{100 * share:.2g}%"
