"""Fine-tuned checkpoints: made once, known by what they were made of, scored like any other."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from small_models import byte_tokenizer, save_model
from transformers import AutoModelForCausalLM

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.proxies.recipe import TuneRecipe
from dataselect.scoring.checkpoint import resolve_model
from dataselect.scoring.evaluate import measure
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.finetune import FinetunedCheckpoint, asked_as_trained, make_examples
from dataselect.scoring.measured import find
from dataselect.store import Store
from dataselect.traces.trace import TraceHeader, TraceSet

FAST = TuneRecipe(learning_rate=1e-2, batch_size=8, epochs=6)


def benchmark(first: int, count: int, shots: int = 0) -> BenchmarkItems:
    """Questions that all have the answer 3."""
    items = [Item(f"i{n}", f"What is it, number {n}?", "3") for n in range(first, first + count)]
    examples = [Item(f"e{n}", f"Number {n}?", "3") for n in range(shots)]
    return BenchmarkItems("three", tuple(items), tuple(examples), new_tokens=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "first", seed=1)


@pytest.fixture
def checkpoint(tmp_path: Path, model: Path) -> Callable[..., FinetunedCheckpoint]:
    def make(**changes: Any) -> FinetunedCheckpoint:
        given: dict[str, Any] = {
            "name": "first",
            "base": resolve_model(str(model), "float32"),
            "training": benchmark(0, 32),
            "recipe": FAST,
            "store": Store(tmp_path / "store"),
            "device": "cpu",
        }
        return FinetunedCheckpoint(**given | changes)

    return make


def evaluation() -> Evaluation:
    header = TraceHeader("three", "nobody", "{question}", "a test", created="2026-01-02")
    traces = TraceSet(header, {}, ())
    return Evaluation(benchmark(100, 5, shots=2), (traces,), ())


def refuse(*arguments: Any, **options: Any) -> NoReturn:
    raise AssertionError("it was fine-tuned already")


def test_it_answers_as_it_was_taught_and_its_scores_outlive_its_weights(
    checkpoint: Callable[..., FinetunedCheckpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = checkpoint()
    asked = asked_as_trained(evaluation())
    assert asked.benchmark.context(asked.benchmark.items[0]).count("Question:") == 1

    def measured() -> Any:
        measure(tuned.store, tuned, [asked], ("graded",), device="cpu", name="first")
        found = find(tuned.store, tuned, asked, "graded")
        assert found is not None
        return found.table

    assert list(measured()["correct"]) == [1.0] * 5
    monkeypatch.setattr("dataselect.proxies.tune.tune", refuse)
    shutil.rmtree(tuned.store.root / "artifacts" / "finetuned")
    assert list(measured()["correct"]) == [1.0] * 5


def test_it_is_made_once_and_its_cost_is_in_the_ledger(
    checkpoint: Callable[..., FinetunedCheckpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    tuned = checkpoint(report=told.append)
    folder = tuned.folder()
    assert told == ["first: fine-tuning on 32 examples of three"]
    model = AutoModelForCausalLM.from_pretrained(folder)
    (record,) = tuned.store.ledger()
    artifact = tuned.store.find("finetuned", tuned.spec)
    assert artifact is not None
    facts = artifact.json("finetuning.json")
    assert (facts["steps"], facts["examples"], facts["too_long"]) == (24, 32, 0)
    assert facts["losses"][-1] < 0.5 * facts["losses"][0]
    assert record["flops"] == facts["flops"] == 6 * model.num_parameters() * facts["tokens"]
    assert (record["status"], record["name"]) == ("done", "first on three")
    monkeypatch.setattr("dataselect.proxies.tune.tune", refuse)
    assert tuned.folder() == folder


def test_its_identity_is_all_that_its_weights_depend_on(
    tmp_path: Path, checkpoint: Callable[..., FinetunedCheckpoint]
) -> None:
    same = checkpoint(name="other", device="cuda", store=Store(tmp_path / "elsewhere"))
    assert same.identity == checkpoint().identity
    other = resolve_model(str(save_model(tmp_path / "second", seed=2)), "float32")
    for change in (
        {"base": other},
        {"training": benchmark(0, 31)},
        {"training": replace(benchmark(0, 32), label="answer")},
        {"recipe": replace(FAST, seed=1)},
        {"recipe": replace(FAST, precision="bf16")},
        {"precision": "bfloat16"},
    ):
        assert checkpoint(**change).identity != checkpoint().identity, change


def test_items_that_have_no_room_are_counted_and_none_that_has_any_is_an_error() -> None:
    training = benchmark(0, 3)
    long = Item("long", "word " * 200, "3")
    with_long = replace(training, items=(*training.items, long))
    examples, too_long = make_examples(with_long, byte_tokenizer(), 100)
    assert (len(examples), too_long) == (3, 1)
    assert all(each.answer[-1] == byte_tokenizer().eos_token_id for each in examples)
    tokenizer = byte_tokenizer()
    assert tokenizer.decode(examples[0].prompt) == "Question: What is it, number 0?\nAnswer:"
    assert tokenizer.decode(examples[0].answer[:-1]) == " 3"
    with pytest.raises(InputError, match="three: none of its 3 training items fits the model"):
        make_examples(training, byte_tokenizer(), 5)
