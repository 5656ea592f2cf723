"""Which files of a folder are read: those that `datasets` itself gives for the split."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataselect.config.manifest import Source
from dataselect.corpus.files import Found, find_files
from dataselect.corpus.fingerprint import fingerprint
from dataselect.corpus.rows import open_rows
from dataselect.errors import InputError

datasets = pytest.importorskip("datasets")

WORDS = ["train", "training", "test", "testing", "validation", "valid", "val", "dev", "eval"]
OTHER_WORDS = ["data", "part", "contest", "trainer", "Train", "en", "0", "v1", "random", "__odd"]
SPLITS = ["train", "validation", "test", "random"]


def source(path: str = "d", **keys: Any) -> Source:
    return Source(id="src", path=path, **keys)


def write(base: Path, *names: str) -> None:
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"text": name}) + "\n")


def found(base: Path, **keys: Any) -> Found:
    return find_files(source(**keys), base)


def read(base: Path, **keys: Any) -> list[str]:
    return [str(file.path.relative_to(base / "d")) for file in found(base, **keys).files]


def refusal(base: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        find_files(source(**keys), base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def given_by_datasets(base: Path, **keys: Any) -> dict[str, set[str]] | None:
    """The files that `load_dataset` would read by split; None where it refuses the folder."""
    folder = (base / "d").resolve()
    try:
        builder = datasets.load_dataset_builder(str(folder), cache_dir=str(base / "cache"), **keys)
    except (ValueError, FileNotFoundError):
        return None
    return {
        str(split): {str(Path(file).relative_to(folder)) for file in files}
        for split, files in builder.config.data_files.items()
    }


word = st.sampled_from(WORDS + OTHER_WORDS)
part = st.builds(
    "".join,
    st.lists(
        st.tuples(word, st.sampled_from(["-", "_", ".", " ", ""])).map("".join),
        min_size=1,
        max_size=2,
    ),
).map(lambda text: text.strip(" .") or "x")
name = st.one_of(
    st.builds(
        lambda folders, stem: "/".join([*folders, f"{stem}.jsonl"]),
        st.lists(part, max_size=2),
        part,
    ),
    st.builds(lambda stem, i: f"data/{stem}-{i:05d}-of-00003.jsonl", word, st.integers(0, 2)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(names=st.lists(name, min_size=1, max_size=6, unique=True))
def test_a_folder_is_split_as_datasets_splits_it(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    base = tmp_path_factory.mktemp("layout")
    try:
        write(base / "d", *names)
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        return
    expected = given_by_datasets(base)
    if expected is None:
        return
    for split in {*SPLITS, *expected}:
        if split not in expected:
            assert "no split" in refusal(base, split=split)
        else:
            assert set(read(base, split=split)) == expected[split]
