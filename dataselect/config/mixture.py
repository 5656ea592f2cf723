"""The `mix` section of a plan: how the shares of a mixture are searched for (`dataselect mix`).

Bounds, floors and a prior depend on the sources of one manifest, so they are in a separate file,
`constraints`, with the keys of `dataselect mix propose`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dataselect.config.proxy import Positive, Proxy
from dataselect.config.schema import FieldError, Id, Section, Text
from dataselect.units import Count, Number, Whole

FEWEST_DESIGNED = 8
"""Fewest trials that a model of the mixtures can be fitted on."""


class Mix(Section):
    """The search for mixture shares."""

    sources: Annotated[list[Id], Field(min_length=2)] | None = None
    """Ids of the sources, and of candidates with a `path`, to mix. Default: all of the manifest."""

    trials: Annotated[Count, Field(ge=FEWEST_DESIGNED, le=10_000)] = 40
    """Proxies to train on mixtures before the best mixture is proposed."""

    design: Annotated[Number, Field(gt=0, le=1)] = 0.5
    """Fraction of the trials whose mixtures are spread evenly around the prior; a model of the
    earlier trials proposes the others. At least 8 trials are designed."""

    replicates: Annotated[Count, Field(le=64)] = 2
    """Trials of the prior among the designed ones, with the seeds `proxy.seed`, + 1, and so on;
    they measure the training noise."""

    together: Annotated[Count, Field(le=1000)] = 5
    """Trials that are proposed at a time and may run in parallel; each such round waits for the
    one before it, on any machine."""

    confirm: Annotated[Whole, Field(le=64)] = 3
    """Fresh seeds with which the proposal and the prior are trained at the end, to measure the
    predicted gain. 0 for none."""

    proxy: Proxy | None = None
    """The model that is trained on every mixture. Default: that of `screen`."""

    average: Annotated[Count, Field(le=1000)] = 1
    """Late checkpoints of each proxy whose scores are averaged; at most `proxy.checkpoints`."""

    benchmarks: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids of the benchmarks to score the proxies on. Default: those of `screen`."""

    objective: Annotated[dict[str, Positive], Field(min_length=1)] | None = None
    """Weights of the benchmarks in the objective, by id. Default: all equal."""

    transfer: Text | Literal[False] | None = None
    """JSON file of transfer functions relative to the plan. The search then maximises the target
    accuracy that they predict, averaged over benchmarks by `objective`. Default: that of `predict`
    where the proxies are the same and each benchmark has a function that applies; `false` for
    rBridge in any case."""

    standardise: bool = True
    """Divide each benchmark's rBridge by its spread over the trials before averaging, since nats of
    different benchmarks have different scales."""

    sampler: Literal["surrogate", "gp"] = "surrogate"
    """What proposes trials after the design: the surrogates that also make the proposal, or
    Optuna's GPSampler on coordinates u with shares proportional to −log u."""

    pareto: Annotated[Whole, Field(le=1000)] = 0
    """Number of Pareto-optimal mixtures to find as well: each better than any other on some
    benchmark. 0 for none."""

    constraints: Text | None = None
    """YAML file relative to the plan: available tokens of each source, repetition, bounds, prior
    and floors (docs/mixture.md). Without one the prior is the same share for each source."""

    target_epochs: bool | None = None
    """Cut each source by the ratio of the proxy's to the target's tokens, so that a proxy repeats
    its text as often as the target would. Needs `target_tokens` and the tokens of every source in
    `constraints`. Default: true where they are given."""

    storage: Text | None = None
    """URL of an Optuna storage that several machines share, such as
    `postgresql+psycopg2://user@host/name`. Default: a journal in the store."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for key in ("sources", "benchmarks"):
            names = getattr(self, key) or []
            for i, name in enumerate(names):
                if name in names[:i]:
                    raise FieldError(f"{name!r} is named twice", "remove one", key, i)
        if self.proxy is not None and self.average > self.proxy.checkpoints:
            raise FieldError(
                f"{self.average} checkpoints cannot be averaged of {self.proxy.checkpoints}",
                f"set the proxy's 'checkpoints' to {self.average} or more",
                "average",
            )
        if self.replicates >= self.designed:
            raise FieldError(
                f"{self.replicates} of {self.designed} designed trials leave none for mixtures",
                "lower it, or raise 'trials' or 'design'",
                "replicates",
            )
        return self

    @property
    def designed(self) -> int:
        """Number of designed trials."""
        return max(FEWEST_DESIGNED, round(self.design * self.trials))
