"""What scoring computes for given requests, counted and not timed: tokens, products, memory.

On the other side stands what lm-evaluation-harness's HFLM does with them: every text alone, in
batches padded to their longest, with the logits of all its tokens.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from dataselect.scoring.likelihood.packing import Pair
from dataselect.scoring.likelihood.scorer import token_nll

BATCH = 8
LONGEST_PROBE = 8


class Work(TorchDispatchMode):
    """Tokens that meet the body, rows x columns of logits, and the largest tensor made."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.body_tokens = 0
        self.logits = 0
        self.largest = 0
        self._head = model.get_output_embeddings().weight.untyped_storage().data_ptr()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        outputs = [each for each in tree_leaves(made) if isinstance(each, torch.Tensor)]
        self.largest = max([self.largest, *(each.numel() for each in outputs)])
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.linear):
            factors = [each for each in args if isinstance(each, torch.Tensor)]
            if any(each.untyped_storage().data_ptr() == self._head for each in factors):
                self.logits += outputs[0].numel()
        return made


@contextmanager
def watched(model: Any) -> Iterator[Work]:
    work = Work(model)

    def count(_module: Any, inputs: Any, _output: Any) -> None:
        work.body_tokens += inputs[0].numel()

    hook = model.get_input_embeddings().register_forward_hook(count)
    try:
        with work:
            yield work
    finally:
        hook.remove()


def harness_way(model: Any, pairs: list[Pair]) -> None:
    ordered = sorted(pairs, key=lambda pair: -len(pair[0]) - len(pair[1]))
    with torch.inference_mode():
        for first in range(0, len(ordered), BATCH):
            texts = [torch.tensor([*c, *ids])[:-1] for c, ids in ordered[first : first + BATCH]]
            inputs = torch.nn.utils.rnn.pad_sequence(texts, batch_first=True)
            model(input_ids=inputs).logits.log_softmax(-1)


def requests(
    vocabulary: int, items: int = 40, examples: int = 240, continuation: int = 20, choices: int = 1
) -> list[Pair]:
    """Like a benchmark's: the same examples, a question each, and what follows it."""
    rng = np.random.default_rng(0)

    def some(count: int) -> tuple[int, ...]:
        return tuple(int(x) for x in rng.integers(1, vocabulary, count))

    prefix = some(examples)
    contexts = [(*prefix, *some(int(rng.integers(15, 30)))) for _ in range(items)]
    return [(context, some(continuation)) for context in contexts for _ in range(choices)]


@pytest.mark.parametrize("choices", [1, 5])
@pytest.mark.parametrize("kind", ["olmo2", "gpt2"])
def test_what_texts_share_is_computed_once(
    make_model: Callable[..., Any], kind: str, choices: int
) -> None:
    model = make_model(kind)
    pairs = requests(400, choices=choices)
    with watched(model) as ours:
        found = token_nll(model, pairs)
    with watched(model) as theirs:
        harness_way(model, pairs)
    contexts = {context for context, _ in pairs}
    distinct = 240 + sum(len(context) - 240 for context in contexts)
    distinct += len({(c, ids[:n]) for c, ids in pairs for n in range(1, len(ids))})
    assert found.tokens == distinct
    # Beyond it: padding, and the trial on one row and on one text alone.
    trial = 2 * (240 + 30 + 20 * choices) + 2 * LONGEST_PROBE
    assert distinct < ours.body_tokens <= 1.15 * distinct + trial
    assert ours.body_tokens * (4 if choices == 1 else 8) < theirs.body_tokens


@pytest.mark.parametrize("kind", ["olmo2", "gpt2"])
def test_only_what_predicts_an_asked_for_token_meets_the_head(
    make_model: Callable[..., Any], kind: str
) -> None:
    model = make_model(kind)
    pairs = requests(400)
    with watched(model) as ours:
        token_nll(model, pairs)
    with watched(model) as theirs:
        harness_way(model, pairs)
    asked = sum(len(ids) for _, ids in pairs)
    trial = 2 * LONGEST_PROBE + 2 * len(pairs[0][1])
    assert asked * 400 <= ours.logits <= (asked + trial) * 400
    assert ours.logits * 10 < theirs.logits


@pytest.mark.parametrize("kind", ["olmo2", "gpt2"])
def test_products_are_a_fraction_of_those_of_every_text_alone(
    make_model: Callable[..., Any], kind: str
) -> None:
    model = make_model(kind, vocabulary=3000)
    pairs = requests(3000)
    with FlopCounterMode(display=False) as ours:
        token_nll(model, pairs)
    with FlopCounterMode(display=False) as theirs:
        harness_way(model, pairs)
    assert ours.get_total_flops() * 8 < theirs.get_total_flops()


@pytest.mark.parametrize(("vocabulary", "continuation"), [(400, 20), (60_000, 20), (400, 900)])
@pytest.mark.parametrize("shared", [True, False])
def test_no_tensor_grows_with_vocabulary_or_length(
    make_model: Callable[..., Any], vocabulary: int, continuation: int, shared: bool
) -> None:
    model = make_model("olmo2", positions=2048, vocabulary=vocabulary)
    examples = 100 if shared else 1
    pairs = requests(vocabulary, 8, examples, continuation)
    with watched(model) as ours:
        token_nll(model, pairs)
    # A tile of logits, those of the probe, and what a text's tokens see of each other.
    width = examples + 30 + continuation
    allowed = max(1 << 20, LONGEST_PROBE * vocabulary, 2 * width**2)
    assert ours.largest <= allowed
    if vocabulary > 400:
        with watched(model) as theirs:
            harness_way(model, pairs)
        assert theirs.largest > 8 * ours.largest
