"""Fine-tuning: what the loss is taken on, how the steps go, and that the answer is learnt."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import byte_tokenizer, save_model
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM

from dataselect.errors import IncompleteError
from dataselect.proxies import tune as module
from dataselect.proxies.recipe import TuneRecipe
from dataselect.proxies.tune import Example, tune

FAST = TuneRecipe(learning_rate=1e-2, batch_size=8, epochs=4)


@pytest.fixture
def model(tmp_path: Path) -> Any:
    return LlamaForCausalLM.from_pretrained(save_model(tmp_path / "model", seed=1))


def examples(count: int = 32) -> list[Example]:
    """Prompts of several lengths with one answer."""
    tokenizer = byte_tokenizer()
    answer = tokenizer(" The answer is 3.")["input_ids"] + [tokenizer.eos_token_id]
    prompts = ["Question: " + "why " * (n % 5) + f"{n}?\nAnswer:" for n in range(count)]
    return [Example(tokenizer(prompt)["input_ids"], answer) for prompt in prompts]


def mean_loss(model: Any, chosen: list[Example]) -> float:
    """Nats per answer token, one example at a time."""
    total = 0.0
    with torch.no_grad():
        for each in chosen:
            ids = torch.tensor([each.prompt + each.answer])
            logits = model(input_ids=ids).logits[0, len(each.prompt) - 1 : -1]
            total += float(cross_entropy(logits, torch.tensor(each.answer), reduction="sum"))
    return total / sum(len(each.answer) for each in chosen)


def test_the_loss_falls_and_the_answer_is_learnt(model: Any) -> None:
    before = mean_loss(model, examples())
    tuned = tune(model, examples(), FAST, "cpu")
    assert (tuned.steps, len(tuned.losses)) == (16, 16)
    assert tuned.tokens == 4 * sum(len(each) for each in examples())
    assert tuned.losses[0] == pytest.approx(before, rel=0.05)
    assert mean_loss(model, examples()) < 0.3 * before
    assert not model.training


def test_the_loss_is_the_mean_over_the_answers_tokens_alone(model: Any) -> None:
    chosen = [*examples(5), Example([5, 6, 7], [8])]
    wanted = mean_loss(model, chosen)
    tuned = tune(model, chosen, TuneRecipe(), "cpu")
    assert tuned.losses == [pytest.approx(wanted, rel=1e-5)]


def test_slices_change_nothing(tmp_path: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    other = LlamaForCausalLM.from_pretrained(tmp_path / "model")
    whole = tune(model, examples(), FAST, "cpu")
    monkeypatch.setattr(module, "_SLICE_TOKENS", 60)
    sliced = tune(other, examples(), FAST, "cpu")
    for one, same in zip(whole.losses, sliced.losses, strict=True):
        assert one == pytest.approx(same, abs=1e-3)


def test_the_learning_rate_rises_over_a_tenth_and_falls_to_nothing() -> None:
    recipe = TuneRecipe()
    factors = [module._factor(step, 117, recipe) for step in range(117)]
    assert factors[0] == pytest.approx(1 / 12)
    assert max(factors) == factors[11] == factors[12] == 1.0
    assert factors[-1] == pytest.approx(1 / 105)
    assert all(a > b for a, b in pairwise(factors[12:]))
    assert module._factor(0, 1, recipe) == 1.0


def test_an_epoch_takes_every_example_once_in_an_order_of_its_own() -> None:
    batches = list(module._batches(10, TuneRecipe(batch_size=4, epochs=2)))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    first, second = ([n for b in part for n in b] for part in (batches[:3], batches[3:]))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second
    assert batches == list(module._batches(10, TuneRecipe(batch_size=4, epochs=2)))


def test_a_loss_that_is_no_number_is_an_error(model: Any) -> None:
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(math.inf)
    with pytest.raises(IncompleteError, match="non-finite loss at step 0"):
        tune(model, examples(4), FAST, "cpu")


def test_in_bf16_it_learns_as_well(model: Any) -> None:
    before = mean_loss(model, examples())
    tune(model, examples(), TuneRecipe(1, 1e-2, batch_size=8, precision="bf16"), "cpu")
    assert all(weight.dtype == torch.float32 for weight in model.parameters())
    assert mean_loss(model, examples()) < 0.7 * before
