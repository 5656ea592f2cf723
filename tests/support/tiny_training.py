"""A training run of a second: its recipe, its data, its tokenizer, and child processes for it."""

import json
import multiprocessing
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerFast

from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.ladder import Shape
from dataselect.proxies.recipe import Recipe

VOCABULARY = 300
RECIPE = Recipe(
    shape=Shape(hidden_size=16, layers=2, heads=2, kv_heads=2, intermediate_size=32),
    vocab_size=VOCABULARY,
    steps=40,
    batch_size=4,
    sequence_length=16,
    learning_rate=1e-2,
    embedding_learning_rate=1e-2,
    weight_decay=0.1,
    warmup_fraction=0.05,
    grad_clip=1.0,
    precision="fp32",
    checkpoints=1,
    seed=0,
)
"""Tests `replace` what they are about."""

# Children are forked from a server that has imported torch already.
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(["torch", "transformers", "dataselect.proxies.distributed"])


class Rows:
    """Training data that is an array."""

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, first: int, count: int) -> NDArray[np.int64]:
        assert first + count <= len(self)
        return self._rows[first : first + count]


def noise(seed: int, recipe: Recipe = RECIPE) -> Rows:
    """Tokens drawn by a seed, as many as the recipe trains on."""
    shape = (recipe.steps * recipe.batch_size, recipe.sequence_length + 1)
    return Rows(np.random.default_rng(seed).integers(0, recipe.vocab_size, shape))


def refrain(recipe: Recipe = RECIPE) -> Rows:
    """The same seven tokens over and over; a model has learnt all of it once it can count."""
    sequences, length = recipe.steps * recipe.batch_size, recipe.sequence_length
    return Rows((np.arange(sequences)[:, None] + np.arange(length + 1)) % 7 + 40)


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of 300 entries."""
    text = ["Ann has 3 red apples and buys 14 more."] * 20
    return train_tokenizer(iter(text), VOCABULARY, True)


def write_stream(folder: Path, tokens: int) -> Path:
    """The first tokens of a stream that is the same for every length."""
    folder.mkdir()
    ids = np.random.default_rng(0).integers(0, VOCABULARY, 100_000)[:tokens]
    (folder / "tokens-00000.bin").write_bytes(ids.astype("<u2").tobytes())
    index = {"dtype": "uint16", "shard_tokens": 10**6, "tokens": tokens, "documents": 1}
    index |= {"exhausted": False, "counts": None}
    (folder / "index.json").write_text(json.dumps(index))
    return folder
