"""Tokenising a source against `tokenizers` alone, on all cores: one part of `overheads.py`.

`tokenizers` gets the texts as a list in memory and does nothing with what it finds; a source is
read from its file, shuffled, tokenised, and written as a token stream. Both start with loading the
tokenizer. They take turns, and each turn starts with another of them.
"""

import gzip
import json
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measuring import spread
from tokenizers import Tokenizer

from dataselect.config.manifest import Source
from dataselect.corpus.rows import RowCounts, open_rows
from dataselect.corpus.shards import TokenStream, write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.synthetic import world

# Characters in a batch: none of them is best for every text and machine.
BATCHES = (100_000, 300_000, 1_000_000)
# About what a public web page has.
DOCUMENT_CHARACTERS = 2_000
CORES = len(os.sched_getaffinity(0))

Texts = list[str]
Clocks = tuple[float, float]
"""Wall and CPU seconds."""


def measure(corpora: Path | None, characters: int, runs: int, place: Path) -> list[dict[str, Any]]:
    """A row for each text and form; `corpora` is a folder of `.jsonl.gz` files with real text."""
    loads = [("desk world, short documents", _synthetic(characters, 1), 8_192)]
    loads += [("desk world, joined to pages", _synthetic(characters, DOCUMENT_CHARACTERS), 8_192)]
    if corpora is not None:
        real = _real(corpora, characters)
        loads += [("real text", real, 8_192), ("real text", real, 50_304)]
    return list(chain.from_iterable(_load(name, t, v, runs, place) for name, t, v in loads))


def _load(
    name: str, texts: Texts, vocabulary: int, runs: int, place: Path
) -> Iterator[dict[str, Any]]:
    folder = place / "tokenizer"
    trained = train_tokenizer(iter(texts), vocabulary, split_digits=False)
    trained.save_pretrained(str(folder))
    jsonl, parquet = place / "texts.jsonl", place / "texts.parquet"
    with jsonl.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(texts))
    pq.write_table(pa.table({"text": texts}), parquet)

    def alone(size: int) -> Callable[[], None]:
        return lambda: _alone(texts, folder / "tokenizer.json", size)

    def ours(path: Path) -> Callable[[], None]:
        return lambda: _ours(path, folder, place / "tokens")

    turns = {f"tokenizers, {size:,}": alone(size) for size in BATCHES}
    turns |= {"JSONL": ours(jsonl), "Parquet": ours(parquet)}
    ours(jsonl)()
    counted = _counts(place / "tokens", len(trained))
    expected = Counter(chain.from_iterable(_ids(texts, folder / "tokenizer.json")))
    expected[trained.eos_token_id] += len(texts)
    assert counted == expected, "the stream holds the tokens that tokenizers gives"
    clocks: dict[str, list[Clocks]] = {turn: [] for turn in turns}
    order = list(turns)
    for _ in range(runs):
        for turn in order:
            clocks[turn].append(_clocked(turns[turn]))
        order = [*order[1:], order[0]]
    for form in ("JSONL", "Parquet"):
        row = {
            "text": name,
            "form": form,
            "vocabulary": len(trained),
            "documents": len(texts),
            "characters": sum(map(len, texts)),
            "tokens": counted.total(),
        }
        for i, kind in enumerate(("wall", "cpu")):
            seconds = {turn: [clock[i] for clock in found] for turn, found in clocks.items()}
            best = min((s for s in seconds if s.startswith("tok")), key=lambda s: sum(seconds[s]))
            row[kind] = {
                "best": best,
                "tokenizers_seconds": [round(value, 2) for value in seconds[best]],
                "dataselect_seconds": [round(value, 2) for value in seconds[form]],
                "ratio": spread(a / b for a, b in zip(seconds[best], seconds[form], strict=True)),
            }
        yield row


def _alone(texts: Texts, path: Path, size: int) -> None:
    tokenizer = Tokenizer.from_file(str(path))
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    for batch in _batches(texts, size):
        tokenizer.encode_batch_fast(batch, add_special_tokens=False)
    del os.environ["TOKENIZERS_PARALLELISM"]


def _ours(path: Path, tokenizer: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    counts = RowCounts()
    texts = open_rows(Source(id="it", path=str(path)), path.parent, 0, counts)
    write_tokens(
        texts,
        tokenizer,
        10**12,
        folder,
        processes=CORES,
        progress=lambda _: None,
        rows=counts,
    )


def _clocked(turn: Callable[[], None]) -> Clocks:
    wall, cpu = time.perf_counter(), time.process_time()
    turn()
    return time.perf_counter() - wall, time.process_time() - cpu


def _counts(folder: Path, vocabulary: int) -> "Counter[int]":
    stream = TokenStream(folder)
    found = np.bincount(stream.read(0, len(stream)), minlength=vocabulary)
    return Counter({token: int(count) for token, count in enumerate(found) if count})


def _ids(texts: Texts, path: Path) -> Iterator[list[int]]:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.encode_special_tokens = True
    for batch in _batches(texts, BATCHES[0]):
        for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):
            yield encoding.ids


def _batches(texts: Texts, size: int) -> Iterator[Texts]:
    first = held = 0
    for n, text in enumerate(texts):
        held += len(text)
        if held >= size:
            yield texts[first : n + 1]
            first, held = n + 1, 0
    yield texts[first:]


def _synthetic(characters: int, document: int) -> Texts:
    """Equal parts of all genres, joined to documents of at least so many characters."""
    texts: Texts = []
    for genre in world.GENRES:
        left, page = characters // len(world.GENRES), ""
        for text in world.documents(genre, 0):
            page += text + "\n"
            if len(page) >= document:
                texts.append(page)
                left, page = left - len(page), ""
            if left <= 0:
                break
    random.Random(0).shuffle(texts)
    return texts


def _real(corpora: Path, characters: int) -> Texts:
    texts: Texts = []
    for path in sorted(corpora.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts += [json.loads(line)["text"] for line in file]
    random.Random(0).shuffle(texts)
    ends = np.cumsum([len(text) for text in texts])
    return texts[: int(np.searchsorted(ends, characters)) + 1]
