"""Measurements as artifacts: what their keys depend on, and how they are read back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.errors import IncompleteError
from dataselect.scoring.evaluate import measure
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.measured import find, is_measured, read
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

ITEMS = tuple(Item(f"q{n}", f"What is {n} + 1?", str(n + 1)) for n in range(3))
ADDING = BenchmarkItems("adding", ITEMS)
KINDS = ("scores", "baselines", "answers", "graded", "masks")


@dataclass(frozen=True)
class Known:
    """A checkpoint that must not be loaded."""

    identity: Mapping[str, Any] = field(default_factory=lambda: {"model": "one"})

    def folder(self) -> NoReturn:
        raise AssertionError("it was loaded")


def traces(
    model: str = "oracle", text: str = "One more.", exclusions: tuple[Exclusion, ...] = ()
) -> TraceSet:
    header = TraceHeader("adding", model, "{question}", "a test")
    left_out = {each.item for each in exclusions}
    made = {i.id: Trace(i.id, text, ((len(text), 0.5),)) for i in ITEMS if i.id not in left_out}
    return TraceSet(header, made, exclusions)


def evaluation(*sets: TraceSet, **changes: Any) -> Evaluation:
    return replace(Evaluation(ADDING, sets or (traces(),), ()), **changes)


def keys(made: Evaluation, of: Known | None = None) -> dict[str, list[str]]:
    return {kind: made.keys(of or Known(), kind) for kind in KINDS}  # type: ignore[arg-type]


def changed(made: Evaluation, of: Known | None = None) -> set[str]:
    """The measurements whose keys are not those of the plain evaluation."""
    before, after = keys(evaluation()), keys(made, of)
    return {kind for kind in KINDS if before[kind] != after[kind]}


def test_nothing_else_than_what_scores_depend_on_is_in_a_key() -> None:
    same = replace(traces(model="renamed"), exclusions=(Exclusion("q9", "it was refused"),))
    left_out = (Exclusion("line 4", "it has no id"),)
    renamed = replace(ADDING, id="renamed", revision="somewhere@1", task="sums")
    assert changed(Evaluation(renamed, (same,), left_out)) == set()


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (evaluation(benchmark=replace(ADDING, prompt="{question}")), set(KINDS)),
        (evaluation(benchmark=replace(ADDING, items=ITEMS[:2])), set(KINDS)),
        (evaluation(traces("oracle", "Two more.")), {"scores", "baselines", "masks"}),
        (evaluation(weight_scope="none"), {"scores"}),
        (evaluation(weight_scope="span"), {"scores"}),
        (evaluation(benchmark=replace(ADDING, stop=("\n",))), {"answers", "graded"}),
        (evaluation(benchmark=replace(ADDING, new_tokens=9)), {"answers", "graded"}),
        (evaluation(benchmark=replace(ADDING, answers="text")), {"graded"}),
    ],
)
def test_each_measurement_has_in_its_key_what_it_depends_on(
    made: Evaluation, wanted: set[str]
) -> None:
    assert changed(made) == wanted


def test_another_checkpoint_has_other_keys() -> None:
    assert changed(evaluation(), Known({"model": "two"})) == set(KINDS)
    whole = keys(evaluation())
    assert len({key for found in whole.values() for key in found}) == len(KINDS)


def test_each_set_of_traces_has_scores_of_its_own() -> None:
    one, two = traces("one"), traces("two", "Two more.")
    both = keys(evaluation(one, two))
    assert both["scores"] == keys(evaluation(one))["scores"] + keys(evaluation(two))["scores"]
    assert both["masks"] == keys(evaluation(one))["masks"] + keys(evaluation(two))["masks"]
    of_each = ("scores", "masks")
    assert {kind: len(found) for kind, found in both.items() if kind not in of_each} == {
        "baselines": 1,
        "answers": 1,
        "graded": 1,
    }
    # One baseline reads the traces, those of every frontier model, in whatever order.
    assert both["baselines"] != keys(evaluation(one))["baselines"]
    assert both["baselines"] == keys(evaluation(two, one))["baselines"]


def test_hash_of_traces_says_which_scores_are_comparable() -> None:
    one, two = traces(), traces("two", "Two more.")
    assert evaluation(one).traces_hash == one.hash
    assert evaluation(one, two).traces_hash == evaluation(two, one).traces_hash
    made = [
        evaluation(one),
        evaluation(two),
        evaluation(one, two),
        evaluation(one, weight_scope="none"),
        evaluation(one, weight_scope="benchmark"),
        evaluation(one, weight_scope="span"),
    ]
    assert len({each.traces_hash for each in made}) == len(made)


def publish(
    store: Store,
    spec: Mapping[str, Any],
    rows: dict[str, float],
    left_out: dict[str, str],
    column: str = "rbridge",
    kind: str = "scores",
) -> None:
    table = pd.DataFrame({"item": list(rows), column: list(rows.values())})
    facts = {
        "exclusions": [{"item": item, "reason": reason} for item, reason in left_out.items()],
        "notes": ["a note"],
        "flops": 2.0,
    }
    with store.publish(kind, spec) as folder:
        table.to_parquet(folder / "scores.parquet", index=False)
        (folder / "facts.json").write_text(json.dumps(facts))


def test_several_sets_of_traces_are_averaged_where_all_have_a_score(tmp_path: Path) -> None:
    store, made = Store(tmp_path), evaluation(traces(), traces("two", "Two more."))
    first, second = made.specs(Known(), "scores")
    publish(store, first, {"q0": 1.0, "q1": 2.0, "q2": 3.0}, {})
    assert find(store, Known(), made, "scores") is None
    publish(store, second, {"q2": 5.0, "q0": 2.0}, {"q1": "it needs more tokens"})
    found = find(store, Known(), made, "scores")
    assert found is not None
    assert dict(zip(found.table["item"], found.table["rbridge"], strict=True)) == {
        "q0": 1.5,
        "q2": 4.0,
    }
    assert found.exclusions == (Exclusion("q1", "it needs more tokens"),)
    assert found.notes == ("a note",)
    assert found.flops == 4.0


def test_a_value_that_one_set_of_traces_lacks_is_no_mean(tmp_path: Path) -> None:
    store, made = Store(tmp_path), evaluation(traces(), traces("two", "Two more."))
    first, second = made.specs(Known(), "masks")
    publish(store, first, {"q0": 1.0, "q1": 2.0}, {}, "mask", "masks")
    publish(store, second, {"q0": 2.0, "q1": float("nan")}, {}, "mask", "masks")
    found = find(store, Known(), made, "masks")
    assert found is not None
    assert found.table["mask"].iloc[0] == 1.5
    assert np.isnan(found.table["mask"].iloc[1])
    assert not found.exclusions


def test_an_item_without_a_trace_has_the_reason_that_its_traces_give(tmp_path: Path) -> None:
    store, refused = Store(tmp_path), Exclusion("q1", "it was refused")
    made = evaluation(traces(exclusions=(refused,)))
    (spec,) = made.specs(Known(), "scores")
    publish(store, spec, {"q0": 1.0}, {"q1": "it has no trace", "q2": "it needs more tokens"})
    found = find(store, Known(), made, "scores")
    assert found is not None
    assert found.exclusions == (refused, Exclusion("q2", "it needs more tokens"))

    # The same traces, another reason: the artifact is the same.
    wrong = Exclusion("q1", "its trace's answer is wrong")
    found = find(store, Known(), evaluation(traces(exclusions=(wrong,))), "scores")
    assert found is not None
    assert found.exclusions[0] == wrong

    # A set that knows no reason does not hide the reason of another.
    unknown = Exclusion("q1", "it has no trace")
    both = evaluation(traces(exclusions=(refused,)), traces(exclusions=(unknown,)))
    found = find(store, Known(), both, "scores")
    assert found is not None
    assert found.exclusions[0] == refused


def test_what_is_measured_is_not_measured_again(tmp_path: Path) -> None:
    store, made = Store(tmp_path), evaluation()
    assert not is_measured(store, Known(), [made], ["scores"])
    with pytest.raises(AssertionError, match="it was loaded"):
        measure(store, Known(), [made], ["scores"], device="cpu", name="one")
    (spec,) = made.specs(Known(), "scores")
    publish(store, spec, {"q0": 1.0}, {})
    assert is_measured(store, Known(), [made], ["scores"])
    measure(store, Known(), [made], ["scores"], device="cpu", name="one")
    assert not is_measured(store, Known(), [made], ["scores", "answers"])


def test_a_measurement_that_has_gone_says_so_and_what_to_do(tmp_path: Path) -> None:
    evaluation = Evaluation(ADDING, (traces(),), ())
    with pytest.raises(IncompleteError, match="scores of adding have gone from the store"):
        read(Store(tmp_path), Known(), evaluation, "scores")
