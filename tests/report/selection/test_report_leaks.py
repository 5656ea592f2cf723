"""Leaks in the document, the README, the CSV file and the terminal."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import bootstrap_rank
from dataselect.leaks.alarm import CleanRanking, LeakAlarm
from dataselect.leaks.candidates import Leaked
from dataselect.leaks.search import LeakSearch
from dataselect.pipeline import Selection
from dataselect.report.selection.document import document
from dataselect.report.selection.files import ranking_csv
from dataselect.report.selection.readme import readme
from dataselect.report.selection.terminal import print_report

MakeSelection = Callable[..., Selection]

NOTHING = Leaked(60, (), (), (), {}, 0, 0.0)
SOME = Leaked(60, ("i1", "i2", "i3"), ("i1",), ("i9",), {"question": 3, "trace": 1}, 4, 0.02)
ONE = Leaked(60, ("i1",), ("i1",), (), {"question": 1}, 1, 0.001)
TRAINING = Leaked(100, tuple(f"t{n}" for n in range(97)), (), (), {"solution": 97}, 97, 0.9)


def leaky(selection: Selection, held: dict[str, Leaked], first: str | None = None) -> Selection:
    """The selection with leaks; on clean items `first` is the best of Stage 1 and of Stage 2."""
    splits = {name: {"items": found, "training": NOTHING} for name, found in held.items()}
    alarm = LeakAlarm(
        LeakSearch([], 8, 0.9),
        {name: {"sums": each} for name, each in splits.items()},  # type: ignore[misc]
        ("broken",),
    )
    clean = {}
    if first is not None:
        for stage, ranking in (
            ("stage1", selection.screening.ranking),
            ("stage2", selection.prediction and selection.prediction.ranking),
        ):
            if ranking is not None:
                names = [first, *(name for name in ranking.table.index if name != first)]
                table = pd.DataFrame({name: [float(i), i + 0.5] for i, name in enumerate(names)})
                again = bootstrap_rank({"sums": table}, k=1, bootstrap=Bootstrap(draws=50))
                clean[stage] = CleanRanking(
                    again, {"sums": dict.fromkeys(names, 1.5)}, {"sums": 57}, {"sums": 3}
                )
    return replace(holding(selection, alarm), clean=clean)


def holding(selection: Selection, alarm: LeakAlarm) -> Selection:
    return replace(selection, experiment=replace(selection.experiment, leaks=alarm))


def terminal(selection: Selection) -> str:
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    print_report(document(selection), console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_winner_that_holds_the_benchmark_is_not_praised_without_a_word(
    make_selection: MakeSelection,
) -> None:
    made = document(leaky(make_selection(), {"good": SOME, "fair": NOTHING}, first="fair"))
    assert made["verdict"].startswith("good comes first")
    assert made["verdict"].endswith(
        "good's text holds 5.0% of the items of sums, so its scores there are not to be trusted; "
        "without leaked items fair is first."
    )
    assert made["decision"]["first_without_leaked_items"] == "fair"
    stays = document(leaky(make_selection(), {"good": SOME}, first="good"))
    assert stays["verdict"].endswith("without leaked items it stays first.")


def test_a_clean_winner_is_told_of_only_where_leaks_hid_another(
    make_selection: MakeSelection,
) -> None:
    plain = document(make_selection())["verdict"]
    same = document(leaky(make_selection(), {"good": NOTHING, "fair": SOME}, first="good"))
    assert same["verdict"] == plain
    other = document(leaky(make_selection(), {"good": NOTHING, "poor": SOME}, first="fair"))
    assert other["verdict"] == (
        f"{plain} On the items that no candidate holds, fair has the best score."
    )


def test_every_face_flags_the_candidate(make_selection: MakeSelection) -> None:
    selection = leaky(make_selection(), {"good": SOME, "fair": ONE}, first="fair")
    made = document(selection)
    flags = {each["id"]: each["leaks"] for each in made["candidates"]}
    assert flags["good"] == {"items": ["sums"], "training": []}
    assert flags["fair"] == {"items": [], "training": []}
    assert flags["broken"] is None
    held = made["leaks"]["candidates"]["good"]["sums"]["items"]
    assert held["first"] == ["i1", "i2", "i3"]
    assert (held["items"], held["of"], held["word_for_word"], held["like"]) == (3, 60, 1, 1)

    again = made["leaks"]["without_leaked_items"]["stage1"]
    assert (again["left"], again["left_out"]) == ({"sums": 57}, {"sums": 3})
    assert again["ranking"][0]["id"] == "fair"
    assert again["ranking"][0]["benchmarks"] == {"sums": 1.5}

    text = terminal(selection)
    assert "! good" in text
    assert "! fair" not in text
    words = " ".join(text.split())
    assert "! good holds 3 of 60 items (5.0%; 1 word for word) of sums" in words
    assert max(map(len, text.splitlines())) <= 80

    page = readme(made, "dataselect run")
    assert "| 1 | ! `good`" in page
    assert "\\! good holds 3 of 60 items" in page
    section = page[page.index("## Leaks") :]
    row = "| `good` | `sums` | 3 of 60 (5.0%) | 1 | 1 | question 3, trace 1 | 4 | 2.0% |"
    assert row in section
    assert "`fair` | `sums` | 1 of 60 (1.7%)" in section
    assert "their text is not read here: `broken`" in section
    assert "Stage 1 again without leaked items (3 of 60 of `sums`), by score:" in section

    rows = {row["id"]: row for row in csv.DictReader(io.StringIO(ranking_csv(made)))}
    assert rows["good"]["leaked_items_sums"] == "3"
    assert rows["fair"]["stage1_rank_without_leaked_items"] == "1"
    assert rows["good"]["stage1_rank_without_leaked_items"] == "2"
    assert rows["broken"]["leaked_items_sums"] == ""


def test_the_training_split_is_told_in_other_words(make_selection: MakeSelection) -> None:
    selection = make_selection()
    alarm = LeakAlarm(
        LeakSearch([], 8, 0.9), {"good": {"sums": {"items": NOTHING, "training": TRAINING}}}, ()
    )
    made = document(holding(selection, alarm))
    assert made["candidates"][0]["leaks"] == {"items": [], "training": ["sums"]}
    assert made["verdict"] == document(selection)["verdict"]
    words = " ".join(terminal(holding(selection, alarm)).split())
    assert "~ good holds 97 of 100 items (97.0%; none whole) of the split of sums's" in words
    assert "! good" not in words
    assert "1 ~ good" in words


@pytest.mark.parametrize("first", [None, "good"])
def test_nothing_found_is_said_too(make_selection: MakeSelection, first: str | None) -> None:
    selection = leaky(make_selection(), {"good": NOTHING}, first)
    page = readme(document(selection), "dataselect run")
    assert "No candidate holds any item." in page
    assert "!" not in terminal(selection)


def test_nothing_is_said_where_nothing_was_looked_at(make_selection: MakeSelection) -> None:
    made = document(make_selection())
    assert made["leaks"] is None
    assert {each["leaks"] for each in made["candidates"]} == {None}
    assert "Leaks" not in readme(made, "dataselect run")


def test_where_all_items_leaked_there_is_no_other_ranking(make_selection: MakeSelection) -> None:
    selection = leaky(make_selection(), {"good": SOME})
    clean = {"stage1": CleanRanking(None, {}, {"sums": 0}, {"sums": 60})}
    clean["stage2"] = clean["stage1"]
    made = document(replace(selection, clean=clean))
    assert made["verdict"].endswith("nothing is left without these.")
    assert "nothing is left to rank by" in readme(made, "dataselect run")
