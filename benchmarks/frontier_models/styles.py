"""Right solutions of the quickstart's problems in three styles."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random

from dataselect.synthetic.problems import Problem, make_problem
from dataselect.synthetic.world import ANSWER_CUE, VERSION, is_held_out


def worked(problem: Problem) -> str:
    """The world's own worked solution."""
    return problem.reasoning()


def notation(problem: Problem) -> str:
    """The solution in the notation of the candidate `notebook`: bare equations with arrows."""
    return f"First, {problem.equations()}."


def calculator(problem: Problem) -> str:
    """The solution in sentences that no candidate has, without the words of the story."""
    sentences, previous = [], 0
    for step in problem.steps:
        left, right = step.operands(previous)
        previous = step.result(previous)
        words = _CALCULATOR[step.symbol].format(left=left, right=right)
        sentences.append(f"{words} gives {previous}.")
    first, *others = sentences
    return " ".join([f"First, {first}", *(f"{each[0].upper()}{each[1:]}" for each in others)])


_CALCULATOR = {
    "+": "adding {right} to {left}",
    "-": "subtracting {right} from {left}",
    "*": "multiplying {left} by {right}",
    "/": "dividing {left} by {right}",
}


@dataclass(frozen=True)
class Style:
    """How solutions are written, and what asks for it."""

    write: Callable[[Problem], str]
    cue: str
    """What stands between the question and the solution."""
    share: float
    """Of the training texts."""


STYLES: Mapping[str, Style] = {
    "small": Style(worked, "Answer:", 0.5),
    "notation": Style(notation, "In notation:", 0.25),
    "calculator": Style(calculator, "By calculator:", 0.25),
}
"""By the name of the traces."""


def documents(seed: int) -> Iterator[str]:
    """Endless training texts, with right solutions in all styles; no story that is held out."""
    rng = Random(f"frontier models/{seed}/{VERSION}")
    styles, shares = list(STYLES.values()), [style.share for style in STYLES.values()]
    while True:
        problem = make_problem(rng, rng.choice((2, 2, 3, 3, 4)))
        if is_held_out(problem):
            continue
        (style,) = rng.choices(styles, shares)
        solution = f"{style.write(problem)} {ANSWER_CUE} {problem.answer}."
        yield f"Question: {problem.prompt}\n{style.cue} {solution}"
