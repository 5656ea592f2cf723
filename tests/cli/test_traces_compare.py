"""`dataselect traces compare`: does the choice of frontier model change the ranking?"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model
from stage_world import write_world
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.traces.trace import Trace, read_traces, write_traces


def error_of(result: Any, code: int = 2) -> str:
    """The one line of an error."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(lines)) == (code, 1), result.output
    assert "Traceback" not in result.output
    return str(lines[0])


def flat(text: str) -> str:
    return " ".join(text.split())


def test_compare_says_how_far_two_frontier_models_rank_alike(bench: Any) -> None:
    one = bench.traces("one.jsonl.gz", model="one")
    two = bench.traces("two.jsonl.gz", model="two", opening="To begin with")
    models = ["--model", bench.model("first"), "--model", bench.model("second")]
    arguments = [one, two, *models, "--benchmarks", "sums.yaml", "--device", "cpu"]
    result = bench.invoke("traces", "compare", *arguments)
    assert result.exit_code == 0, result.output
    said = flat(result.stdout)
    assert said.startswith("frontier model traces right letters mean p lowest ")
    assert " one 6 100% " in said
    assert "model one two averaged" in said
    assert "rBridge over 6 items" in said
    assert re.search(r"one and two: \d+% of the pairs of models in the same order", said)
    for model in ("first", "second"):
        assert bench.score("--traces", one, models=[model]).exit_code == 0
        mean = bench.items(model)["rbridge"].mean()
        assert re.search(rf"{model} {mean:.4f} ", said)


def test_models_of_one_name_are_told_apart(bench: Any) -> None:
    one = bench.traces("one.jsonl.gz", model="one")
    two = bench.traces("two.jsonl.gz", model="one", opening="To begin with")
    for number, parent in enumerate(("x", "y")):
        save_model(bench.folder / parent / "final", seed=number)
    models = ["--model", "x/final", "--model", "y/final"]
    arguments = [one, two, *models, "--benchmarks", "sums.yaml", "--device", "cpu"]
    result = bench.invoke("traces", "compare", *arguments)
    assert result.exit_code == 0, result.output
    rows = [line.split()[0] for line in result.stdout.splitlines() if line.startswith("final")]
    assert sorted(rows) == ["final", "final-2"]
    # Two files of one frontier model stay separate too.
    assert re.search(r"one and one \([0-9a-f]{8}\): ", flat(result.stdout))


def test_models_that_score_alike_cannot_be_ranked(bench: Any) -> None:
    one = bench.traces("one.jsonl.gz", model="one")
    two = bench.traces("two.jsonl.gz", model="two", opening="To begin with")
    models = ["--model", bench.model(), "--model", bench.model()]
    arguments = [one, two, *models, "--benchmarks", "sums.yaml", "--device", "cpu"]
    line = error_of(bench.invoke("traces", "compare", *arguments))
    assert "differ" in line


@pytest.mark.parametrize(("files", "models"), [(1, 2), (2, 1)])
def test_there_is_nothing_to_compare_with_less_than_two(
    bench: Any, files: int, models: int
) -> None:
    paths = [bench.traces(f"{n}.jsonl.gz", opening="So" * (n + 1)) for n in range(files)]
    named = [option for _ in range(models) for option in ("--model", bench.model())]
    arguments = [*paths, *named, "--benchmarks", "sums.yaml"]
    line = error_of(bench.invoke("traces", "compare", *arguments))
    assert f"got {files} trace files and {models} models; name two or more of each" in line


def test_without_a_shared_item_there_is_nothing_to_compare(bench: Any) -> None:
    one = bench.traces("one.jsonl.gz", model="one", missing=[0, 1, 2])
    two = bench.traces("two.jsonl.gz", model="two", missing=[3, 4, 5])
    models = ["--model", bench.model("first"), "--model", bench.model("second")]
    arguments = [one, two, *models, "--benchmarks", "sums.yaml", "--device", "cpu"]
    assert "there is no item that every model" in error_of(
        bench.invoke("traces", "compare", *arguments)
    )


def test_wrong_traces_are_left_out_for_every_frontier_model(bench: Any) -> None:
    one = bench.traces("one.jsonl.gz", model="one", wrong=[1, 2])
    two = bench.traces("two.jsonl.gz", model="two", opening="To begin with")
    models = ["--model", bench.model("first"), "--model", bench.model("second")]
    arguments = [one, two, *models, "--benchmarks", "sums.yaml", "--device", "cpu"]
    result = bench.invoke("traces", "compare", *arguments, "--only-correct")
    assert result.exit_code == 0, result.output
    assert "rBridge over 4 items" in flat(result.stdout)
    # What the traces are is told before any is left out.
    assert re.search(r"one 6 67% ", flat(result.stdout))
    assert re.search(r"two 6 100% ", flat(result.stdout))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "x", "--model", "y"], "--benchmarks: it is missing"),
        (["--run", "manifest.yaml", "--model", "x"], "--model: --run has its own"),
        (["--run", "manifest.yaml", "--limit", "3"], "--limit: --run has its own"),
        (["--plan", "quickstart"], "--plan: it needs --run"),
    ],
)
def test_a_run_has_its_models_and_benchmarks(bench: Any, options: list[str], said: str) -> None:
    files = [bench.traces("one.jsonl.gz"), bench.traces("two.jsonl.gz", opening="So")]
    assert said in error_of(bench.invoke("traces", "compare", *files, *options))


# --- a run


class World:
    """A manifest with a plan of two benchmarks, and other traces for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_world(folder, tokens=2000)
        plan = (folder / "plan.yaml").read_text()
        plan = plan.replace("  keep: 2\n", "  keep: 2\n  seeds: 2\n")
        (folder / "plan.yaml").write_text(f"{plan}compute: {{jobs: 1, device: cpu}}\n")

    def other(self, benchmark: str, model: str, keep: int = 6) -> Path:
        """The benchmark's traces without their last words, as of another frontier model."""
        found = read_traces(self.folder / f"{benchmark}.traces.jsonl")
        made = []
        for trace in list(found.traces.values())[:keep]:
            text = trace.text.rsplit(" ", 2)[0]
            made.append(Trace(trace.item, text, tuple((1, 0.7) for _ in text)))
        path = self.folder / f"{benchmark}.{model}.jsonl.gz"
        write_traces(path, replace(found.header, model=model), made)
        return path

    def invoke(self, *arguments: object) -> Result:
        named = ["--plan", self.folder / "plan.yaml", "--store", self.folder / "store"]
        words = [str(each) for each in (*arguments, *named)]
        return CliRunner().invoke(app, words, env={"COLUMNS": "120"})

    def compare(self, *files: Path) -> Result:
        return self.invoke("traces", "compare", *files, "--run", self.folder / "manifest.yaml")


@pytest.fixture
def world(tmp_path: Path, inline_jobs: None) -> World:
    return World(tmp_path)


def test_a_runs_candidates_are_ranked_by_its_own_traces_and_others(world: World) -> None:
    out = world.folder / "out"
    made = world.invoke("run", world.folder / "manifest.yaml", "--out", out)
    assert made.exit_code == 0, made.output
    proxies = sorted(path.name for path in (world.folder / "store/artifacts/proxy").iterdir())

    result = world.compare(world.other("short", "two"), world.other("long", "two", keep=5))
    assert result.exit_code == 0, result.output
    said = flat(result.stdout)
    assert "rBridge over 6 items of short and 5 items of long, averaged as in a run" in said
    assert re.search(r"made up and two: \d+% of the pairs of models in the same order", said)
    assert re.search(r"by made up two training seeds put \d+% of the pairs", said)
    for candidate in ("worked", "prose", "blend", "copy"):
        assert re.search(rf"^{candidate} ", result.stdout, re.MULTILINE)
    # It trains nothing.
    after = sorted(path.name for path in (world.folder / "store/artifacts/proxy").iterdir())
    assert after == proxies


def test_without_its_proxies_a_run_is_to_be_made_first(world: World) -> None:
    line = error_of(world.compare(world.other("short", "two"), world.other("long", "two")))
    assert "has no proxy of this run's Stage 1; run 'dataselect run'" in line


def test_each_frontier_model_needs_traces_of_each_benchmark(world: World) -> None:
    line = error_of(world.compare(world.other("short", "two")))
    assert "traces of two: there are none for 'long'" in line
    own = [world.folder / f"{name}.traces.jsonl" for name in ("short", "long")]
    assert "all traces are of made up" in error_of(world.compare(*own))
    again = [world.other(name, "made up") for name in ("short", "long")]
    assert "there are two different files for 'short'" in error_of(world.compare(*again))


def test_traces_of_no_benchmark_of_the_run_are_refused(world: World) -> None:
    path = world.other("short", "two")
    found = read_traces(path)
    write_traces(path, replace(found.header, benchmark="tales"), found.traces.values())
    line = error_of(world.compare(path))
    assert "its traces are for 'tales', which Stage 1 does not have; name files for short" in line
