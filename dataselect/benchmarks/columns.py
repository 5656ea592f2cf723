"""Convert rows with any column names to the records that `items.parse_items` reads.

The right choice may be given by its position (from 0), its letter, its label where the dataset
labels the choices ("1" to "4"), or its text. Values are not validated here: one that cannot be
interpreted stays missing, and the parser reports it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from dataselect.benchmarks.definition import Record, Row
from dataselect.benchmarks.items import LETTERS


@dataclass(frozen=True)
class Columns:
    """The names of a dataset's columns; a column that a row lacks counts as empty."""

    prefix: str
    """A row without an id gets the id `<prefix>_<position>`."""

    id: str = "id"
    """The item's id."""

    question: str = "question"
    """The question."""

    choices: str = "choices"
    """A list of texts, or an object of lists {text, label}."""

    answer: str = "answer"
    """The gold answer, or the right choice in any form that `index_of` reads."""

    answer_index: str = "answer_index"
    """Position of the right choice, from 0."""

    rationale: str = "rationale"
    """The worked solution."""

    category: str = "category"
    """The subject."""

    def record(self, position: int, row: Row) -> Record:
        """The record of one row."""
        name = row.get(self.id)
        meta = row.get("meta")
        meta = dict(meta) if isinstance(meta, dict) else {}
        if row.get(self.category) is not None:
            meta["category"] = row[self.category]
        rationale = row.get(self.rationale)
        record: Record = {
            "id": f"{self.prefix}_{position}" if name is None else str(name),
            "question": row.get(self.question),
            "answer": row.get(self.answer),
            # Tables have an empty text where there is none; anything else is for the parser.
            "rationale": None if rationale == "" else rationale,
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
            # A row may give only the position.
            record["answer"] = LETTERS[index]
        return record | {"choices": choices, "answer_index": index}


def index_of(
    answer: object, choices: Sequence[object], labels: Sequence[object] = ()
) -> int | None:
    """The position of the right choice, from 0; None when `answer` matches no choice.

    The dataset's labels are tried first, then texts, letters and positions: "2" among the choices
    "1", "2" and "3" is the second.
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
