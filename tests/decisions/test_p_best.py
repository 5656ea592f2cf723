"""The study of P(best): what it found, and that it asks what the package states."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "stage1"
RESULTS = ROOT.parent / "shared" / "data" / "results"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if not RESULTS.is_dir():
        pytest.skip("no published results here")
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location("p_best", FOLDER / "p_best.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "p_best", module)
    spec.loader.exec_module(module)
    return module


def test_one_scale_for_all_candidates_tells_the_best_better_than_one_for_each() -> None:
    best = json.loads((FOLDER / "p_best.json").read_text())["best"]
    losses = {way: found["log_loss"] for way, found in best.items()}
    assert min(losses, key=lambda way: losses[way]) == "one unknown scale for all"
    shipped = best["one unknown scale for all"]
    for asked in ("the paper's two", "olmes10"):
        assert shipped[asked]["largest_gap_of_30_effective"] <= 0.05


def test_the_study_states_what_the_package_states(study: ModuleType) -> None:
    from published import PAPER, read  # type: ignore[import-not-found]

    published = read(RESULTS)
    found = study.runs(published, 1, np.random.default_rng(0))[:52]
    form = study.FORMS[study.SHIPPED]
    fits = [np.array(form.start)] * len(study.FAMILIES)
    said = study.stated(found, study.WAYS[study.SHARED][0], fits, 1)
    assert all(each.sum() == pytest.approx(1) for each in said)
    assert study.package_differs(found, said, fits) < 0.05
    hits = study.among_best(published, found, PAPER[0], 2)
    assert all(each.sum() == 2 for each in hits)
