"""Thousands of mutations of everything that dataselect reads, each judged.

    python benchmarks/reliability/mutations.py --checkpoints 6000 --tables 6000 --manifests 3000

Writes the counts by area, kind and outcome to mutations.json beside this script, or to `--out`; a
campaign with a count of 0 keeps what is there. A mutation is found (one line, exit code 2 or 3, or
said in the result), leaves every number as it was, or changes it where nothing in the files can
contradict it (README.md lists these cases); anything else is WRONG, is printed and makes the exit
code 1.
"""

import argparse
import json
import logging
import platform
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

MEMORY = 8 << 30
"""Bytes of address space: a mutated size that is believed runs into it."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoints", type=int, default=6000)
    parser.add_argument("--tables", type=int, default=6000)
    parser.add_argument("--manifests", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "mutations.json")
    given = parser.parse_args()

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    import mutation_campaigns
    import tokenizers
    import torch
    import transformers
    from mutation_outcomes import WRONG

    def seen(subject: str, mutation: Any, judged: tuple[str, str]) -> None:
        if judged[0] == WRONG:
            print(f"WRONG {subject}: {mutation}: {judged[1]}"[:400], flush=True)

    campaigns: dict[str, tuple[Callable[..., Any], int]] = {
        "checkpoints": (mutation_campaigns.checkpoints, given.checkpoints),
        "tables": (mutation_campaigns.tables, given.tables),
        "manifests": (mutation_campaigns.manifests, given.manifests),
    }
    results: dict[str, Any] = {"campaigns": {}}
    if given.out.exists():  # campaigns that are not run now are kept
        results = json.loads(given.out.read_bytes())
    versions = {each.__name__: each.__version__ for each in (torch, transformers, tokenizers)}
    for name, (run, count) in campaigns.items():
        if count == 0:
            continue
        clock = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            numbers = range(given.first, given.first + count)
            tally = run(Path(folder), numbers, given.seed, seen=seen)
        print(name, tally.by_outcome(), flush=True)
        results["campaigns"][name] = {
            "date": datetime.now(UTC).date().isoformat(),
            "versions": {"python": platform.python_version(), **versions},
            "seed": given.seed,
            "first": given.first,
            "outcomes": tally.by_outcome(),
            "cpu_seconds": round(time.process_time() - clock),
            "wrong": tally.wrong,
            "by_kind": tally.table(),
        }
    total: Counter[str] = Counter()
    for each in results["campaigns"].values():
        total.update(each["outcomes"])
    results["outcomes"] = dict(total)
    given.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return 1 if total[WRONG] else 0


if __name__ == "__main__":
    sys.exit(main())
