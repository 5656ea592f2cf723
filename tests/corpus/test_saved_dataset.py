"""Folders of save_to_disk and Arrow files are read, with the rows that `datasets` gives."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataselect.config.manifest import Source
from dataselect.corpus.files import find_files
from dataselect.corpus.fingerprint import fingerprint
from dataselect.corpus.readers import read_rows
from dataselect.corpus.sampling import peek
from dataselect.errors import InputError

datasets = pytest.importorskip("datasets")
pa = pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def quiet() -> None:
    datasets.disable_progress_bars()


def texts(base: Path, **keys: Any) -> list[object]:
    source = Source(id="src", **{"path": "d", **keys})
    peek(source, base)
    files = find_files(source, base).files
    return [value for file in files for _, value in read_rows(file, source.text_column)]


def refusal(base: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        texts(base, **keys)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def dataset(name: str, rows: int = 250) -> Any:
    return datasets.Dataset.from_dict(
        {"text": [f"{name} {i} ü" for i in range(rows)], "id": list(range(rows))}
    )


def test_a_saved_dataset_gives_all_its_rows(tmp_path: Path) -> None:
    saved = dataset("x").shuffle(seed=1).select(range(180))
    saved.save_to_disk(str(tmp_path / "d"), num_shards=3)
    again = datasets.load_from_disk(str(tmp_path / "d"))["text"]
    assert sorted(map(str, texts(tmp_path))) == sorted(again)
    assert texts(tmp_path, path="arrow", data_dir="d") == texts(tmp_path)
    assert {file["form"] for file in fingerprint(Source(id="a", path="d"), tmp_path)["files"]} == {
        "arrow"
    }


def test_a_saved_dict_of_splits_gives_the_split(tmp_path: Path) -> None:
    made = datasets.DatasetDict({name: dataset(name, 5) for name in ("train", "dev")})
    made.save_to_disk(str(tmp_path / "d"))
    assert texts(tmp_path) == [f"train {i} ü" for i in range(5)]
    assert texts(tmp_path, split="dev") == [f"dev {i} ü" for i in range(5)]
    assert len(texts(tmp_path, split="all")) == 10
    assert texts(tmp_path, path="d/dev")[0] == "dev 0 ü"
    note = find_files(Source(id="src", path="d"), tmp_path).note
    assert note == "only split train is read, not dev"
    assert "no split 'test' in" in refusal(tmp_path, split="test")
    assert "no split 'test' in" in refusal(tmp_path, path="d/train", split="test")


def test_what_is_missing_in_a_saved_dataset_is_named(tmp_path: Path) -> None:
    dataset("x").save_to_disk(str(tmp_path / "d"))
    assert "no column 'body' (columns: 'text', 'id')" in refusal(tmp_path, text_column="body")
    state = json.loads((tmp_path / "d/state.json").read_text())
    (tmp_path / "d" / state["_data_files"][0]["filename"]).unlink()
    assert "state.json beside it lists it, and it is not there" in refusal(tmp_path)
    (tmp_path / "d/state.json").write_text("{")
    assert "state.json: cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize("form", ["stream", "file"])
def test_arrow_files_are_read_batch_by_batch(tmp_path: Path, form: str) -> None:
    table = pa.table({"id": list(range(350)), "text": [f"t{i}" for i in range(349)] + [None]})
    write = pa.ipc.new_stream if form == "stream" else pa.ipc.new_file
    (tmp_path / "d").mkdir()
    with write(str(tmp_path / "d/a-train.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=130)
    assert texts(tmp_path) == [*(f"t{i}" for i in range(349)), None]
    damaged = (tmp_path / "d/a-train.arrow").read_bytes()[:2000]
    (tmp_path / "d/a-train.arrow").write_bytes(damaged)
    assert "corrupt or not Arrow" in refusal(tmp_path)
    (tmp_path / "d/a-train.arrow").write_bytes(b"no arrow at all")
    assert "corrupt or not Arrow" in refusal(tmp_path)


def test_the_cache_of_load_dataset_is_split_by_its_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for split in ("train", "test"):
        (tmp_path / f"in/{split}.jsonl").write_text(json.dumps({"text": split}) + "\n")
    datasets.load_dataset(str(tmp_path / "in"), cache_dir=str(tmp_path / "cache"))
    (folder,) = {path.parent for path in (tmp_path / "cache").rglob("*.arrow")}
    assert texts(tmp_path, path=str(folder)) == ["train"]
