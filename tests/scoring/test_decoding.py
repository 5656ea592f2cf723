from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    BloomConfig,
    BloomForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedTokenizerFast,
)

from dataselect.errors import InputError
from dataselect.scoring import decoding, decoding_cache
from dataselect.scoring.decoding import greedy
from dataselect.scoring.decoding_cache import cache_parameter

PROMPTS = [
    f"Question: Ann has {n} red apples{' and buys 14 more' * (n % 5)}.\nAnswer:" for n in range(9)
]


@pytest.mark.parametrize("kind", ["olmo2", "llama", "gpt2"])
def test_batched_decoding_follows_the_model_read_one_prompt_at_a_time(
    make_model: Callable[..., Any],
    tokenizer: Any,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model(kind)
    # More tokens than the cache grows by at once.
    monkeypatch.setattr(decoding_cache, "_MOST_ROOM", 64)
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


@pytest.mark.parametrize("kind", ["olmo2", "llama", "gpt2"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_nan_ends_its_own_prompt_and_no_other(
    make_model: Callable[..., Any],
    tokenizer: Any,
    kind: str,
    cached: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "takes_cache", lambda model: cached)
    model = make_model(kind)
    # Weights of its own for the output layer, and a broken token that one prompt alone has; it is
    # 0 as well, with which shorter prompts are padded.
    model.get_output_embeddings().weight = torch.nn.Parameter(
        model.get_output_embeddings().weight.detach().clone()
    )
    prompts = [*PROMPTS[:3], PROMPTS[3].replace("Ann", "Ƨ")]
    intact = greedy(model, tokenizer, prompts, 12)
    (broken, *_) = set(tokenizer("Ƨ")["input_ids"]) - set(tokenizer("".join(PROMPTS))["input_ids"])
    assert not any(broken in each.ids or 0 in each.ids for each in intact)
    model.get_input_embeddings().weight.data[[0, broken]] = float("nan")
    found = greedy(model, tokenizer, prompts, 12)
    assert [each.finite for each in found] == [True, True, True, False]
    assert (found[3].ids, found[3].text) == ((), "")
    assert [each.ids for each in found[:3]] == [each.ids for each in intact[:3]]
    assert all(each.finite for each in intact)


class Renamed(LlamaForCausalLM):  # type: ignore[misc]
    """A model that takes its cache as transformers' releases after 5.23 name it."""

    def forward(self, cache: Any = None, **given: Any) -> Any:
        assert "past_key_values" not in given
        return super().forward(**{cache_parameter(super()) or "": cache}, **given)


def test_a_cache_is_handed_over_by_the_name_that_the_model_has_for_it(
    make_model: Callable[..., Any], tokenizer: Any, recwarn: pytest.WarningsRecorder
) -> None:
    model = make_model("llama")
    renamed = Renamed(model.config).eval()
    renamed.load_state_dict(model.state_dict())
    assert cache_parameter(model) in ("past_key_values", "cache")
    assert cache_parameter(renamed) == "cache"
    wanted, found = (greedy(each, tokenizer, PROMPTS[:3], 20) for each in (model, renamed))
    assert [each.ids for each in found] == [each.ids for each in wanted]
    old = [str(each.message) for each in recwarn if "deprecated" in str(each.message).lower()]
    assert not old, "an argument that the next releases take no longer"


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


def test_each_prompt_can_have_a_limit_of_its_own(
    make_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = make_model("llama")
    free = greedy(model, tokenizer, PROMPTS, 20)
    limits = [1 + 2 * n for n in range(len(PROMPTS))]
    limited = greedy(model, tokenizer, PROMPTS, limits, batch_size=4)
    for one, other, limit in zip(limited, free, limits, strict=True):
        assert one.ids == other.ids[:limit]
        assert one.probabilities == pytest.approx(other.probabilities[:limit], abs=1e-5)


def test_a_stop_string_does_not_end_a_row_before_it_may(
    make_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = make_model("olmo2")
    free = greedy(model, tokenizer, PROMPTS, 30)
    stop = ("a",)
    early = greedy(model, tokenizer, PROMPTS, 30, stop)
    least = [3 * n for n in range(len(PROMPTS))]
    late = greedy(model, tokenizer, PROMPTS, 30, stop, stop_from=least)
    assert any(len(one.ids) > len(other.ids) for one, other in zip(late, early, strict=True))
    for one, other, whole, n in zip(late, early, free, least, strict=True):
        assert one.text == other.text
        assert one.ids == whole.ids[: max(len(other.ids), min(n, len(whole.ids)))]


def test_a_first_space_is_kept_where_the_tokenizer_would_drop_it() -> None:
    pieces = ["[UNK]", "\u2581def", "\u2581return", "\u2581", ":"]
    backend = Tokenizer(models.WordLevel({p: i for i, p in enumerate(pieces)}, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    metaspace = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]")
    assert metaspace.decode([2]) == "return"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=5,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        eos_token_id=0,
    )
    model = LlamaForCausalLM(config)
    # A head that knows one word after "def".
    hidden = model.model(torch.tensor([[1]])).last_hidden_state[0, 0]
    model.lm_head.weight.data.zero_()
    model.lm_head.weight.data[2] = hidden.detach()
    (written,) = greedy(model, metaspace, ["def"], 1)
    assert written.ids == (2,)
    assert written.text == " return"


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


def without_position_limit(kind: str) -> Any:
    """A random model whose configuration names no longest input."""
    torch.manual_seed(4)
    common: dict[str, Any] = {"vocab_size": 400, "hidden_size": 16, "initializer_range": 0.5}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    if kind == "bloom":
        return BloomForCausalLM(BloomConfig(n_layer=1, n_head=2, **common, **ends)).eval()
    return MambaForCausalLM(MambaConfig(num_hidden_layers=1, state_size=4, **common, **ends)).eval()


@pytest.mark.parametrize("kind", ["bloom", "mamba"])
def test_a_model_without_a_position_limit_is_followed_too(tokenizer: Any, kind: str) -> None:
    model = without_position_limit(kind)
    # One keeps its place by distances, the other a state that is no cache of keys and values.
    written = greedy(model, tokenizer, PROMPTS[:3], 12, batch_size=3)
    for prompt, continuation in zip(PROMPTS, written, strict=False):
        ids = tokenizer(prompt)["input_ids"]
        whole = torch.tensor([[*ids, *continuation.ids]])
        with torch.no_grad():
            logits = model(input_ids=whole).logits[0, len(ids) - 1 :]
        n = len(continuation.ids)
        assert n > 0
        assert logits.argmax(-1)[:n].tolist() == list(continuation.ids)
