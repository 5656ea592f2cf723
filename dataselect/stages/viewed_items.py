"""Some items of a run that was made, as people look at them: traces, scores and token NLLs.

Scores are read from the store, by the checkpoints that report.json names, and are those that the
ranking was made of. Token NLLs are computed for the items looked at (`scoring.token_nlls`), and
compared with the score of the item: a checkpoint that does not give its own score again is told.
Where a checkpoint is gone, its items have scores alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dataselect.benchmarks.items import Item
from dataselect.decisions.item_differences import PairOnItems, most_different, pair_on_items, spread
from dataselect.errors import DataselectError, InputError
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.measured import find
from dataselect.scoring.token_nlls import ROUNDING, TokenNlls, TokenReader, mean_tokens
from dataselect.stages.recorded_checkpoints import RecordedCheckpoint
from dataselect.stages.scores import items_by_checkpoint, over_checkpoints
from dataselect.stages.screen import RANKED_BY
from dataselect.store import Store
from dataselect.traces.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

Checkpoints = Mapping[str, Sequence[RecordedCheckpoint]]
"""The scored checkpoints of each candidate."""


@dataclass(frozen=True)
class ScoredBenchmark:
    """What a stage measured on a benchmark."""

    evaluation: Evaluation
    """Items and traces."""
    table: "pd.DataFrame"
    """Items x candidates of rBridge, in nats per token, in the ranking's order of candidates."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Why items have no score, by id."""
    leaked: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By item, the candidates whose text holds it."""

    @property
    def id(self) -> str:
        """The benchmark's id."""
        return self.evaluation.benchmark.id


@dataclass(frozen=True)
class ViewedTrace:
    """A frontier model's trace of an item."""

    model: str
    """The frontier model."""
    trace: Trace
    """The trace."""
    tokens: Mapping[str, TokenNlls]
    """By candidate, mean over its checkpoints; those whose checkpoints are gone are not there."""

    @property
    def text(self) -> str:
        """The letters that the spans of tokens count."""
        return self.trace.text.strip()


@dataclass(frozen=True)
class ViewedItem:
    """An item to look at."""

    item: Item
    """Question and gold answer."""
    scores: Mapping[str, float]
    """rBridge by candidate, in nats per token; empty where it is left out."""
    spread: float | None
    """How much the candidates differ on it (`decisions.item_differences.spread`)."""
    traces: tuple[ViewedTrace, ...]
    """One for each frontier model that has one."""
    left_out: str | None
    """Why it counts for no candidate; None if it counts."""
    leaked: tuple[str, ...]
    """The candidates whose text holds it."""


@dataclass(frozen=True)
class ViewedBenchmark:
    """A benchmark's items to look at."""

    scored: ScoredBenchmark
    """All its items."""
    items: tuple[ViewedItem, ...]
    """Those shown, by falling spread unless they were named."""
    candidates: tuple[str, ...]
    """The candidates whose token NLLs are shown, in the ranking's order."""
    pair: PairOnItems | None
    """The two that are compared; None where there is one candidate alone."""
    notes: tuple[str, ...]
    """What is missing, or does not agree."""


def read_scores(
    store: Store, evaluation: Evaluation, checkpoints: Checkpoints, left_out: Mapping[str, str]
) -> "pd.DataFrame":
    """Items x candidates of rBridge, on the items that all candidates have, without `left_out`.

    Raises InputError where the store lacks the scores of a candidate.
    """
    measured = {}
    for name, each in checkpoints.items():
        for number, checkpoint in enumerate(each):
            found = find(store, checkpoint, evaluation, "scores")
            if found is None:
                raise InputError(
                    "--store",
                    f"{store.root} has no scores of {name} on {evaluation.benchmark.id}",
                    "name the store of the run, or run the same command again",
                )
            measured[name, 0, number] = found
    table = over_checkpoints(items_by_checkpoint(measured, RANKED_BY))
    return table[~table.index.isin(list(left_out))][list(checkpoints)]


def view_items(
    store: Store,
    benchmarks: Sequence[ScoredBenchmark],
    checkpoints: Checkpoints,
    candidates: Sequence[str],
    *,
    count: int,
    named: Sequence[str] = (),
    device: str,
    report: Callable[[str], None],
) -> list[ViewedBenchmark]:
    """The items of each benchmark on which the candidates differ most, `count` of each.

    `candidates` are those whose tokens are shown, of whom the first two are compared; spread is
    that of all scored candidates, and of the two where they are two. `named`: ids of the items to
    show in place of these; a benchmark that has none of them is left out.
    """
    shown: dict[str, list[str]] = {}
    for each in benchmarks:
        over = each.table if len(candidates) != 2 else each.table[list(candidates)]
        ids = [item.id for item in each.evaluation.benchmark.items]
        chosen = [item for item in dict.fromkeys(named) if item in ids or item in each.left_out]
        if not named:
            chosen = most_different(over, count)
        if chosen:
            shown[each.id] = chosen
    looked_at = [each for each in benchmarks if each.id in shown]
    tokens, notes = _tokens(store, looked_at, shown, checkpoints, candidates, device, report)
    return [_view(each, shown[each.id], candidates, tokens, notes) for each in looked_at]


_Place = tuple[str, int, str]
"""Benchmark, number of the set of traces, item."""
_Tokens = dict[_Place, dict[str, TokenNlls]]


def _tokens(
    store: Store,
    benchmarks: Sequence[ScoredBenchmark],
    shown: Mapping[str, Sequence[str]],
    checkpoints: Checkpoints,
    candidates: Sequence[str],
    device: str,
    report: Callable[[str], None],
) -> tuple[_Tokens, dict[str, list[str]]]:
    """The tokens of each shown trace by candidate, and notes by benchmark."""
    found: _Tokens = {}
    notes: dict[str, list[str]] = {each.id: [] for each in benchmarks}
    for name in candidates:
        of_candidate: dict[_Place, list[TokenNlls]] = {}
        gone = None
        # One checkpoint at a time is in memory.
        for checkpoint in checkpoints[name]:
            reader = TokenReader(store, checkpoint, device, checkpoint.name, report)
            try:
                for each in benchmarks:
                    read, differing = _read(store, reader, checkpoint, each, shown[each.id])
                    notes[each.id] += differing
                    for place, tokens in read.items():
                        of_candidate.setdefault(place, []).append(tokens)
            except DataselectError as error:
                gone = str(error)
                break
        if gone is not None:
            for of in notes.values():
                of.append(f"{name} has scores alone, without tokens: {gone}")
            continue
        for place, several in of_candidate.items():
            mean = mean_tokens(several)
            if mean is not None:
                found.setdefault(place, {})[name] = mean
    return found, notes


def _read(
    store: Store,
    reader: TokenReader,
    checkpoint: RecordedCheckpoint,
    benchmark: ScoredBenchmark,
    shown: Sequence[str],
) -> tuple[dict[_Place, TokenNlls], list[str]]:
    """The tokens of a checkpoint, and what does not agree with its scores."""
    evaluation, notes = benchmark.evaluation, []
    found: dict[_Place, TokenNlls] = {}
    for number, traces in enumerate(evaluation.traces):
        alone = replace(evaluation, traces=(traces,))
        measured = find(store, checkpoint, alone, "scores")
        scores = {} if measured is None else measured.by_item[RANKED_BY].to_dict()
        scored = [item for item in shown if item in scores and item in benchmark.table.index]
        tokens = reader.read(evaluation, traces, scored) if scored else {}
        for item, each in tokens.items():
            found[benchmark.id, number, item] = each
            if not abs(each.score - scores[item]) <= ROUNDING[reader.precision]:
                notes.append(
                    f"{checkpoint.name} is not what was scored: its tokens give item {item} "
                    f"{each.score:.4f} nats per token, and its score is {scores[item]:.4f}"
                )
    return found, notes


def _view(
    benchmark: ScoredBenchmark,
    shown: Sequence[str],
    candidates: Sequence[str],
    tokens: _Tokens,
    notes: Mapping[str, Sequence[str]],
) -> ViewedBenchmark:
    evaluation, table = benchmark.evaluation, benchmark.table
    by_id = {item.id: item for item in evaluation.benchmark.items}
    spreads = spread(table if len(candidates) != 2 else table[list(candidates)])
    rows = table.to_dict("index")
    items = []
    for name in shown:
        counted = name in rows
        traces = tuple(
            ViewedTrace(
                each.header.model, each.traces[name], tokens.get((benchmark.id, number, name), {})
            )
            for number, each in enumerate(evaluation.traces)
            if name in each.traces
        )
        items.append(
            ViewedItem(
                # One that is malformed was left out before its text was read.
                by_id.get(name, Item(name, "", "")),
                {str(who): float(value) for who, value in rows.get(name, {}).items()},
                float(spreads[name]) if counted else None,
                traces,
                None if counted else benchmark.left_out.get(name, "it has no score"),
                benchmark.leaked.get(name, ()),
            )
        )
    pair = pair_on_items(table, *candidates[:2]) if len(candidates) > 1 else None
    own = tuple(dict.fromkeys(notes[benchmark.id]))
    return ViewedBenchmark(benchmark, tuple(items), tuple(candidates), pair, own)
