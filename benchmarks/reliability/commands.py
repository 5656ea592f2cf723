"""Whole commands on files of which one is spoilt: how they end.

    python benchmarks/reliability/commands.py --count 2000            # nightly
    python benchmarks/reliability/commands.py --count 300 --only manifests traces

Every group of commands gets `--count` cases. A command must end with a documented exit code (0, 2,
3, 4, 130) within 20 seconds of wall time and 8 GiB, without a traceback, in lines of bounded length
that hold nothing that acts on a terminal; bad input names a place and a fix. What does not is
printed, and makes the exit code 1. All is drawn from `--seed` and the number of the case.
"""

import argparse
import resource
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
MEMORY = 8 << 30
"""Bytes of address space."""


def main() -> int:
    from command_mutations import GROUPS, campaign
    from mutation_outcomes import WRONG

    names = [each.__name__.strip("_") for each in GROUPS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    given = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")

    def seen(subject: str, mutation: Any, judged: tuple[str, str]) -> None:
        if judged[0] == WRONG:
            print(f"WRONG {subject}: {mutation}: {judged[1]}"[:600], flush=True)

    wrong = 0
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            numbers = range(given.first, given.first + given.count)
            tally = campaign(Path(folder), numbers, given.seed, seen, (name,))
        print(name, tally.by_outcome(), flush=True)
        wrong += len(tally.wrong)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
