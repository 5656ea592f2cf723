"""The stages of a plan: what is trained and measured, and which candidates go on.

`Screen` prunes and `Predict` ends a run; both train proxies (`Stage`). `CountingScreen` prunes as
`Screen` does (`Cut`), but by counting words, before anything is trained.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from dataselect.config.compute import JobNeeds
from dataselect.config.proxy import Proxy
from dataselect.config.proxy_origin import Trainer
from dataselect.config.schema import FieldError, Section, Text
from dataselect.units import Count, Number
from dataselect.wording import nearest, quoted

Aggregate = Literal["mean_rank", "z_score"]


def _check_discrepancy(text: str) -> str:
    if text in ("published", "none") or text.endswith(".json"):
        return text
    fix = nearest(text, ("published", "none"))
    raise ValueError(
        f"{quoted(text)} is no gap; {fix or 'write published, none'}, or a file that ends in .json"
    )


Discrepancy = Annotated[Literal["published", "none"] | str, AfterValidator(_check_discrepancy)]


class Stage(Section):
    """The keys that Stage 1 and Stage 2 share."""

    proxy: Proxy | None = None
    """The model that is trained on every candidate of this stage. Not needed where every candidate
    has a proxy from elsewhere."""

    train: Trainer | None = None
    """Your own command that trains the proxy of every candidate, in place of the built-in trainer.
    A candidate's `proxies` override it."""

    seeds: Annotated[Count, Field(le=64)] = 1
    """Proxies to train for each candidate, with the seeds `proxy.seed`, + 1, and so on. Scores are
    their mean, which lowers the noise of the seed."""

    processes: Annotated[Count, Field(le=4096)] = 1
    """Processes that train one proxy together, one GPU each (`docs/training.md`). Their number
    changes nothing about the proxy."""

    resources: JobNeeds | None = None
    """What each job of this stage asks for, where it differs from `compute` (docs/cluster.md)."""

    average: Annotated[Count, Field(le=1000)] = 1
    """Late checkpoints of each proxy whose scores are averaged; at most `proxy.checkpoints`."""

    benchmarks: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids of the benchmarks to score the proxies on. Default: all of the plan's."""

    aggregate: Aggregate = "z_score"
    """How scores on several benchmarks become one: the mean rank of a candidate, or the mean of its
    scores in a unit of each benchmark, the z-score (of few candidates the noise of items)."""

    accuracy: bool = False
    """Also generate answers and measure their accuracy, for comparison. Takes extra time."""

    masks: bool = False
    """Also score marked parts of the traces, for comparison: their own `<span>` marks, numbers,
    operators and content words (docs/metric.md). Reads the traces a second time."""

    @model_validator(mode="after")
    def _keeps_enough_checkpoints(self) -> Self:
        if self.proxy is not None and self.average > self.proxy.checkpoints:
            raise FieldError(
                f"{self.average} checkpoints cannot be averaged of {self.proxy.checkpoints}",
                f"set the proxy's 'checkpoints' to {self.average} or more",
                "average",
            )
        return self


class Cut(Section):
    """Which candidates go on to the next stage."""

    keep: Count
    """Number of survivors, the candidates that go on to the next stage."""

    min_probability: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Also keep candidates whose probability to belong among the best `keep` is at least this, such
    as 0.2; an unclear ranking then keeps more. Default: keep no more."""

    keep_at_most: Count | None = None
    """Most survivors, with `min_probability`. Default: all candidates."""

    @model_validator(mode="after")
    def _keeps_no_fewer_at_most(self) -> Self:
        if self.keep_at_most is None:
            return self
        if self.min_probability is None:
            raise FieldError(
                "without 'min_probability' no more than 'keep' go on",
                "add it, or remove this",
                "keep_at_most",
            )
        if self.keep_at_most < self.keep:
            raise FieldError(
                f"{self.keep_at_most} is fewer than 'keep', {self.keep}",
                f"write {self.keep} or more",
                "keep_at_most",
            )
        return self

    def most(self, candidates: int) -> int:
        """Most survivors that `candidates` candidates can have."""
        if self.min_probability is None:
            return min(self.keep, candidates)
        return min(self.keep_at_most or candidates, candidates)


class Screen(Cut, Stage):
    """Stage 1: a tiny proxy for every candidate; the best survive."""

    discrepancy: Discrepancy = "published"
    """Gap between proxy and target that probabilities account for: that of published proxies of
    the same training FLOPs (docs/stage1.md); that of your own candidates with known targets, by the
    JSON file that `dataselect agree --out` writes, relative to the plan; or none, so that they
    describe the proxies' scores alone."""

    @property
    def agreement_file(self) -> str | None:
        """The file that `discrepancy` names, relative to the plan; None if it names none."""
        return None if self.discrepancy in ("published", "none") else self.discrepancy


class CountingScreen(Cut):
    """Stage 0: candidates are ranked by counting the words of their text, before any training
    (docs/rungs.md). The best survive, and those without text that is read here."""

    order: Annotated[Count, Field(le=5)] = 1
    """Words in a row that are counted, 1 to 5: the order of the n-gram model. 1 counts words."""


class Predict(Stage):
    """Stage 2: a larger proxy for every survivor, whose score is mapped to target accuracy."""

    transfer: Text | None = None
    """JSON file of transfer functions, relative to the plan. Without one the survivors are
    ranked by score, and no accuracy is predicted."""

    every_benchmark: bool = False
    """Take the mean of predicted accuracies over every benchmark, also over those where the
    transfer function says that its score says nothing. By default these are left out of the
    mean."""


def _form(value: Any) -> str:
    """Which of the two forms a rung has, so that errors are about that form."""
    keeps = "keep" in value if isinstance(value, dict) else isinstance(value, Screen)
    return "screen" if keeps else "predict"


Rung = Annotated[
    Annotated[Screen, Tag("screen")] | Annotated[Predict, Tag("predict")], Discriminator(_form)
]
"""A stage in a list of stages: with `keep` it prunes, without it is the last."""


class StopWhen(Section):
    """When a run ends before its last rung."""

    p_best: Annotated[Number, Field(gt=0, lt=1)]
    """After a rung, end the run if its first candidate is the best of all with at least this
    probability, in 0..1, such as 0.9."""
