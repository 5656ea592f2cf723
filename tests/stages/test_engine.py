"""From a plan's `compute` to an engine: its name, the device of its jobs and what they ask for."""

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from dataselect.compute import Compute, InlineCompute, LocalProcesses, engines
from dataselect.compute.engines import EngineSettings
from dataselect.compute.gpus import VisibleGpus
from dataselect.compute.jobs import Resources
from dataselect.compute.slurm import SlurmOptions, sbatch_parameters
from dataselect.config.compute import ComputePlan, JobNeeds
from dataselect.config.plan import Plan, load_plan
from dataselect.errors import IncompleteError, InputError
from dataselect.stages.engine import (
    check_job_device,
    driver_device,
    job_device,
    job_resources,
    open_compute,
    preparation_resources,
    prepares_by_jobs,
    side_by_side,
    with_engine,
)

PLAN = """\
benchmarks: [{id: stories, items: a.jsonl, traces: a.traces.jsonl}]
tokenizer: {train: {vocab_size: 2K}}
screen:
  proxy: {size: 4M, tokens: 87.3M}
  keep: 3
"""


def plan(tmp_path: Path, more: str = "") -> Plan:
    """A plan with a section `compute`."""
    (tmp_path / "plan.yaml").write_text(PLAN + more)
    return load_plan("plan.yaml", tmp_path)


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataselect.compute.cores._has_gpu", lambda: False)
    monkeypatch.setattr("dataselect.compute.cores._torch_has_gpu", lambda: False)


@pytest.mark.parametrize(
    ("compute", "device"),
    [
        ("{on: local}", "cpu"),
        ("{on: slurm}", "cpu"),
        ("{on: slurm, gpus: 1}", "cuda"),
        ("{on: ray, gpus: 0.25}", "cuda"),
        ("{on: ray, device: cuda}", "cuda"),
        ("{on: ray, device: cpu}", "cpu"),
    ],
)
def test_a_job_runs_on_what_it_asks_for_whatever_the_driver_has(
    tmp_path: Path, compute: str, device: str
) -> None:
    chosen = plan(tmp_path, f"compute: {compute}\n")
    assert job_device(chosen) == device
    assert driver_device(chosen) == "cpu"


def test_a_gpu_is_looked_for_where_the_job_runs() -> None:
    check_job_device("cpu")
    with pytest.raises(IncompleteError, match="gives it none; ask for one"):
        check_job_device("cuda")


@pytest.mark.parametrize(
    ("compute", "problem"),
    [
        ("compute: {on: slrum}", r"plan.yaml:6:\d+: there is no engine 'slrum'; .*'slurm'"),
        ("compute: {gpus: 2, device: cpu}", "jobs would ask for GPUs .* and run on the CPU"),
        ("compute: {memory: 32}", "32 is not an amount of memory"),
        ("compute: {memory: much}", "'much' is not an amount of memory; write one such as 32GB"),
        ("compute: {time: 4 hours}", "'4 hours' is not a time; write one such as 90m, 4h or 2d"),
        ("compute: {time: 4}", "4 is not a time"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, compute: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        job_device(plan(tmp_path, compute))


def test_stages_do_not_mix_jobs_with_and_without_a_gpu(tmp_path: Path) -> None:
    text = "  resources: {gpus: 1}\ncompute: {on: slurm}\n"
    with pytest.raises(InputError, match="all run on a GPU, or none"):
        plan(tmp_path, text)


@pytest.mark.parametrize(
    ("written", "value"),
    [("90m", 5400), ("4h 30m", 16200), ("1.5h", 5400), ("2d", 172800), (600, 600)],
)
def test_times_are_written_as_people_do(written: str | int, value: float) -> None:
    assert ComputePlan.model_validate({"time": written}).time == value


@pytest.mark.parametrize(
    ("written", "value"),
    [("32GB", 32 * 10**9), ("500 MiB", 500 * 2**20), ("1.5T", 1_500_000_000_000), (10**9, 10**9)],
)
def test_memory_is_written_as_people_do(written: str | int, value: int) -> None:
    assert ComputePlan.model_validate({"memory": written}).memory == value


def test_a_stage_asks_for_more_and_processes_multiply() -> None:
    compute = ComputePlan.model_validate({"on": "slurm", "threads": 2, "gpus": 1, "memory": "8GB"})
    needs = JobNeeds.model_validate({"memory": "64GB", "time": "4h"})
    assert job_resources(compute) == Resources(2, 1.0, 8 * 10**9, None, 2)
    patient = ComputePlan.model_validate({"silence": "1h"})
    assert (job_resources(patient).silence, job_resources(patient).beat) == (3600, 5)
    assert job_resources(compute, needs, 4) == Resources(2, 4.0, 64 * 10**9, 14400.0, 8)


@pytest.fixture
def eight_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has them, and four cores."""
    gpus = VisibleGpus(tuple(map(str, range(8))))
    monkeypatch.setattr("dataselect.compute.cores._has_gpu", lambda: True)
    monkeypatch.setattr("dataselect.compute.cores.available_cores", lambda: 4)
    monkeypatch.setattr("dataselect.stages.engine.visible_gpus", lambda: gpus)


@pytest.mark.usefixtures("eight_gpus")
@pytest.mark.parametrize(
    ("compute", "slots", "each", "of_four"),
    [
        ("{}", 8, 1.0, 4.0),
        ("{jobs: 3}", 3, 1.0, 4.0),
        ("{jobs: 16}", 16, 0.5, 4.0),
        ("{jobs: 20}", 20, 1 / 3, 4.0),
        ("{gpus: 2}", 4, 2.0, 8.0),
        ("{gpus: 0.25, jobs: 12}", 12, 0.25, 1.0),
        ("{gpus: 0.25}", 8, 0.25, 1.0),
        ("{device: cpu}", 4, 0.0, 0.0),
        ("{gpus: 0}", 4, 0.0, 0.0),
    ],
)
def test_on_this_machine_all_gpus_are_in_use_and_jobs_share_them(
    tmp_path: Path, compute: str, slots: int, each: float, of_four: float
) -> None:
    chosen = plan(tmp_path, f"compute: {compute}\n")
    assert job_device(chosen) == ("cuda" if each else "cpu")
    with open_compute(chosen, tmp_path) as engine:
        assert engine.slots == slots
        assert job_resources(chosen.compute, engine=engine).gpus == each
        four = job_resources(chosen.compute, None, 4, engine)
        assert four.gpus == of_four
        assert side_by_side(engine, four) == min(slots, int(8 / (of_four or 0.1)))
        assert preparation_resources(chosen.compute).gpus == 0


@pytest.mark.usefixtures("eight_gpus")
@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "compute: {gpus: 9}",
            r"plan.yaml:6:\d+: a job needs 9 GPUs, and there are 8; write fewer",
        ),
        ("compute: {gpus: 1.5}", r"plan.yaml:6:\d+: .* a whole number of them, not 1\.5"),
        ("  processes: 16", r"plan.yaml:6:\d+: a job needs 16 GPUs, and there are 8"),
        (
            "  processes: 4\n  resources: {gpus: 4}\ncompute: {gpus: 1}",
            r"plan.yaml:7:\d+: a job needs 16 GPUs, and there are 8",
        ),
    ],
)
def test_more_gpus_than_this_machine_has_are_refused_by_line(
    tmp_path: Path, more: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        open_compute(plan(tmp_path, more + "\n"), tmp_path)


def test_gpus_that_a_plan_names_for_a_cluster_are_not_needed_here(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = with_engine(plan(tmp_path, "compute: {on: slurm, gpus: 1}\n"), "local")
    with open_compute(chosen, tmp_path) as engine:
        assert job_resources(chosen.compute, engine=engine).gpus == 0
    assert "there is none here: they run on the CPU" in caplog.text


def test_preparation_asks_for_no_gpu_and_its_own_amounts(tmp_path: Path) -> None:
    text = "compute: {on: slurm, threads: 2, gpus: 1, memory: 64GB, time: 4h, PREPARE}\n"
    for prepare, resources in (
        ("slurm: {}", Resources(2, 0.0, 64 * 10**9, 14400.0, 2)),
        (
            "prepare: {threads: 8, memory: 4GB, time: 30m}",
            Resources(8, 0.0, 4 * 10**9, 1800.0, 8),
        ),
    ):
        chosen = plan(tmp_path, text.replace("PREPARE", prepare))
        assert preparation_resources(chosen.compute) == resources


@pytest.mark.parametrize(
    ("compute", "jobs"),
    [
        ("{}", False),
        ("{prepare: {by: jobs}}", True),
        ("{on: slurm}", True),
        ("{on: slurm, prepare: {by: driver}}", False),
    ],
)
def test_who_prepares(tmp_path: Path, compute: str, jobs: bool) -> None:
    assert prepares_by_jobs(plan(tmp_path, f"compute: {compute}\n")) is jobs


def test_slurm_is_told_all_of_it() -> None:
    resources = Resources(2, 4.0, 64 * 2**30, 5400.5, 8)
    options = SlurmOptions(
        "gpu", "cpu", "lab", "high", {"constraint": "a100"}, ("module load cuda",)
    )
    told = sbatch_parameters(resources, options, "stage1/web", 3)
    assert told == {
        "job_name": "dataselect",
        "partition": "gpu",
        "account": "lab",
        "qos": "high",
        "cpus_per_task": 8,
        "ntasks_per_node": 1,
        "array_parallelism": 3,
        "setup": ["module load cuda"],
        "wckey": None,
        "additional_parameters": {"requeue": True, "constraint": "a100", "mem": "65536M"},
        "time": 91,
        "gpus_per_node": 4,
    }
    assert sbatch_parameters(Resources(1), options, "tokenising web", 1)["partition"] == "cpu"
    assert sbatch_parameters(Resources(1), SlurmOptions(), "stage1/web", 1)["time"] is None
    with pytest.raises(InputError, match=r"Slurm gives whole GPUs, not 0\.25"):
        sbatch_parameters(Resources(1, 0.25), SlurmOptions(), "a", 1)


def test_the_command_line_overrides_the_plan(tmp_path: Path) -> None:
    chosen = plan(tmp_path, "compute: {on: slurm, jobs: 3}\n")
    assert with_engine(chosen, None) is chosen
    local = with_engine(chosen, "local")
    with open_compute(local, tmp_path) as compute:
        assert isinstance(compute, LocalProcesses)
        assert compute.slots == 3
    with pytest.raises(InputError, match="--on: there is no engine 'kubernetes'"):
        with_engine(chosen, "kubernetes")


def test_the_plans_sections_are_the_engines_options() -> None:
    compute = ComputePlan.model_validate({"on": "slurm", "slurm": {"setup": ["a"]}})
    assert set(compute.engine_options()) == set(SlurmOptions.__dataclass_fields__)
    ray = pytest.importorskip("dataselect.compute.ray_cluster")
    compute = ComputePlan.model_validate({"on": "ray"})
    assert set(compute.engine_options()) == set(ray.RayOptions.__dataclass_fields__)


@pytest.mark.parametrize(("name", "missing"), [("slurm", "submitit"), ("ray", "ray")])
def test_an_engine_whose_extra_is_missing_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=rf"pip install 'dataselect\[{name}\]'"):
        open_compute(plan(tmp_path, f"compute: {{on: {name}}}\n"), tmp_path)


MADE: list[EngineSettings] = []


def make(settings: EngineSettings) -> Compute:
    """An engine that another package brings."""
    MADE.append(settings)
    return InlineCompute()


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two entry points, of which one cannot be loaded."""
    found = [
        EntryPoint("mine", f"{__name__}:make", engines.GROUP),
        EntryPoint("broken", "no_such_module:make", engines.GROUP),
    ]

    def entry_points(group: str, name: str | None = None) -> Any:
        assert group == engines.GROUP
        return [each for each in found if name in (None, each.name)]

    monkeypatch.setattr(engines, "entry_points", entry_points)
    yield
    MADE.clear()


@pytest.mark.usefixtures("brought")
def test_another_packages_engine_is_found_by_its_entry_point(tmp_path: Path) -> None:
    text = "compute: {on: mine, threads: 2, retries: 3, options: {queue: night}}\n"
    with open_compute(plan(tmp_path, text), tmp_path / "store") as compute:
        assert isinstance(compute, InlineCompute)
    (settings,) = MADE
    assert settings.folder == tmp_path / "store" / "jobs"
    assert (settings.options, settings.retries) == ({"queue": "night"}, 3)
    assert settings.resources.threads == 2


@pytest.mark.usefixtures("brought")
def test_an_engine_that_cannot_be_loaded_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the engine 'broken' cannot be loaded"):
        open_compute(plan(tmp_path, "compute: {on: broken}\n"), tmp_path)
    with pytest.raises(InputError, match="engines: local, broken, mine, ray, slurm"):
        open_compute(plan(tmp_path, "compute: {on: other}\n"), tmp_path)
