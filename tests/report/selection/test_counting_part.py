"""The sentence on counting words, and its section in the README."""

from collections.abc import Callable, Mapping

import pandas as pd

from dataselect.counting import ORDERS, SCORES, column
from dataselect.pipeline import Selection
from dataselect.report.numbers import metric_name
from dataselect.report.selection.counting import counting_lines, counting_part
from dataselect.stages.counting import Counting

MakeSelection = Callable[..., Selection]
NAMES = [column(order, score) for order in ORDERS for score in SCORES]


def counted(
    values: Mapping[str, float],
    *,
    same_order: float | None = 0.8,
    without: Mapping[str, str] | None = None,
    exact: bool = True,
) -> Counting:
    """Counting that gives every order the same scores."""
    table = pd.DataFrame({name: [value, value + 0.5] for name, value in values.items()})
    return Counting(
        tables={name: {"sums": table} for name in NAMES},
        scores={name: pd.Series(values) for name in NAMES},
        same_order=dict.fromkeys(NAMES, same_order),
        tokens=dict.fromkeys(values, 1_000_000),
        without=without or {},
        exact=exact,
        cpu_seconds=12.0,
    )


def sentence(counting: Counting, winner: str | None) -> str:
    part = counting_part(counting, winner)
    assert part is not None
    return str(part["text"])


def test_the_sentence_says_whom_counting_would_have_chosen() -> None:
    counting = counted({"web": 2.0, "code": 1.0, "books": 3.0})
    text = "Counting words alone (unigrams) would have chosen code"
    agrees = "; it agrees with rBridge on 80% of the pairs."
    assert sentence(counting, "web") == f"{text}{agrees}"
    assert sentence(counting, "code") == f"{text} too{agrees}"
    assert sentence(counting, None) == f"{text}{agrees}"


def test_ties_and_candidates_without_text_are_named() -> None:
    tied = counted({"web": 1.0, "code": 1.0}, without={"given": "it has no text"})
    assert sentence(tied, "code") == (
        "Counting words alone (unigrams) would have chosen web or code of the 2 of 3 candidates "
        "with text here; it agrees with rBridge on 80% of the pairs."
    )


def test_where_rbridge_ties_all_there_is_nothing_to_agree_with() -> None:
    assert sentence(counted({"web": 1.0, "code": 2.0}, same_order=None), "code") == (
        "Counting words alone (unigrams) would have chosen web."
    )


def test_ranks_and_nats_of_every_order_are_in_the_part() -> None:
    part = counting_part(counted({"web": 2.0, "code": 1.0, "same": 1.0}), None)
    assert part is not None
    assert list(part["scores"]) == NAMES
    assert part["ranks"]["ngram5_rbridge"] == {"web": 3, "code": 1, "same": 1}
    assert part["benchmarks"]["ngram1_trace_nll"] == {
        "sums": {"web": 2.25, "code": 1.25, "same": 1.25}
    }
    assert counting_part(None, "web") is None


def test_the_readme_puts_ranks_by_counting_beside_those_by_rbridge() -> None:
    counting = counted({"web": 2.0, "code": 1.0}, without={"given": "no *text*"}, exact=False)
    stage1 = {"web": 0.1, "code": 0.2, "given": 0.3}
    candidates = [{"id": name, "stage1": {"score": score}} for name, score in stage1.items()]
    lines = counting_lines({"counting": counting_part(counting, "web"), "candidates": candidates})
    page = "\n".join(lines)
    assert "| rank by | rBridge | unigrams | bigrams | 3-grams | 4-grams | 5-grams |" in page
    assert "| `web` | 1 | 2 | 2 | 2 | 2 | 2 |\n| `code` | 2 | 1 | 1 | 1 | 1 | 1 |" in page
    assert "(1M tokens a candidate)" in page
    assert "12s of CPU" in page
    assert "are estimates" in page
    assert r"- `given`: no \*text\*" in page
    # Reports made before there was counting have no such key.
    assert counting_lines({"candidates": candidates}) == []


def test_scores_by_counting_have_names_for_tables() -> None:
    assert metric_name("ngram1_trace_nll") == "counting words (unigrams)"
    assert metric_name("ngram5_trace_nll") == "counting words (5-grams)"
    assert metric_name("ngram2_rbridge") == "weighted counts (bigrams)"
    assert metric_name("ngram2_other") == "ngram2_other"
