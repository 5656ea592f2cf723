"""Projects that are large in one way each, and the commands that a user would give in them.

Text is of the synthetic world's size and kind; proxies are tiny, so that what is left is the
work that grows with candidates, items, artifacts, text or files.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np

from dataselect.store import Store
from dataselect.store import store as store_module
from dataselect.synthetic.world import benchmark_problems, documents
from dataselect.traces.trace import Trace, TraceHeader, write_traces

Commands = Mapping[str, Sequence[str]]
RUN = ("run", "candidates.yaml", "--quiet")
PROXY = {
    "architecture": {"hidden_size": 16, "layers": 1, "heads": 2},
    "tokens": "4k",
    "sequence_length": 32,
    "batch_size": 4,
    "learning_rate": 0.01,
}
DOCUMENT = 2_000
"""Characters of a document of `long_text`."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class Load:
    """`make(folder, size)` writes the project and gives its commands by name, in their order."""

    unit: str
    sizes: tuple[int, ...]
    make: Callable[[Path, int], Commands]


def candidates(folder: Path, count: int) -> Commands:
    for number in range(count):
        genre = ("worked", "narrative", "wrong", "answers")[number % 4]
        write_texts(folder / "data" / f"c{number}.jsonl", islice(documents(genre, number), 100))
    project(folder, [f"c{number}" for number in range(count)], items=8)
    return {
        "validate": ("validate", "candidates.yaml"),
        "plan": ("plan", "candidates.yaml"),
        "run": RUN,
        "run, cached": RUN,
        "report": ("report", "reports/candidates"),
        "status": ("status",),
    }


def items(folder: Path, count: int) -> Commands:
    three(folder, items=count)
    return {
        "validate": ("validate", "candidates.yaml"),
        "run": RUN,
        "run, cached": RUN,
        "view": ("view", "reports/candidates"),
    }


def artifacts(folder: Path, count: int) -> Commands:
    three(folder, items=8)
    fill(Store(folder / ".dataselect"), count)
    return {"run": RUN, "run, cached": RUN, "status": ("status",)}


def megabytes(folder: Path, count: int) -> Commands:
    """All of a source's text is tokenised, searched for leaks and counted; nothing is trained."""
    three(folder, items=8)
    long_text(folder / "data" / "c1.jsonl", count)
    plan = {
        "tokenizer": {"train": {"vocab_size": 8192, "characters": "4M"}},
        "screen0": {"keep": 2},
        # More tokens than there are.
        "screen": {"keep": 2, "proxy": {**PROXY, "tokens": count * MEGABYTE // 4}},
        "max_repeats": 1_000_000_000,
    }
    change(folder, plan)
    return {
        "validate": ("validate", "candidates.yaml"),
        "prepare, all text": ("prepare_all.py", "candidates.yaml"),
        "prepare, again": ("prepare_all.py", "candidates.yaml"),
    }


def megabytes_in_a_line(folder: Path, count: int) -> Commands:
    three(folder, items=8)
    texts = chain(
        islice(documents("worked", 1), 50),
        [" ".join(islice(documents("narrative", 2), count * MEGABYTE // 400))[: count * MEGABYTE]],
        islice(documents("worked", 3), 50),
    )
    write_texts(folder / "data" / "c1.jsonl", texts)
    return {"validate": ("validate", "candidates.yaml"), "run": RUN, "run, cached": RUN}


def files(folder: Path, count: int) -> Commands:
    three(folder, items=8)
    (folder / "data" / "c1.jsonl").unlink()
    texts = documents("worked", 1)
    for number in range(count):
        place = folder / "data" / "c1" / f"{number // 1_000:03}" / f"{number:06}.jsonl"
        write_texts(place, islice(texts, 1))
    manifest = folder / "candidates.yaml"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["candidates"][1]["path"] = "data/c1"
    manifest.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return {"validate": ("validate", "candidates.yaml"), "run": RUN, "run, cached": RUN}


LOADS: Mapping[str, Load] = {
    "candidates": Load("candidates", (25, 50, 100, 200), candidates),
    "items": Load("items", (1_250, 2_500, 5_000, 10_000), items),
    "artifacts": Load("artifacts in the store", (100, 1_000, 10_000, 100_000), artifacts),
    "text": Load("MB of text", (312, 1_250, 5_000, 20_000), megabytes),
    "line": Load("MB in one line", (12, 50, 200), megabytes_in_a_line),
    "files": Load("files of a candidate", (1_000, 10_000, 100_000), files),
}


def three(folder: Path, items: int) -> None:
    """Three candidates of one file each."""
    for name, genre in (("c0", "narrative"), ("c1", "worked"), ("c2", "wrong")):
        write_texts(folder / "data" / f"{name}.jsonl", islice(documents(genre, 1), 200))
    project(folder, ["c0", "c1", "c2"], items)


def change(folder: Path, plan: Mapping[str, object]) -> None:
    """Put these keys into the plan."""
    manifest = folder / "candidates.yaml"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["plan"] |= plan
    manifest.write_text(json.dumps(content, indent=1), encoding="utf-8")


def project(folder: Path, names: Sequence[str], items: int) -> None:
    manifest = {
        "target": {"size": "1M", "tokens": "20M"},
        "candidates": [{"id": name, "path": f"data/{name}.jsonl"} for name in names],
        "plan": {
            "tokenizer": {"train": {"vocab_size": 300, "characters": "40k"}},
            "benchmarks": [{"id": "stories", "items": "items.jsonl", "traces": "traces.jsonl.gz"}],
            "screen": {"keep": 2, "proxy": PROXY},
            "predict": {"proxy": PROXY},
            "compute": {"jobs": 1, "threads": 1, "device": "cpu"},
        },
    }
    # JSON is YAML.
    (folder / "candidates.yaml").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    rows, traces = [], []
    for number, problem in enumerate(benchmark_problems(9, (2, 3, 4), items)):
        row = {"id": f"i{number}", "question": problem.prompt, "answer": str(problem.answer)}
        rows.append(json.dumps(row))
        text = problem.reasoning()
        traces.append(Trace(f"i{number}", text, ((5, 0.4), (len(text) - 5, 0.9))))
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    header = TraceHeader("stories", "made up", "Question: {question}\nAnswer:", "a test")
    write_traces(folder / "traces.jsonl.gz", header, traces)


def write_texts(path: Path, texts: Iterator[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps({"text": text}) + "\n" for text in texts)


def long_text(path: Path, megabytes: int) -> None:
    """Distinct documents of words that a seed draws, written at the disk's speed."""
    rng = np.random.default_rng(0)
    letters = rng.integers(ord("a"), ord("z") + 1, (2_000, 19)).astype(np.uint8)
    words = np.array([bytes(word).decode() for word in letters])
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        for _ in repeat(None, megabytes * MEGABYTE // DOCUMENT):
            text = " ".join(words[rng.integers(0, len(words), DOCUMENT // 20)])
            file.write(f'{{"text": "{text}"}}\n')


def fill(store: Store, count: int) -> None:
    """Artifacts as an earlier search would have left them: small files, each with its record.

    They are not forced to disk, which takes a hundred times as long.
    """
    store_module.sync_tree = lambda _: None
    for number in range(count):
        with store.publish("score", {"made for": "a load", "number": number}) as folder:
            (folder / "values.json").write_text(json.dumps({"value": number}), encoding="utf-8")
