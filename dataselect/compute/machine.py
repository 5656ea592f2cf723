"""What the rounding of a computation depends on besides its inputs: a record for artifacts.

Two kinds of processors sum in another order. Training amplifies that: after some hundred steps the
scores differ by up to half of what they do with another seed (benchmarks/machines). A record says
which kernels computed an artifact. It is no part of a key: a store must be found again on another
machine, and no kind is more right than another. Reports compare the records and say where kinds
are mixed.

Not covered: number types, which are in the keys, and changes of a library within its version.
"""

import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"
"""Value of what an older version did not record."""
NO_TORCH = "none"
"""torch's version where compiled functions computed without it."""

_SETTINGS = (
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "CUBLAS_WORKSPACE_CONFIG",
    "NVIDIA_TF32_OVERRIDE",
)
"""Environment variables that choose the kernels of numeric libraries."""


@dataclass(frozen=True)
class Machine:
    """What computed something: where two of these are equal, equal inputs give equal bits."""

    device: str
    """"cpu" or "cuda"."""
    architecture: str
    """Of the processor, such as "x86_64"."""
    processor: str
    """Make of the processor that MKL sees, such as "AuthenticAMD AVX512", or "any" where it is told
    to compute alike on all; another CPU's or a GPU's name."""
    instructions: str
    """Instruction set that torch computes with, such as "AVX2" (`ATEN_CPU_CAPABILITY`); a GPU's
    compute capability, such as "9.0"."""
    libraries: str
    """Where matrix products come from: the BLAS of a CPU, CUDA's version of a GPU."""
    torch: str
    """torch's version with its build, such as "2.13.0+cpu", or `NO_TORCH`."""
    settings: str
    """Settings of torch and the environment that choose other kernels; empty without any."""
    grouping: str = "alone"
    """How models shared the work: "alone", "population of 4", "2 processes, ddp"."""

    def record(self) -> dict[str, str]:
        """As JSON, for an artifact."""
        return asdict(self)

    @classmethod
    def read(cls, record: Mapping[str, Any] | None) -> "Machine":
        """A record that `record` gave; what it lacks, or all without one, is unknown."""
        known = record or {}
        return cls(**{field.name: str(known.get(field.name, UNKNOWN)) for field in fields(cls)})


def this_machine(device: str) -> Machine:
    """What this process computes with on `device`. Imports torch."""
    import torch

    try:
        precision = torch.get_float32_matmul_precision()
    except RuntimeError:
        # torch does not answer where a program sets it by backend.
        precision = "set by backend"
    settings = [f"{name}={os.environ[name]}" for name in _SETTINGS if os.environ.get(name)]
    if precision != "highest":
        settings.append(f"float32 matmul precision {precision}")
    if torch.are_deterministic_algorithms_enabled():
        settings.append("deterministic algorithms")
    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        if torch.backends.cudnn.allow_tf32:
            settings.append("TF32 in cuDNN")
        if torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction:
            settings.append("bf16 sums in reduced precision")
        processor, instructions = torch.cuda.get_device_name(device), f"{major}.{minor}"
        libraries = f"CUDA {torch.version.cuda}"
    else:
        instructions = torch.backends.cpu.get_cpu_capability()
        if torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
            processor, libraries = "any" if _compatible() else _seen_by_mkl(), "MKL"
        else:
            # How another BLAS chooses its kernels is not known here, so its choice is taken to
            # differ between any two models of processors.
            processor, libraries = processor_name(), "no MKL"
    return Machine(
        device="cuda" if device.startswith("cuda") else "cpu",
        architecture=platform.machine(),
        processor=processor,
        instructions=instructions,
        libraries=libraries,
        torch=str(torch.__version__),
        settings=", ".join(settings),
    )


def compiled_machine(compiler: str, instructions: str) -> Machine:
    """What this process computes with on its CPU by functions that `compiler`, such as "numba
    0.62.1", made of an instruction set. Imports no torch."""
    return Machine(
        device="cpu",
        architecture=platform.machine(),
        processor=_seen_by_mkl(),
        instructions=instructions,
        libraries=f"compiled by {compiler}",
        torch=NO_TORCH,
        settings="",
    )


def processor_name() -> str:
    """The name of this machine's CPU."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _compatible() -> bool:
    """Whether MKL, and oneDNN for products in bf16, are told not to choose by the processor."""
    branch = os.environ.get("MKL_CBWR", "").partition(",")[0]
    return branch == "COMPATIBLE" and bool(os.environ.get("ONEDNN_MAX_CPU_ISA"))


def _seen_by_mkl() -> str:
    """Vendor and widest instruction set, by which MKL chooses kernels, whatever torch's own are."""
    known = _cpuinfo()
    flags = set(known.get("flags", "").split())
    widest = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "")
    vendor = known.get("vendor_id") or platform.processor() or platform.machine()
    return f"{vendor} {widest.removesuffix('f').upper()}".strip()


def _cpuinfo() -> dict[str, str]:
    """Facts of the first processor, by the names that Linux gives them; empty elsewhere."""
    known: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return known
    for line in text.splitlines():
        name, _, value = line.partition(":")
        known.setdefault(name.strip(), value.strip())
    return known
