"""`score` and `traces build` show how far they are, and `status` sees them from another shell."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from completions_server import CompletionsServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionsServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789abcdef")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    def script(question: str) -> tuple[str, str]:
        numbers = [int(n) for n in re.findall(r"\d+", question)]
        # Half of the answers are wrong.
        return f"We add {numbers}.", str(sum(numbers) + numbers[0] % 2)

    with CompletionsServer(script) as running:
        yield running


def metrics(bench: Any) -> list[dict[str, Any]]:
    (path,) = bench.folder.glob(".dataselect/runs/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_score_says_how_much_is_done_and_is_recorded(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    models = [bench.model("first"), bench.model("second")]
    done = bench.invoke("score", *models, "--benchmarks", "sums.yaml")
    assert done.exit_code == 0, done.output
    assert re.search(r"  first: scores on sums done after .*, rBridge \d\.\d{3}", done.stderr)
    assert re.search(r"  6 done in ", done.stderr)
    scores = [each for each in metrics(bench) if each["kind"] == "scores"]
    assert {each["job"] for each in scores} == {"first", "second"}
    by_name = {
        k: v for each in scores if each["job"] == "first" for k, v in each["metrics"].items()
    }
    found = bench.results()["results"]["sums"]
    assert by_name["sums/rbridge"] == pytest.approx(found["rbridge,none"])

    shown = bench.invoke("status", "score first and 1 more")
    assert "Scores: 6 of 6 done" in shown.stdout
    assert "done at" in shown.stdout
    listed = bench.invoke("status")
    assert "score-first-and-1-more" in listed.stdout

    again = bench.invoke("score", *models, "--benchmarks", "sums.yaml")
    assert "6 of 6 are in the store already" in again.stderr
    assert metrics(bench)[-1]["call"] == 2


def test_quiet_shows_the_result_alone(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    done = bench.invoke("score", bench.model("first"), "--benchmarks", "sums.yaml", "--quiet")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "rbridge" in done.stdout.lower()


def test_a_build_follows_right_answers_and_is_recorded(
    bench: Any, server: CompletionsServer
) -> None:
    arguments = ["--benchmark", "sums.yaml", "--model", "tiny", "--base-url", server.url]
    prices = ["--usd-in", "1", "--usd-out", "2", "--max-usd", "5"]
    done = bench.invoke("traces", "build", *arguments, *prices)
    assert done.exit_code == 0, done.output
    last = [line for line in done.stderr.splitlines() if line.startswith("6 of 6")][-1]
    assert re.fullmatch(r"6 of 6: asking, 50% right, 0.0\d of about 0.0\d USD \(cap 5\)", last)
    shown = bench.invoke("status", "traces sums.tiny", "--json")
    assert json.loads(shown.stdout)["state"] == "done"
    progress = [each for each in metrics(bench) if each["kind"] == "progress"]
    last_numbers = progress[-1]["metrics"]
    assert 0 < last_numbers.pop("usd") < 0.1
    asked = {"requests": 7, "failed": 0}
    assert last_numbers == {"items": 6, "left_out": 0, "graded": 6, "correct": 3, **asked}


def test_an_unknown_tracker_is_refused_before_anything_is_asked(
    bench: Any, server: CompletionsServer
) -> None:
    arguments = ["--benchmark", "sums.yaml", "--model", "tiny", "--base-url", server.url]
    done = bench.invoke("traces", "build", *arguments, "--track", "wndb")
    assert done.exit_code == 2
    assert "--track: there is no tracker 'wndb'; did you mean 'wandb'?" in done.stderr
    assert not list(bench.folder.glob(".dataselect/runs/*"))


def test_an_unknown_tracker_is_refused_before_anything_is_scored(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    options = ["--benchmarks", "sums.yaml", "--track", "wndb"]
    done = bench.invoke("score", bench.model("first"), *options)
    assert done.exit_code == 2
    assert "--track: there is no tracker 'wndb'; did you mean 'wandb'?" in done.stderr
