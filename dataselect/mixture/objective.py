"""The objective of a mixture: a weighted mean of metrics.

Metrics of one kind (losses in nats, accuracies) are averaged unchanged. With `standardise`, each
is divided by its spread over the runs first, for metrics of different units. One metric is modelled
at a time and the objective computed from the predictions, so it can be changed without new runs.

Written on the command line as `hellaswag`, `arc,hellaswag` or `arc=2,hellaswag=1`, or as a YAML
file. Floors of single metrics are constraints of a proposal.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dataselect.config.schema import Document, read
from dataselect.errors import InputError
from dataselect.formats.column_names import is_bookkeeping
from dataselect.formats.csvfile import plain_number
from dataselect.units import Number
from dataselect.wording import nearest, quoted

Array = NDArray[np.float64]


class ObjectiveFile(Document):
    """An objective in YAML."""

    metrics: dict[str, Number] = Field(default_factory=dict)
    """Weight by metric, 0 or more; a metric that is not named has weight 0. Default: all equal."""

    standardise: bool = False
    """Divide each metric by its standard deviation over the runs."""


@dataclass(frozen=True)
class Objective:
    """A weighted mean of metrics."""

    weights: Array
    """(metrics,), 0 or more. They sum to 1, or are divided by each metric's spread after that."""
    standardised: bool
    """Whether weights are divided by the metrics' standard deviations over the runs."""

    def of(self, values: Array) -> Array:
        """The objective of metrics, shape (..., metrics)."""
        found: Array = values @ self.weights
        return found


def find_objective(
    spec: str | Mapping[str, float] | None, metrics: Sequence[str], values: Array
) -> Objective:
    """The objective given by `spec`: text as on the command line, or weights by metric.

    InputError for an unknown metric, a negative weight, and where all weights are 0.
    """
    where, standardised = "--objective", False
    named: dict[str, float] = {}
    if isinstance(spec, Mapping):
        named = {name: float(weight) for name, weight in spec.items()}
    elif spec is not None and spec.endswith((".yaml", ".yml")):
        file = read(ObjectiveFile, Path(spec))
        where, named, standardised = spec, dict(file.metrics), file.standardise
    elif spec is not None:
        for name, weight in (_parse(part, metrics) for part in spec.split(",")):
            if name in named:
                raise InputError(where, f"{quoted(name)} comes twice", "give it one weight")
            named[name] = weight
    named = named or dict.fromkeys(metrics, 1.0)
    for name, weight in named.items():
        if name not in metrics:
            known = f"the metrics are {', '.join(map(quoted, metrics[:8]))}"
            if is_bookkeeping(name):
                known = f"no column of that name is one; rename it if it is ({known})"
            fix = nearest(name, metrics) or known
            raise InputError(where, f"{quoted(name)} is no metric", fix)
        if not 0 <= weight < math.inf:
            what = "a negative weight" if weight < 0 else f"the weight {weight:g}"
            raise InputError(where, f"{quoted(name)} has {what}", "write 0 or more")
    weights = np.array([named.get(name, 0.0) for name in metrics])
    if weights.sum() == 0:
        raise InputError(where, "no metric has a weight", "give one a weight above 0")
    weights /= weights.sum()
    if standardised:
        spread = values.std(axis=0)
        # A metric that is the same in every run decides nothing, whatever its unit.
        weights /= np.where(spread > 1e-12 * np.abs(values).max(axis=0), spread, 1.0)
    return Objective(weights, standardised)


def _parse(part: str, metrics: Sequence[str]) -> tuple[str, float]:
    # A metric's own name may hold an equals sign.
    if part.strip() in metrics:
        return part.strip(), 1.0
    name, separator, weight = part.rpartition("=")
    if not separator:
        return part.strip(), 1.0
    value = plain_number(weight.strip())
    if math.isnan(value):
        raise InputError(
            "--objective", f"{quoted(part)} is no metric with a weight", "write it like arc=2"
        )
    return name.strip(), value
