"""Probabilities and quantiles of Student's t are scipy's."""

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from dataselect.decisions.student_t import t_probability, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 24, 99, 400, 1001])
def test_they_are_those_of_scipy(freedom: int) -> None:
    for probability in (0.5, 0.6, 0.9, 0.95, 0.975, 0.9995):
        known = float(stdtrit(freedom, probability))
        assert t_quantile(freedom, probability) == pytest.approx(known, rel=1e-10, abs=1e-12)
    t = np.array([0.0, 1e-3, 0.5, 2.0, 40.0, np.inf])
    assert t_probability(freedom, t) == pytest.approx(stdtr(freedom, t), rel=1e-12)
