"""Attention by products against torch's, over whole blocks, parts of them, and shared keys."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from dataselect.proxies import attention as module
from dataselect.proxies.attention import causal_attention


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def random_inputs(length: int, heads: int, kv_heads: int, size: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    shapes = [(2, length, count, size) for count in (heads, kv_heads, kv_heads)]
    return [3 * torch.randn(shape, generator=generator) for shape in shapes]


def both(inputs: list[torch.Tensor], kind: torch.dtype) -> list[list[torch.Tensor]]:
    """What comes out and the three gradients: by products, and by torch."""
    upstream = torch.randn(inputs[0].shape, generator=torch.Generator().manual_seed(2))
    found = []
    for use_matmul_attention in (True, False):
        q, k, v = (x.clone().requires_grad_() for x in inputs)
        if use_matmul_attention:
            mixed = causal_attention(q, k, v, kind)
        else:
            turned = (x.transpose(1, 2) for x in (q, k, v))
            mixed = scaled_dot_product_attention(*turned, is_causal=True, enable_gqa=True)
            mixed = mixed.transpose(1, 2)
        mixed.backward(upstream)
        gradients = [x.grad for x in (q, k, v) if x.grad is not None]
        found.append([mixed.detach(), *gradients])
    return found


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from([1, 5, 127, 128, 129, 300]),
    st.sampled_from([(1, 1), (4, 4), (4, 2), (6, 1)]),
    st.sampled_from([2, 8, 24]),
    st.sampled_from([1, 2**14, 2**20]),
    st.sampled_from([0.3, 1.0]),  # scores that are powers as they are, and such as are not
)
def test_it_is_the_attention_of_torch(
    length: int, heads: tuple[int, int], size: int, scores: int, factor: float
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SCORES", scores)  # one head at a time, several, or all
        inputs = [factor * x for x in random_inputs(length, *heads, size)]
        mine, theirs = both(inputs, torch.float32)
    for one, other in zip(mine, theirs, strict=True):
        # The gradients of a row that sees one position alone are differences that come to zero.
        scale = max(1.0, other.abs().max().item())
        torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5 * scale)


def test_in_bf16_it_is_near_and_leaves_torch_as_it_was() -> None:
    before = torch.get_float32_matmul_precision()
    mine, theirs = both(random_inputs(200, 2, 2, 8), torch.bfloat16)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.03 * other.abs().max().item())
    assert torch.get_float32_matmul_precision() == before


def test_scores_however_large_overflow_nothing() -> None:
    mine, theirs = both([10 * x for x in random_inputs(40, 2, 2, 8)], torch.float32)
    assert all(found.isfinite().all() for found in mine)
    torch.testing.assert_close(mine[0], theirs[0], rtol=1e-3, atol=1e-2)


def test_what_is_no_number_spoils_its_own_sequence_and_head_alone() -> None:
    queries, keys, values = random_inputs(300, 2, 2, 8)
    keys[0, 200, 1] = torch.nan
    sound = causal_attention(queries, keys, values, torch.float32).isfinite().all(-1)
    assert not sound[0, 200:, 1].any()
    assert sound[0, :, 0].all()
    assert sound[1].all()


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that an operation made."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.elements = max(self.elements, made.untyped_storage().nbytes() // 4)
        return made


def test_scores_are_held_for_a_few_rows_however_long_the_sequence() -> None:
    inputs = [x.requires_grad_() for x in random_inputs(2048, 8, 8, 2)]
    with Largest() as watched:
        causal_attention(*inputs, torch.float32).sum().backward()
    assert watched.elements == 2 * module._SCORES < 16 * 2048**2 / 8
