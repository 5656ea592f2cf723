"""What a folder scores, in this process, by the functions that the command calls."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype
from zoo import CORPUS

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import DataselectError, IncompleteError
from dataselect.scoring.checkpoint import Precision, resolve_model
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.scoring.score_models import require_items, score_models
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, TraceSet, runs_of

ALL: tuple[Measurement, ...] = ("scores", "baselines", "answers")


def questions() -> BenchmarkItems:
    """Three questions with choices and a worked example: numbers, code, accents, other scripts."""
    asked = (
        ("What is 1990 + 12?\nMind the 650841823 eggs.", "We add 12 to 1990.\nThat is 2002."),
        ("Ann's café sells 3 crêpes for €15 — 日本語. How much is one?", "15 / 3 = 5; it's 5 €."),
        ("def f(x):\n\treturn x + 1\n\nWhat is f(2)?", "    f(2)  is 2 + 1,\n\n    so 3."),
    )
    items = tuple(
        Item(
            f"q{n}",
            question,
            "B",
            choices=("one", "two 2", "3,000"),
            answer_index=1,
            rationale=why,
        )
        for n, (question, why) in enumerate(asked)
    )
    shot = Item("e0", "What is 1 + 1?", "B", ("3", "2", "1"), 1, rationale="One and one make 2.")
    return BenchmarkItems("probe", items, (shot,), stop=("\nQuestion",), new_tokens=6)


def traces_for(
    benchmark: BenchmarkItems, seed: int = 0, model: str = "oracle", shift: float = 0.0
) -> TraceSet:
    """A trace for each item, every letter with a probability of its own."""
    draw = np.random.default_rng(seed)
    made = {}
    for item in benchmark.items:
        text = f"{item.rationale} {CORPUS[0][-20:]}"
        made[item.id] = Trace(
            item.id, text, runs_of(shift + draw.uniform(0.1, 0.6, len(text))), "B"
        )
    header = TraceHeader(benchmark.id, model, "{question}", "a test")
    return TraceSet(header, made)


def evaluation() -> Evaluation:
    """The questions with their traces."""
    benchmark = questions()
    return Evaluation(benchmark, (traces_for(benchmark),), ())


def item_scores(
    folder: Path,
    on: Evaluation | None = None,
    measurements: Sequence[Measurement] = ALL,
    precision: Precision = "float32",
    store: Path | None = None,
) -> pd.DataFrame:
    """A row per item with every number that is measured; raises what scoring raises.

    `attrs["notes"]` are the notes on the scores.

    Without `store` everything is measured anew.
    """
    evaluated = on or evaluation()
    with tempfile.TemporaryDirectory() as temporary:
        artifacts = Store(store or Path(temporary) / "store")
        checkpoint = resolve_model(str(folder), precision, artifacts)
        scored = score_models(
            artifacts,
            [checkpoint],
            [evaluated],
            measurements,
            device="cpu",
            precision=precision,
            unsafe=False,
            report=_silent,
        )
    if scored.failed:
        raise IncompleteError(scored.failed[0])
    require_items(scored.benchmarks)
    (found,) = scored.benchmarks
    table = found.tables[0].set_index("item")
    table.attrs["notes"] = found.notes
    return table


def _silent(_: str) -> None: ...


def scores_or_refusal(folder: Path, **how: Any) -> pd.DataFrame | DataselectError:
    """The scores, or the one line that says why there are none.

    Any other exception is a fault of the code under test, and so is a message of several lines.
    """
    try:
        return item_scores(folder, **how)
    except DataselectError as error:
        refusal = error
    assert "\n" not in str(refusal)
    return refusal


def differing(one: pd.DataFrame, other: pd.DataFrame, tolerance: float = 1e-9) -> list[str]:
    """The columns in which two tables differ; `items` where their items do."""
    if list(one.index) != list(other.index):
        return ["items"]
    found = [str(name) for name in one.columns.symmetric_difference(other.columns)]
    for name in one.columns.intersection(other.columns):
        left, right = one[name], other[name]
        if is_numeric_dtype(left) and is_numeric_dtype(right):
            same = np.allclose(
                left.astype(float), right.astype(float), 0, tolerance, equal_nan=True
            )
        else:
            same = left.astype(str).tolist() == right.astype(str).tolist()
        if not same:
            found.append(str(name))
    return found
