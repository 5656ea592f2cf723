import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.scoring.rbridge import minmax, rbridge, token_weights

Span = tuple[int, int]


def algorithm_1(letters: list[float | None], spans: list[Span], nll: list[float]) -> float | None:
    """The paper's appendix B, line by line; None stands for a weight that does not exist."""
    w: list[float | None] = []
    for start, end in spans:
        known = [p for p in letters[start:end] if p is not None]
        w.append(sum(known) / len(known) if known else None)
    existing = [x for x in w if x is not None]
    if not existing:
        return None
    low, high = min(existing), max(existing)
    terms = []
    for loss, weight in zip(nll, w, strict=True):
        if weight is None:
            continue
        terms.append(loss * (1.0 if high == low else (weight - low) / (high - low)))
    return sum(terms) / len(terms)


@st.composite
def traces(draw: st.DrawFn) -> tuple[list[float | None], list[Span], list[float]]:
    # Probabilities on a grid: whether two means are equal must not hang on the last bit.
    p = st.none() | st.integers(0, 64).map(lambda n: n / 64)
    letters = draw(st.lists(p, min_size=1, max_size=40))
    cut = st.integers(0, len(letters))
    pairs = draw(st.lists(st.tuples(cut, cut), min_size=1, max_size=20))
    spans = [(min(pair), max(pair)) for pair in pairs]
    loss = st.floats(0, 30, allow_nan=False)
    nll = draw(st.lists(loss, min_size=len(spans), max_size=len(spans)))
    return letters, spans, nll


def _array(letters: list[float | None]) -> np.ndarray:
    return np.array([np.nan if p is None else p for p in letters])


@given(traces())
def test_equals_a_slow_reading_of_algorithm_1(
    trace: tuple[list[float | None], list[Span], list[float]],
) -> None:
    letters, spans, nll = trace
    weights = token_weights(_array(letters), np.array(spans))
    known = weights[~np.isnan(weights)]
    # Means that are equal on paper may differ in their last bit, and MinMax would blow that up.
    if len(known) and 0 < np.ptp(known) < 1e-9:
        weights = np.where(np.isnan(weights), np.nan, known[0])
        letters = [None if p is None else known[0] for p in letters]
    got, wanted = rbridge(np.array(nll), minmax(weights)), algorithm_1(letters, spans, nll)
    if wanted is None:
        assert math.isnan(got)
    else:
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@given(traces())
def test_lies_between_zero_and_the_plain_mean(
    trace: tuple[list[float | None], list[Span], list[float]],
) -> None:
    letters, spans, nll = trace
    weights = token_weights(_array(letters), spans)
    kept = ~np.isnan(weights)
    if kept.any():
        assert -1e-12 <= rbridge(nll, minmax(weights)) <= np.array(nll)[kept].mean() + 1e-9


@given(st.lists(st.floats(0, 1) | st.just(math.nan), max_size=30))
def test_minmax_reaches_both_ends_keeps_nan_and_order(values: list[float]) -> None:
    raw = np.array(values)
    scaled = minmax(raw)
    assert np.array_equal(np.isnan(scaled), np.isnan(raw))
    known, result = raw[~np.isnan(raw)], scaled[~np.isnan(raw)]
    assert ((result >= 0) & (result <= 1)).all()
    if len(known) and known.min() < known.max():
        assert result[known.argmin()] == 0
        assert result[known.argmax()] == 1
        assert (np.diff(result[np.argsort(known, kind="stable")]) >= 0).all()
    else:
        assert (result == 1).all()


def test_a_worked_example() -> None:
    letters = [0.2, 0.4, 0.9, 0.9, 1.0]
    weights = token_weights(letters, [(0, 2), (2, 4), (4, 5)])
    assert weights == pytest.approx([0.3, 0.9, 1.0])
    scaled = minmax(weights)
    assert scaled == pytest.approx([0, 6 / 7, 1])
    assert rbridge([5.0, 2.0, 1.0], scaled) == pytest.approx((0 + 2 * 6 / 7 + 1) / 3)


def test_the_mean_divides_by_the_count_and_not_by_the_weights() -> None:
    assert rbridge([2.0, 4.0], [0.0, 0.5]) == 1.0


def test_a_token_without_a_letter_that_has_a_probability_is_left_out() -> None:
    weights = token_weights([math.nan, 0.5, 1.0], [(0, 1), (1, 1), (0, 2), (2, 3)])
    assert np.isnan(weights[:2]).all()
    assert weights[2:] == pytest.approx([0.5, 1.0])
    assert rbridge([100.0, 100.0, 3.0, 2.0], minmax(weights)) == 1.0


def test_equal_weights_give_the_plain_mean() -> None:
    assert rbridge([1.0, 2.0, 6.0], minmax([0.7, 0.7, 0.7])) == 3.0


def test_no_token_at_all_gives_nan() -> None:
    assert math.isnan(rbridge([], minmax(token_weights([], []))))
    assert math.isnan(rbridge([1.0], [math.nan]))


def test_spans_outside_the_letters_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the 2 letters"):
        token_weights([0.5, 0.5], [(0, 3)])


def test_losses_and_weights_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="do not match"):
        rbridge([1.0, 2.0], [1.0])
