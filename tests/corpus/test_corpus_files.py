"""Which files a source names, and what is said when it names none."""

import os
from pathlib import Path
from typing import Any

import pytest

from dataselect.config.manifest import Source
from dataselect.corpus.files import local_files, origin
from dataselect.errors import InputError


def source(**keys: Any) -> Source:
    return Source(id="src", **keys)


def touch(base: Path, *names: str) -> None:
    for name in names:
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"text": "x"}\n')


def names(base: Path, **keys: Any) -> list[str]:
    return [file.name for file in local_files(source(**keys), base)]


def refusal(base: Path, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        local_files(source(**keys), base)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_patterns_give_each_file_once_sorted_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "crawl/b.jsonl", "crawl/a.jsonl", "crawl/deep/c.jsonl", "other.txt")
    patterns = ["crawl/*.jsonl", "crawl/**/*.jsonl", "crawl/a.jsonl"]
    assert names(tmp_path, path="json", data_files=patterns) == [
        "a.jsonl",
        "b.jsonl",
        "deep/c.jsonl",
    ]


def test_a_literal_name_with_brackets_is_found(tmp_path: Path) -> None:
    touch(tmp_path, "part[1].jsonl")
    assert names(tmp_path, path="json", data_files="part[1].jsonl") == ["part[1].jsonl"]


def test_base_folder_with_glob_characters_is_taken_literally(tmp_path: Path) -> None:
    touch(tmp_path, "run[1]/a.jsonl")
    assert names(tmp_path / "run[1]", path="json", data_files="*.jsonl") == ["a.jsonl"]


def test_folder_is_searched_by_extension_without_hidden_files(tmp_path: Path) -> None:
    touch(tmp_path, "d/a.jsonl.gz", "d/x/b.JSON", "d/README.md", "d/.hidden/c.jsonl", "d/.e.jsonl")
    assert names(tmp_path, path="d") == ["a.jsonl.gz", "x/b.JSON"]


def test_names_do_not_depend_on_where_the_manifest_lies(tmp_path: Path) -> None:
    touch(tmp_path, "data/en/a.jsonl", "data/de/a.jsonl", "project/manifest.yaml")
    expected = ["de/a.jsonl", "en/a.jsonl"]
    assert names(tmp_path / "project", path="../data") == expected
    assert names(tmp_path, path="json", data_files="data/**/*.jsonl") == expected


def test_data_dir_narrows_a_form_and_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "d/en/a.jsonl", "d/de/b.jsonl")
    assert names(tmp_path, path="json", data_dir="d/en") == ["a.jsonl"]
    assert names(tmp_path, path="d", data_dir="de") == ["b.jsonl"]
    assert names(tmp_path, path="d", data_files="*/b.*") == ["b.jsonl"]


def test_form_and_compression_come_from_the_name(tmp_path: Path) -> None:
    touch(tmp_path, "a.txt.zst", "notes.md")
    file = local_files(source(path="a.txt.zst"), tmp_path)[0]
    assert (file.form, file.compression) == ("text", ".zst")
    forced = local_files(source(path="text", data_files="notes.md"), tmp_path)[0]
    assert (forced.form, forced.compression) == ("text", "")


def test_pattern_without_match_names_the_pattern_and_a_similar_file(tmp_path: Path) -> None:
    touch(tmp_path, "crawl.jsonl")
    message = refusal(tmp_path, path="json", data_files="crowl.jsonl")
    assert "src: data_files: no file matches 'crowl.jsonl'" in message
    assert "did you mean 'crawl.jsonl'?" in message


def test_folder_as_data_file_is_explained(tmp_path: Path) -> None:
    touch(tmp_path, "crawl/a.jsonl")
    assert "write 'crawl/*'" in refusal(tmp_path, path="json", data_files="crawl/")


@pytest.mark.parametrize(
    ("keys", "part"),
    [
        ({"path": "./absent"}, "absent does not exist"),
        ({"path": "absent.jsonl"}, "absent.jsonl does not exist"),
        ({"path": "empty"}, "no .jsonl, .json, .parquet, .arrow or .txt file"),
        ({"path": "mixed"}, "holds json and text files; choose one form"),
        ({"path": "mixed", "data_dir": "no"}, "no does not exist"),
        ({"path": "mixed/a.jsonl", "revision": "main"}, "src: revision: has no meaning"),
        ({"path": "mixed/a.jsonl", "name": "x"}, "src: name: has no meaning"),
        ({"path": "mixed/a.jsonl", "split": "test"}, "no split 'test'"),
        ({"path": "mixed/a.jsonl", "data_files": "a"}, "is a single file; remove data_files:"),
        ({"path": "json", "data_files": "old.tar"}, ".tar files are not read"),
        ({"path": "arrow", "data_files": "a.arrow.gz"}, "Arrow inside .gz"),
        ({"path": "odd"}, "the name does not show its form"),
        ({"path": "parquet", "data_files": "p.parquet.gz"}, "Parquet inside .gz"),
        ({"path": "saved"}, "saved/state.json: lists no data files; save it again"),
    ],
)
def test_unusable_places_are_refused_with_a_fix(
    tmp_path: Path, keys: dict[str, Any], part: str
) -> None:
    touch(tmp_path, "mixed/a.jsonl", "mixed/b.txt", "old.tar", "p.parquet.gz", "empty/readme")
    touch(tmp_path, "a.arrow.gz")
    touch(tmp_path, "saved/state.json", "saved/dataset_info.json")
    (tmp_path / "odd").write_bytes(b"x")
    assert part in refusal(tmp_path, **keys)


def test_addresses_are_refused_without_their_secrets(tmp_path: Path) -> None:
    address = "https://user:pass@host/a.jsonl?token=SECRET#frag"
    message = refusal(tmp_path, path="json", data_files=address)
    assert "https://host/a.jsonl" in message
    assert not any(secret in message for secret in ("SECRET", "pass", "frag"))
    with pytest.raises(InputError) as caught:
        origin(source(path=address), tmp_path)
    assert "SECRET" not in str(caught.value)


def test_origin_tells_synthetic_local_and_hub_apart(tmp_path: Path) -> None:
    touch(tmp_path, "owner/local/a.jsonl")
    origins = {
        "dataselect/desk": "desk",
        "json": "local",
        "owner/local": "local",
        "missing.parquet": "local",
        "/nowhere": "local",
        "HuggingFaceFW/fineweb-edu": "hub",
        "wikitext": "hub",
    }
    for path, expected in origins.items():
        keys = {"data_files": "x"} if path == "json" else {}
        assert origin(source(path=path, **keys), tmp_path) == expected


@pytest.mark.parametrize(
    ("path", "part"),
    [("csv", "'csv' files are not read"), ("a/b/c", "neither a file nor a folder")],
)
def test_origin_refuses_what_nothing_can_read(tmp_path: Path, path: str, part: str) -> None:
    with pytest.raises(InputError, match=part):
        origin(source(path=path), tmp_path)


def test_order_does_not_depend_on_the_order_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, *(f"d/{i}.jsonl" for i in range(9)))
    expected = names(tmp_path, path="d")
    walk = os.walk
    monkeypatch.setattr(
        os, "walk", lambda top: [(r, f[::-1], n[::-1]) for r, f, n in walk(top)][::-1]
    )
    assert names(tmp_path, path="d") == expected
