"""What is known of the errors of each metric's scores, for designing a plan.

`LIKELIHOOD_ERRORS` is fitted to scores and targets of the same recipes. Of rBridge and other
metrics there are no published scores of candidates, only decision accuracies (`discrepancy`); how
their errors go together between sizes is taken from the likelihoods: they are nested.
"""

from collections.abc import Sequence

from dataselect.decisions.design.score_model import FittedErrors, ScoreModel, from_gap
from dataselect.decisions.discrepancy import PUBLISHED

LIKELIHOOD_ERRORS = FittedErrors(
    source="likelihoods of OLMES's ten tasks (DataDecide: 25 recipes, 13 sizes, 3 seeds)",
    floor=0.0,
    unit_flops=4.23e17,
    exponent=0.170,
    # 4M, 6M, 8M, 10M, 14M, 16M, 20M, 60M, 90M, 150M, 300M, 530M and 750M of the ladder.
    seed_flops=(
        *(8.329e15, 2.166e16, 4.358e16, 5.885e16, 1.243e17, 1.537e17, 2.191e17),
        *(1.956e18, 5.755e18, 1.367e19, 5.761e19, 1.686e20, 3.066e20),
    ),
    seed_share=(
        *(0.483, 0.603, 0.684, 0.619, 0.654, 0.613, 0.557),
        *(0.363, 0.290, 0.361, 0.315, 0.250, 0.325),
    ),
)
"""Fitted by `python benchmarks/design/study.py --data DIR`: `fitted` in its results.json."""

FITTED = {"label_nll": LIKELIHOOD_ERRORS}
"""By metric, where errors were fitted to scores."""


def score_model(metric: str, flops: Sequence[float], target_flops: float) -> ScoreModel:
    """The model of a metric's scores for proxies and a target of these training FLOPs.

    Raises KeyError for a metric of which nothing is published.
    """
    if metric in FITTED:
        return FITTED[metric].model(flops, target_flops)
    return from_gap(PUBLISHED[metric], flops, target_flops)
