"""The record of a swarm, `swarm.json`: what was designed, from what, and by which command.

A later swarm that reuses this one reads from it which text each name stood for, and a second design
into the same folder is told from the first by it.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dataselect.errors import InputError
from dataselect.formats.jsonfile import read_json
from dataselect.mixture.trainers import BY_NAME

SWARM_FILE = "swarm.json"
Role = Literal["prior", "designed", "repeat", "earlier"]


def _known(trainer: str) -> str:
    if trainer not in BY_NAME:
        raise ValueError(f"not one of the trainers {', '.join(BY_NAME)}")
    return trainer


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecordedSource(_Part):
    """A source of the swarm."""

    text: dict[str, Any] | None = None
    """Where its text is, in a manifest's keys; None for a mixture, and where it is not known."""
    parts: dict[str, float] | None = None
    """Ratios by text, for a mixture."""
    removed: bool = False
    """Whether only earlier runs have it."""


class RecordedRun(_Part):
    """A run of the swarm."""

    run: str
    """Its name."""
    seed: int | None
    """Of its training; None: not known of an earlier run."""
    role: Role
    """What it is for: to measure the prior, to cover the mixtures, to compare with an earlier run
    (`repeat`), or it was trained for an earlier swarm."""
    repeats: str | None = None
    """The earlier run with the same mixture."""


class SwarmRecord(_Part):
    """The whole file."""

    schema_version: Literal[1]
    version: str
    """Of dataselect."""
    command: str
    """What made the design."""
    seed: int
    """Of the design."""
    tokens: int | None
    """Tokens that each run trains on; None where not given."""
    kept: float | None
    """The part of every text that runs are trained on; None: all of it."""
    sources: dict[str, RecordedSource]
    """By name, in the order of the columns."""
    texts: dict[str, dict[str, Any]]
    """By text that is part of a mixture, where it is."""
    prior: dict[str, float]
    """The mixture that the design is around."""
    constraints_sha256: str
    """Of the limits and the prior that it was designed for, as `constraints.yaml` had them."""
    ratios_sha256: str
    """Of `ratios.csv`."""
    reuses: str | None
    """Name of the swarm that the earlier runs are from."""
    export: Annotated[list[Annotated[str, AfterValidator(_known)]], Field(min_length=1)]
    """Trainers that the runs were written for."""
    runs: list[RecordedRun]
    """Earlier ones first."""

    def to_json(self) -> str:
        """Text of the file."""
        return self.model_dump_json(indent=2) + "\n"

    def same_design(self, other: "SwarmRecord") -> bool:
        """Whether both have the same runs of the same texts, whatever wrote them for whom."""
        free = {"version", "command", "export"}
        return self.model_dump(exclude=free) == other.model_dump(exclude=free)


def read_record(folder: Path) -> SwarmRecord | None:
    """The record in a folder; None where there is none. Raises InputError if it is damaged."""
    path = folder / SWARM_FILE
    try:
        there = path.exists()
    except OSError as error:
        raise InputError(path, f"cannot be read: {error.strerror}", "check its name") from None
    return read_json(SwarmRecord, path, "write the swarm again") if there else None
