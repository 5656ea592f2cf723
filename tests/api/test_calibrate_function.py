"""`ds.calibrate`: the same result as the command, in memory; files are written only with `out`."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_models import save_model

import dataselect as ds
from dataselect.errors import InputError
from dataselect.transfer.file import read_transfer_file

STEPS = tuple(range(100, 1100, 100))
SPEC = """\
proxy: {model: "proxies/step*-hf", tokens_per_step: 1M}
target: {size: 7B, tokens: 1B, name: "<b>large", csv: target.csv}
benchmarks:
  - {id: sums, items: sums.yaml, traces: sums.traces.jsonl.gz}
"""


@pytest.fixture(scope="module")
def proxies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("proxies")
    for step in STEPS:
        save_model(folder / f"step{step}-hf", seed=step)
    return folder


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store shared by the tests, so that only the first one scores."""
    return tmp_path_factory.mktemp("shared") / "store"


@pytest.fixture
def project(bench: Any, proxies: Path) -> Any:
    bench.traces()
    (bench.folder / "proxies").symlink_to(proxies)
    rows = [f"sums,{step * 10**6},{0.1 + 0.0006 * step}\n" for step in STEPS]
    (bench.folder / "target.csv").write_text("benchmark,tokens,accuracy\n" + "".join(rows))
    (bench.folder / "spec.yaml").write_text(SPEC)
    return bench


def test_the_command_and_the_function_give_the_same(project: Any, shared: Path) -> None:
    found = ds.calibrate("spec.yaml", out="own.json", store=shared, device="cpu")
    options = ("--store", shared, "--device", "cpu", "--out", "made.json", "--json")
    result = project.invoke("calibrate", "spec.yaml", *options)
    assert result.exit_code == 0, result.output
    names = {"file": "own.pairs.csv", "functions_file": "own.json"}
    assert found.document == {**json.loads(result.stdout), **names}
    for name in ("pairs.csv", "setting.json"):
        assert Path(f"own.{name}").read_bytes() == Path(f"made.{name}").read_bytes()
    own, made = (read_transfer_file(Path(name))["sums"] for name in ("own.json", "made.json"))
    assert own.curve == made.curve == found.functions["sums"].curve
    in_memory = ds.calibrate("spec.yaml", store=shared, device="cpu")
    assert in_memory.functions["sums"].curve == own.curve
    assert own.provenance.command == "dataselect.calibrate('spec')"
    assert found.files["transfer functions"] == Path("own.json")


def test_without_a_file_to_write_nothing_is_written(project: Any, shared: Path) -> None:
    before = sorted(Path().rglob("*"))
    found = ds.calibrate("spec.yaml", store=shared, device="cpu")
    assert sorted(Path().rglob("*")) == before
    assert (found.files, found.document["file"]) == ({}, None)
    assert list(found.pairs["tokens"]) == [step * 10**6 for step in STEPS]
    assert list(found.pairs["accuracy"]) == pytest.approx([0.1 + 0.0006 * s for s in STEPS])
    assert found.table.loc["sums", "points"] == len(STEPS)
    again = ds.calibrate("spec.yaml", store=shared, device="cpu", protocol="paper")
    assert again.document["protocol"] == "paper"
    pd.testing.assert_frame_equal(again.pairs, found.pairs)


def test_a_notebook_shows_the_verdict_and_no_markup_of_a_user(project: Any, shared: Path) -> None:
    found = ds.calibrate("spec.yaml", store=shared, device="cpu")
    error = found.document["benchmarks"]["sums"]["cv_mae"]
    assert found.verdict == (
        "From proxies/step*-hf to <b>large: mean absolute error in cross-validation"
        f" {error:.1f} points of accuracy on sums (10 pairs)."
    )
    page = found._repr_html_()
    assert "&lt;b&gt;large" in page
    assert "<b>large" not in page
    assert "sums: 10 pairs from 100M to 1B tokens" in page


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"spec": "none.yaml"}, "there is no such file"),
        ({"protocol": "robus"}, "--protocol: there is no 'robus'; did you mean 'robust'?"),
        ({"device": "tpu"}, "--device: there is no 'tpu'"),
        ({"out": "proxies"}, "this is a folder"),
    ],
)
def test_bad_input_is_an_input_error(project: Any, changes: dict[str, Any], wanted: str) -> None:
    with pytest.raises(InputError) as caught:
        ds.calibrate(**{"spec": "spec.yaml", "device": "cpu", **changes})
    assert wanted in str(caught.value)
    assert not Path(".dataselect").exists()
