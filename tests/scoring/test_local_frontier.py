import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_models import byte_tokenizer
from transformers import AutoModelForCausalLM, Olmo2Config, Olmo2ForCausalLM

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.scoring.local_frontier import LocalFrontier
from dataselect.testing.frontier import FrontierModelContract
from dataselect.traces.frontier import FrontierModel
from dataselect.traces.reasoning import split_answer
from dataselect.traces.trace import read_traces, write_traces


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return byte_tokenizer(300, ("Question: She has 3 red apples.\nAnswer: apples",) * 5)


@pytest.fixture(scope="session")
def frontier_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Path:
    """A random model that has only printable ASCII tokens to choose from."""
    torch.manual_seed(2)
    config = Olmo2Config(
        vocab_size=300,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=400,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
        initializer_range=0.3,
    )
    model = Olmo2ForCausalLM(config)
    folder = tmp_path_factory.mktemp("frontier")
    names = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    bad = [i for i, name in enumerate(names) if not name.replace("Ġ", "").isascii()]
    model.lm_head.weight.data[[0, *bad]] = 0.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def frontier(frontier_folder: Path) -> LocalFrontier:
    return LocalFrontier(str(frontier_folder))


class TestLocalFrontier(FrontierModelContract):
    model: LocalFrontier

    @pytest.fixture(autouse=True)
    def _model(self, frontier_folder: Path) -> None:
        self.model = LocalFrontier(str(frontier_folder))

    def make_frontier(self, benchmark: BenchmarkItems, folder: Path) -> FrontierModel:
        return self.model

    def make_benchmark_without_traces(self) -> BenchmarkItems:
        return replace(self.make_benchmark(), items=(Item("q", "How many?", "3"),))


def token_probabilities(folder: Path, tokenizer: Any, context: str, text: str) -> list[Any]:
    """(token's bytes, probability) of `text` after `context`, from whole logits."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    start = len(tokenizer(context)["input_ids"])
    ids = tokenizer(context + text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        probs = model(input_ids=ids).logits[0].double().softmax(-1)
    return [
        (tokenizer.decode([ids[0, p]]), float(probs[p - 1, ids[0, p]]))
        for p in range(start, ids.shape[1])
    ]


def test_weighing_gives_each_letter_its_tokens_probability(
    frontier: LocalFrontier, frontier_folder: Path, tokenizer: Any, stories: BenchmarkItems
) -> None:
    text = "She has 1 red apples."
    trace = frontier.weigh(stories, {"q1": text}).traces["q1"]
    context = stories.context(stories.items[0])
    expected = []
    for piece, p in token_probabilities(frontier_folder, tokenizer, context, f" {text}"):
        expected += [p] * len(piece)
    assert trace.text == text
    assert trace.letter_probs == pytest.approx(expected[1:], rel=1e-4)


def test_a_letter_over_several_tokens_has_their_mean(
    frontier: LocalFrontier, frontier_folder: Path, tokenizer: Any, stories: BenchmarkItems
) -> None:
    trace = frontier.weigh(stories, {"q1": "a日"}).traces["q1"]
    context = stories.context(stories.items[0])
    tokens = token_probabilities(frontier_folder, tokenizer, context, " a日")
    assert len(tokens) >= 4
    assert trace.letter_probs[1] == pytest.approx(np.mean([p for _, p in tokens[-3:]]), rel=1e-4)


def test_the_items_own_rationales_are_the_default_traces(
    frontier: LocalFrontier, stories: BenchmarkItems
) -> None:
    model: FrontierModel = frontier
    traces = model.traces(stories)
    assert set(traces.traces) == {"q1", "q2", "q3"}
    assert traces.header.benchmark == "stories"
    assert traces.header.model == frontier.name
    for item in stories.items[:3]:
        assert traces.traces[item.id].text == item.rationale


def test_weighing_is_cut_before_the_answer(
    frontier: LocalFrontier, stories: BenchmarkItems
) -> None:
    text = "1 + 2 = 3. The answer is 3."
    trace = frontier.weigh(stories, {"q1": text}).traces["q1"]
    assert (trace.text, trace.answer) == ("1 + 2 = 3.", "3")


def test_generated_traces_keep_the_probability_of_each_emitted_token(
    frontier: LocalFrontier, frontier_folder: Path, tokenizer: Any, stories: BenchmarkItems
) -> None:
    traces = frontier.generate(stories, 12, stop=(), batch_size=3)
    assert set(traces.traces) == {"q1", "q2", "q3", "q4"}
    model = AutoModelForCausalLM.from_pretrained(frontier_folder)
    for item in stories.items:
        ids = tokenizer(stories.context(item))["input_ids"]
        pieces, expected = "", []
        for _ in range(12):
            with torch.no_grad():
                probs = model(input_ids=torch.tensor([ids])).logits[0, -1].double().softmax(-1)
            best = int(probs.argmax())
            piece = tokenizer.decode([best])
            pieces += piece
            expected += [float(probs[best])] * len(piece)
            ids = [*ids, best]
        trace = traces.traces[item.id]
        start = pieces.index(trace.text)
        assert trace.text == pieces.strip()
        wanted = expected[start : start + len(trace.text)]
        assert trace.letter_probs == pytest.approx(wanted, rel=1e-4)


def test_generated_traces_survive_their_file(
    frontier: LocalFrontier, stories: BenchmarkItems, tmp_path: Path
) -> None:
    traces = frontier.generate(stories, 8)
    write_traces(tmp_path / "t.jsonl.gz", traces.header, traces.traces.values())
    assert read_traces(tmp_path / "t.jsonl.gz").hash == traces.hash


def test_items_that_do_not_fit_have_no_trace_and_are_reported(
    frontier: LocalFrontier, stories: BenchmarkItems, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        traces = frontier.weigh(stories, {"q1": "She has 3.", "q2": "apples " * 400})
    assert set(traces.traces) == {"q1"}
    reasons = {each.item: each.reason for each in traces.exclusions}
    assert set(reasons) == {"q2", "q3", "q4"}
    assert reasons["q2"].startswith("it needs")
    assert reasons["q3"] == "there is no reasoning to weigh for it"
    assert "1 items of 'stories' have no trace (q2: it needs" in caplog.text


def test_a_benchmark_without_rationales_is_refused(
    frontier: LocalFrontier, stories: BenchmarkItems
) -> None:
    bare = replace(stories, items=(Item("q", "How many?", "3"),))
    with pytest.raises(InputError, match="no rationale to weigh"):
        frontier.traces(bare)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has no config\.json"):
        LocalFrontier(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        (" 1 + 1 = 2. The answer is 2.", "1 + 1 = 2.", "2"),
        ("Two.\n#### 2\n\nmore", "Two.", "2"),
        ("It is cold. So, the final answer is (B).", "It is cold.", "(B)"),
        ("The answer is not 3. 1 + 1 = 2. The answer is 2", "The answer is not 3. 1 + 1 = 2.", "2"),
        ("no answer", "no answer", None),
        ("The answer is", "", None),
    ],
)
def test_reasoning_and_answer_are_told_apart(text: str, reasoning: str, answer: str | None) -> None:
    assert split_answer(text) == (reasoning, answer)
