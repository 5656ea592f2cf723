"""What a run tells whoever watches it of the work before it, so that the time left can be known.

Work is counted in training FLOPs, not in jobs: a proxy of the last stage may cost as much as all
of the first. FLOPs are those of the proxies that are trained here; scoring is a part of each job's
time that is measured (`estimate`). Where a job's FLOPs are not known (a user's command, checkpoints
that exist) they are None, and jobs are taken to last as long as others of their kind. Work that
trains nothing (scoring, asking a server) is counted in its own unit, which is compared with work of
the same kind alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ExpectedPart:
    """A part of the run that trains proxies, before anything of it is done."""

    title: str
    """As in `Watch.step`, when it begins."""
    runs: int
    """Trainings here, at most."""
    flops: float | None
    """Training FLOPs of each; None if not known."""
    in_rounds: bool = False
    """Whether its jobs are announced a few at a time, each after the results of those before."""
    slots: int | None = None
    """Its jobs that run side by side; None: as many as of the run."""


@dataclass(frozen=True)
class Outlook:
    """All parts of a run that train proxies, as far as the plan says."""

    slots: int
    """Jobs that run side by side."""
    parts: tuple[ExpectedPart, ...]
    """In their order. What is already in the store is not taken off: who survives is not known."""
    at_most: bool = False
    """Whether the plan may keep fewer candidates, or end before the last part."""
    traces_usd: float | None = None
    """US dollars that the traces cost when they were built, as their files say; None if none
    does."""


@dataclass(frozen=True)
class PlannedJob:
    """A job that is about to be submitted."""

    name: str
    """Its name in events."""
    runs: int = 1
    """Training runs that it makes and scores."""
    flops: float | None = None
    """Training FLOPs that it needs if nothing of it is saved; 0 if only scores are missing, None if
    not known."""
    tokens: int | None = None
    """Tokens that it trains on, over all its runs; None if not known."""
    keys: tuple[str, ...] = ()
    """Folder names of the artifacts that it makes, as far as known."""
    kind: str = ""
    """What it does if it trains nothing, such as "scores" or "preparation": `flops` is then in a
    unit of this kind, and its progress tells `items` of `total_items`, or tokens that are read."""


@dataclass(frozen=True)
class Planned:
    """The jobs of the part that has begun, or some more of them."""

    jobs: tuple[PlannedJob, ...]
    """Still to be done."""
    found: int = 0
    """Training runs that are in the store with all their scores."""
    found_keys: tuple[str, ...] = ()
    """Folder names of their artifacts."""


@dataclass(frozen=True)
class Made:
    """What a job left in the store, scores included."""

    job: str
    """Its name."""
    keys: tuple[str, ...]
    """Folder names of the artifacts."""


@dataclass(frozen=True)
class Shared:
    """How far the part is that several processes work on, this one included."""

    done: int
    """Training runs that are done, whoever made them."""
    processes: int
    """Those at work."""


@dataclass(frozen=True)
class Scored:
    """The scores of a proxy, as soon as they are known."""

    name: str
    """Of the training run."""
    tokens: int | None
    """That it was trained on; None if not known."""
    means: Mapping[str, float]
    """By `BENCHMARK/METRIC`, over the items that this proxy has, and its last checkpoints."""


@dataclass(frozen=True)
class RankedRow:
    """A candidate in the ranking of a stage that prunes."""

    id: str
    """The candidate."""
    rank: int
    """From 1."""
    score: float
    """Lower is better."""
    low: float
    """Lower end of the score's interval."""
    high: float
    """Upper end."""
    p_top_k: float
    """Probability to be among the best `keep`."""
    goes_on: bool
    """Whether it survives."""


@dataclass(frozen=True)
class StageRanking:
    """The ranking of a stage that prunes, as soon as it is known."""

    stage: str
    """Its key, such as "stage1"."""
    title: str
    """Its name, such as "Stage 1"."""
    keep: int
    """Candidates that it keeps at least."""
    rows: tuple[RankedRow, ...]
    """Best first."""
    without: Mapping[str, str] = field(default_factory=dict)
    """Why each other candidate has no score."""


Fact = Outlook | Planned | Shared | Made | Scored | StageRanking
"""What `Watch.tell` is told."""
