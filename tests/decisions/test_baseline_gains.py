"""Counting words as the baseline of a table of proxies: paired, in a sentence."""

import numpy as np
import pandas as pd
import pytest

from dataselect.decisions.agreement import accuracy_difference
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.comparisons import LABELS, Comparisons, Settings, compare_tables
from dataselect.errors import InputError
from dataselect.formats.column_names import CountingColumn, better_when, counting_column
from dataselect.formats.in_memory import frame
from dataselect.formats.score_table import ScoreTable, read_score_table
from dataselect.report.tables.agreements import agreement_document

IDS = list("abcdefgh")
TRUTH = np.linspace(0.2, 0.9, 8)
NOISE = np.array([0.3, -0.2, 0.1, -0.4, 0.2, 0.35, -0.3, 0.0])
PLAIN = Settings(draws=500, ablate=True)


def table(name: str, **columns: object) -> ScoreTable:
    return read_score_table(frame(name, pd.DataFrame({"id": IDS, **columns})), LABELS)


def compared(counts: ScoreTable | None = None, **columns: object) -> Comparisons:
    target = table("target", accuracy=TRUTH)
    return compare_tables(table("proxy", **columns), target, PLAIN, counts)


def test_names_say_benchmark_order_and_weights() -> None:
    assert counting_column("ngram5_rbridge") == CountingColumn(None, 5, weighted=True)
    found = counting_column("my/set/ngram1_trace_nll")
    assert found == CountingColumn("my/set", 1, weighted=False)
    assert [counting_column(name) for name in ("ngram_trace_nll", "ngram1_acc", "x")] == [None] * 3
    assert better_when("gsm8k/ngram1_trace_nll") == better_when("ngram2_rbridge") == "lower"


def test_lower_is_better_by_counting_whatever_is_stated_of_others() -> None:
    found = compared(accuracy=TRUTH, ngram1_trace_nll=-TRUTH, ngram2_trace_nll=TRUTH)
    accuracies = {n: each.agreement.decision_accuracy for n, each in found.by_name.items()}
    assert accuracies == {"accuracy": 1, "ngram1_trace_nll": 1, "ngram2_trace_nll": 0}
    assert found.by_name["ngram1_trace_nll"].chosen == ("h",)
    assert found.by_name["ngram2_trace_nll"].regret == pytest.approx(0.7)


def test_each_metric_is_compared_with_the_lowest_order_on_the_same_candidates() -> None:
    words = -(TRUTH + NOISE)
    counts = table("counts", ngram3_trace_nll=-TRUTH, ngram1_rbridge=-TRUTH, ngram1_trace_nll=words)
    lacking = np.where(np.array(IDS) == "c", np.nan, TRUTH)
    found = compared(counts, accuracy=lacking)
    assert set(found.gains) == {"accuracy", "ngram3_trace_nll", "ngram1_rbridge"}
    gain = found.gains["accuracy"]
    assert (gain.baseline, gain.candidates) == ("ngram1_trace_nll", 7)
    kept = [name for name in IDS if name != "c"]
    own, other, truth = (
        pd.Series(values, IDS)[kept] for values in (-TRUTH, -(TRUTH + NOISE), TRUTH)
    )
    wanted = accuracy_difference(own, other, truth, bootstrap=Bootstrap(500, 0, 0.9))
    assert (gain.difference, gain.interval) == (wanted.difference, wanted.interval)
    assert gain.difference > 0


def test_without_counts_the_first_metric_is_the_baseline() -> None:
    found = compared(accuracy=TRUTH, other_accuracy=TRUTH + NOISE)
    assert {name: gain.baseline for name, gain in found.gains.items()} == {
        "other_accuracy": "accuracy"
    }
    assert found.gains["other_accuracy"].difference < 0
    assert found.counting == {}
    assert agreement_document(found, PLAIN)["counting"] is None


def test_what_was_counted_once_stands_beside_every_size() -> None:
    rows = pd.DataFrame(
        {
            "id": IDS * 2,
            "size": ["4M"] * 8 + ["1B"] * 8,
            "accuracy": np.concatenate([TRUTH + NOISE, TRUTH]),
        }
    )
    proxies = read_score_table(frame("proxy", rows), LABELS)
    counts = table("counts", ngram1_trace_nll=-TRUTH)
    found = compare_tables(proxies, table("target", accuracy=TRUTH), PLAIN, counts)
    assert set(found.by_name) == {"accuracy@4M", "accuracy@1B", "ngram1_trace_nll"}
    assert {gain.baseline for gain in found.gains.values()} == {"ngram1_trace_nll"}
    assert found.gains["accuracy@1B"].difference == 0


def test_counts_of_a_benchmark_meet_its_own_target() -> None:
    target = table("target", gsm8k=TRUTH, arc=TRUTH[::-1])
    columns = {"gsm8k/ngram1_trace_nll": -TRUTH, "ngram1_trace_nll": -TRUTH}
    proxies = table("proxy", gsm8k=TRUTH, arc=TRUTH, **columns)
    found = compare_tables(proxies, target, PLAIN)
    assert set(found.by_name) == {
        *("gsm8k", "arc", "gsm8k/ngram1_trace_nll"),
        *("ngram1_trace_nll -> gsm8k", "ngram1_trace_nll -> arc"),
    }
    document = agreement_document(found, PLAIN)
    assert document["counting"]["gsm8k"]["text"] == (
        "Counting words alone (unigrams of gsm8k) would have chosen h for gsm8k, "
        "the best by the target."
    )
    assert document["counting"]["arc"]["text"] == (
        "Counting words alone (unigrams) would have chosen h for arc, 0.7 behind the best, a."
    )


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        ({"accuracy": TRUTH}, "it has no score by counting words"),
        ({"seed": [0] * 8, "ngram1_trace_nll": TRUTH}, "a text is counted once"),
        ({"ngram2_trace_nll": TRUTH}, "'ngram2_trace_nll' is in the proxies' table too"),
    ],
)
def test_a_table_of_counts_that_does_not_fit_is_refused(
    counts: dict[str, object], wanted: str
) -> None:
    with pytest.raises(InputError, match=wanted):
        compared(table("counts", **counts), accuracy=TRUTH, ngram2_trace_nll=TRUTH)
