"""A user's own benchmark from YAML, and finding benchmarks by name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dataselect.benchmarks.columns import Columns
from dataselect.benchmarks.items import Item
from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.load import load_benchmark
from dataselect.benchmarks.own import load_definition
from dataselect.errors import InputError

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def own(folder: Path, text: str, *records: dict[str, Any]) -> Any:
    (folder / "mine.yaml").write_text(text)
    (folder / "mine.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    return load_benchmark(load_definition("mine.yaml", folder))


def refusal(folder: Path, text: str, *records: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        own(folder, text, *records)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_example_of_the_documentation_works(tmp_path: Path) -> None:
    page = PAGE.read_text()
    blocks = {kind: re.findall(rf"```{kind}\n(.*?)```", page, re.S) for kind in ("yaml", "json")}
    (definition,) = (text for text in blocks["yaml"] if text.startswith("items: capitals"))
    (tmp_path / "capitals.yaml").write_text(definition)
    (tmp_path / "capitals.jsonl").write_text(blocks["json"][0])
    benchmark, exclusions, notes = load_benchmark(load_definition("capitals.yaml", tmp_path))
    assert (exclusions, notes) == ((), ())
    assert [(item.id, item.answer) for item in benchmark.items] == [
        ("capitals_0", "B"),
        ("capitals_1", "A"),
        ("capitals_2", "C"),
    ]
    assert benchmark.answer_kind == "choice"
    assert benchmark.task == "geography"
    second = benchmark.items[1]
    assert [shot.id for shot in benchmark.examples(second)] == ["capitals_0", "capitals_2"]
    assert benchmark.context(second).startswith("Question: What is the capital of Peru?\nA. Quito")


def test_the_documentation_lists_all_benchmarks_and_fields() -> None:
    page = PAGE.read_text()
    for definition in KNOWN.values():
        assert f"`{definition.id}`" in page
        for source in (definition.items, definition.shots):
            if source is not None and not isinstance(source, str):
                assert source.file is not None
                assert source.hub is not None
                assert f"`{source.file.file}`" in page
                assert f"| {source.hub.path} | `{source.hub.revision}` |" in page


def test_a_plain_file_needs_nothing_but_its_name(tmp_path: Path) -> None:
    record = {"id": "a", "question": "1 + 1?", "answer": "2", "meta": {"category": "sums"}}
    benchmark, _, notes = own(tmp_path, "items: mine.jsonl\n", record)
    assert benchmark.id == "mine"
    assert benchmark.items == (Item("a", "1 + 1?", "2", category="sums"),)
    assert (benchmark.shots, notes) == ((), ())
    assert benchmark.revision.startswith("mine.jsonl (sha256 ")


def test_a_folder_of_local_copies_does_not_move_a_users_file(tmp_path: Path) -> None:
    own(tmp_path, "items: mine.jsonl\n", {"question": "1 + 1?", "answer": "2"})
    definition = load_definition("mine.yaml", tmp_path)
    assert load_benchmark(definition, tmp_path / "elsewhere")[0].items[0].id == "mine_0"


def test_settings_reach_the_benchmark(tmp_path: Path) -> None:
    text = (
        "name: quiz\nitems: mine.jsonl\nprompt: 'Q: {question} A:'\nlabel: answer\nanswers: text\n"
        "stop: ['Q:']\nnew_tokens: 20\ntask: trivia\nshots: mine.jsonl\nshot_count: 1\n"
    )
    benchmark, _, notes = own(tmp_path, text, {"id": "a", "question": "Who?", "answer": "Ada"})
    kept = (benchmark.id, benchmark.prompt, benchmark.label, benchmark.answers, benchmark.task)
    assert kept == ("quiz", "Q: {question} A:", "answer", "text", "trivia")
    assert (benchmark.stop, benchmark.new_tokens, benchmark.shot_count) == (("Q:",), 20, 1)
    # The only example is the item itself, so none is left.
    assert benchmark.shots == ()
    assert any("are items of the benchmark too" in note for note in notes)


def test_a_position_column_stands_for_the_answer(tmp_path: Path) -> None:
    text = "items: mine.jsonl\ncolumns: {answer_index: gold, choices: options, id: key}\n"
    record = {"key": 5, "question": "?", "options": ["x", "y"], "gold": 1}
    benchmark, _, _ = own(tmp_path, text, record)
    assert benchmark.items == (Item("5", "?", "B", ("x", "y"), 1),)


def test_a_users_dataset_is_read_through_datasets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "set"
    folder.mkdir()
    row = {"question": "?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answer": "2"}
    (folder / "test.jsonl").write_text(json.dumps(row) + "\n")
    text = f"items: {{path: '{folder}', split: test}}\n"
    benchmark, _, notes = own(tmp_path, text)
    assert benchmark.items == (Item("mine_0", "?", "B", ("x", "y"), 1),)
    assert len(notes) == 1
    assert "no pinned revision" in notes[0]


def test_malformed_rows_are_reported(tmp_path: Path) -> None:
    good = {"question": "?", "answer": "2"}
    _, exclusions, _ = own(tmp_path, "items: mine.jsonl\n", good, {"question": "?", "answer": None})
    assert [(e.item, e.reason) for e in exclusions] == [
        ("mine_1", "its answer is missing or not text")
    ]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("items: mine.jsonl\ncolumns: {question: ask}\n", ("no column 'ask'", "'question'")),
        ("items: mine.jsonl\ncolumns: {category: c}\n", ("no column 'c'",)),
        ("items: none.jsonl\n", ("none.jsonl: there is no such file",)),
        ("items: mine.jsonl\nshots: none.jsonl\n", ("none.jsonl: there is no such file",)),
        ("title: x\n", ("mine.yaml:1:1: the file has no 'items'",)),
        ("items: mine.jsonl\nshot: 5\n", (":2:1: unknown key 'shot'", "did you mean 'shots'?")),
        ("items: mine.jsonl\nprompt: Why?\n", (":2:1: prompt: it has no {question}",)),
        ("items: mine.jsonl\nname: gsm8k\n", (":2:1: name: 'gsm8k' is a benchmark of the",)),
        ("items: {path: a/b}\n", ("has no 'split'; add 'split:'",)),
    ],
)
def test_mistakes_are_named_with_their_place(
    tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    message = refusal(tmp_path, text, {"question": "?", "answer": "2"})
    assert all(part in message for part in parts), message


@pytest.mark.parametrize("name", KNOWN)
def test_the_six_are_found_by_name(name: str, tmp_path: Path) -> None:
    assert load_definition(name, tmp_path) is KNOWN[name]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("csqa", "commonsense_qa"),
        ("arc_c", "arc_challenge"),
        ("ARC-Challenge", "arc_challenge"),
        ("MMLU-Pro", "mmlu_pro_stem"),
        ("gsm8", "gsm8k"),
        ("HumanEval", "humaneval"),
    ],
)
def test_aliases_are_suggested_not_accepted(name: str, meant: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"did you mean '{meant}'") as caught:
        load_definition(name, tmp_path, "--benchmarks")
    assert str(caught.value).startswith(f"--benchmarks: there is no benchmark '{name}'; ")


@pytest.mark.parametrize("value", [{}, [], 0, False, ["so"], 3])
def test_a_rationale_that_is_no_text_is_said_and_an_empty_one_is_none(value: object) -> None:
    """What is falsy is not nothing: the label would silently be the answer alone."""
    columns = Columns("own")
    row = {"question": "1 + 1?", "answer": "2", "rationale": value}
    assert columns.record(1, row)["rationale"] == value
    for nothing in ("", None):
        assert columns.record(1, row | {"rationale": nothing})["rationale"] is None
