"""What Stage 0's guess of the gap between counting and the target says of decision accuracy.

    python benchmarks/counting/gap.py

Of candidates whose scores are normal, as a share of all pairs: the decision accuracy that the
guess states on average, and how much of it lies beyond what the two worlds with trained targets
show, .91 to .98 in the quickstart's and up to .64 in the one of the same words. Needs no data.
"""

import numpy as np
from numpy.typing import NDArray

from dataselect.stages.screen_by_counting import COUNTING

Array = NDArray[np.float64]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(200)


def decision_accuracy(tau: Array) -> Array:
    """Expected share of pairs in the target's order, for gaps of scale `tau` in spreads."""
    differences = np.sqrt(2) * np.abs(_NODES)
    ahead = 0.5 + np.arctan(differences / tau[:, None]) / np.pi
    return np.asarray(ahead @ _WEIGHTS / _WEIGHTS.sum(), dtype=np.float64)


def main() -> None:
    """Print the table."""
    for tau in (0.05, 0.1, 0.3, 1.0, 1.8, 3.0, 10.0, 30.0):
        print(f"tau {tau:5.2f}: decision accuracy {decision_accuracy(np.array([tau]))[0]:.2f}")
    draws = np.random.default_rng(0).standard_normal(20_000)
    accuracy = decision_accuracy(COUNTING.tau * np.exp(COUNTING.doubt * draws))
    print(f"stated for counting: {accuracy.mean():.2f} on average, as scales are drawn")
    for low, high in ((0.91, 1.0), (0.64, 0.91), (0.0, 0.64)):
        share = float(((accuracy > low) & (accuracy <= high)).mean())
        print(f"  {low:.2f} to {high:.2f}: {share:.0%} of the draws")


if __name__ == "__main__":
    main()
