"""A run that loses a node and its driver, compared with one on this machine that loses nothing.

What Slurm and Ray have in common; `slurm_nodes.py` and `ray_nodes.py` start the clusters.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from dataselect.compute.job_folder import AttemptFolder
from dataselect.proxies.saved_state import STATE, settle

HERE = Path(__file__).parent
TOKENS_PER_STEP = 8 * 128
PATIENCE_SECONDS = 3600.0


@dataclass
class Log:
    """What happened, with seconds since the start; printed, and kept for the results."""

    began: float = field(default_factory=time.monotonic)
    lines: list[str] = field(default_factory=list)

    def __call__(self, text: str) -> None:
        """Note what happened now."""
        line = f"{time.monotonic() - self.began:6.0f} s  {text}"
        self.lines.append(line)
        print(line, flush=True)


@dataclass
class Driver:
    """`dataselect run`, as a process."""

    folder: Path
    on: str
    name: str
    plan: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Its store."""
        return self.folder / f"store-{self.on}"

    @property
    def ranking(self) -> Path:
        """The ranking that it writes."""
        return self.folder / f"report-{self.on}" / "ranking.csv"

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it; its output goes to NAME.log."""
        command = [sys.executable, "-m", "dataselect", "run", str(HERE / "candidates.yaml")]
        command += ["--plan", str(self.plan)]
        command += ["--store", str(self.store), "--out", str(self.ranking.parent), "--on", self.on]
        with (self.folder / f"{self.name}.log").open("wb") as output:
            return subprocess.Popen(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", **self.environment},
                cwd=HERE.parents[1],
            )

    def printed(self) -> str:
        """What it has printed so far."""
        return (self.folder / f"{self.name}.log").read_text()


def wait_for(what: str, condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What the condition gives once that is true; ends this program if it never is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.2)
    raise SystemExit(f"gave up waiting for: {what}")


def write_plan(folder: Path) -> Path:
    """The plan, with as many tokens for each proxy as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", default="1.5M", help="of each proxy")
    plan = folder / "plan.yaml"
    text = (HERE / "plan.yaml").read_text().replace("../..", str(HERE.parents[1]))
    plan.write_text(text.replace("1.5M", parser.parse_args().tokens))
    return plan


def local_ranking(folder: Path, log: Log, plan: Path) -> bytes:
    """The ranking of a run on this machine that is left alone."""
    driver = Driver(folder, "local", "local", plan)
    if driver.start().wait():
        raise SystemExit(driver.printed())
    log("run on this machine: done")
    return driver.ranking.read_bytes()


def job_name(attempt: AttemptFolder) -> str:
    """The job of an attempt."""
    return str(json.loads((attempt.path.parent / "job.json").read_bytes())["name"])


def attempts(store: Path) -> list[AttemptFolder]:
    """All attempts whose jobs are not done."""
    return [AttemptFolder(path) for path in sorted(store.glob("jobs/*/attempt-*"))]


def is_training(attempt: AttemptFolder) -> bool:
    """Whether an attempt has come some way and is neither done nor lost."""
    done = attempt.ended is not None or (attempt.path / "outcome.json").exists()
    return not done and 0 < share_of(attempt) < 0.8


def step_of(attempt: AttemptFolder, first: bool = False) -> int:
    """The step that an attempt reported last, or first."""
    steps = [
        round(float(fields["tokens"]) / TOKENS_PER_STEP)
        for fields in attempt.progress(0)[0]
        if "tokens" in fields
    ]
    return steps[0 if first else -1] if steps else 0


def share_of(attempt: AttemptFolder) -> float:
    """Share of the training that an attempt reported last."""
    shares = [
        float(fields["tokens"]) / float(fields["total_tokens"])
        for fields in attempt.progress(0)[0]
        if "tokens" in fields
    ]
    return shares[-1] if shares else 0.0


def saved_step(store: Path, name: str) -> int:
    """The step at which the training of a job was saved."""
    for claim in store.glob("claims/proxy-*/*"):
        if json.loads(claim.read_bytes())["work"]["name"] == name:
            folders = store.glob(f"work/{claim.parent.name}*")
            return max((settle(each) for each in folders if (each / STATE).exists()), default=0)
    return 0


def is_behind_its_save(attempt: AttemptFolder, store: Path) -> bool:
    """Whether an attempt trains, and has come some steps on since its state was saved."""
    if not is_training(attempt):
        return False
    saved = saved_step(store, job_name(attempt))
    return saved > 0 and saved + 5 < step_of(attempt)


def kill_driver(process: "subprocess.Popen[bytes]", log: Log) -> None:
    """End the driver as a machine's end would."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    log("driver killed by SIGKILL")


def trainings(store: Path) -> dict[str, Any]:
    """From the ledger: how often each proxy was trained to its end, and what was lost."""
    records = [json.loads(line) for line in (store / "ledger.jsonl").read_text().splitlines()]
    of_proxies = [each for each in records if each["kind"] == "proxy"]
    return {
        "trained": [each["name"] for each in of_proxies if each["status"] == "done"],
        "lost": [
            {key: each.get(key) for key in ("name", "wall_seconds", "attempts", "lost")}
            for each in of_proxies
            if each["status"] == "failed"
        ],
    }


def finish(
    folder: Path, results: Path, log: Log, local: bytes, driver: Driver, more: Mapping[str, Any]
) -> None:
    """Compare, print and write the results."""
    same = driver.ranking.read_bytes() == local
    found = trainings(driver.store)
    log(f"ranking.csv equal to the byte: {same}")
    log(f"proxies trained to the end: {found['trained']}")
    log(f"in the ledger as lost: {found['lost']}")
    document = {
        "equal_to_the_byte": same,
        **found,
        **more,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "submitit", "ray")},
        },
        "log": log.lines,
    }
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    each_once = sorted(found["trained"]) == sorted(set(found["trained"]))
    if not (same and each_once and len(found["trained"]) == 4):
        raise SystemExit(f"not as it should be; see {folder}")
