"""Marks of given reasoning, of somebody's second reading, and by a rule."""

import pytest

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.traces.marking import by_rule, from_texts, onto
from dataselect.traces.reasoning import Reasoning, take_apart
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

ITEMS = BenchmarkItems("sums", tuple(Item(f"s{n}", f"What is {n} + {n}?", "0") for n in range(3)))
HEADER = TraceHeader("sums", "oracle", "{question}", "a test", {"how": "by hand"})


def marked_parts(traces: TraceSet) -> dict[str, list[str]]:
    return {
        item: [trace.text[a:b] for a, b in trace.spans or ()]
        for item, trace in traces.traces.items()
    }


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            " We add <span>1 + 1</span>. The answer is 2.",
            Reasoning("We add 1 + 1.", "2", "We add <span>1 + 1</span>."),
        ),
        (
            "<span>  One\nmore. The answer is <span>2</span>.",
            Reasoning("One\nmore.", "2", "One\nmore."),
        ),
        ("<span>So. The answer is 2</span>.", Reasoning("So.", "2", "<span>So.</span>")),
        ("HTML has <span> and no end.", Reasoning("HTML has <span> and no end.", None, None)),
        ("a <sp<span>an> b</span>", Reasoning("a <sp<span>an> b</span>", None, None)),
        ("", Reasoning("", None, None)),
    ],
)
def test_reasoning_answer_and_marks_are_told_apart(text: str, parts: Reasoning) -> None:
    assert take_apart(text) == parts


def test_given_reasoning_becomes_traces_without_probabilities() -> None:
    texts = {"s0": "We <span>add</span>. The answer is 0.", "s1": "We do not.", "nobody": "So."}
    made = from_texts(ITEMS, texts, "a-model")
    assert marked_parts(made) == {"s0": ["add"], "s1": []}
    assert made.traces["s0"].answer == "0"
    assert made.traces["s1"].marked is None
    assert not made.has_probabilities
    assert made.header.model == "a-model"
    assert [(e.item, e.reason) for e in made.exclusions] == [
        ("s2", "there is no marked reasoning for it")
    ]
    with pytest.raises(InputError, match="nothing in them is marked"):
        from_texts(ITEMS, {"s1": "We do not."}, "a-model")


def test_a_rule_marks_reasoning_or_traces_and_keeps_probabilities() -> None:
    by_numbers = from_texts(ITEMS, {"s0": "Add <span>all</span> 3 to 14."}, "m", "numbers")
    assert marked_parts(by_numbers) == {"s0": ["3", "14"]}
    runs = ((3, 0.5), (10, 0.25))
    traces = {
        "s0": Trace("s0", "Add 3 and 14.", runs, "17"),
        "s1": Trace("s1", "A <span> has 3.", ((15, 0.5),)),
    }
    made = by_rule(TraceSet(HEADER, traces), "numbers")
    assert made.traces == {
        "s0": Trace("s0", "Add 3 and 14.", runs, "17", "Add <span>3</span> and <span>14</span>.")
    }
    assert made.header.notes["marks"] == "proposed by the rule 'numbers'"
    assert [(e.item, e.reason) for e in made.exclusions] == [
        ("s1", "its text holds a <span> tag itself")
    ]


def test_marks_of_the_same_reasoning_go_onto_its_traces() -> None:
    traces = {
        "s0": Trace("s0", "\nAdd 3 and 14.", ((14, 0.5),)),
        "s1": Trace("s1", "Add 3 and 14.", ((13, 0.5),)),
        "s2": Trace("s2", "Add 3.", ((6, 0.5),)),
    }
    texts = {
        "s0": "  <span> Add</span> 3 and <span>14. </span> The answer is 17.",
        "s1": "Add 3 <span>and</span> 15.",
    }
    made = onto(TraceSet(HEADER, traces), texts, "marks.jsonl")
    assert marked_parts(made) == {"s0": ["Add", "14."]}
    assert made.traces["s0"].runs == ((14, 0.5),)
    assert made.header.notes == {"how": "by hand", "marks": "of marks.jsonl"}
    assert {e.item: e.reason for e in made.exclusions} == {
        "s1": "the marked reasoning is another text than its trace",
        "s2": "there is no marked reasoning for it",
    }
