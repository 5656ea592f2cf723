"""Where jobs may run: this machine, a scheduler, or an engine that another package brings."""

import shutil
from collections.abc import Iterator
from importlib.metadata import entry_points

from dataselect.checkup.finding import Finding, State
from dataselect.checkup.packages import has_extra
from dataselect.compute.cores import available_cores
from dataselect.compute.engines import GROUP, LOCAL

_PART = "engines"


def examine_engines(wanted: str | None = None) -> Iterator[Finding]:
    """Each engine; what the engine `wanted` by a plan lacks is a problem, else nothing to mend."""
    yield Finding(_PART, LOCAL, "ok", f"processes on this machine, {available_cores()} cores")
    slurm = {
        "the extra slurm": has_extra("slurm"),
        "sbatch": shutil.which("sbatch") is not None,
        "squeue": shutil.which("squeue") is not None,
    }
    yield _engine("slurm", slurm, wanted, "on a login node: pip install 'dataselect[slurm]'")
    ray = {"the extra ray": has_extra("ray")}
    yield _engine("ray", ray, wanted, "pip install 'dataselect[ray]'")
    for each in entry_points(group=GROUP):
        try:
            each.load()
        except Exception as error:
            state: State = "problem" if each.name == wanted else "note"
            text = f"{each.value} cannot be loaded ({type(error).__name__}: {error})"
            yield Finding(_PART, each.name, state, text, "mend the installation of its package")
        else:
            yield Finding(_PART, each.name, "ok", each.value)


def _engine(name: str, parts: dict[str, bool], wanted: str | None, fix: str) -> Finding:
    lacking = [part for part, there in parts.items() if not there]
    if not lacking:
        return Finding(_PART, name, "ok", f"ready: {', '.join(parts)}")
    text = f"not here: {', '.join(lacking)}"
    if name == wanted:
        return Finding(_PART, name, "problem", f"{text}; the plan runs its jobs there", fix)
    return Finding(_PART, name, "ok", f"{text}; for --on {name}")
