from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from dataselect.benchmarks import answers
from dataselect.benchmarks.items import BenchmarkItems, CodeCheck, Item
from dataselect.scoring import generation
from dataselect.scoring.decoding import Continuation, greedy
from dataselect.scoring.generation import Generated, generate_answers


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tokenizer: Any) -> Callable[..., Generated]:
    """Generates with a model that writes the given texts, whatever its prompts are."""

    class Model:
        config = None

        def parameters(self) -> list[Any]:
            return []

    def written(benchmark: BenchmarkItems, texts: Sequence[str], **asked: Any) -> Generated:
        def decode(_model: Any, _tokenizer: Any, prompts: list[str], *_: Any, **__: Any) -> Any:
            assert len(prompts) == len(texts)
            ids = [tuple(tokenizer(text)["input_ids"]) for text in texts]
            return [Continuation(text, i, ()) for text, i in zip(texts, ids, strict=True)]

        monkeypatch.setattr(generation, "greedy", decode)
        return generate_answers(Model(), tokenizer, benchmark, **asked)

    return written


def test_edit_distance_is_over_the_labels_tokens(
    benchmark_items: BenchmarkItems, write: Callable[..., Generated], tokenizer: Any
) -> None:
    labels = [benchmark_items.label_text(item) for item in benchmark_items.items]
    count = [len(tokenizer(label)["input_ids"]) for label in labels]
    outputs = [
        labels[0],
        labels[1] + "\n\nQuestion: and so on",
        "",
        labels[3].replace("She", "Zoë"),
        "한" * 200,
        labels[5][: labels[5].index(" apples")],
    ]
    table = write(benchmark_items, outputs, accuracy=False).table
    assert list(table.columns) == ["item", "output", "ted", "ted_per_token"]
    assert list(table["item"]) == [item.id for item in benchmark_items.items]
    assert table["ted"][:3].tolist() == [0, 0, count[2]]
    assert 0 < table["ted"][3] < count[3]
    assert table["ted"][4:].tolist() == [count[4], count[5] - len(tokenizer(outputs[5]).input_ids)]
    assert table["ted_per_token"].tolist() == pytest.approx(list(table["ted"] / count))


def test_answers_are_graded_by_the_kind_of_the_benchmark(
    benchmark_items: BenchmarkItems, write: Callable[..., Generated]
) -> None:
    outputs = [" The answer is 15."] * 3 + [" 1 + 59 = 60", " I do not know", ""]
    table = write(benchmark_items, outputs, accuracy=True).table
    assert table["correct"].tolist() == [1, 0, 0, 1, 0, 0]
    choice = Item("c", "Which?", "B", ("red", "blue"), 1)
    chosen = replace(benchmark_items, items=(choice, replace(choice, id="d")))
    table = write(chosen, [" The answer is (B).", " The answer is A."], accuracy=True).table
    assert table["correct"].tolist() == [1, 0]


def test_code_is_graded_with_its_indent_and_the_users_word_on_isolation(
    write: Callable[..., Generated], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = Item("h", "def one():\n", "    return 1\n", code=CodeCheck("def check(f): ...", "one"))
    asked: list[object] = []

    def grade(items: Any, kind: str, outputs: list[str], *, unsafe: bool = False) -> list[bool]:
        asked.extend([kind, outputs, unsafe])
        return [True for _ in items]

    monkeypatch.setattr(answers, "grade", grade)
    benchmark = BenchmarkItems("code", (code,), (), "{question}")
    made = write(benchmark, ["    return 1"], accuracy=True, unsafe=True)
    assert asked == ["code", ["    return 1"], True]
    assert made.table["ted"].tolist() == [0]


@pytest.mark.parametrize("kind", ["olmo2", "gpt2"])
def test_edit_distance_is_the_same_with_and_without_accuracy(
    benchmark_items: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any, kind: str
) -> None:
    model = make_model(kind)
    # Every label is longer than the first stop string takes to come.
    benchmark = replace(benchmark_items, stop=("e", "a", " "), new_tokens=48)
    short = generate_answers(model, tokenizer, benchmark, accuracy=False)
    whole = generate_answers(model, tokenizer, benchmark, accuracy=True, batch_size=2)
    for column in ("item", "ted", "ted_per_token"):
        assert short.table[column].tolist() == whole.table[column].tolist()
    assert set(whole.table["correct"]) <= {0.0, 1.0}
    stopped = greedy(
        model, tokenizer, [benchmark.context(item) for item in benchmark.items], 48, benchmark.stop
    )
    assert whole.table["output"].tolist() == [each.text for each in stopped]


def test_no_more_tokens_are_written_than_the_label_has(
    benchmark_items: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    model = make_model("llama")
    made = generate_answers(model, tokenizer, benchmark_items, accuracy=False)
    expected = 0
    for item in benchmark_items.items:
        prompt = benchmark_items.context(item)
        label = tokenizer(prompt + benchmark_items.label_text(item))["input_ids"]
        expected += len(label)
    assert made.tokens <= expected
    assert made.flops == 2 * model.num_parameters() * made.tokens
    capped = replace(benchmark_items, new_tokens=2)
    assert generate_answers(model, tokenizer, capped, accuracy=False).tokens < made.tokens


def test_examples_that_leave_no_room_are_dropped(
    benchmark_items: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    benchmark = replace(benchmark_items, new_tokens=8)
    prompts = [benchmark.context(item, 0) for item in benchmark.items]
    longest = max(len(tokenizer(prompt)["input_ids"]) for prompt in prompts)
    model = make_model("gpt2", positions=longest + 8)
    made = generate_answers(model, tokenizer, benchmark, accuracy=True)
    assert len(made.table) == 6
    assert not made.exclusions
    assert made.notes[0].startswith("answers written after fewer worked examples")


def test_an_item_without_room_for_an_answer_is_excluded(
    benchmark_items: BenchmarkItems, make_model: Callable[..., Any], tokenizer: Any
) -> None:
    lengths = [
        len(tokenizer(benchmark_items.context(item, 0))["input_ids"])
        for item in benchmark_items.items
    ]
    model = make_model("gpt2", positions=max(lengths))
    made = generate_answers(model, tokenizer, benchmark_items, accuracy=False)
    assert [each.item for each in made.exclusions] == ["q6"]
    assert f"the model takes {max(lengths)}" in made.exclusions[0].reason
    assert "q6" not in set(made.table["item"])
