"""`ds.score` of texts by counting words, beside models, and what `ds.agree` makes of the table."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from naive_ngrams import NaiveModel
from small_models import byte_tokenizer

import dataselect as ds
from dataselect.counting import ORDERS, SCORES, column
from dataselect.counting.score_texts import CountedText
from dataselect.errors import InputError
from dataselect.scoring.prepare import prepare

COLUMNS = {column(order, score) for order in ORDERS for score in SCORES}
SUMS = [f"First, {n} and {n + 3} are added. That makes {2 * n + 3}." for n in range(40)]
PROSE = [f"The ship left harbour {n} at dawn, and nobody waved." for n in range(60)]


@pytest.fixture
def traced(bench: Any) -> Any:
    """The bench with traces, two texts, and a manifest that names them and their mixture."""
    bench.traces("traces/sums.oracle.jsonl.gz", missing=[2])
    for name, texts in (("sums-text", SUMS), ("prose", PROSE)):
        bench.write_rows(f"{name}.jsonl", [{"text": text} for text in texts])
    (bench.folder / "mine.yaml").write_text(
        "target: {size: 1M, tokens: 20M}\n"
        "candidates:\n"
        "  - {id: sums-text, path: sums-text.jsonl}\n"
        "  - {id: prose, path: prose.jsonl}\n"
        "  - {id: both, mixture: {sums-text: 0.5, prose: 0.5}}\n"
        "  - {id: given, proxies: {screen: {model: somewhere}}}\n"
    )
    return bench


def score(*names: str, **options: Any) -> ds.Scores:
    return ds.score(list(names), "sums.yaml", device="cpu", **options)


def texts_of(found: ds.Scores) -> list[CountedText]:
    return [each for each in found.models if isinstance(each, CountedText)]


def test_a_text_has_the_scores_of_an_ngram_model_of_its_tokens(traced: Any) -> None:
    found = score("ngram:sums-text.jsonl", tokenizer=traced.model())
    assert found.names == ["ngram:sums-text"]
    assert set(found.table.columns) >= COLUMNS
    tokenizer = byte_tokenizer()
    (text,) = texts_of(found)
    stream = np.concatenate(
        [np.fromfile(file, "<u2") for file in sorted(text.text.shares[0].folder.glob("*.bin"))]
    ).tolist()
    # The documents in the order drawn, each with its end.
    ids = sorted([*tokenizer(each)["input_ids"], 0] for each in SUMS)
    assert sorted(stream) == sorted(token for each in ids for token in each)
    evaluation = found.benchmarks[0].evaluation
    items = prepare(evaluation.benchmark, evaluation.traces[0], tokenizer, 10_000).items
    for order in (1, 3):
        model = NaiveModel([stream], order, len(tokenizer))
        scores = []
        for item in items:
            losses = np.array(model.nll([*item.context_ids, *item.trace_ids]))
            losses = losses[len(item.context_ids) :]
            scores.append(losses[~np.isnan(item.token_weights)].mean())
        name = column(order, "trace_nll")
        assert found.items[name].to_numpy() == pytest.approx(np.array(scores))
    assert found.exclusions.to_dict("records") == [
        {"benchmark": "sums", "item": "s2", "reason": "it has no trace"}
    ]
    mean = found.table[column(1, "trace_nll")].iloc[0]
    assert found.verdict.startswith(f"ngram:sums-text: unigram NLL of the traces {mean:.3f} ± ")


def test_texts_stand_beside_models_on_the_same_items(traced: Any) -> None:
    """`short` cannot take the last question, which counting could."""
    found = score(traced.model("short"), "ngram:sums-text.jsonl", "ngram:prose.jsonl")
    assert found.names == ["short", "ngram:sums-text", "ngram:prose"]
    items = found.items.groupby("model")["item"].agg(list)
    assert all(each == ["s0", "s1", "s3", "s4"] for each in items)
    assert found.table["rbridge"].notna().tolist() == [True, False, False]
    unigrams = found.table[column(1, "trace_nll")].droplevel("benchmark")
    assert np.isnan(unigrams["short"])
    assert unigrams["ngram:sums-text"] < unigrams["ngram:prose"]
    assert "short: rBridge" in found.verdict
    assert "ngram:sums-text has the lowest unigram NLL of the traces on sums" in found.verdict
    assert any(note.startswith("sums: texts of different length") for note in found.notes)
    summary = found.document["ngram:prose"]
    assert summary["config"]["model"] == summary["model_source"] == "ngram"
    assert not any(summary["higher_is_better"]["sums"].values())
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert "1-gram" in found._repr_html_()


def test_a_second_call_counts_nothing_anew(traced: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    names = ("ngram:prose.jsonl", "ngram:mine.yaml#sums-text")
    first = score(*names, tokenizer=traced.model(), report=told.append)
    assert [each.split(":")[2] for each in told if "counting" in each] == [" counting"] * 2
    told.clear()
    monkeypatch.setattr("dataselect.counting.score_texts.Questions", None)
    monkeypatch.setattr("dataselect.corpus.prepare.peek", None)
    again = score(*names, tokenizer=traced.model(), report=told.append)
    assert told == []
    pd.testing.assert_frame_equal(again.table, first.table)


def test_all_candidates_of_a_manifest_with_as_many_tokens_of_each(traced: Any) -> None:
    found = score("ngram:mine.yaml", tokenizer=traced.model(), tokens="1k")
    assert found.names == ["ngram:sums-text", "ngram:prose", "ngram:both"]
    assert {each.text.tokens for each in texts_of(found)} == {1000}
    assert not any("length" in note or "read" in note for note in found.notes)
    more = score("ngram:mine.yaml#both", tokenizer=traced.model(), tokens=4000)
    (blend,) = texts_of(more)
    assert [each.tokens for each in blend.text.shares] == [2000, 2000]
    one = next(each for each in more.notes if "'sums-text'" in each)
    assert one.startswith("sums: ngram:both: 'sums-text' has ")
    assert "of 2K tokens, read 1." in one
    alone = score("ngram:prose.jsonl", tokenizer=traced.model(), tokens=10_000)
    assert any("of 10K tokens, read once" in note for note in alone.notes)


def test_the_table_of_texts_goes_into_agree(traced: Any) -> None:
    """From texts and models to the sentence: what counting words alone would have chosen."""
    found = score("ngram:mine.yaml", tokenizer=traced.model(), tokens=1000)
    found.write("own")
    (path,) = Path("own").glob("scores_*.csv")
    table = pd.read_csv(path)
    assert table["id"].tolist() == ["sums-text", "prose", "both"]
    assert set(table.columns) == {"id", *COLUMNS}
    target = pd.DataFrame({"id": table["id"], "accuracy": [0.2, 0.1, 0.7]})
    target.to_csv("target.csv", index=False)
    proxies = table[["id"]].assign(rbridge=[3.0, 2.0, 1.0], correct_prob=[0.1, 0.2, 0.9])
    agreements = ds.agree(
        proxies, "target.csv", lower_is_better=["rbridge"], counts=path, ablate=True
    )
    assert set(agreements.table.index) == {"rbridge", "correct_prob", *COLUMNS}
    one = agreements.document["counting"]["accuracy"]
    assert one["text"] == (
        "Counting words alone (unigrams) would have chosen sums-text, 0.5 behind the best, both."
    )
    assert one["text"] in agreements._repr_html_()
    assert agreements.gains.loc["rbridge", "baseline"] == "ngram1_trace_nll"
    result = traced.invoke(
        *("agree", path, "target.csv", "--json"),
    )
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert shown["counting"]["accuracy"]["chosen"] == ["sums-text"]
    for name in COLUMNS:
        low, high = shown["metrics"][name]["decision_accuracy_interval"]
        assert low <= shown["metrics"][name]["decision_accuracy"] <= high
    text = traced.invoke("agree", path, "target.csv", "--ablate").stdout
    assert "counting words (unigrams)" in text
    assert "Counting words alone (unigrams) would have chosen sums-text" in text


def test_a_model_and_its_text_share_a_row(traced: Any) -> None:
    traced.write_rows("first.jsonl", [{"text": text} for text in SUMS])
    result = traced.invoke(
        "score", traced.model(), "ngram:first.jsonl", "--benchmarks", "sums.yaml", "--device", "cpu"
    )
    assert result.exit_code == 0, result.output
    assert "ngram:first" in result.stdout
    assert "results: scores/ngram-first/" in result.stdout
    (path,) = Path("scores").glob("scores_*.csv")
    (row,) = pd.read_csv(path).to_dict("records")
    assert row["id"] == "first"
    assert row["rbridge"] > 0
    assert row["ngram5_rbridge"] > 0


BAD: dict[str, tuple[tuple[str, ...], dict[str, Any], str]] = {
    "no tokenizer": (("ngram:prose.jsonl",), {}, "nothing says how to cut it into tokens"),
    "no such text": (("ngram:nowhere",), {"tokenizer": "M"}, "there is no such file or folder"),
    "no such candidate": (
        ("ngram:mine.yaml#prosa",),
        {"tokenizer": "M"},
        "it has no candidate 'prosa'; did you mean 'prose'?",
    ),
    "a candidate without text": (
        ("ngram:mine.yaml#given",),
        {"tokenizer": "M"},
        "'given' has no text whose words could be counted",
    ),
    "all of a mixture": (("ngram:mine.yaml#both",), {"tokenizer": "M"}, "say with --tokens"),
    "no tokenizer there": (("ngram:prose.jsonl",), {"tokenizer": "."}, "tokenizer"),
    "answers by counting": (
        ("ngram:prose.jsonl",),
        {"tokenizer": "M", "accuracy": True},
        "leave out --accuracy and --isft",
    ),
    "a tokenizer of models": (("M",), {"tokenizer": "M"}, "models have tokenizers of their own"),
    "no number": (("ngram:prose.jsonl",), {"tokenizer": "M", "tokens": "many"}, "--tokens: "),
    "no token": (("ngram:prose.jsonl",), {"tokenizer": "M", "tokens": 0}, "0 is below 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_says_what_to_do(traced: Any, case: str) -> None:
    names, options, wanted = BAD[case]
    own = {key: traced.model() if each == "M" else each for key, each in options.items()}
    with pytest.raises(InputError) as caught:
        score(*(traced.model() if name == "M" else name for name in names), **own)
    assert wanted in str(caught.value)
