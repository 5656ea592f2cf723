"""The traces scored by n-gram counts of the candidates' texts, drawn anew for each seed."""

from pathlib import Path

import numpy as np

from dataselect.corpus.packing import Part
from dataselect.corpus.prepare import tokens_drawn
from dataselect.corpus.shards import write_tokens
from dataselect.counting import ORDERS, column
from dataselect.counting.count import count
from dataselect.counting.trie import NgramTrie
from dataselect.counting.witten_bell import token_nll
from dataselect.scoring.prepare import PreparedItem
from dataselect.scoring.rbridge import rbridge
from dataselect.stages.experiment import Experiment
from dataselect.synthetic.genres import documents

FIRST_SEED = 100
"""Of the texts that are counted, so that an interval over draws is one over texts."""
LENGTH = 128
"""Tokens of a training sequence, to whole numbers of which shares are rounded up."""
LONGEST = 410_000
"""More tokens than any proxy reads."""


class Counting:
    """Scores of texts by counting, on the same items and tokens as the proxies."""

    def __init__(
        self, experiment: Experiment, items: tuple[PreparedItem, ...], folder: Path
    ) -> None:
        """Token streams are kept in `folder`."""
        assert experiment.tokenizer is not None, "prepared where anything is trained"
        self._manifest, self._tokenizer = experiment.manifest, experiment.tokenizer
        self._items, self._folder = items, folder
        before = [item.context_ids[1 - max(ORDERS) :] for item in items]
        self._trie = NgramTrie(
            [(*context, *item.trace_ids) for context, item in zip(before, items, strict=True)],
            max(ORDERS),
            self._tokenizer.vocab_size,
        )
        self._begins = self._trie.starts + [len(context) for context in before]

    def scores(self, candidate: str, tokens: int, draw: int) -> dict[str, float]:
        """Means over the items by each order, as R^φ and as rBridge, in nats per token."""
        sources = self._manifest.text_sources()
        parts = [
            Part(str(self._stream(str(sources[name].name), draw)), tokens_drawn(tokens, LENGTH, s))
            for name, s in self._manifest.shares(candidate).items()
        ]
        nll = token_nll(self._trie, count(self._trie, parts))
        scores: dict[str, list[float]] = {}
        for begin, item in zip(self._begins, self._items, strict=True):
            for order, losses in zip(
                ORDERS, nll[:, begin : begin + len(item.trace_ids)], strict=True
            ):
                plain = losses[~np.isnan(item.token_weights)].mean()
                scores.setdefault(column(order, "trace_nll"), []).append(float(plain))
                weighed = rbridge(losses, item.token_weights)
                scores.setdefault(column(order, "rbridge"), []).append(weighed)
        return {name: float(np.mean(each)) for name, each in scores.items()}

    def _stream(self, genre: str, draw: int) -> Path:
        place = self._folder / f"{genre}-{draw}-{LONGEST}"
        if not (place / "index.json").exists():
            write_tokens(
                documents(genre, FIRST_SEED + draw),
                self._tokenizer.folder,
                LONGEST,
                place,
                processes=1,
                progress=lambda _: None,
            )
        return place
