"""What the scripts of this folder that time whole processes share: clocks and spreads."""

import os
import resource
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def spread(values: Iterable[float]) -> dict[str, float]:
    """Least, median and greatest, to four digits."""
    found = list(values)
    return {
        "min": float(f"{min(found):.4g}"),
        "median": float(f"{statistics.median(found):.4g}"),
        "max": float(f"{max(found):.4g}"),
    }


def process_seconds(
    command: Sequence[str], folder: Path, extra: Mapping[str, str]
) -> tuple[float, float]:
    """Wall and CPU seconds of a command and its children, from its start to its end."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **extra},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return wall, cpu
