"""Benchmarks brought together with their traces, from wherever these come."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model

from dataselect.benchmarks.items import BenchmarkItems, CodeCheck, Exclusion, Item
from dataselect.config.benchmark import Benchmark
from dataselect.config.plan import Plan, load_plan
from dataselect.errors import InputError
from dataselect.scoring.gather import (
    Weighing,
    find_traces,
    gather,
    make_evaluation,
    planned_benchmark,
    recorded,
    released,
)
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, TraceSet, read_traces, write_traces

ITEMS = tuple(
    Item(f"q{n}", f"What is {n} + 1?", str(n + 1), rationale=f"It is {n + 1}.") for n in range(4)
)
ADDING = BenchmarkItems("adding", ITEMS)
PLAN = """\
tokenizer: {train: {vocab_size: 300}}
benchmarks:
  - BENCHMARK
screen: {keep: 1, proxy: {size: 4M, tokens: 1M}}
"""


def silent(_: str) -> None: ...


def refuse(*arguments: Any, **options: Any) -> Any:
    raise AssertionError("this was done already")


def traces(
    model: str = "oracle",
    answers: dict[str, str | None] | None = None,
    benchmark: str = "adding",
    text: str = "One more.",
) -> TraceSet:
    given = {i.id: i.answer for i in ITEMS} if answers is None else answers
    made = {i: Trace(i, text, ((len(text), 0.5),), answer) for i, answer in given.items()}
    return TraceSet(TraceHeader(benchmark, model, "{question}", "a test"), made)


def put(path: Path, made: TraceSet) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_traces(path, made.header, made.traces.values())
    return path


# --- which traces


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., list[str]]:
    """Models of the traces that are found for the benchmark, without asking the Hub."""

    def found(*sources: Path) -> list[str]:
        store = Store(tmp_path / "store")
        made = find_traces(ADDING, sources, tmp_path / "traces", store, silent)
        return [each.header.model for each in made]

    return found


def test_named_files_are_averaged_in_the_order_given(find: Any, tmp_path: Path) -> None:
    one, two = (put(tmp_path / f"{m}.jsonl", traces(m)) for m in ("one", "two"))
    put(tmp_path / "traces" / "adding.default.jsonl.gz", traces("default"))
    assert find(two, one) == ["two", "one"]


def test_files_of_other_benchmarks_are_for_those(find: Any, tmp_path: Path) -> None:
    other = put(tmp_path / "other.jsonl", traces("other", benchmark="products"))
    one = put(tmp_path / "one.jsonl", traces("one"))
    assert find(other, one) == ["one"]
    with pytest.raises(InputError, match="--traces: no file among them is for benchmark 'adding'"):
        find(other)


def test_a_named_file_wins_over_a_folder(find: Any, tmp_path: Path) -> None:
    put(tmp_path / "folder" / "adding.a.jsonl", traces("a"))
    one = put(tmp_path / "one.jsonl", traces("one"))
    assert find(tmp_path / "folder") == ["a"]
    assert find(tmp_path / "folder", one) == ["one"]


def test_each_folder_may_hold_one_file_for_the_benchmark(find: Any, tmp_path: Path) -> None:
    for name in ("a", "b"):
        put(tmp_path / name / f"adding.{name}.jsonl", traces(name))
        put(tmp_path / name / "products.jsonl", traces("other", benchmark="products"))
    assert find(tmp_path / "a", tmp_path / "b") == ["a", "b"]
    put(tmp_path / "a" / "adding.c.jsonl", traces("c"))
    with pytest.raises(InputError, match=r"2 trace files for adding \(adding.a.jsonl, adding.c.j"):
        find(tmp_path / "a")


def test_the_default_folder_is_used_where_nothing_is_named(find: Any, tmp_path: Path) -> None:
    put(tmp_path / "traces" / "adding.default.jsonl.gz", traces("default"))
    assert find() == ["default"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no file among them is for"):
        find(tmp_path / "empty")


def test_without_any_the_released_traces_are_brought_once(
    find: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bring(source: str, benchmark: BenchmarkItems) -> TraceSet:
        assert (source, benchmark) == ("trillionlabs/rBridge", ADDING)
        return traces("gpt-4o")

    monkeypatch.setattr("dataselect.scoring.gather.import_released", bring)
    said: list[str] = []
    first = released(ADDING, Store(tmp_path / "store"), said.append)
    assert said == ["fetching the released traces of adding from trillionlabs/rBridge"]
    monkeypatch.setattr("dataselect.scoring.gather.import_released", refuse)
    assert find() == ["gpt-4o"]
    assert released(ADDING, Store(tmp_path / "store"), refuse).hash == first.hash
    with pytest.raises(AssertionError, match="done already"):
        released(replace(ADDING, items=ITEMS[:2]), Store(tmp_path / "store"), silent)


def test_a_file_for_none_of_the_items_is_refused(tmp_path: Path) -> None:
    path = put(tmp_path / "z.jsonl", traces(answers={"z": "1"}))
    with pytest.raises(InputError, match="none of its 1 traces"):
        recorded([path], ADDING)


def test_rationales_are_weighed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, model = Store(tmp_path / "store"), str(save_model(tmp_path / "frontier"))
    said: list[str] = []
    first = Weighing.of(model, ADDING, store).make(store, "cpu", said.append)
    assert said == ["weighing the rationales of adding with frontier"]
    assert first.traces["q2"].text == "It is 3."
    assert first.header.model == "frontier"
    monkeypatch.setattr("dataselect.scoring.local_frontier.LocalFrontier", refuse)
    assert Weighing.of(model, ADDING, store).make(store, "cpu", refuse).hash == first.hash


# --- evaluations


def test_worked_examples_get_the_first_frontier_model_s_reasoning() -> None:
    shots = (Item("e1", "1 + 1?", "2"), Item("e2", "2 + 2?", "4", rationale="Four."))
    benchmark = replace(ADDING, shots=shots)
    first, second = traces("one"), traces("two")
    first = replace(first, traces={**first.traces, "e1": Trace("e1", "Two.", ((4, 0.5),))})
    said: list[str] = []
    made = make_evaluation(benchmark, (), [first, second], said.append)
    assert [shot.rationale for shot in made.benchmark.shots] == ["Two.", "Four."]
    assert made.traces == (first, second)
    assert said == []
    bare = make_evaluation(benchmark, (), [second, first], said.append)
    assert bare.benchmark.shots[0].rationale is None
    assert "1 of 2 worked examples show an answer without reasoning (e1)" in said[0]


def test_only_correct_leaves_out_wrong_and_unclear_answers() -> None:
    given = traces(answers={"q0": "1", "q1": "3", "q2": None, "q3": "4.0"})
    made = make_evaluation(ADDING, (), [given], silent, only_correct=True)
    (kept,) = made.traces
    assert set(kept.traces) == {"q0", "q3"}
    assert kept.exclusions == (
        Exclusion("q1", "its trace's answer is wrong"),
        Exclusion("q2", "its trace's answer is unclear"),
    )
    assert make_evaluation(ADDING, (), [given], silent).traces == (given,)


@pytest.mark.parametrize("items", [ITEMS, ITEMS[1:2]])
def test_only_correct_needs_a_right_answer_to_one_of_the_items(items: tuple[Item, ...]) -> None:
    right = {"q0": "1"} if len(items) == 1 else {}
    given = traces(answers={"q1": "3", "q2": "5", **right})
    with pytest.raises(InputError, match="of oracle ends in a right answer; leave 'only_correct'"):
        make_evaluation(replace(ADDING, items=items), (), [given], silent, only_correct=True)


def test_only_correct_runs_programs_for_benchmarks_of_code() -> None:
    check = CodeCheck("def check(f):\n    assert f() == 3\n", "three")
    items = tuple(Item(f"c{n}", "def three():\n", "    return 3\n", code=check) for n in range(2))
    given = traces(answers={"c0": "    return 3\n", "c1": "    return 4\n"})
    benchmark = BenchmarkItems("code", items)
    made = make_evaluation(benchmark, (), [given], silent, only_correct=True, unsafe=True)
    assert set(made.traces[0].traces) == {"c0"}


# --- from a plan


def load(folder: Path, benchmark: str) -> tuple[Plan, Benchmark]:
    (folder / "plan.yaml").write_text(PLAN.replace("BENCHMARK", f"{{{benchmark}}}"))
    plan = load_plan("plan.yaml", folder)
    return plan, plan.benchmarks[0]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Questions of an own benchmark and of GSM8K, and their traces."""
    rows = [
        {"id": i.id, "question": i.question, "answer": i.answer, "rationale": i.rationale}
        for i in ITEMS
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    for name in ("adding.jsonl", "gsm8k.test.jsonl"):
        (tmp_path / name).write_text(text)
    (tmp_path / "adding.yaml").write_text("name: adding\nitems: adding.jsonl\nshots: items\n")
    put(tmp_path / "one.jsonl", traces("one"))
    put(tmp_path / "two.jsonl", traces("two", text="Two more."))
    return tmp_path


def test_a_plan_changes_what_it_names_of_a_definition(files: Path) -> None:
    plan, chosen = load(
        files,
        "id: mine, items: adding.yaml, traces: one.jsonl, label: answer, task: sums,"
        " prompt: 'Q {question}', shot_count: 1, limit: 3",
    )
    made, left_out = planned_benchmark(plan, chosen, silent)
    assert (made.id, made.label, made.task, made.prompt) == (
        "mine",
        "answer",
        "sums",
        "Q {question}",
    )
    assert (len(made.items), made.shot_count, left_out) == (3, 1, ())
    assert [shot.id for shot in made.examples(made.items[0])] == ["q1"]
    plan, chosen = load(files, "id: mine, items: adding.yaml, traces: one.jsonl")
    plain, _ = planned_benchmark(plan, chosen, silent)
    assert (plain.label, plain.prompt) == ("solution", "Question: {question}\nAnswer:")
    assert len(plain.items) == 4


def test_a_plan_finds_a_known_benchmark_in_its_folder_and_hands_on_notes(files: Path) -> None:
    plan, chosen = load(files, "id: gsm8k, folder: ., weigh: somewhere")
    said: list[str] = []
    made, _ = planned_benchmark(plan, chosen, said.append)
    assert (made.id, made.task, len(made.items)) == ("gsm8k", "grade school math", 4)
    assert "NO WORKED EXAMPLES" in said[0]


def test_gather_gives_each_benchmark_its_traces_and_options(files: Path) -> None:
    save_model(files / "frontier")
    plan, _ = load(files, "id: both, items: adding.yaml, traces: [one.jsonl, two.jsonl]")
    more = (
        "  - {id: gsm8k, folder: ., weigh: frontier}\n"
        "  - {id: right, items: adding.yaml, traces: one.jsonl, only_correct: true,"
        " weights: none}\n"
    )
    text = (files / "plan.yaml").read_text().replace("screen:", more + "screen:")
    (files / "plan.yaml").write_text(text)
    plan = load_plan("plan.yaml", files)
    found = gather(plan, Store(files / "store"), "cpu", silent)
    models = {name: [t.header.model for t in each.traces] for name, each in found.items()}
    assert models == {"both": ["one", "two"], "gsm8k": ["frontier"], "right": ["one"]}
    assert (found["right"].weight_scope, found["both"].weight_scope) == (
        "none",
        "trace",
    )
    assert found["both"].benchmark.content_hash == found["right"].benchmark.content_hash
    assert read_traces(files / "one.jsonl").hash == found["right"].traces[0].hash


def test_what_is_said_of_a_benchmark_is_in_its_notes_and_in_no_key(files: Path) -> None:
    save_model(files / "frontier")
    rows = (files / "gsm8k.test.jsonl").read_text().splitlines()
    long = {"id": "q9", "question": "Mind. " * 2000, "answer": "9", "rationale": "It is 9."}
    bare = {"id": "q8", "question": "8?", "answer": "8"}
    rows += [json.dumps(row) for row in (long, bare)]
    (files / "gsm8k.test.jsonl").write_text("\n".join(rows) + "\n")
    some = traces("some")
    put(files / "some.jsonl", replace(some, traces={"q0": some.traces["q0"]}))
    plan, _ = load(files, "id: few, items: adding.yaml, traces: some.jsonl")
    text = (files / "plan.yaml").read_text()
    more = "  - {id: gsm8k, folder: ., weigh: frontier}\n"
    (files / "plan.yaml").write_text(text.replace("screen:", more + "screen:"))
    plan = load_plan("plan.yaml", files)
    said: list[str] = []
    first = gather(plan, Store(files / "store"), "cpu", said.append)
    again = gather(plan, Store(files / "store"), "cpu", silent)
    assert any("3 of 4 items have no trace" in note for note in first["few"].notes)
    missing, untraced, unreasoned = first["gsm8k"].notes
    assert missing.startswith("NO WORKED EXAMPLES")
    assert "1 items of 'gsm8k' have no trace (q9: it needs" in untraced
    assert unreasoned == "1 of 6 items have no rationale to weigh"
    # Progress is not a note, and a store that has the traces leaves no note out.
    assert any("weighing the rationales" in line for line in said)
    assert {name: each.notes for name, each in again.items()} == {
        name: each.notes for name, each in first.items()
    }
    plain = replace(first["few"], notes=())
    assert plain.traces_hash == first["few"].traces_hash
    assert plain.benchmark.content_hash == first["few"].benchmark.content_hash
