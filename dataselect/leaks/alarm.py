"""The leak alarm of a run: which candidates hold benchmark items, and the ranking without them.

A candidate that holds a benchmark's items scores well on it without being better data. It stays in
the ranking, because what to do about it is the user's decision: the report names it and adds a
second ranking on the items that no scored candidate holds, the same items for all.

Only text that candidates are trained on here is searched; nothing is known of candidates whose
proxies come from elsewhere.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.corpus.prepare import Budgets, Corpus, Observers, Report, Stream, tokens_drawn
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import Ranking, bootstrap_rank
from dataselect.leaks.candidates import Draw, Leaked, leaked
from dataselect.leaks.parts import Part, Split, parts_of
from dataselect.leaks.scan import Findings
from dataselect.leaks.search import LeakSearch, Scans, Text, scan_sources
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.gather import missing_training, planned_training
from dataselect.store import Store

if TYPE_CHECKING:
    import pandas as pd


_SPLITS: tuple[Split, ...] = ("items", "training")

ALARM_SHARE, ALARM_ITEMS = 0.005, 2
"""The fraction and the number of a benchmark's items that raise the alarm. The report lists fewer
too, but they cannot move a mean far: a large crawl holds some items of any known benchmark."""


@dataclass(frozen=True)
class CleanRanking:
    """A stage's ranking on the items that none of its candidates holds."""

    ranking: Ranking | None
    """Over the benchmarks with items left; None when no benchmark has any."""
    means: Mapping[str, Mapping[str, float]]
    """Scores by benchmark and candidate."""
    left: Mapping[str, int]
    """Items used, by benchmark."""
    left_out: Mapping[str, int]
    """Items left out, by benchmark."""


@dataclass(frozen=True)
class LeakAlarm:
    """The leaks of every candidate of a run."""

    search: LeakSearch
    held: Mapping[str, Mapping[str, Mapping[Split, Leaked]]]
    """By candidate, benchmark and split."""
    unread: tuple[str, ...]
    """Candidates whose text was not searched."""
    notes: tuple[str, ...] = ()
    """What was not searched for."""

    def raised(self, candidate: str, split: Split) -> dict[str, Leaked]:
        """By benchmark, the leaks of a candidate that are enough to raise the alarm."""
        return {
            benchmark: splits[split]
            for benchmark, splits in self.held.get(candidate, {}).items()
            if split in splits and _alarming(splits[split])
        }

    def items(self, candidates: Collection[str]) -> dict[str, set[str]]:
        """Ids of the items that any of the candidates holds, by benchmark."""
        ids: dict[str, set[str]] = {}
        for name in candidates:
            for benchmark, splits in self.held.get(name, {}).items():
                ids.setdefault(benchmark, set()).update(splits["items"].items)
        return ids


def _alarming(leak: Leaked) -> bool:
    return len(leak.items) >= ALARM_ITEMS and leak.share >= ALARM_SHARE


def planned_search(plan: Plan, evaluations: Mapping[str, Evaluation]) -> LeakSearch | None:
    """The search for all of the plan's benchmarks; None where the plan switches the alarm off."""
    if not plan.leaks.enabled:
        return None
    parts: list[Part] = []
    for chosen in plan.benchmarks:
        evaluation = evaluations[chosen.id]
        training = planned_training(plan, chosen)
        parts += parts_of(evaluation.benchmark, evaluation.traces, training)
    return LeakSearch(parts, plan.leaks.ngram, plan.leaks.share)


def not_searched_for(plan: Plan) -> list[str]:
    """A line for each benchmark whose training split is not at hand."""
    if not plan.leaks.enabled:
        return []
    missing = {chosen.id: missing_training(plan, chosen) for chosen in plan.benchmarks}
    return [
        f"{name}: {file} is not in the folder, so the texts are not searched for the items that "
        "worked examples are from"
        for name, file in missing.items()
        if file is not None
    ]


def observers(
    search: LeakSearch | None,
    store: Store,
    fingerprints: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> Observers | None:
    """Observers that search sources for leaks while they are tokenised; None without a search."""
    if search is None:
        return None
    return lambda source: search.observer(store, fingerprints[source], seed)


def scan_candidates(
    search: LeakSearch,
    manifest: Manifest,
    seed: int,
    corpus: Corpus,
    budgets: Budgets,
    store: Store,
    report: Report,
    scan: Scans | None = None,
) -> LeakAlarm:
    """The leaks of the candidates, from the documents of their sources' streams.

    `scan` reads elsewhere the sources that were not searched yet.
    """
    texts = {
        name: Text(corpus.fingerprints[name], seed, int(stream.index["documents"]))
        for name, stream in corpus.streams.items()
    }
    findings = scan_sources(
        search, manifest, texts, store, lambda name: report(f"{name}: looking for leaks", {}), scan
    )
    read = [candidate.id for candidate in manifest.candidates if budgets.get(candidate.id)]
    held = {
        name: _held(search, findings, _draws(manifest, name, corpus.streams, budgets))
        for name in read
    }
    unread = tuple(c.id for c in manifest.candidates if c.id not in held)
    return LeakAlarm(search, held, unread)


def _draws(
    manifest: Manifest, candidate: str, streams: Mapping[str, Stream], budgets: Budgets
) -> dict[str, Draw]:
    """How a candidate's longest training run draws on each source, by source id."""
    draws = {}
    for source, share in manifest.shares(candidate).items():
        tokens = max(tokens_drawn(*budget, share) for budget in budgets[candidate])
        draws[source] = Draw(share, min(1.0, tokens / streams[source].tokens))
    return draws


def _held(
    search: LeakSearch, findings: Mapping[str, Findings], draws: Mapping[str, Draw]
) -> dict[str, dict[Split, Leaked]]:
    held: dict[str, dict[Split, Leaked]] = {}
    for (benchmark, split), ids in search.items.items():
        leak = leaked(draws, findings, benchmark, split, len(ids))
        held.setdefault(benchmark, {})[split] = leak
    return held


def warnings(alarm: LeakAlarm) -> list[str]:
    """A line for each candidate and benchmark that raises the alarm."""
    phrases = {"items": "items of {}", "training": "items that {}'s worked examples are from"}
    return [
        f"{name} holds {len(leak.items):,} of the {leak.total:,} "
        f"{phrases[split].format(benchmark)} ({len(leak.whole):,} word for word)"
        for name in alarm.held
        for split in _SPLITS
        for benchmark, leak in alarm.raised(name, split).items()
    ]


def rank_clean(
    alarm: LeakAlarm,
    tables: Mapping[str, "pd.DataFrame"],
    ranking: Ranking,
    bootstrap: Bootstrap,
) -> CleanRanking | None:
    """`ranking` repeated without leaked items; `tables` are items x candidates, by benchmark.

    None where no candidate holds any item, so that nothing would change.
    """
    names = list(ranking.table.index)
    leaks = alarm.items(names)
    left, left_out = {}, {}
    clean = {}
    for benchmark, table in tables.items():
        kept = table[~table.index.isin(leaks.get(benchmark, set()))]
        left[benchmark], left_out[benchmark] = len(kept), len(table) - len(kept)
        if len(kept):
            clean[benchmark] = kept
    if not any(left_out.values()):
        return None
    if not clean:
        return CleanRanking(None, {}, left, left_out)
    again = bootstrap_rank(
        clean,
        ranking.method,
        k=ranking.k,
        bootstrap=replace(bootstrap, confidence=ranking.confidence),
        # z-scores are over the candidates on the items that are left.
        units=None
        if ranking.units is None or ranking.units.kind == "candidates"
        else ranking.units,
    )
    means = {
        benchmark: {name: float(table[name].mean()) for name in names}
        for benchmark, table in clean.items()
    }
    return CleanRanking(again, means, left, left_out)
