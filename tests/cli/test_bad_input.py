"""Bad input ends with exit code 2 and one line that names the place and the fix."""

import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dataselect.cli import app


def invoke(project: Any, *arguments: str) -> Result:
    store, out = project.folder / "store", project.folder / "out"
    options = ["--store", str(store), "--out", str(out)] if arguments[0] == "run" else []
    return CliRunner().invoke(app, [arguments[0], str(project.manifest), *options, *arguments[1:]])


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def in_manifest(old: str, new: str) -> Callable[[Any], None]:
    return lambda project: replace(project.manifest, old, new)


def in_plan(old: str, new: str) -> Callable[[Any], None]:
    return lambda project: replace(project.plan, old, new)


def in_data(content: bytes, name: str = "prose.jsonl") -> Callable[[Any], None]:
    return lambda project: (project.folder / "data" / name).write_bytes(content)


def corrupt_gzip(project: Any) -> None:
    lines = "\n".join(json.dumps({"text": f"line {i}"}) for i in range(5000)).encode()
    packed = gzip.compress(lines)
    (project.folder / "data" / "prose.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    replace(project.manifest, "data/prose.jsonl", "data/prose.jsonl.gz")


def folder_of(*names: str) -> Callable[[Any], None]:
    """Replaces the file of a candidate by a folder of copies."""

    def change(project: Any) -> None:
        data = project.folder / "data"
        (data / "prose").mkdir()
        for name in names:
            shutil.copy(data / "prose.jsonl", data / "prose" / name)
        replace(project.manifest, "data/prose.jsonl", "data/prose")

    return change


CASES: dict[str, tuple[Callable[[Any], None], tuple[str, ...]]] = {
    "unknown key": (
        in_manifest("text_column: body", "text_colum: body"),
        ("candidates.yaml:7:5", "text_colum", "did you mean 'text_column'"),
    ),
    "duplicate id": (
        in_manifest("id: prose", "id: solved"),
        ("candidates.yaml:8", "'solved' is the id of"),
    ),
    "duplicate YAML key": (
        in_manifest("plan: plan.yaml", "plan: plan.yaml\nplan: other.yaml"),
        ("candidates.yaml:3:1", "plan"),
    ),
    "missing file": (
        in_manifest("data/solved.jsonl", "data/sloved.jsonl"),
        ("solved", "sloved.jsonl", "did you mean 'solved.jsonl'"),
    ),
    "missing text column": (
        in_manifest("text_column: body", "text_column: bodi"),
        ("solved.jsonl", "bodi", "body"),
    ),
    "empty dataset": (in_data(b""), ("prose", "empty")),
    "corrupt gzip": (corrupt_gzip, ("prose.jsonl.gz", "corrupt gzip")),
    "truncated line": (
        in_data(b'{"text": "one"}\n{"text": "two"}\n{"text": "thr'),
        ("prose.jsonl:3", "bad_rows: skip"),
    ),
    "most rows without text": (
        in_data(b'{"text": "one"}\n' + b'{"content": "two"}\n' * 9),
        ("prose.jsonl: 9 of 10 rows have no usable text (90%", "keys: 'content'", "max_unusable"),
    ),
    "folder without a training split": (
        folder_of("test.jsonl", "validation.jsonl"),
        ("prose: split: there is no split 'train'", "(splits: validation, test)"),
    ),
    "folder of another format": (
        folder_of("shard.00000.mds"),
        ("prose: path:", "MDS shards of MosaicML Streaming", "streaming.StreamingDataset"),
    ),
    "not UTF-8": (in_data(b'{"text": "one"}\n{"text": "\xff\xfe"}\n'), ("prose.jsonl:2", "UTF-8")),
    "id with a path": (in_manifest("id: prose", "id: ../prose"), ("candidates.yaml:8", "../prose")),
    "id with markup": (in_manifest("id: prose", 'id: "[/b]"'), ("candidates.yaml:8", "[/b]")),
    "impossible budget": (
        in_plan("tokens: 8k", "tokens: 100"),
        ("plan.yaml", "100 tokens", "raise tokens"),
    ),
    "more tokens than there are": (
        in_plan("tokens: 8k", "tokens: 9M"),
        ("candidates.yaml:4", "'solved' has", "max_repeats:"),
    ),
    "keeping more than there are": (
        in_plan("keep: 2", "keep: 4"),
        ("plan.yaml:5", "4 candidates cannot be kept of 3"),
    ),
    "benchmark without traces": (
        in_plan(", traces: traces.jsonl.gz", ""),
        ("plan.yaml:3", "'stories' has no traces"),
    ),
    "traces of other items": (
        lambda project: replace(project.folder / "items.jsonl", '"id": "i', '"id": "j'),
        ("traces.jsonl.gz", "none of its 8 traces"),
    ),
    "unknown plan": (in_manifest("plan: plan.yaml", "plan: quikstart"), ("did you mean",)),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_with_exit_code_2_before_any_training(
    project: Any, case: str
) -> None:
    spoil, wanted = CASES[case]
    spoil(project)
    result = invoke(project, "run")
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(lines)) == (2, 1), result.output
    for part in wanted:
        assert part in lines[0]
    assert "Traceback" not in result.output
    assert not list(project.folder.glob("store/artifacts/proxy/*"))


@pytest.mark.parametrize("case", CASES)
def test_validate_finds_it_too_and_makes_nothing(project: Any, case: str) -> None:
    spoil, wanted = CASES[case]
    spoil(project)
    result = invoke(project, "validate")
    assert result.exit_code == 2, result.output
    for part in wanted:
        assert part in result.stderr
    assert not (project.folder / "store").exists()


def test_validate_says_what_is_well(project: Any) -> None:
    result = invoke(project, "validate")
    assert result.exit_code == 0, result.output
    assert "3 candidates, plan plan" in result.output
    assert "8 traces of made up" in result.output
    assert "source prose: readable" in result.output
    assert "left out" not in result.output


def test_what_a_source_leaves_out_is_said_by_validate_and_by_run_and_in_the_report(
    project: Any,
) -> None:
    folder_of("train.jsonl", "test.jsonl")(project)
    with (project.folder / "data" / "prose" / "train.jsonl").open("a") as file:
        file.write('{"text": null}\n')
    split = "prose: only split train is read (1 file); left out: test.jsonl (test)"
    checked = invoke(project, "validate")
    assert checked.exit_code == 0, checked.output
    assert f"source {split}\n" in checked.output
    assert "have no usable text" in checked.output
    done = invoke(project, "run")
    assert done.exit_code == 0, done.output
    assert f"note: {split}" in done.output
    (page,) = project.folder.glob("**/README.md")
    assert f"- {split}\n" in page.read_text()
    assert "rows read have no usable text" in done.output
    assert "rows read have no usable text" in page.read_text()
