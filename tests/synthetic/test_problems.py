"""Arithmetic stories: their reasoning is right, and says what their steps say."""

import re
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.synthetic.problems import LARGEST, Problem, Step, make_problem

EQUATION = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")
EXACT = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def problems(count: int, seed: int = 0) -> list[Problem]:
    rng = Random(seed)
    return [make_problem(rng, rng.choice((2, 3, 4))) for _ in range(count)]


@pytest.fixture(scope="module")
def many() -> list[Problem]:
    return problems(5000)


def test_every_equation_of_the_reasoning_is_right(many: list[Problem]) -> None:
    for problem in many:
        equations = EQUATION.findall(problem.reasoning())
        assert len(equations) == len(problem.steps)
        for a, symbol, b, result in equations:
            assert EXACT[symbol](int(a), int(b)) == int(result), problem


def test_each_step_takes_up_the_result_before_it_and_the_last_is_the_answer(
    many: list[Problem],
) -> None:
    for problem in many:
        equations = EQUATION.findall(problem.reasoning())
        for (_, _, _, before), (a, _, b, _) in pairwise(equations):
            assert before in (a, b), problem
        assert int(equations[-1][3]) == problem.answer


def test_numbers_that_do_not_come_from_a_step_before_stand_in_the_story(
    many: list[Problem],
) -> None:
    said_in_words = {"*": {2, 3}, "/": {2}}
    for problem in many:
        told = {int(number) for number in re.findall(r"\d+", problem.story)}
        for step in problem.steps:
            for operand in (step.left, step.right):
                known = operand is None or operand in told
                assert known or operand in said_in_words.get(step.symbol, ()), problem


def test_answers_and_results_lie_within_the_world(many: list[Problem]) -> None:
    for problem in many:
        results = problem.results(lambda exact: exact)
        assert all(0 <= result <= LARGEST for result in results)
        assert problem.answer == results[-1]
    assert len({problem.answer for problem in many}) > 0.9 * LARGEST


def test_division_never_leaves_a_remainder(many: list[Problem]) -> None:
    divisions = 0
    for problem in many:
        for a, symbol, b, _ in EQUATION.findall(problem.reasoning()):
            if symbol == "/":
                divisions += 1
                assert int(a) % int(b) == 0
    assert divisions > 100


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 4]))
def test_a_problem_has_the_steps_asked_for_and_is_the_seed_s(seed: int, steps: int) -> None:
    problem = make_problem(Random(seed), steps)
    assert len(problem.steps) == steps
    assert problem == make_problem(Random(seed), steps)
    assert problem.question.endswith("?")
    assert problem.prompt == f"{problem.story} {problem.question}"


def test_the_notes_hold_the_same_steps_as_the_reasoning(many: list[Problem]) -> None:
    for problem in many[:500]:
        written = EQUATION.findall(problem.reasoning())
        assert problem.equations() == " ; ".join(f"{a} {s} {b} -> {r}" for a, s, b, r in written)


def test_a_slip_carries_on_into_the_steps_after_it() -> None:
    steps = (
        Step(7, "*", 3, "{sum} sheep."),
        Step(None, "-", 12, "{sum} are left."),
        Step(50, "-", None, "{sum} fit in."),
    )
    problem = Problem("A story.", "How many?", steps)
    assert problem.reasoning() == "7 * 3 = 21 sheep. 21 - 12 = 9 are left. 50 - 9 = 41 fit in."
    slipped = problem.reasoning(lambda exact: exact + 1)
    assert slipped == "7 * 3 = 22 sheep. 22 - 12 = 11 are left. 50 - 11 = 40 fit in."
    assert problem.results(lambda exact: exact + 1) == [22, 11, 40]
    assert problem.answer == 41


def test_stories_hardly_ever_repeat_and_neither_do_their_wordings(many: list[Problem]) -> None:
    assert len({problem.prompt for problem in many}) > 0.999 * len(many)
    shapes = {re.sub(r"\d+", "N", problem.prompt) for problem in many}
    assert len(shapes) > 0.99 * len(many)
    symbols = {"".join(step.symbol for step in problem.steps) for problem in many}
    assert len(symbols) > 30
