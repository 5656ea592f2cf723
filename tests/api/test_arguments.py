"""What callers pass wrongly from Python is an InputError of one line, as on the command line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import dataselect as ds

PROXY = pd.DataFrame({"id": list("abcdef"), "arc": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5]})
TARGET = pd.DataFrame({"id": list("abcdef"), "arc": [0.6, 0.5, 0.4, 0.45, 0.3, 0.2]})


def agree(**options: Any) -> ds.Agreements:
    return ds.agree(PROXY, TARGET, **{"lower_is_better": True, **options})


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: agree(confidence="0.9"), "--confidence: '0.9' is not a number"),
        (lambda: agree(confidence=None), "--confidence: None is not a number"),
        (lambda: agree(confidence=90), "--confidence: 90 is not between 0 and 1"),
        (lambda: agree(draws=150.5), "--draws: 150.5 is not a whole number"),
        (lambda: agree(draws=True), "--draws: True is not a whole number"),
        (lambda: agree(draws=5), "--draws: 5 are too few"),
        (lambda: agree(seed="0"), "--seed: '0' is not a whole number"),
        (lambda: agree(seed=-1), "--seed: -1 is below 0"),
        (lambda: agree(top="1,3"), "--top: '1,3' is not a count"),
        (lambda: agree(top=(1.5,)), "--top: 1.5 is not a count"),
        (lambda: agree(top=0), "--top: 0 is not a count"),
        (lambda: agree(lower_is_better="no"), "--lower: proxy (a frame) has no metric 'no'"),
        (lambda: agree(lower_is_better=1), "--lower-is-better: 1 is neither True nor False"),
        (lambda: ds.load_manifest("nowhere.yaml"), "nowhere.yaml: "),
        (lambda: ds.load_plan("nowhere"), "plan: there is no plan 'nowhere'"),
        (lambda: ds.run(3), "manifest: int does not fit"),  # type: ignore[arg-type]
        (lambda: ds.score(None, ["gsm8k"]), "models: NoneType does not fit"),  # type: ignore
        (lambda: ds.score("m", ["gsm8k"], limit=1.5), "--limit: 1.5 is not a whole number"),  # type: ignore
        (lambda: ds.score("m", ["gsm8k"], store=""), "--store: it is empty"),
        (lambda: ds.init(""), "folder: it is empty"),
    ],
)
def test_it_says_what_is_wrong_and_how_to_fix_it(call: Callable[[], Any], problem: str) -> None:
    with pytest.raises(ds.InputError) as refused:
        call()
    assert str(refused.value).startswith(problem)
    assert "; " in str(refused.value)
    assert "\n" not in str(refused.value)


def test_numbers_from_numpy_are_taken_and_the_document_is_still_json() -> None:
    import json

    found = agree(
        draws=np.int64(200),
        seed=np.int64(1),
        confidence=np.float64(0.9),
        top=3,
        lower_is_better=np.True_,
    )
    same = agree(draws=200, seed=1, confidence=0.9, top=(3,))
    assert json.dumps(found.document) == json.dumps(same.document)


def test_a_folder_that_cannot_be_made_is_said_before_anything_is_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ds.InputError, match="cannot be written"):
        ds.init(file)
    with pytest.raises(ds.InputError, match="cannot be made"):
        ds.run("candidates/quickstart.yaml", store=tmp_path / "store", out=file)
    assert file.read_text() == "mine"


def test_a_report_does_not_go_into_the_store(tmp_path: Path) -> None:
    with pytest.raises(ds.InputError, match="it is the store"):
        ds.run("candidates/quickstart.yaml", store=tmp_path, out=tmp_path)
