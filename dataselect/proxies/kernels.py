"""Which kernels train a proxy: torch's operations, or the fused step that numba compiles.

The two sum in another order, and training amplifies that (docs/training.md), so the choice is part
of the recipe. It depends on the plan, on the shape and on whether numba is installed; no torch
import, as for the rest of a recipe.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from dataselect.errors import InputError
from dataselect.proxies.ladder import Shape

Kernels = Literal["torch", "fused"]

FUSED_VERSION = 2
"""Part of the key of a proxy that the fused step trains; increase it when that would give other
weights."""

INSTALL = "pip install 'dataselect[fast]'"
# Rows of matrices are multiples of AVX-512's registers, heads of half of one.
_WIDTH, _HEAD = 16, 8
# Wider models spend their time in products that are large enough for a BLAS library.
_WIDEST = 256
# Seconds; compiling takes ten of a free core.
_PATIENCE = 120.0


def choose_kernels(
    wanted: Literal["auto", "torch", "fused"], shape: Shape, precision: str, device: str, where: str
) -> Kernels:
    """What the plan says, or fused kernels where they can be and pay.

    Raises InputError, naming `where`, where the plan wants fused ones that cannot be.
    """
    if wanted == "torch":
        return "torch"
    reason = _why_not(shape, precision, device)
    if wanted == "fused" and reason is not None:
        raise InputError(where, f"{reason[0]}, so 'kernels: fused' cannot train it", reason[1])
    if reason is not None or (wanted == "auto" and shape.hidden_size > _WIDEST):
        return "torch"
    return "fused"


def numba_error() -> ImportError | None:
    """Why numba cannot be loaded: it is missing, or broken, as beside a NumPy too new for it."""
    try:
        import numba  # noqa: F401
    except ImportError as error:
        return error
    return None


def require_numba() -> None:
    """Raise InputError where numba, which the recipe was made with, is missing or broken."""
    error = numba_error()
    if error is not None:
        raise InputError(
            "kernels: fused",
            f"the fused step of this proxy needs numba, which cannot be loaded here ({error})",
            f"{INSTALL} wherever proxies are trained, or write 'kernels: torch' for the proxy",
        ) from error


@contextmanager
def compiling_alone() -> Iterator[None]:
    """Let one process of this machine at a time make the fused step ready.

    The jobs of a first run begin together, and each would compile the same; so the others wait, and
    load what the first one keeps. None waits for longer than `_PATIENCE`, or where a file system
    knows no locks.
    """
    folder = os.open(Path(__file__).parent / "fused", os.O_RDONLY)
    try:
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            try:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.1)
            except OSError:
                break
            else:
                break
        yield
    finally:
        os.close(folder)  # which ends the lock


def _why_not(shape: Shape, precision: str, device: str) -> tuple[str, str] | None:
    """Why fused kernels cannot train such a proxy, and what to do."""
    if device != "cpu":
        return f"the device is {device}", "write 'kernels: auto'"
    if precision != "fp32":
        return f"the precision is {precision}", "write 'precision: fp32'"
    size = shape.hidden_size // shape.heads
    widths = (shape.hidden_size, shape.intermediate_size, size * shape.kv_heads)
    if any(width % _WIDTH for width in widths) or size % _HEAD:
        return (
            f"its widths ({', '.join(map(str, widths))}) are no multiples of {_WIDTH} or its heads"
            f" ({size}) none of {_HEAD}",
            "choose such widths, or write 'kernels: auto'",
        )
    if find_spec("numba") is None:
        return "numba is not installed", INSTALL
    return None
