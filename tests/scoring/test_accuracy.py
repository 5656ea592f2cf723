from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.scoring import accuracy as accuracy_module
from dataselect.scoring.accuracy import accuracy, extract_choice, extract_number, generate


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


def test_accuracy_is_aligned_to_the_items(
    benchmark_items: BenchmarkItems, monkeypatch: pytest.MonkeyPatch, tokenizer: Any
) -> None:
    choice = Item("c", "Which?", "B", ("red", "blue"), 1)
    benchmark = replace(benchmark_items, items=(*benchmark_items.items[:3], choice))

    class Model:
        config = None

    def answers(_model: Any, _tokenizer: Any, prompts: list[str], *_: Any, **__: Any) -> list[str]:
        assert prompts == [benchmark.context(item) for item in benchmark.items]
        return [" The answer is 15.", " I do not know", " 1 + 44 = 45", " The answer is (B)."]

    monkeypatch.setattr(accuracy_module, "generate", answers)
    assert accuracy(Model(), tokenizer, benchmark).tolist() == [1.0, 0.0, 1.0, 1.0]


def test_accuracy_runs_a_model_and_drops_examples_that_leave_no_room(
    benchmark_items: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    prompts = [benchmark_items.context(item, 0) for item in benchmark_items.items]
    longest = max(len(tokenizer(prompt)["input_ids"]) for prompt in prompts)
    model = make_model("gpt2", positions=longest + 8)
    result = accuracy(model, tokenizer, benchmark_items, max_new_tokens=8)
    assert result.shape == (6,)
    assert set(np.unique(result)) <= {0.0, 1.0}


def test_answers_that_need_a_checker_are_refused(
    benchmark_items: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    benchmark = replace(benchmark_items, items=(Item("m", "Solve.", "\\frac{\\pi}{x}"),))
    with pytest.raises(InputError, match="neither a number nor a choice"):
        accuracy(make_model("gpt2"), tokenizer, benchmark)


def test_generated_text_ends_before_the_stop_string(
    make_model: Callable[..., Any], tokenizer: Any
) -> None:
    texts = generate(make_model("llama"), tokenizer, ["Answer:", "Question: She"], 30, ("e",))
    assert len(texts) == 2
    assert all("e" not in text for text in texts)
