from collections.abc import Callable
from typing import Any

import pytest
import torch

from dataselect.errors import InputError
from dataselect.scoring.decoding import greedy

PROMPTS = [
    f"Question: Ann has {n} red apples{' and buys 14 more' * (n % 5)}.\nAnswer:" for n in range(9)
]


@pytest.mark.parametrize("kind", ["olmo2", "llama", "gpt2"])
def test_batched_decoding_follows_the_model_read_one_prompt_at_a_time(
    make_model: Callable[..., Any], tokenizer: Any, kind: str
) -> None:
    model = make_model(kind)
    # More tokens than the cache grows by at once.
    written = greedy(model, tokenizer, PROMPTS, 70, batch_size=4)
    assert max(len(continuation.ids) for continuation in written) == 70
    for prompt, continuation in zip(PROMPTS, written, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        whole = torch.tensor([[*ids, *continuation.ids]])
        with torch.no_grad():
            probs = model(input_ids=whole).logits[0, len(ids) - 1 :].double().softmax(-1)
        best, token = probs.max(-1)
        n = len(continuation.ids)
        assert token[:n].tolist() == list(continuation.ids)
        assert continuation.probabilities == pytest.approx(best[:n].tolist(), abs=1e-5)
        assert n == 70 or token[n] == tokenizer.eos_token_id
        assert continuation.text == tokenizer.decode(continuation.ids)


def test_text_ends_before_the_first_stop_string_and_rows_leave_when_done(
    make_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = make_model("olmo2")
    free = greedy(model, tokenizer, PROMPTS, 40)
    stopped = greedy(model, tokenizer, PROMPTS, 40, stop=("a", "e s"))
    assert any(len(one.ids) < len(other.ids) for one, other in zip(stopped, free, strict=True))
    for one, other in zip(stopped, free, strict=True):
        ends = [at for at in (other.text.find("a"), other.text.find("e s")) if at >= 0]
        assert one.text == (other.text[: min(ends)] if ends else other.text)
        assert one.ids == other.ids[: len(one.ids)]


def test_the_end_token_ends_a_row_and_is_not_part_of_it(
    make_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = make_model("olmo2")
    free = greedy(model, tokenizer, PROMPTS, 10)
    end = free[0].ids[3]
    model.generation_config.eos_token_id = [0, end]
    ended = greedy(model, tokenizer, PROMPTS, 10)
    for one, other in zip(ended, free, strict=True):
        cut = other.ids.index(end) if end in other.ids else len(other.ids)
        assert one.ids == other.ids[:cut]


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_decoding_stops_at_the_models_last_position(
    make_model: Callable[..., Any], tokenizer: Any, kind: str
) -> None:
    lengths = [len(tokenizer(prompt)["input_ids"]) for prompt in PROMPTS]
    limit = max(lengths) + 3
    written = greedy(make_model(kind, positions=limit), tokenizer, PROMPTS, 50)
    for length, continuation in zip(lengths, written, strict=True):
        assert length + len(continuation.ids) <= limit
    assert min(len(continuation.ids) for continuation in written) == 3


def test_a_prompt_that_leaves_no_room_is_refused(
    make_model: Callable[..., Any], tokenizer: Any
) -> None:
    with pytest.raises(InputError, match="the model takes 16"):
        greedy(make_model("gpt2", positions=16), tokenizer, PROMPTS, 5)


def test_no_prompts_give_no_continuations(make_model: Callable[..., Any], tokenizer: Any) -> None:
    assert greedy(make_model("gpt2"), tokenizer, [], 5) == []
