"""Start several processes for one proxy: their input, their result, and the reason of a failure.

torchrun (`torch.distributed.run`) starts the processes and ends them all when one fails; their
program is `distributed`. They end with the calling process, however it ends: each watches a pipe
that the caller holds open.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from dataselect.corpus.packing import Part
from dataselect.errors import IncompleteError, InputError, PassingError
from dataselect.proxies.ladder import Shape
from dataselect.proxies.layout import Layout
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Progress, Training
from dataselect.store.sealed import read_own

ENDS_WITH_STDIN = "--ends-with-stdin"
"""Argument that makes a process exit when its standard input, held by its parent, is closed."""
RESULT = "result.json"
_TAIL_LINES = 300
_HINT = (
    ", often a sign of too little memory: if so, set 'shard: fsdp', or ask for more 'memory', in "
    "the plan's 'compute'"
)
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")
_ERROR = re.compile(r"[\w.]*(Error|Exception): \S")


@dataclass(frozen=True)
class Spec:
    """Input of a training process, as a JSON file; paths in it are relative to its folder."""

    recipe: Recipe
    tokenizer: Path
    parts: tuple[Part, ...]
    """Token streams as `corpus.shards` writes them, with the tokens to take from each."""
    folder: Path
    """For states, checkpoints and `RESULT`; shared by all machines."""
    device: str
    layout: Layout
    save_seconds: float = 15.0
    """Shortest time between two saved states."""

    def write(self, path: Path) -> None:
        """Write the spec as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, default=str), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that `write` wrote. Raises InputError for anything else."""
        try:
            given = json.loads(path.read_bytes())
            recipe = given.pop("recipe")
            shape = Shape(**recipe.pop("shape"))
            parts = [
                Part(str(path.parent / each["folder"]), each["tokens"])
                for each in given.pop("parts")
            ]
            return cls(
                recipe=Recipe(shape=shape, **recipe),
                tokenizer=path.parent / given.pop("tokenizer"),
                parts=tuple(parts),
                folder=path.parent / given.pop("folder"),
                layout=Layout(**given.pop("layout")),
                **given,
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                path,
                f"it is no description of a training run ({type(error).__name__}: {error})",
                "write it as docs/training.md shows",
            ) from error


def train_together(spec: Spec, progress: Progress) -> Training:
    """Train with `spec.layout.processes` processes on this machine, by torchrun.

    They end when this process does. Raises IncompleteError with the reason when one fails.
    """
    for old in [spec.folder / RESULT, *spec.folder.glob("failure-*.json")]:
        old.unlink(missing_ok=True)
    spec.write(spec.folder / "spec.json")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--max-restarts", "0"),
        *("--nproc-per-node", str(spec.layout.processes)),
        *("-m", "dataselect.proxies.distributed", str(spec.folder / "spec.json"), ENDS_WITH_STDIN),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    tail: deque[str] = deque(maxlen=_TAIL_LINES)
    with subprocess.Popen(  # noqa: S603 (this same interpreter)
        command,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            assert process.stdout is not None, "it is a pipe"
            for line in process.stdout:
                if line.startswith('{"progress":'):
                    progress(json.loads(line)["progress"])
                else:
                    tail.append(line.rstrip())
        finally:
            # After the end of its output it has exited; on an error here it must exit now.
            assert process.stdin is not None, "it is a pipe"
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
    result = spec.folder / RESULT
    known = None if process.returncode else read_own(result)
    if known is None:
        # For the log of the job.
        sys.stdout.write("\n".join([*tail, ""]))
        killed = _killed_by(tail)
        kind = IncompleteError if killed is None else PassingError
        reason = _reason(spec.folder, tail) if killed is None else killed
        raise kind(f"training with {spec.layout.processes} processes: {reason}")
    known["losses"] = [(step, loss) for step, loss in known["losses"]]
    return Training(**known)


def _killed_by(tail: deque[str]) -> str | None:
    """Which signal ended a process, in words; None if none did."""
    codes = [int(code) for code in _EXIT_CODE.findall("\n".join(tail))]
    # The others then fail on a lost connection, or torchrun ends them by SIGTERM.
    killed = [-code for code in codes if code < 0 and -code != signal.SIGTERM]
    if not killed:
        return None
    name = signal.Signals(killed[0]).name
    return f"a process was killed by {name}{_HINT if name == 'SIGKILL' else ''}"


def _reason(folder: Path, tail: deque[str]) -> str:
    """Why a run of several processes failed, none of which was killed, in one line."""
    failures = [json.loads(path.read_bytes()) for path in folder.glob("failure-*.json")]
    if failures:
        return str(min(failures, key=lambda each: each["time"])["error"])
    # A process that fails before `main` handles errors leaves a traceback above torchrun's report.
    errors = [line for line in tail if _ERROR.match(line) and "ChildFailedError" not in line]
    return errors[-1] if errors else "they ended without an error message"
