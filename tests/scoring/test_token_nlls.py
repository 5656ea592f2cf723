"""NLLs of single tokens: they give the score again, whatever the weights are scaled over."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_models import save_model

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.scoring.checkpoint import resolve_model
from dataselect.scoring.evaluate import measure
from dataselect.scoring.evaluation import Evaluation, Scope
from dataselect.scoring.measured import read
from dataselect.scoring.token_nlls import TokenNlls, TokenReader, mean_tokens
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, TraceSet


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "first", seed=1)


def evaluation(stories: BenchmarkItems, scope: Scope) -> Evaluation:
    texts = {"q1": "  One — café 🍎.\n", "q2": "Two and two.", "q3": "Three."}
    traces = {
        name: Trace(
            name,
            text,
            ((2, 0.1 + n / 5), (1, None), (len(text) - 3, 0.9 - n / 5)),
            marked=text.replace("n", "<span>n</span>", 1).replace("e.", "<span>e</span>.", 1),
        )
        for n, (name, text) in enumerate(texts.items())
    }
    header = TraceHeader("stories", "oracle", "{question}", "a test")
    return Evaluation(stories, (TraceSet(header, traces),), (), scope)


@pytest.mark.parametrize("scope", ["trace", "benchmark", "none", "span"])
def test_tokens_give_the_score_of_their_item(
    stories: BenchmarkItems, model: Path, tmp_path: Path, scope: Scope
) -> None:
    store, checkpoint = Store(tmp_path), resolve_model(str(model), "float32")
    made = evaluation(stories, scope)
    measure(store, checkpoint, [made], ["scores"], device="cpu", name="first")
    scores = read(store, checkpoint, made, "scores").table.set_index("item")["rbridge"]
    told: list[str] = []
    reader = TokenReader(store, checkpoint, "cpu", "first", told.append)
    found = reader.read(made, made.traces[0], ["q3", "q1"])
    assert set(found) == {"q1", "q3"}
    for name, tokens in found.items():
        assert tokens.score == pytest.approx(scores[name], abs=1e-6)
        assert tokens.parts.sum() == pytest.approx(tokens.score)
        text = made.traces[0].traces[name].text.strip()
        held = np.zeros(len(text))
        for start, end in tokens.spans:
            held[start:end] += 1
        assert (held >= 1).all()
    assert told == ["first: tokens of 2 items of stories"]
    again = TokenReader(store, checkpoint, "cpu", "first", told.append)
    same = again.read(made, made.traces[0], ["q1", "q3"])
    assert len(told) == 1
    for name, tokens in same.items():
        assert tokens.spans == found[name].spans
        np.testing.assert_array_equal(tokens.nll, found[name].nll)
        np.testing.assert_array_equal(tokens.weights, found[name].weights)


def test_the_mean_over_checkpoints_is_that_of_their_scores() -> None:
    weights = np.array([np.nan, 0.5, 1.0])
    one = TokenNlls(((0, 0), (0, 2), (2, 3)), weights, np.array([9.0, 1.0, 2.0]))
    two = replace(one, nll=np.array([1.0, 3.0, 0.0]))
    mean = mean_tokens([one, two])
    assert mean is not None
    assert one.score == pytest.approx(1.25)  # two tokens count
    assert one.parts.tolist() == [0.0, 0.25, 1.0]
    assert mean.score == pytest.approx((one.score + two.score) / 2)
    assert mean_tokens([one, replace(two, spans=((0, 0), (0, 1), (1, 3)))]) is None
