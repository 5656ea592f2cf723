"""What Slurm's commands say, without Slurm: small programs of the same names stand for them."""

import stat
from pathlib import Path

import pytest

from dataselect.compute import Resources
from dataselect.compute.scheduler import State, Ticket
from dataselect.compute.slurm import SlurmOptions, Submitit, squeue
from dataselect.errors import InputError


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that is searched first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def write(folder: Path, name: str, script: str) -> None:
    """A program in sh."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_states_are_read_for_each_job_of_an_array(commands: Path) -> None:
    lines = ["7_0 RUNNING", "7_1 PENDING", "8 NODE_FAIL", "9_0 COMPLETING", "9_1 CANCELLED"]
    write(commands, "squeue", "\n".join(f"echo {line}" for line in lines))
    assert squeue() == {
        "7_0": State("running", "RUNNING"),
        "7_1": State("queued", "PENDING"),
        "8": State("ended", "NODE_FAIL"),
        "9_0": State("running", "COMPLETING"),
        "9_1": State("cancelled", "CANCELLED"),
    }


def test_no_answer_of_slurm_says_nothing_about_jobs(commands: Path) -> None:
    write(commands, "squeue", "echo 'Unable to contact slurm controller' >&2; exit 1")
    assert squeue() is None


def test_an_array_of_jobs_is_submitted_once(commands: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    write(commands, "srun", "true")
    write(commands, "sbatch", f'cat "$1" >> {tmp_path}/scripts; echo "Submitted batch job 12"')
    scheduler = Submitit(tmp_path / "submitit", SlurmOptions("gpu", qos="high"))
    tickets = [
        Ticket(f"stage1/{n}", tmp_path / str(n), "0" * 64, Resources(2, memory=2**30))
        for n in range(3)
    ]
    tickets.append(Ticket("stage2/a", tmp_path / "a", "0" * 64, Resources(2, gpus=1)))
    assert scheduler.submit(tickets) == ["12_0", "12_1", "12_2", "12"]
    scripts = (tmp_path / "scripts").read_text()
    for line in ("--array=0-2%3", "--partition=gpu", "--qos=high", "--requeue", "--mem=1024M"):
        assert f"#SBATCH {line}" in scripts
    assert scripts.count("--gpus-per-node=1") == 1
    assert "--time" not in scripts, "submitit's own limit, five minutes"


def test_what_sbatch_refuses_is_one_line(commands: Path, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    write(commands, "srun", "true")
    write(commands, "sbatch", "echo 'sbatch: error: invalid partition specified: gpu' >&2; exit 1")
    scheduler = Submitit(tmp_path / "submitit", SlurmOptions("gpu"))
    with pytest.raises(InputError) as refused:
        scheduler.submit([Ticket("a", tmp_path / "a", "0" * 64, Resources(1))])
    assert "invalid partition specified: gpu" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_machine_without_slurm_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="there is no sbatch here; run this where"):
        Submitit(tmp_path, SlurmOptions())
