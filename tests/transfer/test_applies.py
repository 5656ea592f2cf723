"""Warnings over several benchmarks; of one, `test_function` has them."""

from dataclasses import replace

import numpy as np

from dataselect.transfer.applies import check_all, check_applies, fitted_on, no_test
from dataselect.transfer.function import Provenance, Setting, TransferFunction, fit

SETTING = Setting(32_000, 640_000, 1_000, 20_000, "t1", "b1", "k1", 1)
X = np.linspace(0.8, 2.4, 8)


def function(name: str, slope: float = -0.25) -> TransferFunction:
    provenance = Provenance(SETTING, "runs", "a test")
    return fit(X, 0.5 + slope * (X - 1.6), benchmark=name, provenance=provenance, family="linear")


def test_a_warning_is_told_once_for_all_that_it_is_of() -> None:
    functions = {name: function(name) for name in ("arc", "csqa", "gsm8k")}
    other = replace(SETTING, tokenizer="k2")
    runs = {"arc": other, "csqa": other, "gsm8k": replace(SETTING, traces="t2", proxy_size=2_000)}
    refusals, warnings = check_all(functions, runs)
    assert list(refusals) == ["gsm8k"]
    assert "gsm8k was fitted for other reasoning traces" in refusals["gsm8k"]
    assert warnings == [
        "the transfer function of each of arc, csqa was fitted with another tokenizer",
        "the transfer function of gsm8k was fitted for a proxy of 1K parameters, not 2K",
    ]


def test_what_is_not_known_of_the_scores_is_warned_of() -> None:
    refusal, warnings = check_applies(
        function("arc"), replace(SETTING, metric_version=None, tokenizer=None)
    )
    assert refusal is None
    assert warnings == [
        "the transfer function of arc says its metric version, tokenizer, unknown for the scores: "
        "not checked"
    ]


def test_a_function_against_the_scores_direction_is_warned_of_where_that_is_known() -> None:
    for slope, lower_is_better, moves in ((0.25, True, "rises"), (-0.25, False, "falls")):
        _, warnings = check_applies(
            function("arc", slope), SETTING, lower_is_better=lower_is_better
        )
        assert f"{moves} with the score" in warnings[0]
        assert check_applies(function("arc", slope), SETTING, lower_is_better=None) == (None, [])


def test_candidates_that_a_function_was_fitted_on_are_named() -> None:
    plain = function("arc")
    known = replace(plain, provenance=replace(plain.provenance, datasets=("c4", "dolma")))
    functions = {"arc": known, "csqa": function("csqa")}
    assert fitted_on(functions, ["web", "dolma", "c4"]) == ["dolma", "c4"]
    assert fitted_on({"csqa": plain}, ["c4"]) == []
    assert no_test(["dolma", "c4"]) == [
        "dolma, c4 were among the datasets that the functions were fitted on: their prediction is"
        " no test of them"
    ]
    assert no_test([]) == []
