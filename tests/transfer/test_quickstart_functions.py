"""The transfer functions that the quickstart ships: what they are made of, and by which command."""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataselect as ds
from dataselect.compute import InlineCompute
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.stages.predict import setting
from dataselect.stages.prepare import gather_inputs
from dataselect.stages.runtime import Runtime
from dataselect.store import Store
from dataselect.transfer.applies import check_all, fitted_on
from dataselect.transfer.file import read_transfer_file
from dataselect.transfer.function import TransferFunction
from dataselect.transfer.spread import LEAST_DATASETS

ROOT = Path(__file__).parents[2]
DESK = ROOT / "benchmarks" / "desk_scale"
FILE = ROOT / "stages" / "quickstart" / "transfer.json"
MANIFEST = ROOT / "candidates" / "quickstart.yaml"
CALIBRATION = DESK / "calibration.yaml"


@pytest.fixture(scope="module")
def functions() -> dict[str, TransferFunction]:
    return read_transfer_file(FILE)


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DESK / "calibration.json").read_bytes())
    return found


def test_they_are_of_several_datasets_and_give_intervals(
    functions: Mapping[str, TransferFunction],
) -> None:
    assert json.loads(FILE.read_text())["schema"] == 3
    calibrated = [candidate.id for candidate in load_manifest(CALIBRATION).candidates]
    assert len(calibrated) >= LEAST_DATASETS
    for each in functions.values():
        assert sorted(each.provenance.datasets) == sorted(calibrated)
        assert each.datasets == len(calibrated)
        assert each.new_data is not None
        assert each.has_intervals


def test_no_candidate_is_predicted_that_they_were_fitted_on(
    functions: Mapping[str, TransferFunction],
) -> None:
    candidates = {each.id: each.mixture for each in load_manifest(MANIFEST).candidates}
    assert fitted_on(functions, list(candidates)) == []
    others = [each.mixture for each in load_manifest(CALIBRATION).candidates]
    assert not [mixture for mixture in candidates.values() if mixture in others]


def test_they_are_made_of_the_same_sources_as_the_candidates() -> None:
    assert load_manifest(CALIBRATION).sources == load_manifest(MANIFEST).sources


def test_they_apply_to_the_quickstarts_scores(
    functions: Mapping[str, TransferFunction], tmp_path: Path
) -> None:
    runtime = Runtime(Store(tmp_path), InlineCompute())
    experiment = gather_inputs(load_manifest(MANIFEST), load_plan("quickstart"), runtime)
    fitted = {name: each.provenance.setting for name, each in functions.items()}
    here = {
        name: setting(experiment, name, each.proxy_size, each.proxy_tokens, each.tokenizer)
        for name, each in fitted.items()
    }
    assert list(here) == list(experiment.evaluations)
    assert check_all(functions, here) == ({}, [])


def test_the_command_in_the_file_makes_the_file(
    functions: Mapping[str, TransferFunction], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    for each in functions.values():
        words = shlex.split(each.provenance.command)
        assert words[:2] == ["dataselect", "fit"]
        options = {"prior": words[words.index("--prior") + 1]} if "--prior" in words else {}
        again = ds.fit_transfer(
            words[2],
            setting=words[words.index("--setting") + 1],
            lower_is_better=True if "--lower-is-better" in words else None,
            **options,  # type: ignore[arg-type]
        ).functions[each.benchmark]
        x = np.geomspace(0.1, 10, 20)
        np.testing.assert_allclose(again.predict(x), each.predict(x), atol=1e-6)
        np.testing.assert_allclose(again.intervals(x, 0.9), each.intervals(x, 0.9), atol=1e-6)
        assert again.points == each.points


def test_the_way_of_fitting_is_the_best_on_calibration_datasets_left_out(
    measured: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(DESK))
    sys.modules.pop("ways", None)
    from ways import WAYS, left_out_errors, rows_of  # type: ignore[import-not-found]

    runs = measured["calibration"]
    errors = {way: left_out_errors(runs, way)["error"] for way in WAYS}
    for way, each in measured["ways"].items():
        assert errors[way] == pytest.approx(each["error"], abs=0.01)
    assert measured["chosen"] == min(errors, key=lambda way: errors[way])
    rows = (DESK / "calibration.csv").read_text().splitlines()
    assert len(rows) == 1 + len(rows_of(runs, measured["chosen"]))
