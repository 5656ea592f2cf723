"""Fingerprints change with the text and the way it is read, and with nothing else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dataselect.config.manifest import Source
from dataselect.corpus import fingerprint as module
from dataselect.corpus.fingerprint import fingerprint
from dataselect.errors import InputError
from dataselect.synthetic import world


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "d").mkdir(parents=True)
    for name in "ab":
        (folder / f"d/{name}.jsonl").write_text(json.dumps({"text": name}) + "\n")
    return folder


def of(base: Path, **keys: Any) -> dict[str, Any]:
    found = fingerprint(Source(id=keys.pop("id", "src"), **{"path": "d"} | keys), base)
    assert json.loads(json.dumps(found)) == found
    return found


def test_place_names_titles_and_times_do_not_count(base: Path) -> None:
    before = of(base)
    assert str(base) not in json.dumps(before)
    moved = base.rename(base.with_name("moved"))
    os.utime(moved / "d/a.jsonl", ns=(1, 1))
    assert of(moved, id="other", title="Other", max_repeats=3.0) == before


def test_content_and_names_and_reading_count(base: Path) -> None:
    seen = [of(base), of(base, bad_rows="skip"), of(base, text_column="body")]
    (base / "d/a.jsonl").write_text('{"text": "c"}\n')
    seen.append(of(base))
    (base / "d/a.jsonl").rename(base / "d/z.jsonl")
    seen.append(of(base))
    seen.append(of(base, path="text", data_files="d/*.jsonl"))
    assert len({json.dumps(one, sort_keys=True) for one in seen}) == len(seen)


def test_large_file_counts_by_its_size_time_and_ends(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WHOLE_FILE_BYTES", 100)
    monkeypatch.setattr(module, "END_BYTES", 10)
    path = base / "d/a.jsonl"

    def written(content: bytes, time: int = 1) -> str:
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        return json.dumps(of(base, path="d/a.jsonl"))

    middle = b"m" * 200
    first = written(b"head" + middle + b"tail")
    assert first == written(b"head" + middle + b"tail")
    others = {
        written(b"HEAD" + middle + b"tail"),
        written(b"head" + middle + b"TAIL"),
        written(b"head" + middle + b"mtail"),
        written(b"head" + middle + b"tail", time=2),
    }
    assert len(others | {first}) == 5


def test_hub_dataset_counts_by_what_is_asked_for(base: Path) -> None:
    keys = {"path": "owner/name", "name": "c", "revision": "r", "data_dir": "x", "split": "s"}
    found = of(base, **keys)
    assert keys.items() <= found.items()
    assert of(base, path="owner/name") != found


def test_secrets_of_addresses_stay_out_but_still_count(base: Path) -> None:
    address = "https://host/a.parquet?token="
    found = [of(base, path="owner/name", data_files=[address + end]) for end in ("ONE", "TWO")]
    assert found[0] != found[1]
    assert "ONE" not in json.dumps(found[0])


def test_synthetic_world_counts_by_genre_and_version(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = of(base, path="dataselect/desk", name="worked")
    assert of(base, path="dataselect/desk", name="wrong") != before
    monkeypatch.setattr(world, "VERSION", -1)
    assert of(base, path="dataselect/desk", name="worked") != before


def test_missing_file_is_the_user_s_error(base: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.jsonl does not exist"):
        of(base, path="gone.jsonl")
