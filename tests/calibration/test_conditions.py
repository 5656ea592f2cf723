"""Results of one curve measure the same thing: what differs is refused or said, and so is what is
not known."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dataselect.calibration.accuracies import Accuracies
from dataselect.calibration.lm_eval import read_lm_eval
from dataselect.calibration.spec import LmEvalResults
from dataselect.errors import InputError

B = 10**9
CONFIG = {
    "task": "gsm8k",
    "dataset_path": "openai/gsm8k",
    "dataset_name": "main",
    "test_split": "test",
    "fewshot_split": "train",
    "process_docs": "<function process at 0x7f00aa>",
    "doc_to_text": "Question: {{question}}\nAnswer:",
    "doc_to_target": "{{answer}}",
    "description": "",
    "target_delimiter": " ",
    "fewshot_delimiter": "\n\n",
    "num_fewshot": 5,
    "output_type": "generate_until",
    "generation_kwargs": {"until": ["Question:"], "do_sample": False, "temperature": 0.0},
    "repeats": 1,
    "filter_list": [
        {"name": "strict-match", "filter": [{"function": "regex", "regex_pattern": "#### (.*)"}]},
        {"name": "flexible-extract", "filter": [{"function": "regex", "group_select": -1}]},
    ],
    "metadata": {"version": 3.0, "pretrained": "lab/target-7b"},
}


def results(billions: int) -> dict[str, Any]:
    """A results file as release 0.4.9 of the harness writes it, with the parts that are read."""
    accuracy = {
        "alias": "gsm8k",
        "exact_match,strict-match": billions / 100,
        "exact_match_stderr,strict-match": 0.01,
        "exact_match,flexible-extract": billions / 90,
        "exact_match_stderr,flexible-extract": 0.01,
    }
    return {
        "results": {"gsm8k": accuracy},
        "group_subtasks": {"gsm8k": []},
        "configs": {"gsm8k": deepcopy(CONFIG)},
        "versions": {"gsm8k": 3.0},
        "n-shot": {"gsm8k": 5},
        "higher_is_better": {"gsm8k": {"exact_match": True}},
        "n-samples": {"gsm8k": {"original": 1319, "effective": 1319}},
        "config": {
            "model": "hf",
            "model_args": f"pretrained=lab/target-7b,revision=tokens{billions}B,dtype=bfloat16",
            "model_num_parameters": 7_000_000_000,
            "model_dtype": "torch.bfloat16",
            "batch_size": "auto",
            "limit": None,
            "gen_kwargs": None,
            "fewshot_seed": 1234,
        },
        "date": 1758000000.0 + billions,
        "lm_eval_version": "0.4.9",
        "model_source": "hf",
        "model_name": "lab/target-7b",
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": None,
        "chat_template_sha": None,
        "task_hashes": {"gsm8k": "ab12"},
    }


def written(folder: Path, change: Callable[[dict[str, Any]], object] | None = None) -> None:
    """Four files, the last of them changed."""
    for billions in (1, 2, 3, 4):
        content = results(billions)
        if billions == 4 and change is not None:
            change(content)
        path = folder / f"{billions}/results_2026-01-0{billions}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))


def read(folder: Path, benchmark: str = "gsm8k", **section: Any) -> Accuracies:
    settings = LmEvalResults(**{"files": "**/*.json", **section})
    return read_lm_eval(settings, folder, "spec.yaml:4:3", (benchmark,))


def at(*keys: str) -> Callable[[Any], Callable[[dict[str, Any]], None]]:
    """Sets the value at a place of the file."""

    def to(value: Any) -> Callable[[dict[str, Any]], None]:
        def change(content: dict[str, Any]) -> None:
            place = content
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = value

        return change

    return to


def test_results_that_were_measured_alike_are_joined(tmp_path: Path) -> None:
    written(tmp_path)
    found = read(tmp_path)
    assert found.values["gsm8k"] == {n * B: n / 100 for n in (1, 2, 3, 4)}
    assert found.notes == (
        "gsm8k: the target's accuracy is 'exact_match,strict-match' of gsm8k at 4 token counts;"
        " not 'exact_match,flexible-extract'",
    )


ALIKE = {
    "the data type": at("config", "model_dtype")("torch.float32"),
    "the batch size": at("config", "batch_size")("8"),
    "the date": at("date")(0.0),
    "a limit that limits nothing": at("config", "limit")(10000),
    "a version as text": at("versions", "gsm8k")("3"),
    "another way to write a number": at("configs", "gsm8k", "generation_kwargs", "temperature")(0),
    "another address of a function": at("configs", "gsm8k", "process_docs")("<function p at 0x1>"),
    "another seed where no template turns examples": at("fewshot_as_multiturn")(True),
    "another unused filter": at("configs", "gsm8k", "filter_list")(
        [CONFIG["filter_list"][0], {"name": "flexible-extract", "filter": []}]  # type: ignore[index]
    ),
}


@pytest.mark.parametrize("which", ALIKE)
def test_what_changes_no_number_changes_nothing(tmp_path: Path, which: str) -> None:
    written(tmp_path)
    before = read(tmp_path)
    written(tmp_path, ALIKE[which])
    assert read(tmp_path) == before


def _limited(limit: Any, effective: int) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["config"]["limit"] = limit
        content["n-samples"]["gsm8k"]["effective"] = effective

    return change


def _zero_shot(content: dict[str, Any]) -> None:
    content["n-shot"]["gsm8k"] = content["configs"]["gsm8k"]["num_fewshot"] = 0


def _template(content: dict[str, Any]) -> None:
    content.update(chat_template="{{ messages }}", chat_template_sha="c0ffee")


REFUSED = {
    "limit": (_limited(100, 100), "its gsm8k has 100 items (limit 100), and that of"),
    "limit as a share": (_limited(0.1, 132), "132 items (limit 0.1)"),
    "samples": (_limited(None, 200), "its gsm8k has 200 items, and that of"),
    "n-shot": (_zero_shot, "its n-shot for gsm8k is 0, and that of"),
    "version": (at("versions", "gsm8k")(2.0), "its task version for gsm8k is 2, and that of"),
    "chat template": (_template, "its chat template for gsm8k is hash c0ffee, and that of"),
    "the server's template": (at("chat_template")(""), "its chat template for gsm8k is the server"),
    "system prompt": (at("system_instruction")("Think."), "its system prompt for gsm8k is hash"),
    "filter": (
        at("configs", "gsm8k", "filter_list")([{"name": "strict-match", "filter": []}]),
        "its filter for gsm8k is",
    ),
    "prompt": (at("configs", "gsm8k", "doc_to_text")("Q: {{question}}"), "its prompt for gsm8k is"),
    "prefix": (at("configs", "gsm8k", "gen_prefix")("So"), "its gen_prefix for gsm8k is So"),
    "split": (at("configs", "gsm8k", "test_split")("train"), "its split for gsm8k is train"),
    "generation": (
        at("configs", "gsm8k", "generation_kwargs", "temperature")(0.7),
        "its generation for gsm8k is",
    ),
    "another model": (
        at("config", "model_num_parameters")(1_000_000_000),
        "its number of parameters for gsm8k is 1000000000, and that of",
    ),
}


@pytest.mark.parametrize("which", REFUSED)
def test_another_measurement_is_refused_with_both_files(tmp_path: Path, which: str) -> None:
    change, problem = REFUSED[which]
    written(tmp_path, change)
    with pytest.raises(InputError) as refused:
        read(tmp_path)
    text = str(refused.value)
    assert text.startswith(f"{tmp_path}/4/results_2026-01-04.json: ")
    assert problem in text
    assert "results_2026-01-01.json" in text
    assert "\n" not in text


NOTED = {
    "examples": (at("config", "fewshot_seed")(7), "seed of worked examples (1234 in 3 files, 7 in"),
    "hash": (at("task_hashes", "gsm8k")("cd"), "hash of prompts and items (ab12 in 3 files, cd in"),
    "release": (at("lm_eval_version")("0.4.3"), "differ in release of the harness"),
    "data set": (at("configs", "gsm8k", "dataset_path")("gsm8k"), "differ in data set"),
    "bos": (
        at("config", "model_args")("pretrained=lab/target-7b,revision=tokens4B,add_bos_token=True"),
        "differ in model's arguments",
    ),
    "a few items": (_limited(None, 1310), "gsm8k: the files have 1310 to 1319 items"),
}


@pytest.mark.parametrize("which", NOTED)
def test_what_may_matter_is_said(tmp_path: Path, which: str) -> None:
    change, note = NOTED[which]
    written(tmp_path, change)
    found = read(tmp_path)
    assert note in " | ".join(found.notes)
    assert len(found.values["gsm8k"]) == 4


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (("n-shot", "configs"), "n-shot, filter, prompt, split"),
        (("versions",), "task version"),
        (("chat_template", "chat_template_sha"), "chat template"),
    ],
)
def test_what_one_file_does_not_say_is_said(
    tmp_path: Path, keys: tuple[str, ...], named: str
) -> None:
    written(tmp_path, lambda content: [content.pop(key) for key in keys])
    assert f"gsm8k: not compared, since 1 of 4 files do not say it: {named}" in read(tmp_path).notes


def test_a_task_without_a_version_states_none(tmp_path: Path) -> None:
    written(tmp_path, at("versions", "gsm8k")("Yaml"))
    assert "1 of 4 files do not say it: task version" in " ".join(read(tmp_path).notes)


def test_limits_are_compared_where_items_are_not_counted(tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["n-samples"]
        content["config"]["limit"] = 50

    written(tmp_path, change)
    with pytest.raises(InputError, match="limit"):
        read(tmp_path)


def test_a_limit_of_all_files_is_said(tmp_path: Path) -> None:
    for billions in (1, 2):
        content = results(billions)
        _limited(100, 100)(content)
        path = tmp_path / f"results_{billions}.json"
        path.write_text(json.dumps(content))
    assert "gsm8k: measured on 100 of 1319 items (limit 100) in 2 files" in read(tmp_path).notes


def test_files_without_the_metric_are_counted(tmp_path: Path) -> None:
    written(tmp_path, at("results", "gsm8k")({"exact_match,none": 0.5}))
    note = "gsm8k: left out, without 'exact_match,strict-match': 1 files (results_2026-01-04.json)"
    assert note in read(tmp_path).notes


def test_what_the_file_calls_better_when_lower_is_no_accuracy(tmp_path: Path) -> None:
    written(tmp_path, at("higher_is_better", "gsm8k", "exact_match")(False))
    with pytest.raises(InputError, match="gsm8k is better when lower, as the file says"):
        read(tmp_path)


def test_tasks_of_one_benchmark_are_compared_one_by_one(tmp_path: Path) -> None:
    for billions in (1, 2):
        content = results(billions)
        for key in ("results", "configs", "versions", "n-shot", "n-samples"):
            content[key]["two"] = deepcopy(content[key]["gsm8k"])
        content["n-shot"]["two"] = billions
        (tmp_path / f"results_{billions}.json").write_text(json.dumps(content))
    tasks = {"gsm8k": {"task": ["gsm8k", "two"]}}
    with pytest.raises(InputError, match=r"its n-shot for gsm8k is 5 \(gsm8k\), 2 \(two\)"):
        read(tmp_path, tasks=tasks)


def olmes(billions: int, **changes: Any) -> dict[str, Any]:
    """A task's metrics file as OLMES writes it."""
    config = {
        "task_name": "arc_challenge",
        "limit": 10000000000000000000,
        "split": "test",
        "num_shots": 5,
        "fewshot_seed": 1234,
        "primary_metric": "acc_uncond",
        "context_kwargs": None,
        "generation_kwargs": None,
        "fewshot_source": "OLMES:ARC-Challenge",
        "use_chat_format": None,
        "version": 0,
        "revision": None,
    }
    instances = changes.pop("num_instances", 1172)
    return {
        "task_name": "arc_challenge",
        "task_hash": "ff",
        "model_hash": "aa",
        "model_config": {"model": "lab/target-7b", "revision": f"step{billions}-tokens{billions}B"},
        "task_config": {**config, **changes},
        "num_instances": instances,
        "metrics": {"acc_raw": 0.1, "acc_uncond": billions / 10, "primary_score": billions / 10},
    }


@pytest.mark.parametrize("form", ["a file a task", "all tasks in a file"])
def test_metrics_of_olmes_are_read(tmp_path: Path, form: str) -> None:
    for billions in (1, 2):
        one = olmes(billions)
        content = one if form == "a file a task" else {"tasks": [one], "all_primary_scores": []}
        (tmp_path / f"metrics_{billions}.json").write_text(json.dumps(content))
    found = read(tmp_path, "arc_challenge")
    assert found.values == {"arc_challenge": {B: 0.1, 2 * B: 0.2}}
    assert "'primary_score' of arc_challenge at 2 token counts" in found.notes[0]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_shots": 0}, "its n-shot for arc_challenge is 0"),
        ({"version": 1}, "its task version for arc_challenge is 1"),
        ({"primary_metric": "acc_per_char"}, "its filter for arc_challenge is acc_per_char"),
        ({"use_chat_format": True}, "its chat template for arc_challenge is true"),
        ({"split": "validation"}, "its split for arc_challenge is validation"),
        ({"fewshot_source": "own"}, "its worked examples for arc_challenge is own"),
        ({"limit": 100, "num_instances": 100}, "its arc_challenge has 100 items"),
    ],
)
def test_metrics_of_olmes_that_were_measured_differently_are_refused(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    for billions in (1, 2, 3):
        content = olmes(billions, **(changes if billions == 3 else {}))
        (tmp_path / f"metrics_{billions}.json").write_text(json.dumps(content))
    with pytest.raises(InputError) as refused:
        read(tmp_path, "arc_challenge")
    assert problem in str(refused.value)
    assert "metrics_3.json" in str(refused.value)
