"""`kill -9` at random moments in whole commands, and the same command again.

    python benchmarks/reliability/kills.py --trials 20
    python benchmarks/reliability/kills.py --only score --trials 5 --seed 1

For each command and phase (`killed_commands.py`) so many trials: the command runs in a new folder
and is killed at a random moment of the phase; then the same command runs to its end. It must end
well, and its final files must have the bytes of an undisturbed run's. Killed is the command alone,
or all its processes, or a process of its jobs, by chance. Where the process of a job is killed the
command itself must go on to its end. With `--signals` the command gets SIGTERM, SIGHUP or SIGINT
(once or twice) in place of a kill, and must end with exit code 130 and the line that resumes it.

Commands are forked from this process, which has imported their libraries, and so are the
processes of jobs: a trial takes seconds. All is drawn from `--seed`. The results are written after
each trial, so that it can be stopped; `--out` that exists is added to. The exit code is 1 where
something differs.
"""

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support"), str(HERE)]
ATTEMPTS = 10
"""Times that a moment is drawn until the command has not ended before it."""


def main() -> int:
    from forked_commands import Running, Server, preload
    from killed_commands import COMMANDS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="of each command and phase")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[each.name for each in COMMANDS])
    parser.add_argument("--signals", action="store_true", help="signals that can be handled")
    parser.add_argument("--out", type=Path, help="file of results [kills.json, signals.json]")
    parser.add_argument("--phases", nargs="*", help="of the commands, if not all")
    parser.add_argument("--keep", type=Path, help="folder for the files of failed trials")
    given = parser.parse_args()
    out = given.out or HERE / ("signals.json" if given.signals else "kills.json")
    campaign = _Campaign(out, given.seed, given.keep, given.signals)
    base = Path(tempfile.mkdtemp())
    try:
        for command in COMMANDS:
            if command.name not in given.only:
                continue
            with Server(command.served) as url:
                inputs = base / command.name / "inputs"
                inputs.mkdir(parents=True)
                prepared = Running.call(lambda c=command, i=inputs: c.prepare(i))
                if prepared != 0:
                    raise RuntimeError(f"{command.name}: its inputs cannot be written")
                preload(command, inputs, url)
                campaign.run(command, base / command.name, url, given.trials, given.phases)
    finally:
        shutil.rmtree(base)
    return int(campaign.failures > 0)


class _Campaign:
    """Trials, and the file of their results."""

    def __init__(self, out: Path, seed: int, keep: Path | None, signals: bool) -> None:
        self.out, self.seed, self.keep, self.signals = out, seed, keep, signals
        self.failures = 0
        words = "python benchmarks/reliability/kills.py" + (" --signals" if signals else "")
        self.results: dict[str, Any] = {"command": words}
        if out.exists():
            self.results = json.loads(out.read_text(encoding="utf-8"))

    def run(
        self, command: Any, base: Path, url: str, trials: int, phases: list[str] | None
    ) -> None:
        """All trials of a command."""
        from forked_commands import Running

        undisturbed = base / "undisturbed"
        shutil.copytree(base / "inputs", undisturbed)
        first = Running(command, undisturbed, url)
        if first.wait() != 0:
            raise RuntimeError(f"{command.name}: {first.output()[-2000:]}")
        expected, begins = command.final(undisturbed), first.phase_times()
        ends = [*begins[1:], first.seconds]
        for number, phase in enumerate(command.phases):
            if phases is not None and phase not in phases:
                continue
            length = ends[number] - begins[number]
            done = self._row(command, phase)
            for trial in range(done["trials"], trials):
                dice = random.Random(f"{self.seed} {command.name} {phase} {trial}")
                folder = base / "trial"
                target, problem = self._trial(
                    command, base / "inputs", folder, url, number, length, dice, expected
                )
                done["trials"] += 1
                done["killed"] = dict(Counter(done["killed"]) + Counter([target]))
                done["failures"] += [] if problem is None else [f"trial {trial}: {problem}"]
                done["phase_seconds"] = round(length, 2)
                cpu = sum(os.times()[:4])
                words = (command.name, phase, trial, target, problem or "equal", f"{cpu:.0f} s CPU")
                print(*words, flush=True)
                if problem is not None:
                    self.failures += 1
                    if self.keep is not None:
                        name = f"{command.name} {phase} {trial}".replace(" ", "-")
                        shutil.copytree(folder, self.keep / name, dirs_exist_ok=True)
                shutil.rmtree(folder)
                self._write()
            if done["failures"]:
                self.failures += len(done["failures"])

    def _trial(
        self,
        command: Any,
        inputs: Path,
        folder: Path,
        url: str,
        phase: int,
        length: float,
        dice: random.Random,
        expected: dict[str, bytes],
    ) -> tuple[str, str | None]:
        """Who was killed, and what was wrong after that; None for nothing."""
        from forked_commands import Running

        for _ in range(ATTEMPTS):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(inputs, folder)
            running = Running(command, folder, url)
            stop = running.end if self.signals else running.kill
            target = stop(phase, dice.random() * length, dice.random())
            if target is not None:
                break
        else:
            return "nothing", "it always ended before the kill"
        if target == "a job's process":
            code = running.wait()
            if code != 0:
                return target, f"the command itself ended with {code}: {running.output()[-800:]}"
        else:
            code = running.wait()
            if self.signals and code != 0 and (wrong := unlike_ended(command, running, code)):
                return target, wrong
            again = Running(command, folder, url)
            code = again.wait()
            if code != 0:
                return target, f"again: exit code {code}: {again.output()[-800:]}"
        return target, difference(expected, command.final(folder))

    def _row(self, command: Any, phase: str) -> dict[str, Any]:
        rows: list[dict[str, Any]] = self.results.setdefault("phases", [])
        for row in rows:
            if (row["command"], row["phase"]) == (command.name, phase):
                return row
        rows.append({"command": command.name, "phase": phase, "trials": 0, "killed": {}})
        rows[-1]["failures"] = []
        return rows[-1]

    def _write(self) -> None:
        temporary = self.out.with_suffix(".new")
        temporary.write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        temporary.replace(self.out)


def unlike_ended(command: Any, running: Any, code: int) -> str | None:
    """What is not as documented in the end of a command by a signal."""
    last = (running.output().strip().splitlines() or [""])[-1]
    if code == 130 and last.startswith("interrupted; to go on: dataselect " + command.words[0]):
        return None
    return f"exit code {code}: {running.output()[-800:]}"


def difference(expected: dict[str, bytes], found: dict[str, bytes]) -> str | None:
    """How files differ; None if they do not."""
    if set(expected) != set(found):
        return f"files: {sorted(set(expected) ^ set(found))}"
    for name, data in expected.items():
        if found[name] != data:
            at = next(
                (i for i, (a, b) in enumerate(zip(data, found[name], strict=False)) if a != b), 0
            )
            near = slice(max(0, at - 60), at + 60)
            return f"{name} at byte {at}: {data[near]!r} is {found[name][near]!r}"
    return None


if __name__ == "__main__":
    began = time.monotonic()
    code = main()
    print(f"{time.monotonic() - began:.0f} s, {sum(os.times()[:4]):.0f} s of CPU")
    sys.exit(code)
