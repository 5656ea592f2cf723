"""Scores of traces by counting, as artifacts: counted once, then read from the store.

The traces are prepared as for a proxy (`scoring.prepare`), so the tokens are the same, the token
weights are the same, and tokens without a weight are left out alike. All benchmarks are counted in
one reading of the text, and kept apart, one artifact for each benchmark and set of traces. Nothing
here loads torch.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.prepare import Share
from dataselect.formats.parquet_table import read_table
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.rbridge import METRIC_VERSION, rbridge
from dataselect.store import Artifact, Store
from dataselect.traces.trace import TraceSet

if TYPE_CHECKING:
    import pandas as pd

    from dataselect.scoring.prepare import PreparedItem

KIND = "counted"
COUNTING_VERSION = 2
"""Increase it whenever the same text and traces would get other scores: another model, smoothing or
way of counting. 2: an estimated number of followers is at least 1 for a context that was seen."""
ORDERS = (1, 2, 3, 4, 5)
SCORES = ("trace_nll", "rbridge")

_TABLE = "scores.parquet"
UNBOUNDED = 1 << 30
"""Counting has no longest input. A context that loses worked examples keeps its end, and no order
looks further back."""


def column(order: int, score: str) -> str:
    """The name of a score by counting, such as "ngram1_trace_nll"."""
    return f"ngram{order}_{score}"


@dataclass(frozen=True)
class Text:
    """The text of a candidate, in the shares that a proxy draws."""

    shares: tuple[Share, ...]
    """Streams, with the tokens drawn from each."""
    tokenizer: Tokenizer
    """The tokenizer of the streams."""

    @property
    def tokens(self) -> int:
        """Tokens drawn in all."""
        return sum(share.tokens for share in self.shares)


@dataclass(frozen=True)
class Want:
    """A benchmark and one set of its traces, to be scored."""

    evaluation: Evaluation
    traces: TraceSet

    def spec(self, text: Text) -> dict[str, Any]:
        """Everything that determines the scores."""
        scope = self.evaluation.weight_scope
        return {
            "counting": COUNTING_VERSION,
            "metric": METRIC_VERSION,
            "orders": len(ORDERS),
            "tokenizer": text.tokenizer.hash,
            "data": [{"stream": each.stream, "tokens": each.tokens} for each in text.shares],
            "benchmark": self.evaluation.benchmark.content_hash,
            "traces": self.traces.hash,
            **({} if scope == "trace" else {"weights": scope}),
        }


@dataclass(frozen=True)
class Counted:
    """One benchmark's scores by one text."""

    table: "pd.DataFrame"
    """A row for each item: `item`, and a column for each order and score (`column`), in nats per
    token, lower is better."""
    facts: Mapping[str, Any]
    """`tokens` counted; `exact`, false where distinct followers are estimates; `cpu_seconds` of
    the reading, which all benchmarks that were counted with it share."""


def find_counted(store: Store, text: Text, want: Want) -> Counted | None:
    """The scores; None if they are not in the store."""
    artifact = store.find(KIND, want.spec(text))
    return None if artifact is None else _read(artifact)


def is_counted(store: Store, text: Text, want: Want) -> bool:
    """Whether the scores are in the store."""
    return store.find(KIND, want.spec(text)) is not None


class Questions:
    """What texts are counted for: the traces of all that is wanted, as token n-grams.

    Made once for all texts of a tokenizer.
    """

    def __init__(self, wants: Sequence[Want], tokenizer: Tokenizer) -> None:
        """Raises InputError where the tokenizer cannot be loaded."""
        from dataselect.corpus.tokenizer import load_tokenizer
        from dataselect.counting.trie import NgramTrie
        from dataselect.scoring.prepare import prepare

        loaded = load_tokenizer(tokenizer.folder)
        self._wants = tuple(wants)
        self._items: list[tuple[PreparedItem, ...]] = [
            prepare(
                want.evaluation.benchmark,
                want.traces,
                loaded,
                UNBOUNDED,
                want.evaluation.weight_scope,
            ).items
            for want in wants
        ]
        items = [item for of_want in self._items for item in of_want]
        contexts = [item.context_ids[1 - max(ORDERS) :] for item in items]
        vocabulary = max(loaded.get_vocab().values()) + 1
        self._trie = NgramTrie(
            [(*context, *item.trace_ids) for context, item in zip(contexts, items, strict=True)],
            max(ORDERS),
            vocabulary,
        )
        self._begins = self._trie.starts + [len(context) for context in contexts]

    def answer(
        self, store: Store, text: Text, progress: Callable[[int], object] = lambda _: None
    ) -> None:
        """Count the text in one reading and publish the scores that the store lacks.

        `progress` gets the tokens counted so far. Raises InputError for a damaged stream.
        """
        from dataselect.corpus.packing import Part
        from dataselect.counting.count import count
        from dataselect.counting.witten_bell import token_nll

        cpu = time.process_time()
        parts = [Part(str(share.folder), share.tokens) for share in text.shares]
        counts = count(self._trie, parts, progress)
        nll = token_nll(self._trie, counts)
        facts = {
            "tokens": counts.tokens,
            "exact": counts.exact,
            "cpu_seconds": time.process_time() - cpu,
        }
        begins = iter(self._begins.tolist())
        for want, items in zip(self._wants, self._items, strict=True):
            losses = [nll[:, (at := next(begins)) : at + len(item.trace_ids)] for item in items]
            table = _table(items, losses)

            def build(folder: Path, table: "pd.DataFrame" = table) -> None:
                table.to_parquet(folder / _TABLE, index=False)
                (folder / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")

            store.get_or_build(KIND, want.spec(text), build)


def count_missing(
    store: Store,
    text: Text,
    wants: Sequence[Want],
    questions: Questions,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Count the text where the store lacks one of the scores, unless another process does so now.

    `questions` are those of `wants`. Raises as `Questions.answer`.
    """
    for want in wants:
        # The first that is missing brings all others.
        store.get_or_claim(KIND, want.spec(text), lambda _: questions.answer(store, text, progress))


def _table(items: "Sequence[PreparedItem]", nll: Sequence[NDArray[np.float64]]) -> "pd.DataFrame":
    """The scores of each item from the NLL of its trace's tokens, orders x tokens."""
    import pandas as pd

    rows = []
    for item, by_order in zip(items, nll, strict=True):
        weighted = ~np.isnan(item.token_weights)
        row: dict[str, Any] = {"item": item.item_id}
        for order, losses in zip(ORDERS, by_order, strict=True):
            # The same tokens as rBridge, so that the two differ by the weights alone.
            row[column(order, "trace_nll")] = float(losses[weighted].mean())
            row[column(order, "rbridge")] = rbridge(losses, item.token_weights)
        rows.append(row)
    columns = ["item", *(column(order, score) for order in ORDERS for score in SCORES)]
    return pd.DataFrame(rows, columns=columns)


def mean_over_traces(sets: Sequence[Counted]) -> "pd.DataFrame":
    """Items x scores: the mean over a text's scores by several sets of traces, on the items that
    all have."""
    first, *others = (each.table.set_index("item") for each in sets)
    return (sum(others, first) / len(sets)).dropna()


def _read(artifact: Artifact) -> Counted:
    return Counted(read_table(artifact.file(_TABLE)), artifact.json("facts.json"))
