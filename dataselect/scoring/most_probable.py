"""The most probable token after each row of a batch, and its probability.

torch's own arg-max takes twenty times as long as the maximum alone, and its log-sum-exp twice as
long as softmax: together a tenth of what a tiny model needs for a token. Here the arg-max is sought
only where the maximum stands, and the maximum of softmax is the probability.
"""

import torch

_BLOCK = 1024
"""Tokens among which the largest logit is sought."""
_ROWS = 4
"""Rows whose probabilities of all tokens are held at once: memory that was in use before, and not
asked of the system anew."""


def most_probable(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The tokens, (rows,), and their probabilities, (rows,); NaN for a row that has one.

    `logits` are (rows, vocabulary), float32.
    """
    # Softmax takes half the time of the exponentials and sums that it is made of.
    chances = [each.softmax(-1).amax(-1) for each in torch.split(logits, _ROWS)]
    return _largest(logits), torch.cat(chances)


def _largest(logits: torch.Tensor) -> torch.Tensor:
    """The place of the first of each row's largest logits, (rows,)."""
    words = logits.shape[1]
    if logits.device.type != "cpu" or words < 2 * _BLOCK:
        return logits.argmax(-1)
    whole = words // _BLOCK * _BLOCK
    tops = logits[:, :whole].view(len(logits), -1, _BLOCK).amax(-1)
    if whole < words:
        tops = torch.cat([tops, logits[:, whole:].amax(-1, keepdim=True)], 1)
    # The last block may be shorter, so it is read from before it.
    start = (tops.argmax(-1) * _BLOCK).clamp(max=words - _BLOCK)[:, None]
    block = logits.gather(1, start + torch.arange(_BLOCK))
    token: torch.Tensor = start[:, 0] + block.argmax(-1)
    return token
