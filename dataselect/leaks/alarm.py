"""The leak alarm of a run: which candidates hold the benchmarks, and the ranking without that.

A candidate that holds a benchmark's items scores well on it for a reason that the target will
not have, or not be wanted to have. It is not struck from the ranking, because what to do about it
is the user's decision: it is named, and the ranking is made a second time on the items that no
scored candidate holds, the same items for all.

Looked at is the text that candidates are trained on here. Of a candidate whose proxies come from
elsewhere nothing can be said.
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
from dataselect.leaks.search import LeakSearch, Text, scan_sources
from dataselect.scoring.evaluate import Evaluation
from dataselect.scoring.gather import planned_training
from dataselect.store import Store

if TYPE_CHECKING:
    import pandas as pd


_SPLITS: tuple[Split, ...] = ("items", "training")

ALARM_SHARE, ALARM_ITEMS = 0.005, 2
"""The share of a benchmark's items, and the number, that raise the alarm. Fewer are told in the
report, but cannot move a mean far: a large crawl holds some items of any well-known benchmark."""


@dataclass(frozen=True)
class CleanRanking:
    """A stage's ranking on the items that none of its candidates holds.

    `left` and `left_out` count items by benchmark; `means` are the scores by benchmark and
    candidate. A benchmark of which nothing is left has no part in it; `ranking` is None when
    nothing is left of any.
    """

    ranking: Ranking | None
    means: Mapping[str, Mapping[str, float]]
    left: Mapping[str, int]
    left_out: Mapping[str, int]


@dataclass(frozen=True)
class LeakAlarm:
    """What every candidate with text holds, by candidate, benchmark and split.

    `unread` are candidates whose text was not looked at.
    """

    search: LeakSearch
    held: Mapping[str, Mapping[str, Mapping[Split, Leaked]]]
    unread: tuple[str, ...]

    def raised(self, candidate: str, split: Split) -> dict[str, Leaked]:
        """By benchmark, what a candidate holds that is enough to raise the alarm."""
        return {
            benchmark: splits[split]
            for benchmark, splits in self.held.get(candidate, {}).items()
            if split in splits and _alarming(splits[split])
        }

    def items(self, candidates: Collection[str]) -> dict[str, set[str]]:
        """The items of each benchmark that any of the candidates holds."""
        found: dict[str, set[str]] = {}
        for name in candidates:
            for benchmark, splits in self.held.get(name, {}).items():
                found.setdefault(benchmark, set()).update(splits["items"].items)
        return found


def _alarming(found: Leaked) -> bool:
    return len(found.items) >= ALARM_ITEMS and found.share >= ALARM_SHARE


def planned_search(plan: Plan, evaluations: Mapping[str, Evaluation]) -> LeakSearch | None:
    """What the plan has us look for; None where it switches the alarm off."""
    if not plan.leaks.enabled:
        return None
    parts: list[Part] = []
    for chosen in plan.benchmarks:
        evaluation = evaluations[chosen.id]
        training = planned_training(plan, chosen)
        parts += parts_of(evaluation.benchmark, evaluation.traces, training)
    return LeakSearch(parts, plan.leaks.ngram, plan.leaks.share)


def observers(
    search: LeakSearch | None,
    store: Store,
    fingerprints: Mapping[str, Mapping[str, Any]],
    seed: int,
) -> Observers | None:
    """Who looks for leaks in the sources that are tokenised now."""
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
) -> LeakAlarm:
    """What the candidates hold, from the documents behind their streams."""
    texts = {
        name: Text(corpus.fingerprints[name], seed, int(stream.index["documents"]))
        for name, stream in corpus.streams.items()
    }
    findings = scan_sources(
        search, manifest, texts, store, lambda name: report(f"{name}: looking for leaks", {})
    )
    read = [candidate.id for candidate in manifest.candidates if budgets.get(candidate.id)]
    held = {
        name: _held(search, findings, _draws(manifest, name, corpus.streams, budgets))
        for name in read
    }
    unread = tuple(each.id for each in manifest.candidates if each.id not in held)
    return LeakAlarm(search, held, unread)


def _draws(
    manifest: Manifest, candidate: str, streams: Mapping[str, Stream], budgets: Budgets
) -> dict[str, Draw]:
    """From which sources a candidate's longest training draws, and how far into each."""
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
        found = leaked(draws, findings, benchmark, split, len(ids))
        held.setdefault(benchmark, {})[split] = found
    return held


def warnings(alarm: LeakAlarm) -> list[str]:
    """A line for each candidate and benchmark that the alarm is raised for."""
    named = {"items": "items of {}", "training": "items that {}'s worked examples are from"}
    return [
        f"{name} holds {len(found.items):,} of the {found.total:,} "
        f"{named[split].format(benchmark)} ({len(found.whole):,} word for word)"
        for name in alarm.held
        for split in _SPLITS
        for benchmark, found in alarm.raised(name, split).items()
    ]


def rank_clean(
    alarm: LeakAlarm,
    tables: Mapping[str, "pd.DataFrame"],
    ranking: Ranking,
    bootstrap: Bootstrap,
) -> CleanRanking | None:
    """The ranking of items x candidates tables again, without leaked items.

    None where none of the candidates holds any, so that nothing would change.
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
    )
    means = {
        benchmark: {name: float(table[name].mean()) for name in names}
        for benchmark, table in clean.items()
    }
    return CleanRanking(again, means, left, left_out)
