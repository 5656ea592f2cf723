"""The rBridge score of one reasoning trace: Algorithm 1 of the paper (appendix B).

Pure functions of arrays, so that the metric can be read, tested and used without a model. A proxy
token none of whose letters has a probability has the weight NaN and is left out of the minimum,
the maximum and the mean.

Not here: the probabilities of letters (`dataselect.traces`), the letters in each token
(`token_spans`), and the proxy's log-probabilities (`likelihood.scorer`).
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

METRIC_VERSION = 1
"""Increase it whenever the same trace and model would get another score."""

FloatArray = npt.NDArray[np.float64]


def token_weights(
    letter_probs: npt.ArrayLike, token_spans: Sequence[tuple[int, int]] | npt.ArrayLike
) -> FloatArray:
    """Mean frontier probability of the letters in each proxy token (equation 1, second factor).

    `letter_probs` has shape (letters,), NaN where a letter has no probability; `token_spans` has
    shape (tokens, 2), half-open ranges of letters. Returns shape (tokens,), NaN for a token none
    of whose letters has a probability. Raises ValueError for a span outside the letters.
    """
    probs = np.asarray(letter_probs, dtype=np.float64)
    spans = np.asarray(token_spans, dtype=np.int64).reshape(-1, 2)
    if len(spans) and (spans.min() < 0 or spans.max() > len(probs)):
        raise ValueError(f"a token span lies outside the {len(probs)} letters")
    weights = np.full(len(spans), np.nan)
    lengths = spans[:, 1] - spans[:, 0]
    # No differences of a cumulative sum: their rounding error would grow with the trace.
    for length in set(lengths[lengths > 0].tolist()):
        tokens = np.flatnonzero(lengths == length)
        weights[tokens] = probs[spans[tokens, :1] + np.arange(length)].mean(axis=1)
    for i in np.flatnonzero(np.isnan(weights)):
        letters = probs[slice(*spans[i])]
        known = letters[~np.isnan(letters)]
        if len(known):
            weights[i] = known.mean()
    return weights


def minmax(token_weights: npt.ArrayLike) -> FloatArray:
    """Scale the token weights of one trace to 0..1 (Algorithm 1, step 2); NaN stays NaN.

    Where all weights are equal, Algorithm 1 divides by zero; here each becomes 1, so the score is
    the plain mean NLL of the trace.
    """
    raw = np.asarray(token_weights, dtype=np.float64)
    if np.isnan(raw).all():
        return raw.copy()
    low, high = np.nanmin(raw), np.nanmax(raw)
    if high == low:
        return np.where(np.isnan(raw), np.nan, 1.0)
    # Clipped because the division may round to just above one.
    scaled: FloatArray = np.clip((raw - low) / (high - low), 0.0, 1.0)
    return scaled


def rbridge(nll: npt.ArrayLike, token_weights: npt.ArrayLike) -> float:
    """Mean over tokens of NLL x normalised weight, in nats per token; lower is better.

    Both have shape (tokens,). Tokens whose weight is NaN are left out; the sum is divided by the
    number of remaining tokens, not by the sum of weights (Algorithm 1, last line). NaN when no
    token remains. Raises ValueError when the shapes differ.
    """
    losses = np.asarray(nll, dtype=np.float64)
    scaled = np.asarray(token_weights, dtype=np.float64)
    if losses.shape != scaled.shape or losses.ndim != 1:
        raise ValueError(f"{losses.shape} losses do not match {scaled.shape} weights")
    has_weight = ~np.isnan(scaled)
    if not has_weight.any():
        return float("nan")
    return float(np.mean(losses[has_weight] * scaled[has_weight]))
