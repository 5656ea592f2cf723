import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataselect.errors import InputError
from dataselect.transfer.file import from_json, read_transfer_file, to_json
from dataselect.transfer.function import Provenance, Setting, fit
from dataselect.transfer.robust import fit_robust

PROVENANCE = Provenance(
    Setting(32_000, 640_000, 1_000, 20_000, "t1", "b1", "k1", 1), "olmo-mix", "dataselect calibrate"
)
X = np.linspace(0.8, 2.4, 8)
FUNCTIONS = [
    fit(X, np.exp(-X), benchmark="gsm8k", provenance=PROVENANCE),
    fit(X, 0.9 - X / 3, benchmark="csqa", provenance=PROVENANCE, family="linear"),
]
ROBUST = fit_robust(
    X,
    np.exp(-X),
    benchmark="arc",
    provenance=Provenance(Setting(*[None] * 8), "pairs.csv", "dataselect fit", "robust"),
    chance=0.1,
    blocks=np.arange(8) // 2,
)


def test_functions_come_back_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "transfer.json"
    path.write_text(to_json(FUNCTIONS), encoding="utf-8")
    assert read_transfer_file(path) == {f.benchmark: f for f in FUNCTIONS}


def test_a_robust_function_comes_back_and_says_the_same() -> None:
    found = from_json(to_json([ROBUST]), "robust")["arc"]
    assert found == ROBUST
    np.testing.assert_array_equal(found.intervals(X, 0.9), ROBUST.intervals(X, 0.9))


def test_a_file_of_the_first_schema_predicts_as_ever() -> None:
    path = Path(__file__).parent / "schema_1.json"
    document = json.loads(path.read_text())
    assert document["schema"] == 1
    for written, function in zip(
        document["functions"], read_transfer_file(path).values(), strict=True
    ):
        a, b, rate = written["curve"]["coefficients"]
        x = np.array([point[0] for point in written["points"]])
        plain = a + b * np.exp(rate * (x - written["curve"]["origin"]))
        np.testing.assert_allclose(function.predict(x), np.clip(plain, 0, 1), atol=1e-12)
        residuals = np.array(written["points"])[:, 1] - [
            np.clip(curve(x[i]), 0, 1) for i, curve in enumerate(function.loo_curves)
        ]
        np.testing.assert_allclose(residuals, written["loo_residuals"], atol=1e-12)


def test_the_file_says_its_schema_and_repeats_byte_for_byte() -> None:
    text = to_json(FUNCTIONS)
    assert json.loads(text)["schema"] == 3
    assert to_json(from_json(text, "again").values()) == text


def changed(path: tuple[Any, ...], value: Any) -> str:
    document = json.loads(to_json(FUNCTIONS))
    # As whoever edits a file does.
    del document["sha256"]
    place = document
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid JSON"),
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        (changed(("schema",), 4), "schema: Input should be 1, 2 or 3"),
        (changed(("schema",), ...), "schema: Field required"),
        (changed(("functions",), []), "holds no transfer function"),
        (changed(("functions", 1, "benchmark"), "gsm8k"), "more than one transfer function"),
        (changed(("functions", 0, "r2"), ...), "functions.0.r2: Field required"),
        (changed(("functions", 0, "r2"), "high"), "functions.0.r2: .*valid number"),
        (changed(("functions", 0, "r2"), float("nan")), "functions.0.r2: .*finite number"),
        (changed(("functions", 0, "extra"), 1), "functions.0.extra: Unexpected"),
        (changed(("functions", 0, "curve", "family"), "spline"), "functions.0.curve.family"),
        (changed(("functions", 1, "curve", "coefficients"), [1.0]), "linear curve has 2"),
        (changed(("functions", 1, "loo_residuals"), [0.1]), "one entry per point"),
        (changed(("functions", 0, "bounds"), [0.5, 0.2]), "bounds must rise"),
        (changed(("functions", 1, "loo_refits"), [9] * 8), "places in loo_curves"),
        (changed(("functions", 0, "curve", "knots"), [[1.0, 0.1], [1.0, 0.2]]), "must rise"),
        (changed(("functions", 1, "fitted_range"), [2.0, 1.0]), "fitted_range must rise"),
        (
            changed(("functions", 1, "provenance", "setting", "target_size"), 1.5),
            "functions.1.provenance.setting.target_size",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_the_field(text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"^my\.json: .*{message}") as caught:
        from_json(text, "my.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: cannot be read: No such file"):
        read_transfer_file(tmp_path / "none.json")


def test_bytes_that_are_not_text_are_refused() -> None:
    with pytest.raises(InputError, match=r"my\.json: "):
        from_json(b"\xff\xfe{}", "my.json")


def test_a_file_of_the_second_schema_predicts_as_ever() -> None:
    old = json.loads(to_json([ROBUST]))
    old["schema"] = 2
    del old["sha256"]
    for key in ("datasets", "new_data", "later", "worth"):
        del old["functions"][0][key]
    curves = [old["functions"][0]["curve"], *old["functions"][0]["loo_curves"]]
    for curve in curves:
        for key in ("tail", "other", "share"):
            del curve[key]
    found = from_json(json.dumps(old), "old.json")["arc"]
    x = np.array([0.1, 1.0, 3.0])
    steps = np.interp(x, *np.array(found.curve.knots).T)
    plain = np.clip((found.curve.formula(x) + steps) / 2, *found.bounds)
    np.testing.assert_allclose(found.predict(x), plain)
    assert found.has_intervals
    assert (found.intervals(x, 0.9)[0] <= found.predict(x)).all()
