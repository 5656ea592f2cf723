"""`ds.agree`: the same document as the command, frames or files, tables, errors, notebook."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small_tables import HOSTILE, agreement_tables, printed, written

import dataselect as ds
from dataselect.errors import InputError


def test_the_function_and_the_command_give_the_same_document(tmp_path: Path) -> None:
    proxy, target = agreement_tables()
    paths = list(written(tmp_path, proxy=proxy, target=target))
    found = ds.agree(*map(str, paths), lower_is_better=True, top=[2, 4], draws=300, seed=3)
    options = ("--lower-is-better", "--top", "2,4", "--draws", 300, "--seed", 3, "--json")
    assert json.loads(json.dumps(found.document)) == printed("agree", *paths, *options)


def test_frames_are_as_good_as_files(tmp_path: Path) -> None:
    proxy, target = agreement_tables()
    from_files = ds.agree(*written(tmp_path, proxy=proxy, target=target), lower_is_better=True)
    assert ds.agree(proxy, target, lower_is_better=True).document == from_files.document
    indexed = ds.agree(
        proxy.set_index(["id", "seed"]), target.set_index("id"), lower_is_better=True
    )
    assert indexed.document == from_files.document


def test_tables_say_what_the_document_says() -> None:
    found = ds.agree(*agreement_tables(), lower_is_better=True)
    nll = found.document["metrics"]["nll"]
    row = found.table.loc["nll"]
    assert list(found.table.index) == ["nll", HOSTILE]
    assert row["decision_accuracy"] == 1
    assert [row["kendall_tau_low"], row["kendall_tau_high"]] == list(nll["kendall_tau_interval"])
    assert found.top.loc[("nll", 3), "hit_rate"] == nll["top"]["3"]["hit_rate"]
    assert found.kept.loc[("nll", 0.5), "pairs"] == nll["kept"][1]["pairs"]
    assert found.verdict.startswith("nll orders 10 pairs of candidates as arc does with decision")
    assert repr(found) == f"<Agreements: {found.verdict}>"


def test_what_is_left_out_is_a_note() -> None:
    proxy, target = agreement_tables()
    found = ds.agree(proxy, target[1:], lower_is_better="nll")
    assert found.notes == (f"1 candidate ('{HOSTILE}') only in proxy (a frame) left out",)
    assert found.document["notes"] == list(found.notes)


def test_a_notebook_shows_the_verdict_and_runs_nothing() -> None:
    found = ds.agree(*agreement_tables(), lower_is_better=True)
    page = found._repr_html_()
    assert found.verdict in page
    assert "decision_accuracy_low" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"nll": "x"}, "proxy (a frame):2: column 'nll' says 'x', which is not a finite number"),
        ({"seed": 0}, "proxy (a frame):3: .* comes twice"),
        ({"id": None}, "proxy (a frame):2: the row has no id"),
    ],
)
def test_errors_name_the_frame_and_the_line_of_its_file(
    change: dict[str, object], problem: str
) -> None:
    proxy, target = agreement_tables()
    pattern = problem.replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(InputError, match=pattern):
        ds.agree(proxy.assign(**change), target)


def test_what_is_no_table_and_options_out_of_range_are_refused() -> None:
    proxy, target = agreement_tables()
    several = pd.concat({"a": target}, axis=1)
    for call, problem in (
        (lambda: ds.agree(proxy, target.rename(columns={"id": "x"})), "target .a frame.:1: it n"),
        (lambda: ds.agree([1, 2], target), "proxy: list does not fit; give the path of a CSV"),  # type: ignore[arg-type]
        (lambda: ds.agree(proxy, several), "target .a frame.: its columns have several levels"),
        (lambda: ds.agree("none.csv", target), "none.csv: cannot be read"),
        (lambda: ds.agree(proxy, target, confidence=90), "--confidence: 90 is not between 0 and 1"),
        (lambda: ds.agree(proxy, target, draws=10), "--draws: 10 are too few"),
        (lambda: ds.agree(proxy, target, seed=-1), "--seed: -1 is below 0"),
        (lambda: ds.agree(proxy, target, top=[0]), "--top: 0 is not a count"),
        (lambda: ds.agree(proxy, target, top=[9]), "--top: 9 of 5 candidates"),
    ):
        with pytest.raises(InputError, match=problem):
            call()
