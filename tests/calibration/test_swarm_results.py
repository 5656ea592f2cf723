"""Results of a swarm's runs: which tasks and metrics are read, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from dataselect.calibration.swarm_results import read_swarm_results
from dataselect.errors import InputError

RUNS = ("run-001", "run-002", "run-003")


def put(folder: Path, run: str, name: str, content: dict[str, Any]) -> None:
    path = folder / run / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def test_a_group_counts_once_and_a_rare_task_not_at_all(tmp_path: Path) -> None:
    for i, run in enumerate(RUNS):
        results = {
            "mmlu": {"acc,none": 0.3 + i / 100, "alias": "mmlu"},
            "mmlu_law": {"acc,none": 0.2},
            "arc_easy": {"acc,none": 0.4, "acc_norm,none": 0.5 + i / 100},
        }
        if i == 0:
            results["rare"] = {"acc,none": 0.1}
        groups = {"mmlu": ["mmlu_law"], "arc_easy": []}
        put(tmp_path, run, "results_1.json", {"results": results, "group_subtasks": groups})
    found = read_swarm_results(tmp_path, RUNS, False)
    assert found.tasks == ("arc_easy", "mmlu")
    assert found.values["run-002"] == {"arc_easy": 0.51, "mmlu": 0.31}
    assert "tasks that fewer than half of the runs have, left out: rare" in found.notes
    assert "'acc_norm,none' of arc_easy" in found.notes
    assert any(note.startswith("arc_easy, mmlu: not compared") for note in found.notes)


def test_where_lower_is_better_bits_per_byte_are_read(tmp_path: Path) -> None:
    for i, run in enumerate(RUNS):
        metrics = {"primary_score": 0.3, "acc_raw": 0.3, "bits_per_byte_corr": 1.5 - i / 10}
        task = {"task_name": "arc_easy", "metrics": metrics, "task_config": {"num_shots": 5}}
        put(tmp_path, run, "task-000-arc_easy-metrics.json", task)
        put(tmp_path, run, "metrics.json", {"tasks": [task], "model_config": {}})
    lower = read_swarm_results(tmp_path, RUNS, True)
    assert [each["arc_easy"] for each in lower.values.values()] == [1.5, 1.4, 1.3]
    higher = read_swarm_results(tmp_path, RUNS, False)
    assert higher.values["run-001"] == {"arc_easy": 0.3}


def test_contradictions_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"it has no results of a run of the swarm"):
        read_swarm_results(tmp_path, RUNS, False)
    put(tmp_path, "run-001", "results_1.json", {"results": {"piqa": {"acc,none": 0.5}}})
    put(tmp_path, "run-001", "results_2.json", {"results": {"piqa": {"acc,none": 0.6}}})
    with pytest.raises(InputError, match=r"it says 0\.6 for piqa of run-001, and results_1\.json"):
        read_swarm_results(tmp_path, RUNS, False)
    with pytest.raises(InputError, match=r"no task with a metric that is better when lower"):
        read_swarm_results(tmp_path, RUNS, True)
