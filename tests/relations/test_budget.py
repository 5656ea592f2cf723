"""What lies behind a training budget was not trained on, so it changes nothing."""

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest
from selections import Document, order, run_here, stage1
from stage_world import write_world

from dataselect.config.manifest import Source
from dataselect.corpus import rows
from dataselect.corpus.rows import open_rows

BUFFER = 50
"""Documents in the shuffle buffer here; in earnest it holds 10,000."""
READ = 400
"""Documents, far more than the budget needs with such a buffer."""
MANIFEST = """
target: {size: 1M, tokens: 20M}
candidates:
  - {id: sums, path: json, data_files: SUMS}
  - {id: words, path: json, data_files: WORDS}
  - {id: both, mixture: {sums: 2, words: 1}}
"""


def documents(seed: int, count: int) -> list[str]:
    draw = random.Random(seed)
    return [
        " ".join(draw.choice(["one", "two", "3", "17", "and", "makes", "so"]) for _ in range(20))
        for _ in range(count)
    ]


def write_lines(path: Path, texts: list[str]) -> str:
    data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path.name


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BUFFER_DOCUMENTS", BUFFER)


def run_on(folder: Path, more: int) -> Document:
    """A run on two files that have `more` documents behind those that are read."""
    folder.mkdir()
    write_world(folder, tokens=2000)
    manifest = MANIFEST
    for seed, name in ((1, "SUMS"), (2, "WORDS")):
        file = f"{name.lower()}.jsonl"
        write_lines(folder / file, documents(seed, READ) + documents(seed + 10, more))
        manifest = manifest.replace(name, file)
    return run_here(folder, manifest, "plan.yaml")


@pytest.mark.usefixtures("small_buffer")
def test_more_text_behind_the_budget_changes_no_score(tmp_path: Path) -> None:
    plain, longer = (run_on(tmp_path / f"{more}", more) for more in (0, 700))
    assert order(longer) == order(plain)
    assert stage1(longer) == stage1(plain)
    assert len({each["short"] for each in stage1(plain).values()}) == 3


@pytest.mark.usefixtures("small_buffer")
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_the_stream_of_a_longer_file_begins_as_that_of_the_shorter_one(
    tmp_path: Path, suffix: str
) -> None:
    streams = []
    for more in (0, 1, 1000):
        file = tmp_path / f"{more}.{suffix}"
        write_lines(file, documents(1, READ) + documents(2, more))
        source = Source(id="s", path="json", data_files=[file.name])
        streams.append(list(open_rows(source, tmp_path, seed=4)))
    sure = READ - BUFFER
    assert streams[0][:sure] == streams[1][:sure] == streams[2][:sure]
    assert sorted(streams[0]) == sorted(documents(1, READ))


@pytest.mark.parametrize("form", ["jsonl", "jsonl.gz", "parquet"])
def test_the_form_of_a_file_changes_no_text(tmp_path: Path, form: str) -> None:
    import pandas as pd

    texts = [*documents(3, 30), "Zoë — 日本語\n\n\ttab"]
    file = tmp_path / f"a.{form}"
    if form == "parquet":
        pd.DataFrame({"text": texts, "other": np.arange(len(texts))}).to_parquet(file)
    else:
        write_lines(file, texts)
    path = "parquet" if form == "parquet" else "json"
    source = Source(id="s", path=path, data_files=[file.name])
    plain = Source(id="s", path="json", data_files=[write_lines(tmp_path / "plain.jsonl", texts)])
    found = list(open_rows(source, tmp_path, seed=1))
    assert found == list(open_rows(plain, tmp_path, seed=1))
