"""What counting a real text costs, beside tokenising it.

    python benchmarks/counting/measure.py DATA

DATA is a folder of `.jsonl.gz` files with a column `text`, `gsm8k_train.jsonl.gz` among them, of
which the first problems with their solutions stand for traces. The texts are tokenised, and the
tokens repeated until they are those of so many megabytes of text; the larger streams are tokenised
nowhere. Each measurement is a process of its own, so that its peak memory is its own. Writes
`results.json` beside this file.
"""

import argparse
import gzip
import json
import multiprocessing
import resource
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

TRACES = 500
VOCABULARY = 50_304


def main() -> None:
    """Measure every size and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tokenised", type=int, default=25, help="megabytes of text")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 40], help="repetitions")
    parser.add_argument("--place", type=Path, help="folder for the texts; temporary by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.place) as place:
        folder = Path(place)
        alone(make_tokenizer, chosen.data, folder / "tokenizer")
        idle = alone(nothing)
        once = folder / "tokens"
        tokenising = alone(tokenise, chosen.data, chosen.tokenised, folder / "tokenizer", once)
        print(json.dumps(tokenising), flush=True)
        rows = []
        for times in chosen.times:
            tokens = folder / f"tokens-{times}"
            alone(repeat, once, times, tokens)
            row = {
                "megabytes": times * chosen.tokenised,
                "orders_1_to_5": alone(count_orders, chosen.data, folder / "tokenizer", tokens, 5),
                "unigrams": alone(count_orders, chosen.data, folder / "tokenizer", tokens, 1),
            }
            print(json.dumps(row), flush=True)
            rows.append(row)
    results = {
        "vocabulary": VOCABULARY,
        "traces": TRACES,
        "imports_alone": idle,
        "tokenising": {"megabytes": chosen.tokenised, **tokenising},
        "counting": rows,
    }
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=1) + "\n")


def alone(function: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """What the function returns, with the CPU seconds and the peak memory of a process for it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(_measured, function, arguments).result()


def _measured(function: Callable[..., dict[str, Any]], arguments: Any) -> dict[str, Any]:
    wall = time.monotonic()
    facts = function(*arguments)
    wall = time.monotonic() - wall
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        **facts,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "wall_seconds": round(wall, 2),
        "peak_mib": round(used.ru_maxrss / 1024),
    }


def nothing() -> dict[str, Any]:
    """The imports alone."""
    import dataselect.corpus.shards
    import dataselect.corpus.tokenizer
    import dataselect.counting.count  # noqa: F401

    return {}


def texts(data: Path, size: int) -> Iterator[str]:
    """Texts of all files in turn, again and again, of so many megabytes in all."""
    pooled = []
    for path in sorted(data.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                pooled.append(json.loads(line)["text"])
    left = size * 1_000_000
    while left > 0:
        for text in pooled:
            yield text
            left -= len(text.encode())
            if left <= 0:
                return


def make_tokenizer(data: Path, folder: Path) -> dict[str, Any]:
    """A tokenizer of the texts."""
    from dataselect.corpus.tokenizer import train_tokenizer

    train_tokenizer(texts(data, 25), VOCABULARY, split_digits=True).save_pretrained(str(folder))
    return {}


def tokenise(data: Path, size: int, tokenizer: Path, out: Path) -> dict[str, Any]:
    """Write the token stream of the texts, in one thread."""
    from dataselect.corpus.shards import write_tokens

    counts = write_tokens(
        texts(data, size), tokenizer, 1 << 40, out, processes=1, progress=lambda _: None
    )
    return {"tokens": counts.tokens}


def repeat(tokens: Path, times: int, out: Path) -> dict[str, Any]:
    """Write a stream with the tokens of another so many times."""
    import numpy as np

    from dataselect.corpus.shards import SHARD_TOKENS, TokenStream

    stream = TokenStream(tokens)
    index = json.loads((tokens / "index.json").read_text())
    ids = np.tile(stream.read(0, len(stream)), times)
    out.mkdir()
    for number, start in enumerate(range(0, len(ids), SHARD_TOKENS)):
        ids[start : start + SHARD_TOKENS].tofile(out / f"tokens-{number:05d}.bin")
    (out / "index.json").write_text(json.dumps({**index, "tokens": len(ids)}))
    return {}


def count_orders(data: Path, tokenizer: Path, tokens: Path, orders: int) -> dict[str, Any]:
    """Count the n-grams of the traces in the stream."""
    from dataselect.corpus.packing import Part
    from dataselect.corpus.shards import TokenStream
    from dataselect.corpus.tokenizer import load_tokenizer
    from dataselect.counting.count import count
    from dataselect.counting.trie import NgramTrie
    from dataselect.counting.witten_bell import token_nll

    loaded = load_tokenizer(tokenizer)
    with gzip.open(data / "gsm8k_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        traces = [json.loads(line)["text"] for _, line in zip(range(TRACES), lines, strict=False)]
    sequences = [loaded(trace)["input_ids"] for trace in traces]
    tracemalloc.start()
    trie = NgramTrie(sequences, orders, max(loaded.get_vocab().values()) + 1)
    began = time.process_time()
    counts = count(trie, [Part(str(tokens), len(TokenStream(tokens)))])
    seconds = time.process_time() - began
    nll = token_nll(trie, counts)
    # The peak of the process has the imports and the pages of the stream that are mapped as well.
    allocated = tracemalloc.get_traced_memory()[1]
    return {
        "tokens": counts.tokens,
        "trace_tokens": len(trie.tokens),
        "ngrams": sum(trie.size(depth) for depth in range(1, orders + 1)),
        "exact": counts.exact,
        "counting_cpu_seconds": round(seconds, 2),
        "allocated_peak_mib": round(allocated / 2**20),
        "nll": [round(float(each), 4) for each in nll.mean(axis=1)],
    }


if __name__ == "__main__":
    main()
