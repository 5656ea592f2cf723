"""`ds.score`: the same result as the command, as tables, a sentence and notebook HTML."""

from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
from small_models import save_model

import dataselect as ds
from dataselect.errors import InputError


def refuse(*arguments: Any, **options: Any) -> NoReturn:
    raise AssertionError("this was done already")


def scored(bench: Any, *names: str, **options: Any) -> ds.Scores:
    """Scores of the named models on the bench's benchmark and traces."""
    models = [bench.model(name) for name in names or ("first", "second")]
    return ds.score(models, "sums.yaml", device="cpu", **options)


@pytest.fixture
def traced(bench: Any) -> Any:
    bench.traces("traces/sums.oracle.jsonl.gz", missing=[2])
    return bench


def test_the_command_and_the_function_give_the_same(traced: Any) -> None:
    found = scored(traced, accuracy=True)
    result = traced.score("--accuracy", models=["first", "second"])
    assert result.exit_code == 0, result.output
    for name in ("first", "second"):
        assert {**found.document[name], "date": 0} == {**traced.results(name), "date": 0}
        own = found.items[found.items["model"] == name].drop(columns="model").set_index("item")
        pd.testing.assert_frame_equal(own, traced.items(name))
        summary = traced.results(name)["results"]["sums"]
        for metric in ("rbridge", "mpca", "exact_match"):
            row = found.table.loc[(name, "sums")]
            assert row[metric] == summary[f"{metric},none"]
            assert row[f"{metric}_stderr"] == summary[f"{metric}_stderr,none"]
            assert row[f"{metric}_items"] == row["items"] == 5
    assert found.exclusions.to_dict("records") == [
        {"benchmark": "sums", "item": "s2", "reason": "it has no trace"}
    ]


def test_write_makes_the_files_of_the_command(traced: Any) -> None:
    found = scored(traced, "first")
    (folder,) = found.write("own")
    assert folder == Path("own/first")
    assert traced.results(out="own") == found.document["first"]
    pd.testing.assert_frame_equal(
        traced.items(out="own"), found.items.drop(columns="model").set_index("item")
    )


def test_a_second_call_measures_nothing_anew(traced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    before = scored(traced, report=told.append)
    assert "2/2 second: scores on sums" in told
    monkeypatch.setattr("dataselect.scoring.loading.load_model", refuse)
    told.clear()
    again = scored(traced, report=told.append)
    assert told == []
    pd.testing.assert_frame_equal(again.table, before.table)


def test_one_of_anything_needs_no_list(traced: Any) -> None:
    listed = scored(traced, "first", traces=["traces"])
    single = ds.score(
        Path(traced.model()),
        [Path("sums.yaml")],
        traces="traces",
        store=Path("other"),
        device="cpu",
    )
    pd.testing.assert_frame_equal(single.items, listed.items)


def test_the_verdict_names_the_lowest_rbridge_and_its_paired_lead(traced: Any) -> None:
    found = scored(traced)
    best, other = found.table["rbridge"].sort_values().index.get_level_values("model")
    by_model = found.items.pivot_table(index="item", columns="model", values="rbridge")
    lead = by_model[other] - by_model[best]
    assert found.verdict == (
        f"{best} has the lowest rBridge on sums, {by_model[best].mean():.3f} nats per token,"
        f" {lead.mean():.3f} ± {lead.sem():.3f} below {other}."
    )


def test_of_one_model_the_verdict_says_its_rbridge(traced: Any) -> None:
    found = scored(traced, "first")
    own = found.items["rbridge"]
    assert found.verdict == (
        f"first: rBridge {own.mean():.3f} ± {own.sem():.3f} nats per token on sums."
    )
    assert repr(found) == f"<Scores: {found.verdict}>"


def test_a_notebook_shows_the_verdict_and_no_markup_of_a_user(traced: Any) -> None:
    save_model(traced.folder / "<b>x", seed=7)
    found = ds.score(["<b>x", traced.model()], "sums.yaml", device="cpu")
    page = found._repr_html_()
    assert "<b>x" in found.verdict
    assert found.verdict.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "<b>x" not in page
    assert "sums: 1 left out: it has no trace" in page
    rbridge = found.table.loc[("<b>x", "sums"), "rbridge"]
    assert f"{rbridge:.3f} ± " in page


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"models": []}, "no model is named"),
    "a model that there is not": ({"models": "./nowhere"}, "there is no such folder"),
    "no benchmark": ({"benchmarks": []}, "no benchmark is named"),
    "a benchmark twice": ({"benchmarks": "sums.yaml, sums.yaml"}, "sums is named twice"),
    "a benchmark by its nickname": ({"benchmarks": ["csqa"]}, "did you mean 'commonsense_qa'?"),
    "traces that there are not": ({"traces": "no.jsonl.gz"}, "there is no such file"),
    "other weights": ({"weights": "tracee"}, "did you mean 'trace'?"),
    "another device": ({"device": "tpu"}, "--device: there is no 'tpu'"),
    "another precision": (
        {"precision": "double"},
        "name one that there is (float32, bfloat16, float16)",
    ),
    "a limit of no items": ({"limit": 0}, "--limit: 0 is below 1"),
    "fine-tuning without a training set": ({"isft": True}, "no training set to fine-tune on"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_an_input_error(traced: Any, case: str) -> None:
    changes, wanted = BAD[case]
    arguments = {"models": traced.model(), "benchmarks": "sums.yaml", "device": "cpu", **changes}
    with pytest.raises(InputError) as caught:
        ds.score(**arguments)
    assert wanted in str(caught.value)
