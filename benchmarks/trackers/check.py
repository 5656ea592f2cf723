"""Run a tiny plan with each real tracker, and read back what it was told.

    pip install 'dataselect[wandb,tensorboard,trackio,mlflow]'
    python benchmarks/trackers/check.py [PIECE...]

Writes results.json beside this script: for each library its version, the numbers that it gives
back against those in `metrics.jsonl`, and the seconds of a run and of a cached run; then trackers
that cannot work (no login, no server), a killed run, and what a cached run imports. Named pieces
alone are done again. No network is needed. Exit code 1 if something is not as it should be.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

from stage_world import write_world  # noqa: E402

TRACKERS = ("wandb", "tensorboard", "trackio", "mlflow")


def run(folder: Path, *options: str, **env: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds and result of `dataselect run` in the folder."""
    began = time.monotonic()
    done = subprocess.run(
        [*command(), *options],
        cwd=folder,
        env=environment(folder, **env),
        capture_output=True,
        text=True,
        check=False,
    )
    return time.monotonic() - began, done


def command() -> list[str]:
    return [sys.executable, "-m", "dataselect", "run", "manifest.yaml", "--plan", "plan.yaml"]


def environment(folder: Path, **env: str) -> dict[str, str]:
    own = {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "HOME": str(folder / "home"),
        "WANDB_MODE": "offline",
        "TRACKIO_DIR": str(folder / "trackio"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
    }
    return {**os.environ, **own, **env}


def record(folder: Path) -> Path:
    (found,) = (folder / ".dataselect" / "runs").glob("*")
    return found


def expected(folder: Path) -> dict[str, list[tuple[int | None, float]]]:
    """Step and value of each number of `metrics.jsonl`, by the name that trackers get."""
    from dataselect.trackers.follow import named

    found: dict[str, list[tuple[int | None, float]]] = {}
    for line in (record(folder) / "metrics.jsonl").read_text().splitlines():
        entry = json.loads(line)
        for name, value in named(entry).items():
            found.setdefault(name, []).append((entry["step"], value))
    return found


def from_tensorboard(folder: Path) -> dict[str, list[tuple[int | None, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(record(folder) / "tensorboard"), size_guidance={"scalars": 0})
    read.Reload()
    return {
        tag: [(each.step, each.value) for each in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def wandb_records(content: bytes) -> Iterator[bytes]:
    """Records of a .wandb file: a log of LevelDB's format, after a header of 7 bytes."""
    at, block, whole = 7, 32768, b""
    while at + 7 <= len(content):
        room = block - at % block
        if room < 7:
            at += room
            continue
        length, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # the whole of a record, or its last part
            yield whole
            whole = b""


def from_wandb(folder: Path) -> dict[str, list[tuple[int | None, float]]]:
    from wandb.proto import wandb_internal_pb2

    found: dict[str, list[tuple[int | None, float]]] = {}
    for file in sorted(record(folder).glob("wandb/offline-run-*/*.wandb")):
        for data in wandb_records(file.read_bytes()):
            entry = wandb_internal_pb2.Record()
            entry.ParseFromString(data)
            if entry.WhichOneof("record_type") != "history":
                continue
            row = {
                (each.key or "/".join(each.nested_key)): json.loads(each.value_json)
                for each in entry.history.item
            }
            step = row.pop("tokens", None)
            for name, value in row.items():
                if not name.startswith("_"):
                    found.setdefault(name, []).append((step, value))
    return found


def from_trackio(folder: Path) -> dict[str, list[tuple[int | None, float]]]:
    os.environ["TRACKIO_DIR"] = str(folder / "trackio")
    from trackio.sqlite_storage import SQLiteStorage

    found: dict[str, list[tuple[int | None, float]]] = {}
    for name in SQLiteStorage.get_runs("dataselect"):
        for row in SQLiteStorage.get_logs("dataselect", name):
            step = row.pop("tokens", None)
            for key, value in row.items():
                if key not in ("timestamp", "step"):
                    found.setdefault(key, []).append((step, value))
    return found


def from_mlflow(folder: Path) -> dict[str, list[tuple[int | None, float]]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dataselect")
    (run,) = client.search_runs([experiment.experiment_id])
    return {
        name: [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


READERS = {
    "wandb": from_wandb,
    "tensorboard": from_tensorboard,
    "trackio": from_trackio,
    "mlflow": from_mlflow,
}


def compare(name: str, folder: Path) -> dict[str, Any]:
    """What a tracker gives back against the file."""
    from dataselect.trackers.mlflow_run import _name

    told, given = expected(folder), READERS[name](folder)
    if name == "mlflow":
        told = {_name(key): values for key, values in told.items()}
    wrong = []
    for key, values in told.items():
        back = given.get(key, [])
        same = len(back) == len(values) and all(
            abs(value - other) <= 1e-6 * max(1.0, abs(value)) and step in (None, at)
            for (step, value), (at, other) in zip(
                sorted(values, key=str), sorted(back, key=str), strict=True
            )
        )
        if not same:
            wrong.append(key)
    return {
        "names": len(told),
        "numbers": sum(map(len, told.values())),
        "not_given_back": wrong[:5],
        "more_names": sorted(set(given) - set(told))[:5],
    }


def check_library(name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_world(folder, tokens=8000)
        seconds, done = run(folder, "--track", name)
        found: dict[str, Any] = {"version": version(name), "exit_code": done.returncode}
        found["notes"] = [line for line in done.stdout.splitlines() if f"note: {name}" in line]
        found |= compare(name, folder)
        cached, _ = run(folder)
        tracked, again = run(folder, "--track", name)
        found["seconds"] = {
            "first": round(seconds, 1),
            "cached": round(cached, 1),
            "cached_and_tracked": round(tracked, 1),
        }
        found["exit_code_again"] = again.returncode
        found["log_bytes"] = (record(folder) / f"tracker-{name}.log").stat().st_size
        return found


def check_failing(name: str, **env: str) -> dict[str, Any]:
    """A tracker that cannot work: what is said, and what it costs."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_world(folder, tokens=8000)
        seconds, done = run(folder, "--track", name, **env)
        notes = [line for line in done.stdout.splitlines() if f"note: {name}" in line]
        return {"exit_code": done.returncode, "seconds": round(seconds, 1), "notes": notes}


def check_killed() -> dict[str, Any]:
    """A run that is killed is marked so, and its resumption goes on in the same MLflow run."""
    from mlflow import MlflowClient

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_world(folder, tokens=400_000)
        process = subprocess.Popen(
            [*command(), "--track", "mlflow"],
            cwd=folder,
            env=environment(folder),
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        client = MlflowClient(uri)
        deadline = time.monotonic() + 120
        runs: list[Any] = []
        while time.monotonic() < deadline and not (runs and runs[0].data.metrics):
            time.sleep(0.5)
            experiment = client.get_experiment_by_name("dataselect")
            runs = [] if experiment is None else client.search_runs([experiment.experiment_id])
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        while time.monotonic() < deadline:
            (one,) = client.search_runs([runs[0].info.experiment_id])
            if one.info.status != "RUNNING":
                break
            time.sleep(0.5)
        return {"status_after_kill": one.info.status, "metrics_before": len(one.data.metrics)}


def imported_when_cached() -> list[str]:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_world(folder, tokens=8000)
        run(folder)
        code = (
            "import sys\nfrom dataselect.cli import app\n"
            "try:\n    app(sys.argv[1:], standalone_mode=False)\n"
            "finally:\n"
            f"    print('loaded:', [n for n in {TRACKERS} if n in sys.modules], file=sys.stderr)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *command()[3:], "--track", "tensorboard"],
            cwd=folder,
            env=environment(folder),
            capture_output=True,
            text=True,
            check=True,
        )
        return [line for line in done.stderr.splitlines() if line.startswith("loaded:")]


def check_all_failing() -> dict[str, Any]:
    return {
        "wandb without login": check_failing("wandb", WANDB_MODE="online", WANDB_API_KEY=""),
        "mlflow without server": check_failing("mlflow", MLFLOW_TRACKING_URI="http://127.0.0.1:9"),
        "mlflow with a bad address": check_failing("mlflow", MLFLOW_TRACKING_URI="nope://x"),
    }


PIECES: dict[str, Callable[[], Any]] = {
    **{name: partial(check_library, name) for name in TRACKERS},
    "failing": check_all_failing,
    "killed": check_killed,
    "imported_by_a_cached_run": imported_when_cached,
}


def main() -> int:
    path = HERE / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results["python"] = platform.python_version()
    for name in sys.argv[1:] or PIECES:
        results[name] = PIECES[name]()
        print(name, json.dumps(results[name], indent=1), flush=True)
        path.write_text(json.dumps(results, indent=1) + "\n")
    bad = [n for n in TRACKERS if n in results and results[n]["not_given_back"]]
    bad += [n for n, each in results.get("failing", {}).items() if each["exit_code"]]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
