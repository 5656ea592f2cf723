"""The gap between scales, measured on a plan's own candidates whose targets are known.

`dataselect agree` says how many pairs of candidates proxies put in their targets' order. The scale
of the gap is the one at which the package would have stated as many, for scores as far apart as
these and as noisy. A few candidates say little, so what they say is weighed against what is known
of the metric otherwise: the published gap, or the wide prior where there is none. With few the
scale stays near that and its doubt stays wide; with many their own decision accuracy takes over.

Pairs that share candidates are not independent. They count for the number of independent pairs
that `agree` found them worth, and comparisons with several target columns, which are of the same
candidates, together as much as one.

Published figures are of another setting (benchmarks, data, trainer) than the plan's, so at least
`LEAST_DOUBT` of doubt is added to them before they are weighed. Not covered: how the gap changes
with the size of the proxies; if the plan's are of another size, that is an extrapolation.
"""

import math
from collections.abc import Sequence

import numpy as np

from dataselect.decisions.discrepancy import Array, Gap, ahead_probability
from dataselect.formats.agreement_file import AgreementFile, MeasuredAgreement
from dataselect.units import format_count, parse_count

LEAST_DOUBT = 0.7
"""Least standard deviation of ln tau of what is known otherwise; as for rBridge's own figure."""
NEAR = 3.0
"""Proxies larger or smaller than measured ones by more than this factor are an extrapolation; at
equal tokens for each parameter that is ten times the FLOPs."""

_LN_TAU = np.linspace(math.log(0.01), math.log(100.0), 161)
_MOST_PAIRS = 400
"""Pairs looked at, spread evenly over the sizes of their differences."""


def measured_gap(
    file: AgreementFile, known: Gap, proxy_size: float | None, target_size: float
) -> Gap:
    """The gap of proxies and targets with these parameters, from the file and what is known.

    `known` is the gap otherwise, such as the published one. Of several proxy sizes in the file the
    nearest counts. `proxy_size` is None where the proxies differ or are not known.
    """
    size, comparisons = _nearest(list(file.comparisons.values()), proxy_size)
    first = comparisons[0]
    seed_sd = known.seed_sd if first.seed_sd is None else first.seed_sd / first.spread
    tau, doubt = fit_scale(comparisons, known, seed_sd)
    accuracy = float(np.mean([each.decision_accuracy for each in comparisons]))
    at = "" if first.size is None else f" of {first.size}"
    source = (
        f"{file.path.name}: decision accuracy {accuracy:.2f}{_interval(comparisons)} of proxies"
        f"{at} over {first.candidates} candidates with known targets"
    )
    beyond = _beyond(size, proxy_size, file.target_size, target_size)
    return Gap(tau, seed_sd, beyond, source, doubt, "measured", first.candidates)


def fit_scale(
    comparisons: Sequence[MeasuredAgreement], known: Gap, seed_sd: float
) -> tuple[float, float]:
    """The scale and the standard deviation of its logarithm, given what was known before.

    `comparisons` are of the same proxies with several targets. `seed_sd`: noise of one seed, in
    units of the spread of the scores.
    """
    # Imported here: it takes a tenth of a second, and most runs do without.
    from scipy.special import xlogy

    first = comparisons[0]
    stated = _stated(_differences(first), seed_sd * math.sqrt(2 / first.seeds))
    log_odds = -np.square((_LN_TAU - math.log(known.tau)) / max(known.doubt, LEAST_DOUBT)) / 2
    for each in comparisons:
        right = each.decision_accuracy
        gain = xlogy(right, stated) + xlogy(1 - right, 1 - stated)
        log_odds = log_odds + each.effective_pairs / len(comparisons) * gain
    weight = np.exp(log_odds - log_odds.max())
    mean = float(np.average(_LN_TAU, weights=weight))
    variance = float(np.average(np.square(_LN_TAU - mean), weights=weight))
    return math.exp(mean), math.sqrt(variance)


def _differences(measured: MeasuredAgreement) -> Array:
    """How far apart pairs of candidates are, in units of the spread of the scores."""
    scores = np.array([*measured.scores.values()]) / measured.spread
    first, second = np.triu_indices(len(scores), 1)
    apart = np.sort(np.abs(scores[first] - scores[second]))
    if len(apart) <= _MOST_PAIRS:
        return np.asarray(apart)
    places = np.linspace(0, len(apart) - 1, _MOST_PAIRS).round().astype(int)
    return np.asarray(apart[places])


def _stated(apart: Array, noise_sd: float) -> Array:
    """Decision accuracy that is stated at each scale of `_LN_TAU`."""
    return np.array(
        [ahead_probability(apart, noise_sd, math.exp(ln_tau)).mean() for ln_tau in _LN_TAU]
    )


def _nearest(
    comparisons: Sequence[MeasuredAgreement], proxy_size: float | None
) -> tuple[int | None, list[MeasuredAgreement]]:
    """The size nearest to the proxies', if sizes are known, and its comparisons."""
    sizes = {each.size: _parsed(each.size) for each in comparisons}

    def distance(label: str | None) -> float:
        size = sizes[label]
        if size is None or proxy_size is None:
            return math.inf
        return abs(math.log(size / proxy_size))

    # Without a size to go by the largest proxies are taken, which every table can have.
    chosen = min(sizes, key=lambda label: (distance(label), -(sizes[label] or 0)))
    return sizes[chosen], [each for each in comparisons if each.size == chosen]


def _parsed(size: str | None) -> int | None:
    """Parameters by a label of a table; None if it is no number."""
    try:
        return None if size is None else parse_count(size)
    except ValueError:
        return None


def _beyond(
    measured: int | None, proxy_size: float | None, target: str | None, target_size: float
) -> str | None:
    """Why the file is of other proxies or targets than the plan's; None if it is not."""
    reasons = []
    if measured is None:
        reasons.append("the file does not say of which size its proxies were")
    elif proxy_size is None:
        at = format_count(measured)
        reasons.append(f"its proxies have {at} parameters, and the size of these is not known")
    elif _apart(measured, proxy_size):
        reasons.append(
            f"its proxies have {format_count(measured)} parameters, and these"
            f" {format_count(proxy_size)}"
        )
    known = _parsed(target)
    if known is not None and _apart(known, target_size):
        reasons.append(
            f"its targets have {format_count(known)} parameters, and this one"
            f" {format_count(target_size)}"
        )
    return "; ".join(reasons) or None


def _apart(one: float, other: float) -> bool:
    return not 1 / NEAR <= one / other <= NEAR


def _interval(comparisons: Sequence[MeasuredAgreement]) -> str:
    """The interval in brackets; "" for several targets, which have one each."""
    if len(comparisons) > 1:
        return f" (mean of {len(comparisons)} targets)"
    low, high = comparisons[0].decision_accuracy_interval
    return f" [{low:.2f}, {high:.2f}]"
