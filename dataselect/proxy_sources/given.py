"""A proxy that exists already: checkpoints on the Hub or in folders.

The facts about a checkpoint besides its scores (parameters, tokenizer) are read from its files
once and kept as an artifact, so that a run with all scores in the store needs neither the weights
nor the network.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.corpus.segmentation import segmentation_hash
from dataselect.corpus.tokenizer import tokenizer_hash
from dataselect.errors import InputError
from dataselect.proxy_sources.parameter_count import count_parameters
from dataselect.proxy_sources.source import MadeProxy, Origin, Point, steps_of
from dataselect.scoring.checkpoint import Precision
from dataselect.scoring.series import Member
from dataselect.store import Artifact, Store

if TYPE_CHECKING:
    from dataselect.proxies.train import Progress

KIND = "checkpoint"


@dataclass(frozen=True)
class GivenCheckpoints:
    """See `ProxySource`."""

    members: tuple[Member, ...]
    """The checkpoints to score, oldest first."""
    number: int = 0
    """Number of this series among those of its candidate."""

    origin: Origin = "checkpoints"
    kind: str = KIND

    @property
    def spec(self) -> Mapping[str, Any]:
        """Commits, or hashes of files."""
        return {"checkpoints": [dict(member.checkpoint.identity) for member in self.members]}

    @property
    def seed(self) -> int:
        """The number of the series."""
        return self.number

    @property
    def precision(self) -> Precision:
        """The series' precision."""
        return self.members[-1].precision

    def find(self, store: Store) -> MadeProxy | None:
        """The proxy; None unless the facts of all checkpoints are in the store."""
        artifacts = [store.find(KIND, member.checkpoint.identity) for member in self.members]
        last = artifacts[-1]
        if last is None or None in artifacts:
            return None
        return self._made(last)

    def _made(self, artifact: Artifact) -> MadeProxy:
        """The proxy, with the facts of its last checkpoint."""
        facts, last = artifact.json("facts.json"), self.members[-1]
        return MadeProxy(
            points=tuple(
                Point(member.checkpoint, member.label, step, member.tokens)
                for member, step in zip(self.members, steps_of(self.members), strict=True)
            ),
            parameters=facts["parameters"],
            tokens=last.tokens,
            tokenizer=facts["tokenizer"],
            segmentation=facts["segmentation"],
        )

    def make(self, store: Store, name: str, device: str, progress: "Progress") -> MadeProxy:
        """Download missing files and read their facts. Raises InputError for unusable files."""
        artifacts = []
        for member in self.members:

            def build(folder: Path, member: Member = member) -> None:
                facts = describe(member.checkpoint.folder())
                (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

            artifacts.append(store.get_or_build(KIND, member.checkpoint.identity, build))
        return self._made(artifacts[-1])


def describe(folder: Path) -> dict[str, Any]:
    """Parameters and tokenizer of a checkpoint's folder, from its small files and headers."""
    segmentation = segmentation_hash(folder)
    try:
        tokenizer = tokenizer_hash(folder)
    except InputError:
        # Tokenizers in other formats than tokenizer.json can still be loaded.
        tokenizer = segmentation
    return {
        "parameters": count_parameters(folder),
        "tokenizer": tokenizer,
        "segmentation": segmentation,
    }
