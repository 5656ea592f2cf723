"""How far a whole run is, in words, and the ranking of a stage before the report: for the live
display and for `dataselect status`, in 80 columns."""

import math
from collections.abc import Mapping

from rich.table import Table

from dataselect.report import numbers
from dataselect.report.console import add_row, plain_table
from dataselect.stages.progress import Progress
from dataselect.stages.work import StageRanking
from dataselect.units import format_count, format_seconds

_SCORES = {"rbridge": "rBridge", "accuracy": "accuracy", "answer_nll": "answer NLL"}


def overall(progress: Progress) -> str:
    """How many of the part's proxies are done, and the time left of the whole; "" if nothing is
    known of them."""
    part = progress.part
    if part is None or part.total is None:
        return ""
    done = counts(part.done, part.runs("failed"), part.total)
    left = left_words(progress.seconds_left(), progress.at_most)
    return f"{done}; {left}"


def counts(done: int, failed: int, total: int | None = None) -> str:
    """ "3 of 10 done, 1 failed"."""
    of = "" if total is None else f" of {total}"
    return f"{done}{of} done" + (f", {failed} failed" if failed else "")


def speed_words(fields: Mapping[str, object]) -> str:
    """ "22.3k tok/s" or "4.5 items/s"; "" if no speed is known."""
    for unit, word in (("tokens", "tok"), ("items", "items")):
        rate = fields.get(f"{unit}_per_second")
        if isinstance(rate, int | float) and math.isfinite(rate):
            rate = max(rate, 0)
            shown = f"{rate:.2g}" if rate < 10 else format_count(rate)
            return f"{shown} {word}/s"
    return ""


def loss_words(loss: float | None, peers: float | None) -> str:
    """ "loss 1.842 (others 1.90)": beside it the median of other trainings that are as far."""
    if loss is None:
        return ""
    return f"loss {loss:.3f}" + ("" if peers is None else f" (others {peers:.2f})")


def score_words(fields: Mapping[str, object]) -> str:
    """ ", rBridge 1.234": the mean of what was measured; "" if it is none that is followed."""
    for name, title in _SCORES.items():
        value = fields.get(name)
        if isinstance(value, int | float) and math.isfinite(value):
            return f", {title} {value:.3f}"
    return ""


def left_words(seconds: float | None, at_most: bool = False) -> str:
    """The time left of the whole: "about 25m left in all"."""
    if seconds is None:
        return "time left not known yet"
    if seconds < 1:
        return "nearly done"
    limit = "at most " if at_most else "about "
    return f"{limit}{about(seconds)} left in all"


def about(seconds: float) -> str:
    """A duration that is an estimate, in few digits: "40s", "25m", "3h 20m"."""
    for size, step in ((60, 10), (3_600, 60), (36_000, 600), (864_000, 3_600)):
        if seconds < size:
            return format_seconds(max(step, round(seconds / step) * step))
    return format_seconds(round(seconds / 86_400) * 86_400)


def ranking_table(ranking: StageRanking) -> Table:
    """The ranking of a stage that prunes, and who goes on."""
    table = plain_table()
    table.add_column("", justify="right", no_wrap=True)
    table.add_column(f"{ranking.title} ranks", overflow="fold")
    for heading in ("score", f"P(best {ranking.keep})"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    for row in ranking.rows:
        add_row(
            table,
            str(row.rank),
            row.id,
            numbers.score_text({"score": row.score, "low": row.low, "high": row.high}),
            numbers.probability(row.p_top_k),
            "goes on" if row.goes_on else "",
        )
    for name, why in ranking.without.items():
        add_row(table, "–", name, "–", "–", f"no score: {why}")
    return table
