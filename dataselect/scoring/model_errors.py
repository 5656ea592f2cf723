"""What a model's own code raises, told in one line as a fault of the model.

A configuration may hold values that fail while transformers builds the model, or only on long texts
(a window below 0). For the user it is the model that cannot be used. Nothing here imports torch.
"""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import shorten

from dataselect.errors import DataselectError, InputError


@contextmanager
def in_one_line(where: str | Path, problem: str, fix: str) -> Iterator[None]:
    """Raise any error inside as an InputError: the problem, the error's kind and text, the fix."""
    try:
        yield
    except (DataselectError, MemoryError):
        raise
    except Exception as error:
        # Some say what is wrong in their second line, and some ("'x'") hardly at all.
        reason = shorten(f"{type(error).__name__}: {error}", 240, placeholder=" …")
        raise InputError(where, f"{problem} ({reason})", fix) from error


@contextmanager
def running(name: str) -> Iterator[None]:
    """Raise as an InputError what is raised while a model of transformers runs, and that alone.

    A lack of memory is no fault of the model, and an error of this package's own stays what it is.
    """
    try:
        yield
    except Exception as error:
        if not _in_model_code(error) or type(error).__name__ == "OutOfMemoryError":
            raise
        fix = "check its config.json, or get the checkpoint again"
        with in_one_line(name, "the model cannot be run", fix):
            raise


def _in_model_code(error: BaseException) -> bool:
    """Whether it was raised by transformers: a model, its masks, or what it keeps of a text."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(
        str(frame.f_globals.get("__name__", "")).startswith("transformers.") for frame, _ in frames
    )
