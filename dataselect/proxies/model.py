"""The trained model: build transformers' Olmo2 of a recipe's shape, and save its checkpoints."""

import shutil
from pathlib import Path

from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerBase

from dataselect.proxies.recipe import Recipe
from dataselect.store.files import needs_room, remove

NORM_EPSILON = 1e-5
ROPE_THETA = 10_000.0


def build_model(recipe: Recipe, eos_token_id: int | None) -> Olmo2ForCausalLM:
    """An untrained Olmo2 of the recipe's shape; the caller seeds torch."""
    shape = recipe.shape
    config = Olmo2Config(
        vocab_size=recipe.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=max(recipe.sequence_length, 2048),
        tie_word_embeddings=shape.tie_embeddings,
        rope_theta=ROPE_THETA,
        rms_norm_eps=NORM_EPSILON,
        pad_token_id=eos_token_id,
        bos_token_id=None,
        eos_token_id=eos_token_id,
        attention_dropout=0.0,
    )
    return Olmo2ForCausalLM(config)


def save_checkpoint(
    model: Olmo2ForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Write, atomically, a folder that `AutoModelForCausalLM.from_pretrained` loads.

    Raises PassingError where the disk is full.
    """
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    try:
        with needs_room(folder.parent):
            model.save_pretrained(unfinished)
            tokenizer.save_pretrained(str(unfinished))
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    remove(folder)
    unfinished.rename(folder)
