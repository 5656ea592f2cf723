"""Output of `dataselect score`, from hand-made scores without any model."""

import io
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dataselect.benchmarks.items import BenchmarkItems, CodeCheck, Exclusion, Item
from dataselect.report.tables.score_matrix import write_tables
from dataselect.report.tables.scores import print_scores, summary, write_scores
from dataselect.scoring.checkpoint import ModelCheckpoint
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.score_models import BenchmarkScores
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

HOSTILE = "[red]\x1b[31m\x1b]0;title\x07[/bad]\u202e\n\x9b2J\r"
WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FACTS = {"device": "cpu", "dtype": "float32", "limit": None}
COUNT = 4
NUMBER = Item("q0", "What?", "1")
CHOICE = Item("q0", "What?", "A", ("a", "b"), 0)
CODE = Item("q0", "def f():\n", "    return 1\n", code=CodeCheck("def check(f): ...", "f"))


def model(name: str = "first", **identity: Any) -> ModelCheckpoint:
    return ModelCheckpoint(name, Path("nowhere"), {"model": identity or {"files": {"a": "b"}}})


def evaluation(name: str = "sums", item: Item = NUMBER, **changes: Any) -> Evaluation:
    items = tuple(replace(item, id=f"q{n}") for n in range(COUNT))
    trace = Trace("q0", "One.", ((4, 0.5),))
    header = TraceHeader(name, "oracle", "{question}", "a test", created="2026-01-01")
    made = Evaluation(BenchmarkItems(name, items, revision="there@1"), (), ())
    return replace(made, traces=(TraceSet(header, {"q0": trace}),), **changes)


def table(start: float = 1.0, **columns: Any) -> pd.DataFrame:
    values = start + np.arange(COUNT, dtype=float)
    made = {"item": [f"q{n}" for n in range(COUNT)], "rbridge": values, "trace_nll": values + 0.5}
    return pd.DataFrame({**made, "label_nll": values * 2, "trace_tokens": [7] * COUNT, **columns})


def scores(
    *tables: pd.DataFrame,
    of: Evaluation | None = None,
    exclusions: Sequence[Exclusion] = (),
    notes: Sequence[str] = (),
) -> BenchmarkScores:
    made = tables or (table(),)
    return BenchmarkScores(of or evaluation(), made, tuple(exclusions), tuple(notes), 12.0)


def shown(*parts: BenchmarkScores, models: Sequence[ModelCheckpoint] = ()) -> str:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    print_scores(models or [model()], parts, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def harmless(text: str) -> bool:
    return all(letter.isprintable() or letter == "\n" for letter in text)


# --- the summary


def test_means_over_fewer_items_and_infinite_ones_are_told() -> None:
    gaps = table(scb_nll=[1.0, np.nan, 3.0, np.nan])
    assert "sums: ScB: over 2 of 4 items" in shown(scores(gaps))
    ratios = table(total_prob_uncond=[1.0, np.inf, np.inf, 2.0])
    text = " ".join(shown(scores(ratios)).split())
    assert "sums: total_prob_uncond: no mean, since it is infinite on 2 of 4 items" in text
    assert "over" not in shown(scores(table())).replace("over items", "")


def test_models_that_failed_are_told_and_in_the_json_of_the_others() -> None:
    console = Console(width=200, file=io.StringIO(), color_system=None)
    print_scores([model()], [scores()], console, {"bad\x1b": "not finite"})
    assert isinstance(console.file, io.StringIO)
    assert "bad\\x1b failed: not finite" in console.file.getvalue()
    content = summary(model(), 0, [scores()], FACTS, WHEN, {"bad": "not finite"})
    assert content["dataselect"]["failed"] == {"bad": "not finite"}


def test_means_have_their_standard_errors() -> None:
    found = summary(model(), 0, [scores()], FACTS, WHEN)["results"]["sums"]
    assert found["rbridge,none"] == 2.5
    assert found["rbridge_stderr,none"] == pytest.approx(math.sqrt(5 / 3) / 2)
    assert set(found) == {
        "alias",
        *(f"{m}{e},none" for m in ("rbridge", "trace_nll", "label_nll") for e in ("", "_stderr")),
    }


def test_lower_is_better_for_likelihoods_and_edits_and_higher_for_all_else() -> None:
    lower = ("rbridge", "trace_nll", "label_nll", "answer_nll", "scb_nll", "ted", "ted_per_token")
    higher = ("mpca", "acc_uncond", "norm_correct_prob", "margin_per_char", "total_prob")
    columns = dict.fromkeys((*lower, *higher), 1.0)
    content = summary(model(), 0, [scores(table(**columns, correct=1.0))], FACTS, WHEN)
    wanted = {**dict.fromkeys(lower, False), **dict.fromkeys((*higher, "exact_match"), True)}
    assert content["higher_is_better"]["sums"] == wanted


@pytest.mark.parametrize(
    ("item", "name"), [(NUMBER, "exact_match"), (CHOICE, "exact_match"), (CODE, "pass@1")]
)
def test_accuracy_goes_by_the_name_that_its_benchmark_has(item: Item, name: str) -> None:
    made = scores(table(correct=[1.0, 0.0, 0.0, 0.0]), of=evaluation(item=item))
    found = summary(model(), 0, [made], FACTS, WHEN)["results"]["sums"]
    assert found[f"{name},none"] == 0.25
    assert "0.250" in shown(made)


@pytest.mark.parametrize("values", [[np.nan] * COUNT, [np.inf, 1.0, 1.0, 1.0]])
def test_a_metric_without_a_finite_mean_is_not_in_the_summary(values: list[float]) -> None:
    content = summary(model(), 0, [scores(table(scb_nll=values))], FACTS, WHEN)
    assert "scb_nll,none" not in content["results"]["sums"]
    assert "scb_nll" not in content["higher_is_better"]["sums"]
    json.dumps(content, allow_nan=False)


def test_items_without_a_value_do_not_count() -> None:
    made = scores(table(scb_nll=[1.0, np.nan, 3.0, np.nan]))
    assert summary(model(), 0, [made], FACTS, WHEN)["results"]["sums"]["scb_nll,none"] == 2.0


def test_a_single_item_has_no_standard_error_and_none_no_metric() -> None:
    for rows, wanted in ((1, {"rbridge,none": 1.0, "rbridge_stderr,none": 0.0}), (0, {})):
        content = summary(model(), 0, [scores(table().head(rows))], FACTS, WHEN)
        found = content["results"]["sums"]
        assert {k: v for k, v in found.items() if k.startswith("rbridge")} == wanted
        assert content["n-samples"]["sums"]["effective"] == rows
        json.dumps(content, allow_nan=False)


def test_the_rest_is_where_lm_eval_has_it() -> None:
    left_out = (Exclusion("line 9", "it has no id"),)
    made = scores(
        of=evaluation(weight_scope="none", left_out=left_out),
        exclusions=[*left_out, Exclusion("q7", "too long")],
        notes=["a note"],
    )
    content = summary(model("a/b@v1", hub="a/b", commit="c" * 40), 0, [made], FACTS, WHEN)
    assert content["n-samples"]["sums"] == {"original": COUNT + 1, "effective": COUNT}
    assert content["config"]["model_args"] == {"pretrained": "a/b", "revision": "c" * 40}
    assert content["config"]["model_revision"] == "c" * 40
    assert content["config"]["dtype"] == "float32"
    assert (content["model_name"], content["model_name_sanitized"]) == ("a/b@v1", "a-b-v1")
    assert content["date"] == WHEN.timestamp()
    assert content["configs"]["sums"]["dataset_revision"] == "there@1"
    assert content["configs"]["sums"]["metadata"]["weights"] == "none"
    ours = content["dataselect"]
    assert ours["exclusions"]["sums"] == [
        {"item": "line 9", "reason": "it has no id"},
        {"item": "q7", "reason": "too long"},
    ]
    assert ours["notes"] == {"sums": ["a note"]}
    assert ours["flops"] == {"sums": 12.0}
    assert ours["model"] == {"hub": "a/b", "commit": "c" * 40}


# --- the files


def test_each_model_has_a_folder_with_its_own_numbers(tmp_path: Path) -> None:
    made = [scores(table(1.0), table(5.0)), scores(table(2.0), table(6.0), of=evaluation("more"))]
    folders = write_scores([model("One"), model("two")], made, FACTS, WHEN, tmp_path)
    assert [folder.name for folder in folders] == ["one", "two"]
    stamp = "2026-01-02T03-04-05.000000"
    for folder, means in zip(folders, ([2.5, 3.5], [6.5, 7.5]), strict=True):
        content = json.loads((folder / f"results_{stamp}.json").read_bytes())
        found = [content["results"][name]["rbridge,none"] for name in ("sums", "more")]
        assert found == means
        rows = pd.read_parquet(folder / f"items_{stamp}.parquet")
        assert list(rows.columns[:2]) == ["benchmark", "item"]
        assert list(rows.groupby("benchmark", sort=False)["rbridge"].mean()) == means


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (["a", "a", "a"], ["a", "a-2", "a-3"]),
        (["a", "a", "a-2"], ["a", "a-3", "a-2"]),
        (["A", "a"], ["a", "a-2"]),
        (["/", HOSTILE], ["model", "red-31m-0-title-bad-2j"]),
        (["../../etc", "x/../y"], ["etc", "x-..-y"]),
    ],
)
def test_no_two_models_share_a_folder_and_all_are_within(
    tmp_path: Path, names: list[str], wanted: list[str]
) -> None:
    made = [scores(*(table(float(n)) for n in range(len(names))))]
    folders = write_scores([model(name) for name in names], made, FACTS, WHEN, tmp_path)
    assert [folder.name for folder in folders] == wanted
    assert {folder.parent for folder in folders} == {tmp_path}


# --- the terminal


def test_a_row_shows_means_and_errors_and_a_dash_where_there_is_none() -> None:
    choice = scores(table(acc_uncond=0.75), of=evaluation("arc_challenge", CHOICE))
    other = scores(table(acc_per_char=0.5, acc_uncond=0.25), of=evaluation("mmlu", CHOICE))
    text = shown(choice, other, scores(table(2.0)))
    assert [line.split()[:3] for line in text.splitlines() if line.startswith(("arc", "mmlu"))] == [
        ["arc_challenge", "4", "2.500"],
        ["mmlu", "4", "2.500"],
    ]
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line[:1].isalpha()}
    # OLMES compares choices without their question for ARC, and by character elsewhere.
    assert rows["arc_challenge"][-1] == "0.750"
    assert rows["mmlu"][-1] == "0.500"
    assert rows["sums"][-1] == "–"
    assert "±0.645" in text
    assert max(map(len, text.splitlines())) <= 80


def test_models_are_rows_and_benchmarks_columns() -> None:
    made = [
        scores(table(1.0), table(2.0), of=evaluation("sums")),
        scores(table(4.0, acc_per_char=0.5), table(3.0, acc_per_char=0.25), of=evaluation("more")),
    ]
    text = shown(*made, models=[model("one"), model("one")])
    lines = [line.split() for line in text.splitlines()]
    at = lines.index(["rBridge", "(lower", "is", "better)"])
    assert lines[at + 1 : at + 3] == [["sums", "more"], ["model", "n", "=", "4", "n", "=", "4"]]
    assert lines[at + 4 : at + 6] == [
        ["one", "*2.500", "±0.645", "5.500", "±0.645"],
        ["one-2", "3.500", "±0.645", "*4.500", "±0.645"],
    ]
    at = lines.index(["cloze", "(higher", "is", "better)"])
    assert lines[at + 4 : at + 6] == [
        ["one", "–", "*0.500", "±0.000"],
        ["one-2", "–", "0.250", "±0.000"],
    ]


def test_several_models_on_one_benchmark_have_a_column_for_each_metric() -> None:
    text = shown(scores(table(1.0), table(2.0)), models=[model("one"), model("two")])
    lines = [line.split() for line in text.splitlines()]
    at = lines.index(["sums,", "4", "items"])
    assert lines[at + 1] == ["model", "rBridge", "R^φ", "label"]
    assert lines[at + 4][:3] == ["two", "3.500", "±0.645"]


def test_many_benchmarks_go_on_in_further_tables_within_80_columns() -> None:
    many = [f"a-benchmark-of-long-name-{n}" for n in range(9)]
    made = [scores(table(1.0), table(2.0), of=evaluation(name)) for name in many]
    text = shown(*made, models=[model("m" * 70), model(HOSTILE)])
    assert max(map(len, text.splitlines())) <= 80
    assert harmless(text)
    assert all(text.count(name) == 3 for name in many)  # once for each metric
    parts = [line for line in text.splitlines() if line.startswith("rBridge (")]
    assert parts[0].startswith("rBridge (lower is better), 1 of ")
    assert len(parts) == int(parts[0].split()[-1]) > 1


def test_the_tables_are_written_as_markdown_and_json(tmp_path: Path) -> None:
    made = [scores(table(1.0), table(2.0)), scores(table(4.0), table(4.0), of=evaluation("more"))]
    paths = write_tables(["one", "<b>|two"], made, WHEN, tmp_path)
    assert [path.suffix for path in paths] == [".md", ".json"]
    text = paths[0].read_text()
    assert "| model | sums, n = 4 | more, n = 4 |" in text
    assert "| one | \\*2.500 ±0.645 | 5.500 ±0.645 |" in text
    assert "| \\<b\\>\\|two | 3.500 ±0.645 | 5.500 ±0.645 |" in text
    content = json.loads(paths[1].read_bytes())
    assert content["items"] == {"sums": 4, "more": 4}
    found = content["metrics"]["rbridge"]
    assert (found["name"], found["higher_is_better"]) == ("rBridge", False)
    means = summary(model(), 1, made, FACTS, WHEN)["results"]
    for name in ("sums", "more"):
        cell = found["models"]["<b>|two"][name]
        assert cell["mean"] == means[name]["rbridge,none"]
        assert cell["stderr"] == means[name]["rbridge_stderr,none"]
        assert cell["items"] == 4


def test_what_was_left_out_is_counted_by_reason() -> None:
    exclusions = [Exclusion(f"q{n}", "too long" if n else "it has no trace") for n in range(4)]
    text = shown(scores(exclusions=exclusions, notes=["3 traces are flat"]))
    assert "sums: 3 left out: too long" in text
    assert "sums: 1 left out: it has no trace" in text
    assert "sums: 3 traces are flat" in text


def test_names_and_reasons_can_do_nothing_to_a_terminal() -> None:
    made = scores(exclusions=[Exclusion("q1", HOSTILE)], notes=["[/bold] as it is"])
    text = shown(made, models=[model(HOSTILE)])
    assert harmless(text)
    assert "[red]\\x1b[31m" in text
    assert "[/bold] as it is" in text
