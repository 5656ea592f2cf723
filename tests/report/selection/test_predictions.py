"""Pairwise probabilities of target accuracy where transfer functions apply."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from dataselect.pipeline import Selection
from dataselect.report.selection.document import document
from dataselect.report.selection.readme import readme

MakeSelection = Callable[..., Selection]


def with_wins(selection: Selection, ahead: float) -> Selection:
    """`good` beats `fair` with this probability, whatever the bootstrap of the scores says."""
    assert selection.prediction is not None
    names = list(selection.prediction.order)
    wins = pd.DataFrame([[0.5, ahead], [1 - ahead, 0.5]], names, names)
    return replace(selection, prediction=replace(selection.prediction, wins=wins))


def test_the_verdict_is_as_sure_as_the_prediction(make_selection: MakeSelection) -> None:
    made = document(with_wins(make_selection(), 0.74))
    assert made["wins"]["prediction"] == {
        "good": {"good": 0.5, "fair": 0.74},
        "fair": {"good": pytest.approx(0.26), "fair": 0.5},
    }
    assert made["wins"]["stage2"]["good"]["fair"] > 0.99
    assert made["decision"]["probability"] == 0.74
    assert made["decision"]["not_told_apart"] == ["fair"]
    assert made["verdict"].startswith("good comes first but cannot be told apart from fair: ")
    assert "its target is ahead with probability 0.74" in made["verdict"]
    assert [c["stage2"]["tier"] for c in made["candidates"] if c["stage2"]] == [1, 1]


def test_the_readme_says_who_cannot_be_told_apart(make_selection: MakeSelection) -> None:
    text = readme(document(with_wins(make_selection(), 0.74)), "again")
    assert "Probability that the row's target has the higher accuracy" in text
    assert "Not told apart from `good` at 0.9: `fair`." in text
    sure = document(with_wins(make_selection(), 0.95))
    assert [c["stage2"]["tier"] for c in sure["candidates"] if c["stage2"]] == [1, 2]
    assert "Not told apart" not in readme(sure, "again")


def test_without_functions_scores_are_what_is_compared(make_selection: MakeSelection) -> None:
    made = document(make_selection(transfer=False))
    assert made["wins"]["prediction"] is None
    assert "its score is ahead" in made["verdict"]
    assert all(c["stage2"]["tier"] is None for c in made["candidates"] if c["stage2"])
    assert "has the better score in Stage 2" in readme(made, "again")
