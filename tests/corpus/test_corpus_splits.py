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


def test_a_folder_of_split_files_gives_the_rows_of_its_training_split(tmp_path: Path) -> None:
    write(tmp_path, "d/train.jsonl", "d/test.jsonl", "d/validation.jsonl")
    assert list(open_rows(source(), tmp_path, seed=0)) == ["d/train.jsonl"]
    assert list(open_rows(source(split="validation"), tmp_path, seed=0)) == ["d/validation.jsonl"]
    assert found(tmp_path).note == (
        "only split train is read (1 file); left out: test.jsonl (test), "
        "validation.jsonl (validation)"
    )


@pytest.mark.parametrize(
    ("names", "keys", "expected"),
    [
        (["train/a.jsonl", "dev/b.jsonl"], {}, ["train/a.jsonl"]),
        (["train/a.jsonl", "dev/b.jsonl"], {"split": "validation"}, ["dev/b.jsonl"]),
        (["a.train.jsonl.gz", "a.eval.jsonl.gz"], {"split": "test"}, ["a.eval.jsonl.gz"]),
        (["train.jsonl", "valid.jsonl"], {"split": "all"}, ["train.jsonl", "valid.jsonl"]),
        (
            ["train.jsonl", "val.jsonl", "test.jsonl"],
            {"split": "validation + train"},
            ["train.jsonl", "val.jsonl"],
        ),
        (["x/train.jsonl", "x/test.jsonl"], {"data_dir": "x"}, ["x/train.jsonl"]),
        (["x/train.jsonl", "x/test.jsonl"], {"path": "json", "data_dir": "d/x"}, ["x/train.jsonl"]),
        (["a.jsonl", "train.py", "test.log"], {}, ["a.jsonl"]),
        # Files that are named are all read, as `datasets` does.
        (
            ["train.jsonl", "test.jsonl"],
            {"data_files": "*.jsonl"},
            ["test.jsonl", "train.jsonl"],
        ),
        # Two patterns match this file; `datasets` would give its rows twice.
        (["train/train-x/a.jsonl"], {}, ["train/train-x/a.jsonl"]),
    ],
)
def test_splits_of_folders(
    tmp_path: Path, names: list[str], keys: dict[str, Any], expected: list[str]
) -> None:
    write(tmp_path / "d", *names)
    assert read(tmp_path, **keys) == expected


@pytest.mark.parametrize(
    ("names", "keys", "part"),
    [
        (["a.jsonl", "test/b.jsonl"], {}, "there is no split 'train' in"),
        (
            ["a.jsonl", "b.jsonl", "c/guide-to-test-plans.jsonl"],
            {},
            "(splits: test): by a word in their names, as in 'guide-to-test-plans.jsonl' (test), "
            "1 of its 3 files are in these splits, and the others in none; to read all, write "
            "path: json",
        ),
        (["val.jsonl", "test.jsonl"], {}, "(splits: validation, test); set split:"),
        (["a.jsonl"], {"split": "test"}, "there is no split 'test'"),
        (["train.jsonl"], {"split": "train[:10%]"}, "slices of a split are read from the Hub"),
        (["train.jsonl"], {"name": "en"}, "src: name: has no meaning for local files"),
        (["train.jsonl"], {"data_files": "*", "split": "test"}, "files that are named have no"),
    ],
)
def test_a_split_that_is_not_there_is_refused(
    tmp_path: Path, names: list[str], keys: dict[str, Any], part: str
) -> None:
    write(tmp_path / "d", *names)
    assert part in refusal(tmp_path, **keys)


def card(base: Path, configs: str) -> None:
    (base / "d").mkdir(exist_ok=True)
    (base / "d/README.md").write_text(f"---\nlicense: mit\nconfigs:\n{configs}---\n# Data\n")


TWO = """\
- config_name: en
  data_files:
  - {split: train, path: "en/*.jsonl"}
  - {split: test, path: [more/a.jsonl]}
- config_name: de
  data_files: "de/*"
"""


def test_configs_of_the_readme_decide_as_in_datasets(tmp_path: Path) -> None:
    write(tmp_path / "d", "en/test.jsonl", "en/b.jsonl", "more/a.jsonl", "de/x.jsonl")
    card(tmp_path, TWO)
    for name, split in (("en", "train"), ("en", "test"), ("de", "train")):
        expected = given_by_datasets(tmp_path, name=name)
        assert expected is not None
        assert set(read(tmp_path, name=name, split=split)) == expected[split]
    assert "only split test of configuration en is read (1 file)" in (
        found(tmp_path, name="en", split="test").note
    )
    assert "has the configurations en, de, and no default" in refusal(tmp_path)
    assert "did you mean 'en'?" in refusal(tmp_path, name="eng")
    card(tmp_path, TWO.replace("config_name: de", "config_name: de\n  default: true"))
    assert read(tmp_path) == ["de/x.jsonl"]
    # A part of the folder is split by names again.
    assert read(tmp_path, data_dir="en", split="test") == ["en/test.jsonl"]


def test_a_config_without_files_is_split_by_names(tmp_path: Path) -> None:
    write(tmp_path / "d", "en/train.jsonl", "en/test.jsonl", "other/train.jsonl")
    card(tmp_path, "- {config_name: en, data_dir: en}\n")
    expected = given_by_datasets(tmp_path)
    assert expected is not None
    for split in ("train", "test"):
        assert set(read(tmp_path, split=split)) == expected[split]


@pytest.mark.parametrize(
    ("configs", "part"),
    [
        ("- {config_name: a, data_files: 'no/*'}\n", "configuration 'a': no file matches 'no/*'"),
        ("- {config_name: a, data_files: 'hf://x/y'}\n", "names an address, which is not read"),
        ("- {data_files: a.jsonl}\n", "its configs: cannot be read"),
        ("- {config_name: a, data_files: {b: c}}\n", "its configs: cannot be read"),
        ("- [\n", "its configs: cannot be read"),
    ],
)
def test_a_readme_that_cannot_be_followed_is_refused(
    tmp_path: Path, configs: str, part: str
) -> None:
    write(tmp_path / "d", "a.jsonl")
    card(tmp_path, configs)
    message = refusal(tmp_path)
    assert part in message
    assert "README.md: " in message


def test_a_readme_without_configs_decides_nothing(tmp_path: Path) -> None:
    write(tmp_path / "d", "a.jsonl")
    (tmp_path / "d/README.md").write_text("---\nlicense: mit\n---\nNo configs: here.\n")
    assert read(tmp_path) == ["a.jsonl"]
    (tmp_path / "d/README.md").write_text("# Data\n\nconfigs:\n- none\n")
    assert read(tmp_path) == ["a.jsonl"]


def test_the_fingerprint_follows_the_files_that_are_read(tmp_path: Path) -> None:
    write(tmp_path / "d", "train.jsonl")
    before = fingerprint(source(), tmp_path)
    assert [file["name"] for file in before["files"]] == ["train.jsonl"]
    write(tmp_path / "d", "test.jsonl")
    assert fingerprint(source(), tmp_path) == before
    assert fingerprint(source(split="test"), tmp_path) != before
    both = fingerprint(source(data_files="*.jsonl"), tmp_path)
    assert len(both["files"]) == 2
    assert both != before


def test_files_that_are_passed_over_are_named(tmp_path: Path) -> None:
    write(tmp_path / "d", "a.jsonl", "b.jsonl", "stats.csv", "ids.npy", "__odd/c.jsonl", "notes.md")
    assert found(tmp_path).note == (
        "left out: __odd/c.jsonl (a folder that `datasets` passes over), "
        "ids.npy (token ids instead of text), stats.csv (CSV files)"
    )
    write(tmp_path / "d", *(f"test-{i:02d}.jsonl" for i in range(9)), "train.jsonl")
    note = found(tmp_path).note
    assert note.startswith("only split train is read (1 file); left out: __odd/c.jsonl")
    assert note.endswith("b.jsonl (no split), ids.npy (token ids instead of text), and 10 more")
