"""CPU and wall time of preparing four sources: by the driver, and by jobs of this machine.

    python benchmarks/cluster/side_by_side.py

The driver tokenises one source after the other with a thread for each core; jobs take one core
each, and as many run as there are cores. Both search for leaks meanwhile, and must leave the same
tokens. CPU seconds count more than wall time where other programs run.
"""

import argparse
import hashlib
import json
import os
import resource
import tempfile
import time
from pathlib import Path

from dataselect.compute import LocalProcesses
from dataselect.compute.cores import available_cores
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.stages.prepare import prepare
from dataselect.stages.runtime import Runtime
from dataselect.store import Store
from dataselect.synthetic import genres

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("worked", "narrative", "notes", "drills")
PLAN = """
tokenizer: {train: {vocab_size: 8000, split_digits: false, characters: 2M}}
max_repeats: 1000
benchmarks:
  - id: stories-short
    items: ROOT/stages/quickstart/stories-short.jsonl
    traces: ROOT/stages/quickstart/stories-short.traces.jsonl.gz
    task: arithmetic
screen:
  keep: 2
  proxy:
    architecture: {hidden_size: 16, layers: 1, heads: 2, intermediate_size: 32}
    tokens: TOKENS
    sequence_length: 128
    batch_size: 8
    learning_rate: 3e-3
compute: {prepare: {by: WHO}}
"""


def cpu_seconds() -> float:
    """Of this process and those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def main() -> None:
    """Prepare twice, and print what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--documents", type=int, default=80_000, help="of each source")
    parser.add_argument("--tokens", default="4M", help="of each source")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for source in SOURCES:
            documents = genres.documents(source, 0)
            with (folder / f"{source}.jsonl").open("w") as file:
                for _ in range(given.documents):
                    file.write(json.dumps({"text": next(documents)}) + "\n")
        lines = [f"  - {{id: {source}, path: {source}.jsonl}}" for source in SOURCES]
        manifest = "\n".join(["target: {size: 1M, tokens: 20M}", "candidates:", *lines])
        (folder / "candidates.yaml").write_text(manifest)
        left = set()
        for who in ("driver", "jobs"):
            plan = PLAN.replace("ROOT", str(ROOT)).replace("TOKENS", given.tokens)
            (folder / "plan.yaml").write_text(plan.replace("WHO", who))
            began, cpu = time.time(), cpu_seconds()
            with LocalProcesses(available_cores(), 1) as compute:
                made = prepare(
                    load_manifest(folder / "candidates.yaml"),
                    load_plan("plan.yaml", folder),
                    Runtime(Store(folder / who), compute),
                )
            wall, cpu = time.time() - began, cpu_seconds() - cpu
            digest = hashlib.sha256()
            for stream in made.streams.values():
                digest.update((stream.folder / "tokens-00000.bin").read_bytes())
            left.add(digest.hexdigest())
            print(f"{who}: {cpu:.1f} CPU seconds, {wall:.1f} s, load {os.getloadavg()[0]:.1f}")
    print("the same tokens" if len(left) == 1 else "OTHER TOKENS")


if __name__ == "__main__":
    main()
