"""`dataselect score --masks` and `--weights span`."""

import math
from pathlib import Path
from typing import Any

import pytest

from dataselect.traces.marks import propose, with_marks
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
