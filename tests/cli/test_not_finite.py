"""Values that are NaN or infinite: named, left out for all, and never averaged away.

A letter that one question alone has, with a NaN in its embedding, breaks a model on that item.
"""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from small_models import byte_tokenizer, save_model
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.compute import InlineCompute
from dataselect.traces.trace import Trace, TraceHeader, write_traces

LETTERS = "BCDEFGHIJKLMNOPRSUVX"
"""The letter of each question: 20 items, of which a model may break on one."""
YAML = "name: letters\nitems: letters.jsonl\ntask: arithmetic\nnew_tokens: 4\n"
RUN = """\
target: {size: 1B, tokens: 1B}
plan:
  benchmarks:
    - {id: letters, items: letters.yaml, traces: letters.traces.jsonl.gz}
  screen: {keep: KEEP, accuracy: ACCURACY}
candidates:
"""
REASON = "its value is not finite for "


def break_embedding(folder: Path, letters: str, value: float = math.nan) -> None:
    """Put the value into the embeddings of letters; the output layer has weights of its own."""
    from safetensors.torch import load_file, save_file

    vocabulary = byte_tokenizer().get_vocab()
    tensors = load_file(folder / "model.safetensors")
    for letter in letters:
        tensors["model.embed_tokens.weight"][vocabulary[letter]] = value
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


class World:
    """A folder with models and a benchmark of 20 items, each with a letter of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows, traces = [], []
        for n, letter in enumerate(LETTERS):
            text = f"we add {n} and {n}. that makes {2 * n}"
            row = {"id": f"q{n}", "question": f"{letter}: what is {n} + {n}?", "answer": str(2 * n)}
            rows.append(json.dumps(row | {"rationale": text}))
            traces.append(Trace(f"q{n}", text, ((6, 0.2), (len(text) - 6, 0.9)), str(2 * n)))
        (folder / "letters.jsonl").write_text("\n".join(rows))
        (folder / "letters.yaml").write_text(YAML)
        header = TraceHeader("letters", "oracle", "{question}", "a test")
        write_traces(folder / "letters.traces.jsonl.gz", header, traces)
        for seed, name in enumerate(("one", "two", "three")):
            save_model(folder / name, seed)

    def broken(self, name: str, letters: str, value: float = math.nan) -> str:
        """A copy of model `two` that breaks on the items of these letters."""
        shutil.copytree(self.folder / "two", self.folder / name)
        break_embedding(self.folder / name, letters, value)
        return name

    def call(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    def score(self, models: Sequence[str], *options: str) -> Result:
        fixed = ["--benchmarks", "letters.yaml", "--traces", "letters.traces.jsonl.gz"]
        return self.call("score", *models, *fixed, *options)

    def results(self, model: str) -> dict[str, Any]:
        """The newest results of a model."""
        path = max((self.folder / "scores" / model).glob("results_*.json"))
        content: dict[str, Any] = json.loads(path.read_text())
        return content

    def run(self, *models: str, keep: int = 2, accuracy: bool = False) -> Result:
        text = RUN.replace("KEEP", str(keep)).replace("ACCURACY", str(accuracy).lower())
        proxies = [
            f"  - {{id: {m}, proxies: {{screen: {{model: {m}, tokens: 1M}}}}}}\n" for m in models
        ]
        (self.folder / "ck.yaml").write_text(text + "".join(proxies))
        return self.call("run", "ck.yaml")

    def report(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads((self.folder / "reports/ck/report.json").read_text())
        return content


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "dataselect.stages.engine.default_compute", lambda *_, **__: InlineCompute()
    )
    monkeypatch.setenv("COLUMNS", "200")
    return World(tmp_path)


def excluded(content: dict[str, Any]) -> dict[str, str]:
    return {each["item"]: each["reason"] for each in content["dataselect"]["exclusions"]["letters"]}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_score_leaves_a_non_finite_item_out_for_all_models_and_names_it(
    world: World, value: float
) -> None:
    world.broken("bad", "E", value)
    result = world.score(["one", "bad"], "--accuracy")
    assert result.exit_code == 0, result.output
    assert "1 left out: its value is not finite for bad" in result.output
    assert "(q3)" in result.output
    for model in ("one", "bad"):
        content = world.results(model)
        assert excluded(content) == {"q3": f"{REASON}bad"}
        assert content["n-samples"]["letters"] == {"original": 20, "effective": 19}
        assert any("q3" in note for note in content["dataselect"]["notes"]["letters"])
        assert content["dataselect"]["failed"] == {}
        for name, number in content["results"]["letters"].items():
            assert name == "alias" or math.isfinite(number)
    # The means are those of the intact model on the same 19 items.
    means = world.results("bad")["results"]["letters"]
    rows = [
        row
        for row in (world.folder / "letters.jsonl").read_text().splitlines()
        if '"q3"' not in row
    ]
    (world.folder / "letters.jsonl").write_text("\n".join(rows))
    assert world.score(["two"], "--accuracy").exit_code == 0
    for name, number in world.results("two")["results"]["letters"].items():
        assert name == "alias" or means[name] == pytest.approx(number, abs=1e-5)


def test_score_prints_the_others_where_a_model_fails_and_ends_with_3(world: World) -> None:
    world.broken("bad", LETTERS)
    result = world.score(["one", "bad", "two"])
    assert result.exit_code == 3, result.output
    assert "Traceback" not in result.output
    reason = "its values are not finite numbers on 20 of 20 items of letters"
    assert f"bad failed: bad: {reason}" in result.output
    assert not (world.folder / "scores" / "bad").exists()
    for model in ("one", "two"):
        content = world.results(model)
        assert reason in content["dataselect"]["failed"]["bad"]
        # Its items are not taken from the others.
        assert content["n-samples"]["letters"] == {"original": 20, "effective": 20}
    # The scores are those without the model.
    together = {model: world.results(model)["results"] for model in ("one", "two")}
    assert world.score(["one", "two"]).exit_code == 0
    assert together == {model: world.results(model)["results"] for model in ("one", "two")}


def test_the_share_that_is_too_much_is_more_than_a_twentieth(world: World) -> None:
    world.broken("bad", "EF")
    result = world.score(["one", "bad"])
    assert result.exit_code == 3
    assert "not finite numbers on 2 of 20 items" in result.output
    assert world.results("one")["n-samples"]["letters"]["effective"] == 20


def test_a_single_model_that_is_broken_is_one_line(world: World) -> None:
    world.broken("bad", LETTERS)
    for models in (["bad"], ["bad", "bad"]):
        result = world.score(models)
        assert result.exit_code == 2
        assert "20 of 20 items of letters" in result.stderr
        assert not (world.folder / "scores" / "bad").exists()


def test_a_model_whose_files_are_broken_does_not_end_the_others(world: World) -> None:
    shutil.copytree(world.folder / "two", world.folder / "torn")
    weights = world.folder / "torn" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    result = world.score(["torn", "one"])
    assert result.exit_code == 3, result.output
    assert "Traceback" not in result.output
    assert "torn failed: " in result.output
    assert "torn" in world.results("one")["dataselect"]["failed"]


def test_run_ranks_the_others_and_names_the_item(world: World) -> None:
    world.broken("bad", "E")
    result = world.run("one", "two", "bad", accuracy=True)
    assert result.exit_code == 0, result.output
    report = world.report()
    assert [each["status"] for each in report["candidates"]].count("failed") == 0
    assert report["stages"]["stage1"]["items"] == {"letters": 19}
    (left_out,) = report["exclusions"]["letters"]
    assert left_out == {"item": "q3", "reason": f"{REASON}bad", "stages": ["stage1"]}
    note = "letters: left out for all, since the value is not finite for bad: 1 (q3)"
    assert note in report["notes"]
    assert note in result.output
    readme = (world.folder / "reports" / "ck" / "README.md").read_text()
    assert "not finite for bad: 1" in readme
    # The broken copy of `two` scores as `two` on what is left.
    scores = {each["id"]: each["stage1"]["benchmarks"]["letters"] for each in report["candidates"]}
    assert scores["bad"] == pytest.approx(scores["two"], abs=1e-5)


def test_run_fails_a_broken_candidate_and_ranks_the_others_as_without_it(world: World) -> None:
    assert world.run("one", "two", "three").exit_code == 0
    alone = {each["id"]: each["stage1"] for each in world.report()["candidates"]}
    world.broken("bad", LETTERS)
    for _ in range(2):  # what is known to be broken is not measured again, and still is
        result = world.run("one", "two", "bad", "three")
        assert result.exit_code == 3, result.output
        assert "not finite numbers on 20 of 20 items" in result.output
        report = world.report()
        found = {each["id"]: each for each in report["candidates"]}
        assert found["bad"]["status"] == "failed"
        assert found["bad"]["rank"] is None
        assert report["exclusions"]["letters"] == []
        for name in ("one", "two", "three"):
            assert found[name]["stage1"]["score"] == pytest.approx(alone[name]["score"], abs=1e-9)


def test_an_item_without_a_finite_answer_is_left_out_of_the_likelihoods_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataselect.scoring import generation
    from dataselect.scoring.decoding import Continuation

    plain = generation.greedy

    def torn(model: Any, tokenizer: Any, prompts: Any, *rest: Any, **options: Any) -> Any:
        written = plain(model, tokenizer, prompts, *rest, **options)
        return [
            Continuation("", (), (), finite=False) if n == 4 else w for n, w in enumerate(written)
        ]

    monkeypatch.setattr(generation, "greedy", torn)
    assert world.run("one", "two", accuracy=True).exit_code == 0
    report = world.report()
    assert report["stages"]["stage1"]["items"] == {"letters": 19}
    assert [each["item"] for each in report["exclusions"]["letters"]] == ["q4"]
    assert world.score(["one"], "--accuracy").exit_code == 0
    assert excluded(world.results("one")) == {"q4": f"{REASON}one"}


def test_weighing_by_a_model_that_gives_nan_is_refused_and_writes_nothing(world: World) -> None:
    world.broken("bad", LETTERS)
    arguments = ["traces", "weigh", "letters.jsonl", "--benchmarks", "letters.yaml", "--model"]
    result = world.call(*arguments, "bad", "--out", "w.jsonl.gz")
    assert result.exit_code == 2, result.output
    assert "not finite numbers on 20 of 20 items" in result.output
    assert not (world.folder / "w.jsonl.gz").exists()


def test_calibrate_fits_the_checkpoints_that_are_left_and_ends_with_3(world: World) -> None:
    steps = range(1, 9)
    for step in steps:
        save_model(world.folder / f"p/step{step}", seed=step)
    break_embedding(world.folder / "p/step3", LETTERS)
    break_embedding(world.folder / "p/step5", "E")
    rows = [f"letters,{step}M,{0.1 * step}\n" for step in steps]
    (world.folder / "target.csv").write_text("benchmark,tokens,accuracy\n" + "".join(rows))
    (world.folder / "spec.yaml").write_text(
        'proxy: {model: "p/step*", tokens_per_step: 1M}\n'
        "target: {size: 7B, tokens: 1B, csv: target.csv}\n"
        "benchmarks:\n"
        "  - {id: letters, items: letters.yaml, traces: letters.traces.jsonl.gz}\n"
    )
    result = world.call("calibrate", "spec.yaml", "--out", "t.json")
    assert result.exit_code == 3, result.output
    assert "proxy step3 failed and is not paired" in result.output
    assert "not finite for step5: 1 (q3)" in result.output
    pairs = (world.folder / "t.pairs.csv").read_text().splitlines()[1:]
    assert [int(row.split(",")[4]) // 10**6 for row in pairs] == [1, 2, 4, 5, 6, 7, 8]
    printed = world.call("calibrate", "spec.yaml", "--out", "t.json", "--json")
    assert printed.exit_code == 3
    assert list(json.loads(printed.stdout)["failed"]) == ["proxy step3"]

    # Without enough pairs there is no function.
    for step in (1, 2, 4, 6, 7):
        break_embedding(world.folder / f"p/step{step}", LETTERS)
    result = world.call("calibrate", "spec.yaml", "--out", "none.json")
    assert result.exit_code == 2
    assert "pairs are left without the checkpoints that failed (step1: " in result.output
    assert not (world.folder / "none.json").exists()
