"""A proxy that is trained here, on the candidate's own tokens (`proxies.make`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataselect.corpus.segmentation import segmentation_hash
from dataselect.proxies.layout import ONE_PROCESS, Layout
from dataselect.proxies.make import (
    KIND,
    Proxy,
    ProxyRequest,
    checkpoint_name,
    find_proxy,
    make_proxy,
)
from dataselect.proxy_sources.source import MadeProxy, Origin, Point
from dataselect.scoring.checkpoint import Precision, TrainedCheckpoint
from dataselect.store import Store

if TYPE_CHECKING:
    from dataselect.proxies.train import Progress


@dataclass(frozen=True)
class TrainedHere:
    """See `ProxySource`."""

    request: ProxyRequest
    late: int = 1
    """Score this many of the last checkpoints."""
    layout: Layout = ONE_PROCESS

    origin: Origin = "trained here"
    kind: str = KIND
    precision: Precision = "float32"

    @property
    def spec(self) -> Mapping[str, Any]:
        """The recipe, the tokenizer and the token streams."""
        return self.request.spec

    @property
    def seed(self) -> int:
        """The recipe's seed."""
        return self.request.recipe.seed

    def find(self, store: Store) -> MadeProxy | None:
        """The proxy, also if it diverged; None if it is not in the store."""
        proxy = find_proxy(store, self.request)
        return None if proxy is None else self._made(proxy)

    def make(self, store: Store, name: str, device: str, progress: "Progress") -> MadeProxy:
        """The proxy, trained if it is not in the store."""
        made = make_proxy(store, self.request, name, device, progress, self.layout)
        return self._made(made)

    def _made(self, proxy: Proxy) -> MadeProxy:
        recipe = self.request.recipe
        diverged, steps = None, recipe.checkpoint_steps()[-self.late :]
        if proxy.diverged:
            diverged = f"the loss was no number after {proxy.facts['steps']:,} steps"
            steps = []
        per_step = recipe.batch_size * recipe.sequence_length
        return MadeProxy(
            points=tuple(
                Point(TrainedCheckpoint(proxy, step), checkpoint_name(step), step, step * per_step)
                for step in steps
            ),
            parameters=recipe.parameters,
            tokens=recipe.tokens,
            tokenizer=self.request.tokenizer_hash,
            segmentation=segmentation_hash(self.request.tokenizer),
            diverged=diverged,
            trained_on=proxy.trained_on,
        )
