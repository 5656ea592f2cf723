"""Several runs in one calibration spec: how they are written, and what is wrong with them."""

from pathlib import Path

import pytest

from dataselect.calibration.paired import pair_all
from dataselect.calibration.runs import load_calibration
from dataselect.calibration.spec import CalibrationSpec
from dataselect.errors import InputError

SPEC = """\
proxy: {model: "lab/{dataset}-150M", revisions: step*-seed-default, tokens_per_step: 1M}
target: {size: 1B, name: large, csv: "targets/{dataset}.csv"}
runs:
  - c4
  - dataset: fineweb
    proxy: {revisions: [step100-seed-aux-2]}
    target: {lm_eval: {files: "fineweb/*.json"}}
    pair: {proxy: 100M, target: 1B}
benchmarks:
  - id: gsm8k
"""


def load(folder: Path, text: str = SPEC) -> tuple[CalibrationSpec, ...]:
    (folder / "spec.yaml").write_text(text)
    return load_calibration(folder / "spec.yaml")


def test_a_run_is_the_top_of_the_file_with_its_name_and_what_differs(tmp_path: Path) -> None:
    c4, fineweb = load(tmp_path)
    assert (c4.name, c4.dataset, fineweb.dataset) == ("spec", "c4", "fineweb")
    assert (c4.proxy.model, fineweb.proxy.model) == ("lab/c4-150M", "lab/fineweb-150M")
    assert (c4.target.csv, fineweb.target.csv) == ("targets/c4.csv", None)
    assert fineweb.proxy.revision_patterns == ["step100-seed-aux-2"]
    assert fineweb.proxy.tokens_per_step == 10**6
    assert fineweb.target.lm_eval is not None
    assert (fineweb.target.size, fineweb.target.name) == (10**9, "large")
    assert c4.pair.unequal == []
    assert fineweb.pair.unequal == [(10**8, 10**9)]
    assert (c4.least_here, c4.least_pairs) == (1, 3)
    assert fineweb.where("proxy", "model").endswith("spec.yaml:1:9")
    assert fineweb.where("proxy", "revisions").endswith("spec.yaml:6:13")


def test_another_model_has_names_and_steps_of_its_own(tmp_path: Path) -> None:
    own = "proxy: {model: ours/step*, precision: float32}"
    _, ours = load(tmp_path, SPEC.replace("proxy: {revisions: [step100-seed-aux-2]}", own))
    assert (ours.proxy.model, ours.proxy.revisions) == ("ours/step*", None)
    assert ours.proxy.tokens_per_step is None


def test_one_run_is_the_spec_without_runs(tmp_path: Path) -> None:
    (one,) = load(tmp_path, SPEC.replace(SPEC[SPEC.index("  - dataset") : SPEC.index("bench")], ""))
    plain = SPEC.replace("{dataset}", "c4")
    plain = plain.replace(plain[plain.index("runs:") : plain.index("bench")], "dataset: c4\n")
    (other,) = load(tmp_path, plain)
    assert one.model_dump() == other.model_dump()
    assert one.least_here == one.least_pairs == 3
    assert not one.is_one_of_several


def test_runs_of_one_name_are_seeds_of_a_dataset(tmp_path: Path) -> None:
    seeds = SPEC.replace("dataset: fineweb", "dataset: c4")
    assert [spec.dataset for spec in load(tmp_path, seeds)] == ["c4", "c4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("lab/{dataset}", "lab/{recipe}"), "spec.yaml:1:9: proxy.model: nothing is known to fill"),
        (("- c4", "- {dataset: c4, proxi: 1}"), "spec.yaml:4:19: unknown key 'proxi' in runs[0]"),
        (("- c4", "- {proxy: {model: a}}"), "spec.yaml:4:5: runs[0] has no 'dataset'; add"),
        (("- c4", "- 2024"), "spec.yaml:4:5: runs[0]: 2024 means a number here; put text in"),
        (
            ("{revisions: [", "{revision: [x], revisions: ["),
            "spec.yaml:6:13: unknown key 'revision'",
        ),
        (("{size: 1B,", "{siz: 1B,"), "spec.yaml:2:10: unknown key 'siz' in target; did you mean"),
        (("name: large", "precision: x"), "spec.yaml:2:20: unknown key 'precision' in target"),
        (("benchmarks", "dataset: a\nbenchmarks"), "spec.yaml:9:1: 'runs' name their datasets"),
        (
            ("- dataset: fineweb", "- c4\n  - dataset: fineweb"),
            "spec.yaml:5:5: run 'c4' comes twice",
        ),
        (
            ("{lm_eval: {files", "{size: 7B, lm_eval: {files"),
            "spec.yaml:7:14: run 'fineweb': target.size is not that of run 'c4'",
        ),
        (
            ("{revisions: [", "{precision: bfloat16, revisions: ["),
            "spec.yaml:6:13: run 'fineweb': proxy.precision is not that of run 'c4'",
        ),
        (
            ('{lm_eval: {files: "fineweb/*.json"}}', "{checkpoints: {model: a}}"),
            "run 'fineweb': only some of the runs' targets are evaluated here",
        ),
        (("runs:\n", "run:\n"), "unknown key 'run'; did you mean 'runs'?"),
        (("- id: gsm8k", "- id: gsm8k\n  - id: gsm8k"), "benchmarks[1].id: 'gsm8k' comes twice"),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in SPEC
    with pytest.raises(InputError) as error:
        load(tmp_path, SPEC.replace(*change))
    assert message in str(error.value)


def test_a_forgotten_placeholder_is_one_line(tmp_path: Path) -> None:
    text = SPEC.replace("lab/{dataset}-150M", "lab/small").replace("[step100-seed-aux-2]", "step*")
    with pytest.raises(InputError) as error:
        load(tmp_path, text.replace("step*-seed-default", "step*"))
    assert "spec.yaml:5:5: run 'fineweb' has the proxy of run 'c4'; write {dataset}" in str(
        error.value
    )


FOLDERS = """\
proxy: {model: "{dataset}/step*", tokens_per_step: 1M}
target: {size: 1B, csv: "{dataset}.csv"}
runs: [a, b, c]
benchmarks: [{id: gsm8k}]
pair: {proxy: 2M, target: 9M}
"""


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name in "abc":
        for step in (1, 2):
            folder = tmp_path / name / f"step{step}"
            folder.mkdir(parents=True)
            (folder / "config.json").write_text("{}")
            (folder / "model.safetensors").write_text("")
        rows = "tokens,benchmark,accuracy\n9M,gsm8k,0.5\n"
        (tmp_path / f"{name}.csv").write_text(rows)
    return tmp_path


@pytest.fixture
def one_tokenizer(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """How the proxies of each run split texts."""
    cuts = dict.fromkeys("abc", "same")

    def cut(folder: Path) -> str:
        return cuts[folder.parent.name]

    monkeypatch.setattr("dataselect.scoring.series.segmentation_hash", cut)
    return cuts


def test_three_runs_of_one_pair_each_are_enough(
    folders: Path, one_tokenizer: dict[str, str]
) -> None:
    runs = pair_all(load(folders, FOLDERS))
    assert [run.proxies[0].tokens for run in runs] == [2 * 10**6] * 3
    assert [run.prefix for run in runs] == ["a: ", "b: ", "c: "]
    with pytest.raises(InputError, match="gsm8k: 2 pairs in 2 runs; 3 pairs are needed"):
        pair_all(load(folders, FOLDERS.replace("[a, b, c]", "[a, b]")))
    pair_all(load(folders, FOLDERS.replace("[a, b, c]", "[a, b]") + "prior: public\n"))


def test_a_run_without_pairs_or_files_is_named(
    folders: Path, one_tokenizer: dict[str, str]
) -> None:
    (folders / "b.csv").write_text("tokens,benchmark,accuracy\n5M,gsm8k,0.5\n")
    with pytest.raises(InputError, match=r"spec.yaml:5:1: run 'b': gsm8k: nothing is paired; not"):
        pair_all(load(folders, FOLDERS))
    (folders / "b.csv").unlink()
    with pytest.raises(InputError, match=r"b.csv: run 'b': cannot be read"):
        pair_all(load(folders, FOLDERS))


def test_proxies_of_another_tokenizer_are_refused_by_name(
    folders: Path, one_tokenizer: dict[str, str]
) -> None:
    one_tokenizer["a"] = "other"
    with pytest.raises(InputError) as error:
        pair_all(load(folders, FOLDERS))
    assert "spec.yaml:1:1: proxies of 'a' have another tokenizer than those of 'b'" in str(
        error.value
    )


def test_targets_by_other_metrics_are_refused(folders: Path, one_tokenizer: dict[str, str]) -> None:
    results = '{"results": {"gsm8k": {"%s": 0.5}}, "config": {"model_args": ""}}'
    for name, metric in zip("abc", ("acc,none", "acc,none", "acc_norm,none"), strict=True):
        path = folders / name / "tokens9M" / "results_1.json"
        path.parent.mkdir()
        path.write_text(results % metric)
    text = FOLDERS.replace('csv: "{dataset}.csv"', 'lm_eval: {files: "{dataset}/tokens9M/*.json"}')
    with pytest.raises(InputError) as error:
        pair_all(load(folders, text))
    assert (
        "run 'c': the target's accuracy on gsm8k is 'acc_norm,none' of gsm8k, and that of run 'a'"
        " 'acc,none' of gsm8k; name task and metric" in str(error.value)
    )
