"""Scores by counting as artifacts: the same tokens and weights as a proxy's, found again."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from naive_ngrams import NaiveModel
from small_models import byte_tokenizer
from token_streams import token_stream

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.prepare import Share
from dataselect.counting import ORDERS, Questions, Text, Want, column, find_counted
from dataselect.scoring.evaluation import Evaluation
from dataselect.scoring.prepare import prepare
from dataselect.scoring.rbridge import rbridge
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, TraceSet

WORDS = "Ann has 3 red apples. Then she buys 14 more, so 3 + 14 = 17 apples in all."
HEADER = TraceHeader("sums", "frontier", "prompt", "test")


@pytest.fixture
def tokenizer() -> Any:
    return byte_tokenizer(300, (WORDS * 3,))


@pytest.fixture
def text(tmp_path: Path, tokenizer: Any) -> Text:
    """A stream of 2,000 tokens, drawn from twice and a half."""
    folder = tmp_path / "tokenizer"
    tokenizer.save_pretrained(str(folder))
    ids = (tokenizer(WORDS)["input_ids"] * 100)[:2000]
    stream = Path(token_stream(tmp_path / "stream", ids))
    return Text((Share("s" * 32, stream, 5000),), Tokenizer(folder, "t" * 64, len(tokenizer)))


@pytest.fixture
def want() -> Want:
    items, traces = [], {}
    for number in (1, 2, 3):
        reasoning = f"First, {number} + 14 = {number + 14} apples in all."
        items.append(Item(f"q{number}", f"Ann has {number} red apples?", str(number + 14)))
        # The middle has no probability, so some tokens are left out.
        third = len(reasoning) // 3
        runs = ((third, 0.9), (third, None), (len(reasoning) - 2 * third, 0.2 + 0.1 * number))
        traces[f"q{number}"] = Trace(f"q{number}", reasoning, runs)
    benchmark = BenchmarkItems("sums", tuple(items))
    sets = TraceSet(HEADER, traces)
    return Want(Evaluation(benchmark, (sets,), ()), sets)


def test_scores_are_those_of_the_proxys_own_tokens_and_weights(
    tmp_path: Path, tokenizer: Any, text: Text, want: Want
) -> None:
    store = Store(tmp_path / "store")
    Questions([want], text.tokenizer).answer(store, text)
    counted = find_counted(store, text, want)
    assert counted is not None
    assert counted.facts["tokens"] == 5000
    ids = (tokenizer(WORDS)["input_ids"] * 100)[:2000]
    table = counted.table.set_index("item")
    prepared = prepare(want.evaluation.benchmark, want.traces, tokenizer, 10_000).items
    assert list(table.index) == [item.item_id for item in prepared] == ["q1", "q2", "q3"]
    for order in ORDERS:
        model = NaiveModel([ids, ids, ids[:1000]], order, len(tokenizer))
        for item in prepared:
            losses = np.array(model.nll([*item.context_ids, *item.trace_ids]))
            losses = losses[len(item.context_ids) :]
            known = ~np.isnan(item.token_weights)
            assert 0 < known.sum() < len(known)
            row = table.loc[item.item_id]
            assert row[column(order, "trace_nll")] == pytest.approx(losses[known].mean())
            weighted = rbridge(losses, item.token_weights)
            assert row[column(order, "rbridge")] == pytest.approx(weighted)


def test_other_text_other_traces_and_other_shares_have_other_keys(text: Text, want: Want) -> None:
    share = text.shares[0]
    fewer = replace(text, shares=(replace(share, tokens=4999),))
    elsewhere = replace(text, shares=(replace(share, folder=Path("elsewhere")),))
    changed = dict(want.traces.traces)
    changed["q1"] = replace(changed["q1"], runs=((len(changed["q1"].text), 0.5),))
    traces = TraceSet(HEADER, changed)
    other = Want(replace(want.evaluation, traces=(traces,)), traces)
    raw = Want(replace(want.evaluation, weight_scope="none"), want.traces)
    specs = [want.spec(text), want.spec(fewer), other.spec(text), raw.spec(text)]
    assert all(one != two for i, one in enumerate(specs) for two in specs[:i])
    assert want.spec(elsewhere) == want.spec(text)


def test_what_is_there_already_is_kept(tmp_path: Path, text: Text, want: Want) -> None:
    store = Store(tmp_path / "store")
    assert find_counted(store, text, want) is None
    seen: list[int] = []
    questions = Questions([want], text.tokenizer)
    questions.answer(store, text, seen.append)
    assert seen[-1] == 5000
    kept = {p: p.stat().st_mtime_ns for p in (store.root / "artifacts").rglob("*.parquet")}
    questions.answer(store, text)
    assert kept == {p: p.stat().st_mtime_ns for p in (store.root / "artifacts").rglob("*.parquet")}


def test_counting_loads_no_torch() -> None:
    code = (
        "import sys, dataselect.counting, dataselect.stages.counting\n"
        "import dataselect.counting.count, dataselect.counting.witten_bell\n"
        "import dataselect.scoring.prepare\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
