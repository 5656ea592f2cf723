"""Loading from files and from Hub datasets (folders of their layout), and worked examples."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataselect.benchmarks.definition import Definition, HubRows, RowSource
from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.load import load_benchmark
from dataselect.benchmarks.shots import choose_shots
from dataselect.errors import InputError
from dataselect.traces.shot_rationales import with_shot_rationales
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

REAL = Path(__file__).parents[3] / "shared" / "data" / "benchmarks"
real_files = pytest.mark.skipif(not REAL.is_dir(), reason="the real benchmarks are not here")


def write(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def choice(name: str, **changes: Any) -> dict[str, Any]:
    record = {"id": name, "question": f"{name}?", "choices": ["x", "y"], "answer": "B"}
    return record | {"answer_index": 1} | changes


def solved(name: str, **changes: Any) -> dict[str, Any]:
    record = {"id": name, "question": f"{name}?", "answer": "2", "rationale": "1 + 1 = 2."}
    return record | changes


def lines_and_rows(name: str) -> dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """The local lines and the Hub rows of the same items, by split of a benchmark."""
    if name == "gsm8k":
        return {
            split: (
                [solved(f"gsm8k_{split}_{i}", question=f"{split} {i}?") for i in range(n)],
                [
                    {"question": f"{split} {i}?", "answer": "1 + 1 = <<1+1=2>>2.\n#### 2"}
                    for i in range(n)
                ],
            )
            for split, n in (("test", 2), ("train", 7))
        }
    if name == "math500":
        test = solved("test/algebra/1.json", rationale=r"$\boxed{2}$")
        train = [
            solved(f"math_train_{i}", question=f"train {i}?", rationale=rf"${i} = \boxed{{2}}$")
            for i in range(6)
        ]
        hub_test = {"unique_id": test["id"], "problem": test["question"], "level": 2}
        return {
            "test": ([test], [hub_test | {"solution": test["rationale"], "answer": "2"}]),
            "train": (
                train,
                [
                    {"problem": t["question"], "solution": t["rationale"], "level": "1"}
                    for t in train
                ],
            ),
        }
    if name in ("arc_challenge", "commonsense_qa"):
        ids = KNOWN[name].shot_ids or ()
        # Other rows in between, and not in the order of `shot_ids`.
        parts = {"items": ["a", "b"], "train": ["other", *reversed(ids), "last"]}
        held = "test" if name == "arc_challenge" else "validation"
        return {
            held if part == "items" else part: (
                [choice(n) for n in names],
                [
                    {
                        "id": n,
                        "question": f"{n}?",
                        "choices": {"text": ["x", "y"], "label": ["1", "2"]},
                        "answerKey": "2",
                    }
                    for n in names
                ],
            )
            for part, names in parts.items()
        }
    if name == "mmlu_pro_stem":
        kinds = ["law", *["math", "physics"] * 6]
        built: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
        for split, prefix, cot in (
            ("test", "mmlu_pro", ""),
            ("validation", "mmlu_pro_val", "A: So. The answer is (B)."),
        ):
            lines, rows = [], []
            for i, kind in enumerate(kinds):
                line = choice(
                    f"{prefix}_{i}",
                    question=f"{split} {i}?",
                    choices=["x", "y", "N/A"],
                    rationale=cot or None,
                    meta={"category": kind},
                )
                lines.append(line)
                rows.append(
                    {"question_id": i, "question": line["question"], "options": line["choices"]}
                    | {"answer": "B", "answer_index": 1, "cot_content": cot, "category": kind}
                )
            built[split] = (lines, rows)
        return built
    tasks = [(f"HumanEval/{i}", f"def f{i}():\n", f"    return {i}\n", f"f{i}") for i in range(8)]
    lines = [
        {
            "id": a,
            "question": q,
            "answer": s,
            "meta": {"test": "def check(f): ...", "entry_point": e},
        }
        for a, q, s, e in tasks
    ]
    keys = ("task_id", "prompt", "canonical_solution", "entry_point")
    rows = [dict(zip(keys, t, strict=True)) | {"test": "def check(f): ..."} for t in tasks]
    return {"test": (lines, rows)}


def write_local(folder: Path, definition: Definition) -> None:
    splits = lines_and_rows(definition.id)
    for source in (definition.items, definition.shots):
        if isinstance(source, RowSource):
            assert source.file is not None
            assert source.hub is not None
            write(folder / source.file.file, splits[source.hub.split][0])


def on_disk(source: Any, folder: Path, name: str) -> Any:
    """The source with its Hub dataset replaced by a folder of the same layout."""
    if not isinstance(source, RowSource):
        return source
    assert isinstance(source.hub, HubRows)
    place = folder / source.hub.path.replace("/", "--")
    split = source.hub.split
    rows = lines_and_rows(name)[split][1]
    write(place / f"{split}.jsonl", rows)
    if source.hub.name is not None:
        splits = sorted(path.stem for path in place.glob("*.jsonl"))
        entries = "".join(f"  - split: {s}\n    path: {s}.jsonl\n" for s in splits)
        head = f"---\nconfigs:\n- config_name: {source.hub.name}\n  data_files:\n{entries}---\n"
        (place / "README.md").write_text(head)
    return replace(source, hub=replace(source.hub, path=str(place), revision=None))


def as_hub(definition: Definition, folder: Path) -> Definition:
    # Twice, so that the dataset card of a shared folder lists both splits.
    for _ in range(2):
        moved = replace(
            definition,
            items=on_disk(definition.items, folder, definition.id),
            shots=on_disk(definition.shots, folder, definition.id),
        )
    return moved


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("definition", KNOWN.values(), ids=list(KNOWN))
def test_the_hub_and_local_files_give_the_same_benchmark(
    definition: Definition, tmp_path: Path
) -> None:
    write_local(tmp_path / "files", definition)
    local, local_out, notes = load_benchmark(definition, tmp_path / "files")
    hub, hub_out, hub_notes = load_benchmark(as_hub(definition, tmp_path / "hub"))
    assert hub.items == local.items
    assert hub.shots == local.shots
    assert hub.content_hash == local.content_hash
    assert (local_out, hub_out, notes) == ((), (), ())
    assert {len(local.examples(item)) for item in local.items} == {5}
    assert all("no pinned revision" in note for note in hub_notes)
    assert local.revision is not None
    assert "(sha256 " in local.revision
    assert str(tmp_path) not in local.revision


@pytest.mark.usefixtures("cache")
def test_a_missing_column_is_refused_with_those_that_are_there(tmp_path: Path) -> None:
    definition = as_hub(KNOWN["math500"], tmp_path)
    assert definition.items.hub is not None
    write(Path(definition.items.hub.path) / "test.jsonl", [{"unique_id": "a", "text": "b"}])
    with pytest.raises(
        InputError, match=r"no column 'problem' \(columns: 'unique_id', 'text'\)"
    ) as caught:
        load_benchmark(definition)
    assert str(caught.value).startswith("math500: ")


@pytest.mark.usefixtures("cache")
def test_a_dataset_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    definition = as_hub(KNOWN["math500"], tmp_path)
    assert definition.items.hub is not None
    hub = replace(definition.items.hub, split="none")
    with pytest.raises(InputError, match="math500: ") as caught:
        load_benchmark(replace(definition, items=replace(definition.items, hub=hub)))
    assert "\n" not in str(caught.value)
    assert "split" in str(caught.value)


def test_a_copy_of_another_commit_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lines_and_rows("math500")["test"][1]
    other = "0" * 40
    monkeypatch.setattr("dataselect.benchmarks.load.hub_rows", lambda *_: (rows, other))
    benchmark, _, notes = load_benchmark(replace(KNOWN["math500"], shots=None))
    assert benchmark.revision == f"HuggingFaceH4/MATH-500@{other}"
    assert f"read at commit {other}" in notes[0]


def test_a_pinned_commit_is_recorded_without_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = lines_and_rows("math500")["test"][1]
    definition = replace(KNOWN["math500"], shots=None)
    assert definition.items.hub is not None
    pinned = definition.items.hub.revision
    monkeypatch.setattr("dataselect.benchmarks.load.hub_rows", lambda *_: (rows, pinned))
    benchmark, _, notes = load_benchmark(definition)
    assert (benchmark.revision, notes) == (f"HuggingFaceH4/MATH-500@{pinned}", ())


def test_missing_worked_examples_are_noted_loudly(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k.test.jsonl", [solved("a")])
    benchmark, _, notes = load_benchmark(KNOWN["gsm8k"], tmp_path)
    assert benchmark.shots == ()
    assert len(notes) == 1
    assert "NO WORKED EXAMPLES: gsm8k.train.jsonl" in notes[0]


def test_missing_items_are_refused_with_the_file_and_the_fix(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gsm8k\.test\.jsonl: there is no such file") as caught:
        load_benchmark(KNOWN["gsm8k"], tmp_path)
    assert "openai/gsm8k" in caught.value.fix


def test_gzipped_files_are_read_and_damaged_ones_refused(tmp_path: Path) -> None:
    data = gzip.compress((json.dumps(solved("a")) + "\n").encode())
    path = tmp_path / "gsm8k.test.jsonl.gz"
    path.write_bytes(data)
    assert [item.id for item in load_benchmark(KNOWN["gsm8k"], tmp_path)[0].items] == ["a"]
    path.write_bytes(data[:-12])
    with pytest.raises(InputError, match="the archive is damaged"):
        load_benchmark(KNOWN["gsm8k"], tmp_path)


def test_malformed_items_are_reported_and_do_not_use_up_the_limit(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k.test.jsonl", [solved("bad", answer=""), solved("a"), solved("b")])
    benchmark, exclusions, _ = load_benchmark(KNOWN["gsm8k"], tmp_path, limit=1)
    assert [item.id for item in benchmark.items] == ["a"]
    assert [exclusion.item for exclusion in exclusions] == ["bad"]


def test_a_file_without_a_usable_item_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k.test.jsonl", [solved("bad", answer="")])
    with pytest.raises(InputError, match=r"no usable item \(bad: its answer is missing"):
        load_benchmark(KNOWN["gsm8k"], tmp_path)


def test_a_file_of_another_kind_is_refused_with_its_columns(tmp_path: Path) -> None:
    write(tmp_path / "gsm8k.test.jsonl", [{"id": "a", "text": "b"}])
    with pytest.raises(InputError, match=r"no column 'question' \(columns: 'id', 'text'\)"):
        load_benchmark(KNOWN["gsm8k"], tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"id": "a", "question": "q"}\n{"id": "b', ":2: the line is not JSON"),
        (b'{"id": "a", "question": "q"}\n\n[1]\n', ":3: the line is not a JSON object"),
        (b'{"id": "a", "question": "\xff"}\n', ":1: the line is not UTF-8"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "gsm8k.test.jsonl").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_benchmark(KNOWN["gsm8k"], tmp_path)


def test_a_worked_example_that_is_an_item_too_is_not_shown(tmp_path: Path) -> None:
    write(tmp_path / "math500.test.jsonl", [solved("test/1", question="Same?")])
    train = [solved("t0", question=" Same?"), *(solved(f"t{i}") for i in range(1, 7))]
    write(tmp_path / "math500.train.jsonl", train)
    benchmark, _, notes = load_benchmark(KNOWN["math500"], tmp_path)
    assert [shot.id for shot in benchmark.shots] == ["t1", "t2", "t3", "t4", "t5"]
    assert len(notes) == 1
    assert "1 rows for worked examples are items" in notes[0]


def test_fewer_worked_examples_than_configured_are_noted(tmp_path: Path) -> None:
    definition = KNOWN["arc_challenge"]
    wanted = list(definition.shot_ids or ())
    write(tmp_path / "arc_challenge.test.jsonl", [choice("a")])
    write(tmp_path / "arc_challenge.train.jsonl", [choice(name) for name in wanted[:3]])
    benchmark, _, notes = load_benchmark(definition, tmp_path)
    assert [shot.id for shot in benchmark.shots] == wanted[:3]
    assert any(wanted[3] in note and wanted[4] in note for note in notes)
    assert any("some items get 3 worked examples, not 5" in note for note in notes)


def test_humaneval_items_never_see_themselves_whatever_the_limit(tmp_path: Path) -> None:
    write_local(tmp_path, KNOWN["humaneval"])
    for limit in (1, None):
        benchmark, _, notes = load_benchmark(KNOWN["humaneval"], tmp_path, limit)
        assert notes == ()
        for item in benchmark.items:
            examples = benchmark.examples(item)
            assert len(examples) == 5
            assert item not in examples


def test_mmlu_pro_items_get_examples_of_their_own_category(tmp_path: Path) -> None:
    write_local(tmp_path, KNOWN["mmlu_pro_stem"])
    benchmark, _, _ = load_benchmark(KNOWN["mmlu_pro_stem"], tmp_path)
    assert {item.category for item in benchmark.items} == {"math", "physics"}
    for item in benchmark.items:
        assert {shot.category for shot in benchmark.examples(item)} == {item.category}


def test_examples_are_chosen_by_id_or_first_of_each_category() -> None:
    pool = [Item(f"{c}{i}", "?", "1", category=c) for i in range(3) for c in "ab"]
    assert [s.id for s in choose_shots(pool, 2)] == ["a0", "b0", "a1", "b1"]
    assert [s.id for s in choose_shots(pool, 2, ["b2", "none", "a0"])] == ["b2", "a0"]


def test_rationales_of_examples_come_from_traces() -> None:
    shots = (
        Item("s", "?", "A", ("x", "y"), 0),
        Item("t", "?", "B", ("x", "y"), 1),
        Item("u", "?", "B", ("x", "y"), 1, "Published."),
    )
    benchmark = BenchmarkItems("b", (Item("i", "?", "A", ("x", "y"), 0),), shots)
    traces = {name: Trace(name, f"Why {name}.", ((6, 0.5),)) for name in ("s", "u", "i")}
    header = TraceHeader("b", "model", "prompt", "test")
    filled, notes = with_shot_rationales(benchmark, TraceSet(header, traces))
    assert [shot.rationale for shot in filled.shots] == ["Why s.", None, "Published."]
    assert "Why s. The answer is A." in filled.context(filled.items[0])
    assert filled.items == benchmark.items
    assert len(notes) == 1
    assert "1 of 3 worked examples show an answer without reasoning (t)" in notes[0]


EXPECTED = {
    # Items, left out, and worked examples that an item gets.
    "gsm8k": (1319, 0, 0),
    "math500": (500, 0, 0),
    "arc_challenge": (1172, 0, 5),
    "mmlu_pro_stem": (5876, 2, 5),
    "commonsense_qa": (1221, 0, 5),
    "humaneval": (164, 0, 5),
}


@real_files
@pytest.mark.parametrize("name", KNOWN)
def test_the_real_files_have_the_known_counts(name: str) -> None:
    benchmark, exclusions, notes = load_benchmark(KNOWN[name], REAL)
    count, left_out, shots = EXPECTED[name]
    assert (len(benchmark.items), len(exclusions)) == (count, left_out)
    # The training splits of GSM8K and MATH are not among those files.
    assert {len(benchmark.examples(item)) for item in benchmark.items} == {shots}
    assert len(notes) == (0 if shots else 1)


@real_files
def test_the_two_bad_items_of_mmlu_pro_are_named() -> None:
    _, exclusions, _ = load_benchmark(KNOWN["mmlu_pro_stem"], REAL)
    assert {exclusion.item for exclusion in exclusions} == {"mmlu_pro_9682", "mmlu_pro_10445"}
    assert {e.reason for e in exclusions} == {"one of its choices is empty or not text"}


@real_files
@pytest.mark.parametrize(
    ("name", "prefix"), [("gsm8k", "gsm8k_test_"), ("humaneval", "HumanEval/")]
)
def test_ids_that_the_hub_gives_by_position_are_those_of_the_real_files(
    name: str, prefix: str
) -> None:
    benchmark, _, _ = load_benchmark(KNOWN[name], REAL)
    assert [item.id for item in benchmark.items] == [
        f"{prefix}{i}" for i in range(len(benchmark.items))
    ]


@real_files
def test_gsm8k_rows_of_the_hub_give_the_rationales_of_the_real_file() -> None:
    source = KNOWN["gsm8k"].items
    assert source.hub is not None
    lines = (REAL / "gsm8k.test.jsonl").read_text().splitlines()
    for i, line in enumerate(map(json.loads, lines)):
        row = {"question": line["question"], "answer": line["raw_answer"]}
        record = source.hub.record(i, row)
        assert record == {key: line[key] for key in ("id", "question", "answer", "rationale")}


@pytest.mark.usefixtures("cache")
def test_without_a_network_the_way_to_local_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach it")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    with pytest.raises(
        InputError, match="--folder of a command, 'folder' of a benchmark in a plan"
    ):
        load_benchmark(KNOWN["gsm8k"])
