"""Likelihoods of continuations with one text per row.

Sequences are sorted by length and padded on the right, which no token of a causal model attends
to. So no mask is needed and every causal LM is computed correctly. For models that `sharing`
cannot handle.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dataselect.scoring.advance import advance
from dataselect.scoring.decoding import takes_logits_to_keep
from dataselect.scoring.likelihood.head import tiled_nll
from dataselect.scoring.likelihood.likelihoods import Likelihoods
from dataselect.scoring.likelihood.packing import Pair


def separate_nll(
    model: Any, pairs: Sequence[Pair], tiled: bool, device: str, tokens_per_batch: int
) -> Likelihoods:
    """Likelihoods of all pairs, one pair per row; `tiled` applies the output layer in tiles."""
    nll: list[npt.NDArray[np.float64]] = [np.empty(0)] * len(pairs)
    tokens = done = 0
    for batch in _batches(pairs, tokens_per_batch):
        chosen = [pairs[i] for i in batch]
        losses = _batch_nll(model, chosen, tiled, device)
        tokens += sum(len(context) + len(ids) - 1 for context, ids in chosen)
        for i, values in zip(batch, losses, strict=True):
            nll[i] = values
        done += len(batch)
        advance(done, len(pairs))
    return Likelihoods(nll, tokens)


def _batches(pairs: Sequence[Pair], tokens_per_batch: int) -> Iterator[list[int]]:
    lengths = [len(context) + len(ids) for context, ids in pairs]
    batch: list[int] = []
    for i in sorted(range(len(pairs)), key=lambda i: (-lengths[i], i)):
        # Longest first: the first sequence is the batch's width, and memory runs out early if ever.
        if batch and lengths[batch[0]] * (len(batch) + 1) > tokens_per_batch:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


def _batch_nll(
    model: Any,
    pairs: Sequence[Pair],
    tiled: bool,
    device: str,
) -> list[npt.NDArray[np.float64]]:
    # The last token is no input: it predicts nothing requested.
    width = max(len(context) + len(ids) for context, ids in pairs) - 1
    inputs = torch.zeros(len(pairs), width, dtype=torch.long)
    rows: list[int] = []
    columns: list[int] = []
    targets: list[int] = []
    for r, (context, ids) in enumerate(pairs):
        sequence = torch.tensor([*context, *ids])
        inputs[r, : len(sequence) - 1] = sequence[:-1]
        rows += [r] * len(ids)
        columns += range(len(context) - 1, len(sequence) - 1)
        targets += ids
    # No attention mask: padding comes last, where a causal model does not attend.
    inputs, target = inputs.to(device), torch.tensor(targets, device=device)
    if tiled:
        hidden = model.base_model(input_ids=inputs, use_cache=False).last_hidden_state
        states = torch.arange(len(target), device=device)
        losses = tiled_nll(hidden[rows, columns], model.get_output_embeddings(), target, states)
    else:
        losses = _plain_nll(model, inputs, rows, columns, target)
    lengths = [len(ids) for _, ids in pairs]
    return np.split(losses.double().cpu().numpy(), np.cumsum(lengths)[:-1])


def _plain_nll(
    model: Any,
    inputs: torch.Tensor,
    rows: list[int],
    columns: list[int],
    target: torch.Tensor,
) -> torch.Tensor:
    """Losses from the model's own logits, one sequence at a time.

    For models whose logits are not a linear layer of the hidden states (a cap, a scale).
    """
    losses = []
    for r in range(len(inputs)):
        places = [c for row, c in zip(rows, columns, strict=True) if row == r]
        in_row = torch.tensor([i for i, row in enumerate(rows) if row == r], device=inputs.device)
        kept = torch.tensor(places, device=inputs.device)
        if takes_logits_to_keep(model):
            logits = model(input_ids=inputs[r : r + 1], use_cache=False, logits_to_keep=kept).logits
        else:
            logits = model(input_ids=inputs[r : r + 1], use_cache=False).logits[:, kept]
        losses.append(
            torch.nn.functional.cross_entropy(logits[0].float(), target[in_row], reduction="none")
        )
    return torch.cat(losses)
