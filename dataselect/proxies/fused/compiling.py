"""How the fused step is compiled: by numba, when it is first used, for the processor at hand.

What is compiled is kept on disk, beside the source or else in the user's cache, so it is compiled
once on a machine. Nothing but numba's wheels is needed: no compiler.
"""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numba
import numpy as np
from llvmlite import binding
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

P = ParamSpec("P")
R = TypeVar("R")
Array = NDArray[np.float32]
"""An argument of compiled functions: float32, in C order."""


def _lanes() -> int:
    """As torch chooses its own instructions, so that one variable holds for both; without torch,
    which takes longer to import than many a scoring."""
    has = binding.get_host_cpu_features()
    asked = os.environ.get("ATEN_CPU_CAPABILITY")
    wide = ("avx2", "fma")
    wider = (*wide, "avx512f", "avx512bw", "avx512dq", "avx512vl")
    if asked not in ("default", "avx2") and all(has.get(name) for name in wider):
        return 16
    return 8 if asked != "default" and all(has.get(name) for name in wide) else 4


LANES = _lanes()
"""Numbers in a register that compiled functions use: of AVX-512, AVX2, else NEON or SSE."""
INSTRUCTIONS = {16: "AVX512", 8: "AVX2", 4: "DEFAULT"}[LANES]
"""Their set, as torch names it."""

# Products may be fused into sums. All else is computed as it is written, so that bits do not depend
# on how LLVM arranges it, and NaN stays NaN.
_FLAGS = {"contract"}
_OPTIONS: dict[str, Any] = {"fastmath": _FLAGS, "error_model": "numpy"}
_WITHIN = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inner(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that only compiled ones call."""
    return cast(Callable[P, R], numba.njit(nogil=True, **_WITHIN, **_OPTIONS)(function))


def outer(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function that Python calls, and keep it on disk."""
    return cast(Callable[P, R], _kept(partial(numba.njit, nogil=True), function))


def written(function: Callable[Concatenate[Any, P], R]) -> Callable[P, R]:
    """Make a function for compiled ones of its types and of what writes it in LLVM's language."""
    return cast(Callable[P, R], intrinsic(function))


def external(*arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """Compile a function of these types once, for compiled functions to call by its address.

    numba would else compile it again with each of its callers.
    """
    signature = types.void(*arguments)

    def make(function: Callable[..., None]) -> Any:
        made = _kept(partial(numba.cfunc, signature), function)
        symbol = f"dataselect_{function.__name__}_{_SOURCES}"
        binding.add_symbol(symbol, made.address)
        _EXTERNAL.append(made)
        return types.ExternalFunction(symbol, signature)

    return make


_EXTERNAL: list[Any] = []
"""Functions that must live as long as their addresses are known."""


def _hash() -> str:
    text = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    return hashlib.sha256(text + bytes([LANES])).hexdigest()[:12]


_SOURCES = _hash()


def _kept(compiler: Any, function: Callable[..., Any]) -> Any:
    # numba looks for changes in a function's own file, not in those of what it calls, but has the
    # function's name in that of the file it keeps.
    function.__qualname__ = f"{function.__qualname__}_{_SOURCES}"
    try:
        return compiler(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # there is no folder to keep it in
        return compiler(**_OPTIONS)(function)
