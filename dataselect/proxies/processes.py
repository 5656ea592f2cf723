"""Several processes for one proxy: the side that starts them, and what it tells them.

torchrun (`torch.distributed.run`) starts the processes and ends them all when one fails; what each
does is in `distributed`. Here is the description that they read, what came of it, and why it did
not. They end with the process that called, however that ends: each watches the pipe that it holds
open.
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
from dataselect.errors import IncompleteError, InputError
from dataselect.proxies.ladder import Shape
from dataselect.proxies.layout import Layout
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Progress, Training

ENDS_WITH_STDIN = "--ends-with-stdin"
"""Tells a process that its parent holds its standard input open for as long as it lives."""
RESULT = "result.json"
_TAIL_LINES = 300
_EXIT_CODE = re.compile(r"exitcode\s*:\s*(-?\d+)")
_ERROR = re.compile(r"[\w.]*(Error|Exception): \S")


@dataclass(frozen=True)
class Spec:
    """All that a process needs to take part, as a JSON file; relative paths are to its folder."""

    recipe: Recipe
    tokenizer: Path
    parts: tuple[Part, ...]
    """Token streams as `corpus.shards` writes them, with the tokens asked of each."""
    folder: Path
    """Where states, checkpoints and `RESULT` go; all machines see the same."""
    device: str
    layout: Layout
    save_seconds: float = 15.0

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, default=str), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote. Raises InputError for a file that is not that."""
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
    """Train with `spec.layout.processes` processes of this machine, by torchrun.

    They end when this process does. Raises IncompleteError with the reason when one of them fails.
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
            # Nothing is left of it after its output has ended; else it is to end now.
            assert process.stdin is not None, "it is a pipe"
            process.stdin.close()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
    result = spec.folder / RESULT
    if process.returncode or not result.exists():
        # For the log of the job.
        sys.stdout.write("\n".join([*tail, ""]))
        reason = _reason(spec.folder, tail)
        raise IncompleteError(f"training with {spec.layout.processes} processes: {reason}")
    known = json.loads(result.read_bytes())
    known["losses"] = [(step, loss) for step, loss in known["losses"]]
    return Training(**known)


def _reason(folder: Path, tail: deque[str]) -> str:
    """Why a run of several processes ended, in one line."""
    codes = [int(code) for code in _EXIT_CODE.findall("\n".join(tail))]
    # Whoever is left fails too, on a lost connection, and torchrun ends the rest by SIGTERM.
    killed = [-code for code in codes if code < 0 and -code != signal.SIGTERM]
    if killed:
        name = signal.Signals(killed[0]).name
        hint = ", often a sign of too little memory" if name == "SIGKILL" else ""
        return f"a process was killed by {name}{hint}"
    failures = [json.loads(path.read_bytes()) for path in folder.glob("failure-*.json")]
    if failures:
        return str(min(failures, key=lambda each: each["time"])["error"])
    # One that ends before it can say why leaves a traceback, above torchrun's own report.
    errors = [line for line in tail if _ERROR.match(line) and "ChildFailedError" not in line]
    return errors[-1] if errors else "they ended without a word"
