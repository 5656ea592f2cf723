"""Tokenising a source with gigatoken, without it, and `tokenizers` alone.

    python benchmarks/speed/fast_tokens.py DATA [--copies N] [--runs N]

DATA has `corpora/*.jsonl.gz`. Real documents, then N - 1 times the same with their sentences in
another order; byte-level BPE of 50,304 entries with GPT-2's splits, trained on them. `tokenizers`
gets texts in memory, batch by batch, and does nothing with what it finds; the others read JSON
Lines, shuffle and write a token stream. One thread each, taking turns, CPU seconds of the process.
"With" without "trial" counts what is left when the beginning, which both libraries tokenise, is
taken off: what a long source tends to. Streams must be equal to the byte. "reading" is the same
source read and shuffled, and nothing else. Results go to `fast_tokens.json`.
"""

import argparse
import gzip
import json
import os
import random
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from measuring import spread
from tokenizers import Tokenizer

from dataselect.compute.machine import processor_name
from dataselect.config.manifest import Source
from dataselect.corpus import document_tokens
from dataselect.corpus.batches import map_batches
from dataselect.corpus.rows import open_rows
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer

HERE = Path(__file__).parent
VOCABULARY = 50_304


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--copies", type=int, default=5)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        letters = write_texts(arguments.data, arguments.copies, place / "it.jsonl")
        source = Source(id="it", path="it.jsonl")
        trained = train_tokenizer(open_rows(source, place, 0), VOCABULARY, split_digits=False)
        trained.save_pretrained(str(place / "tokenizer"))

        def stream(name: str, fast: bool) -> None:
            shutil.rmtree(place / name, ignore_errors=True)
            write_tokens(
                open_rows(source, place, 0),
                place / "tokenizer",
                10**12,
                place / name,
                processes=1,
                progress=lambda _: None,
                fast=fast,
            )

        def alone() -> None:
            tokenizer = Tokenizer.from_file(str(place / "tokenizer" / "tokenizer.json"))
            texts = list(open_rows(source, place, 0))
            began = time.process_time()
            for _ in map_batches(iter(texts), tokenizer.encode_batch_fast, 1):
                pass
            alone_seconds.append(time.process_time() - began)

        alone_seconds: list[float] = []
        seconds: dict[str, list[float]] = {"reading": [], "without": [], "with": []}
        for _ in range(arguments.runs):
            alone()
            seconds["reading"].append(clocked(lambda: sum(1 for _ in open_rows(source, place, 0))))
            seconds["without"].append(clocked(lambda: stream("without", False)))
            seconds["with"].append(clocked(lambda: stream("with", True)))
            assert same(place / "without", place / "with")
        seconds["tokenizers"] = alone_seconds
        rate = [letters / each for each in alone_seconds]
        beginning = document_tokens.UNTRIED_LETTERS + document_tokens.TRIED_LETTERS
        tried = [beginning / each for each in rate]
        rest = (letters - beginning) / letters
        result = {
            "command": "python benchmarks/speed/fast_tokens.py DATA",
            "processor": processor_name(),
            "load_average": round(os.getloadavg()[1], 1),
            "versions": {name: version(name) for name in ("gigatoken", "tokenizers")},
            "letters": letters,
            "cpu_seconds": {name: spread(values) for name, values in seconds.items()},
            "ratios": {
                "tokenizers / with": ratio(alone_seconds, seconds["with"]),
                "without / with": ratio(seconds["without"], seconds["with"]),
                "tokenizers / with, without trial": ratio(
                    [each * rest for each in alone_seconds],
                    [each - trial for each, trial in zip(seconds["with"], tried, strict=True)],
                ),
            },
            "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "streams": "equal to the byte",
        }
    text = json.dumps(result, indent=1)
    (HERE / "fast_tokens.json").write_text(text + "\n", encoding="utf-8")
    print(text)


def write_texts(data: Path, copies: int, path: Path) -> int:
    """Write the documents; returns how many letters they have."""
    texts = []
    for file in sorted((data / "corpora").glob("*.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    with path.open("w", encoding="utf-8") as file:
        for copy in range(copies):
            file.writelines(json.dumps({"text": text}) + "\n" for text in reordered(texts, copy))
    return copies * sum(map(len, texts))


def reordered(texts: list[str], copy: int) -> Iterator[str]:
    draw = random.Random(copy)
    for text in texts:
        sentences = re.split(r"(?<=[.?!\n])", text)
        if copy:
            draw.shuffle(sentences)
        yield "".join(sentences)


def clocked(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def ratio(one: list[float], other: list[float]) -> dict[str, float]:
    return spread(a / b for a, b in zip(one, other, strict=True))


def same(one: Path, other: Path) -> bool:
    names = sorted(path.name for path in one.iterdir())
    return names == sorted(path.name for path in other.iterdir()) and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names
    )


if __name__ == "__main__":
    main()
