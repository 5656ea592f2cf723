"""What texts share is computed once with the same numbers, or not at all."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
)

from dataselect.scoring.likelihood.packing import Pair, pack
from dataselect.scoring.likelihood.scorer import token_nll

EXAMPLES = tuple(int(x) for x in np.random.default_rng(0).integers(1, 300, 60))


@pytest.fixture
def pairs() -> list[Pair]:
    """Five items after the same sixty tokens, each with continuations; two texts of their own."""
    rng = np.random.default_rng(1)

    def some(low: int, high: int) -> tuple[int, ...]:
        return tuple(int(x) for x in rng.integers(1, 300, rng.integers(low, high)))

    made: list[Pair] = []
    for _ in range(5):
        context = (*EXAMPLES, *some(3, 20))
        made += [(context, some(1, 12)) for _ in range(3)]
    return [*made, (some(4, 9), some(5, 30)), (some(4, 9), some(1, 2))]


def one_at_a_time(model: Any, pairs: list[Pair]) -> list[np.ndarray]:
    found = []
    for context, ids in pairs:
        sequence = torch.tensor([[*context, *ids]])
        with torch.no_grad():
            log_probs = model(input_ids=sequence).logits[0].double().log_softmax(-1)
        places = torch.arange(len(context) - 1, sequence.shape[1] - 1)
        found.append(-log_probs[places, torch.tensor(ids)].numpy())
    return found


@pytest.mark.parametrize("kind", ["olmo2", "llama", "gpt2"])
@pytest.mark.parametrize("tokens_per_batch", [1, 64, 8192])
def test_shared_texts_have_the_numbers_of_texts_alone(
    make_model: Callable[..., Any],
    pairs: list[Pair],
    kind: str,
    tokens_per_batch: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = make_model(kind)
    found = token_nll(model, pairs, tokens_per_batch=tokens_per_batch)
    for one, other in zip(found.nll, one_at_a_time(model, pairs), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert not caplog.records
    groups = pack(pairs)
    assert found.tokens == sum(len(g.prefix) + sum(r.width for r in g.rows) for g in groups)
    assert found.tokens < sum(len(context) + len(ids) for context, ids in pairs) / 4


SMALL = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 2}
ODD: dict[str, PreTrainedConfig] = {
    "a sliding window": MistralConfig(
        **SMALL,
        intermediate_size=64,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=16,
    ),
    "positions that no argument tells": BloomConfig(
        vocab_size=320, hidden_size=32, n_layer=2, n_head=2, initializer_range=0.3
    ),
    "a state in place of a cache": MambaConfig(
        **SMALL, state_size=4, expand=1, time_step_rank=2, conv_kernel=4
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_a_model_that_cannot_share_is_computed_alone_and_that_is_said(
    what: str, pairs: list[Pair], caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(ODD[what]).float().eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(3)
    with caplog.at_level(logging.WARNING, "dataselect"):
        found = token_nll(model, pairs)
    for one, other in zip(found.nll, one_at_a_time(model, pairs), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    ours = [r.getMessage() for r in caplog.records if r.name == "dataselect"]
    assert len(ours) == 1
    assert "cannot share contexts between texts" in ours[0]


def test_half_precision_shares_too(
    make_model: Callable[..., Any], pairs: list[Pair], caplog: pytest.LogCaptureFixture
) -> None:
    model = make_model("llama").to(torch.bfloat16)
    found = token_nll(model, pairs)
    for one, other in zip(found.nll, one_at_a_time(model, pairs), strict=True):
        assert one == pytest.approx(other, abs=0.25)
    assert not caplog.records


def test_texts_that_share_nothing_are_not_tried(make_model: Callable[..., Any]) -> None:
    model = make_model("olmo2")
    pairs: list[Pair] = [((1, 2), (3, 4)), ((5, 6, 7), (8,))]
    assert token_nll(model, pairs).tokens == 3 + 3
