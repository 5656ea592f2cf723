"""`validate` refuses what `run` refuses before it trains, with the same line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_models import byte_tokenizer, save_model
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.compute import InlineCompute
from dataselect.traces.trace import Trace, TraceHeader, write_traces

Spoil = Callable[[Any], object]
GIVEN = "    proxies: {screen: {model: given/%s}}\n"


def change(file: str, old: str, new: str) -> Spoil:
    def spoil(project: Any) -> None:
        path: Path = getattr(project, file)
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return spoil


def plan(old: str, new: str) -> Spoil:
    return change("plan", old, new)


def manifest(old: str, new: str) -> Spoil:
    return change("manifest", old, new)


def write(name: str, content: str | bytes) -> Spoil:
    def spoil(project: Any) -> None:
        path = project.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return spoil


def model(name: str, vocabulary: int | None = None) -> Spoil:
    def spoil(project: Any) -> None:
        save_model(project.folder / name)
        if vocabulary is not None:
            byte_tokenizer(vocabulary, ("other words of another text",) * 5).save_pretrained(
                project.folder / name
            )

    return spoil


def weights_missing(project: Any) -> None:
    save_model(project.folder / "given" / "a")
    (project.folder / "given" / "a" / "model.safetensors").unlink()


def other_widths(project: Any) -> None:
    save_model(project.folder / "given" / "a")
    file = project.folder / "given" / "a" / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "intermediate_size": 48}))


def with_rationales(project: Any) -> None:
    path = project.folder / "items.jsonl"
    rows = [json.loads(line) | {"rationale": "So."} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def no_end_of_text(project: Any) -> None:
    byte_tokenizer().save_pretrained(project.folder / "tokenizer")
    file = project.folder / "tokenizer" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    del settings["eos_token"]
    file.write_text(json.dumps(settings))


def only_small_letters(project: Any) -> None:
    byte_tokenizer().save_pretrained(project.folder / "tokenizer")
    file = project.folder / "tokenizer" / "tokenizer.json"
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "Lowercase"}
    file.write_text(json.dumps(content))


def wrong_answers(project: Any) -> None:
    traces = [Trace(f"i{n}", "So it is.", ((9, 0.5),), "-1") for n in range(8)]
    header = TraceHeader("stories", "made up", "{question}", "a test")
    write_traces(project.folder / "traces.jsonl.gz", header, traces)


def mixed(keys: str) -> Spoil:
    return plan("compute:", f"mix: {{trials: 12, {keys}}}\ncompute:")


TRAIN = "tokenizer: {train: {vocab_size: 300, characters: 40k}}"
TRACES = "traces: traces.jsonl.gz"
SHOT = json.dumps({"id": "s", "question": "1 + 1?", "answer": "2", "rationale": "Two."}) + "\n"
ITEM = json.dumps({"id": "g0", "question": "What is 1 + 2?", "answer": "3"}) + "\n"
BOTH_GIVEN = "  - id: prose\n    path: data/prose.jsonl\n"

CASES: dict[str, tuple[list[Spoil], str]] = {
    "weighing items without rationales": (
        [model("m"), plan(TRACES, "weigh: m")],
        "its items have no rationale to weigh",
    ),
    "weighing with no model": (
        [with_rationales, plan(TRACES, "weigh: ./m")],
        "there is no such folder",
    ),
    "weighing with a folder of nothing": (
        [with_rationales, write("m/config.json", "{}"), plan(TRACES, "weigh: m")],
        "no config.json with *.safetensors",
    ),
    "fewer worked examples than asked for": (
        [write("shots.jsonl", SHOT), plan(TRACES, f"{TRACES}, shots: shots.jsonl, shot_count: 2")],
        "1 usable examples and 2 are asked for",
    ),
    "no file of worked examples": (
        [plan(TRACES, f"{TRACES}, shots: shots.jsonl, shot_count: 2")],
        "shots.jsonl",
    ),
    "no right answer": (
        [wrong_answers, plan(TRACES, f"{TRACES}, only_correct: true")],
        "none of its 8 traces of made up ends in a right answer",
    ),
    "no traces": ([plan("traces.jsonl.gz", "none.jsonl.gz")], "none.jsonl.gz"),
    "damaged traces": ([write("traces.jsonl.gz", b"\x1f\x8b no")], "traces.jsonl.gz"),
    "traces of other items": (
        [write("items.jsonl", ITEM)],
        "none of its 8 traces",
    ),
    "a training split that cannot be read": (
        [
            write("files/gsm8k.test.jsonl", ITEM),
            write("files/gsm8k.train.jsonl", "{oops"),
            plan("benchmarks:\n", "benchmarks:\n  - {id: gsm8k, folder: files, weigh: m}\n"),
        ],
        "gsm8k.train.jsonl",
    ),
    "no transfer file": (
        [plan("compute:", "  transfer: none.json\ncompute:")],
        "none.json",
    ),
    "a damaged transfer file": (
        [write("t.json", '{"schema": 7}'), plan("compute:", "  transfer: t.json\ncompute:")],
        "t.json",
    ),
    "no GPU": ([plan("device: cpu", "device: cuda")], "there is no GPU here"),
    "no tokenizer": ([plan(TRAIN, "tokenizer: {path: none/here/x}")], "none/here/x"),
    "a tokenizer without an end of text": (
        [no_end_of_text, plan(TRAIN, "tokenizer: {path: tokenizer}")],
        "no end-of-text token",
    ),
    "a tokenizer that rewrites the traces": (
        [only_small_letters, plan(TRAIN, "tokenizer: {path: tokenizer}")],
        "it rewrites every trace of benchmark stories",
    ),
    "a vocabulary less than bytes": (
        [plan("vocab_size: 300", "vocab_size: 100")],
        "write a number of at least 257",
    ),
    "no known accuracies": (
        [manifest("candidates:", "evidence: {target_accuracy: none.csv}\ncandidates:")],
        "none.csv",
    ),
    "accuracies that are no numbers": (
        [
            write("known.csv", "candidate,accuracy\nsolved,2_5\n"),
            manifest("candidates:", "evidence: {target_accuracy: known.csv}\ncandidates:"),
        ],
        "known.csv",
    ),
    "less than a step": ([plan("tokens: 8k", "tokens: 100")], "less than one step"),
    "processes that do not divide the batch": (
        [plan("  keep: 2\n", "  keep: 2\n  processes: 3\n")],
        "cannot be shared evenly by 3 processes",
    ),
    "more text than there is": ([plan("tokens: 8k", "tokens: 9M")], "its share of the budget is"),
    "too little text for the repeats": (
        [
            write("data/prose.jsonl", '{"text": "A short text, hardly a page."}\n'),
            manifest("data/prose.jsonl", "data/prose.jsonl\n    max_repeats: 2"),
        ],
        "'prose' has",
    ),
    "a damaged row far down": (
        [write("data/prose.jsonl", '{"text": "one"}\n' * 300 + "{oops\n")],
        "prose.jsonl:301",
    ),
    "more kept than there are": ([plan("keep: 2", "keep: 4")], "4 candidates cannot be kept"),
    "a checkpoint that is not there": (
        [manifest(BOTH_GIVEN, BOTH_GIVEN + GIVEN % "a")],
        "given/a",
    ),
    "a checkpoint without weights": (
        [weights_missing, manifest(BOTH_GIVEN, BOTH_GIVEN + GIVEN % "a")],
        "given/a",
    ),
    "a checkpoint with a damaged tokenizer": (
        [
            model("given/a"),
            write("given/a/tokenizer.json", "{"),
            manifest(BOTH_GIVEN, BOTH_GIVEN + GIVEN % "a"),
        ],
        "tokenizer.json",
    ),
    "a folder of text with nothing in it": (
        [write("data/none/readme.md", ""), manifest("data/prose.jsonl", "data/none")],
        "none",
    ),
    "rows without text": (
        [write("data/prose.jsonl", '{"text": ""}\n' * 20)],
        "prose",
    ),
    "a benchmark without items": ([write("items.jsonl", "")], "items.jsonl"),
    "a benchmark's items twice": (
        [write("items.jsonl", ITEM + ITEM)],
        "items.jsonl:2",
    ),
    "a search with a transfer file that is not there": (
        [mixed("transfer: none.json")],
        "none.json",
    ),
    "a weighing model whose tokenizer is missing": (
        [with_rationales, write("m/model.safetensors", "x"), plan(TRACES, "weigh: m")],
        "no config.json",
    ),
    "checkpoints of two tokenizers": (
        [
            model("given/a"),
            model("given/b", 290),
            manifest(BOTH_GIVEN, BOTH_GIVEN + GIVEN % "a"),
            manifest("  - id: blend\n", "  - id: blend\n" + GIVEN % "b"),
        ],
        "has another tokenizer than that of 'prose'",
    ),
    "a checkpoint of another tokenizer than is trained here": (
        [model("given/a"), manifest(BOTH_GIVEN, BOTH_GIVEN + GIVEN % "a")],
        "has another tokenizer than that of 'solved'",
    ),
    "a search of unknown sources": ([mixed("sources: [solved, prosa]")], "prosa"),
    "a search with too few trials": ([mixed("design: 0.1, sources: [solved]")], "plan.yaml"),
    "constraints that cannot be met": (
        [
            write("limits.yaml", "sources: {solved: {max: 0.2}, prose: {max: 0.2}}\n"),
            mixed("constraints: limits.yaml"),
        ],
        "limits.yaml",
    ),
    "a search whose proxies are less than a step": (
        [
            mixed(
                "proxy: {architecture: {hidden_size: 16, layers: 1, heads: 2}, tokens: 100, "
                "sequence_length: 32, batch_size: 4}"
            )
        ],
        "less than one step",
    ),
    "a source cut to less than a sequence": (
        [
            write(
                "limits.yaml",
                "target_tokens: 1T\nsources: {solved: {tokens: 1M}, prose: {tokens: 900B}}\n",
            ),
            mixed("constraints: limits.yaml, target_epochs: true"),
        ],
        "less than a sequence",
    ),
    "leaks of no words": (
        [plan("compute:", "leaks: {ngram: 0}\ncompute:")],
        "plan.yaml",
    ),
}


def invoke(project: Any, command: str) -> Result:
    options = []
    if command == "run":
        options = ["--store", str(project.folder / "store"), "--out", str(project.folder / "out")]
    return CliRunner().invoke(app, [command, str(project.manifest), *options])


def error_of(result: Result) -> str:
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("case", CASES)
def test_both_refuse_with_one_line(
    project: Any, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(*_: object, **__: object) -> None:
        raise AssertionError("it trains")

    monkeypatch.setattr("dataselect.stages.stage.run_jobs", train)
    monkeypatch.setattr(
        "dataselect.stages.engine.default_compute", lambda *_, **__: InlineCompute()
    )
    monkeypatch.setattr("dataselect.compute.cores._has_gpu", lambda: False)
    monkeypatch.setattr("dataselect.compute.cores._torch_has_gpu", lambda: False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spoils, wanted = CASES[case]
    for spoil in spoils:
        spoil(project)
    checked = invoke(project, "validate")
    assert checked.exit_code == 2, checked.output
    assert wanted in error_of(checked)
    assert not (project.folder / "store").exists()
    ran = invoke(project, "run")
    assert ran.exit_code == 2, ran.output
    assert error_of(ran) == error_of(checked)


def test_a_given_folder_that_no_model_can_be_made_of_is_refused(project: Any) -> None:
    """A run would go on without this candidate, after it trained the others' proxies."""
    other_widths(project)
    manifest(BOTH_GIVEN, BOTH_GIVEN + GIVEN % "a")(project)
    checked = invoke(project, "validate")
    assert checked.exit_code == 2, checked.output
    assert "its weights do not fit its config.json (3 missing" in error_of(checked)


def test_what_run_takes_is_valid(project: Any) -> None:
    before = sorted(project.folder.rglob("*"))
    result = invoke(project, "validate")
    assert result.exit_code == 0, result.output
    assert "short texts give enough tokens: solved, prose" in result.stdout
    assert sorted(project.folder.rglob("*")) == before


def test_large_texts_are_only_looked_at(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataselect.stages.rehearsal.READ_BYTES", 10)
    plan("tokens: 8k", "tokens: 9M")(project)
    result = invoke(project, "validate")
    assert result.exit_code == 0, result.output
    assert "enough tokens" not in result.stdout
