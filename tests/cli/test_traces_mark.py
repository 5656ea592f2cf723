"""`dataselect traces mark`, and marks in what is weighed."""

from typing import Any

import pytest

from dataselect.traces.trace import read_traces

TEXTS = [f"Add <span>{n} and {n}</span>, — twice. The answer is {2 * n}." for n in range(6)]


def rows(bench: Any) -> Any:
    return bench.write_rows(
        "mine.jsonl", [{"id": f"s{n}", "reasoning": text} for n, text in enumerate(TEXTS)]
    )


def test_marked_reasoning_becomes_traces_that_are_scored_by_their_marks(bench: Any) -> None:
    result = bench.invoke("traces", "mark", rows(bench), "--benchmarks", "sums.yaml")
    assert result.exit_code == 0, result.output
    assert result.stdout == "traces/sums.given-marked.jsonl.gz: 6 traces of given\n"
    found = read_traces(bench.folder / "traces/sums.given-marked.jsonl.gz")
    assert found.traces["s2"].marked == "Add <span>2 and 2</span>, — twice."
    result = bench.score("--masks")
    assert result.exit_code == 0, result.output
    assert "so their marks are the weights" in result.output
    assert bench.items()["mask"].notna().all()
    shown = bench.invoke("traces", "show", "sums", "--benchmarks", "sums.yaml")
    assert "marked traces" in shown.output
    assert "6, with " in shown.output
    shown = bench.invoke("traces", "show", "sums", "--item", "s2", "--benchmarks", "sums.yaml")
    assert "marked: 2 and 2" in shown.output
    verified = bench.invoke("traces", "verify", "sums", "--benchmarks", "sums.yaml")
    assert verified.exit_code == 0, verified.output


def test_weighing_marked_reasoning_gives_it_probabilities_and_keeps_its_marks(bench: Any) -> None:
    arguments = ["--model", bench.model(), "--benchmarks", "sums.yaml", "--device", "cpu"]
    result = bench.invoke("traces", "weigh", rows(bench), *arguments, "--out", "weighed.jsonl")
    assert result.exit_code == 0, result.output
    weighed = read_traces(bench.folder / "weighed.jsonl")
    plain = [text.replace("<span>", "").replace("</span>", "") for text in TEXTS]
    path = bench.write_rows(
        "plain.jsonl", [{"id": f"s{n}", "reasoning": text} for n, text in enumerate(plain)]
    )
    assert bench.invoke("traces", "weigh", path, *arguments, "--out", "p.jsonl").exit_code == 0
    for item, trace in read_traces(bench.folder / "p.jsonl").traces.items():
        assert (trace.text, trace.runs) == (weighed.traces[item].text, weighed.traces[item].runs)
        assert trace.marked is None
    # A trace file that is weighed again keeps its marks too.
    again = ["weighed.jsonl", *arguments, "--out", "again.jsonl"]
    assert bench.invoke("traces", "weigh", *again).exit_code == 0
    again_weighed = read_traces(bench.folder / "again.jsonl").traces
    assert {item: trace.marked for item, trace in again_weighed.items()} == {
        item: trace.marked for item, trace in weighed.traces.items()
    }
    # Other people's marks go onto traces with probabilities.
    into = ["mine.jsonl", "--onto", "p.jsonl", "--out", "onto.jsonl"]
    assert bench.invoke("traces", "mark", *into).exit_code == 0
    assert read_traces(bench.folder / "onto.jsonl").hash == weighed.hash


def test_a_rule_marks_a_trace_file(bench: Any) -> None:
    path = bench.traces("other.jsonl.gz")
    result = bench.invoke("traces", "mark", path, "--by", "numbers")
    assert result.exit_code == 0, result.output
    found = read_traces(bench.folder / "traces/sums.oracle-marked.jsonl.gz")
    trace = found.traces["s2"]
    assert [trace.text[a:b] for a, b in trace.spans or ()] == ["2", "4", "6"]
    assert trace.runs == read_traces(path).traces["s2"].runs


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["mine.jsonl"], "--benchmarks: it says whose items FILE is of"),
        (["mine.jsonl", "--by", "numbers", "--onto", "t.jsonl"], "--by: the marks are FILE's"),
        (["t.jsonl"], "it is a trace file; give --by RULE"),
        (["t.jsonl", "--by", "operators"], "nothing in them is marked"),
        (["mine.jsonl", "--onto", "t.jsonl"], "another text than its trace"),
    ],
)
def test_what_cannot_be_marked_is_one_line(bench: Any, arguments: list[str], wanted: str) -> None:
    rows(bench)
    bench.traces("t.jsonl")
    result = bench.invoke("traces", "mark", *arguments)
    assert result.exit_code == 2, result.output
    assert wanted in " ".join(result.stderr.split())
