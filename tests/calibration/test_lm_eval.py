"""Results files of lm-evaluation-harness: tokens from names, one metric for all checkpoints."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataselect.calibration.accuracies import Accuracies
from dataselect.calibration.lm_eval import read_lm_eval
from dataselect.calibration.spec import LmEvalResults
from dataselect.errors import InputError

B = 10**9
MODEL = "lab/target-7b"


def write(path: Path, results: dict[str, Any], **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"results": results, **more}))


def of(revision: str, form: type = dict) -> dict[str, Any]:
    arguments = {"pretrained": MODEL, "revision": revision, "dtype": "bfloat16"}
    joined = ",".join(f"{key}={value}" for key, value in arguments.items())
    return {"config": {"model": "hf", "model_args": arguments if form is dict else joined}}


def read(base: Path, benchmarks: tuple[str, ...] = ("gsm8k",), /, **section: Any) -> Accuracies:
    settings = LmEvalResults(**{"files": "**/results_*.json", **section})
    return read_lm_eval(settings, base, "spec.yaml:4:3", benchmarks)


def refused(base: Path, benchmarks: tuple[str, ...] = ("gsm8k",), /, **section: Any) -> str:
    with pytest.raises(InputError) as error:
        read(base, benchmarks, **section)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("form", [dict, str])
def test_tokens_come_from_the_revision(tmp_path: Path, form: type) -> None:
    for billions in (250, 500):
        name = f"stage1-step{billions}000-tokens{billions}B"
        result = {"exact_match,strict-match": billions / 1000, "alias": "gsm8k"}
        write(tmp_path / f"{billions}/results_x.json", {"gsm8k": result}, **of(name, form))
    found = read(tmp_path)
    assert found.values == {"gsm8k": {250 * B: 0.25, 500 * B: 0.5}}
    assert found.name == MODEL
    assert found.notes == (
        "gsm8k: the target's accuracy is 'exact_match,strict-match' of gsm8k at 2 token counts",
        "gsm8k: not compared, since 2 of 2 files do not say it: n-shot, task version, filter,"
        " chat template, system prompt, prompt, split, number of items",
    )


def test_tokens_come_from_names_folders_steps_or_what_is_stated(tmp_path: Path) -> None:
    result = {"gsm8k": {"exact_match,none": 0.5}}
    pretrained = {"config": {"model_args": "pretrained=/runs/step5-hf"}}
    write(tmp_path / "a/results_1.json", result, **pretrained)
    write(tmp_path / "b/results_2.json", result, model_name=f"{MODEL}@step7")
    write(tmp_path / "c/step9/results_3.json", result)
    write(tmp_path / "d/results_4.json", result, **of("main"))
    found = read(tmp_path, tokens_per_step=10, tokens={"main": "4T"})
    assert sorted(found.values["gsm8k"]) == [50, 70, 90, 4 * 10**12]
    assert "results_4.json: nothing tells its training tokens ('main', 'lab/target-7b'" in refused(
        tmp_path, tokens_per_step=10
    )
    assert "'tokens' names 'mian', which no file is for; did you mean 'main'?" in refused(
        tmp_path, tokens_per_step=10, tokens={"main": "4T", "mian": "4T"}
    )


def test_one_metric_is_taken_for_all_checkpoints_the_one_that_most_have(tmp_path: Path) -> None:
    for n in (1, 2, 3):
        flexible = {"exact_match,flexible-extract": 0.1 * n, "exact_match_stderr,none": "N/A"}
        strict = {"exact_match,strict-match": 0.9} if n == 1 else {}
        write(tmp_path / f"{n}/results_.json", {"gsm8k": flexible | strict}, **of(f"tokens{n}B"))
    found = read(tmp_path)
    assert found.values["gsm8k"] == {B: 0.1, 2 * B: 0.2, 3 * B: pytest.approx(0.3)}
    chosen = {"gsm8k": {"task": "gsm8k", "metric": "exact_match,strict-match"}}
    assert read(tmp_path, tasks=chosen).values["gsm8k"] == {B: 0.9}


def test_usual_tasks_and_metrics_of_the_known_benchmarks(tmp_path: Path) -> None:
    results: dict[str, Any] = {
        "gsm8k_cot": {"exact_match,strict-match": 0.1, "exact_match,flexible-extract": 0.2},
        "minerva_math500": {"exact_match,none": 0.3, "math_verify,none": 0.4},
        "arc_challenge": {"acc,none": 0.45, "acc_norm,none": 0.5, "acc_stderr,none": 0.01},
        "commonsense_qa": {"acc,none": 0.6, "acc_stderr,none": 0.01},
        "humaneval": {"pass@1,create_test": 0.7, "pass@1_stderr,create_test": 0.03},
    }
    subjects = ("biology", "chemistry", "computer_science", "engineering", "math", "physics")
    for subject in subjects:
        results[f"mmlu_pro_{subject}"] = {"exact_match,custom-extract": 0.2}
    results["mmlu_pro_math"] = {"exact_match,custom-extract": 0.8}
    counts = {f"mmlu_pro_{each}": {"original": 100, "effective": 100} for each in subjects}
    counts["mmlu_pro_math"] = {"original": 600, "effective": 500}
    write(tmp_path / "results_1.json", results, **of("tokens1B"), **{"n-samples": counts})
    known = ("gsm8k", "math500", "arc_challenge", "commonsense_qa", "humaneval", "mmlu_pro_stem")
    found = read(tmp_path, known)
    assert {name: of_one[B] for name, of_one in found.values.items()} == {
        "gsm8k": 0.1,
        "math500": 0.4,
        "arc_challenge": 0.5,
        "commonsense_qa": 0.6,
        "humaneval": 0.7,
        "mmlu_pro_stem": pytest.approx(0.5),
    }
    assert "of mmlu_pro_biology and 5 more (mean by items)" in " ".join(found.notes)
    assert "'math_verify,none' of minerva_math500 at 1 token counts; not 'exact_match,none'" in (
        " ".join(found.notes)
    )


def test_files_for_one_checkpoint_may_share_the_tasks_but_not_contradict(tmp_path: Path) -> None:
    write(tmp_path / "results_1.json", {"gsm8k": {"exact_match,none": 0.1}}, **of("tokens1B"))
    write(tmp_path / "results_2.json", {"own": {"acc,none": 0.2}}, **of("tokens1B"))
    write(tmp_path / "results_3.json", {"own": {"acc,none": 0.2}}, **of("tokens1B"))
    found = read(tmp_path, ("gsm8k", "own"))
    assert found.values == {"gsm8k": {B: 0.1}, "own": {B: 0.2}}
    write(tmp_path / "results_3.json", {"own": {"acc,none": 0.3}}, **of("tokens1B"))
    text = refused(tmp_path, ("own",))
    assert "results_3.json: it says 0.3 for own at 1B tokens, and results_2.json says 0.2" in text


def test_results_of_two_models_are_not_mixed(tmp_path: Path) -> None:
    for n, model in enumerate(("lab/target-7b", "lab/target-13b")):
        arguments = {"model_args": f"pretrained={model},revision=tokens{n + 1}B"}
        write(tmp_path / f"{n}/results_.json", {"gsm8k": {"acc,none": 0.1}}, config=arguments)
    assert "for 2 models: lab/target-13b, lab/target-7b; name one's" in refused(tmp_path)


def test_what_is_missing_is_said_with_what_is_there(tmp_path: Path) -> None:
    assert "no file matches '**/results_*.json'" in refused(tmp_path)
    metrics = {"f1,none": 0.2, "f1_stderr,none": 0.1}
    write(tmp_path / "results_1.json", {"gsm8k": metrics, "squad": metrics}, **of("tokens1B"))
    assert "task 'gsm8k' has no usual accuracy; its metrics are 'f1,none'" in refused(tmp_path)
    assert "no file has a result for benchmark 'own'; name its task in 'tasks' (there: gsm8k" in (
        refused(tmp_path, ("own",))
    )
    chosen = {"gsm8k": {"task": "gsm8k", "metric": "acc,none"}}
    assert "task 'gsm8k' has no acc,none" in refused(tmp_path, tasks=chosen)
    chosen = {"gsm8k": {"task": ["gsm8k", "gsm9k"], "metric": "f1,none"}}
    assert "gsm8k is 2 tasks, and no file has gsm9k; add" in refused(tmp_path, tasks=chosen)
    write(tmp_path / "results_1.json", {"gsm8k": {"acc,none": 55.0}}, **of("tokens1B"))
    assert "acc,none of gsm8k is 55, not within 0..1" in refused(tmp_path)
    (tmp_path / "results_1.json").write_text("[]")
    assert "results_1.json" in refused(tmp_path)
    (tmp_path / "results_1.json").write_text('{"configs": {}}')
    assert "results: Field required" in refused(tmp_path)


@pytest.mark.parametrize("value", [[], {}, ["lab/target-7b"], 7])
def test_a_model_that_is_no_name_is_one_line(tmp_path: Path, value: object) -> None:
    result = {"gsm8k": {"exact_match,none": 0.5}}
    config = {"config": {"model_args": {"pretrained": value, "revision": "tokens1B"}}}
    write(tmp_path / "results_1.json", result, **config)
    assert "which is no name" in refused(tmp_path)


@pytest.mark.parametrize("shots", [[], {}, [5], "five"])
def test_a_number_of_shots_that_is_none_is_no_traceback(tmp_path: Path, shots: object) -> None:
    result = {"gsm8k": {"exact_match,none": 0.5}}
    write(tmp_path / "results_1.json", result, **of("tokens1B"), **{"n-shot": {"gsm8k": shots}})
    assert read(tmp_path).values == {"gsm8k": {B: 0.5}}
