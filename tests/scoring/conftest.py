"""A tiny tokenizer and tiny random models, because a test downloads nothing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from small_models import byte_tokenizer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
)

from dataselect.benchmarks.items import BenchmarkItems, Item

TEXTS = [
    "Question: Ann has 3 red apples and buys 14 more. How many apples does she have?\nAnswer:",
    "She starts with 3 apples. Then 3 + 14 = 17 apples. The answer is 17.",
    "Question: Café Zoë sells 12 naïve crêpes for €5 each. How much is that?\nAnswer:",
    "The first step is to multiply. 12 * 5 = 60 euros — 日本語 too. The answer is 60.",
]


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Byte-level BPE of 400 entries; most non-ASCII characters are split over tokens."""
    return byte_tokenizer(400, tuple(TEXTS * 3))


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Any]:
    """A random causal LM of two layers; the spread weights keep its choices apart."""

    def make(kind: str, positions: int = 512, vocabulary: int = 400) -> Any:
        torch.manual_seed(1)
        common: dict[str, Any] = {
            "vocab_size": vocabulary,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "initializer_range": 0.3,
        }
        if kind == "gpt2":
            config = GPT2Config(n_embd=32, n_layer=2, n_head=2, n_positions=positions, **common)
            return GPT2LMHeadModel(config).eval()
        shape = {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 64,
            "max_position_embeddings": positions,
            "pad_token_id": 0,
        }
        if kind == "llama":
            return LlamaForCausalLM(LlamaConfig(**shape, **common)).eval()
        return Olmo2ForCausalLM(Olmo2Config(**shape, **common)).eval()

    return make


@pytest.fixture
def benchmark_items() -> BenchmarkItems:
    """Six questions of different lengths and two worked examples."""
    items = tuple(
        Item(
            f"q{n}",
            f"Ann has {n} red apples{' and buys 14 more' * n}. How many does she have?",
            str(15 * n),
            rationale=f"She starts with {n} apples. Then {n} + {14 * n} = {15 * n} apples.",
        )
        for n in range(1, 7)
    )
    shots = (
        Item("s1", "Zoë sells 12 crêpes.", "60", rationale="12 * 5 = 60 euros."),
        Item("s2", "How much is 1 + 1?", "2", rationale="1 + 1 = 2"),
    )
    return BenchmarkItems("stories", items, shots)
