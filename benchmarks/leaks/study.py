"""Does the leak alarm find what is there, and nothing that is not; and what does it cost?

    python benchmarks/leaks/study.py --data DIR [--plantings 20] [--runs 5] [--only cost …]

DIR holds `benchmarks/` and `corpora/` (README.md says which). Four questions: what do real texts
hold of real benchmarks, at several lengths of a run; how many items of a planted 1% are found when
their text was changed in one of several ways; what does looking cost while tokenising, and in a
pass of its own; and how much memory does it take? Prints what it finds and writes `results.json`
beside this file. One core, a few minutes.
"""

import argparse
import gzip
import json
import platform
import random
import re
import statistics
import string
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dataselect.benchmarks.items import BenchmarkItems, Item, load_items
from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.load import load_benchmark
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.leaks.index import HELD, LIKE, WHOLE, LeakIndex
from dataselect.leaks.parts import parts_of
from dataselect.leaks.scan import Scan, scan_documents
from dataselect.synthetic import world

HERE = Path(__file__).parent
CORPORA = ("gsm8k_train", "brown", "movie_reviews", "webtext")
NGRAMS = (5, 8, 10, 13)
SHARES = (0.5, 0.65, 0.8, 0.9)
OTHER_SPLITS = {
    "arc_challenge": "arc_challenge.train.jsonl",
    "commonsense_qa": "commonsense_qa.train.jsonl",
    "mmlu_pro_stem": "mmlu_pro.validation.jsonl",
}
CHOSEN = (8, 0.9)
VOCABULARY = 8_192
SYNTHETIC_DOCUMENTS = 40_000

Rng = random.Random
Change = Callable[[BenchmarkItems, Item, Rng], list[str]]
"""The documents that a changed item becomes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--plantings", type=int, default=20)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", nargs="+", help="ask these alone, and keep the other results")
    options = parser.parse_args()
    folder = options.data / "benchmarks"
    benchmarks = [load_benchmark(each, folder)[0] for each in KNOWN.values()]
    corpora = {name: _texts(options.data / "corpora", name) for name in CORPORA}
    questions: dict[str, Callable[[], Any]] = {
        "real": lambda: real(benchmarks, corpora),
        "other_splits": lambda: other_splits(benchmarks, folder),
        "patterned": patterned,
        "planted": lambda: planted(benchmarks, corpora["brown"], options.plantings),
        "cost": lambda: cost(benchmarks, corpora, options.runs),
        "memory": lambda: memory(benchmarks, corpora["brown"]),
    }
    file = HERE / "results.json"
    results: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    results |= {"python": platform.python_version(), "numpy": np.__version__}
    for name in options.only or questions:
        results[name] = questions[name]()
        file.write_text(json.dumps(results, indent=1) + "\n")


def _texts(folder: Path, name: str) -> list[str]:
    with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def _index(benchmarks: Sequence[BenchmarkItems], ngram: int, share: float) -> LeakIndex:
    return LeakIndex([part for b in benchmarks for part in parts_of(b, [], [])], ngram, share)


def _items(index: LeakIndex, texts: Sequence[str]) -> dict[str, dict[str, int]]:
    """By benchmark: items that the texts have something like of, hold, and have as a whole."""
    levels: dict[str, dict[str, int]] = {}
    found = index.scan(texts)
    for number, level in zip(found.parts.tolist(), found.level.tolist(), strict=True):
        part = index.parts[number]
        items = levels.setdefault(part.benchmark, {})
        items[part.item] = max(items.get(part.item, LIKE), level)
    return {
        name: {
            "like": sum(level == LIKE for level in items.values()),
            "held": sum(level >= HELD for level in items.values()),
            "whole": sum(level == WHOLE for level in items.values()),
        }
        for name, items in levels.items()
    }


def real(
    benchmarks: Sequence[BenchmarkItems], corpora: dict[str, list[str]]
) -> list[dict[str, Any]]:
    """What four corpora hold of six benchmarks; GSM8K's training split is none of the tests."""
    rows = []
    for ngram in NGRAMS:
        for share in SHARES:
            index = _index(benchmarks, ngram, share)
            searched: dict[tuple[str, str], bool] = {}
            for part, own in zip(index.parts, index.own, strict=True):
                key = (part.benchmark, part.item)
                searched[key] = searched.get(key, False) or bool(own)
            for name, texts in corpora.items():
                row = {"ngram": ngram, "share": share, "corpus": name}
                row |= {"not_looked_for": len(searched) - sum(searched.values())}
                rows.append(row | {"items": _items(index, texts)})
                print(rows[-1])
    return rows


def other_splits(benchmarks: Sequence[BenchmarkItems], folder: Path) -> list[dict[str, Any]]:
    """What a text made of a benchmark's other split holds of its test."""
    rows = []
    for ngram in NGRAMS:
        for benchmark in benchmarks:
            if benchmark.id not in OTHER_SPLITS:
                continue
            items, _ = load_items(folder / OTHER_SPLITS[benchmark.id])
            texts = [_verbatim(benchmark, item, Rng(0))[0] for item in items]
            index = _index([benchmark], ngram, CHOSEN[1])
            held = _items(index, texts).get(benchmark.id, {"like": 0, "held": 0, "whole": 0})
            row = {"ngram": ngram, "benchmark": benchmark.id, "documents": len(texts)}
            rows.append({**row, "of": len(benchmark.items), **held})
            print(rows[-1])
    return rows


def patterned() -> list[dict[str, Any]]:
    """What new problems of the synthetic world hold of the quickstart's: the same patterns."""
    rows = []
    for name in ("stories-short", "stories-long"):
        items, _ = load_items(HERE.parents[1] / "stages" / "quickstart" / f"{name}.jsonl")
        benchmark = BenchmarkItems(name, tuple(items))
        index = _index([benchmark], *CHOSEN)
        for genre in world.GENRES:
            texts = list(islice(world.documents(genre, 0), SYNTHETIC_DOCUMENTS))
            held = _items(index, texts).get(name, {"like": 0, "held": 0, "whole": 0})
            rows.append({"benchmark": name, "corpus": genre, "of": len(items), **held})
            print(rows[-1])
    return rows


def _verbatim(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    return [f"{benchmark.question_text(item)}\n{benchmark.label_text(item).strip()}"]


def _question_only(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    return [item.question]


def _solution_only(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    return [benchmark.label_text(item).strip()]


def _retyped(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    """Upper case, each mark of punctuation with space around it, lines broken anew."""
    (text,) = _verbatim(benchmark, item, rng)
    spaced = re.sub(f"([{re.escape(string.punctuation)}])", r" \1 ", text.upper())
    words = spaced.replace("'", "’").split()
    return ["\n".join(" ".join(words[i : i + 9]) for i in range(0, len(words), 9))]


def _stripped(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    """Punctuation deleted, so that what it stood between becomes one word."""
    (text,) = _verbatim(benchmark, item, rng)
    return [text.translate(str.maketrans("", "", string.punctuation + "’‘“”"))]


def _other_labels(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    """Question, then choices without letters."""
    return ["\n- ".join([item.question, *(item.choices or (item.answer,))])]


def _cut(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    """Two documents, cut at some word of the question."""
    words = item.question.split()
    cut = rng.randint(1, max(1, len(words) - 1))
    return [" ".join(words[:cut]), " ".join(words[cut:])]


def _one_number(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    return [re.sub(r"\d+", lambda m: str(int(m[0]) + 1), item.question, count=1)]


def _all_numbers(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
    return [re.sub(r"\d+", lambda m: str(int(m[0]) + 1), item.question)]


def _reworded(every: int) -> Change:
    def change(benchmark: BenchmarkItems, item: Item, rng: Rng) -> list[str]:
        words = item.question.split()
        for place in range(rng.randrange(every), len(words), every):
            words[place] = "reworded"
        return [" ".join(words)]

    return change


CHANGES: dict[str, Change] = {
    "verbatim": _verbatim,
    "question alone": _question_only,
    "solution alone": _solution_only,
    "case, spacing, line breaks": _retyped,
    "punctuation deleted": _stripped,
    "choices without letters": _other_labels,
    "question cut into two documents": _cut,
    "one number changed": _one_number,
    "every number changed": _all_numbers,
    "every 20th word changed": _reworded(20),
    "every 12th word changed": _reworded(12),
    "every 8th word changed": _reworded(8),
}


def _among(documents: list[str], corpus: list[str], rng: Rng) -> list[str]:
    """Documents with prose before the first and after the last."""
    before, after = (rng.choice(corpus)[:2000] for _ in range(2))
    first, *others = documents
    *middle, last = [f"{before}\n{first}", *others]
    return [*middle, f"{last}\n{after}"]


def planted(
    benchmarks: Sequence[BenchmarkItems], corpus: list[str], plantings: int
) -> list[dict[str, Any]]:
    """Items found of 1% of a benchmark, planted in pages of prose, and items found besides."""
    rows = []
    settings = [*((ngram, CHOSEN[1]) for ngram in NGRAMS), *((CHOSEN[0], each) for each in SHARES)]
    indices = {each: _index(benchmarks, *each) for each in dict.fromkeys(settings)}
    # The prose alone holds nothing (`real`), so the pages that get an item are enough to look at.
    for benchmark in benchmarks:
        count = round(len(benchmark.items) / 100)
        for name, change in CHANGES.items():
            if name == "solution alone" and benchmark.label == "answer":
                continue
            if name == "choices without letters" and benchmark.items[0].choices is None:
                continue
            found = {setting: [0, 0, 0] for setting in indices}
            for seed in range(plantings):
                rng = Rng(seed)
                chosen = {item.id: item for item in rng.sample(benchmark.items, count)}
                texts = [
                    document
                    for item in chosen.values()
                    for document in _among(change(benchmark, item, rng), corpus, rng)
                ]
                for setting, index in indices.items():
                    seen = index.scan(texts)
                    parts = {index.parts[i] for i in seen.parts[seen.level >= HELD].tolist()}
                    items = {part.item for part in parts if part.benchmark == benchmark.id}
                    found[setting][0] += len(items & set(chosen))
                    found[setting][1] += len(items & set(chosen)) > 1
                    found[setting][2] += len(items - set(chosen))
            for (ngram, share), (items_found, caught, besides) in found.items():
                row = {"benchmark": benchmark.id, "change": name, "ngram": ngram, "share": share}
                row |= {"items": count * plantings, "found": items_found}
                rows.append(row | {"plantings": plantings, "caught": caught, "besides": besides})
                if (ngram, share) == CHOSEN:
                    print(rows[-1])
    return rows


def cost(
    benchmarks: Sequence[BenchmarkItems], corpora: dict[str, list[str]], runs: int
) -> dict[str, Any]:
    """CPU seconds of tokenising without and with looking, taking turns, and of looking alone."""
    index = _index(benchmarks, *CHOSEN)
    rows: dict[str, Any] = {}
    with TemporaryDirectory() as place:
        folder = Path(place) / "tokenizer"
        pooled = list(chain.from_iterable(texts[:500] for texts in corpora.values()))
        train_tokenizer(iter(pooled), VOCABULARY, split_digits=False).save_pretrained(str(folder))

        def tokenise(texts: list[str], observer: Scan | None) -> float:
            began = time.process_time()
            write_tokens(
                iter(texts),
                folder,
                1 << 40,
                Path(place) / "tokens",
                processes=1,
                progress=lambda _: None,
                observer=observer,
            )
            return time.process_time() - began

        for name, texts in corpora.items():
            clocks: dict[str, list[float]] = {"without": [], "with": [], "alone": []}
            tokenise(texts, Scan(index))
            for _ in range(runs):
                clocks["without"].append(tokenise(texts, None))
                clocks["with"].append(tokenise(texts, Scan(index)))
                began = time.process_time()
                scan_documents(iter(texts), len(texts), index, 1)
                clocks["alone"].append(time.process_time() - began)
            middle = {key: statistics.median(values) for key, values in clocks.items()}
            characters = sum(map(len, texts))
            rows[name] = {
                "characters": characters,
                "cpu_seconds": clocks,
                "extra": middle["with"] / middle["without"] - 1,
                "alone_to_tokenising": middle["alone"] / middle["without"],
                "alone_ns_per_character": 1e9 * middle["alone"] / characters,
            }
            print(name, {key: value for key, value in rows[name].items() if key != "cpu_seconds"})
    return rows


def memory(benchmarks: Sequence[BenchmarkItems], corpus: list[str]) -> dict[str, Any]:
    """Bytes of the index, and the peak of looking through a corpus once and eight times."""

    def endless() -> Iterator[str]:
        return chain.from_iterable(repeat(corpus))

    tracemalloc.start()
    began = time.perf_counter()
    index = _index(benchmarks, *CHOSEN)
    seconds = time.perf_counter() - began
    words = int(index.words.sum())
    made, peak = tracemalloc.get_traced_memory()
    result: dict[str, Any] = {"words": words, "index_bytes": made, "making_peak_bytes": peak}
    for times in (1, 8):
        tracemalloc.reset_peak()
        scan_documents(islice(endless(), times * len(corpus)), times * len(corpus), index, 1)
        result[f"looking_{times}_peak_bytes"] = tracemalloc.get_traced_memory()[1] - made
    tracemalloc.stop()
    print(result, f"{seconds:.1f} s to make, traced")
    return result


if __name__ == "__main__":
    main()
