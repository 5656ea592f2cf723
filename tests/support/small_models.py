"""Random causal LMs of one layer on disk, because a test downloads nothing."""

from functools import cache
from pathlib import Path
from typing import Any

VOCABULARY = 300


TEXT = "Question: What is the sum?\nAnswer: The answer is 3."


@cache
def byte_tokenizer(vocabulary: int = VOCABULARY, texts: tuple[str, ...] = (TEXT,) * 5) -> Any:
    """Byte-level BPE trained on the texts. It takes any text; of 300 entries it is hardly more
    than bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")


def save_model(folder: Path, seed: int = 0, positions: int = 1024) -> Path:
    """A Llama of hidden size 16 with its tokenizer in `folder`; the seed tells models apart."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=positions,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder
