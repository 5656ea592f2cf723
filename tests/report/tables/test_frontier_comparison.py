"""Output of `dataselect traces compare`, from hand-made scores without any model."""

import io
from collections.abc import Mapping

import pandas as pd
from rich.console import Console

from dataselect.decisions.frontier_agreement import compare_frontiers
from dataselect.report.tables.frontier_comparison import print_comparison, print_traces
from dataselect.traces.summary import Spread, Summary

HOSTILE = "[red]\x1b[31m\x1b]0;title\x07[/bad]\u202e\n\x9b2J\r"


def comparison(
    tables: Mapping[str, pd.DataFrame],
    seeds: Mapping[str, float] | None = None,
    benchmarks: tuple[str, ...] = ("sums",),
) -> str:
    console = Console(width=100, file=io.StringIO(), color_system=None)
    found = compare_frontiers({n: dict.fromkeys(benchmarks, t) for n, t in tables.items()})
    items = dict.fromkeys(benchmarks, len(next(iter(tables.values()))))
    print_comparison(found, items, console, seeds)
    return written(console)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def table(**means: float) -> pd.DataFrame:
    return pd.DataFrame(means, index=[f"q{n}" for n in range(5)])


def test_models_are_compared_best_first_with_the_agreement_of_the_rankings() -> None:
    one, two = table(worse=3.0, best=1.0, middle=2.0), table(worse=2.5, best=1.5, middle=3.5)
    lines = [line.rstrip() for line in comparison({"one": one, "two": two}).splitlines()]
    assert [line.split() for line in lines[2:5]] == [
        ["best", "1.0000", "1.5000", "1.2500"],
        ["middle", "2.0000", "3.5000", "2.7500"],
        ["worse", "3.0000", "2.5000", "2.7500"],
    ]
    text = " ".join(lines)
    assert "rBridge over 5 items, in nats per token" in text
    assert "one and two: 67% of the pairs of models in the same order" in text
    assert "Kendall's tau 0.33" in text
    assert "one's own ranking keeps 100% and two's 100%" in text
    assert "of 3 pairs 1 change their order, 1 beyond the noise of the items" in text
    assert "- middle before worse (P 1.00), by two after it (P 1.00)" in text


def test_rankings_that_agree_have_no_changes_to_tell() -> None:
    text = comparison({"one": table(a=1.0, b=2.0), "two": table(a=3.0, b=5.0)})
    assert "100% of the pairs" in text
    assert "change" not in text


def test_a_long_list_of_changes_is_cut() -> None:
    means = {f"m{n}": float(n) for n in range(5)}
    other = {name: -value for name, value in means.items()}
    text = " ".join(comparison({"one": table(**means), "two": table(**other)}).split())
    assert "of 10 pairs 10 change their order, 10 beyond" in text
    assert text.count("by two after it") == 5
    assert "- and 5 more" in text


def test_several_benchmarks_and_seeds_are_told() -> None:
    made = table(a=1.0, b=2.0, c=3.0, d=5.0)
    text = comparison({"one": made, "two": made}, {"one": 0.875}, ("sums", "tales"))
    text = " ".join(text.split())
    assert "rBridge over 5 items of sums and 5 items of tales, averaged as in a run" in text
    assert "by one two training seeds put 88% of the pairs in the same order" in text


def summary(**changes: object) -> Summary:
    nothing = dict.fromkeys(Summary.__dataclass_fields__)
    spread = Spread(120.4, 100.0, 60, 200)
    known = {"traces": 5, "letters": spread, "mean": 0.91234, "lowest": 0.0123}
    return Summary(**{**nothing, **known, **changes})  # type: ignore[arg-type]


def test_traces_are_told_by_how_right_long_and_sure_they_are() -> None:
    console = Console(width=100, file=io.StringIO(), color_system=None)
    graded, bare = summary(right=3, graded=5), summary(mean=None, lowest=None, letters=None)
    print_traces({"one": {"sums": graded}, "two": {"sums": bare}}, console)
    rows = [line.split() for line in written(console).splitlines()]
    assert rows[0] == ["frontier", "model", "traces", "right", "letters", "mean", "p", "lowest"]
    assert ["one", "5", "60%", "120", "0.912", "0.012"] in rows
    assert ["two", "5", "–", "–", "–", "–"] in rows


def test_names_in_a_comparison_can_do_nothing_to_a_terminal() -> None:
    made = pd.DataFrame({HOSTILE: [1.0, 2.0], "[b]": [2.0, 3.0]}, index=["a", "b"])
    text = comparison({f"{HOSTILE}1": made, "[/x]": made})
    console = Console(width=100, file=io.StringIO(), color_system=None)
    print_traces({HOSTILE: {"[/x]": summary(), "b": summary()}}, console)
    text += written(console)
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert "[/x]" in text
