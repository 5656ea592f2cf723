import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.benchmarks import answers as answers_module
from dataselect.benchmarks.answers import (
    extract,
    extract_choice,
    extract_number,
    grade,
    grade_answers,
)
from dataselect.benchmarks.items import AnswerKind, CodeCheck, Item
from dataselect.benchmarks.sandbox import Program, Verdict, isolation_problem
from dataselect.errors import InputError

MATH500 = Path(__file__).parents[3] / "shared" / "data" / "benchmarks" / "math500.test.jsonl"

METALS = ("gold", "lead", "iron", "tin")


def choice(letter: str, choices: tuple[str, ...]) -> Item:
    return Item("c", "Which?", letter, choices, ord(letter) - ord("A"))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("3 + 4 = 7. The answer is 7.", "7"),
        ("The answer is $1,234.50.", "1234.50"),
        ("the answer is 5. No, the Answer Is -6 apples", "-6"),
        ("The answer is -$3.", "-3"),
        ("So 16-3", "3"),
        ("There are 3 cats and 12 dogs", "12"),
        ("She makes 9 * 2 = $18\n#### 18", "18"),
        ("12 eggs. The answer is unknown", "12"),
        ("about .5 of it", ".5"),
        ("The answer is 1,000,000", "1000000"),
        ("no number at all", None),
        ("", None),
    ],
)
def test_numbers_are_read_by_gsm8ks_rule(text: str, number: str | None) -> None:
    assert extract_number(text) == number
    assert extract(text, "number") == number


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("It is cold. The answer is (B).", "B"),
        (" C. because", "C"),
        ("The answer is D", "D"),
        ("A lot of text. The answer is B, not C", "B"),
        ("because it is so", None),
    ],
)
def test_choices_are_read_after_answer_is_or_at_the_start(text: str, letter: str | None) -> None:
    assert extract_choice(text) == letter
    assert extract(text, "choice") == letter


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
        (
            r"\boxed{1} or \boxed{\left\{ \frac{a}{b} \right\}} there",
            r"\left\{ \frac{a}{b} \right\}",
        ),
        (r"first \boxed{1}, then \fbox {2}", "2"),
        (r"first \boxed{1}, then \boxed{2", "1"),
        ("Final Answer: The final answer is $5$. I hope it is correct.", "$5$"),
        ("Thus the answer is 5.\nNext problem", "5"),
        ("**Final Answer:** $x^2$", "$x^2$"),
        ("Final answer:\n\\[\n\\frac{1}{2}\n\\]\nmore", "\\[\n\\frac{1}{2}\n\\]"),
        (r"The answer is 3, i.e. \boxed{3}", "3"),
        ("no answer", None),
        (r"\boxed{", None),
        (r"\boxed{}", None),
    ],
)
def test_mathematics_is_read_from_a_box_or_after_final_answer(
    text: str, answer: str | None
) -> None:
    assert extract(text, "math") == answer


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("    return 1\n", "    return 1\n"),
        ("Here:\n```python\ndef f():\n    return 1\n```\nIt works.", "def f():\n    return 1\n"),
        ("```\n    return 1", "    return 1"),
        (" \n", None),
    ],
)
def test_code_is_the_fences_content_or_all(text: str, code: str | None) -> None:
    assert extract(text, "code") == code


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("He was there. The answer is  Paris.\nQuestion", "Paris"),
        (" Paris ", "Paris"),
        ("#### Rome", "Rome"),
        ("The answer is", None),
        ("", None),
    ],
)
def test_text_is_what_follows_answer_is_or_all(text: str, answer: str | None) -> None:
    assert extract(text, "text") == answer


def test_generated_numbers_and_choices_must_match_as_text() -> None:
    number = Item("n", "How many?", "18")
    outputs = ["The answer is 18.", "The answer is $18", "The answer is 18.00.", "none", "17"]
    assert grade([number] * 5, "number", outputs) == [True, True, False, False, False]
    item = choice("C", METALS)
    outputs = ["The answer is (C).", "C", "The answer is iron.", "the answer is B"]
    assert grade([item] * 4, "choice", outputs) == [True, True, False, False]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("18", True),
        ("$18", True),
        ("18.00", True),
        ("$18.00 per day", True),
        ("17", False),
        ("The answer is 17, not 18", False),
        ("18 (9 eggs at $2 each)", None),
        ("3 of 7", False),
        ("eighteen", None),
        ("", None),
        (None, None),
    ],
)
def test_bare_numbers_are_compared_as_numbers(answer: str | None, right: bool | None) -> None:
    assert grade_answers([Item("n", "How many?", "18")], "number", [answer]) == [right]


@pytest.mark.parametrize(
    ("answer", "choices", "right"),
    [
        ("C", METALS, True),
        ("c", METALS, True),
        ("(C)", METALS, True),
        ("C.", METALS, True),
        ("C) iron", METALS, True),
        ("C. Iron.", METALS, True),
        ("C: because it rusts", METALS, True),
        ("**C**", METALS, True),
        (r"\boxed{C}", METALS, True),
        ("Option C", METALS, True),
        ("The correct answer is: (C) iron", METALS, True),
        (" IRON ", METALS, True),
        ("iron.", METALS, True),
        ("The answer is iron", METALS, True),
        ("3", METALS, True),
        ("(3)", METALS, True),
        ("B", METALS, False),
        ("lead", METALS, False),
        ("1", METALS, False),
        # A letter and the text of another choice.
        ("C. lead", METALS, None),
        ("7", METALS, None),
        ("E", METALS, None),
        ("copper", METALS, None),
        ("A metal", METALS, None),
        ("A, B and C", METALS, None),
        ("", METALS, None),
        (None, METALS, None),
        # A digit among numbers is a number, not a position.
        ("3", ("10 m", "20 m", "30 m", "40 m"), None),
        ("3", ("1", "2", "4", "3"), False),
        ("4", ("1", "2", "4", "3"), True),
        # Letters among letters.
        ("A", ("O", "A", "B", "AB"), None),
        ("AB", ("O", "A", "B", "AB"), False),
        ("B", ("A", "O", "B", "AB"), None),
        ("B", ("A", "C", "B", "AB"), None),
        # The same text twice names no choice.
        ("N/A", ("x", "N/A", "y", "N/A"), None),
        ("Answer all", ("Answer none", "Answer some", "Answer all"), True),
    ],
)
def test_a_bare_choice_is_its_letter_or_its_text(
    answer: str | None, choices: tuple[str, ...], right: bool | None
) -> None:
    assert grade_answers([choice("C", choices)], "choice", [answer]) == [right]


def test_bare_text_is_compared_up_to_case_blanks_and_a_full_stop() -> None:
    item = Item("t", "Where?", "New York")
    given_answers = ["new  york.", "The answer is New York", "York", "", None]
    assert grade_answers([item] * 5, "text", given_answers) == [True, True, False, None, None]
    assert grade([item] * 2, "text", ["The answer is NEW YORK.", ""]) == [True, False]


def test_mathematics_is_compared_by_value_and_unclear_answers_are_not_graded() -> None:
    item = Item("m", "Solve.", r"\frac{1}{2}")
    outputs = [r"$\boxed{0.5}$", "The final answer is $1/2$. I hope it is correct.", "1/2", "no"]
    assert grade([item] * 4, "math", outputs) == [True, True, False, False]
    bare: list[str | None] = ["1/2", r"\boxed{0.5}", "$0.5$", "2", "1" * 2000, "", None]
    expected = [True, True, True, False, None, None, None]
    assert grade_answers([item] * 7, "math", bare) == expected


@pytest.mark.skipif(not MATH500.exists(), reason="the benchmark file is not here")
def test_the_worked_solutions_of_math500_end_in_its_answers() -> None:
    records = [json.loads(line) for line in MATH500.read_text().splitlines()]
    items = [Item(each["id"], each["question"], each["answer"]) for each in records]
    right = grade(items, "math", [each["rationale"] for each in records])
    assert right == [True] * 500


PROMPT = (
    "from typing import List\n\n\ndef twice(x):\n    return 2 * x\n\n\n"
    'def f(xs: List[int]) -> int:\n    """The sum, doubled."""\n'
)
CODE_ITEM = Item(
    "h",
    PROMPT,
    "    return twice(sum(xs))\n",
    code=CodeCheck("def check(c):\n    assert c([1, 2]) == 6\n", "f"),
)
COMPLETIONS = {
    "    return twice(sum(xs))\n": True,
    "    return twice(sum(xs))\n\n\ndef g(: broken": True,
    "    return twice(sum(xs))\n\nprint(f([1]))\nraise SystemExit": True,
    # It goes on to define the function again, and wrongly.
    "    return twice(sum(xs))\n\n\ndef f(xs):\n    return 0\n": True,
    "```python\n    return twice(sum(xs))\n```\nThat is all": True,
    "```python\ndef f(xs: List[int]) -> int:\n    return twice(sum(xs))\n```": True,
    "def f(xs: List[int]):\n    return g(xs)\n\n\ndef g(xs):\n    return 2 * sum(xs)\n": True,
    "import math\n\ndef f(xs):\n    return 2 * math.fsum(xs)\n": True,
    "    return sum(xs)\n": False,
    "": False,
}


@pytest.mark.skipif(isolation_problem() is not None, reason="no isolation here")
def test_code_is_completed_from_its_prompt_and_run() -> None:
    items = [CODE_ITEM] * len(COMPLETIONS)
    assert grade(items, "code", list(COMPLETIONS)) == list(COMPLETIONS.values())
    bare = [*COMPLETIONS, None]
    expected = [*list(COMPLETIONS.values())[:-1], None, None]
    assert grade_answers([*items, CODE_ITEM], "code", bare) == expected


@pytest.mark.skipif(isolation_problem() is not None, reason="no isolation here")
@pytest.mark.parametrize(
    "answer",
    [
        "return twice(sum(xs))",
        "total = 0\n    for x in xs:\n        total += x\n    return twice(total)",
        "total = 0\nfor x in xs:\n    total += x\nreturn twice(total)",
    ],
)
def test_a_bare_body_that_lost_its_indent_gets_it_back_and_a_generated_one_does_not(
    answer: str,
) -> None:
    assert grade_answers([CODE_ITEM], "code", [answer]) == [True]
    assert grade([CODE_ITEM], "code", [answer]) == [False]


def test_code_is_run_without_isolation_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(programs: list[Program], *, unsafe: bool) -> list[Verdict]:
        asked.append(unsafe)
        return [Verdict(True) for _ in programs]

    monkeypatch.setattr(answers_module, "run_programs", run)
    assert grade([CODE_ITEM], "code", ["    pass"]) == [True]
    assert grade_answers([CODE_ITEM], "code", ["    pass"], unsafe=True) == [True]
    assert asked == [False, True]


@pytest.mark.parametrize("kind", ["number", "choice", "code"])
def test_an_item_of_another_kind_is_refused(kind: AnswerKind) -> None:
    item = Item("odd", "Solve.", r"\pi")
    with pytest.raises(InputError, match=rf"item 'odd'.*is not a {kind}"):
        grade([item], kind, ["1"])
    with pytest.raises(InputError, match=rf"item 'odd'.*is not a {kind}"):
        grade_answers([item], kind, ["1"])


@settings(deadline=None, max_examples=100)
@given(st.text(alphabet="\\boxed{}ABC123.,$#-() \nansweri*`:", max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    for kind in ("number", "choice", "math", "code", "text"):
        found = extract(text, kind)
        assert found is None or found.strip("\n ") or kind == "code"
    assert grade([Item("n", "q", "1")], "number", [text])[0] in (True, False)
    assert grade_answers([Item("n", "q", "1")], "number", [text])[0] in (True, False, None)
    assert grade_answers([choice("C", METALS)], "choice", [text])[0] in (True, False, None)
