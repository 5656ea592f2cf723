"""Rank real corpora for GSM8K, with a small model trained here in place of a frontier model.

    python benchmarks/real_text/run.py DATA [--work DIR] [--small]

DATA holds `corpora/{gsm8k_train,brown,movie_reviews,webtext}.jsonl.gz` (a `text` a line) and
`benchmarks/gsm8k.test.jsonl` (`id, question, answer, rationale` a line). The candidates are the
four corpora and two mixtures. The traces are GSM8K's own rationales; their letter probabilities
come from a model that this script first trains on GSM8K-train and Brown, ten times the proxies'
FLOPs or more. GSM8K-train is the benchmark's own training split: it must come out first, and its
mixtures above pure prose, or something is broken.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from dataselect.config.manifest import Source
from dataselect.config.proxy import Architecture, Proxy
from dataselect.corpus.packing import PackedData, Part
from dataselect.corpus.rows import open_rows
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.recipe import make_recipe
from dataselect.proxies.train import train

CORPORA = ("gsm8k_train", "brown", "movie_reviews", "webtext")
LENGTH, BATCH, SEED = 256, 4, 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path(".dataselect/real-text"))
    parser.add_argument("--small", action="store_true", help="few tokens, for tests")
    arguments = parser.parse_args()
    work: Path = arguments.work
    command = [sys.executable, "-m", "dataselect", "run"]
    command += [str(prepare(arguments.data, work, small=arguments.small))]
    command += ["--out", str(work / "report"), "--store", str(work / "store")]
    sys.exit(subprocess.run(command, check=False).returncode)


def prepare(data: Path, work: Path, *, small: bool) -> Path:
    """Train the model that weighs, and give the manifest of the run."""
    work.mkdir(parents=True, exist_ok=True)
    share = 0.03 if small else 1.0
    words = 1024 if small else 4096
    sources = {
        name: Source(
            id=name,
            path="json",
            data_files=str((data / "corpora" / f"{name}.jsonl.gz").resolve()),
        )
        for name in CORPORA
    }
    model = weigher(sources, work / "weigher", round(2_000_000 * share), words)
    items = (data / "benchmarks" / "gsm8k.test.jsonl").resolve()
    manifest = work / "real-text.yaml"
    # JSON is YAML, and needs no library to write.
    manifest.write_text(
        json.dumps(describe(sources, items, model, round(500_000 * share), words, small)),
        encoding="utf-8",
    )
    return manifest


def weigher(sources: Mapping[str, Source], folder: Path, tokens: int, words: int) -> Path:
    """Train the model that weighs the rationales, and give its checkpoint."""
    here = Path()
    used = ("gsm8k_train", "brown")
    texts = (text for name in used for text in islice(rows(sources[name], here), 2000))
    tokenizer = train_tokenizer(texts, words, split_digits=True)
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    parts = []
    for name in used:
        write_tokens(
            rows(sources[name], here),
            folder / "tokenizer",
            tokens // 2 + LENGTH,
            folder / name,
            processes=2,
            progress=lambda fields: None,
        )
        parts.append(Part(str(folder / name), tokens // 2))
    proxy = Proxy(
        architecture=Architecture(hidden_size=128, layers=4, heads=4, intermediate_size=256),
        tokens=tokens,
        sequence_length=LENGTH,
        batch_size=BATCH,
        learning_rate=3e-3,
        embedding_learning_rate=1e-2,
        seed=SEED,
    )
    recipe = make_recipe(proxy, len(tokenizer), "cpu", "weigher")
    checkpoint = folder / f"step-{recipe.steps:08d}"
    if not checkpoint.exists():
        data = PackedData(parts, LENGTH, SEED, recipe.tokens)
        train(recipe, data, tokenizer, folder, lambda fields: None)
    return checkpoint


def rows(source: Source, base: Path) -> Any:
    return open_rows(source, base, SEED)


def describe(
    sources: Mapping[str, Source], items: Path, model: Path, tokens: int, words: int, small: bool
) -> dict[str, Any]:
    """The manifest with its plan written out."""
    proxy = {
        "architecture": {"hidden_size": 64, "layers": 2, "heads": 2, "intermediate_size": 128},
        "tokens": tokens,
        "sequence_length": LENGTH,
        "batch_size": BATCH,
        "learning_rate": 3e-3,
        "embedding_learning_rate": 1e-2,
    }
    candidates: list[dict[str, Any]] = [
        {"id": name, "path": "json", "data_files": source.data_files}
        for name, source in sources.items()
    ]
    candidates += [
        {"id": "brown-half-gsm8k", "mixture": {"brown": 0.5, "gsm8k_train": 0.5}},
        {"id": "web-fifth-gsm8k", "mixture": {"webtext": 0.8, "gsm8k_train": 0.2}},
    ]
    return {
        "target": {"size": "1B", "tokens": "100B"},
        "candidates": candidates,
        "plan": {
            "tokenizer": {"train": {"vocab_size": words}},
            "max_repeats": 4,
            "benchmarks": [
                {
                    "id": "gsm8k",
                    "items": str(items),
                    "weigh": str(model.resolve()),
                    "limit": 60 if small else 500,
                    "task": "math",
                }
            ],
            "screen": {"proxy": proxy, "keep": 3},
            "predict": {
                "proxy": proxy | {"tokens": 2 * tokens, "architecture": SECOND},
            },
        },
    }


SECOND = {"hidden_size": 96, "layers": 3, "heads": 3, "intermediate_size": 192}


if __name__ == "__main__":
    main()
