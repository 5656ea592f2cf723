"""Whole commands on files of which one is spoilt: how they end.

    python benchmarks/reliability/commands.py --count 2000            # nightly
    python benchmarks/reliability/commands.py --count 300 --only manifest traces

Every kind of file gets `--count` cases, spread over the commands that read it. A command must end
with a documented exit code (0, 2, 3, 4, 130) within 20 seconds of wall time and a GiB of memory
more than on whole files, without a traceback, in lines of bounded length that hold nothing that
acts on a terminal; bad input names a place and a fix. What does not is printed, and makes the exit
code 1. All is drawn from `--seed` and the number of the case.

Counts by kind are written to commands.json beside this script, or to `--out`. Kinds that are not
run now are kept, and with `--first` at the end of what is there, cases are added to it. Each case
is a fork of one process, whose memory and CPU seconds are measured.
"""

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
# Names that a spoilt file has are asked for nowhere, and forks have no threads.
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}

from case_forks import apart, preload  # noqa: E402
from command_mutations import Ended, campaign, require_whole, run, within_memory  # noqa: E402
from command_worlds import KINDS, Command, commands  # noqa: E402
from mutation_outcomes import SECONDS, Tally  # noqa: E402

from dataselect import compute  # noqa: E402
from dataselect.compute import InlineCompute  # noqa: E402
from dataselect.stages import engine  # noqa: E402


class Measured:
    """Cases of a kind as forks, and what they took."""

    def __init__(self, usual: dict[str, int], kind: str, show: bool) -> None:
        self._usual, self._kind, self._show = usual, kind, show
        self.codes: Counter[str] = Counter()
        self.most, self.seconds = 0, 0.0

    def run(self, command: Command) -> Ended:
        """Run a command, its memory bounded."""
        usual = self._usual[command.name]
        ended = within_memory(forked(command), usual)
        self.codes[str(ended.code)] += 1
        self.most = max(self.most, ended.peak - usual)
        self.seconds += ended.seconds
        return ended

    def seen(self, subject: str, mutation: Any, ended: Ended) -> None:
        """Print what is wrong."""
        if ended.problem:
            line = f"WRONG {self._kind} {subject}: {mutation}: {ended.problem}"
            print(line[:700], flush=True)
        elif self._show:
            print(f"{ended.code} {subject}: {mutation}: {ended.text[-300:]!r}", flush=True)

    def result(self, seed: int, tally: Tally, before: dict[str, Any]) -> dict[str, Any]:
        """The counts, with those of the cases before these."""
        codes = self.codes + Counter(before.get("exit_codes", {}))
        most = round(self.most / 2**20)
        return {
            "date": datetime.now(UTC).date().isoformat(),
            "seed": seed,
            "cases": tally.total + before.get("cases", 0),
            "exit_codes": dict(sorted(codes.items())),
            "most_mib_beyond_whole_files": max(most, before.get("most_mib_beyond_whole_files", 0)),
            "cpu_seconds": round(self.seconds) + before.get("cpu_seconds", 0),
            "wrong": [*before.get("wrong", []), *tally.wrong],
        }


def forked(command: Command) -> Ended:
    """How a command ends in a fork of this process."""
    done = apart(partial(run, command), SECONDS)
    if done.problem:
        return Ended(-1, done.printed, done.problem, done.seconds, done.peak)
    ended: Ended = done.value
    problem = ended.problem
    if not problem and done.printed.strip():
        problem = f"printed past Python: {done.printed[:200]!r}"
    return Ended(ended.code, ended.text, problem, done.seconds, done.peak)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=KINDS, choices=KINDS, metavar="KIND")
    parser.add_argument("--show", action="store_true", help="print how each case ended")
    parser.add_argument("--out", type=Path, default=HERE / "commands.json")
    given = parser.parse_args()
    # A process of a job would import torch again, for seconds.
    for module in (engine, compute):
        module.default_compute = lambda *_, **__: InlineCompute()
    results: dict[str, Any] = json.loads(given.out.read_bytes()) if given.out.exists() else {}
    with tempfile.TemporaryDirectory() as folder:

        def made() -> list[Command]:
            chosen = commands(Path(folder))
            require_whole(chosen)  # imports what they import
            return chosen

        chosen: list[Command] = preload(made).value
        whole = require_whole(chosen, forked)
        usual = {c.name: each.peak for c, each in zip(chosen, whole, strict=True)}
        numbers = range(given.first, given.first + given.count)
        for kind in given.only:
            measured = Measured(usual, kind, given.show)
            tally = campaign(chosen, kind, numbers, given.seed, measured.run, measured.seen)
            before = results.get(kind, {})
            if (before.get("seed"), before.get("cases")) != (given.seed, given.first):
                before = {}
            results[kind] = measured.result(given.seed, tally, before)
            print(kind, {k: v for k, v in results[kind].items() if k != "wrong"}, flush=True)
            given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return int(any(results[kind]["wrong"] for kind in given.only))


if __name__ == "__main__":
    sys.exit(main())
