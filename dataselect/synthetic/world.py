"""Texts of the synthetic world by genre, as endless seeded streams.

The genres differ in what a model can learn from them about solving stories: `worked` has correct
reasoning, `wrong` the same wording with slips in the arithmetic, `answers` no reasoning, `notes`
correct reasoning in another format, `drills` arithmetic without stories, and `narrative` and
`boilerplate` none of it. One in fifty stories is held out of every genre (`is_held_out`), and
benchmarks consist of those alone, so no benchmark question is ever trained on.
"""

import hashlib
from collections.abc import Callable, Iterator
from random import Random

from dataselect.synthetic.problems import LARGEST, Problem, make_problem
from dataselect.synthetic.words import DAYS, MOODS, NAMES, PLACES, THINGS, WEATHER

VERSION = 1
"""Part of the key of everything made from these texts; raise it when a stream changes."""

ANSWER_CUE = "The answer is"
HELD_OUT_SHARE = 50


def is_held_out(problem: Problem) -> bool:
    """Whether a story is reserved for benchmarks; depends only on its text."""
    digest = hashlib.sha256(problem.prompt.encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT_SHARE == 0


def documents(genre: str, seed: int) -> Iterator[str]:
    """Endless documents of one genre; the same genre and seed give the same stream.

    Raises KeyError for a genre that is not in `GENRES`.
    """
    write, rng = GENRES[genre], Random(f"{genre}/{seed}/{VERSION}")
    while True:
        yield write(rng)


def _training_problem(rng: Random) -> Problem:
    while True:
        problem = make_problem(rng, rng.choice((2, 2, 3, 3, 4)))
        if not is_held_out(problem):
            return problem


def solved(problem: Problem, reasoning: str, answer: int) -> str:
    """A document: the question with a worked solution that ends in `answer`."""
    return f"Question: {problem.prompt}\nAnswer: {reasoning} {ANSWER_CUE} {answer}."


def _worked(rng: Random) -> str:
    problem = _training_problem(rng)
    return solved(problem, problem.reasoning(), problem.answer)


def _wrong(rng: Random) -> str:
    problem = _training_problem(rng)
    slips = {i: rng.choice([d for d in range(-9, 10) if d]) for i in range(len(problem.steps))}
    count = iter(range(len(problem.steps)))
    results: list[int] = []

    def slip(exact: int) -> int:
        results.append(min(LARGEST, max(0, exact + slips[next(count)])))
        return results[-1]

    return solved(problem, problem.reasoning(slip), results[-1])


def _answers(rng: Random) -> str:
    problem = _training_problem(rng)
    return f"Question: {problem.prompt}\nAnswer: {ANSWER_CUE} {problem.answer}."


def _notes(rng: Random) -> str:
    problem = _training_problem(rng)
    return f"Task: {problem.prompt}\nNotes: {problem.equations()} ; result {problem.answer}."


def _drills(rng: Random) -> str:
    lines = []
    for _ in range(rng.randint(8, 16)):
        a, b = rng.randint(2, 60), rng.randint(2, 30)
        symbol = rng.choice("+-*/")
        if symbol == "+":
            b = min(b, LARGEST - a)
            lines.append(f"{a} + {b} = {a + b}.")
        elif symbol == "-":
            lines.append(f"{a + b} - {b} = {a}.")
        elif symbol == "*":
            a, b = rng.randint(2, 12), rng.randint(2, 8)
            lines.append(f"{a} * {b} = {a * b}.")
        else:
            a, b = rng.randint(1, 19), rng.randint(2, 5)
            lines.append(f"{a * b} / {b} = {a}.")
    return " ".join(lines)


def _narrative(rng: Random) -> str:
    who, friend = rng.sample(NAMES, 2)
    place, thing = rng.choice(PLACES), rng.choice(THINGS)
    sentences = [
        f"On {rng.choice(DAYS)} {who} walks to the {place}.",
        f"{who} has {rng.randint(2, 40)} {thing} and feels {rng.choice(MOODS)}.",
        f"It is a {rng.choice(WEATHER)} morning, and the {place} is {rng.choice(MOODS)}.",
        f"{friend} is already there with {rng.randint(2, 30)} {rng.choice(THINGS)}.",
        f"They talk about the {rng.choice(PLACES)} and about {rng.choice(NAMES)}.",
        f'"{rng.choice(MOODS).title()}?" asks {friend}. "No, {rng.choice(MOODS)}," says {who}.',
        f"{friend} gives {who} {rng.randint(2, 20)} {thing} for the way home.",
        f"Later they buy {rng.choice(THINGS)} at the {rng.choice(PLACES)}.",
        f"The {rng.choice(PLACES)} is {rng.randint(2, 40)} minutes away, so they go slowly.",
        f"Everybody at the {place} knows {who} and {friend}.",
        f"At night {who} puts the {thing} in a drawer and is {rng.choice(MOODS)} again.",
        f"{who} never loses {thing}, but {friend} often does.",
    ]
    kept = sorted(rng.sample(range(len(sentences)), rng.randint(5, 9)))
    return " ".join(sentences[i] for i in kept)


def _boilerplate(rng: Random) -> str:
    lines = [
        "Accept all cookies to go on. You can change this at any time.",
        f"Home | Shop | {rng.choice(THINGS).title()} | {rng.choice(PLACES).title()} | Contact",
        f"Free delivery on {rng.choice(THINGS)} over {rng.randint(10, 90)} dollars!",
        f"Copyright {rng.randint(1, 30)} {rng.choice(NAMES)} and sons. All rights reserved.",
        f"Sign in to rate these {rng.choice(THINGS)}. {rng.randint(2, 99)} people liked this page.",
        "Read more. Read less. Share. Print. Report this page.",
        f"Opening hours: {rng.choice(DAYS)} to {rng.choice(DAYS)}, {rng.randint(7, 10)} to "
        f"{rng.randint(4, 9)}.",
        f"Subscribe to news from the {rng.choice(PLACES)}. We never sell your data.",
        f"Page {rng.randint(1, 40)} of {rng.randint(41, 99)}. Next page.",
        f"{rng.choice(NAMES)} posted {rng.randint(2, 59)} minutes ago.",
    ]
    rng.shuffle(lines)
    return "\n".join(lines[: rng.randint(5, 9)])


GENRES: dict[str, Callable[[Random], str]] = {
    "worked": _worked,
    "wrong": _wrong,
    "answers": _answers,
    "notes": _notes,
    "drills": _drills,
    "narrative": _narrative,
    "boilerplate": _boilerplate,
}


def benchmark_problems(seed: int, steps: tuple[int, ...], count: int) -> list[Problem]:
    """`count` different held-out problems with a number of steps from `steps`."""
    rng = Random(f"benchmark/{seed}/{VERSION}")
    problems: dict[str, Problem] = {}
    while len(problems) < count:
        problem = make_problem(rng, rng.choice(steps))
        if is_held_out(problem):
            problems[problem.prompt] = problem
    return list(problems.values())
