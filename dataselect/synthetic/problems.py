"""Multi-step arithmetic stories with worked reasoning, drawn from a grammar.

A problem is a chain of steps over small whole numbers (0 to 99). Six kinds of scene build the
chain in different ways (a changing stock, comparisons between people, prices and change, daily
rates, containers, sharing), each sentence has several wordings, and irrelevant sentences with
numbers are mixed in. So neither the wording nor the order of the numbers reveals the operation: a
model has to follow the story.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from dataselect.synthetic.words import CONTAINERS, MOODS, NAMES, PLACES, THINGS, WEATHER

LARGEST = 99
_SYMBOL_TO_RESULT: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
}


@dataclass(frozen=True)
class Step:
    """One step of the reasoning: `left symbol right = result` inside a sentence.

    Operands may refer to the previous result, so that a slip in one step carries on into the next,
    as in real wrong solutions.
    """

    left: int | None
    """Left operand; None for the result of the previous step."""
    symbol: str
    """+, -, * or /."""
    right: int | None
    """Right operand; None for the result of the previous step."""
    sentence: str
    """The sentence, with `{sum}` where the equation goes."""

    def operands(self, previous: int) -> tuple[int, int]:
        """Both operands, given the result of the previous step."""
        left = previous if self.left is None else self.left
        return left, previous if self.right is None else self.right

    def result(self, previous: int) -> int:
        """The exact result, given the result of the previous step."""
        return _SYMBOL_TO_RESULT[self.symbol](*self.operands(previous))


@dataclass(frozen=True)
class Problem:
    """A story, its question, and the steps that answer it."""

    story: str
    question: str
    steps: tuple[Step, ...]

    @property
    def prompt(self) -> str:
        """Story and question, as a benchmark shows them."""
        return f"{self.story} {self.question}"

    @property
    def answer(self) -> int:
        """The right answer."""
        return self.results(lambda exact: exact)[-1]

    def results(self, compute: Callable[[int], int]) -> list[int]:
        """The written result of every step; `compute` maps an exact result to the written one."""
        written: list[int] = []
        for step in self.steps:
            written.append(compute(step.result(written[-1] if written else 0)))
        return written

    def reasoning(self, compute: Callable[[int], int] = lambda exact: exact) -> str:
        """The worked steps as sentences; `compute` as in `results`."""
        sentences, previous = [], 0
        for step, result in zip(self.steps, self.results(compute), strict=True):
            left, right = step.operands(previous)
            sentences.append(step.sentence.format(sum=f"{left} {step.symbol} {right} = {result}"))
            previous = result
        return " ".join(sentences)

    def equations(self) -> str:
        """The worked steps as bare equations."""
        lines, previous = [], 0
        for step, result in zip(self.steps, self.results(lambda exact: exact), strict=True):
            left, right = step.operands(previous)
            lines.append(f"{left} {step.symbol} {right} -> {result}")
            previous = result
        return " ; ".join(lines)


class _Scene:
    """The state while a problem is generated: its words, the story and the steps so far."""

    def __init__(self, rng: Random, steps: int) -> None:
        self.rng, self.target_steps = rng, steps
        self.who, self.friend, self.third = rng.sample(NAMES, 3)
        self.thing, self.other_thing = rng.sample(THINGS, 2)
        self.place = rng.choice(PLACES)
        self.sentences: list[str] = []
        self.steps: list[Step] = []
        self.value = 0

    def say(self, *wordings: str) -> None:
        self.sentences.append(self.rng.choice(wordings))

    def work(self, left: int | None, symbol: str, right: int | None, *sentences: str) -> None:
        step = Step(left, symbol, right, self._opened(self.rng.choice(sentences)))
        self.value = step.result(self.value)
        self.steps.append(step)

    def _opened(self, sentence: str) -> str:
        openers = ("First, ", "") if not self.steps else ("Then ", "Next, ", "After that, ", "")
        whole = self.rng.choice(openers) + sentence
        return whole[0].upper() + whole[1:]

    def number(self, low: int, high: int) -> int:
        return self.rng.randint(low, max(low, high))


def _change(scene: _Scene) -> None:
    """One event that changes how many things somebody has; the number stays in 1..LARGEST."""
    rng, who, thing = scene.rng, scene.who, scene.thing
    value = scene.value
    kinds = ["gain", "lose"] if value > 3 else ["gain"]
    if value <= 30:
        kinds.append("multiply")
    if value > 5 and any(value % d == 0 for d in (2, 3, 4, 5)):
        kinds.append("share")
    kind = rng.choice(kinds)
    if kind == "gain":
        n = scene.number(2, min(30, LARGEST - value))
        scene.say(
            f"{who} buys {n} more {thing}.",
            f"{scene.friend} gives {who} {n} {thing}.",
            f"Then {who} finds {n} {thing} at the {scene.place}.",
            f"{who} gets {n} {thing} from {scene.friend}.",
        )
        scene.work(None, "+", n, f"{who} has {{sum}} {thing}.", f"now there are {{sum}} {thing}.")
    elif kind == "lose":
        n = scene.number(1, value - 1)
        scene.say(
            f"{who} gives {n} {thing} to {scene.friend}.",
            f"{who} loses {n} {thing} at the {scene.place}.",
            f"Then {who} sells {n} of the {thing}.",
            f"{scene.friend} takes {n} {thing} from {who}.",
        )
        scene.work(
            None, "-", n, f"{who} has {{sum}} {thing} left.", f"this leaves {{sum}} {thing}."
        )
    elif kind == "multiply":
        n, word = rng.choice([(2, "doubles"), (3, "triples")])
        scene.say(
            f"Then {who} {word} the number of {thing}.",
            f"A week later {who} has {n} times as many {thing}.",
        )
        scene.work(None, "*", n, f"{who} has {{sum}} {thing}.", f"that makes {{sum}} {thing}.")
    else:
        n = rng.choice([d for d in (2, 3, 4, 5) if value % d == 0])
        scene.say(
            f"{who} shares the {thing} equally among {n} people and keeps one share.",
            f"{who} puts the {thing} in {n} equal piles and keeps one pile.",
        )
        scene.work(None, "/", n, f"each share is {{sum}} {thing}.", f"{who} keeps {{sum}} {thing}.")


def _stock(scene: _Scene) -> str:
    who, thing = scene.who, scene.thing
    scene.value = scene.number(3, 40)
    scene.say(f"{who} has {scene.value} {thing}.", f"At first {who} owns {scene.value} {thing}.")
    first = scene.value
    while len(scene.steps) < scene.target_steps:
        _change(scene)
        if len(scene.steps) == 1:
            opening = scene.steps[0]
            scene.steps[0] = Step(first, opening.symbol, opening.right, opening.sentence)
    return scene.rng.choice(
        [f"How many {thing} does {who} have now?", f"How many {thing} does {who} have in the end?"]
    )


def _compare(scene: _Scene) -> str:
    who, friend, third, thing = scene.who, scene.friend, scene.third, scene.thing
    a, more = scene.number(4, 25), scene.number(2, 15)
    scene.say(f"{who} has {a} {thing}.", f"{who} collects {a} {thing}.")
    if scene.rng.random() < 0.5 or more >= a:
        scene.say(f"{friend} has {more} more {thing} than {who}.")
        scene.work(a, "+", more, f"{friend} has {{sum}} {thing}.")
    else:
        scene.say(f"{friend} has {more} fewer {thing} than {who}.")
        scene.work(a, "-", more, f"{friend} has {{sum}} {thing}.")
    b = scene.value
    if scene.target_steps == 2:
        scene.work(a, "+", None, f"together they have {{sum}} {thing}.")
        return f"How many {thing} do {who} and {friend} have together?"
    n = scene.rng.choice([2, 3]) if b <= 25 else 1
    if n > 1:
        word = {2: "twice", 3: "three times"}[n]
        scene.say(f"{third} has {word} as many {thing} as {friend}.")
        scene.work(None, "*", n, f"{third} has {{sum}} {thing}.")
    else:
        scene.say(f"{third} has {a - 2} fewer {thing} than {friend}.")
        scene.work(None, "-", a - 2, f"{third} has {{sum}} {thing}.")
    while len(scene.steps) < scene.target_steps:
        scene.who = third
        _change(scene)
    return f"How many {thing} does {third} have?"


def _shop(scene: _Scene) -> str:
    who, thing, other = scene.who, scene.thing, scene.other_thing
    n, price = scene.number(2, 9), scene.number(2, 9)
    scene.say(
        f"At the {scene.place}, {thing} cost {price} dollars each.",
        f"One of the {thing} costs {price} dollars at the {scene.place}.",
    )
    scene.say(f"{who} buys {n} {thing}.", f"{who} takes {n} of them.")
    scene.work(n, "*", price, f"the {thing} cost {{sum}} dollars.", f"{who} pays {{sum}} dollars.")
    if scene.target_steps >= 3:
        extra = scene.number(2, min(20, LARGEST - scene.value))
        scene.say(
            f"{who} also buys {other} for {extra} dollars.",
            f"{who} pays {extra} dollars for some {other} too.",
        )
        scene.work(
            None, "+", extra, "in all it is {sum} dollars.", f"{who} spends {{sum}} dollars."
        )
    if scene.target_steps >= 4 and scene.value % 2 == 0:
        scene.say(f"{scene.friend} pays half of it.", f"{who} and {scene.friend} split it equally.")
        scene.work(None, "/", 2, f"{who}'s part is {{sum}} dollars.")
    purse = scene.number(scene.value + 1, LARGEST)
    scene.say(f"{who} came with {purse} dollars.", f"{who} had {purse} dollars before.")
    scene.work(purse, "-", None, f"{who} has {{sum}} dollars left.")
    return f"How many dollars does {who} have left?"


def _rate(scene: _Scene) -> str:
    who, thing = scene.who, scene.thing
    per_day, days = scene.number(2, 12), scene.number(2, 7)
    scene.say(
        f"{who} makes {per_day} {thing} every day for {days} days.",
        f"For {days} days, {who} makes {per_day} {thing} a day.",
        f"Each day {who} paints {per_day} {thing}, and this goes on for {days} days.",
    )
    scene.work(per_day, "*", days, f"{who} makes {{sum}} {thing}.", f"that is {{sum}} {thing}.")
    while len(scene.steps) < scene.target_steps:
        _change(scene)
    return f"How many {thing} does {who} have now?"


def _containers(scene: _Scene) -> str:
    thing, container = scene.thing, scene.rng.choice(CONTAINERS)
    n, per_container = scene.number(2, 9), scene.number(2, 10)
    scene.say(
        f"There are {n} {container} at the {scene.place} with {per_container} {thing} in each.",
        f"{scene.who} has {n} {container}. Each of the {container} holds {per_container} {thing}.",
    )
    scene.work(
        n,
        "*",
        per_container,
        f"there are {{sum}} {thing}.",
        f"the {container} hold {{sum}} {thing}.",
    )
    while len(scene.steps) < scene.target_steps:
        if scene.value > 4 and scene.rng.random() < 0.5:
            bad = scene.number(1, scene.value - 2)
            scene.say(f"{bad} of the {thing} are broken.", f"{bad} {thing} are thrown away.")
            scene.work(None, "-", bad, f"this leaves {{sum}} {thing}.", "{sum} are still good.")
        else:
            _change(scene)
    return f"How many {thing} are there in the end?"


def _parts(scene: _Scene) -> str:
    who, friend, thing = scene.who, scene.friend, scene.thing
    a, b = scene.number(3, 30), scene.number(3, 30)
    scene.say(f"{who} brings {a} {thing} and {friend} brings {b} {thing}.")
    scene.work(a, "+", b, f"together they bring {{sum}} {thing}.", f"there are {{sum}} {thing}.")
    while len(scene.steps) < scene.target_steps:
        _change(scene)
    return f"How many {thing} does {who} have at last?"


_SCENES = (_stock, _compare, _shop, _rate, _containers, _parts)


def _aside(scene: _Scene) -> str:
    """A sentence that is irrelevant to the question, often with a number in it."""
    rng, someone = scene.rng, scene.rng.choice([scene.who, scene.friend])
    return rng.choice(
        [
            f"{someone} is {rng.randint(6, 60)} years old.",
            f"It is a {rng.choice(WEATHER)} day.",
            f"{someone} is {rng.choice(MOODS)}.",
            f"The {scene.place} is {rng.randint(2, 40)} minutes away.",
            f"{scene.third} also has {rng.randint(2, 40)} {scene.other_thing}.",
        ]
    )


def make_problem(rng: Random, steps: int) -> Problem:
    """A random problem of `steps` steps (2 to 4) with all results in 0..LARGEST."""
    while True:
        scene = _Scene(rng, steps)
        question = rng.choice(_SCENES)(scene)
        if rng.random() < 0.4:
            scene.sentences.insert(rng.randint(0, len(scene.sentences)), _aside(scene))
        problem = Problem(" ".join(scene.sentences), question, tuple(scene.steps))
        results = problem.results(lambda exact: exact)
        if len(scene.steps) == steps and all(0 <= result <= LARGEST for result in results):
            return problem
