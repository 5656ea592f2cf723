"""`dataselect score --masks` and `--weights span`."""

import math
from pathlib import Path
from typing import Any

import pytest

import dataselect as ds
from dataselect.benchmarks.marks import propose, with_marks
from dataselect.traces.trace import Trace, read_traces, write_traces

BY_RULE = ["mask_numbers", "mask_operators", "mask_content"]
POOLED = [
    *("mask_bpb", "authors_mask_bpb"),
    *("authors_mask_byte_perplexity", "authors_mask_word_perplexity"),
]


def mark(path: Path, *, keep: bool = True) -> Path:
    """The traces of a file with their numbers marked; without probabilities unless `keep`."""
    found = read_traces(path)
    marked = []
    for trace in found.traces.values():
        runs = trace.runs if keep else ((len(trace.text), None),)
        tags = with_marks(trace.text, propose(trace.text, "numbers"))
        marked.append(Trace(trace.item, trace.text, runs, trace.answer, tags))
    write_traces(path, found.header, marked)
    return path


def test_masks_are_scored_only_where_they_are_asked_for(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    assert bench.score().exit_code == 0
    before = bench.items()
    assert not [name for name in before.columns if "mask" in name]
    assert bench.score("--masks").exit_code == 0
    after = bench.items()
    assert [name for name in after.columns if "mask" in name] == [
        name for name in BY_RULE if name != "mask_operators"
    ], "the traces have no operators, and nobody marked them"
    assert after[before.columns].equals(before)


def test_marked_traces_have_our_figures_and_the_authors_beside_them(bench: Any) -> None:
    mark(bench.traces("traces/sums.oracle.jsonl.gz"))
    result = bench.score("--masks")
    assert result.exit_code == 0, result.output
    table, found = bench.items(), bench.results()
    assert table["mask"].to_numpy() == pytest.approx(table["mask_numbers"].to_numpy())
    means = found["results"]["sums"]
    assert means["mask,none"] == pytest.approx(table["mask"].mean())
    for who in ("mask", "authors_mask"):
        ratio = table[f"{who}_nats"].sum() / table[f"{who}_bytes"].sum()
        assert means[f"{who}_bpb,none"] == pytest.approx(ratio / math.log(2))
    assert not [name for name in means if "_bytes" in name or "_nats" in name or "_words" in name]
    for name in ("mask", *POOLED):
        assert found["higher_is_better"]["sums"][name] is False
        assert means[f"{name}_stderr,none"] > 0
    assert "authors' bpb" in result.output


def test_marks_are_the_weights_where_that_is_asked_for(bench: Any) -> None:
    mark(bench.traces("traces/sums.oracle.jsonl.gz"))
    assert bench.score().exit_code == 0
    by_probability = bench.items()
    assert bench.score("--weights", "span", "--masks").exit_code == 0
    by_marks = bench.items()
    tokens = by_marks["trace_tokens"] - by_marks["left_out_tokens"]
    assert (by_marks["rbridge"] * tokens).to_numpy() == pytest.approx(
        by_marks["mask_nats"].to_numpy(), rel=1e-4
    )
    assert not by_marks["rbridge"].equals(by_probability["rbridge"])
    # Here every letter counts, there those with a probability.
    assert (by_marks["left_out_tokens"] <= by_probability["left_out_tokens"]).all()


def test_marks_without_probabilities_are_the_weights_unasked(bench: Any) -> None:
    mark(bench.traces("traces/sums.oracle.jsonl.gz"), keep=False)
    result = bench.score()
    assert result.exit_code == 0, result.output
    assert "its traces have no probabilities, so their marks are the weights" in result.output
    unasked = bench.items()
    assert bench.score("--weights", "span").exit_code == 0
    assert bench.items().equals(unasked)


def test_traces_without_marks_cannot_be_weighed_by_them(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    result = bench.score("--weights", "span")
    assert result.exit_code == 2
    assert "no part of its trace is marked" in result.stderr


ROWS = [
    {"question": f"What is {n} + {n}?", "reasoning": f"We add: <span>{n} + {n}</span> is {2 * n}."}
    for n in range(4)
]


def test_the_authors_subsets_are_scored_by_name(bench: Any) -> None:
    bench.write_rows("mask-aime25.test.jsonl", ROWS)
    bench.write_rows("mask-mmlu-pro.test.jsonl", [*ROWS[1:], {"question": "?", "reasoning": "So"}])
    names = "mask-aime25,mask-mmlu-pro"
    result = bench.score("--benchmarks", names, "--folder", ".", models=["first", "second"])
    assert result.exit_code == 0, result.output
    found = bench.results()["results"]
    assert list(found) == names.split(",")
    for means in found.values():
        assert {f"{name},none" for name in ("mask", *POOLED)} <= set(means)
        assert not {f"{name},none" for name in ("rbridge", "mpca", "ted")} & set(means)
    table = bench.items("second")
    assert len(table) == 8
    assert table["mask"].isna().sum() == 1, "the row without a mark"
    assert table["authors_mask_nats"].notna().all(), "all of its reasoning counts"
    assert "mask-mmlu-pro: mask: over 3 of 4 items" in result.output
    scores = ds.score(bench.model(), names, folder=".", device="cpu")
    assert scores.verdict.startswith("first: mask ")
    assert bench.model("second") not in scores.verdict
    both = ds.score([bench.model(), bench.model("second")], names, folder=".", device="cpu")
    assert "has the lowest mask on mask-aime25, " in both.verdict


def test_what_needs_answers_is_refused_for_questions_without(bench: Any) -> None:
    bench.write_rows("mask-arc.test.jsonl", ROWS)
    for option in ("--isft", "--only-correct"):
        result = bench.score("--benchmarks", "mask-arc", "--folder", ".", option)
        assert result.exit_code == 2, result.output
