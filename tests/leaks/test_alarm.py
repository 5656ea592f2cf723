"""From a manifest with a leaky candidate to the alarm, before anything is trained."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataselect.compute import InlineCompute
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.corpus import shards
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.ranking import bootstrap_rank
from dataselect.leaks import alarm as leak_alarm
from dataselect.leaks import search as search_module
from dataselect.leaks.alarm import LeakAlarm, rank_clean, warnings
from dataselect.leaks.candidates import Leaked
from dataselect.leaks.search import LeakSearch
from dataselect.stages.experiment import Experiment
from dataselect.stages.prepare import prepare
from dataselect.stages.runtime import Runtime
from dataselect.store import Store
from dataselect.traces.trace import Trace, TraceHeader, write_traces

ITEMS = 20
MANIFEST = """
target: {size: 1M, tokens: 20M}
candidates:
  - {id: clean, path: clean.jsonl}
  - {id: leaky, path: leaky.jsonl}
  - {id: tenth, mixture: {clean: 9, leaky: 1}}
  - {id: half, mixture: {clean: 1, leaky: 1}}
"""
PLAN = """
tokenizer: {train: {vocab_size: 257, characters: 2k}}
max_repeats: 20
benchmarks:
  - {id: sums, items: sums.jsonl, traces: sums.traces.jsonl, shots: shots.jsonl, shot_count: 1}
screen:
  keep: 1
  proxy:
    architecture: {hidden_size: 16, layers: 1, heads: 2}
    tokens: 20k
    sequence_length: 10
"""
MORE = """\
  - {id: more, items: more.jsonl, traces: more.traces.jsonl}
screen:"""


def words(rng: np.random.Generator, count: int = 30) -> str:
    return " ".join(f"word{n}" for n in rng.integers(0, 10_000, count))


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """`leaky` holds 4 of 20 items and one of 5 worked examples, `clean` nothing."""
    rng = np.random.default_rng(0)
    items = [
        {"id": f"i{n}", "question": words(rng), "answer": "4", "rationale": words(rng)}
        for n in range(ITEMS)
    ]
    shots = [{"id": f"s{n}", "question": words(rng), "answer": "4"} for n in range(5)]
    for name, rows in (
        ("sums", items),
        ("more", [{**each, "id": f"m{each['id']}"} for each in items]),
    ):
        write(tmp_path / f"{name}.jsonl", rows)
        texts = [words(rng) for _ in rows]
        traces = [
            Trace(row["id"], text, ((len(text), 0.5),))
            for row, text in zip(rows, texts, strict=True)
        ]
        header = TraceHeader(name, "frontier", "{question}", "test")
        write_traces(tmp_path / f"{name}.traces.jsonl", header, traces)
        if name == "sums":
            leaked = [items[0]["question"].upper(), f"{items[1]['rationale']}. Four!"]
            leaked += [traces[2].text, f"{items[3]['question']} {items[3]['rationale']}"]
    write(tmp_path / "shots.jsonl", shots)
    prose = [words(rng, 40) for _ in range(100)]
    write(tmp_path / "clean.jsonl", [{"text": text} for text in prose])
    leaky = [*prose[:30], *leaked, shots[1]["question"]]
    write(tmp_path / "leaky.jsonl", [{"text": text} for text in leaky])
    (tmp_path / "manifest.yaml").write_text(MANIFEST)
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path


def prepared(project: Path, plan: Plan | None = None) -> Experiment:
    manifest = load_manifest(project / "manifest.yaml")
    plan = plan or load_plan("plan.yaml", project)
    return prepare(manifest, plan, Runtime(Store(project / "store"), InlineCompute()))


def alarm(experiment: Experiment) -> LeakAlarm:
    assert experiment.leaks is not None
    return experiment.leaks


def test_a_candidate_that_holds_items_is_named_before_any_training(project: Path) -> None:
    found = alarm(prepared(project))
    held = found.held["leaky"]["sums"]
    assert set(held["items"].items) == {"i0", "i1", "i2", "i3"}
    assert held["items"].kinds == {"question": 2, "solution": 2, "trace": 1}
    assert held["items"].share == 4 / ITEMS
    assert held["items"].documents == 4
    assert 0.05 < held["items"].text_share < 0.3
    assert held["training"].items == ("s1",)
    assert not found.held["clean"]["sums"]["items"].items
    assert set(found.raised("leaky", "items")) == {"sums"}
    assert not found.raised("leaky", "training"), "one item may be there by chance"
    assert not found.raised("clean", "items")
    assert found.items(["clean"]) == {"sums": set()}
    assert found.items(["clean", "leaky"])["sums"] == {"i0", "i1", "i2", "i3"}


def test_it_is_said_in_a_line(project: Path) -> None:
    lines = warnings(alarm(prepared(project)))
    assert "leaky holds 4 of the 20 items of sums (4 word for word)" in lines
    assert not [line for line in lines if line.startswith("clean")]


def test_a_mixture_that_reads_all_of_a_source_holds_what_it_holds(project: Path) -> None:
    found = alarm(prepared(project))
    leaky, half = (found.held[name]["sums"]["items"] for name in ("leaky", "half"))
    assert half.items == leaky.items
    assert half.text_share == pytest.approx(leaky.text_share / 2)
    assert set(found.held["tenth"]["sums"]["items"].items) <= set(leaky.items)


def fail(*_: object) -> None:
    raise AssertionError("read again")


def test_a_source_is_read_once_for_its_tokens_and_its_leaks(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_module, "scan_documents", fail)
    first = alarm(prepared(project))
    monkeypatch.setattr(shards, "write_tokens", fail)
    monkeypatch.setattr(LeakSearch, "index", property(fail))
    assert alarm(prepared(project)).held == first.held


def test_a_benchmark_that_is_new_is_looked_for_without_tokenising_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = alarm(prepared(project))
    monkeypatch.setattr(shards, "write_tokens", fail)
    (project / "plan.yaml").write_text(PLAN.replace("screen:", MORE, 1))
    held = alarm(prepared(project)).held["leaky"]
    assert held["sums"] == first.held["leaky"]["sums"]
    assert set(held["more"]["items"].items) == {"mi0", "mi1", "mi3"}


def test_it_can_be_switched_off(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leak_alarm, "planned_training", fail)
    (project / "plan.yaml").write_text(PLAN + "leaks: {enabled: false}\n")
    assert prepared(project).leaks is None


@pytest.fixture
def make_alarm() -> Callable[[dict[str, list[str]]], LeakAlarm]:
    def make(held: dict[str, list[str]]) -> LeakAlarm:
        search = LeakSearch([], 8, 0.9)
        found = {
            name: {"sums": {"items": Leaked(10, tuple(ids), (), (), {}, len(ids), 0.1)}}
            for name, ids in held.items()
        }
        return LeakAlarm(search, found, ())  # type: ignore[arg-type]

    return make


def test_ranking_without_leaked_items_leaves_them_out_for_all(
    make_alarm: Callable[[dict[str, list[str]]], LeakAlarm],
) -> None:
    # The leaky one is worse on every item but the two that it holds.
    table = pd.DataFrame({"good": 2.0, "leaky": 2.5}, index=[f"i{n}" for n in range(10)])
    table["good"] += np.linspace(0, 0.1, 10)
    table.loc[["i0", "i1"], "leaky"] = -3.0
    bootstrap = Bootstrap(200)
    ranking = bootstrap_rank({"sums": table}, k=1, bootstrap=Bootstrap(draws=200))
    assert list(ranking.table.index) == ["leaky", "good"]
    clean = rank_clean(
        make_alarm({"leaky": ["i0", "i1"], "good": []}), {"sums": table}, ranking, bootstrap
    )
    assert clean is not None
    assert clean.ranking is not None
    assert list(clean.ranking.table.index) == ["good", "leaky"]
    assert (clean.left, clean.left_out) == ({"sums": 8}, {"sums": 2})
    assert clean.means["sums"]["leaky"] == pytest.approx(2.5)


def test_ranking_without_leaked_items_is_none_where_nothing_leaked_or_nothing_is_left(
    make_alarm: Callable[[dict[str, list[str]]], LeakAlarm],
) -> None:
    table = pd.DataFrame({"one": [1.0, 2.0], "other": [2.0, 3.0]}, index=["i0", "i1"])
    ranking = bootstrap_rank({"sums": table}, k=1, bootstrap=Bootstrap(draws=50))
    bootstrap = Bootstrap(50)
    # Somebody who was not scored holds items; that concerns nobody.
    assert rank_clean(make_alarm({"third": ["i0"]}), {"sums": table}, ranking, bootstrap) is None
    clean = rank_clean(make_alarm({"one": ["i0", "i1"]}), {"sums": table}, ranking, bootstrap)
    assert clean is not None
    assert clean.ranking is None
