"""torch, threads and GPUs: what there is, and whether torch can use it."""

import csv
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dataselect.checkup.finding import Finding
from dataselect.compute.cores import available_cores

_BLAS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_BUSY = 0.5
"""A GPU of which others hold more than this share of the memory is noted."""
_QUERY = "index,name,driver_version,memory.total,memory.used"
_CUDA_BUILD = "install the build of torch for the driver's CUDA version, as pytorch.org names it"


def examine_torch(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """The build of torch and its threads, from what `look_at_torch` found."""
    part = "environment"
    if "problem" in facts:
        fix = "install torch again in this environment"
        yield Finding(part, "torch", "problem", facts["problem"], fix)
    else:
        cuda, rocm = facts["cuda"], facts["rocm"]
        build = f"CUDA {cuda}" if cuda else f"ROCm {rocm}" if rocm else "for CPUs"
        yield Finding(part, "torch", "ok", f"{facts['version']}, build {build}")
    cores = available_cores()
    threads = facts.get("threads", 1)
    text = f"{cores} for this process; threads of torch outside of jobs: {threads}"
    if threads > cores:
        fix = f"set OMP_NUM_THREADS={cores}"
        yield Finding(part, "CPU cores", "note", f"{text}, more than there are cores", fix)
    else:
        yield Finding(part, "CPU cores", "ok", text)
    chosen = {name: os.environ[name] for name in _BLAS if os.environ.get(name)}
    text = ", ".join(f"{name}={value}" for name, value in chosen.items()) or "not set"
    wide = [value for value in chosen.values() if not value.isdigit() or int(value) > cores]
    if wide:
        fix = "unset it, or write 1: matrices of NumPy are small here"
        yield Finding(part, "BLAS threads", "note", text, fix)
    else:
        yield Finding(part, "BLAS threads", "ok", text)


def examine_gpus(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """The GPUs of the driver, and whether torch sees and computes on each."""
    driver, problem = _driver()
    seen = facts.get("gpus", [])
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if problem:
        fix = "mend the driver, or restart the machine where it was updated"
        yield Finding("GPUs", "driver", "problem", problem, fix)
    elif not driver and not seen:
        if facts.get("cuda") and facts.get("error"):
            text = f"none is seen, and torch's CUDA does not start ({facts['error']})"
            fix = "check the driver, or read on if this machine has no GPU"
            yield Finding("GPUs", "driver", "note", text, fix)
        else:
            yield Finding("GPUs", "driver", "ok", "no GPU here: models run on the CPU")
    elif driver:
        text = f"NVIDIA {driver[0]['driver_version']}, {_gpus(len(driver))}"
        yield Finding("GPUs", "driver", "ok", text)
    for each in driver:
        total, used = float(each["memory.total"]), float(each["memory.used"])
        text = f"{each['name']}, {total / 1024:.0f} GiB, {used / 1024:.0f} GiB of them in use"
        if total and used / total > _BUSY:
            fix = "choose a free one by CUDA_VISIBLE_DEVICES, or end what holds it"
            yield Finding("GPUs", f"GPU {each['index']}", "note", text, fix)
        else:
            yield Finding("GPUs", f"GPU {each['index']}", "ok", text)
    if driver and hidden in ("", "-1"):
        text = f"CUDA_VISIBLE_DEVICES={hidden!r} hides all GPUs"
        yield Finding("GPUs", "torch", "note", text, "unset it, or name GPUs in it")
    elif driver and not seen:
        yield _unseen(facts)
    elif seen:
        yield from _computing(seen)


def _unseen(facts: Mapping[str, Any]) -> Finding:
    if "problem" in facts:
        return Finding("GPUs", "torch", "problem", "it does not work", "install torch again")
    if not facts.get("cuda") and not facts.get("rocm"):
        text = f"torch {facts['version']} is a build for CPUs and sees no GPU"
        return Finding("GPUs", "torch", "problem", text, _CUDA_BUILD)
    why = f" ({facts['error']})" if facts.get("error") else ""
    text = f"torch with CUDA {facts['cuda']} sees no GPU{why}"
    fix = f"update the driver, or {_CUDA_BUILD}"
    return Finding("GPUs", "torch", "problem", text, fix)


def _computing(seen: list[Mapping[str, Any]]) -> Iterator[Finding]:
    broken = [each for each in seen if each.get("error")]
    for each in broken:
        text = f"GPU {each['number']} does not compute ({each['error']})"
        fix = f"leave it out by CUDA_VISIBLE_DEVICES, or {_CUDA_BUILD}"
        yield Finding("GPUs", "torch", "problem", text, fix)
    if not broken:
        names = ", ".join(dict.fromkeys(f"{e['name']} ({e['capability']})" for e in seen))
        text = f"sees {_gpus(len(seen))} and computes on all: {names}"
        yield Finding("GPUs", "torch", "ok", text)


def _gpus(count: int) -> str:
    return f"{count} GPU" if count == 1 else f"{count} GPUs"


def _driver() -> tuple[list[dict[str, str]], str]:
    """A row for each GPU of the driver, and what is wrong with the driver."""
    command = shutil.which("nvidia-smi")
    present = any(Path("/proc/driver/nvidia/gpus").glob("*"))
    if command is None:
        return [], ""  # then torch says what it sees
    try:
        ran = subprocess.run(  # noqa: S603 (the driver's own program)
            [command, f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], f"nvidia-smi gives no answer ({type(error).__name__})"
    names = _QUERY.split(",")
    rows = [
        dict(zip(names, [cell.strip() for cell in row], strict=True))
        for row in csv.reader(ran.stdout.splitlines())
        if len(row) == len(names) and row[0].strip().isdigit()
    ]
    for row in rows:
        for name in ("memory.total", "memory.used"):  # "[N/A]" on some machines
            row[name] = row[name] if row[name].replace(".", "", 1).isdigit() else "0"
    if ran.returncode and present:
        said = (ran.stdout or ran.stderr).strip().splitlines()
        return [], f"nvidia-smi fails: {said[0] if said else f'it ends with {ran.returncode}'}"
    return rows, ""
