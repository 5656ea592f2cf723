"""The styles that the study of frontier models has solutions written in."""

import importlib.util
import re
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType

import pytest

from dataselect.synthetic.world import benchmark_problems

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "frontier_models" / "styles.py"
SYMBOLS = {"+": "adding", "-": "subtracting", "*": "multiplying", "/": "dividing"}


@pytest.fixture(scope="module")
def styles() -> ModuleType:
    spec = importlib.util.spec_from_file_location("styles", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "styles", module)
        spec.loader.exec_module(module)
    return module


def test_every_style_says_the_same_steps(styles: ModuleType) -> None:
    for problem in benchmark_problems(3, (2, 3, 4), 50):
        results = problem.results(lambda exact: exact)
        notation, calculator = styles.notation(problem), styles.calculator(problem)
        assert [int(n) for n in re.findall(r"-> (\d+)", notation)] == results
        assert [int(n) for n in re.findall(r"gives (\d+)\.", calculator)] == results
        verbs = re.findall("|".join(SYMBOLS.values()), calculator.lower())
        assert verbs == [SYMBOLS[step.symbol] for step in problem.steps]


def test_operands_are_named_in_the_order_of_the_words(styles: ModuleType) -> None:
    for problem in benchmark_problems(4, (2,), 50):
        for verb, a, b, result in re.findall(
            r"(\w+) (\d+) (?:to|from|by) (\d+) gives (\d+)", styles.calculator(problem).lower()
        ):
            one, two = int(a), int(b)
            exact = {
                "adding": two + one,
                "subtracting": two - one,
                "multiplying": one * two,
                "dividing": one // two,
            }
            assert int(result) == exact[verb]


def test_training_texts_have_all_cues(styles: ModuleType) -> None:
    texts = list(islice(styles.documents(5), 200))
    cues = {text.split("\n")[1].split(":")[0] for text in texts}
    assert cues == {"Answer", "In notation", "By calculator"}
