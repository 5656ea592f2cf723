"""The calibration spec: which proxy, which target, on what, and where the two are paired.

A calibration run is a proxy and a target that were trained on the same data, with checkpoints of
both. The spec names the proxy's checkpoints, the source of the target's accuracies, the benchmarks
with their traces in a plan's syntax, and the token counts to pair at. This module checks only what
the file alone can show.

Here a spec is of one run. A file that has several under `runs` is read by `runs` as one such spec
for each.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from dataselect.config.benchmark import Benchmark
from dataselect.config.checkpoints import Checkpoints
from dataselect.config.proxy import Seed
from dataselect.config.schema import Document, FieldError, Id, Section, Text
from dataselect.transfer.prior import Prior
from dataselect.transfer.prior_file import PUBLIC, read_prior
from dataselect.transfer.protocols import LEAST_FOR_PAPER
from dataselect.transfer.robust import LEAST_POINTS
from dataselect.units import Count, Number
from dataselect.wording import nearest, quoted


class Task(Section):
    """Which result of lm-evaluation-harness is a benchmark's accuracy."""

    task: Text | Annotated[list[Text], Field(min_length=1)]
    """Name of the task, or of several: their mean, weighted by their numbers of items."""

    metric: Text | None = None
    """Its metric with the filter, such as `exact_match,strict-match`. Default: the first of the
    usual ones that the files have."""

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks, one or several."""
        return (self.task,) if isinstance(self.task, str) else tuple(self.task)


class LmEvalResults(Section):
    """Results files of lm-evaluation-harness, of OLMES, or of `dataselect score --accuracy`."""

    files: Text | Annotated[list[Text], Field(min_length=1)]
    """Files `results_*.json` (of OLMES: `*metrics.json`), or patterns for them
    (`target/**/results_*.json`), relative to this file. All must have been measured alike."""

    tokens: dict[str, Count] | None = None
    """Training tokens by the revision, model or folder that a file is for. Default: read from these
    names (`tokens250B`), or their step times `tokens_per_step`."""

    tokens_per_step: Count | None = None
    """Tokens in a training step, for names that give the step alone."""

    tasks: dict[str, Task] = Field(default_factory=dict)
    """Task and metric by benchmark id, where the usual ones do not apply."""

    @property
    def patterns(self) -> list[str]:
        """The files as a list."""
        return [self.files] if isinstance(self.files, str) else self.files


class CalibrationTarget(Section):
    """The large model, and where its accuracies come from: `lm_eval`, `csv` or `checkpoints`."""

    size: Count
    """Parameters, such as `7B`."""

    tokens: Count | None = None
    """Tokens at the end of its training. Default: at the last accuracy."""

    name: Text | None = None
    """Its name in the record. Default: as its accuracies name it."""

    lm_eval: LmEvalResults | None = None
    """Results of lm-evaluation-harness or OLMES."""

    csv: Text | None = None
    """CSV file with the columns `tokens`, `benchmark`, `accuracy`, relative to this file."""

    checkpoints: Checkpoints | None = None
    """Checkpoints of the target, to be evaluated here: answers are generated and graded."""

    sft: bool = False
    """With `checkpoints`: fine-tune each of them on the training set of each benchmark separately,
    and measure the accuracy after that."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        keys = ("lm_eval", "csv", "checkpoints")
        given = [key for key in keys if getattr(self, key) is not None]
        if not given:
            raise ValueError(f"no accuracies are named; give one of {', '.join(keys)}")
        if len(given) > 1:
            raise FieldError(f"{given[0]!r} is given as well", "keep one", given[1])
        if self.sft and self.checkpoints is None:
            raise FieldError(
                f"{given[0]!r} has accuracies as they were measured",
                "leave this out, or name 'checkpoints' to be fine-tuned",
                "sft",
            )
        return self


_MOST_COUNTS = 10_000
"""Token counts to pair at, more than series of checkpoints have."""


class Pairing(Section):
    """The token counts at which checkpoints of proxy and target are paired."""

    every: Count | None = None
    """Distance between the token counts, which begin at `first`. Default: pair wherever the target
    has an accuracy."""

    first: Count | None = None
    """The first token count. Default: `every`."""

    last: Count | None = None
    """The last token count. Needed with `every`."""

    proxy: Count | Annotated[list[Count], Field(min_length=1)] | None = None
    """Tokens of the proxy at which it is paired with the target at the tokens under `target`, in
    place of equal tokens: for example both at the end of their training. One count, or a rising
    list."""

    target: Count | Annotated[list[Count], Field(min_length=1)] | None = None
    """Tokens of the target for each of `proxy`."""

    tolerance: Annotated[Number, Field(gt=0, lt=0.5)] = 0.02
    """How far a checkpoint may lie from the token count, as a share of it; with `every` also less
    than half of `every`."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.every is not None and self.last is None:
            raise FieldError("'last' is missing", "say where the token counts end", "every")
        low = self.first or self.every or 1
        if self.last is not None and self.last < low:
            raise FieldError("this is below the first token count", "write a larger one", "last")
        if self.every is not None and self.last is not None:
            count = (self.last - low) // self.every + 1
            if count > _MOST_COUNTS:
                problem = f"up to 'last' there would be {count:,} token counts"
                raise FieldError(problem, f"write more: {_MOST_COUNTS:,} are the most", "every")
        return self

    @model_validator(mode="after")
    def _has_both_of_unequal_tokens(self) -> Self:
        if self.proxy is None and self.target is None:
            return self
        for here, other in (("proxy", "target"), ("target", "proxy")):
            if getattr(self, other) is None:
                raise FieldError(f"{other!r} is missing", "give the tokens of both", here)
        for key in ("every", "first", "last"):
            if getattr(self, key) is not None:
                raise FieldError(
                    "this is for equal tokens", "keep it, or 'proxy' and 'target'", key
                )
        proxies, targets = _listed(self.proxy), _listed(self.target)
        if len(proxies) != len(targets):
            problem = f"'proxy' has {len(proxies)} token counts and this {len(targets)}"
            raise FieldError(problem, "give one for each", "target")
        for key, counts in (("proxy", proxies), ("target", targets)):
            if sorted(set(counts)) != counts:
                raise FieldError("the token counts do not rise", "sort them", key)
        return self

    @property
    def unequal(self) -> list[tuple[int, int]]:
        """Tokens of the proxy and of the target to pair; empty where they are paired at equal."""
        return list(zip(_listed(self.proxy), _listed(self.target), strict=True))

    def grid(self) -> list[int] | None:
        """The token counts to pair at; None where the target's own are used."""
        if self.every is None or self.last is None:
            return None
        return list(range(self.first or self.every, self.last + 1, self.every))

    def includes(self, tokens: int) -> bool:
        """Whether a token count lies in the range of `first` and `last`."""
        return (self.first or 1) <= tokens and (self.last is None or tokens <= self.last)

    def reach(self, tokens: int) -> float:
        """Tokens that a checkpoint may lie from a token count."""
        share = self.tolerance * tokens
        # Strictly less than half the distance: no checkpoint is the nearest to two counts.
        return share if self.every is None else min(share, 0.499 * self.every)


def _listed(counts: int | list[int] | None) -> list[int]:
    if counts is None:
        return []
    return [counts] if isinstance(counts, int) else counts


class Run(Section):
    """One of several runs: what differs from the keys of the same name at the top."""

    dataset: Text
    """Name of the dataset. Runs of one name are seeds or further checkpoints of one dataset."""

    proxy: dict[str, Any] = Field(default_factory=dict)
    """Keys of `proxy`, in place of those at the top. Another `model` has its own `revisions`,
    `tokens` and `tokens_per_step`: those at the top are not taken for it."""

    target: dict[str, Any] = Field(default_factory=dict)
    """Keys of `target`, in place of those at the top. Of `lm_eval`, `csv` and `checkpoints` the one
    given here is taken. Another `model` as for `proxy`."""

    pair: dict[str, Any] | None = None
    """In place of the whole `pair` at the top."""


class CalibrationSpec(Document):
    """How a transfer function is measured."""

    name: Id
    """Name of the files that are written. Default: the name of this file without its ending."""

    dataset: Text | None = None
    """Name of the dataset that both were trained on: the group of the pairs. Not with `runs`."""

    proxy: Checkpoints
    """Checkpoints of the small model. With `runs`: what is the same in all of them, where
    `{dataset}` stands for each one's name."""

    target: CalibrationTarget
    """The large model, trained on the same data. With `runs`: as for `proxy`."""

    runs: Annotated[list[Text | Run], Field(min_length=1)] | None = None
    """Several runs, fitted together: for each the name of its dataset, or a mapping of what differs
    from `proxy`, `target` and `pair`."""

    benchmarks: Annotated[list[Benchmark], Field(min_length=1)]
    """What both are measured on, as in a plan."""

    pair: Pairing = Pairing()
    """Where they are paired."""

    protocol: Literal["robust", "paper"] = "robust"
    """How functions are fitted and judged."""

    prior: Text | None = None
    """Prior on slope and scatter, for few datasets: `public`, or a file relative to this one. With
    the robust protocol alone."""

    offsets: bool = False
    """Give each dataset a height of its own, shrunk towards none, when the curve is fitted. With
    the robust protocol and no prior alone."""

    seed: Seed = 0
    """Seed of the five folds."""

    _one_of_several: bool = PrivateAttr(default=False)

    @property
    def is_one_of_several(self) -> bool:
        """Whether the file has other runs."""
        return self._one_of_several

    @property
    def least_here(self) -> int:
        """Pairs of a benchmark that this run needs: one if there are others."""
        return 1 if self._one_of_several else self.least_pairs

    @property
    def least_pairs(self) -> int:
        """Pairs of a benchmark that all runs need together."""
        if self.protocol == "paper":
            return LEAST_FOR_PAPER
        return LEAST_POINTS if self.prior is None else 1

    def read_prior(self) -> Prior | None:
        """The prior, if one is named. Raises InputError if it cannot be read."""
        if self.prior is None or self.prior == PUBLIC:
            return None if self.prior is None else read_prior(PUBLIC)
        return read_prior(self.base / self.prior)

    @model_validator(mode="after")
    def _prior_fits_the_protocol(self) -> Self:
        if self.prior is not None and self.protocol == "paper":
            fix = "leave it out, or use the robust protocol"
            raise FieldError("the paper's protocol has no prior", fix, "prior")
        if self.offsets and self.protocol == "paper":
            fix = "leave them out, or use the robust protocol"
            raise FieldError("the paper's protocol has no offsets", fix, "offsets")
        if self.offsets and self.prior is not None:
            fix = "keep one of the two"
            raise FieldError("a prior has each dataset's deviation already", fix, "offsets")
        return self

    @model_validator(mode="after")
    def _benchmarks_fit_together(self) -> Self:
        ids = [benchmark.id for benchmark in self.benchmarks]
        for i, name in enumerate(ids):
            if name in ids[:i]:
                raise FieldError(f"{name!r} comes twice", "keep one", "benchmarks", i, "id")
        if self.target.lm_eval is not None:
            for name in self.target.lm_eval.tasks:
                if name not in ids:
                    fix = nearest(name, ids) or f"name some of: {', '.join(ids)}"
                    place = ("target", "lm_eval", "tasks", name)
                    raise FieldError(f"there is no benchmark {quoted(name)}", fix, *place)
        return self
