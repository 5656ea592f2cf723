"""The part of a plan that says how weights of a mixture are searched for (`dataselect mix`).

Weights, floors and a prior belong to the sources of one manifest and lie in a file of their own,
`constraints`, in the words of `dataselect mix propose`.
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dataselect.config.proxy import Positive, Proxy
from dataselect.config.schema import FieldError, Id, Section, Text
from dataselect.units import Count, Number, Whole

FEWEST_DESIGNED = 8
"""Trials that a model of them needs at least."""


class Mix(Section):
    """The search for mixture weights."""

    sources: Annotated[list[Id], Field(min_length=2)] | None = None
    """Ids of the sources to mix, and of candidates with text of their own. Default: all of the
    manifest."""

    trials: Annotated[Count, Field(ge=FEWEST_DESIGNED, le=10_000)] = 40
    """Proxies to train on mixtures before the best one is proposed."""

    design: Annotated[Number, Field(gt=0, le=1)] = 0.5
    """Share of the trials whose mixtures are spread evenly around the prior; the others are
    proposed by a model of those before them. 8 trials at least are designed."""

    replicates: Annotated[Count, Field(le=64)] = 2
    """Trials of the prior among the designed ones, with the seeds `proxy.seed`, + 1, and so on;
    they show what training noise alone does."""

    together: Annotated[Count, Field(le=1000)] = 5
    """Trials that are proposed at a time and may run side by side; each such round waits for the
    one before it, whoever runs it."""

    confirm: Annotated[Whole, Field(le=64)] = 3
    """Seeds that the proposal and the prior are trained with at the end, none of them used
    before, to measure what was predicted. 0 for none."""

    proxy: Proxy | None = None
    """The model that is trained on every mixture. Default: that of `screen`."""

    average: Annotated[Count, Field(le=1000)] = 1
    """Late checkpoints of each proxy whose scores are averaged; as many as `proxy.checkpoints`
    at most."""

    benchmarks: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids of the benchmarks to score it on. Default: those of `screen`."""

    objective: Annotated[dict[str, Positive], Field(min_length=1)] | None = None
    """Weights of benchmarks in what is to become better, by id. Default: all alike."""

    transfer: Text | Literal[False] | None = None
    """JSON file of transfer functions relative to the plan: what is maximised is then the accuracy
    that they predict of the target, averaged over benchmarks by `objective`. Default: that of
    `predict` where the proxies are the same and each benchmark has a function that applies;
    `false` for rBridge all the same."""

    standardise: bool = True
    """Divide each benchmark's rBridge by its spread over the trials before they are averaged,
    since nats of different benchmarks are not alike."""

    sampler: Literal["surrogate", "gp"] = "surrogate"
    """What proposes trials after the design: the surrogates that also make the proposal, or
    Optuna's GPSampler on coordinates u with weights proportional to −log u."""

    pareto: Annotated[Whole, Field(le=1000)] = 0
    """Also find so many mixtures that trade the benchmarks off, none better than another in all."""

    constraints: Text | None = None
    """YAML file relative to the plan: tokens there are of each source, repetition, bounds, prior
    and floors (docs/mixture.md). Without one the prior is the same weight for each source."""

    target_epochs: bool | None = None
    """Cut each source to the part of it that the proxy's tokens are of the target's, so that a
    proxy reads its text as often as the target would. Default: where `constraints` has the tokens
    of every source, which it takes."""

    storage: Text | None = None
    """URL of an Optuna storage that several machines share, such as
    `postgresql+psycopg2://user@host/name`. Default: a journal in the store."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for key in ("sources", "benchmarks"):
            named = getattr(self, key) or []
            for i, name in enumerate(named):
                if name in named[:i]:
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
        """How many trials are designed."""
        return max(FEWEST_DESIGNED, round(self.design * self.trials))
