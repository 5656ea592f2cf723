from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dataselect.errors import InputError
from dataselect.transfer.fitting import fit_function
from dataselect.transfer.function import Provenance, Setting
from dataselect.transfer.held_out import (
    cross_validation_splits,
    errors,
    fold_splits,
    last_split,
    published_folds,
    run_splits,
)
from dataselect.transfer.pairs import Pairs, read_pairs
from dataselect.transfer.prior_file import public_prior
from dataselect.transfer.protocols import find_direction, fit_paper, fit_robustly
from dataselect.transfer.setting_file import SettingFile, read_setting

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "results"
PROVENANCE = Provenance(Setting(*[None] * 8), "runs", "dataselect fit")
TOKENS = np.geomspace(1e9, 1e11, 25)
SCORE = 3.5 - 0.1 * np.log(TOKENS)


def run(seed: int = 0, noise: float = 0.01, **fields: object) -> Pairs:
    rng = np.random.default_rng(seed)
    y = 0.25 + 0.4 / (1 + np.exp(12 * (SCORE - 1.2))) + rng.normal(0, noise, 25)
    made = {
        "benchmark": "mine",
        "metric": SCORE + rng.normal(0, noise, 25),
        "accuracy": y,
        "tokens": TOKENS,
        "groups": ("",) * 25,
        "chance": 0.25,
        **fields,
    }
    return Pairs(**made)  # type: ignore[arg-type]


def test_folds_predict_each_row_once_and_follow_the_seed() -> None:
    splits = fold_splits(23, seed=1)
    assert sorted(np.concatenate([test for _, test in splits]).tolist()) == list(range(23))
    assert all(not set(train) & set(test) for train, test in splits)
    assert [t.tolist() for _, t in splits] == [t.tolist() for _, t in fold_splits(23, seed=1)]
    assert splits[0][1].tolist() != fold_splits(23, seed=2)[0][1].tolist()


def test_the_last_part_is_that_of_each_run_by_tokens() -> None:
    order = np.random.default_rng(0).permutation(20)
    tokens = np.concatenate([np.arange(10.0) + 1, np.arange(10.0) + 101])[order]
    groups = tuple("ab"[int(t > 100)] for t in tokens)
    pairs = Pairs("mine", -tokens, tokens / 200, tokens, groups, None)
    split = last_split(pairs, 0.2, falling=True)
    assert split is not None
    assert sorted(tokens[split[1]].tolist()) == [9, 10, 109, 110]


def test_without_tokens_the_last_part_is_that_of_the_best_scores() -> None:
    pairs = run(tokens=np.full(25, np.nan))
    for falling in (True, False):
        split = last_split(pairs, 0.2, falling=falling)
        assert split is not None
        best = np.argsort(pairs.metric if falling else -pairs.metric)[:5]
        assert set(split[1].tolist()) == set(best.tolist())


def test_too_few_points_are_not_split() -> None:
    few = run().take(np.arange(6))
    assert last_split(few, 0.2, falling=True) is not None
    assert last_split(few, 0.4, falling=True) is None
    assert list(run_splits(few)) == []


def test_each_run_is_predicted_from_the_others() -> None:
    pairs = run(groups=("a",) * 10 + ("b",) * 15)
    splits = list(run_splits(pairs))
    assert [len(test) for _, test in splits] == [10, 15]
    constant = errors(
        lambda x, y: lambda at: np.full(len(at), y.mean()), pairs.metric, pairs, 0, falling=True
    )
    expected = np.concatenate(
        [np.abs(pairs.accuracy[test] - pairs.accuracy[train].mean()) for train, test in splits]
    )
    assert constant.other_runs == pytest.approx(expected.mean())


def test_the_papers_protocol_counts_the_families_that_won() -> None:
    found = fit_paper(run(), PROVENANCE, seed=0)
    assert sum(found.wins.values()) == 5
    assert 0.9 < found.train_r2 <= 1
    assert found.test_mae < 0.05
    assert found.function.bounds == (0, 1)
    assert found.function.provenance.method.startswith("paper")


def test_the_robust_protocol_finds_a_sigmoid_and_its_intervals_hold() -> None:
    found = fit_robustly(run(), PROVENANCE, 0, falling=True)
    assert (found.errors.cross_validation or 1) < 0.02
    assert (found.coverage.cross_validation or 0) >= 0.84
    assert found.floor == 0.25
    assert found.floor_from == "the chance column"
    assert found.averaged == 23  # all but the ends
    assert set(found.beside) == {
        *("sigmoid", "isotonic"),
        *("constant", "last accuracies", "log tokens"),
    }
    assert len(found.function.loo_curves) == 5


@pytest.mark.parametrize("points", [6, 7, 8, 9])
def test_few_points_are_fitted_and_what_cannot_be_tested_is_left_out(points: int) -> None:
    found = fit_robustly(run().take(np.arange(0, 25, 3)[:points]), PROVENANCE, 0, falling=True)
    assert (found.errors.cross_validation or 0) > 0
    assert (found.coverage.cross_validation is None) == (points < 8)
    assert found.coverage.last_40 is None


def test_without_tokens_nothing_is_averaged_and_there_is_no_baseline_of_tokens() -> None:
    found = fit_robustly(run(tokens=np.full(25, np.nan)), PROVENANCE, 0, falling=True)
    assert found.averaged == 0
    assert "log tokens" not in found.beside
    assert "scores not averaged" in found.function.provenance.method
    assert len(found.function.loo_curves) == 25


def test_where_the_floor_comes_from_is_said() -> None:
    for pairs, origin in (
        (run(benchmark="piqa", chance=None), "the lowest accuracies, below chance"),
        (run(benchmark="arc_easy", chance=None), "a known benchmark's chance"),
        (run(chance=None), "fitted"),
    ):
        assert fit_robustly(pairs, PROVENANCE, 0, falling=True).floor_from == origin


def test_a_score_where_higher_is_better_gives_the_same_errors() -> None:
    pairs = run()
    turned = run(metric=-pairs.metric)
    down = fit_robustly(pairs, PROVENANCE, 0, falling=True)
    up = fit_robustly(turned, PROVENANCE, 0, falling=False)
    assert up.errors.cross_validation == pytest.approx(down.errors.cross_validation)
    assert up.errors.last_20 == pytest.approx(down.errors.last_20)
    assert up.function.rising


def test_the_direction_is_one_for_all_benchmarks_and_doubts_are_said() -> None:
    pairs = run()
    found = find_direction({"a": pairs, "b": run(seed=1)}, None)
    assert found.lower_is_better
    assert found.notes == ()
    mixed = find_direction({"a": pairs, "b": pairs, "c": run(metric=-pairs.metric)}, None)
    assert mixed.lower_is_better
    assert mixed.notes == ("accuracy moves against the score's direction on c",)
    noise = run(metric=np.random.default_rng(0).normal(size=25))
    assert "is a guess" in find_direction({"a": noise}, None).notes[0]
    assert not find_direction({"a": pairs}, False).lower_is_better


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_read_by_benchmark(tmp_path: Path) -> None:
    text = "\ufeffaccuracy,benchmark,metric,extra,tokens\n"
    text += "0.5,a,1.5,x,1e9\n\n.25, b ,2,y,\n,a,3,z,2e9\n"
    file = read_pairs(written(tmp_path, text))
    assert list(file.benchmarks) == ["a", "b"]
    a, b = file.benchmarks.values()
    assert (a.metric.tolist(), a.accuracy.tolist(), a.tokens.tolist()) == ([1.5], [0.5], [1e9])
    assert np.isnan(b.tokens).all()
    assert a.groups == ("",)
    assert a.chance is None
    assert file.unit == "fraction"
    assert file.notes == ("rows left out because score or accuracy is empty: 1",)


def test_percent_is_found_once_for_the_file_and_doubts_are_said(tmp_path: Path) -> None:
    head = "benchmark,metric,accuracy,chance\n"
    file = read_pairs(written(tmp_path, head + "a,1,52,0.25\na,2,31,0.25\n"))
    assert file.unit == "percent"
    assert file.benchmarks["a"].accuracy.tolist() == [0.52, 0.31]
    assert file.benchmarks["a"].chance == 0.25
    assert file.notes == ("chance was taken as fractions, though accuracies are percent",)
    mixed = read_pairs(written(tmp_path, "benchmark,metric,accuracy\na,1,52\nb,2,0.4\n"))
    assert mixed.unit == "percent"
    assert "those of b are all at most 1" in mixed.notes[0]
    low = read_pairs(written(tmp_path, "benchmark,metric,accuracy\na,1,1.2\na,2,0.4\n"))
    assert "all are < 2" in low.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r":1: no column benchmark, metric, accuracy; the columns are"),
        ("benchmark,metric\n", r":1: no column accuracy"),
        ("benchmark,metric,accuracy,metric\n", r":1: column 'metric' comes twice"),
        ("benchmark,metric,accuracy,Metric\n", r":1: column 'metric' comes twice"),
        ("benchmark,metric,accuracy\n", r": it holds no pair"),
        (
            "benchmark,metric,accuracy\na,1,.5\na,x,.5\n",
            r":3: column 'metric' says 'x', which is not a finite",
        ),
        ("benchmark,metric,accuracy\na,1,inf\n", r":2: column 'accuracy' says 'inf', which is not"),
        ("benchmark,metric,accuracy\na,1,-0.1\n", r":2: accuracy -0.1 is neither a share nor"),
        ("benchmark,metric,accuracy\na,1\n", r":2: 2 cells under 3 columns"),
        ("benchmark,metric,accuracy\n,1,1\n", r":2: the row has no benchmark"),
        ("benchmark,metric,accuracy,tokens\na,1,1,0\n", r":2: tokens are not above 0"),
        ("benchmark,metric,accuracy,chance\na,1,1,.2\na,2,1,.5\n", r":3: a has two chance"),
        ('benchmark,metric,accuracy\n"a,1,1\n', r":2: is not CSV"),
    ],
)
def test_a_bad_table_is_refused_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"pairs\.csv{message}") as caught:
        read_pairs(written(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_setting_gives_each_benchmark_what_is_known_of_it(tmp_path: Path) -> None:
    path = tmp_path / "setting.json"
    path.write_text('{"target_size": 7000000000, "benchmarks": {"arc": {"traces": "t1"}}}')
    found = read_setting(path)
    assert found.of("arc") == Setting(7_000_000_000, None, None, None, "t1", None, None, None)
    assert SettingFile().of("arc") == Setting(*[None] * 8)
    path.write_text('{"target_size": "7B"}')
    with pytest.raises(InputError, match=r"setting\.json: target_size: .*integer"):
        read_setting(path)


@pytest.mark.skipif(not RESULTS.exists(), reason="published results are not here")
class TestOlmoLadder:
    """Published 1B to 3B runs: the robust protocol against the paper's."""

    @pytest.mark.parametrize("task", ["arc_challenge", "csqa", "hellaswag"])
    def test_robust_errors_are_below_the_papers(self, task: str) -> None:
        table = pd.read_csv(RESULTS / "olmo_ladder_pairs.csv")
        chosen = (table["pair"] == "760M-10xC->3B-10xC") & (table["task"] == task)
        rows = table[chosen]
        pairs = Pairs(
            task,
            rows["proxy_bpb"].to_numpy(),
            rows["target_acc_rc"].to_numpy(),
            rows["tokens"].to_numpy(dtype=np.float64),
            ("",) * len(rows),
            None,
        )
        robust = fit_robustly(pairs, PROVENANCE, 0, falling=True)
        assert (robust.errors.cross_validation or 1) < fit_paper(pairs, PROVENANCE, 0).test_mae
        assert robust.errors.last_20 is not None
        assert robust.errors.last_20 < 0.015
        assert (robust.coverage.cross_validation or 0) > 0.85


def test_pairs_that_lack_tokens_are_said_for_they_change_the_fit(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    rows = [f"q,{3 - i / 10},{0.3 + i / 40},{'' if i == 3 else 10**i}" for i in range(1, 13)]
    path.write_text("\n".join(["benchmark,metric,accuracy,tokens", *rows]))
    (note,) = read_pairs(path).notes
    assert note.startswith("q: 1 of 12 pairs have no tokens, so their scores are not averaged")
    path.write_text(path.read_text().replace("accuracy,tokens", "accuracy,other"))
    assert read_pairs(path).notes == ()


def test_rows_in_any_order_give_the_same_pairs(tmp_path: Path) -> None:
    rows = [
        f"{b},{2 - n / 9},{30 + n * n},{n}e9,{g}" for b in "ba" for g in "xy" for n in range(1, 7)
    ]
    head = "benchmark,metric,accuracy,tokens,group"
    plain = read_pairs(written(tmp_path, "\n".join([head, *rows]) + "\n"))
    mixed = read_pairs(written(tmp_path, "\n".join([head, *rows[5:], *rows[4::-1]]) + "\n"))
    assert set(plain.benchmarks) == set(mixed.benchmarks) == {"a", "b"}
    for name, pairs in plain.benchmarks.items():
        other = mixed.benchmarks[name]
        assert (pairs.metric == other.metric).all()
        assert (pairs.accuracy == other.accuracy).all()
        assert pairs.groups == other.groups


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (
            "a,1,52,1e9\na,2,40,2e9\na,1,52,1e9\n",
            ":4: the pair of a comes twice (before in line 2)",
        ),
        ("a,1,52,1e9\na,2,0.41,2e9\na,3,38,3e9\na,4,0.35,4e9\n", ":3: accuracies of a seem to mix"),
        ("a,1e80,52,1e9\n", "which is too large to be a score"),
    ],
)
def test_rows_that_would_count_wrongly_are_refused(tmp_path: Path, rows: str, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        read_pairs(written(tmp_path, "benchmark,metric,accuracy,tokens\n" + rows))
    assert problem in str(refused.value)


def test_tokens_that_order_no_run_or_have_two_units_are_said(tmp_path: Path) -> None:
    head = "benchmark,metric,accuracy,tokens\n"
    (note,) = read_pairs(written(tmp_path, head + "a,1,52,1e9\na,2,40,2e9\na,3,30,1e9\n")).notes
    assert note.startswith("a: 1 of 3 pairs have the tokens of another pair of their run")
    (note,) = read_pairs(written(tmp_path, head + "a,1,52,250\na,2,40,5e11\n")).notes
    assert note == "a: tokens are from 250 to 5e+11: are they all in one unit?"


def several(count: int, rows: int = 1, seed: int = 0) -> Pairs:
    """Datasets with a deviation each, and `rows` checkpoints of each."""
    rng = np.random.default_rng(seed)
    score = np.repeat(rng.uniform(0.9, 1.5, count), rows) - np.tile(np.arange(rows) / 20, count)
    share = 0.25 + 0.4 / (1 + np.exp(8 * (score - 1.2)))
    own = np.repeat(rng.normal(0, 0.02, count), rows)
    tokens = np.tile(1e9 * (np.arange(rows) + 1.0), count)
    groups = tuple(f"d{i}" for i in range(count) for _ in range(rows))
    return Pairs("mine", score, share + own, tokens, groups, 0.25)


@pytest.mark.parametrize("protocol", ["robust", "paper"])
def test_no_row_of_a_dataset_stays_in_a_refit_without_it(protocol: str) -> None:
    pairs = several(8, rows=4)
    if protocol == "paper":
        function = fit_paper(pairs, PROVENANCE, seed=0).function
        assert function.new_data is not None
        assert function.new_data.freedom == 7
        return
    found = fit_robustly(pairs, PROVENANCE, 0, falling=True)
    assert found.function.loo_refits == tuple(np.repeat(np.arange(8), 4))
    assert len(found.function.loo_curves) == 8
    assert found.function.datasets == 8
    assert set(found.errors.by_dataset) == set(pairs.groups)
    assert found.coverage.cross_validation is not None


def test_folds_are_of_whole_datasets_from_three_on() -> None:
    pairs = several(6, rows=3)
    names = np.array(pairs.groups)
    for fitted, predicted in cross_validation_splits(pairs, 0):
        assert not set(names[fitted]) & set(names[predicted])
    two = several(2, rows=9)
    assert any(
        set(np.array(two.groups)[a]) & set(np.array(two.groups)[b])
        for a, b in cross_validation_splits(two, 0)
    )


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_datasets_give_points_without_intervals(count: int) -> None:
    found = fit_robustly(several(count, rows=12), PROVENANCE, 0, falling=True)
    function = found.function
    assert function.datasets == count
    assert not function.has_intervals
    assert np.isnan(function.intervals(np.array([1.0]), 0.9)).all()
    assert (found.errors.other_runs is None) == (count == 1)
    low, high = function.in_time().intervals(np.array([1.0]), 0.9)
    assert low < high


def test_intervals_hold_new_datasets_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(60):
        pairs = several(16, seed=seed)
        function = fit_function(pairs.take(np.arange(6)), PROVENANCE, falling=True)
        low, high = function.intervals(pairs.metric[6:], 0.9)
        held.append(((low <= pairs.accuracy[6:]) & (pairs.accuracy[6:] <= high)).mean())
    assert 0.85 < np.mean(held) < 0.97


def test_a_prior_begins_at_one_point_and_leaves_two_datasets_out() -> None:
    one = fit_robustly(several(1), PROVENANCE, 0, falling=True, prior=public_prior())
    assert one.function.has_intervals
    assert one.errors.cross_validation is None
    assert one.floor is None
    two = fit_robustly(several(2), PROVENANCE, 0, falling=True, prior=public_prior())
    assert two.errors.other_runs is not None
    assert two.coverage.cross_validation is not None
    assert "with the prior of published runs" in two.function.provenance.method


def test_the_labels_nll_stands_beside_where_it_is_given() -> None:
    pairs = several(6, rows=4)
    assert "label NLL" not in fit_robustly(pairs, PROVENANCE, 0, falling=True).beside
    labelled = replace(pairs, label_nll=pairs.metric + 1)
    found = fit_robustly(labelled, PROVENANCE, 0, falling=True)
    assert found.beside["label NLL"].other_runs == pytest.approx(found.errors.other_runs, abs=1e-3)


def test_the_published_folds_are_those_of_scikit_learn() -> None:
    tests = [test.tolist() for _, test in published_folds(15, 42)]
    assert tests == [[0, 9, 11], [5, 8, 13], [1, 2, 14], [4, 7, 10], [3, 6, 12]]


def test_seeds_are_averaged_and_said(tmp_path: Path) -> None:
    head = "benchmark,metric,accuracy,tokens,group\n"
    rows = "q,1.0,.5,1e9,web\nq,1.2,.5,1e9,web\nq,0.9,.6,2e9,web\n"
    (note,) = read_pairs(written(tmp_path, head + rows)).notes
    assert note == "q: 1 checkpoints have several pairs, averaged as their seeds"
