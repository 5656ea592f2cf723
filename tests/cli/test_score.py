"""`dataselect score` on a benchmark in YAML: scores, left-out items and the store."""

import json
import shutil
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest
from small_models import save_model

from dataselect.store import known_hashes
from dataselect.store.files import sha256_of

BY_LIKELIHOOD = ["rbridge", "trace_nll", "label_nll", "mpca", "answer_nll", "scb_nll"]


def refuse(*arguments: Any, **options: Any) -> NoReturn:
    raise AssertionError("this was done already")


def reasons(content: dict[str, Any], benchmark: str = "sums") -> dict[str, str]:
    """The reason by left-out item; each item once."""
    left_out = content["dataselect"]["exclusions"][benchmark]
    found = {each["item"]: each["reason"] for each in left_out}
    assert len(found) == len(left_out)
    return found


def error_of(result: Any, code: int = 2) -> str:
    """The one line of an error."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(lines)) == (code, 1), result.output
    assert "Traceback" not in result.output
    return str(lines[0])


def test_results_have_the_shape_of_lm_eval_s_and_the_means_of_the_table(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    result = bench.score("--accuracy")
    assert result.exit_code == 0, result.output
    content, table = bench.results(), bench.items()
    assert list(table.index) == [f"s{n}" for n in range(6)]
    assert set(table["benchmark"]) == {"sums"}
    metrics = [*BY_LIKELIHOOD, "ted", "ted_per_token"]
    for metric in metrics:
        found = content["results"]["sums"]
        assert found[f"{metric},none"] == pytest.approx(table[metric].mean())
        assert found[f"{metric}_stderr,none"] == pytest.approx(table[metric].sem())
    assert found["exact_match,none"] == table["correct"].mean()
    assert found["alias"] == "sums"
    assert set(content["higher_is_better"]["sums"]) == {*metrics, "exact_match"}
    higher = {name for name, is_so in content["higher_is_better"]["sums"].items() if is_so}
    assert higher == {"mpca", "exact_match"}
    assert content["n-shot"] == {"sums": 2}
    assert content["n-samples"] == {"sums": {"original": 6, "effective": 6}}
    assert content["versions"] == {"sums": 1}
    assert content["configs"]["sums"]["task"] == "sums"
    assert content["configs"]["sums"]["doc_to_text"] == "Question: {question}\nAnswer:"
    (traces,) = content["configs"]["sums"]["metadata"]["traces"]
    assert (traces["model"], traces["count"], traces["created"]) == ("oracle", 6, "2026-01-02")
    assert content["config"]["model_args"] == {"pretrained": "first", "revision": "local"}
    assert (content["config"]["device"], content["config"]["dtype"]) == ("cpu", "float32")
    assert content["date"] > 1.7e9
    assert str(bench.folder) not in json.dumps(content)
    assert str(bench.models) not in json.dumps(content)


def test_accuracy_is_measured_only_where_it_is_asked_for(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    assert bench.score().exit_code == 0
    assert "correct" not in bench.items().columns
    assert "exact_match,none" not in bench.results()["results"]["sums"]


def test_an_item_that_one_model_cannot_take_is_left_out_for_all(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    assert bench.score().exit_code == 0
    alone = bench.items()
    result = bench.score(models=["first", "short"])
    assert result.exit_code == 0, result.output
    for model in ("first", "short"):
        assert list(bench.items(model).index) == ["s0", "s1", "s2", "s3", "s4"]
        content = bench.results(model)
        assert content["n-samples"]["sums"] == {"original": 6, "effective": 5}
        assert list(reasons(content)) == ["s5"]
        assert "the model takes 200" in reasons(content)["s5"]
    pd.testing.assert_frame_equal(bench.items(), alone.drop(index="s5"))
    said = " ".join(result.stdout.split())
    assert said.count("left out") == 1
    assert "sums: 1 left out: it needs" in said


def test_malformed_items_are_counted_with_their_reason(bench: Any) -> None:
    rows = [json.loads(line) for line in (bench.folder / "sums.jsonl").read_text().splitlines()]
    bench.write_rows("sums.jsonl", [{**rows[0], "answer": None}, *rows[1:]])
    bench.traces("traces/sums.oracle.jsonl.gz")
    result = bench.score()
    assert result.exit_code == 0, result.output
    assert reasons(bench.results()) == {"s0": "its answer is missing or not text"}
    assert bench.results()["n-samples"]["sums"] == {"original": 6, "effective": 5}
    assert "sums: 1 left out: its answer is missing or not text" in result.stdout


def test_the_same_command_again_loads_no_model_and_gives_the_same_table(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    first = bench.score("--accuracy", models=["first", "second"])
    table, content = bench.items(), bench.results()
    monkeypatch.setattr("dataselect.scoring.loading.load_model", refuse)
    again = bench.score("--accuracy", models=["first", "second"])
    assert again.exit_code == 0, again.output
    assert again.stdout == first.stdout
    assert "6 of 6 are in the store already" in again.stderr
    assert "note:" not in again.stderr
    assert len(list((bench.folder / "scores" / "first").glob("results_*.json"))) == 2
    pd.testing.assert_frame_equal(bench.items(), table)
    assert {**bench.results(), "date": 0} == {**content, "date": 0}


def test_a_model_is_known_by_its_files_and_not_by_its_folder(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    assert bench.score().exit_code == 0
    shutil.copytree(bench.model("first"), bench.folder / "moved")
    monkeypatch.setattr("dataselect.scoring.loading.load_model", refuse)
    result = bench.invoke("score", "moved", "--benchmarks", "sums.yaml", "--device", "cpu")
    assert result.exit_code == 0, result.output
    pd.testing.assert_frame_equal(bench.items("moved"), bench.items("first"))


def test_limit_takes_the_first_items(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    assert bench.score("--limit", 2).exit_code == 0
    assert list(bench.items().index) == ["s0", "s1"]
    assert bench.results()["n-samples"]["sums"] == {"original": 2, "effective": 2}
    assert bench.results()["config"]["limit"] == 2


def test_scores_on_two_frontier_models_traces_are_averaged(bench: Any) -> None:
    one = bench.traces("one.jsonl.gz", model="one", missing=[0])
    two = bench.traces("two.jsonl.gz", model="two", opening="To begin with", missing=[1])
    for name, files in (("a", [one]), ("b", [two]), ("both", [one, two])):
        options = [option for file in files for option in ("--traces", file)]
        result = bench.score(*options, "--out", name)
        assert result.exit_code == 0, result.output
    a, b, both = (bench.items(out=name) for name in ("a", "b", "both"))
    shared = ["s2", "s3", "s4", "s5"]
    assert list(both.index) == shared
    for metric in ("rbridge", "trace_nll", "scb_nll"):
        assert (a.loc[shared, metric] != b.loc[shared, metric]).all()
        mean = (a.loc[shared, metric] + b.loc[shared, metric]) / 2
        assert list(both[metric]) == pytest.approx(list(mean), rel=1e-6)
    # Up to rounding: the label is scored in a batch with other texts.
    assert list(both["label_nll"]) == pytest.approx(list(a.loc[shared, "label_nll"]), rel=1e-6)
    traces = bench.results(out="both")["configs"]["sums"]["metadata"]["traces"]
    assert [each["model"] for each in traces] == ["one", "two"]
    assert reasons(bench.results(out="both")) == {"s0": "it has no trace", "s1": "it has no trace"}


def test_scores_by_several_frontier_models_say_whose_traces_they_are_by(bench: Any) -> None:
    files = [bench.traces(f"{name}.jsonl.gz", model=name, opening=name) for name in ("one", "two")]
    result = bench.score(*(option for file in files for option in ("--traces", file)))
    begun = [line.strip() for line in result.stderr.splitlines() if line.endswith(" started")]
    assert begun == [
        "first: scores on sums by traces of one started",
        "first: scores on sums by traces of two started",
        "first: baselines on sums started",
        "first: answers on sums started",
    ]


def test_two_files_in_a_folder_must_be_named(bench: Any) -> None:
    bench.traces("traces/sums.one.jsonl.gz", model="one")
    bench.traces("traces/sums.two.jsonl.gz", model="two")
    for options in ((), ("--traces", "traces")):
        line = error_of(bench.score(*options))
        assert "traces: it has 2 trace files for sums" in line
        assert "(sums.one.jsonl.gz, sums.two.jsonl.gz)" in line
        assert "--traces" in line


def test_only_correct_leaves_out_wrong_traces_and_says_so(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz", wrong=[1, 3], missing=[4])
    everything = bench.score()
    assert everything.exit_code == 0, everything.output
    before = bench.items()
    result = bench.score("--only-correct", models=["first", "second"])
    assert result.exit_code == 0, result.output
    pd.testing.assert_frame_equal(bench.items(), before.loc[["s0", "s2", "s5"]])
    assert reasons(bench.results()) == {
        "s1": "its trace's answer is wrong",
        "s3": "its trace's answer is wrong",
        "s4": "it has no trace",
    }
    assert "sums: 2 left out: its trace's answer is wrong" in result.stdout
    assert "sums: 1 left out: it has no trace" in result.stdout


def test_only_correct_without_a_right_answer_is_refused(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz", wrong=range(6))
    line = error_of(bench.score("--only-correct"))
    assert "none of its 6 traces of oracle ends in a right answer" in line


def test_the_scale_of_weights_changes_rbridge_and_nothing_else(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    tables = {}
    for weights in ("trace", "benchmark", "none"):
        assert bench.score("--weights", weights, "--out", weights).exit_code == 0
        tables[weights] = bench.items(out=weights)
        config = bench.results(out=weights)["configs"]["sums"]
        assert config["metadata"]["weights"] == weights
    # The first item's trace has the lowest weight of all and the highest, so it may stay.
    for weights in ("benchmark", "none"):
        changed = tables[weights]["rbridge"] != tables["trace"]["rbridge"]
        assert changed.drop("s0").all()
        others = tables[weights].drop(columns="rbridge")
        pd.testing.assert_frame_equal(others, tables["trace"].drop(columns="rbridge"))
    assert (tables["benchmark"]["rbridge"] != tables["none"]["rbridge"]).all()


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), RuntimeError("the machine failed")])
def test_what_was_measured_before_a_stop_is_not_measured_again(
    bench: Any, monkeypatch: pytest.MonkeyPatch, stopped: BaseException
) -> None:
    def stop(*arguments: Any, **options: Any) -> NoReturn:
        raise stopped

    bench.traces("traces/sums.oracle.jsonl.gz")
    with monkeypatch.context() as patch:
        patch.setattr("dataselect.scoring.baselines.score_prepared", stop)
        first = bench.score()
    if isinstance(stopped, KeyboardInterrupt):
        assert first.exit_code == 130
        assert "interrupted; to go on: dataselect" in first.stderr
    else:
        assert first.exception is stopped
    assert not (bench.folder / "scores").exists()
    monkeypatch.setattr("dataselect.scoring.likelihood.scorer.score", refuse)
    again = bench.score()
    assert again.exit_code == 0, again.output
    assert "scores on sums" not in again.stderr
    assert set(BY_LIKELIHOOD) <= set(bench.items().columns)


def test_two_folders_of_one_name_have_their_own_results(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    for number, parent in enumerate(("x", "y")):
        save_model(bench.folder / parent / "final", seed=number)
    arguments = ["x/final", "y/final", "--benchmarks", "sums.yaml", "--device", "cpu"]
    result = bench.invoke("score", *arguments)
    assert result.exit_code == 0, result.output
    assert (bench.items("final")["rbridge"] != bench.items("final-2")["rbridge"]).all()


def test_other_arithmetic_is_another_measurement(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    for precision in ("float32", "bfloat16"):
        assert bench.score("--precision", precision, "--out", precision).exit_code == 0
    exact, rough = (bench.items(out=name)["rbridge"] for name in ("float32", "bfloat16"))
    assert (exact != rough).any()
    assert list(exact) == pytest.approx(list(rough), rel=0.05)
    assert bench.results(out="bfloat16")["config"]["dtype"] == "bfloat16"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE=1 as at the start of a process; it is read once, at import."""
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


BAD: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "a benchmark by its nickname": (
        ("--benchmarks", "csqa"),
        ("there is no benchmark 'csqa'", "did you mean 'commonsense_qa'?"),
    ),
    "a benchmark twice": (("--benchmarks", "sums.yaml,sums.yaml"), ("sums is named twice",)),
    "no benchmark": (("--benchmarks", " ,"), ("--benchmarks", "no benchmark is named")),
    "no such definition": (("--benchmarks", "sumz.yaml"), ("sumz.yaml", "sums.yaml")),
    "a file that the folder lacks": (
        ("--benchmarks", "gsm8k", "--folder", "."),
        ("gsm8k.test.jsonl: there is no such file",),
    ),
    "no such trace file": (
        ("--traces", "nowhere.jsonl.gz"),
        ("nowhere.jsonl.gz", "there is no such file"),
    ),
    "traces of another benchmark": (
        ("--traces", "others.jsonl.gz"),
        ("no file among them is for benchmark 'sums'", "traces build"),
    ),
    "traces of other items": (
        ("--traces", "strangers.jsonl.gz"),
        ("strangers.jsonl.gz", "none of its 6 traces", "is for an item of 'sums'"),
    ),
    "changed traces": (("--traces", "changed.jsonl"), ("changed.jsonl", "hash")),
    "half a trace file": (("--traces", "half.jsonl.gz"), ("half.jsonl.gz",)),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.usefixtures("offline")
def test_bad_input_is_one_line_with_exit_code_2(bench: Any, case: str) -> None:
    bench.traces("others.jsonl.gz", benchmark="products")
    bench.traces("strangers.jsonl.gz", prefix="z")
    text = bench.traces("changed.jsonl").read_text()
    (bench.folder / "changed.jsonl").write_text(text.replace("are added", "are addef", 1))
    whole = bench.traces("half.jsonl.gz").read_bytes()
    (bench.folder / "half.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    arguments, wanted = BAD[case]
    line = error_of(bench.score(*arguments))
    for part in wanted:
        assert part in line
    assert not (bench.folder / "scores").exists()


def pickled(folder: Path) -> None:
    save_model(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def without_tokenizer(folder: Path) -> None:
    save_model(folder)
    (folder / "tokenizer.json").unlink()


def cut_short(folder: Path) -> None:
    weights = save_model(folder) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])


def lacking_a_matrix(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = save_model(folder) / "model.safetensors"
    tensors = load_file(weights)
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, weights, metadata={"format": "pt"})


UNFIT: dict[str, tuple[Any, tuple[str, ...]]] = {
    "nothing": (lambda folder: None, ("there is no such folder", "check the path")),
    "an empty folder": (Path.mkdir, ("no config.json with *.safetensors",)),
    "pickled weights": (pickled, ("safetensors", "pickled weights are not read")),
    "no tokenizer": (without_tokenizer, ("tokenizer",)),
    "weights cut short": (cut_short, ("model.safetensors", "damaged or no safetensors file")),
    "weights that lack a matrix": (lacking_a_matrix, ("up_proj",)),
}


@pytest.mark.parametrize("case", UNFIT)
def test_an_unfit_model_is_one_line_with_exit_code_2(bench: Any, case: str) -> None:
    make, wanted = UNFIT[case]
    bench.traces("traces/sums.oracle.jsonl.gz")
    make(bench.folder / "unfit")
    line = error_of(bench.score("./unfit", models=[]))
    assert "unfit" in line
    for part in wanted:
        assert part in line


@pytest.mark.usefixtures("offline")
def test_a_benchmark_without_an_item_that_can_be_scored_is_an_error(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    save_model(bench.folder / "tiny", positions=16)
    for models, whom in ((["tiny"], "the model"), (["tiny", bench.model()], "every model")):
        options = ["--benchmarks", "sums.yaml", "--device", "cpu"]
        line = error_of(bench.invoke("score", *models, *options))
        assert f"benchmark 'sums': it has no item that {whom} can be scored on (6: " in line
        assert "tokens" in line
        assert "leave out" in line
    assert not (bench.folder / "scores").exists()


def test_traces_of_no_shared_item_are_an_error_too(bench: Any) -> None:
    one = bench.traces("one.jsonl.gz", model="one", missing=[0, 1, 2])
    two = bench.traces("two.jsonl.gz", model="two", missing=[3, 4, 5])
    line = error_of(bench.score("--traces", one, "--traces", two))
    assert "it has no item that the model can be scored on (6: it has no trace)" in line


def test_weights_that_did_not_change_are_not_read_again(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    own = save_model(bench.folder / "own", seed=5) / "model.safetensors"
    monkeypatch.setattr(known_hashes, "SETTLED_SECONDS", -60)
    read: list[str] = []

    def noted(path: Path) -> str:
        read.append(path.name)
        return sha256_of(path)

    monkeypatch.setattr(known_hashes, "sha256_of", noted)
    command = ["score", "own", "--benchmarks", "sums.yaml", "--device", "cpu"]
    for expected in (True, False):
        assert bench.invoke(*command).exit_code == 0
        assert (own.name in read) is expected
        read.clear()
    before = bench.items("own")
    save_model(bench.folder / "own", seed=6)
    assert bench.invoke(*command).exit_code == 0
    assert own.name in read
    assert (bench.items("own")["rbridge"] != before["rbridge"]).all()


@pytest.mark.parametrize("model", ["someone/nothing", "someone/nothing@main"])
def test_a_hub_model_that_cannot_be_had_is_one_line(bench: Any, model: str) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    line = error_of(bench.invoke("score", model, "--benchmarks", "sums.yaml"))
    assert f"error: {model}: it is no folder, and the Hub does not give 'someone/nothing'" in line


@pytest.mark.usefixtures("offline")
def test_released_traces_that_cannot_be_had_are_one_line(bench: Any) -> None:
    bench.write_rows("gsm8k.test.jsonl", [{"id": "gsm8k_test_0", "question": "1?", "answer": "1"}])
    line = error_of(bench.score("--benchmarks", "gsm8k", "--folder", "."))
    assert "trillionlabs/rBridge" in line


def test_a_limit_of_no_items_is_refused(bench: Any) -> None:
    result = bench.score("--limit", 0)
    assert result.exit_code == 2
    assert "--limit" in result.stderr
