"""Counting words: the baseline that Stage 1's proxies have to beat, scored on the same items.

Each candidate with Stage 1 scores whose proxy is trained on text is scored by an n-gram model of
the same tokens (`counting`), in this process or by jobs (`preparation_jobs`). A candidate whose
proxy was given, or trained by a command on other data, has no text here and no such score.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dataselect.corpus.prepare import draw_shares
from dataselect.corpus.shards import SECONDS_BETWEEN_REPORTS
from dataselect.counting import (
    ORDERS,
    SCORES,
    Questions,
    Text,
    Want,
    column,
    find_counted,
    is_counted,
)
from dataselect.counting.counted import Counted, count_missing, mean_over_traces
from dataselect.decisions.agreement import decision_accuracy
from dataselect.decisions.ranking import observed_scores
from dataselect.errors import IncompleteError
from dataselect.stages.experiment import Experiment
from dataselect.stages.preparation_jobs import preparation_jobs
from dataselect.stages.proxy_origins import StageName, text_budget
from dataselect.stages.screen import Screening
from dataselect.stages.watch import Watch

if TYPE_CHECKING:
    import pandas as pd

FIRST = column(1, "trace_nll")
"""The score that stands for counting: the plain NLL of the traces under a unigram model."""
NO_SCORE = "it has no Stage 1 score to compare with"
"""Why a candidate that Stage 1 did not score is not among those counted."""
SHOWN = (FIRST, column(max(ORDERS), "trace_nll"))
"""The scores by counting that are shown beside the proxies' without being asked for."""


@dataclass(frozen=True)
class Counting:
    """Scores of the candidates' texts by counting."""

    tables: Mapping[str, Mapping[str, "pd.DataFrame"]]
    """By score (`counting.column`) and benchmark, items x candidates in nats per token, lower is
    better; the items of Stage 1's tables."""
    scores: Mapping[str, "pd.Series"]
    """By score, the aggregate over benchmarks by candidate, as Stage 1's; lower is better."""
    same_order: Mapping[str, float | None]
    """By score, the share of the pairs that it and Stage 1's rBridge put in the same order, a tie
    one half, in 0..1; None if rBridge ties all."""
    tokens: Mapping[str, int]
    """Tokens counted, by candidate."""
    without: Mapping[str, str]
    """Why each other candidate has no score."""
    exact: bool
    """Whether all numbers of distinct followers are exact, and not estimates."""
    cpu_seconds: float
    """Of reading and scoring each text, in whatever run did it."""


@dataclass(frozen=True)
class CountedTexts:
    """Scores of texts by counting, as they are in the store."""

    tables: Mapping[str, Mapping[str, "pd.DataFrame"]]
    """By score and benchmark, items x candidates in nats per token, lower is better."""
    tokens: Mapping[str, int]
    """Tokens counted, by candidate."""
    exact: bool
    """Whether all numbers of distinct followers are exact, and not estimates."""
    cpu_seconds: float
    """Of reading and scoring each text, in whatever run did it."""


def count_words(experiment: Experiment, screening: Screening) -> Counting | None:
    """The scores by counting; None if fewer than two candidates of the ranking have text.

    Raises InputError for a damaged token stream, IncompleteError for scores that have gone from the
    store meanwhile.
    """
    texts, without = texts_of(experiment)
    scored = screening.scores.scored
    for name in (candidate.id for candidate in experiment.manifest.candidates):
        if name not in scored:
            texts.pop(name, None)
            without[name] = NO_SCORE
    if len(texts) < 2:
        return None
    measured = screening.scores.table("rbridge")
    counted = count_texts(experiment, texts, list(measured))
    tables = {
        score: {name: table.reindex(measured[name].index).dropna() for name, table in each.items()}
        for score, each in counted.tables.items()
    }
    ranking = screening.ranking
    scores = {name: observed_scores(each, ranking.method) for name, each in tables.items()}
    rbridge = ranking.table["score"][list(texts)]
    return Counting(
        tables=tables,
        scores=scores,
        same_order={name: _same_order(each, rbridge) for name, each in scores.items()},
        tokens=counted.tokens,
        without=without,
        exact=counted.exact,
        cpu_seconds=counted.cpu_seconds,
    )


def count_texts(
    experiment: Experiment, texts: Mapping[str, Text], benchmarks: Sequence[str]
) -> CountedTexts:
    """The scores of the candidates' texts on the benchmarks, counted where the store lacks them.

    Raises as `count_words`.
    """
    import pandas as pd

    wants = {
        name: [Want(experiment.evaluations[name], t) for t in experiment.evaluations[name].traces]
        for name in benchmarks
    }
    _count(experiment, texts, [want for each in wants.values() for want in each])
    tables: dict[str, dict[str, pd.DataFrame]] = {}
    facts: dict[str, Mapping[str, Any]] = {}
    for benchmark in benchmarks:
        found = {
            name: [_read(experiment, text, want) for want in wants[benchmark]]
            for name, text in texts.items()
        }
        facts |= {name: sets[0].facts for name, sets in found.items()}
        means = {name: mean_over_traces(sets) for name, sets in found.items()}
        for score in (column(order, score) for order in ORDERS for score in SCORES):
            table = pd.DataFrame({name: each[score] for name, each in means.items()})
            tables.setdefault(score, {})[benchmark] = table
    return CountedTexts(
        tables=tables,
        tokens={name: int(each["tokens"]) for name, each in facts.items()},
        exact=all(each["exact"] for each in facts.values()),
        cpu_seconds=sum(float(each["cpu_seconds"]) for each in facts.values()),
    )


def _same_order(scores: "pd.Series", rbridge: "pd.Series") -> float | None:
    if rbridge.nunique() == 1:
        return None
    return decision_accuracy(scores[rbridge.index], -rbridge).decision_accuracy


def texts_of(experiment: Experiment) -> tuple[dict[str, Text], dict[str, str]]:
    """The text of each candidate that Stage 1 trains on, and why the others have none."""
    manifest, plan, stage = experiment.manifest, experiment.plan, StageName.SCREEN
    texts, without = {}, {}
    for candidate in manifest.candidates:
        name = candidate.id
        budget = text_budget(manifest, plan, stage, experiment.recipes.get(stage), name)
        if budget is None or experiment.tokenizer is None:
            without[name] = "its Stage 1 proxy is not trained on text that is read here"
        else:
            shares = draw_shares(manifest, name, experiment.streams, budget[0])
            texts[name] = Text(shares, experiment.tokenizer)
    return texts, without


def _count(experiment: Experiment, texts: Mapping[str, Text], wants: Sequence[Want]) -> None:
    """Count the texts that lack a score in the store; candidates with the same text share it."""
    store, watch = experiment.store, experiment.watch
    jobs = preparation_jobs(experiment.plan, experiment.runtime)
    if jobs is not None:
        jobs.count(texts, wants)
        return
    questions: Questions | None = None
    for name, text in texts.items():
        if all(is_counted(store, text, want) for want in wants):
            continue
        if questions is None:
            watch.step("Counting words")
            questions = Questions(wants, text.tokenizer)
        count_missing(store, text, wants, questions, _reporter(watch, name, text.tokens))


def _reporter(watch: Watch, name: str, total: int) -> Callable[[int], None]:
    """Shows about twice a second how much of a text has been read."""
    began = reported = time.monotonic()

    def report(tokens: int) -> None:
        nonlocal reported
        now = time.monotonic()
        if now - reported >= SECONDS_BETWEEN_REPORTS or tokens == total:
            reported = now
            rate = tokens / max(now - began, 1e-9)
            fields = {"tokens": tokens, "total_tokens": total, "tokens_per_second": rate}
            watch.progress(name, fields)

    return report


def _read(experiment: Experiment, text: Text, want: Want) -> Counted:
    counted = find_counted(experiment.store, text, want)
    if counted is None:
        raise IncompleteError(
            f"counts have gone from the store {experiment.store.root}; run the same command again"
        )
    return counted
