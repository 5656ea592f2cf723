"""The chunked loss against torch's, in chunks of every kind, for one model and for several."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from dataselect.proxies import loss as module
from dataselect.proxies.loss import ChunkedCrossEntropy


def random_inputs(models: int, rows: int, vocabulary: int, width: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(models, rows, width, generator=generator)
    weight = torch.randn(models, vocabulary, width, generator=generator)
    return [hidden, weight, torch.randint(vocabulary, (models, rows), generator=generator)]


@pytest.mark.parametrize(
    ("models", "rows", "vocabulary"),
    [(1, 300, 2**17), (1, 400, 50_304), (3, 700, 900), (2, 10, 300), (1, 1, 300)],
    ids=["chunks-of-256", "a-part-left", "three-models", "one-chunk", "one-row"],
)
def test_it_is_the_cross_entropy_of_torch(models: int, rows: int, vocabulary: int) -> None:
    hidden, weight, targets = random_inputs(models, rows, vocabulary, 4)
    factors = torch.arange(1.0, models + 1)  # shows that the gradient from above is passed on
    losses, gradients = [], []
    for chunked in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if chunked:
            loss = ChunkedCrossEntropy.apply(h, w, targets, torch.float32)
        else:
            logits = (h @ w.transpose(1, 2)).flatten(0, 1)
            apart = cross_entropy(logits, targets.flatten(), reduction="none")
            loss = apart.view(models, rows).sum(1)
        (factors * loss).sum().backward()
        losses.append(loss.detach())
        gradients.append((h.grad, w.grad))
    torch.testing.assert_close(*losses, rtol=1e-5, atol=0)
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


def test_in_bf16_it_is_near_that_in_fp32() -> None:
    hidden, weight, targets = random_inputs(2, 40, 90, 8)
    found = []
    for kind in (torch.bfloat16, torch.float32):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        loss = ChunkedCrossEntropy.apply(h, w, targets, kind)
        loss.sum().backward()
        assert h.grad is not None
        assert w.grad is not None
        assert loss.dtype == w.grad.dtype == torch.float32
        found.append((loss.detach(), h.grad, w.grad))
    for low, high in zip(*found, strict=True):
        torch.testing.assert_close(low, high, rtol=0, atol=0.02 * high.abs().max().item())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_hidden_states_that_are_no_numbers_give_a_loss_that_is_none_for_their_model_alone(
    value: float,
) -> None:
    hidden, weight, targets = random_inputs(2, 6, 50, 4)
    hidden[0, 3, 1] = value
    loss = ChunkedCrossEntropy.apply(hidden, weight, targets, torch.float32)
    assert loss.isfinite().tolist() == [False, True]


def test_a_right_token_without_any_probability_costs_a_bounded_loss() -> None:
    hidden, weight = torch.tensor([[[1.0]]]), torch.tensor([[[300.0], [-300.0]]])
    loss = ChunkedCrossEntropy.apply(hidden, weight, torch.tensor([[1]]), torch.float32)
    assert loss.item() == pytest.approx(87.3, abs=0.1)


@pytest.mark.parametrize(
    ("models", "vocabulary", "width"), [(1, 50_304, 64), (1, 151_936, 1024), (4, 50_304, 192)]
)
def test_logits_are_held_for_a_few_rows_however_many_there_are(
    models: int, vocabulary: int, width: int
) -> None:
    rows = module._chunk_rows(models, vocabulary, width, cuda=False)
    assert 256 <= rows <= 512
