"""The interface between a stage and a maker of proxies: one training run of one candidate.

A stage asks a source whether its proxy is in the store (`find`) and calls `make` in a job if not.
A source is plain data, so it can be sent to another process. Its `spec` holds everything that
determines the checkpoints: equal specs are one proxy, made once. Artifacts are published whole or
not at all. `dataselect.testing.proxy_sources` has the tests that every implementation must pass.

Not covered: scores, which are separate artifacts, and the choice of a candidate's source
(`stages.proxy_origins`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dataselect.compute.machine import Machine
from dataselect.cost import training_flops
from dataselect.scoring.checkpoint import Checkpoint, Precision
from dataselect.scoring.series import Member
from dataselect.store import Store

if TYPE_CHECKING:
    from dataselect.proxies.train import Progress

Origin = Literal["trained here", "checkpoints", "command"]


@dataclass(frozen=True)
class Point:
    """A checkpoint at one point of its training."""

    checkpoint: Checkpoint
    label: str
    """Name for people."""
    step: int
    """Training step, or the place in the series where steps are unknown."""
    tokens: int | None
    """Tokens seen in training; None if unknown."""


def steps_of(members: Sequence[Member]) -> list[int]:
    """The step of each member, or its place in the series unless all steps are known."""
    steps = [member.step for member in members if member.step is not None]
    return steps if len(steps) == len(members) else list(range(len(members)))


@dataclass(frozen=True)
class MadeProxy:
    """An existing proxy."""

    points: tuple[Point, ...]
    """The checkpoints to score, oldest first; empty if training diverged."""
    parameters: int
    tokens: int | None
    """Tokens at the end of training; None if unknown."""
    tokenizer: str
    """Hash of the tokenizer."""
    segmentation: str
    """Hash of how it splits texts, which is the unit of a score per token."""
    diverged: str | None = None
    """Why training failed for good; None if it did not."""
    trained_on: tuple[Machine, ...] = ()
    """What trained it; empty where it was trained elsewhere, and that is not known."""

    @property
    def training_flops(self) -> float:
        """6ND; 0 if the tokens are unknown."""
        return training_flops(self.parameters, self.tokens or 0)


class ProxySource(Protocol):
    """One training run of a candidate's proxy, wherever it happens."""

    @property
    def origin(self) -> Origin:
        """Where the proxy comes from; `checkpoints` were paid for elsewhere."""

    @property
    def kind(self) -> str:
        """Kind of the artifact that `make` publishes, for the ledger."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """Everything that determines the checkpoints, as JSON."""

    @property
    def seed(self) -> int:
        """Seed of the run; for given checkpoints, the number of their series."""

    @property
    def precision(self) -> Precision:
        """Arithmetic of scoring."""

    def find(self, store: Store) -> MadeProxy | None:
        """The proxy; None if it is not in the store. Reads small files only."""

    def make(self, store: Store, name: str, device: str, progress: "Progress") -> MadeProxy:
        """The proxy, made if it is not in the store; `name` is for the ledger and messages.

        Resumes an attempt that was killed, if the trainer can. Raises whatever training raises;
        `find` ignores failed attempts, and their cost is in the ledger.
        """
