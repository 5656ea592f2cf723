"""A tiny frontier model on disk, because a test downloads nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerFast

from dataselect.benchmarks.items import BenchmarkItems, Item


@pytest.fixture
def stories() -> BenchmarkItems:
    """Four questions; the last has no rationale."""
    items = [
        Item(
            f"q{n}",
            f"Ann has {n} red apples and buys 2 more. How many?",
            str(n + 2),
            rationale=f"She has {n} apples. Then {n} + 2 = {n + 2} apples — café.",
        )
        for n in range(1, 4)
    ]
    return BenchmarkItems("stories", (*items, Item("q4", "How many?", "7")), (items[0],))


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Byte-level BPE of 300 entries: hardly more than bytes."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(["Question: She has 3 red apples.\nAnswer: apples"] * 5, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")


@pytest.fixture(scope="session")
def frontier_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A random model that has only printable ASCII tokens to choose from."""
    torch.manual_seed(2)
    config = Olmo2Config(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=400,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=0.3,
    )
    model = Olmo2ForCausalLM(config)
    folder = tmp_path_factory.mktemp("frontier")
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    bad = [i for i, name in enumerate(names) if not name.replace("Ġ", "").isascii()]
    model.lm_head.weight.data[[0, *bad]] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
