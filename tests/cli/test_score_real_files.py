"""`dataselect score` on the first items of the six real benchmark files, from traces to results."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from completions_server import CompletionsServer
from small_models import save_model

from dataselect.config.benchmark import KNOWN_BENCHMARKS
from dataselect.scoring import generation
from dataselect.traces.trace import read_traces

DATA = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
ITEMS = 3
WEIGHED = ("gsm8k", "math500")
"""Benchmarks whose files hold rationales; traces of the others are built by a server."""

CHOICES = {"acc_raw", "acc_per_token", "acc_per_char", "acc_uncond", "norm_correct_prob"}
OF_ALL = {
    *("rbridge", "trace_nll", "label_nll", "mpca", "answer_nll", "scb_nll"),
    *("ted", "ted_per_token"),
}


def script(question: str) -> tuple[str, str]:
    return f"It is about “{question[:20]}”.\nSo the second is right.", "B"


def traces(bench: Any, benchmark: str, server: CompletionsServer) -> Any:
    """Traces of the first items in the project's folder, made as a user would."""
    common = ["--benchmarks", benchmark, "--folder", DATA, "--limit", ITEMS]
    if benchmark in WEIGHED:
        file = next(DATA.glob(f"{benchmark}.test.jsonl"))
        arguments = ["weigh", file, "--model", "model", "--device", "cpu", *common]
    else:
        arguments = ["build", "--model", "tiny", "--base-url", server.url, *common]
    result = bench.invoke("traces", *arguments)
    assert result.exit_code == 0, result.output
    (path,) = (bench.folder / "traces").glob(f"{benchmark}.*.jsonl.gz")
    return read_traces(path)


def cut_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An untrained model ends no answer before the benchmark's limit of hundreds of tokens."""
    whole = generation.greedy

    def greedy(
        model: Any, tokenizer: Any, prompts: Any, most: Any, *rest: Any, **named: Any
    ) -> Any:
        few = min(most, 24) if isinstance(most, int) else [min(each, 24) for each in most]
        return whole(model, tokenizer, prompts, few, *rest, **named)

    monkeypatch.setattr(generation, "greedy", greedy)


@pytest.mark.skipif(not DATA.is_dir(), reason="the benchmark files are not here")
def test_the_six_real_files_are_scored_from_traces_to_results(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cut_answers(monkeypatch)
    save_model(bench.folder / "model", seed=4, positions=1536)
    with CompletionsServer(script) as server:
        made = {benchmark: traces(bench, benchmark, server) for benchmark in KNOWN_BENCHMARKS}
    # Worked examples without a rationale are asked for as well.
    assert len(made["arc_challenge"].traces) == len(made["commonsense_qa"].traces) == ITEMS + 5
    assert len(made["humaneval"].traces) == ITEMS

    arguments = ["model", "--benchmarks", ",".join(KNOWN_BENCHMARKS), "--folder", DATA]
    options = ["--limit", ITEMS, "--accuracy", "--device", "cpu"]
    result = bench.invoke("score", *arguments, *options)
    assert result.exit_code == 0, result.output
    assert "Warning" not in result.stderr
    assert not (bench.folder / ".dataselect" / "artifacts" / "traces").exists()

    content, table = bench.results("model"), bench.items("model")
    assert list(content["results"]) == list(KNOWN_BENCHMARKS)
    for name in KNOWN_BENCHMARKS:
        rows, found = table[table["benchmark"] == name], content["results"][name]
        assert set(rows.index) <= set(made[name].traces)
        assert len(rows) == ITEMS
        graded = "pass@1" if name == "humaneval" else "exact_match"
        wanted = OF_ALL | {graded}
        if name in {"arc_challenge", "commonsense_qa", "mmlu_pro_stem"}:
            wanted |= CHOICES
        if name in WEIGHED:
            # The files' rationales end without saying what the answer is.
            wanted -= {"scb_nll"}
        metrics = {key.partition(",")[0] for key in found if key.endswith(",none")}
        metrics = {key for key in metrics if not key.endswith("_stderr")}
        assert wanted <= metrics, name
        assert ("acc_uncond" in metrics) == (metrics >= CHOICES)
        for metric in metrics:
            column = rows["correct" if metric == graded else metric]
            assert found[f"{metric},none"] == pytest.approx(column.mean()), (name, metric)
            assert found[f"{metric}_stderr,none"] == pytest.approx(column.sem())
            assert math.isfinite(found[f"{metric},none"])
        assert content["n-samples"][name] == {"original": ITEMS, "effective": ITEMS}
        assert content["versions"][name] == 1
        assert content["higher_is_better"][name][graded] is True
        assert content["higher_is_better"][name]["rbridge"] is False
        assert content["configs"][name]["task"] == name
        assert str(DATA) not in json.dumps(content)
    # The files have no other split of these two to take worked examples from.
    assert content["n-shot"] == {name: 0 if name in WEIGHED else 5 for name in KNOWN_BENCHMARKS}
    assert content["config"]["model_args"]["pretrained"] == "model"
    for name in KNOWN_BENCHMARKS:
        assert name in result.stdout
