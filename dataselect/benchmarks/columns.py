"""Rows with columns of any name as records of the one shape that `items.parse_items` reads.

The right one of several choices is written in many ways; all are understood: its position (from
0), its letter, its label where choices have labels of their own ("1" to "4"), or its text.
Nothing is judged here: what cannot be understood stays missing, and the parser says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dataselect.benchmarks.definition import Record, Row
from dataselect.benchmarks.items import LETTERS


@dataclass(frozen=True)
class Columns:
    """The names of the columns; a column of choices holds a list of texts, or {text, label}.

    A row without an id is called by `prefix` and its position. Columns that a row lacks count
    as empty.
    """

    prefix: str
    id: str = "id"
    question: str = "question"
    choices: str = "choices"
    answer: str = "answer"
    answer_index: str = "answer_index"
    rationale: str = "rationale"
    category: str = "category"

    def record(self, position: int, row: Row) -> Record:
        """The record of one row."""
        name = row.get(self.id)
        meta = row.get("meta")
        meta = dict(meta) if isinstance(meta, dict) else {}
        if row.get(self.category) is not None:
            meta["category"] = row[self.category]
        record: Record = {
            "id": f"{self.prefix}_{position}" if name is None else str(name),
            "question": row.get(self.question),
            "answer": row.get(self.answer),
            "rationale": row.get(self.rationale) or None,
            "meta": meta,
        }
        choices = row.get(self.choices)
        if choices is None:
            return record
        labels: Sequence[object] = ()
        if isinstance(choices, dict):
            labels, choices = choices.get("label") or (), choices.get("text")
        index = row.get(self.answer_index)
        if index is None and isinstance(choices, list):
            index = index_of(record["answer"], choices, labels)
        if isinstance(index, int) and 0 <= index < len(LETTERS):
            # A row may give the position alone.
            record["answer"] = LETTERS[index]
        return record | {"choices": choices, "answer_index": index}


def index_of(
    answer: object, choices: Sequence[object], labels: Sequence[object] = ()
) -> int | None:
    """The position of the right choice, from 0; None where `answer` means none of them.

    Labels of their own go first, then a choice's text, then its letter, then its position: so
    "2" among the choices "1", "2" and "3" is the second.
    """
    if isinstance(answer, bool) or not isinstance(answer, str | int):
        return None
    if isinstance(answer, int) and not labels:
        return answer if 0 <= answer < len(choices) else None
    text = str(answer).strip()
    texts = [str(choice).strip() for choice in choices]
    positions = [str(i) for i in range(len(texts))]
    for names in ([str(label) for label in labels], texts, list(LETTERS), positions):
        if text in names[: len(texts)]:
            return names.index(text)
    return None
