"""A proxy that exists: checkpoints on the Hub or in folders, which nothing here has to train.

What has to be known of a checkpoint besides its scores (parameters, tokenizer) is read from its
files once and kept as an artifact, so that a run in which all is scored needs neither the weights
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
    """See `ProxySource`. `members` are the checkpoints to be scored, oldest first.

    `number` tells the series of one candidate apart.
    """

    members: tuple[Member, ...]
    number: int = 0

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
        """What the series says."""
        return self.members[-1].precision

    def find(self, store: Store) -> MadeProxy | None:
        """The checkpoints, if their files have been looked at."""
        found = [store.find(KIND, member.checkpoint.identity) for member in self.members]
        last = found[-1]
        if last is None or None in found:
            return None
        return self._made(last)

    def _made(self, artifact: Artifact) -> MadeProxy:
        """The proxy, by the facts of the last checkpoint."""
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
        """Bring the files here if they are not, and look at them. Raises InputError."""
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
        # Tokenizers of other forms than tokenizer.json are loaded all the same.
        tokenizer = segmentation
    return {
        "parameters": count_parameters(folder),
        "tokenizer": tokenizer,
        "segmentation": segmentation,
    }
