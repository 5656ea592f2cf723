"""The authors' marked subsets, from files and from a folder of the Hub's layout."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataselect.benchmarks.items import Item
from dataselect.benchmarks.load import load_benchmark
from dataselect.benchmarks.mask_subsets import MASKED
from dataselect.benchmarks.own import load_definition
from dataselect.config.benchmark import MASK_SUBSETS, without_answers
from dataselect.errors import InputError
from dataselect.traces.marking import STRAY, marked_traces

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
ROWS = [
    {"question": "How many?", "reasoning": "So <span>3 + 4\n= 7</span> it is."},
    {"question": " Which?\n", "reasoning": "It is <span>red, not blue."},
    {"question": "Why?", "reasoning": "Because."},
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_there_are_ten_under_the_authors_names() -> None:
    assert len(MASKED) == len(MASK_SUBSETS) == 10
    page = PAGE.read_text()
    for subset in MASK_SUBSETS:
        definition = MASKED[f"mask-{subset}"]
        assert load_definition(f"mask-{subset}", Path()) is definition
        hub = definition.items.hub
        assert hub is not None
        assert (hub.path, hub.name, hub.split) == ("trillionlabs/rbridge-mask", subset, "test")
        assert f"`mask-{subset}`" in page
        assert without_answers(definition.id)
        assert not without_answers(subset)
    assert not without_answers("mask-mine")


def test_a_name_that_is_nearly_one_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean 'mask-mmlu-pro'"):
        load_definition("mask-mmlu_pro", Path())


def test_questions_are_kept_to_the_letter_and_reasoning_is_the_gold_text(tmp_path: Path) -> None:
    write(tmp_path / "mask-arc.test.jsonl", ROWS)
    benchmark, left_out, _ = load_benchmark(MASKED["mask-arc"], tmp_path)
    assert not left_out
    assert not benchmark.has_answers
    first, second, third = benchmark.items
    assert first == Item(
        "mask-arc_0", "How many?", "So 3 + 4\n= 7 it is.", marked=ROWS[0]["reasoning"]
    )
    assert second.question == " Which?\n"
    assert benchmark.label_text(third) == " Because."
    assert benchmark.context(third) == "Question: Why?\nAnswer:"
    traces = marked_traces(benchmark)
    assert [trace.spans for trace in traces.traces.values()] == [((3, 12),), (), ()]
    assert traces.traces["mask-arc_1"].text == "It is red, not blue."
    assert traces.header.notes[STRAY] == "1"
    assert not traces.has_probabilities


def test_a_row_without_reasoning_is_left_out_with_its_reason(tmp_path: Path) -> None:
    bad: list[tuple[Any, Any]] = [("?", None), ("?", " "), (3, "So.")]
    rows = [{"question": question, "reasoning": reasoning} for question, reasoning in bad]
    write(tmp_path / "mask-gpqa.test.jsonl", [*ROWS, *rows])
    benchmark, left_out, _ = load_benchmark(MASKED["mask-gpqa"], tmp_path)
    assert len(benchmark.items) == 3
    assert {each.item: each.reason for each in left_out} == {
        "mask-gpqa_3": "its reasoning is missing or not text",
        "mask-gpqa_4": "its reasoning is missing or not text",
        "mask-gpqa_5": "its question is missing or not text",
    }


def test_a_file_of_other_columns_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "mask-bbh.test.jsonl", [{"question": "?", "trace": "So."}])
    with pytest.raises(InputError, match=r"no column 'reasoning' \(columns: 'question', 'trace'\)"):
        load_benchmark(MASKED["mask-bbh"], tmp_path)


def test_a_subset_of_the_hub_s_layout_gives_the_same_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub = tmp_path / "hub"
    write(hub / "arc" / "test.jsonl", ROWS)
    write(hub / "aime25" / "test.jsonl", ROWS[:1])
    configs = "".join(
        f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {name}/test.jsonl\n"
        for name in ("aime25", "arc")
    )
    (hub / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    definition = MASKED["mask-arc"]
    assert definition.items.hub is not None
    moved = replace(definition.items, hub=replace(definition.items.hub, path=str(hub)))
    from_hub, _, _ = load_benchmark(replace(definition, items=moved))
    write(tmp_path / "files" / "mask-arc.test.jsonl", ROWS)
    local, _, _ = load_benchmark(definition, tmp_path / "files")
    assert from_hub.items == local.items
    assert from_hub.content_hash == local.content_hash
