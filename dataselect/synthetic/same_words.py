"""Genres with the same words and other truth: all of them look alike to whoever counts words.

Very short stories with worked solutions, made in batches. Each genre rearranges the solutions of a
batch and adds or drops no word, so a batch has the same words, equally often, in every genre. What
a model can learn from them differs:

    right-steps      the solutions as they are
    slipped-results  the results of the steps moved between solutions: wrong arithmetic
    other-numbers    right equations of another solution in this one's sentences
    other-solutions  the whole solution of another story
    shuffled-steps   the sentences of a solution in random order
    few-stories      right solutions, of the same few stories again and again

Each stream draws its own stories, so streams mix as other texts do. As in the other genres
(`world`), one in fifty stories is held out for benchmarks.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from random import Random

from dataselect.synthetic.problems import Problem, Step
from dataselect.synthetic.words import NAMES, THINGS
from dataselect.synthetic.world import is_held_out, solved

VERSION = 1
"""Part of the key of everything made from these texts; raise it when a stream changes."""

LARGEST = 20
"""No number is larger. Few sums and few words are learnt within a minute of training."""
BATCH = 512
"""Stories whose solutions are rearranged among each other; also the stories of `few-stories`."""
_NAMES, _THINGS = NAMES[:16], THINGS[:16]
_STEPS = 2
_ASIDES = 0.3
"""Share of the stories with a number that the question is not about."""


def documents(genre: str, seed: int) -> Iterator[str]:
    """Endless documents of one genre; the same genre and seed give the same stream.

    Raises KeyError for a genre that is not in `GENRES`.
    """
    write, rng = GENRES[genre], Random(f"{genre}/{seed}/{VERSION}")
    problems = batch(rng)
    while True:
        yield from write(problems, rng)
        if genre != FEW_STORIES:
            problems = batch(rng)


def batch(rng: Random) -> list[Problem]:
    """`BATCH` stories, none of them held out for benchmarks."""
    problems: list[Problem] = []
    while len(problems) < BATCH:
        problem = make_problem(rng)
        if not is_held_out(problem):
            problems.append(problem)
    return problems


def benchmark_problems(seed: int, count: int) -> list[Problem]:
    """`count` different held-out stories."""
    rng = Random(f"same words/{seed}/{VERSION}")
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        problem = make_problem(rng)
        if is_held_out(problem):
            problems.setdefault(problem.prompt, problem)
    return list(problems.values())


def make_problem(rng: Random) -> Problem:
    """A random story of what somebody has, which changes twice; all numbers are 1 to `LARGEST`."""
    who, friend = rng.sample(_NAMES, 2)
    thing, other = rng.sample(_THINGS, 2)
    value = rng.randint(2, 12)
    story, steps = [f"{who} has {value} {thing}."], list[Step]()
    left: int | None = value
    for opener in ("First,", "Then"):
        symbol = rng.choice([each for each, fits in _FITS.items() if fits(value)])
        if symbol == "*":
            number = 2
            story.append(f"{who} doubles the {thing}.")
        else:
            number = rng.randint(1, min(9, value - 1 if symbol == "-" else LARGEST - value))
            verb = rng.choice(("buys", "finds") if symbol == "+" else ("loses", "sells"))
            story.append(f"{who} {verb} {number} {thing}.")
        wording = rng.choice((f"{who} has", "there are", "that makes"))
        steps.append(Step(left, symbol, number, f"{opener} {wording} {{sum}} {thing}."))
        value, left = steps[-1].result(value), None
    if rng.random() < _ASIDES:
        story.insert(rng.randint(0, 3), f"{friend} has {rng.randint(1, LARGEST)} {other}.")
    return Problem(" ".join(story), f"How many {thing} does {who} have?", tuple(steps))


_FITS: dict[str, Callable[[int], bool]] = {
    "+": lambda value: value < LARGEST,
    "-": lambda value: value > 1,
    "*": lambda value: 2 * value <= LARGEST,
}
"""Whether an operation leaves a number of 1 to `LARGEST`."""


def _right_steps(problems: Sequence[Problem], rng: Random) -> list[str]:
    return [solved(each, each.reasoning(), each.answer) for each in problems]


def _slipped_results(problems: Sequence[Problem], rng: Random) -> list[str]:
    """Each step shows the result of a step of another solution, at the same place and of the same
    operation; what follows goes on from the result that is written."""
    exact = [problem.results(lambda result: result) for problem in problems]
    written = [list(results) for results in exact]
    for step in range(_STEPS):
        origin = _moved([problem.steps[step].symbol for problem in problems], rng)
        for results, source in zip(written, origin, strict=True):
            results[step] = exact[source][step]
    return [_told(problem, results) for problem, results in zip(problems, written, strict=True)]


def _told(problem: Problem, results: Sequence[int]) -> str:
    """A document whose steps have these results."""
    of_steps = iter(results)
    return solved(problem, problem.reasoning(lambda _: next(of_steps)), results[-1])


def _other_numbers(problems: Sequence[Problem], rng: Random) -> list[str]:
    """Equations of another solution with the same operations, in this solution's sentences."""
    documents = []
    forms = [tuple(step.symbol for step in problem.steps) for problem in problems]
    for problem, source in zip(problems, _moved(forms, rng), strict=True):
        steps = tuple(
            Step(theirs.left, theirs.symbol, theirs.right, ours.sentence)
            for ours, theirs in zip(problem.steps, problems[source].steps, strict=True)
        )
        other = Problem(problem.story, problem.question, steps)
        documents.append(solved(other, other.reasoning(), other.answer))
    return documents


def _other_solutions(problems: Sequence[Problem], rng: Random) -> list[str]:
    return [
        solved(problem, problems[source].reasoning(), problems[source].answer)
        for problem, source in zip(problems, _moved([None] * len(problems), rng), strict=True)
    ]


def _shuffled_steps(problems: Sequence[Problem], rng: Random) -> list[str]:
    documents = []
    for document in _right_steps(problems, rng):
        question, cue, solution = document.partition("Answer: ")
        sentences = [f"{each}." for each in solution.removesuffix(".").split(". ")]
        rng.shuffle(sentences)
        documents.append(question + cue + " ".join(sentences))
    return documents


def _few_stories(problems: Sequence[Problem], rng: Random) -> list[str]:
    return _right_steps(rng.sample(problems, len(problems)), rng)


def _moved(groups: Sequence[Hashable], rng: Random) -> list[int]:
    """For each place another one with an equal group; its own where no other has that group.

    A permutation: every place is given once.
    """
    members: dict[Hashable, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    origin = list(range(len(groups)))
    for places in members.values():
        rng.shuffle(places)
        for place, source in zip(places, places[1:] + places[:1], strict=True):
            origin[place] = source
    return origin


FEW_STORIES = "few-stories"
GENRES: dict[str, Callable[[Sequence[Problem], Random], list[str]]] = {
    "right-steps": _right_steps,
    "slipped-results": _slipped_results,
    "other-numbers": _other_numbers,
    "other-solutions": _other_solutions,
    "shuffled-steps": _shuffled_steps,
    FEW_STORIES: _few_stories,
}
"""Documents of a batch, by genre."""
