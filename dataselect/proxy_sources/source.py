"""The interface between a stage and whatever makes a proxy: one training run of one candidate.

A stage asks a source whether its proxy is in the store (`find`) and has it made in a job (`make`),
never how. A source is plain data: it travels to another process, and its `spec` says all that
determines the checkpoints, so that equal specs are one proxy and are made once. Whatever is made is
published whole or not at all. `dataselect.testing.proxy_sources` has the tests that every
implementation must pass.

Not covered: scores, which are artifacts of their own, and which source a candidate has
(`stages.proxy_origins`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dataselect.cost import training_flops
from dataselect.scoring.checkpoint import Checkpoint, Precision
from dataselect.scoring.series import Member
from dataselect.store import Store

if TYPE_CHECKING:
    from dataselect.proxies.train import Progress

Origin = Literal["trained here", "checkpoints", "command"]


@dataclass(frozen=True)
class Point:
    """A checkpoint at one moment of its training; `step` is its place in order where none is known.

    `label` is what people call it.
    """

    checkpoint: Checkpoint
    label: str
    step: int
    tokens: int | None


def steps_of(members: Sequence[Member]) -> list[int]:
    """The step of each, or its place where not every name tells one."""
    steps = [member.step for member in members if member.step is not None]
    return steps if len(steps) == len(members) else list(range(len(members)))


@dataclass(frozen=True)
class MadeProxy:
    """A proxy that there is. `points` are the checkpoints to score, oldest first.

    `tokens`: at the end of training, None where nobody said. `tokenizer` identifies the tokenizer,
    `segmentation` only how it cuts texts, which is the unit of a score per token. `diverged` says
    how training failed for good; there are no points then.
    """

    points: tuple[Point, ...]
    parameters: int
    tokens: int | None
    tokenizer: str
    segmentation: str
    diverged: str | None = None

    @property
    def training_flops(self) -> float:
        """6ND, 0 where the tokens are not known."""
        return training_flops(self.parameters, self.tokens or 0)


class ProxySource(Protocol):
    """One training run of a candidate's proxy, wherever it happens."""

    @property
    def origin(self) -> Origin:
        """Where the proxy comes from. What is `checkpoints` was paid for elsewhere."""

    @property
    def kind(self) -> str:
        """Kind of the artifact that `make` leaves, for the ledger."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """All that determines the checkpoints, as JSON."""

    @property
    def seed(self) -> int:
        """Seed of the run; of checkpoints that were given, the number of their series."""

    @property
    def precision(self) -> Precision:
        """Arithmetic that the checkpoints are scored in."""

    def find(self, store: Store) -> MadeProxy | None:
        """The proxy if it is there; costs no more than reading small files."""

    def make(self, store: Store, name: str, device: str, progress: "Progress") -> MadeProxy:
        """The proxy, made if it is not there; `name` is for the ledger and messages.

        Goes on from where an earlier attempt was killed, if the trainer can. Raises whatever
        training raises; nothing of a failed attempt can be found, its cost is in the ledger.
        """
