"""`dataselect agree`: known answers of published runs, its document, its tables, its errors."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.decisions.agreement import CONVENTION
from dataselect.store.sealed import unsealed

RESULTS = Path(__file__).parents[2].parent / "shared" / "data" / "results"
PROXY = "id,nll,acc\na,3.0,0.2\nb,2.0,0.3\nc,1.0,0.3\nd,1.5,0.1\n"
TARGET = "id,arc\na,0.1\nb,0.2\nc,0.4\nd,0.3\n"

Agree = Callable[..., Result]


@pytest.fixture
def agree(tmp_path: Path) -> Agree:
    def run(*options: str, proxy: str = PROXY, target: str = TARGET) -> Result:
        paths = [tmp_path / "proxy.csv", tmp_path / "target.csv"]
        for path, text in zip(paths, (proxy, target), strict=True):
            path.write_text(text)
        return CliRunner().invoke(app, ["agree", *map(str, paths), *options])

    return run


def document(result: Result) -> dict[str, Any]:
    """Standard output parsed; it must be JSON without NaN and nothing else."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    return found


def test_the_document_has_the_documented_fields(agree: Agree) -> None:
    found = document(agree("--lower-is-better", "--trust-direction", "--json"))
    assert list(found) == [
        *("metrics", "counting", "ceiling", "stability", "convention", "candidates", "target_size"),
        *("lower_is_better", "target_lower_is_better", "confidence", "draws", "seed", "notes"),
    ]
    assert list(found["metrics"]) == ["nll", "acc"]
    nll = found["metrics"]["nll"]
    assert list(nll) == [
        *("metric", "size", "target", "candidates", "decision_accuracy", "kendall_tau", "pairs"),
        *("target_ties", "proxy_ties", "decision_accuracy_interval", "kendall_tau_interval"),
        *("effective_pairs", "scores", "spread", "seeds", "seed_sd", "top", "kept", "stated"),
        *("chosen", "best", "gain"),
    ]
    assert nll["scores"] == {"a": 3.0, "b": 2.0, "c": 1.0, "d": 1.5}
    assert (nll["seeds"], nll["seed_sd"], nll["effective_pairs"]) == (1, None, 2)
    assert (nll["decision_accuracy"], nll["kendall_tau"], nll["pairs"]) == (1, 1, 6)
    assert nll["top"] == {
        "1": {"regret": 0, "chance_regret": pytest.approx(0.15), "hit_rate": 1},
        "3": {"regret": 0, "chance_regret": pytest.approx(0.025), "hit_rate": 1},
    }
    assert [kept["share"] for kept in nll["kept"]] == [0.25, 0.5, 0.75, 1]
    assert set(nll["kept"][0]) == {"share", "pairs", "accuracy", "least_difference"}
    assert (nll["metric"], nll["size"], nll["target"], nll["stated"]) == ("nll", None, "arc", None)
    # With lower as better, ad and bd are right, bc is tied and three are wrong.
    assert found["metrics"]["acc"]["decision_accuracy"] == pytest.approx(2.5 / 6)
    assert found["metrics"]["acc"]["proxy_ties"] == 1
    low, high = nll["decision_accuracy_interval"]
    assert 0 < low < high == 1
    assert (found["convention"], found["candidates"], found["notes"]) == (CONVENTION, 4, [])
    assert (found["ceiling"], found["stability"]) == (None, None)
    assert (found["confidence"], found["draws"], found["seed"]) == (0.9, 2000, 0)


def test_seeds_and_sizes_have_their_fields(agree: Agree) -> None:
    proxy = "id,size,seed,nll\n" + "".join(
        f"{name},{size},{seed},{(5 - i) / factor + seed / 100}\n"
        for size, factor in (("1B", 2), ("4M", 1))
        for i, name in enumerate("abcd")
        for seed in range(2)
    )
    target = "id,seed,arc\n" + "".join(
        f"{name},{seed},{i + seed / 10}\n" for i, name in enumerate("abcd") for seed in range(3)
    )
    found = document(agree("--lower-is-better", "--json", proxy=proxy, target=target))
    assert list(found["metrics"]) == ["nll@4M", "nll@1B"]
    assert [stated["confidence"] for stated in found["metrics"]["nll@4M"]["stated"]] == [
        *(0.6, 0.7, 0.8, 0.9)
    ]
    assert set(found["metrics"]["nll@4M"]["stated"][0]) == {
        *("confidence", "share", "pairs", "stated", "accuracy")
    }
    assert found["ceiling"] == {
        "arc": {
            "one_seed": 1,
            "one_seed_range": [1, 1],
            "of_means": pytest.approx(1, abs=1e-6),
            "sd": pytest.approx(0.1),
            "seeds": 3,
            "candidates": 4,
        }
    }
    assert found["stability"] == {
        "nll": {
            "neighbouring": [{"sizes": ["4M", "1B"], "share": 1, "pairs": 6}],
            "all_sizes": {"sizes": ["4M", "1B"], "share": 1, "pairs": 6},
        }
    }


def test_every_field_is_described(agree: Agree) -> None:
    page = (Path(__file__).parents[2] / "docs" / "agreement.md").read_text()
    proxy = "id,size,seed,nll\n" + "".join(
        f"{name},{size},{seed},{i}\n"
        for size in ("1M", "2M")
        for seed in "01"
        for i, name in enumerate("abcd")
    )
    target = "id,seed,arc\n" + "".join(
        f"{name},{seed},{i}\n" for seed in "01" for i, name in enumerate("abcd")
    )
    found = document(agree("--json", "--lower-is-better", proxy=proxy, target=target))
    comparison = found["metrics"]["nll@1M"]
    parts = [found, comparison, comparison["kept"][0], comparison["stated"][0]]
    parts += [comparison["top"]["1"], found["ceiling"]["arc"], found["stability"]["nll"]]
    parts += [found["stability"]["nll"]["all_sizes"]]
    for field in {name for part in parts for name in part}:
        assert f"`{field}`" in page, field


def test_options_are_taken(agree: Agree) -> None:
    options = ("--top", "2", "--draws", "100", "--seed", "7", "--confidence", "0.5")
    turned = ("--json", "--target-lower-is-better", "--trust-direction")
    found = document(agree(*turned, *options))
    assert list(found["metrics"]["nll"]["top"]) == ["2"]
    assert (found["draws"], found["seed"], found["confidence"]) == (100, 7, 0.5)
    assert (found["lower_is_better"], found["target_lower_is_better"]) == (False, True)
    assert found["metrics"]["nll"]["decision_accuracy"] == 1
    wide = document(agree(*turned, "--confidence", "0.99"))
    assert (
        wide["metrics"]["nll"]["decision_accuracy_interval"][0]
        < found["metrics"]["nll"]["decision_accuracy_interval"][0]
    )


def test_the_same_command_gives_the_same_bytes(agree: Agree) -> None:
    options = ("--json", "--lower", "nll")
    assert document(agree(*options)) == document(agree(*options))
    assert agree(*options).stdout == agree(*options).stdout


def test_people_get_tables_with_intervals_convention_and_notes(agree: Agree) -> None:
    result = agree("--lower", "nll", proxy=PROXY + "[/bad]\x1b[2J,1,1\n")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "1.00 [" in text
    assert CONVENTION in text
    assert "Pairs tied by the target and by the proxy: acc 0 and 1." in text
    assert text.startswith(
        "nll orders 6 pairs of candidates as arc does with decision accuracy 1.00"
    )
    assert "It puts c first, which is the best." in text
    assert r"note: 1 candidate ('[/bad]\x1b[2J') only in proxy.csv left out" in text
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_of_several_columns_those_that_are_named_are_compared(agree: Agree) -> None:
    target = "id,arc,gsm8k\na,0.1,0.4\nb,0.2,0.1\nc,0.4,0.3\nd,0.3,0.2\n"
    unpaired = agree("--lower", "nll", target=target)
    assert unpaired.exit_code == 2
    assert "name one column with --only or --target-only" in unpaired.stderr
    of_all = document(agree("--lower", "nll", "--target-only", "gsm8k", "--json", target=target))
    assert {name: each["target"] for name, each in of_all["metrics"].items()} == {
        "nll": "gsm8k",
        "acc": "gsm8k",
    }
    assert of_all["notes"] == []
    options = ("--only", "nll", "--lower-is-better")
    of_one = document(agree(*options, "--json", target=target))
    assert list(of_one["metrics"]) == ["nll -> arc", "nll -> gsm8k"]
    text = " ".join(agree(*options, target=target).stdout.split())
    assert text.startswith("nll -> arc orders 6 pairs of candidates as arc does")
    behind = agree(*options, "--target-only", "gsm8k", target=target).stdout
    assert "It puts c first; the best is a, 0.1 ahead." in " ".join(behind.split())
    wrong = agree("--target-only", "gsm", "--lower", "nll", target=target)
    assert "--target-only: target.csv has no metric 'gsm'; did you mean 'gsm8k'?" in wrong.stderr


@pytest.mark.parametrize(
    ("options", "proxy", "problem"),
    [
        (
            (),
            "dataset,nll\na,1\nb,2\nc,3\n",
            "and has 'dataset', 'nll'; call the column of the candidates' names 'id'",
        ),
        ((), "id,nll\na,1\nb,2\n", "2 of its 2 candidates are in target.csv"),
        ((), "id,nll\na,1\nb,x\nc,2\n", "proxy.csv:3: column 'nll' says 'x'"),
        ((), "nll\n1\n", "proxy.csv:1: it needs a column 'id'"),
        (("--top", "9"), PROXY, "--top: 9 of 4 candidates"),
        (("--top", "1,"), PROXY, "--top: '1,' is not a list of counts"),
        (("--top", "1_0"), PROXY, "--top: '1_0' is not a list of counts"),
        (("--top", "\uff11"), PROXY, "is not a list of counts"),
        (("--top", "0"), PROXY, "--top: '0' is not a list of counts"),
        (("--confidence", "90"), PROXY, "--confidence: 90 is not between 0 and 1"),
        (("--confidence", "nan"), PROXY, "--confidence: nan is not between 0 and 1"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    agree: Agree, options: tuple[str, ...], proxy: str, problem: str
) -> None:
    result = agree("--json", *options, proxy=proxy)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: ")
    assert problem in line


@pytest.mark.parametrize(
    ("options", "proxy", "target", "problem"),
    [
        (
            (),
            "val_loss",
            "arc",
            "proxy.csv:1: 'val_loss' is better when lower, by its name; give --l",
        ),
        (
            ("--lower-is-better",),
            "acc",
            "arc",
            "'acc' is better when higher, by its name; leave out",
        ),
        (
            (),
            "x",
            "ppl",
            "target.csv:1: 'ppl' is better when lower, by its name; give --target-low",
        ),
        (
            ("--target-lower-is-better",),
            "x",
            "acc",
            "; leave out --target-lower-is-better, or --tru",
        ),
        (("--lower", "y"), "x", "arc", "--lower: proxy.csv has no metric 'y'; its metrics are 'x'"),
        (("--lower", "x", "--lower-is-better"), "x", "arc", "--lower-is-better is given as well"),
    ],
)
def test_a_direction_that_a_name_contradicts_is_refused(
    agree: Agree, options: tuple[str, ...], proxy: str, target: str, problem: str
) -> None:
    tables = {
        "proxy": f"id,{proxy}\na,1\nb,2\nc,4\n",
        "target": f"id,{target}\na,0.1\nb,0.2\nc,0.3\n",
    }
    result = agree("--json", *options, **tables)
    assert result.exit_code == 2, result.output
    assert problem in result.stderr
    if "--lower" not in options:
        assert document(agree("--json", "--trust-direction", *options, **tables))["metrics"]


def test_metrics_of_both_directions_are_compared_in_one_call(agree: Agree) -> None:
    assert "give --lower nll, or --trust-direction" in agree("--json").stderr
    both = document(agree("--json", "--lower", "nll"))
    losses = "\n".join(line.rpartition(",")[0] for line in PROXY.split())
    accuracies = "id,acc\na,0.2\nb,0.3\nc,0.3\nd,0.1\n"
    alone = [
        document(agree("--json", "--lower-is-better", proxy=losses))["metrics"]["nll"],
        document(agree("--json", proxy=accuracies))["metrics"]["acc"],
    ]
    assert [both["metrics"]["nll"], both["metrics"]["acc"]] == alone
    assert both["lower_is_better"] == ["nll"]


def test_below_chance_by_an_unknown_direction_is_said(agree: Agree) -> None:
    rows = [(name, i) for i, name in enumerate("abcdefghij")]
    proxy = "id,x\n" + "".join(f"{name},{-i * i}\n" for name, i in rows)
    target = "id,arc\n" + "".join(f"{name},{i / 20}\n" for name, i in rows)
    (note,) = document(agree("--json", proxy=proxy, target=target))["notes"]
    assert note.startswith("x: below chance, so check the direction that was stated for 'x' and 'a")
    assert not document(agree("--json", "--lower-is-better", proxy=proxy, target=target))["notes"]


def test_columns_that_are_no_metric_are_not_compared(agree: Agree) -> None:
    plain = document(agree("--json", "--lower", "nll"))
    rows = PROXY.split()
    more = ["step,seconds,tokens,nll_low,nll_high", *(f"9,{i}.5,{i}e9,0,9" for i in range(4))]
    proxy = "\n".join(f"{row},{cells}" for row, cells in zip(rows, more, strict=True)) + "\n"
    found = document(agree("--json", "--lower", "nll", proxy=proxy))
    assert found["metrics"] == plain["metrics"]
    assert "'step', 'seconds', 'tokens', 'nll_low', 'nll_high'" in found["notes"][0]


def test_one_size_written_in_two_ways_is_one_size(agree: Agree) -> None:
    proxy = "id,size,nll\na,4M,3\nb,4000000,2\nc,4e6,1\nd,4.0M,1.5\n"
    found = document(agree("--json", "--lower-is-better", proxy=proxy))
    assert list(found["metrics"]) == ["nll@4M"]
    assert found["metrics"]["nll@4M"]["candidates"] == 4


@pytest.mark.parametrize("size", ["1e-69", "1e-9", "1e9", "1e69"])
def test_numbers_of_any_size_give_json_without_nan(agree: Agree, size: str) -> None:
    proxy = "id,seed,x\n" + "".join(
        f"{name},{seed},{i + 1 + seed / 10}{size[1:]}\n"
        for i, name in enumerate("abcd")
        for seed in (0, 1)
    )
    found = document(agree("--json", proxy=proxy))
    assert found["metrics"]["x"]["kept"]
    assert found["metrics"]["x"]["decision_accuracy"] > 0.5


def test_percentages_among_shares_are_refused(agree: Agree) -> None:
    result = agree("--json", "--lower", "nll", target="id,arc\na,0.31\nb,32\nc,0.4\nd,38\n")
    assert result.exit_code == 2
    assert "target.csv: 'arc' seems to mix percentages and shares: 2 of 4 values" in result.stderr


def test_the_order_of_rows_changes_nothing(agree: Agree) -> None:
    def turned(text: str) -> str:
        head, *rows = text.split()
        return "\n".join([head, *rows[::-1]]) + "\n"

    first = document(agree("--json", "--lower", "nll"))
    again = agree("--json", "--lower", "nll", proxy=turned(PROXY), target=turned(TARGET))
    assert document(again) == first


@pytest.mark.parametrize("printed", ["--json", "--ablate"])
def test_no_model_library_is_loaded_and_no_pandas(printed: str, tmp_path: Path) -> None:
    (tmp_path / "proxy.csv").write_text(PROXY)
    (tmp_path / "target.csv").write_text(TARGET)
    code = (
        "import sys\nfrom dataselect.cli import app\n"
        "try: app(['agree', 'proxy.csv', 'target.csv', '--lower', 'nll', '--out', 'it.json',"
        f" '{printed}'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'transformers', 'datasets', 'optuna', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


@pytest.mark.skipif(not RESULTS.exists(), reason="published results are not here")
class TestDataDecide:
    """Published runs: 25 recipes, default seed, against the 1B mean over three seeds."""

    @pytest.fixture
    def runs(self) -> pd.DataFrame:
        table = pd.read_csv(RESULTS / "datadecide_olmes_nll.csv")
        return table.rename(columns={"recipe": "id", table.columns[-1]: "nll"})

    @pytest.fixture
    def targets(self) -> str:
        table = pd.read_csv(RESULTS / "datadecide_target_1b.csv").rename(columns={"recipe": "id"})
        return str(table[["id", "arc_challenge", "csqa"]].to_csv(index=False))

    def test_decision_accuracies_are_the_known_ones(
        self, agree: Agree, runs: pd.DataFrame, targets: str
    ) -> None:
        default = runs[runs["seed"] == "default"].drop(columns="seed").to_csv(index=False)
        found = document(agree("--lower-is-better", "--json", proxy=default, target=targets))
        assert len(found["metrics"]) == 2 * 13
        known = {"4M": 0.677, "6M": 0.4, "14M": 0.787, "20M": 0.777, "60M": 0.88, "90M": 0.903}
        for size, accuracy in known.items():
            each = found["metrics"][f"nll@{size} -> arc_challenge"]
            assert each["decision_accuracy"] == pytest.approx(accuracy, abs=5e-4)
            low, high = each["decision_accuracy_interval"]
            assert low < accuracy < high
        csqa = found["metrics"]["nll@90M -> csqa"]
        assert csqa["decision_accuracy"] == pytest.approx(0.666, abs=5e-4)
        assert (found["candidates"], csqa["pairs"] + csqa["target_ties"]) == (25, 300)

    def test_small_sizes_that_invert_are_unstable(
        self, agree: Agree, runs: pd.DataFrame, targets: str
    ) -> None:
        proxy = runs[runs["size"].isin(["4M", "6M", "60M", "90M"])].to_csv(index=False)
        found = document(agree("--lower-is-better", "--json", proxy=proxy, target=targets))
        small, _, large = found["stability"]["nll"]["neighbouring"]
        assert (small["sizes"], large["sizes"]) == (["4M", "6M"], ["60M", "90M"])
        assert small["share"] < 0.7
        assert large["share"] > 0.9
        # Seed noise alone makes small proxies far too certain.
        surest = found["metrics"]["nll@6M -> arc_challenge"]["stated"][-1]
        assert surest["stated"] > 0.95
        assert surest["accuracy"] < 0.5


def test_out_writes_the_document_that_json_prints(agree: Agree, tmp_path: Path) -> None:
    file = tmp_path / "agreement.json"
    options = ("--lower-is-better", "--trust-direction", "--out", str(file))
    printed = document(agree(*options, "--json"))
    assert unsealed(json.loads(file.read_text())) == printed
    assert "decision" in agree(*options).stdout
    failed = agree(*options[:2], "--out", str(tmp_path / "no" / "folder" / "a.json"))
    assert failed.exit_code in (0, 2)
