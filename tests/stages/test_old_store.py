"""A store that an older version filled is found again in full: its keys hold no module names."""

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from old_store import unpack
from stage_world import Counted, runtime

from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.mixture_search.search import search
from dataselect.pipeline import run
from dataselect.stages.prepare import gather_inputs
from dataselect.stages.watch import SilentWatch

pytestmark = pytest.mark.usefixtures("without_numba")


def files(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}


def test_nothing_is_computed_anew_from_a_store_made_before_the_modules_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(tmp_path)
    before = files(tmp_path / "store")
    # What is found must not need what it was made from either.
    for module in ("corpus.shards.write_tokens", "corpus.tokenizer.train_tokenizer"):
        monkeypatch.setattr(f"dataselect.{module}", None)
    compute = Counted()
    found = run(
        load_manifest(tmp_path / "manifest.yaml"),
        load_plan("plan.yaml", tmp_path),
        runtime(tmp_path, compute),
    )
    assert compute.names == []
    # Counting words came later.
    made = files(tmp_path / "store") - before
    assert {path.parts[:2] for path in made} == {("artifacts", "counted")}
    assert before <= files(tmp_path / "store")
    # As bf6979b printed them.
    scores = found.screening.ranking.table["score"].round(6).to_dict()
    assert scores == {"copy": -0.677403, "worked": -0.677403, "blend": -0.361751, "prose": 1.716558}


def test_a_store_that_lacks_a_proxy_trains_that_one_alone(tmp_path: Path) -> None:
    unpack(tmp_path)
    manifest, plan = load_manifest(tmp_path / "manifest.yaml"), load_plan("plan.yaml", tmp_path)
    complete = run(manifest, plan, runtime(tmp_path, Counted()))
    key = complete.screening.scores.candidates["blend"].keys[0]
    shutil.rmtree(tmp_path / "store" / "artifacts" / "proxy" / key)
    compute = Counted()
    run(manifest, plan, runtime(tmp_path, compute))
    assert compute.names == ["stage1/blend"]


def test_a_search_made_before_the_modules_moved_is_over_at_once(tmp_path: Path) -> None:
    unpack(tmp_path)
    before = files(tmp_path / "store" / "artifacts")
    compute = Counted()
    manifest, plan = load_manifest(tmp_path / "manifest.yaml"), load_plan("mix.yaml", tmp_path)
    found = search(gather_inputs(manifest, plan, runtime(tmp_path, compute)))
    assert compute.names == []
    assert files(tmp_path / "store" / "artifacts") == before
    assert found.trials == 8
    assert found.study == "manifest-b09b78c5"
    # Fits moved since: .969060 before processes without a fold were fitted from the start, .969019
    # before their sizes were searched in units of equal curvature.
    assert found.proposal.shares.round(6).tolist() == [0.968963, 0.031037]


class Listening(SilentWatch):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.notes: list[str] = []

    def step(self, title: str) -> None:
        self.steps.append(title)

    def note(self, text: str) -> None:
        self.notes.append(text)


def test_a_run_with_a_mixture_prepares_its_inputs_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpack(tmp_path)
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            calls[name] += 1
            if name == "gather":
                arguments[-1]("a note on a benchmark")
            return function(*arguments, **options)

        return call

    for module, name in (
        ("stages.prepare", "gather"),
        ("corpus.prepare", "fingerprints"),
        ("corpus.prepare", "prepare_tokenizer"),
    ):
        place = f"dataselect.{module}.{name}"
        monkeypatch.setattr(
            place, counted(name, getattr(import_module(f"dataselect.{module}"), name))
        )
    watch = Listening()
    found = run(
        load_manifest(tmp_path / "manifest.yaml"),
        load_plan("mix.yaml", tmp_path),
        replace(runtime(tmp_path, Counted()), watch=watch),
    )
    assert found.mixture is not None
    assert calls == {"gather": 1, "fingerprints": 1, "prepare_tokenizer": 1}
    assert watch.notes == ["a note on a benchmark"]
    assert [step for step in watch.steps if step.startswith("Benchmarks")] == [
        "Benchmarks and reasoning traces"
    ]
