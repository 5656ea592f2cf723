"""The HTML of a result in a notebook: verdict, tables and notes, escaped."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


def result_html(
    verdict: str,
    tables: "Mapping[str, pd.DataFrame]",
    notes: Sequence[str] = (),
    *,
    decimals: int = 3,
) -> str:
    """A paragraph with the verdict, a captioned table for each frame, and a list of notes.

    Ids and messages come from users' files, so everything is escaped. Numbers are rounded to
    `decimals` decimals; missing values are empty cells.
    """
    parts = [f"<p><b>{html.escape(verdict)}</b></p>"]
    for caption, frame in tables.items():
        shown = frame.to_html(
            border=0, escape=True, na_rep="", float_format=lambda x: f"{x:.{decimals}f}"
        )
        parts.append(f"<p>{html.escape(caption)}</p>\n{shown}")
    if notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in notes)
        parts.append(f"<ul>{items}</ul>")
    return "<div>\n" + "\n".join(parts) + "\n</div>"
