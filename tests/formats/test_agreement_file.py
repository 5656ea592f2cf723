"""Reading the JSON of `dataselect agree` for a plan's own gap."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dataselect as ds
from dataselect.errors import InputError
from dataselect.formats.agreement_file import read_agreement_file


def tables(candidates: int = 8, metric: str = "rbridge") -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(0)
    names = [f"c{place}" for place in range(candidates)]
    quality = np.linspace(0, 1, candidates)
    proxy = pd.DataFrame(
        [
            {"id": name, "seed": seed, "size": "16M", metric: 2 - good + 0.05 * rng.normal()}
            for name, good in zip(names, quality, strict=True)
            for seed in (0, 1)
        ]
    )
    target = pd.DataFrame({"id": names, "size": "1B", "arc": 0.3 + 0.3 * quality})
    return proxy, target


@pytest.fixture
def written(tmp_path: Path) -> Path:
    file = tmp_path / "agreement.json"
    ds.agree(*tables(), lower_is_better=True).write(file)
    return file


def test_what_agree_writes_can_be_read(written: Path) -> None:
    found = read_agreement_file(written, "rbridge")
    (measured,) = found.comparisons.values()
    assert (measured.size, measured.seeds, measured.candidates) == ("16M", 2, 8)
    assert measured.seed_sd == pytest.approx(0.05, rel=0.8)
    assert 4 <= measured.effective_pairs <= measured.pairs == 28
    assert measured.spread == pytest.approx(np.std([*measured.scores.values()]))
    assert found.target_size == "1B"
    assert len(found.sha256) == 64


def test_another_metric_is_refused_with_the_name_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "agreement.json"
    ds.agree(*tables(metric="label_nll"), lower_is_better=True).write(file)
    with pytest.raises(InputError, match=r"compares no 'rbridge'.*it has 'label_nll'"):
        read_agreement_file(file, "rbridge")


def test_the_wrong_direction_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "agreement.json"
    ds.agree(*tables(), lower_is_better=False, trust_direction=True).write(file)
    with pytest.raises(InputError, match=r"higher 'rbridge' for better.*--lower rbridge"):
        read_agreement_file(file, "rbridge")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scores", None, r"metrics\.rbridge@16M\.scores"),
        ("decision_accuracy", 1.2, "less than or equal to 1"),
        ("decision_accuracy", 0.01, "outside its interval"),
        ("pairs", 29, "29 pairs of 8 candidates"),
        ("candidates", 9, "9 candidates but 8 scores"),
        ("spread", 0.0, "greater than 0"),
        ("seeds", "two", "seeds"),
    ],
)
def test_a_field_that_cannot_be_is_refused(written: Path, key: str, value: Any, said: str) -> None:
    document = json.loads(written.read_text())
    document["metrics"]["rbridge@16M"][key] = value
    written.write_text(json.dumps(document))
    with pytest.raises(InputError, match=said) as caught:
        read_agreement_file(written, "rbridge")
    assert "dataselect agree" in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json.*cannot be read"):
        read_agreement_file(tmp_path / "nowhere.json", "rbridge")
