"""A plan's list of rungs: what it means, and each way to get it wrong, by its line."""

from pathlib import Path

import pytest

from dataselect.config.plan import Plan, load_plan
from dataselect.config.stage import Predict, Screen
from dataselect.counting import ORDERS
from dataselect.errors import InputError

HEAD = """\
tokenizer: {train: {vocab_size: 300}}
benchmarks: [{id: sums, items: sums.jsonl, traces: sums.traces.jsonl}]
"""
THREE = """\
rungs:
  - {proxy: {size: 4M, tokens: 1M}, keep: 8}
  - {proxy: {size: 20M, tokens: 4M}, seeds: 3, keep: 3}
  - {proxy: {size: 150M, tokens: 9M}, transfer: file.json}
stop_when: {p_best: 0.9}
screen0: {keep: 40, order: 2}
"""


def load_text(folder: Path, text: str) -> Plan:
    (folder / "p.yaml").write_text(HEAD + text)
    return load_plan("p.yaml", folder)


def test_screen_and_predict_are_the_first_and_the_last_rung(tmp_path: Path) -> None:
    plan = load_text(tmp_path, THREE)
    assert [type(each) for each in plan.stages] == [Screen, Screen, Predict]
    assert plan.screen is plan.stages[0]
    assert plan.predict is plan.stages[2]
    assert [plan.place(n) for n in (1, 2, 3)] == [("rungs", 0), ("rungs", 1), ("rungs", 2)]
    assert plan.where(*plan.place(2), "seeds").endswith("p.yaml:5:38")


def test_two_stages_are_the_same_stages_in_either_form(tmp_path: Path) -> None:
    screen, predict = (
        "{proxy: {size: 4M, tokens: 1M}, keep: 3}",
        "{proxy: {size: 20M, tokens: 1M}, transfer: file.json}",
    )
    one = load_text(tmp_path, f"screen: {screen}\npredict: {predict}\n")
    two = load_text(tmp_path, f"rungs: [{screen}, {predict}]\n")
    assert one.stages == two.stages
    assert (one.screen, one.predict) == (two.screen, two.predict)
    assert [one.place(n) for n in (1, 2)] == [("screen",), ("predict",)]


def test_a_single_rung_with_keep_has_nothing_to_predict(tmp_path: Path) -> None:
    plan = load_text(tmp_path, "rungs: [{proxy: {size: 4M, tokens: 1M}, keep: 3}]\n")
    assert (len(plan.stages), plan.predict) == (1, None)


def test_the_last_rung_may_keep_some_as_well(tmp_path: Path) -> None:
    rungs = "[{proxy: {size: 4M, tokens: 1M}, keep: 3}, {proxy: {size: 20M, tokens: 1M}, keep: 1}]"
    plan = load_text(tmp_path, f"rungs: {rungs}\n")
    assert (len(plan.stages), plan.predict) == (2, None)


@pytest.mark.parametrize("text", [THREE, "screen: {proxy: {size: 4M, tokens: 1M}, keep: 3}\n"])
def test_a_plan_with_all_defaults_spelt_out_is_the_same_plan(tmp_path: Path, text: str) -> None:
    plan = load_text(tmp_path, text)
    assert Plan.model_validate(plan.model_dump()).model_dump() == plan.model_dump()


def test_every_order_that_can_be_asked_for_is_counted(tmp_path: Path) -> None:
    for order in ORDERS:
        plan = load_text(tmp_path, THREE.replace("order: 2", f"order: {order}"))
        assert plan.screen0 is not None
        assert plan.screen0.order == order
    with pytest.raises(InputError, match=r"p\.yaml:8:21: screen0\.order: 6 does not fit"):
        load_text(tmp_path, THREE.replace("order: 2", "order: 6"))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (THREE, "", "1:1: the file has no 'screen'; add 'screen:' (or 'rungs:')"),
        (THREE, "rungs: []\n", "3:1: rungs: a list of 0 does not fit; write 1 or more"),
        (
            "stop_when",
            "screen: {keep: 3}\nstop_when",
            "7:1: screen: 'screen' is given as well as 'rungs'; remove it, or write it",
        ),
        (
            "stop_when",
            "predict: {}\nstop_when",
            "7:1: predict: 'predict' is given as well as 'rungs'; remove it, or write it",
        ),
        (", keep: 3", "", "5:5: rungs[1]: it has no 'keep', and is not the last; add 'keep:'"),
        (
            "keep: 3",
            "keep: 9",
            "5:48: rungs[1].keep: 9 cannot be kept of 8, which the rung before keeps; write 8",
        ),
        (
            "transfer: file.json",
            "transfer: file.json, keep: 1",
            "6:39: rungs[2].transfer: 'keep' is given as well, and only the last rung predicts",
        ),
        ("seeds: 3", "seed: 3", "5:38: unknown key 'seed' in rungs[1]; did you mean 'seeds'? ("),
        ("transfer:", "transfr:", "6:39: unknown key 'transfr' in rungs[2]; did you mean 'tran"),
        ("keep: 8", "keep: 0", "4:37: rungs[0].keep: 0 is too small; write 1 or more"),
        ("p_best: 0.9", "p_best: 90", "7:13: stop_when.p_best: 90 does not fit; write a number"),
        ("p_best: 0.9", "", "7:1: stop_when has no 'p_best'; add 'p_best:'"),
        ("keep: 40", "keep: 4", "8:11: screen0.keep: 4 is fewer than Stage 1 keeps, 8; write 8"),
        ("keep: 8", "keep: 8, benchmarks: [sum]", "4:59: rungs[0].benchmarks[0]: there is no be"),
    ],
)
def test_bad_input_is_one_line_with_place_key_and_fix(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in THREE
    with pytest.raises(InputError) as error:
        load_text(tmp_path, THREE.replace(old, new, 1))
    assert str(error.value).removeprefix(f"{tmp_path / 'p.yaml'}:").startswith(message)


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ("[{proxy: {size: 4M, tokens: 1M}}]", "rungs[0]: the only rung has no 'keep'; add 'keep:'"),
        (
            "[{proxy: {size: 4M, tokens: 1M}, keep: 3}]\nstop_when: {p_best: 0.9}",
            "stop_when: there is one stage, so none to leave out; remove it",
        ),
    ],
)
def test_a_single_rung_is_a_screen(tmp_path: Path, rungs: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        load_text(tmp_path, f"rungs: {rungs}\n")
    assert message in str(error.value)


def test_a_rung_that_may_keep_more_may_be_followed_by_one_that_does(tmp_path: Path) -> None:
    more = THREE.replace("keep: 8", "keep: 2, min_probability: 0.2")
    assert load_text(tmp_path, more).screen.keep == 2
