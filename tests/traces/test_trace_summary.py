import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.traces.summary import Spread, summarise, verify
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

HEADER = TraceHeader("sums", "gpt-4o", "", "a test", benchmark_revision="a@1")
SUMS = BenchmarkItems(
    "sums",
    tuple(Item(f"q{i}", "How many?", "3") for i in range(4)),
    (Item("shot", "How many?", "3", rationale="So."),),
    revision="a@1",
)


def traces(*each: Trace, exclusions: tuple[Exclusion, ...] = ()) -> TraceSet:
    return TraceSet(HEADER, {trace.item: trace for trace in each}, exclusions)


GOOD = traces(
    Trace("q0", "Two and one.", ((3, 0.5), (5, 1.0), (4, None)), "3"),
    Trace("q1", "Three.", ((6, 0.25),), "4"),
    Trace("q2", "It is three.", ((2, 0.75), (10, 0.5)), None),
)


def test_lengths_are_in_letters_and_in_tokens_that_have_a_probability() -> None:
    found = summarise(GOOD)
    assert found.traces == 3
    assert found.letters == Spread(10.0, 12.0, 6, 12)
    assert found.tokens == Spread(5 / 3, 2.0, 1, 2)


def test_probabilities_are_over_letters() -> None:
    found = summarise(GOOD)
    assert (found.lowest, found.highest) == (0.25, 1.0)
    assert found.mean == pytest.approx((1.5 + 5 + 1.5 + 1.5 + 5) / 26)
    assert found.share_without_probability == pytest.approx(4 / 30)
    assert found.flat == 1


def test_items_without_a_trace_are_counted_against_the_benchmark() -> None:
    assert (summarise(GOOD, SUMS).items, summarise(GOOD, SUMS).without) == (4, 1)
    assert (summarise(GOOD).items, summarise(GOOD).without) == (None, None)


def test_the_share_right_is_of_graded_answers() -> None:
    found = summarise(GOOD, SUMS, {"q0": True, "q1": False, "q2": None, "q3": True})
    assert (found.right, found.graded, found.ungraded, found.share_right) == (
        1,
        2,
        1,
        0.5,
    )


def test_no_graded_answer_has_no_share() -> None:
    assert summarise(GOOD).share_right is None
    assert summarise(GOOD).ungraded is None
    assert summarise(GOOD, SUMS, {}).share_right is None
    assert summarise(GOOD, SUMS, {}).ungraded == 3


def test_exclusions_of_one_kind_are_counted_together() -> None:
    reasons = [
        "a.json row 1: its JSON is cut short",
        "a.json row 21: its JSON is cut short",
        "the answer was refused",
        "a.json row 3: its tokens spell 'x y'",
    ]
    found = summarise(traces(exclusions=tuple(Exclusion(r, r) for r in reasons)))
    assert found.exclusions == (
        ("a.json row … its JSON is cut short", 2),
        ("the answer was refused", 1),
        ("a.json row 3: its tokens spell 'x y'", 1),
    )


def test_no_traces_have_no_statistics() -> None:
    found = summarise(traces(), SUMS, {})
    assert (found.traces, found.without, found.letters, found.lowest) == (0, 4, None, None)
    assert found.share_without_probability == 0


@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 5), st.none() | st.floats(0, 1)), min_size=1), max_size=5
    )
)
def test_statistics_stay_within_their_bounds(runs: list[list[tuple[int, float | None]]]) -> None:
    each = [Trace(f"q{i}", "x" * sum(n for n, _ in r), tuple(r)) for i, r in enumerate(runs)]
    found = summarise(traces(*each))
    assert 0 <= found.share_without_probability <= 1
    assert found.flat <= found.traces == len(runs)
    if found.lowest is not None:
        assert found.mean is not None
        assert found.highest is not None
        assert found.lowest - 1e-9 <= found.mean <= found.highest + 1e-9


def test_sound_traces_have_no_problem() -> None:
    sound = traces(
        Trace("q0", "Two and one.", ((3, 0.5), (9, 1.0)), "3"),
        Trace("shot", "x = 5", ((3, 0.5), (2, 1.0)), None),
        Trace("q1", "in Python\n\treturn x", ((3, 0.5), (1, 0.4), (15, None)), "return x"),
    )
    assert verify(sound, SUMS) == []
    assert verify(sound) == []


@pytest.mark.parametrize(
    ("trace", "words"),
    [
        (Trace("q9", "So.", ((1, 0.5), (2, 1.0))), "(q9) are for no item of 'sums'"),
        (Trace("q1", "So.", ((3, None),)), "have no letter with a probability"),
        (Trace("q1", "So.", ((1, 0.5), (2, 0.5001))), "all about the same"),
        (Trace("q1", "a \x0crac{1}{2}.", ((1, 0.5), (10, 1.0))), "lost their backslash"),
        (Trace("q1", "2 \times 3.", ((1, 0.5), (8, 1.0))), "lost their backslash"),
        (Trace("q1", "She then buys", ((1, 0.5), (12, 1.0))), "as if they were cut short"),
    ],
)
def test_each_problem_is_a_sentence_that_names_the_traces(trace: Trace, words: str) -> None:
    (problem,) = verify(traces(trace), SUMS)
    assert words in problem
    assert trace.item in problem
    assert problem.endswith(".")


def test_many_traces_with_one_problem_are_counted() -> None:
    bad = traces(*(Trace(f"q{i}", "So.", ((3, None),)) for i in range(5)))
    assert verify(bad) == ["5 of the traces (q0, q1, q2, …) have no letter with a probability."]


def test_another_benchmark_and_another_revision_are_problems() -> None:
    other = BenchmarkItems("products", SUMS.items, SUMS.shots, revision="a@2")
    assert verify(GOOD, other)[:2] == [
        "They were made for 'sums', not for 'products'.",
        "They were made for the items of a@1, and these are of a@2.",
    ]


def test_an_unknown_revision_is_no_problem() -> None:
    local = BenchmarkItems("sums", SUMS.items, SUMS.shots)
    assert not any("made for" in problem for problem in verify(GOOD, local))


def test_a_trace_that_is_also_left_out_is_a_problem() -> None:
    both = TraceSet(HEADER, GOOD.traces, (Exclusion("q0", "refused"),))
    assert any("q0" in problem and "left out" in problem for problem in verify(both))
