"""What counting a real text costs, beside tokenising it, and what bounded memory costs in nats.

    python benchmarks/counting/measure.py TEXT TRACES

TEXT is a `.jsonl` or `.jsonl.gz` file with a column `text`, of different documents in random order;
the first megabytes of it are the smaller texts. The first rows of TRACES stand for traces. Each
text is tokenised once, and counted at order 1, at orders 1 to 5, and at orders 1 to 5 with a bit
for every pair of context and follower, so that nothing is estimated. Each measurement is a process
of its own with one thread. Writes `results.json` beside this file.
"""

import argparse
import gzip
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

TRACES = 500
ORDERS = 5
SAMPLE = 25
"""Megabytes that a tokenizer is trained on, and that the other vocabularies are measured on."""


def main() -> None:
    """Measure every size and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path)
    parser.add_argument("traces", type=Path)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[25, 100, 1000])
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[50_304, 32_000])
    parser.add_argument("--place", type=Path, help="folder for the tokens; temporary by default")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.place) as place:
        results = measure(chosen, Path(place))
    Path(__file__).with_name("results.json").write_text(json.dumps(results, indent=1) + "\n")


def measure(chosen: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All measurements, of which each is shown when it is there."""
    parts = alone(split, chosen.text, chosen.megabytes, folder)["parts"]
    vocabulary, *others = chosen.vocabularies
    tokenizer = folder / str(vocabulary)
    alone(make_tokenizer, folder / "text-0", vocabulary, tokenizer)
    tokenising = [
        shown(
            "tokenising",
            **part,
            **alone(tokenise, folder / f"text-{n}", tokenizer, folder / f"tokens-{n}"),
        )
        for n, part in enumerate(parts)
    ]
    counting = []
    for number, megabytes in enumerate(chosen.megabytes):
        tokens = [folder / f"tokens-{n}" for n in range(number + 1)]
        row: dict[str, Any] = {"megabytes": megabytes}
        for name, orders, exact in (
            ("unigrams", 1, False),
            ("orders_1_to_5", ORDERS, False),
            ("without_estimates", ORDERS, True),
        ):
            nll = folder / f"nll-{name}.npy"
            row[name] = alone(count_orders, chosen.traces, tokenizer, tokens, orders, exact, nll)
        row["estimates_cost"] = differences(folder)
        row["tokenising_cpu_seconds"] = round(
            sum(each["tokenising_cpu_seconds"] for each in tokenising[: number + 1]), 2
        )
        counting.append(shown("counting", **row))
    smaller = []
    for size in others:
        alone(make_tokenizer, folder / "text-0", size, folder / str(size))
        facts = alone(tokenise, folder / "text-0", folder / str(size), folder / f"tokens-{size}")
        smaller.append(shown("tokenising", vocabulary=size, **parts[0], **facts))
    return {
        "vocabulary": vocabulary,
        "traces": TRACES,
        "imports_alone": alone(nothing),
        "tokenising": tokenising,
        "other_vocabularies": smaller,
        "counting": counting,
    }


def shown(what: str, **facts: Any) -> dict[str, Any]:
    """The facts, printed."""
    print(what, json.dumps(facts), flush=True)
    return facts


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


def texts(path: Path) -> Iterator[str]:
    """The texts of a file."""
    with (
        gzip.open(path, "rt", encoding="utf-8")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8")
    ) as lines:
        for line in lines:
            yield json.loads(line)["text"]


def split(text: Path, megabytes: Sequence[int], folder: Path) -> dict[str, Any]:
    """Write the text in parts that end at so many megabytes each."""
    parts, rows, done = [], texts(text), 0
    for number, end in enumerate(megabytes):
        began, documents = done, 0
        with (folder / f"text-{number}").open("w", encoding="utf-8") as part:
            while done < end * 1_000_000:
                row = next(rows)
                part.write(json.dumps({"text": row}, ensure_ascii=False) + "\n")
                done += len(row.encode())
                documents += 1
        parts.append({"bytes": done - began, "documents": documents})
    return {"parts": parts}


def make_tokenizer(text: Path, vocabulary: int, folder: Path) -> dict[str, Any]:
    """A tokenizer of the first megabytes of a text."""
    from dataselect.corpus.tokenizer import train_tokenizer

    def sample() -> Iterator[str]:
        left = SAMPLE * 1_000_000
        for each in texts(text):
            yield each
            left -= len(each.encode())
            if left <= 0:
                return

    train_tokenizer(sample(), vocabulary, split_digits=True).save_pretrained(str(folder))
    return {}


def tokenise(text: Path, tokenizer: Path, out: Path) -> dict[str, Any]:
    """Write the token stream of a text, in one thread."""
    from dataselect.corpus.shards import write_tokens
    from dataselect.corpus.tokenizer import load_tokenizer

    load_tokenizer(tokenizer)  # the libraries, which the first use loads
    began = time.process_time()
    counts = write_tokens(
        texts(text), tokenizer, 1 << 40, out, processes=1, progress=lambda _: None
    )
    seconds = time.process_time() - began
    return {"tokens": counts.tokens, "tokenising_cpu_seconds": round(seconds, 2)}


def count_orders(
    traces: Path, tokenizer: Path, folders: Sequence[Path], orders: int, exact: bool, out: Path
) -> dict[str, Any]:
    """Count the n-grams of the traces in the streams; write the NLL of every token to `out`."""
    import numpy as np

    from dataselect.corpus.packing import Part
    from dataselect.corpus.shards import TokenStream
    from dataselect.corpus.tokenizer import load_tokenizer
    from dataselect.counting.count import count
    from dataselect.counting.distinct import BITS
    from dataselect.counting.trie import NgramTrie
    from dataselect.counting.witten_bell import token_nll

    loaded = load_tokenizer(tokenizer)
    rows = [text for _, text in zip(range(TRACES), texts(traces), strict=False)]
    before = anonymous_mib()
    began = time.process_time()
    sequences = [loaded(row)["input_ids"] for row in rows]
    trie = NgramTrie(sequences, orders, max(loaded.get_vocab().values()) + 1)
    made = time.process_time()
    # The peak of the process has the pages of the stream that are mapped as well, and these can be
    # given back at any time.
    most = before
    parts = [Part(str(folder), len(TokenStream(folder))) for folder in folders]

    def look(_: int) -> None:
        nonlocal most
        most = max(most, anonymous_mib())

    counts = count(trie, parts, look, bits=1 << 40 if exact else BITS)
    seconds = time.process_time() - made
    nll = token_nll(trie, counts)
    np.save(out, nll)
    return {
        "tokens": counts.tokens,
        "trace_tokens": len(trie.tokens),
        "ngrams": sum(trie.size(depth) for depth in range(1, orders + 1)),
        "exact": counts.exact,
        "traces_cpu_seconds": round(made - began, 2),
        "counting_cpu_seconds": round(seconds, 2),
        "own_memory_mib": round(most - before),
        "nll": [round(float(each), 4) for each in nll.mean(axis=1)],
    }


def anonymous_mib() -> float:
    """Memory of this process that is not pages of files."""
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not say what a process uses")


def differences(folder: Path) -> dict[str, list[float]]:
    """By order, what estimates of distinct followers change in the NLL, in nats per token."""
    import numpy as np

    estimated = np.load(folder / "nll-orders_1_to_5.npy")
    changed = estimated - np.load(folder / "nll-without_estimates.npy")
    return {
        "mean": [float(f"{each:.2g}") for each in changed.mean(axis=1)],
        "largest_of_a_token": [float(f"{each:.2g}") for each in np.abs(changed).max(axis=1)],
    }


if __name__ == "__main__":
    main()
