"""How the likelihoods are computed, and in which unit, decides nothing."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from scored_models import evaluation, item_scores, questions, traces_for
from zoo import ARCHITECTURES, TOKENIZERS, make_model, write_model

from dataselect.corpus.saved_tokenizer import read_tokenizer
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import aggregate, bootstrap_rank
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.likelihood.scorer import token_nll
from dataselect.scoring.prepare import prepare
from dataselect.traces.trace import TraceSet


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Contexts and continuations in tokens, by tokenizer."""
    base = tmp_path_factory.mktemp("tokenizers")

    @cache
    def of(tokenizer: str) -> list[Any]:
        folder = write_model(base / tokenizer, "llama", tokenizer)
        evaluated = evaluation()
        items = prepare(
            evaluated.benchmark, evaluated.traces[0], read_tokenizer(folder).tokenizer, 512
        ).items
        found = [(item.context_ids, item.trace_ids) for item in items]
        return found + [(item.label_context_ids, item.label_ids) for item in items]

    return of


def by_hand(model: Any, context: Sequence[int], ids: Sequence[int]) -> npt.NDArray[np.float64]:
    """The losses of a text's last tokens, from the logits of the whole text."""
    text = torch.tensor([[*context, *ids]])
    with torch.inference_mode():
        logits = model(input_ids=text, use_cache=False).logits[0, len(context) - 1 : -1]
    losses = -logits.log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
    return np.asarray(losses.double())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_neither_batches_nor_shared_contexts_nor_order_change_a_likelihood(
    architecture: str, pairs: Any
) -> None:
    model = make_model(architecture)
    asked = pairs(TOKENIZERS[ARCHITECTURES.index(architecture) % len(TOKENIZERS)])
    alone = [by_hand(model, *pair) for pair in asked]
    for found in (
        token_nll(model, asked).nll,
        token_nll(model, asked, tokens_per_batch=70).nll,
        token_nll(model, asked[::-1]).nll[::-1],
        # Each as if it were the only one.
        [token_nll(model, [pair]).nll[0] for pair in asked[:2]],
    ):
        for one, other in zip(alone, found, strict=False):
            assert np.abs(one - other).max() < 1e-5


def scaled(traces: TraceSet, factor: float, constant: float) -> TraceSet:
    """The same traces with other probabilities of the letters."""
    made = {
        name: replace(
            trace,
            runs=tuple((n, None if p is None else factor * p + constant) for n, p in trace.runs),
        )
        for name, trace in traces.traces.items()
    }
    return TraceSet(traces.header, made)


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_unit_of_the_frontier_probabilities_does_not_matter(
    tokenizer: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each trace's weights are scaled to 0..1: half of every probability is the same weight."""
    folder = write_model(tmp_path_factory.mktemp("m") / "model", "llama", tokenizer)
    plain = item_scores(folder, measurements=("scores",))["rbridge"]
    traces = evaluation().traces[0]
    for factor, constant in ((0.5, 0.0), (0.5, 0.25), (1.0, 0.125)):
        other = Evaluation(questions(), (scaled(traces, factor, constant),), ())
        found = item_scores(folder, other, ("scores",))["rbridge"]
        assert found.to_numpy() == pytest.approx(plain.to_numpy(), abs=1e-9)
    # And it is not that they count for nothing.
    turned = Evaluation(questions(), (scaled(traces, -1.0, 0.8),), ())
    assert abs(item_scores(folder, turned, ("scores",))["rbridge"] - plain).min() > 1e-3


def test_the_same_traces_twice_score_as_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Two frontier models that agree are averaged to what one of them says."""
    folder = write_model(tmp_path_factory.mktemp("m") / "model", "qwen3", "bytes")
    benchmark = questions()
    one, other = traces_for(benchmark), traces_for(benchmark, seed=5, model="another")
    single = [
        item_scores(folder, Evaluation(benchmark, (each,), ()), ("scores",))["rbridge"]
        for each in (one, other)
    ]
    both = [
        item_scores(folder, Evaluation(benchmark, pair, ()), ("scores",))["rbridge"]
        for pair in ((one, other), (other, one))
    ]
    for found in both:
        assert found.to_numpy() == pytest.approx((single[0] + single[1]) / 2, abs=1e-9)
    again = Evaluation(benchmark, (one, replace(one, header=other.header)), ())
    found = item_scores(folder, again, ("scores",))["rbridge"]
    assert found.to_numpy() == pytest.approx(single[0], abs=1e-9)


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """NLLs of items x candidates on three benchmarks of different spread."""
    draw = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "e"]
    quality = draw.normal(0, 1, 5)
    return {
        benchmark: pd.DataFrame(
            3 + scale * (quality + draw.normal(0, 2, (40, 5)) + draw.normal(0, 3, (40, 1))),
            columns=names,
        )
        for benchmark, scale in (("one", 1.0), ("two", 0.1), ("three", 7.0))
    }


FEW = Bootstrap(draws=200)


@pytest.mark.parametrize("method", ["z_score", "mean_rank"])
@pytest.mark.parametrize("constant", [-2.0, 1e-3, 5.0, 1000.0])
def test_a_constant_added_to_all_likelihoods_changes_no_rank_and_no_score(
    tables: dict[str, pd.DataFrame], method: Any, constant: float
) -> None:
    plain = bootstrap_rank(tables, method, k=2, bootstrap=FEW)
    for chosen in (["one"], list(tables)):
        moved = {name: table + constant * (name in chosen) for name, table in tables.items()}
        found = bootstrap_rank(moved, method, k=2, bootstrap=FEW)
        assert list(found.table.index) == list(plain.table.index)
        assert list(found.table["rank"]) == list(plain.table["rank"])
        for column in ("score", "low", "high", "p_top_k"):
            assert found.table[column].to_numpy() == pytest.approx(
                plain.table[column].to_numpy(), abs=1e-9
            )
        assert np.allclose(found.wins, plain.wins, 0, 1e-9)


@pytest.mark.parametrize("method", ["z_score", "mean_rank"])
def test_neither_the_unit_nor_the_order_of_items_and_columns_changes_a_score(
    tables: dict[str, pd.DataFrame], method: Any
) -> None:
    means = pd.DataFrame({name: table.mean() for name, table in tables.items()})
    plain = aggregate(means, method)
    in_bits = aggregate(means / np.log(2), method)
    turned = aggregate(means.iloc[::-1, ::-1], method)
    assert in_bits.to_numpy() == pytest.approx(plain.to_numpy(), abs=1e-9)
    assert turned[plain.index].to_numpy() == pytest.approx(plain.to_numpy(), abs=1e-9)
    shuffled = {name: table.sample(frac=1, random_state=1) for name, table in tables.items()}
    again = bootstrap_rank(shuffled, method, k=2, bootstrap=FEW)
    assert again.table["score"][plain.index].to_numpy() == pytest.approx(plain, abs=1e-9)


def test_a_duplicate_of_any_candidate_ties_with_it_in_every_draw(
    tables: dict[str, pd.DataFrame],
) -> None:
    for name in tables["one"].columns:
        doubled = {key: table.assign(again=table[name]) for key, table in tables.items()}
        found = bootstrap_rank(doubled, k=2, bootstrap=FEW)
        rows = found.table.loc[[name, "again"]]
        assert (rows.iloc[0] == rows.iloc[1]).all()
        assert found.wins.loc["again", name] == 0.5
        assert np.allclose(found.table["p_top_k"].sum(), 2)
