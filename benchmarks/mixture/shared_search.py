"""Two workers on one search, one of them killed in a trial: is anything lost, does anything change?

    python benchmarks/mixture/shared_search.py [--storage URL] [--out FILE]

A search of 14 trials is made three times as a user would start it: by one process; by two that
share a store and its journal; and, with `--storage`, by two with a store each that share a
database, as on two machines (an empty one, such as `postgresql+psycopg2://me@localhost/mixes`; its
driver is not among our dependencies). Of the two the second is killed with SIGKILL while it trains.
About five minutes; with a database fifteen more, since a worker elsewhere counts as dead only after
so long a silence. Writes `shared_search.json` here; the URL is not in it.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import yaml

from dataselect.compute.machine import processor_name

HERE = Path(__file__).parent
QUICKSTART = HERE.parents[1] / "stages" / "quickstart"
COMMAND = "python benchmarks/mixture/shared_search.py --storage URL"
TRIALS = 14
SOURCES = ("worked", "notes", "narrative")
KILLED_IN = 3
"""The second worker is killed in so many-th of its own trials."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--storage")
    parser.add_argument("--out", type=Path, default=HERE / "shared_search.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_manifest(folder)
        alone = Search(folder, "alone").started()
        alone.wait()
        results = {
            "command": COMMAND if arguments.storage else COMMAND.removesuffix(" --storage URL"),
            "hardware": processor_name(),
            "alone": alone.found(),
            "journal": shared(folder, alone, ("journal", "journal"), None),
        }
        if arguments.storage:
            stores = ("here", "elsewhere")
            results["database"] = shared(folder, alone, stores, arguments.storage)
    print(json.dumps(results, indent=1))
    arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


class Search:
    """`dataselect mix` in a process group of its own, with a store and an output folder."""

    def __init__(self, folder: Path, store: str, out: str = "", storage: str | None = None) -> None:
        self.folder, self.store, self.out = folder, folder / store, folder / f"out-{out or store}"
        self.log = folder / f"{out or store}.log"
        self.storage = storage

    def started(self) -> "Search":
        """Itself, once it runs."""
        words = [sys.executable, "-m", "dataselect", "mix", "manifest.yaml"]
        words += ["--store", str(self.store), "--out", str(self.out)]
        words += ["--storage", self.storage] if self.storage else []
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                words, cwd=self.folder, stdout=log, stderr=log, start_new_session=True
            )
        return self

    def kill_in(self, trial: int) -> None:
        """Kill it and its workers in so many-th of its trials."""
        while len(re.findall(r"mix/trial \d+ started", self.log.read_text())) < trial:
            if self.process.poll() is not None:
                raise SystemExit(f"it ended before its trial {trial}:\n{self.log.read_text()}")
            time.sleep(0.05)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def wait(self) -> None:
        """Until it has ended well."""
        if self.process.wait() != 0:
            raise SystemExit(self.log.read_text())

    def found(self) -> dict[str, Any]:
        """What its proposal.json says of the search."""
        document = json.loads((self.out / "proposal.json").read_text())
        search = document["search"]
        spent = json.loads((self.out / "spent.json").read_text())
        return {
            "weights": {name: each["weight"] for name, each in document["sources"].items()},
            "measured_gain": document["confirmed"]["objective"]["value"],
            "trials": search["trials"],
            "done_again": spent["failed"],
        }


def shared(
    folder: Path, alone: Search, stores: tuple[str, str], storage: str | None
) -> dict[str, Any]:
    """The same search by two workers that start at once, the second of which is killed."""
    kind = "database" if storage else "journal"
    first = Search(folder, stores[0], f"{kind}-1", storage).started()
    second = Search(folder, stores[1], f"{kind}-2", storage).started()
    second.kill_in(KILLED_IN)
    first.wait()
    url = optuna.storages.get_storage(storage) if storage else journal(first.store)
    (study,) = optuna.get_all_study_summaries(storage=url)
    trials = optuna.load_study(study_name=study.study_name, storage=url).trials
    states = [trial.state.name for trial in trials]
    found = first.found()
    return {
        **found,
        "states": {state: states.count(state) for state in sorted(set(states))},
        "as_alone": {key: found[key] == alone.found()[key] for key in ("weights", "measured_gain")},
    }


def journal(store: Path) -> optuna.storages.JournalStorage:
    """As optuna itself reads it."""
    (path,) = (store / "mixtures").glob("*.journal")
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.storages.JournalStorage(backend)


def write_manifest(folder: Path) -> None:
    """Three sources of the quickstart's world and proxies that train in a second."""
    manifest = {
        "target": {"size": "1.7M", "tokens": "3M"},
        "sources": [{"id": name, "path": "dataselect/desk", "name": name} for name in SOURCES],
        "candidates": [{"id": f"only-{n}", "mixture": {n: 1}} for n in SOURCES[:2]],
        "plan": {
            "tokenizer": {"train": {"vocab_size": 512, "characters": "1M"}},
            "benchmarks": [
                {
                    "id": "stories-short",
                    "items": str(QUICKSTART / "stories-short.jsonl"),
                    "traces": str(QUICKSTART / "stories-short.traces.jsonl.gz"),
                    "prompt": "Question: {question}\nAnswer: First,",
                    "task": "arithmetic",
                }
            ],
            "screen": {
                "proxy": {
                    "architecture": {
                        "hidden_size": 32,
                        "layers": 1,
                        "heads": 2,
                        "intermediate_size": 64,
                    },
                    "tokens": "0.1M",
                    "sequence_length": 128,
                    "batch_size": 8,
                    "learning_rate": "3e-3",
                },
                "keep": 2,
            },
            "mix": {"trials": TRIALS, "confirm": 1},
        },
    }
    text = yaml.safe_dump(manifest, sort_keys=False)
    (folder / "manifest.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
