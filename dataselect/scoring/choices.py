"""How well a model tells the right choice of one item from the wrong ones, by likelihood.

Pure functions of arrays, with the definitions of DataDecide's `compile_results.py` (Magnusson et
al. 2025, arXiv 2504.11393), so that the numbers are comparable with the published ones. With l
the summed log-probability of a choice in nats, l' is one of

- raw: l
- per_token: l / tokens
- per_char: l / characters, counting the space in front of a choice as OLMES does: its published
  records give 33 characters for a choice of 32.
- uncond: l - l_uncond, where l_uncond is the choice's own log-probability without a question

and from it: correct probability exp l'(gold), total probability, the sum of exp l', normalised
correct probability exp(l'(gold) - logsumexp l'), margin exp l'(gold) - max exp l'(wrong), and
accuracy. rBridge's Table 3 writes P / length where that code computes exp(l / length); this
follows the code. Exponentials of `uncond` are likelihood ratios: they have no upper bound, and a
few items can dominate their mean; the normalised probability and the accuracy are safe.
DataDecide's `uncond_correct_prob` and `uncond_total_prob` are something else, the probabilities
of choices without their question; the columns of those names here follow DataDecide.

Not here: the prompts and the log-probabilities (`baselines`), averages over items.
"""

import numpy as np
import numpy.typing as npt

VARIANTS = ("raw", "per_token", "per_char", "uncond")
"""Normalisations of a choice's log-probability; `acc_uncond` is OLMES's accuracy in cloze form
for ARC-Challenge and CommonsenseQA (Gu et al. 2025, arXiv 2406.08446)."""


@np.errstate(over="ignore", invalid="ignore")  # likelihood ratios may be too large for a float
def choice_metrics(
    conditional: npt.ArrayLike,
    unconditional: npt.ArrayLike,
    tokens: npt.ArrayLike,
    characters: npt.ArrayLike,
    gold: int,
) -> dict[str, float]:
    """The metrics of one item by column name: `correct_prob`, `margin_per_char`, `acc_uncond`, …

    All arrays have shape (choices,): summed log-probabilities in nats after the question and
    without it, and lengths. The raw variant has no suffix, except in `acc_raw`. Where several
    choices tie for the best, accuracy is the chance that a random one of them is right. Raises
    ValueError when shapes differ, there are fewer than two choices, or `gold` is out of range.
    """
    asked = np.asarray(conditional, dtype=np.float64)
    alone = np.asarray(unconditional, dtype=np.float64)
    token_counts = np.asarray(tokens, dtype=np.float64)
    letters = np.asarray(characters, dtype=np.float64)
    if asked.ndim != 1 or not asked.shape == alone.shape == token_counts.shape == letters.shape:
        raise ValueError("log-probabilities and lengths of the choices do not match")
    if len(asked) < 2 or not 0 <= gold < len(asked):
        raise ValueError(f"choice {gold} of {len(asked)} cannot be told from others")
    metrics: dict[str, float] = {}
    for variant, values in zip(
        VARIANTS, (asked, asked / token_counts, asked / letters, asked - alone), strict=True
    ):
        suffix = "" if variant == "raw" else f"_{variant}"
        right, wrong = values[gold], np.delete(values, gold)
        best = values == values.max()
        metrics[f"correct_prob{suffix}"] = float(np.exp(right))
        metrics[f"norm_correct_prob{suffix}"] = float(np.exp(right - np.logaddexp.reduce(values)))
        metrics[f"total_prob{suffix}"] = float(np.exp(values).sum())
        metrics[f"margin{suffix}"] = _margin(float(right), float(wrong.max()))
        metrics[f"acc_{variant}"] = float(best[gold] / best.sum())
    metrics["uncond_correct_prob"] = float(np.exp(alone[gold]))
    metrics["uncond_correct_prob_per_token"] = float(np.exp(alone[gold] / token_counts[gold]))
    metrics["uncond_correct_prob_per_char"] = float(np.exp(alone[gold] / letters[gold]))
    metrics["uncond_total_prob"] = float(np.exp(alone).sum())
    return metrics


def _margin(right: float, wrong: float) -> float:
    """exp(right) - exp(wrong), infinite where both are too large for a float, and never NaN."""
    margin = float(np.exp(right) - np.exp(wrong))
    if np.isnan(margin) and not np.isnan(right) and not np.isnan(wrong):
        return 0.0 if right == wrong else float(np.copysign(np.inf, right - wrong))
    return margin
