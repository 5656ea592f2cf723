"""Compiled kernels give torch's likelihoods, or leave a checkpoint to torch."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_models import byte_tokenizer
from transformers import AutoTokenizer, Olmo2Config, Olmo2ForCausalLM

pytest.importorskip("numba", reason="the extra fast is not installed")

from dataselect.compute.machine import NO_TORCH
from dataselect.corpus.saved_tokenizer import plain_ids, read_tokenizer
from dataselect.proxies.fused.compiling import LANES
from dataselect.scoring.fused_checkpoint import load_fused
from dataselect.scoring.likelihood.fused import FusedModel
from dataselect.scoring.likelihood.packing import Pair
from dataselect.scoring.likelihood.scorer import token_nll
from dataselect.scoring.likelihood_loading import load_for_likelihoods
from dataselect.scoring.loading import load_model
from dataselect.scoring.model_facts import parameter_count, position_limit, vocabulary_size

# hidden, intermediate, layers, heads, heads of keys, words, tied: words that are no multiple of a
# panel and more than the kernels take at a time, keys that heads share, the narrowest heads.
SHAPES = {
    "many words": (64, 96, 2, 2, 2, 1200, False),
    "shared keys, tied": (64, 48, 2, 4, 2, 310, True),
    "narrow heads, one layer": (32, 32, 1, 4, 4, 130, False),
}


def save(folder: Path, shape: tuple[int, int, int, int, int, int, bool], **other: Any) -> Path:
    """A random checkpoint whose norms and embeddings are no ones and nothing small."""
    hidden, wide, layers, heads, key_heads, words, tied = shape
    config = Olmo2Config(
        vocab_size=words,
        hidden_size=hidden,
        intermediate_size=wide,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        max_position_embeddings=900,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        **{"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0, **other},
    )
    torch.manual_seed(0)
    model = Olmo2ForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    model.save_pretrained(folder)
    byte_tokenizer(min(words, 300), ("some words", "and others")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(shape: str) -> Path:
        if shape not in made:
            made[shape] = save(tmp_path_factory.mktemp("fused") / "model", SHAPES[shape])
        return made[shape]

    return folder


def fused(folder: Path) -> FusedModel:
    loaded = load_fused(folder, "cpu", "float32")
    assert loaded is not None
    assert isinstance(loaded.model, FusedModel)
    return loaded.model


def made_pairs(words: int) -> list[Pair]:
    """Items after long worked examples, choices that begin alike, long texts and single tokens."""
    rng = np.random.default_rng(0)

    def some(many: int) -> tuple[int, ...]:
        return tuple(int(token) for token in rng.integers(1, words, many))

    examples = some(197)
    pairs: list[Pair] = [((*examples, *some(40)), some(130)), (some(1), some(1))]
    for long in (1, 7, 70):
        question, stem = (*examples, *some(long)), some(5)
        pairs += [(question, (*stem[:shared], *some(9 * shared + 1))) for shared in range(6)]
        pairs += [(question, stem), (question, stem[:1]), (question, stem)]
    pairs += [((5,), some(3)) for _ in range(120)]
    return [*pairs, (some(150), some(300))]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("tokens_per_batch", [None, 1])
def test_likelihoods_are_those_of_torch(
    saved: Callable[[str], Path], shape: str, tokens_per_batch: int | None
) -> None:
    folder = saved(shape)
    ours, theirs = fused(folder), load_model(folder, "cpu", "float32").model
    pairs = made_pairs(SHAPES[shape][5])
    found = token_nll(ours, pairs, tokens_per_batch=tokens_per_batch)
    expected = token_nll(theirs, pairs)
    assert found.tokens == expected.tokens
    for mine, other in zip(found.nll, expected.nll, strict=True):
        assert mine == pytest.approx(other, abs=1e-5)
    for facts in (parameter_count, vocabulary_size, position_limit):
        assert facts(ours) == facts(theirs)


def test_a_token_with_a_broken_embedding_breaks_its_own_texts_alone(
    saved: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = save(tmp_path / "m", SHAPES["many words"])
    tensors = load_file(folder / "model.safetensors")
    tensors["model.embed_tokens.weight"][7] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    start = tuple(range(20, 60))
    pairs = [((*start, *end), ids) for end in ((3, 7), (3, 9)) for ids in ((1, 7), (7, 2), (4, 5))]
    broken = [bool(np.isnan(nll).any()) for nll in token_nll(fused(folder), pairs).nll]
    assert broken == [True, True, True, False, True, False]
    theirs = load_model(folder, "cpu", "float32").model
    assert broken == [bool(np.isnan(nll).any()) for nll in token_nll(theirs, pairs).nll]


def test_lanes_are_those_of_torch() -> None:
    assert {"AVX512": 16, "AVX2": 8}.get(torch.backends.cpu.get_cpu_capability(), 4) == LANES


def test_tokens_and_notes_are_those_of_the_loader_by_torch(saved: Callable[[str], Path]) -> None:
    folder = saved("many words")
    ours, theirs = load_fused(folder, "cpu", "float32"), load_model(folder, "cpu", "float32")
    assert ours is not None
    assert ours.notes == theirs.notes
    assert (ours.machine.torch, ours.machine.device) == (NO_TORCH, "cpu")
    texts = ["some words", "and <|endoftext|> others", " 12  é\n"]
    assert plain_ids(ours.tokenizer, texts) == plain_ids(theirs.tokenizer, texts)
    by_class = AutoTokenizer.from_pretrained(str(folder))
    read = read_tokenizer(folder).tokenizer
    assert type(read) is type(by_class)
    assert read.special_tokens_map == by_class.special_tokens_map


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def configured(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **changes)


def in_half(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    half = {name: tensor.bfloat16() for name, tensor in tensors.items()}
    save_file(half, folder / "model.safetensors", {"format": "pt"})


def with_another(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(32)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


UNKNOWN: dict[str, Callable[[Path], None]] = {
    "a key that is not known": configured(final_logit_softcapping=30.0),
    "another activation": configured(hidden_act="gelu"),
    "biases": configured(attention_bias=True),
    "scaled positions": configured(
        rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}
    ),
    "another architecture": configured(architectures=["Olmo3ForCausalLM"], model_type="olmo3"),
    "more words than embeddings": configured(vocab_size=131),
    "heads that do not divide": configured(num_attention_heads=3),
    "half precision": in_half,
    "a tensor too many": with_another,
    "an end that is no token": lambda folder: edit(
        folder / "generation_config.json", eos_token_id="</s>"
    ),
    "no configuration": lambda folder: (folder / "config.json").unlink(),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_is_not_fully_known_is_left_to_torch(tmp_path: Path, kind: str) -> None:
    folder = save(tmp_path / "m", SHAPES["narrow heads, one layer"])
    assert load_fused(folder, "cpu", "float32") is not None
    UNKNOWN[kind](folder)
    assert load_fused(folder, "cpu", "float32") is None


def test_other_devices_and_precisions_wide_models_and_no_numba_are_left_to_torch(
    saved: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved("narrow heads, one layer")
    assert load_fused(folder, "cuda", "float32") is None
    assert load_fused(folder, "cpu", "bfloat16") is None
    assert load_fused(save(tmp_path, (272, 32, 1, 2, 2, 130, True)), "cpu", "float32") is None
    with monkeypatch.context() as changed:
        changed.setitem(sys.modules, "numba", None)  # what cannot be loaded
        assert load_fused(folder, "cpu", "float32") is None
    monkeypatch.setattr("dataselect.proxies.kernels.find_spec", lambda name: None)
    assert load_fused(folder, "cpu", "float32") is None
    assert isinstance(load_for_likelihoods(folder, "cpu", "float32").model, Olmo2ForCausalLM)


def test_a_checkpoint_trained_here_is_read_by_kernels(
    saved: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dataselect.scoring.loading.load_model", None)
    loaded = load_for_likelihoods(saved("many words"), "cpu", "float32")
    assert isinstance(loaded.model, FusedModel)
