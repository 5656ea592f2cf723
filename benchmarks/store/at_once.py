"""Three runs that begin at once on one store, with sources and proxies in common; one is killed.

    python benchmarks/store/at_once.py benchmarks/store/at_once.json

Each run is the command `dataselect run`, with the rankings of the same manifests, each alone in a
store of its own, as the reference.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

SOURCES = {"worked": "worked", "prose": "narrative", "notes": "notes", "wrong": "wrong"}
RUNS = {
    "one": ("worked", "prose", "notes"),
    "two": ("prose", "notes", "wrong"),
    "three": ("notes", "wrong", "worked"),
}
"""The candidates of each run: four proxies, each of them in two runs or three."""


def manifest(candidates: tuple[str, ...]) -> str:
    """A manifest of so many of the four texts."""
    lines = ["target: {size: 1M, tokens: 20M}", "candidates:"]
    lines += [f"  - {{id: {c}, path: dataselect/desk, name: {SOURCES[c]}}}" for c in candidates]
    return "\n".join(lines) + "\n"


def start(folder: Path, name: str, store: str, out: str) -> "subprocess.Popen[str]":
    """A run that goes on."""
    command = [sys.executable, "-m", "dataselect", "run", f"{name}.yaml", "--plan", "plan.yaml"]
    command += ["--store", store, "--out", out]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run_alone(folder: Path, name: str) -> str:
    """SHA-256 of the ranking of a run with a store of its own."""
    process = start(folder, name, f"alone-{name}", f"report-{name}")
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(output)
    return ranking(folder, f"report-{name}")


def ranking(folder: Path, out: str) -> str:
    """SHA-256 of a report's ranking."""
    return hashlib.sha256((folder / out / "ranking.csv").read_bytes()).hexdigest()


def trained(folder: Path, store: str) -> Counter[str]:
    """How many times each proxy was trained to its end."""
    lines = (folder / store / "ledger.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return Counter(r["key"] for r in records if r["kind"] == "proxy" and r["status"] == "done")


def proxies_under_way(folder: Path, store: str) -> list[Path]:
    """Folders of the trainings that go on."""
    return list((folder / store / "work").glob("proxy-*"))


def at_once(folder: Path, store: str, alone: dict[str, str], kill: bool) -> dict[str, Any]:
    """Three runs in one store; with `kill` the first is killed while it trains, and begun anew."""
    outs = {name: f"{store}-{name}" for name in RUNS}
    processes = {name: start(folder, name, store, outs[name]) for name in RUNS}
    killed = None
    if kill:
        while not proxies_under_way(folder, store):
            time.sleep(0.02)
        # With its workers, as when a machine is lost.
        os.killpg(processes["one"].pid, signal.SIGKILL)
        processes["one"].communicate()
        killed = processes["one"].returncode
        processes["one"] = start(folder, "one", store, outs["one"])
    said = {name: process.communicate()[0] for name, process in processes.items()}
    codes = {name: process.returncode for name, process in processes.items()}
    if any(codes.values()):
        raise SystemExit(json.dumps({name: said[name] for name, code in codes.items() if code}))
    counts = trained(folder, store)
    left = [
        path.name
        for name in ("claims", "owners", "work", "tmp")
        for path in (folder / store / name).glob("*")
    ]
    row = {
        "killed": killed,
        "proxies": len(counts),
        "most_trainings_of_one": max(counts.values()),
        "rankings_equal_to_alone": {n: ranking(folder, outs[n]) == alone[n] for n in RUNS},
        "left_in_the_store": left,
    }
    print(json.dumps(row), flush=True)
    if row["most_trainings_of_one"] != 1 or not all(row["rankings_equal_to_alone"].values()):
        raise SystemExit("not as promised")
    return row


def main() -> None:
    """Run the trials and write their result."""
    from stage_world import write_world

    parser = argparse.ArgumentParser()
    parser.add_argument("result", type=Path)
    parser.add_argument("--trials", type=int, default=10, help="of each kind")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_world(folder, tokens=20_000)
        plan = (folder / "plan.yaml").read_text().replace("accuracy: true", "accuracy: false")
        (folder / "plan.yaml").write_text(plan)
        for name, candidates in RUNS.items():
            (folder / f"{name}.yaml").write_text(manifest(candidates))
        # One for all: each run would train its own on its own texts, and share no proxy.
        run_alone(folder, "one")
        (tokenizer,) = (folder / "alone-one/artifacts/tokenizer").iterdir()
        shutil.copytree(tokenizer, folder / "tok")
        (folder / "plan.yaml").write_text(re.sub("tokenizer: .*", "tokenizer: {path: tok}", plan))
        alone = {name: run_alone(folder, name) for name in RUNS}
        print(json.dumps(alone), flush=True)
        for trial in range(arguments.trials):
            for kill in (False, True):
                store = f"store-{trial}-{'killed' if kill else 'whole'}"
                rows.append(at_once(folder, store, alone, kill))
                result = {"rankings": alone, "trials": rows}
                arguments.result.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
