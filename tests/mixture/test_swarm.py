"""Reading a swarm: what is tolerated, noted and refused."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_swarms import made

from dataselect.errors import InputError
from dataselect.mixture.direction import check_direction
from dataselect.mixture.objective import find_objective
from dataselect.mixture.swarm import read_epochs, read_shares, read_swarm, with_epochs

RATIOS = ["run,a,b,c", *(f"r{i},0.{i},0.{9 - i},0.1" for i in range(1, 9))]
METRICS = ["run,x_loss,y_loss", *(f"r{i},{3 + i / 10},{2 + i / 7}" for i in range(1, 9))]


def files(folder: Path, ratios: Sequence[str], metrics: Sequence[str]) -> tuple[Path, Path]:
    paths = folder / "ratios.csv", folder / "metrics.csv"
    for path, lines in zip(paths, (ratios, metrics), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def test_runs_are_joined_whatever_their_order(tmp_path: Path) -> None:
    shuffled = [METRICS[0], *reversed(METRICS[1:]), "r99,1,1"]
    swarm = read_swarm(*files(tmp_path, RATIOS, shuffled))
    assert swarm.runs == tuple(f"r{i}" for i in range(1, 9))
    assert (swarm.sources, swarm.metrics) == (("a", "b", "c"), ("x_loss", "y_loss"))
    assert swarm.values[0] == pytest.approx([3.1, 2 + 1 / 7])
    assert swarm.shares.sum(axis=1) == pytest.approx(1)
    assert "1 run only in metrics.csv left out: 'r99'" in swarm.notes
    assert "8 runs for 3 sources are few; 9 or more predict better" in swarm.notes


def test_labels_and_other_names_of_the_run_are_known(tmp_path: Path) -> None:
    ratios = ["run_id,name,index,a,b,c", *(f"r{i},n,{i},0.{i},0.{9 - i},0.1" for i in range(1, 9))]
    assert read_swarm(*files(tmp_path, ratios, METRICS)).sources == ("a", "b", "c")


def test_files_that_name_runs_by_index_are_read_as_they_are(tmp_path: Path) -> None:
    ratios, metrics = (["index" + lines[0][3:], *lines[1:]] for lines in (RATIOS, METRICS))
    found = read_swarm(*files(tmp_path, ratios, metrics))
    plain = read_swarm(*files(tmp_path, RATIOS, METRICS))
    assert (found.runs, found.sources, found.metrics) == (plain.runs, plain.sources, plain.metrics)
    assert (found.values == plain.values).all()


def test_runs_are_named_by_a_column_of_both_tables(tmp_path: Path) -> None:
    ratios = ["run,index,a,b,c", *(f"x{i},{i},0.{i},0.{9 - i},0.1" for i in range(1, 9))]
    metrics = ["index,x_loss", *(f"{i},{3 + i / 7}" for i in range(1, 9))]
    found = read_swarm(*files(tmp_path, ratios, metrics))
    assert found.runs == tuple(map(str, range(1, 9)))


def test_what_is_no_metric_is_in_no_objective(tmp_path: Path) -> None:
    extra = "seed,seconds,global_step,tokens,Unnamed: 0,zeile,y_loss_low,y_loss_high,note"
    cells = [f"7,{i * 3.5},1000,{i}e9,{i},{i},1,3,run {i}" for i in range(1, 9)]
    metrics = [f"{METRICS[0]},{extra}"]
    metrics += [f"{row},{more}" for row, more in zip(METRICS[1:], cells, strict=True)]
    found = read_swarm(*files(tmp_path, RATIOS, metrics))
    assert found.metrics == ("x_loss", "y_loss")
    plain = read_swarm(*files(tmp_path, RATIOS, METRICS))
    assert (found.values == plain.values).all()
    assert (
        "metrics.csv: no metric, left out: columns 'seed', 'seconds', 'global_step', 'tokens',"
        in (" ".join(found.notes))
    )


def test_bookkeeping_beside_the_shares_is_no_source_but_a_source_may_have_any_name(
    tmp_path: Path,
) -> None:
    ratios = ["run,a,b,c,seed,note", *(f"{row},{i},x" for i, row in enumerate(RATIOS[1:]))]
    found = read_swarm(*files(tmp_path, ratios, METRICS))
    assert found.sources == ("a", "b", "c")
    assert "ratios.csv: no source, left out: 'seed', 'note'" in found.notes
    ratios = [RATIOS[0].replace("c", "notes"), *RATIOS[1:]]
    assert read_swarm(*files(tmp_path, ratios, METRICS)).sources == ("a", "b", "notes")


def test_the_order_of_rows_changes_nothing(tmp_path: Path) -> None:
    rows = [f"r{i},0.{i % 8 + 1},0.{8 - i % 8},0.1" for i in range(1, 13)]
    metrics = [f"r{i},{3 + i / 10}" for i in range(1, 13)]
    ratios, metrics = ["run,a,b,c", *rows], ["run,x_loss", *metrics]
    first = read_swarm(*files(tmp_path, ratios, metrics))
    turned = read_swarm(
        *files(tmp_path, [ratios[0], *ratios[:0:-1]], [metrics[0], *metrics[:0:-1]])
    )
    assert first.runs == turned.runs == tuple(f"r{i}" for i in range(1, 13))
    assert (first.shares == turned.shares).all()


def test_dust_in_a_share_is_nothing(tmp_path: Path) -> None:
    ratios = [RATIOS[0], RATIOS[1].replace("0.1,0.8,0.1", "1e-300,0.9,0.1"), *RATIOS[2:]]
    assert read_swarm(*files(tmp_path, ratios, METRICS)).shares[0].tolist() == [0, 0.9, 0.1]


def test_a_metric_that_comes_twice_is_said(tmp_path: Path) -> None:
    metrics = [f"{METRICS[0]},x_loss.1"]
    metrics += [f"{row},{row.split(',')[1]}" for row in METRICS[1:]]
    notes = read_swarm(*files(tmp_path, RATIOS, metrics)).notes
    assert "'x_loss.1' has the same values as 'x_loss': both count" in notes


def test_rounded_weights_are_scaled_and_that_is_said(tmp_path: Path) -> None:
    ratios = [*RATIOS[:-1], "r8,0.8,0.1,0.104"]
    swarm = read_swarm(*files(tmp_path, ratios, METRICS))
    assert swarm.shares[-1] == pytest.approx(np.array([0.8, 0.1, 0.104]) / 1.004)
    assert swarm.notes[0] == "weights scaled to sum to 1; they were off by up to 0.004"


def test_what_tells_nothing_is_left_out(tmp_path: Path) -> None:
    ratios = ["run,a,b,unused", *(f"r{i},0.{i},0.{10 - i},0" for i in range(1, 10))]
    metrics = ["run,x,flat", *(f"r{i},{i},{'' if i == 9 else 7}" for i in range(1, 10))]
    swarm = read_swarm(*files(tmp_path, ratios, metrics))
    assert (swarm.sources, swarm.metrics, len(swarm.runs)) == (("a", "b"), ("x",), 8)
    notes = " | ".join(swarm.notes)
    assert "1 source used by no run, left out: 'unused'" in notes
    assert "1 metric the same in every run, left out: 'flat'" in notes
    assert "1 run without every metric left out: 'r9'" in notes


@pytest.mark.parametrize(
    ("ratios", "metrics", "problem"),
    [
        ([*RATIOS, "r9,0.5,0.2,0.1"], METRICS, "ratios.csv:10: the weights sum to 0.8, not 1"),
        ([*RATIOS, "r9,50,20,30"], METRICS, "sum to 100, not 1; divide percentages by 100"),
        ([*RATIOS, "r9,1.2,-0.2,0"], METRICS, "ratios.csv:10: the weight of 'b' is negative"),
        ([*RATIOS, "r9,0.9,,0.1"], METRICS, "ratios.csv:10: the weight of 'b' is empty"),
        ([*RATIOS, "r9,0.9,x,0.1"], METRICS, "column 'b' says 'x'"),
        ([*RATIOS, "r1,0.8,0.1,0.1"], METRICS, "ratios.csv:10: run 'r1' comes twice"),
        (["id,a,b", "r1,1,0"], METRICS, "ratios.csv:1: it needs a column 'run'"),
        (["run,a,", "r1,1,0"], METRICS, "ratios.csv:1: a column has no name"),
        (RATIOS, ["run,x", "q1,2"], "metrics.csv: it has no run of ratios.csv"),
        (RATIOS[:6], METRICS, "5 complete runs for 3 sources; give 8 or more (better 9)"),
        (RATIOS, ["run,seed,step", "r1,2,3"], "it has no metric by its names ('seed', 'step')"),
        (
            RATIOS,
            ["run,arc", *(f"r{i},{i / 20 if i % 2 else 5 * i}" for i in range(1, 9))],
            "'arc' seems to mix percentages and shares: 4 of 8 values are at most 1",
        ),
        (RATIOS, ["run,objective", "r1,2"], "'objective' is reserved for the combined metrics"),
        (RATIOS, ["run,x", *(f"r{i},1" for i in range(1, 9))], "every metric is the same"),
        (["run,a", *(f"r{i},1" for i in range(1, 9))], METRICS, "one source has all the weight"),
        (
            ["run,a,b", *(f"r{i},0.5,0.5" for i in range(1, 9))],
            METRICS,
            "every run has the same mixture",
        ),
    ],
)
def test_bad_files_are_refused_with_file_and_line(
    tmp_path: Path, ratios: list[str], metrics: list[str], problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_swarm(*files(tmp_path, ratios, metrics))
    assert problem in str(refused.value)


def test_mixtures_to_predict_may_lack_sources_but_not_have_others(tmp_path: Path) -> None:
    path = tmp_path / "at.csv"
    path.write_text("run,c,a,zero\nm1,0.25,0.75,0\n")
    mixtures = read_shares(path, ("a", "b", "c"))
    assert (mixtures.names, mixtures.notes) == (("m1",), ())
    assert mixtures.shares.tolist() == [[0.75, 0, 0.25]]
    path.write_text("run,a,wiki\nm1,0.5,0.5\n")
    with pytest.raises(InputError, match=r"'wiki' is no source of the model; did you mean 'wik'"):
        read_shares(path, ("a", "wik"))
    path.write_text("run,a,b,wiki\nm1,0.5,0.5,0\nm2,0.5,0.2,0.3\nm3,1,0,0\n")
    mixtures = read_shares(path, ("a", "b"))
    assert mixtures.names == ("m1", "m3")
    assert mixtures.shares.tolist() == [[0.5, 0.5], [1, 0]]
    assert mixtures.notes == (
        "1 mixture of 3 in at.csv skipped ('m2'): 'wiki' is no source of the model;"
        " the sources are 'a', 'b'",
    )
    path.write_text("run,a\n")
    with pytest.raises(InputError, match="it has no row"):
        read_shares(path, ("a", "b"))


@pytest.mark.parametrize(
    ("name", "lower", "problem"),
    [
        ("x_loss", True, None),
        ("arc_bpb", False, "'arc_bpb' is better when lower, by its name; give --lower-is-better"),
        ("val/Perplexity", False, "is better when lower, by its name"),
        ("arc_acc", True, "leave out --lower-is-better"),
        ("arc", False, "as if lower were better"),
        ("accuracy_loss", True, None),
        ("lossless", True, None),
    ],
)
def test_names_and_shape_speak_against_the_wrong_direction(
    name: str, lower: bool, problem: str | None
) -> None:
    swarm = made(20, 0.01)
    swarm = replace(swarm, metrics=(name,), values=swarm.values[:, :1])
    if problem is None:
        check_direction(Path("metrics.csv"), swarm, lower)
        return
    with pytest.raises(InputError) as refused:
        check_direction(Path("metrics.csv"), swarm, lower)
    assert problem in str(refused.value)


def test_accuracies_turned_into_losses_are_noticed_and_linear_metrics_pass() -> None:
    swarm = made(20, 0.01)
    scores = replace(swarm, metrics=("a", "b"), values=10 - swarm.values)
    check_direction(Path("metrics.csv"), scores, False)
    with pytest.raises(InputError, match="as if higher were better"):
        check_direction(Path("metrics.csv"), scores, True)
    line = replace(scores, values=swarm.shares[:, :2] + 0.02 * (swarm.values - 2))
    for lower in (True, False):
        check_direction(Path("metrics.csv"), line, lower)


VALUES = np.array([[1.0, 10.0, 5.0], [3.0, 30.0, 5.5]])


def test_an_objective_is_a_mean_by_weight() -> None:
    names = ["arc", "odd=name", "c"]

    def weights(spec: str | None) -> list[float]:
        found: list[float] = find_objective(spec, names, VALUES).weights.tolist()
        return found

    assert weights(None) == pytest.approx([1 / 3] * 3)
    assert weights("arc") == [1, 0, 0]
    assert weights("arc=3,c=1") == [0.75, 0, 0.25]
    assert weights("odd=name") == [0, 1, 0]
    assert weights("odd=name=2, arc=2") == [0.5, 0.5, 0]


def test_an_objective_file_may_standardise(tmp_path: Path) -> None:
    path = tmp_path / "objective.yaml"
    path.write_text("metrics: {arc: 1, b: 1}\nstandardise: true\n")
    found = find_objective(str(path), ["arc", "b"], VALUES[:, :2])
    assert found.weights.tolist() == [0.5, 0.05]
    assert found.of(VALUES[:, :2]).tolist() == [1, 3]


def test_a_metric_that_is_the_same_in_every_run_decides_nothing(tmp_path: Path) -> None:
    path = tmp_path / "objective.yaml"
    path.write_text("standardise: true\n")
    values = np.array([[1.0, 0.3], [2.0, 0.1 + 0.2], [4.0, 0.3]])
    found = find_objective(str(path), ["arc", "flat"], values)
    assert np.isfinite(found.weights).all()
    differences = np.diff(found.of(values))
    np.testing.assert_allclose(differences, np.diff(values[:, 0]) / values[:, 0].std() / 2)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("ark", "'ark' is no metric; did you mean 'arc'?"),
        ("arc=2_0", "'arc=2_0' is no metric with a weight"),
        ("arc=nan", "'arc=nan' is no metric with a weight"),
        ("arc=inf", "'arc=inf' is no metric with a weight"),
        ("arc=\uff12", "is no metric with a weight"),
        ("arc=1,arc=2", "'arc' comes twice"),
        ("seconds", "no column of that name is one; rename it if it is"),
        ("arc=-1", "'arc' has a negative weight"),
        ("arc=0", "no metric has a weight"),
        ("arc=x", "is no metric with a weight"),
        ("missing.yaml", "there is no such file"),
    ],
)
def test_a_wrong_objective_is_refused(spec: str, problem: str) -> None:
    with pytest.raises(InputError) as refused:
        find_objective(spec, ["arc", "b", "c"], VALUES)
    assert problem in str(refused.value)


def test_epochs_are_read_by_run_and_made_rates_of_a_weight(tmp_path: Path) -> None:
    path = tmp_path / "epochs.csv"
    path.write_text("run,b,a,unused\nr2,0,3,0\nr1,4,0.5,0\nother,1,1,0\n")
    shares = np.array([[0.5, 0.4, 0.1], [1.0, 0, 0]])
    rates = read_epochs(path, ("a", "b", "c"), ("r1", "r2"), shares)
    assert rates.tolist() == [[1, 10, 0], [3, 0, 0]]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("run,a,b\nr1,1,1", "epochs.csv: it has no row of 'r2'"),
        ("run,a,b\nr1,1,-1\nr2,1,0", "epochs.csv:2: the epochs of 'b' are negative"),
        ("run,a,b\nr1,1,\nr2,1,0", "epochs.csv:2: the epochs of 'b' are no number"),
        ("run,a,b\nr1,1,1\nr2,1,2", "epochs.csv:3: 'b' is read 2 times and has weight 0"),
        ("run,a,d\nr1,1,1\nr2,1,2", "epochs.csv:1: 'd' is no source of the runs"),
        ("run,a,b\nr1,1,1\nr1,1,1", "run 'r1' comes twice"),
        ("a,b\n1,1", "it needs a column 'run' and one for each source"),
    ],
)
def test_epochs_that_do_not_fit_are_refused(tmp_path: Path, lines: str, problem: str) -> None:
    path = tmp_path / "epochs.csv"
    path.write_text(lines + "\n")
    with pytest.raises(InputError) as refused:
        read_epochs(path, ("a", "b"), ("r1", "r2"), np.array([[0.5, 0.5], [1, 0]]))
    assert problem in str(refused.value)


@pytest.mark.parametrize(
    ("epochs", "note"),
    [
        (0.5, "no run reads a source more than once"),
        (3.0, None),
        (np.where(np.arange(20)[:, None] < 10, 1.0, 4.0), "predictions are at the mean"),
    ],
)
def test_what_epochs_tell_is_said(
    tmp_path: Path, epochs: float | np.ndarray, note: str | None
) -> None:
    swarm = made(20, 0)
    lines = [",".join(("run", *swarm.sources))]
    for run, row in zip(swarm.runs, (swarm.shares * epochs).tolist(), strict=True):
        lines.append(",".join((run, *(f"{value:.4f}" for value in row))))
    path = tmp_path / "epochs.csv"
    path.write_text("\n".join(lines) + "\n")
    notes = with_epochs(swarm, path).notes
    assert (not notes) if note is None else (note in notes[0])


def test_metrics_of_other_runs_may_be_in_another_table(tmp_path: Path) -> None:
    ratios, first = files(tmp_path, RATIOS, [*METRICS[:5], "r99,1,1"])
    second = tmp_path / "second.csv"
    second.write_text("\n".join(["run,z_loss,x_loss", *(f"r{i},1,{i}" for i in range(5, 9))]))
    swarm = read_swarm(ratios, first, second)
    assert (swarm.metrics, swarm.runs) == (("x_loss",), tuple(f"r{i}" for i in range(1, 9)))
    assert swarm.values[:, 0].tolist() == pytest.approx([3.1, 3.2, 3.3, 3.4, 5, 6, 7, 8])
    assert "2 metrics not in all tables of metrics, left out: 'y_loss', 'z_loss'" in swarm.notes
    assert "1 run only in the metrics left out: 'r99'" in swarm.notes
    with pytest.raises(InputError, match=r"metrics\.csv: run 'r1' is in another table too"):
        read_swarm(ratios, first, first)
    second.write_text("run,w_loss\nr5,1\n")
    with pytest.raises(InputError, match=r"second\.csv:1: it has no metric of metrics\.csv"):
        read_swarm(ratios, first, second)
