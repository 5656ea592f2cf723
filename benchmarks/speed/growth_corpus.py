"""How a corpus' time and memory grow with its size, with the exponent.

    python benchmarks/speed/growth_corpus.py [--only NAME]

A corpus of each form is tokenised into token shards as a run does it, shuffle buffer included, and
the tokens are then read as training reads them. Every point has a process of its own. Memory is the
peak beyond what the process has once it has tokenised a single document; of reading tokens it is
what the process holds itself, since pages of a mapped file can be dropped at any time. Documents
are 2,000 characters of long words drawn at random: they tokenise fast, and memory does not depend
on what they say. A sweep's exponent is the slope of a line through the logarithms. Results go to
`growth_corpus.json` beside this file.
"""

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tokenizers

from dataselect.compute.machine import processor_name
from dataselect.config.manifest import Source
from dataselect.corpus.packing import PackedData, Part
from dataselect.corpus.rows import RowCounts, open_rows
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.formats.zstd import zstd

HERE = Path(__file__).parent
SEED = 0
MEGABYTES = (32, 64, 128, 256)
TOKENS = (2**24, 2**25, 2**26, 2**27)
DOCUMENT_CHARACTERS = 2_000
LENGTH, BATCH = 256, 32
FORMS = {
    "JSONL": "corpus.jsonl",
    "JSONL in zstd": "corpus.jsonl.zst",
    "Parquet, one row group": "corpus.parquet",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    results = []
    # Forked, so that the libraries are loaded once; a process ends with its point.
    with (
        multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool,
        tempfile.TemporaryDirectory() as folder,
    ):
        place = Path(folder)
        pool.apply(_write_tokenizer, (place,))
        for form, name in FORMS.items():
            if arguments.only in form:
                points = []
                for size in MEGABYTES:
                    pool.apply(_write, (place / name, size))
                    points.append(pool.apply(_tokenise, (place / name, size)))
                results.append(_sweep(f"tokenising {form}", "MB of text", MEGABYTES, points))
        if arguments.only in "reading tokens":
            points = [pool.apply(_read, (count, place)) for count in TOKENS]
            results.append(_sweep("reading tokens", "tokens", TOKENS, points))
    _print_table(results)
    if not arguments.only:
        facts = {
            "command": "python benchmarks/speed/growth_corpus.py",
            "versions": {"tokenizers": tokenizers.__version__, "pyarrow": pa.__version__},
            "processor": processor_name(),
            "threads": len(os.sched_getaffinity(0)),
            "document_characters": DOCUMENT_CHARACTERS,
            "seed": SEED,
        }
        text = json.dumps({**facts, "sweeps": results}, indent=1)
        (HERE / "growth_corpus.json").write_text(text + "\n", encoding="utf-8")


def _tokenise(path: Path, megabytes: int) -> tuple[float, float]:
    """CPU seconds and MiB of tokenising a file of so much text."""
    place = path.parent
    _write_tokens(iter(["one document"]), place)
    before, began = _peak(), time.process_time()
    counts = RowCounts()
    source = Source(id="it", path=str(path))
    _write_tokens(open_rows(source, place, SEED, counts), place, counts)
    taken = time.process_time() - began, _peak() - before
    assert counts.used == megabytes * 1_000_000 // DOCUMENT_CHARACTERS
    path.unlink()
    return taken


def _read(tokens: int, place: Path) -> tuple[float, float]:
    """The same of reading each token once, in the order of training."""
    folder = place / "tokens"
    folder.mkdir(exist_ok=True)
    with (folder / "tokens-00000.bin").open("wb") as file:
        file.truncate(2 * tokens)
    index = {"dtype": "uint16", "shard_tokens": tokens, "tokens": tokens, "documents": 1}
    whole = json.dumps({**index, "exhausted": True, "counts": None})
    (folder / "index.json").write_text(whole, encoding="utf-8")
    before, began, most = _own(), time.process_time(), 0.0
    data = PackedData([Part(str(folder), tokens)], LENGTH, SEED, tokens)
    for first in range(0, len(data) - BATCH, BATCH):
        data.batch(first, BATCH)
        if first % (64 * BATCH) == 0:
            most = max(most, _own() - before)
    return time.process_time() - began, most


def _write_tokens(texts: Iterator[str], place: Path, counts: RowCounts | None = None) -> None:
    folder = place / "tokens"
    shutil.rmtree(folder, ignore_errors=True)
    write_tokens(
        texts,
        place / "tokenizer",
        10**12,
        folder,
        processes=len(os.sched_getaffinity(0)),
        progress=lambda _: None,
        rows=counts,
    )


def _write_tokenizer(place: Path) -> None:
    trained = train_tokenizer(islice(_documents(), 500), 8_192, split_digits=False)
    trained.save_pretrained(str(place / "tokenizer"))


def _write(path: Path, megabytes: int) -> None:
    texts = islice(_documents(), megabytes * 1_000_000 // DOCUMENT_CHARACTERS)
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"text": list(texts)}), path, row_group_size=10**9)
        return
    opened = zstd.open if path.suffix == ".zst" else open
    with opened(path, "wt", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")


def _documents() -> Iterator[str]:
    rng = np.random.default_rng(SEED)
    letters = rng.integers(ord("a"), ord("z") + 1, (2_000, 19)).astype(np.uint8)
    words = np.array([bytes(word).decode() for word in letters])
    while True:
        yield " ".join(rng.choice(words, DOCUMENT_CHARACTERS // 20)) + "."


def _sweep(
    name: str, unit: str, values: tuple[int, ...], points: list[tuple[float, float]]
) -> dict[str, Any]:
    seconds, memory = [each[0] for each in points], [each[1] for each in points]
    return {
        "sweep": name,
        "unit": unit,
        "values": values,
        "cpu_seconds": [round(each, 3) for each in seconds],
        "memory_mib": [round(each, 1) for each in memory],
        "exponent_of_seconds": _slope(values, seconds),
        "exponent_of_memory": _slope(values, memory),
    }


def _slope(values: tuple[int, ...], found: list[float]) -> float:
    # What stays below a page has not grown.
    logs = np.log(np.maximum(found, 1e-2))
    return round(float(np.polyfit(np.log(values), logs, 1)[0]), 2)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _own() -> float:
    """MiB that this process holds now besides the pages of files."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise OSError("this kernel does not tell a process's own memory apart")


def _print_table(results: list[dict[str, Any]]) -> None:
    print("| what | values | CPU seconds | exponent | memory, MiB | exponent |")
    print("|---|---|---|---|---|---|")
    for row in results:
        values = ", ".join(f"{value:,}" for value in row["values"])
        seconds = ", ".join(f"{value:.3g}" for value in row["cpu_seconds"])
        memory = ", ".join(f"{value:.3g}" for value in row["memory_mib"])
        print(
            f"| {row['sweep']}, {row['unit']} | {values} | {seconds} "
            f"| {row['exponent_of_seconds']} | {memory} | {row['exponent_of_memory']} |"
        )


if __name__ == "__main__":
    main()
