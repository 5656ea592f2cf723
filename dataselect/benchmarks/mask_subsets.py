"""The ten subsets of `trillionlabs/rbridge-mask`: questions with a frontier model's reasoning.

The authors' release for the mask variant of the score (MIT). A row has a question and a reasoning
with `<span>` around its key steps. There are no answers and no ids, so nothing but the reasoning
can be scored, and an item's id is its position. `traces.marking` makes the items' traces.

Not here: the benchmarks that the questions come from, with worked examples and answers.
"""

from functools import partial

from dataselect.benchmarks.definition import (
    Definition,
    FileRows,
    HubRows,
    Record,
    Row,
    RowSource,
)
from dataselect.benchmarks.marks import parse_marks
from dataselect.config.benchmark import MASK_PREFIX, MASK_SUBSETS

MASK_DATASET = "trillionlabs/rbridge-mask"
"""The release on the Hub."""

_COLUMNS = ("question", "reasoning")


def _record(prefix: str, position: int, row: Row) -> Record:
    marked = row.get("reasoning")
    return {
        "id": f"{prefix}_{position}",
        "question": row.get("question"),
        "answer": parse_marks(marked).text if isinstance(marked, str) else None,
        "marked": marked,
    }


def _definition(subset: str) -> Definition:
    name = f"{MASK_PREFIX}{subset}"
    record = partial(_record, name)
    return Definition(
        id=name,
        title=f"{subset} of rbridge-mask",
        items=RowSource(
            FileRows(f"{name}.test.jsonl", _COLUMNS, record),
            HubRows(MASK_DATASET, "test", _COLUMNS, record, name=subset),
        ),
        label="answer",
        answers="text",
    )


MASKED = {f"{MASK_PREFIX}{subset}": _definition(subset) for subset in MASK_SUBSETS}
"""The ten definitions, by id."""
