"""Prompts that begin alike: one copy of the beginning gives what a copy for each gives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

from dataselect.scoring import decoding, decoding_rows, shared_prefix
from dataselect.scoring.decoding import greedy

EXAMPLES = "Question: Bo has 2 pens and buys 3 more. How many has he?\nAnswer: 2 + 3 = 5 pens.\n\n"
PROMPTS = [
    f"{EXAMPLES}Question: Ann has {n} red apples{' and buys 14 more' * (n % 5)}.\nAnswer:"
    for n in range(9)
]
SHAPE: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "initializer_range": 0.3,
}


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the queries that attended to a shared prefix."""
    shapes: list[tuple[int, ...]] = []
    real = shared_prefix._joined

    def watched(query: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        shapes.append(tuple(query.shape))
        return real(query, *others)

    monkeypatch.setattr(shared_prefix, "_joined", watched)
    return shapes


def grouped_queries() -> Any:
    torch.manual_seed(1)
    return LlamaForCausalLM(
        LlamaConfig(num_attention_heads=4, num_key_value_heads=2, **SHAPE)
    ).eval()


def require_equal(
    model: Any,
    tokenizer: Any,
    prompts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    most: int = 30,
    **options: Any,
) -> None:
    """Written with and without sharing, the same tokens with the same probabilities."""
    found = greedy(model, tokenizer, prompts, most, **options)
    monkeypatch.setattr(decoding, "_FEWEST", 10**6)
    wanted = greedy(model, tokenizer, prompts, most, **options)
    assert [each.ids for each in found] == [each.ids for each in wanted]
    assert [each.text for each in found] == [each.text for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


@pytest.mark.parametrize("kind", ["olmo2", "llama", "gpt2", "grouped"])
def test_a_shared_beginning_changes_no_token(
    make_model: Callable[..., Any],
    tokenizer: Any,
    kind: str,
    joined: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = grouped_queries() if kind == "grouped" else make_model(kind)
    before = model.config._attn_implementation
    require_equal(model, tokenizer, PROMPTS, monkeypatch, stop=("a", "e s"))
    assert {shape[0] for shape in joined} >= {2, 9}  # tried on two rows, then on all
    assert min(shape[0] for shape in joined) < 9  # rows that are done are dropped
    assert model.config._attn_implementation == before


@pytest.mark.parametrize("kind", ["olmo2", "gpt2", "grouped"])
@pytest.mark.parametrize("alone", [False, True])
def test_prompts_read_in_parts_change_no_token(
    make_model: Callable[..., Any],
    tokenizer: Any,
    kind: str,
    alone: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = grouped_queries() if kind == "grouped" else make_model(kind)
    if alone:  # without a shared beginning, where the model has its own mask
        monkeypatch.setattr(decoding, "_FEWEST", 10**6)
    wanted = greedy(model, tokenizer, PROMPTS, 30)
    read: list[tuple[int, ...]] = []
    real = decoding_rows.PaddedRows._call

    def watched(rows: Any, ids: torch.Tensor, *others: Any) -> torch.Tensor:
        read.append(tuple(ids.shape))
        return real(rows, ids, *others)

    monkeypatch.setattr(decoding_rows.PaddedRows, "_call", watched)
    monkeypatch.setattr(decoding_rows, "_TOKENS", 100)
    found = greedy(model, tokenizer, PROMPTS, 30)
    assert all(rows * tokens <= 100 for rows, tokens in read)
    assert len({shape[1] for shape in read}) > 2  # the shorter are padded less
    assert [each.ids for each in found] == [each.ids for each in wanted]
    for one, other in zip(found, wanted, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_prompts_of_two_kinds_and_others_are_each_answered(
    make_model: Callable[..., Any],
    tokenizer: Any,
    joined: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    others = [text.replace("pens", "crêpes and never a single pen") for text in PROMPTS]
    alone = ["How much is that?", "She has"]
    prompts = [x for pair in zip(PROMPTS, others, strict=True) for x in pair] + alone
    require_equal(make_model("llama"), tokenizer, prompts, monkeypatch, 8, batch_size=5)
    # Tried once; batches of the same beginning use the same keys and values.
    assert {shape[0] for shape in joined} == {2, 5, 4}


def test_the_same_prompt_many_times_is_shared_but_for_its_last_token(
    make_model: Callable[..., Any],
    tokenizer: Any,
    joined: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    require_equal(make_model("llama"), tokenizer, [PROMPTS[0]] * 8, monkeypatch, 5)
    assert {shape[2] for shape in joined} == {1}


def bloom() -> Any:
    return BloomForCausalLM(
        BloomConfig(
            vocab_size=400,
            hidden_size=32,
            n_layer=2,
            n_head=2,
            bos_token_id=0,
            eos_token_id=0,
            initializer_range=0.3,
        )
    )


def windowed() -> Any:
    return MistralForCausalLM(
        MistralConfig(sliding_window=20, num_attention_heads=2, num_key_value_heads=2, **SHAPE)
    )


def capped() -> Any:
    return Gemma2ForCausalLM(
        Gemma2Config(
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=16,
            layer_types=["full_attention"] * 2,
            **SHAPE,
        )
    )


@pytest.mark.parametrize("make", [bloom, windowed, capped])
def test_a_model_that_attends_otherwise_has_a_copy_for_each(
    make: Callable[[], Any], tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    require_equal(make().eval(), tokenizer, PROMPTS, monkeypatch, 6)


def test_a_model_whose_answers_would_move_is_not_shared(
    make_model: Callable[..., Any],
    tokenizer: Any,
    joined: list[tuple[int, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # As one that scales what it attends to by its place in a text.
    real = shared_prefix._attention

    def otherwise(module: Any, query: torch.Tensor, *others: Any, **named: Any) -> Any:
        return real(module, query * 1.1, *others, **named)

    monkeypatch.setitem(
        shared_prefix.AttentionInterface._global_mapping, shared_prefix._NAME, otherwise
    )
    require_equal(make_model("llama"), tokenizer, PROMPTS, monkeypatch, 6)
    assert {shape[0] for shape in joined} == {2}


@pytest.mark.parametrize("most", [1 << 24, 100])
def test_two_parts_of_attention_join_to_that_over_the_whole_text(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_prefix, "_MOST_SCORES", most)
    torch.manual_seed(0)
    rows, heads, groups, tokens, own, size, length = 3, 4, 2, 2, 5, 8, 7
    query = torch.randn(rows, heads, tokens, size)
    key, value = torch.randn(2, rows, groups, own, size)
    before_keys, before_values = torch.randn(2, groups, length, size)
    mask = torch.zeros(rows, 1, tokens, own)
    mask[0, :, :, :2] = mask[:, :, 0, -1] = torch.finfo(mask.dtype).min
    whole_key = torch.cat([before_keys.expand(rows, -1, -1, -1), key], 2)
    whole_value = torch.cat([before_values.expand(rows, -1, -1, -1), value], 2)
    wanted = torch.nn.functional.scaled_dot_product_attention(
        query,
        whole_key.repeat_interleave(heads // groups, 1),
        whole_value.repeat_interleave(heads // groups, 1),
        attn_mask=torch.cat([torch.zeros(rows, 1, tokens, length), mask], -1),
    )
    prefix = shared_prefix.Prefix(
        tuple(range(length)), ((before_keys.transpose(1, 2), before_values),)
    )
    monkeypatch.setattr(shared_prefix._current, "prefix", prefix, raising=False)
    module = torch.nn.Module()
    module.layer_idx = 0
    found, _ = shared_prefix._attention(module, query, key, value, mask)
    torch.testing.assert_close(found, wanted.transpose(1, 2))
