"""Several models on the same items: measured once, collected in order, compared on what they share.

Measurements are written by hand, so that no model is loaded.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import byte_tokenizer

from dataselect.benchmarks.items import BenchmarkItems, CodeCheck, Exclusion, Item
from dataselect.compute.machine import this_machine
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import ModelCheckpoint
from dataselect.scoring.evaluation import Evaluation, Measurement
from dataselect.scoring.isft import with_isft
from dataselect.scoring.non_finite import NOT_FINITE, failure
from dataselect.scoring.score_models import (
    BenchmarkScores,
    ModelScores,
    distinct,
    score_by_frontier,
    score_models,
    tokenizers_note,
)
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

ITEMS = tuple(Item(f"q{n}", f"What is {n} + 1?", str(n + 1)) for n in range(4))


def model(name: str) -> ModelCheckpoint:
    return ModelCheckpoint(name, Path("nowhere"), {"model": {"files": {"weights": name}}})


def traces(model: str = "oracle", text: str = "One more.") -> TraceSet:
    made = {item.id: Trace(item.id, text, ((len(text), 0.5),)) for item in ITEMS}
    return TraceSet(TraceHeader("adding", model, "{question}", "a test"), made)


def evaluation(*sets: TraceSet, left_out: Sequence[Exclusion] = ()) -> Evaluation:
    return Evaluation(BenchmarkItems("adding", ITEMS), sets or (traces(),), tuple(left_out))


def publish(
    store: Store,
    spec: Mapping[str, Any],
    measurement: Measurement,
    column: str,
    rows: Mapping[str, float],
    exclusions: Mapping[str, str] | None = None,
    **more: Any,
) -> None:
    table = pd.DataFrame({"item": list(rows), column: list(rows.values())})
    left_out = [{"item": item, "reason": reason} for item, reason in (exclusions or {}).items()]
    facts = {"exclusions": left_out, "notes": [f"{measurement} noted"], "flops": 1.0} | more
    with store.publish(measurement, spec) as folder:
        table.to_parquet(folder / "scores.parquet", index=False)
        (folder / "facts.json").write_text(json.dumps(facts))


def every(value: float) -> dict[str, float]:
    return {item.id: value + n for n, item in enumerate(ITEMS)}


def collect(
    store: Store, names: Sequence[str], made: Evaluation, measurements: Sequence[Measurement]
) -> BenchmarkScores:
    scored = score_models(
        store,
        [model(name) for name in names],
        [made],
        measurements,
        device="cpu",
        precision="float32",
        unsafe=False,
        report=refuse,
    )
    assert scored.failed == {}
    (found,) = scored.benchmarks
    return found


def refuse(text: str) -> NoReturn:
    raise AssertionError(f"something was measured: {text}")


def test_measurements_stand_side_by_side_on_the_items_that_all_models_have(tmp_path: Path) -> None:
    store, malformed = Store(tmp_path), Exclusion("line 7", "it has no id")
    made = evaluation(left_out=[malformed])
    for name, start in (("one", 1.0), ("two", 10.0)):
        (scores,), (answers,) = (made.specs(model(name), kind) for kind in ("scores", "answers"))
        rows, reasons = every(start), {}
        if name == "two":
            del rows["q1"]
            reasons = {"q1": "it needs more tokens"}
        publish(store, scores, "scores", "rbridge", rows, reasons)
        written = every(start * 100)
        if name == "one":
            del written["q3"]
        said = {"q3": "no room for an answer", "q1": "its question is long"}
        publish(store, answers, "answers", "ted", dict(reversed(written.items())), said)

    found = collect(store, ["two", "one"], made, ["scores", "answers"])
    for table, start in zip(found.tables, (10.0, 1.0), strict=True):
        assert list(table.columns) == ["item", "rbridge", "ted"]
        assert list(table["item"]) == ["q0", "q2"]
        assert list(table["rbridge"]) == [start, start + 2]
        assert list(table["ted"]) == [start * 100, start * 100 + 2]
    # Each item once, whatever else is said of it.
    assert found.exclusions == (
        malformed,
        Exclusion("q1", "it needs more tokens"),
        Exclusion("q3", "no room for an answer"),
    )
    assert found.notes == ("scores noted", "answers noted")
    assert found.flops == 4.0
    assert found.evaluation is made


def attempt(store: Store, names: Sequence[str], made: Evaluation) -> ModelScores:
    return score_models(
        store,
        [model(name) for name in names],
        [made],
        ["scores"],
        device="cpu",
        precision="float32",
        unsafe=False,
        report=refuse,
    )


def of_twenty(store: Store, name: str, bad: Sequence[str], value: float | None) -> Evaluation:
    """A measurement of 20 items, with values or exclusions for the bad ones."""
    items = tuple(Item(f"q{n}", f"What is {n} + 1?", str(n + 1)) for n in range(20))
    made = Evaluation(BenchmarkItems("adding", items), (traces(),), ())
    rows = {item.id: float(n) for n, item in enumerate(items)}
    if value is None:
        rows = {item: row for item, row in rows.items() if item not in bad}
    else:
        rows |= dict.fromkeys(bad, value)
    (spec,) = made.specs(model(name), "scores")
    reasons = dict.fromkeys(bad, NOT_FINITE) if value is None else {}
    publish(store, spec, "scores", "rbridge", rows, reasons)
    return made


@pytest.mark.parametrize("value", [None, np.nan, np.inf])
def test_a_value_that_is_not_finite_is_left_out_for_all_also_if_it_was_stored_before(
    tmp_path: Path, value: float | None
) -> None:
    store = Store(tmp_path)
    of_twenty(store, "one", ["q3"], value)
    made = of_twenty(store, "two", ["q3"], value)
    of_twenty(store, "three", [], None)
    (found,) = attempt(store, ["one", "two", "three"], made).benchmarks
    for table in found.tables:
        assert "q3" not in set(table["item"])
        assert len(table) == 19
        assert np.isfinite(table["rbridge"]).all()
    assert found.exclusions == (Exclusion("q3", "its value is not finite for one, two"),)
    assert "left out for all, since the value is not finite for one, two: 1 (q3)" in found.notes


@pytest.mark.parametrize("value", [None, np.nan])
def test_a_model_with_more_than_a_twentieth_fails_and_costs_the_others_no_item(
    tmp_path: Path, value: float | None
) -> None:
    store = Store(tmp_path)
    of_twenty(store, "bad", ["q3", "q4"], value)
    made = of_twenty(store, "one", ["q5"], value)
    of_twenty(store, "two", [], None)
    scored = attempt(store, ["one", "bad", "two"], made)
    assert list(scored.failed) == [1]
    assert "its values are not finite numbers on 2 of 20 items of adding" in scored.failed[1]
    (found,) = scored.benchmarks
    assert [len(table) for table in found.tables] == [19, 19]
    assert [each.item for each in found.exclusions] == ["q5"]
    # Scores are those without it.
    (alone,) = attempt(store, ["one", "two"], made).benchmarks
    for one, other in zip(found.tables, alone.tables, strict=True):
        pd.testing.assert_frame_equal(one, other)
    for names in (["bad"], ["bad", "bad"]):
        with pytest.raises(InputError, match="2 of 20 items of adding"):
            attempt(store, names, made)
    with pytest.raises(InputError, match="2 of 20 items of adding"):
        score_by_frontier(store, [model("one"), model("bad")], made, device="cpu", report=refuse)


def test_of_few_items_a_single_one_may_lack_a_value_if_another_is_left() -> None:
    lost = [Exclusion("q0", NOT_FINITE)]
    assert failure(lost, 1, "adding") is None
    assert failure(lost, 0, "adding") is not None
    assert failure(lost, 1, "adding", tolerant=False) is not None
    assert failure([Exclusion("q0", "too long")], 0, "adding") is None
    assert failure([Exclusion(f"q{n}", NOT_FINITE) for n in range(5)], 95, "adding") is None
    assert failure([Exclusion(f"q{n}", NOT_FINITE) for n in range(6)], 95, "adding") is not None


def test_a_model_that_failed_after_fine_tuning_keeps_its_other_scores(tmp_path: Path) -> None:
    store = Store(tmp_path)
    made = of_twenty(store, "one", [], None)
    of_twenty(store, "two", [], None)
    (before,) = attempt(store, ["one", "two"], made).benchmarks
    graded = before.tables[1][["item"]].assign(correct=1.0)
    after = ModelScores((replace(before, tables=(graded,), notes=()),), {0: "diverged"})
    (found,) = with_isft([before], after)
    assert "isft_accuracy" not in found.tables[0]
    assert found.tables[1]["isft_accuracy"].mean() == 1.0
    assert found.tables[0]["rbridge"].equals(before.tables[0]["rbridge"])


def test_models_scored_by_two_kinds_of_machines_have_a_note(tmp_path: Path) -> None:
    here = this_machine("cpu")
    there = replace(here, instructions="another set")
    for place, machines in (
        ("same", (here, here)),
        ("mixed", (here, there)),
        ("old", (here, None)),
    ):
        store, made = Store(tmp_path / place), evaluation()
        for name, machine in zip(("one", "two"), machines, strict=True):
            (spec,) = made.specs(model(name), "scores")
            record = {} if machine is None else {"machine": machine.record()}
            publish(store, spec, "scores", "rbridge", every(1.0), **record)
        noted = collect(store, ["one", "two"], made, ["scores"]).notes
        assert noted[0] == "scores noted"
        if place == "same":
            assert len(noted) == 1
            continue
        told = {"mixed": "instructions another set: two", "old": "not recorded"}[place]
        assert told in noted[1]


def test_models_without_an_item_in_common_have_empty_tables(tmp_path: Path) -> None:
    store, made = Store(tmp_path), evaluation()
    for name, item in (("one", "q0"), ("two", "q1")):
        (spec,) = made.specs(model(name), "scores")
        publish(store, spec, "scores", "rbridge", {item: 1.0})
    found = collect(store, ["one", "two"], made, ["scores"])
    assert [len(table) for table in found.tables] == [0, 0]


def compared(store: Store, made: Evaluation, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    models = [ModelCheckpoint(n.strip("'"), Path(), model(n).identity) for n in names]
    return score_by_frontier(store, models, made, device="cpu", report=refuse)


def measured_by_each(store: Store, made: Evaluation, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        for at, spec in enumerate(made.specs(model(name), "scores")):
            rows = every(10.0 * at + number)
            del rows[f"q{at}"]
            publish(store, spec, "scores", "rbridge", rows)


def test_each_frontier_model_has_a_table_on_the_items_that_all_have(tmp_path: Path) -> None:
    store, made = Store(tmp_path), evaluation(traces("a"), traces("b", "Two more."))
    measured_by_each(store, made, ["one", "two"])
    found = compared(store, made, ["one", "two"])
    assert list(found) == ["a", "b"]
    for name, start in (("a", 0.0), ("b", 10.0)):
        assert list(found[name].columns) == ["one", "two"]
        assert list(found[name].index) == ["q2", "q3"]
        assert list(found[name]["two"]) == [start + 3, start + 4]


def test_files_and_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    second = traces("a", "Two more.")
    store, made = Store(tmp_path), evaluation(traces("a"), second)
    measured_by_each(store, made, ["one", "one'"])
    found = compared(store, made, ["one", "one'"])
    assert list(found) == ["a", f"a ({second.hash[:8]})"]
    for table in found.values():
        assert list(table.columns) == ["one", "one-2"]


def test_without_a_shared_item_there_is_nothing_to_compare(tmp_path: Path) -> None:
    store, made = Store(tmp_path), evaluation(traces("a"), traces("b", "Two more."))
    for spec, item in zip(made.specs(model("one"), "scores"), ("q0", "q1"), strict=True):
        publish(store, spec, "scores", "rbridge", {item: 1.0})
    with pytest.raises(InputError, match="benchmark 'adding': there is no item that every model"):
        compared(store, made, ["one"])


@given(st.lists(st.sampled_from(["a", "b", "a-2", "a-3", "a-2-2", ""]), max_size=8))
def test_distinct_names_are_distinct_and_first_come_keeps_its_own(names: list[str]) -> None:
    made = distinct(names)
    assert len(made) == len(names) == len(set(made))
    for number, (name, given_to) in enumerate(zip(names, made, strict=True)):
        if name not in names[:number]:
            assert given_to == name
        else:
            assert given_to.startswith(f"{name}-")


def test_programs_that_could_not_be_isolated_are_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataselect.benchmarks.sandbox.isolation_problem", lambda: "not here")
    code = Item("h", "def f():\n", "    pass\n", code=CodeCheck("def check(f): f()\n", "f"))
    programs = Evaluation(BenchmarkItems("humaneval", (code,)), (), ())
    with pytest.raises(InputError, match=r"in isolation here \(not here\).*--confirm-run-unsafe"):
        score_models(
            Store(tmp_path),
            [],
            [programs],
            ("graded",),
            device="cpu",
            precision="float32",
            unsafe=False,
            report=print,
        )


@pytest.mark.parametrize(("count", "said"), [(1, ["a"]), (3, ["1/3 a", "2/3 a", "3/3 a"])])
def test_of_several_models_what_is_done_has_the_model_s_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, said: list[str]
) -> None:
    monkeypatch.setattr(
        "dataselect.scoring.score_models.measure", lambda *_, report, **__: report("a")
    )
    heard: list[str] = []
    score_models(
        Store(tmp_path),
        [model(str(number)) for number in range(count)],
        [],
        ("scores",),
        device="cpu",
        precision="float32",
        unsafe=False,
        report=heard.append,
    )
    assert heard == said


def test_models_of_several_tokenizers_are_noted(tmp_path: Path) -> None:
    for name, text in (("one", "some words"), ("two", "some words"), ("three", "other ones")):
        byte_tokenizer(300, (text,) * 5).save_pretrained(tmp_path / name)
    models = {name: replace(model(name), path=tmp_path / name) for name in ("one", "two", "three")}
    assert tokenizers_note([models["one"], models["two"]]) == []
    (note,) = tokenizers_note(list(models.values()))
    assert note.endswith("between models of other tokenizers (one, two; three)")
