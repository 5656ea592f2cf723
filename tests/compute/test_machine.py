"""The record of what computed an artifact: read back, and another where kernels are others."""

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import dataselect
from dataselect.compute.machine import UNKNOWN, Machine, processor_name, this_machine

ROOT = Path(dataselect.__file__).parents[1]
SCRIPT = "from dataselect.compute.machine import this_machine; print(this_machine('cpu').record())"


def elsewhere(**environment: str) -> Machine:
    """The machine as a process with these variables sees it."""
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    record = eval(shown, {"__builtins__": {}})
    return Machine.read(record)


def test_a_record_is_read_back_and_what_it_lacks_is_unknown() -> None:
    machine = this_machine("cpu")
    assert Machine.read(machine.record()) == machine
    assert Machine.read({**machine.record(), "of a later version": "x"}) == machine
    older = Machine.read({"torch": "2.6.0"})
    assert older.torch == "2.6.0"
    assert {getattr(older, f.name) for f in fields(Machine) if f.name != "torch"} == {UNKNOWN}
    assert Machine.read(None) == Machine.read({})


def test_this_process_is_described() -> None:
    machine = this_machine("cpu")
    assert machine.device == "cpu"
    assert machine.torch == torch.__version__
    assert machine.instructions == torch.backends.cpu.get_cpu_capability()
    assert machine.grouping == "alone"
    assert all([machine.architecture, machine.processor, machine.libraries, processor_name()])


def test_what_chooses_other_kernels_makes_another_machine() -> None:
    same = elsewhere()
    other = elsewhere(ATEN_CPU_CAPABILITY="default", MKL_CBWR="COMPATIBLE")
    assert other.instructions in ("DEFAULT", "NO AVX")
    assert other.settings == "MKL_CBWR=COMPATIBLE"
    assert replace(other, instructions=same.instructions, settings=same.settings) == same


def test_the_make_of_a_processor_that_chooses_no_kernels_is_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    told = this_machine("cpu").processor
    assert told != "any", "bf16 products come from oneDNN, which may still choose"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    has_mkl = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
    assert this_machine("cpu").processor == ("any" if has_mkl else told)


def test_another_precision_of_matmuls_is_in_the_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    assert "precision medium" in this_machine("cpu").settings


def test_precisions_set_by_backend_stop_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", refuse)
    assert "set by backend" in this_machine("cpu").settings


def test_of_a_gpu_name_capability_and_precisions_are_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # No GPU is at hand: what torch says of one.
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    machine = this_machine("cuda:1")
    assert (machine.device, machine.processor, machine.instructions) == (
        "cuda",
        "NVIDIA H200",
        "9.0",
    )
    assert machine.libraries == "CUDA 12.8"
    before = machine.settings
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert this_machine("cuda").settings != before
