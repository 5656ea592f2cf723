"""Whole runs on disks that are full, or that hold something else where a folder should be.

    sudo python benchmarks/reliability/full_disks.py

Each trial runs the command `dataselect run` on a small world, with its store or report on a tmpfs
that has too little room, or with a file where it needs a folder. The command must end in one line
with exit code 2 or 3, and leave nothing that looks whole and is not; then there is room (or the
file is gone), and the same command must go on to the same ranking as a run that met no trouble.
Writes full_disks.json beside this script. Needs the right to mount.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
ROOM = "64m"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE / "full_disks.json")
    parser.add_argument("--only", nargs="*", default=list(TRIALS))
    given = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        write_small_world(base / "world")
        expected = ranking(base / "world", base / "store", base / "report")
        for name in given.only:
            results.append({"trial": name, **TRIALS[name](base / "world", expected)})
            print(json.dumps(results[-1]), flush=True)
    given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return int(not all(each["good"] for each in results))


def write_small_world(folder: Path) -> None:
    """Four candidates and two benchmarks whose proxies train in a second."""
    from stage_world import write_world

    folder.mkdir()
    write_world(folder, tokens=1500)
    shutil.copytree(ROOT / "candidates", folder / "candidates", dirs_exist_ok=True)


def call(world: Path, store: Path, report: Path) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "dataselect", "run", "manifest.yaml", "--plan", "plan.yaml"]
    words += ["--store", str(store), "--out", str(report)]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        words, cwd=world, env=environment, capture_output=True, text=True, timeout=900, check=False
    )


def ranking(world: Path, store: Path, report: Path) -> list[Any]:
    """The ranking of a run that must succeed."""
    done = call(world, store, report)
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    content = json.loads((report / "report.json").read_bytes())
    return [[each["id"], each["stage1"]["score"]] for each in content["candidates"]]


def judged(
    world: Path, store: Path, report: Path, expected: list[Any], mend: Callable[[], object]
) -> dict[str, Any]:
    """What the command said in trouble, and whether it went on when that was over."""
    failed = call(world, store, report)
    lines = [line for line in failed.stderr.splitlines() if line.startswith("error: ")]
    traceback = "Traceback" in failed.stderr + failed.stdout
    broken = half_written(store)
    mend()
    try:
        goes_on: bool | str = ranking(world, store, report) == expected
    except RuntimeError as error:
        goes_on = str(error)[-500:]
    good = failed.returncode in (2, 3) and not traceback and not broken and goes_on is True
    said = lines[-1] if lines else failed.stderr[-300:]
    return {
        "good": good,
        "exit_code": failed.returncode,
        "line": said.replace(str(store), "STORE").replace(str(report), "REPORT"),
        "traceback": traceback,
        "half_written": broken,
        "goes_on": goes_on,
    }


def half_written(store: Path) -> list[str]:
    """Artifacts that are visible and not whole."""
    from dataselect.store.artifact import Artifact, read

    found = []
    for path in store.glob("artifacts/*/*"):
        artifact = read(path, path.parent.name, path.name)
        if not isinstance(artifact, Artifact):
            found.append(f"{path.name}: {artifact}")
    return found


@contextmanager
def disk(size: str) -> Iterator[Path]:
    """A file system with so much room."""
    with tempfile.TemporaryDirectory() as place:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", place]
        subprocess.run(mount, check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "-l", place], check=True)


def grow(place: Path) -> None:
    """Make room on the disk."""
    words = ["mount", "-o", f"remount,size={ROOM}", str(place)]
    subprocess.run(words, check=True)


def full_store(size: str) -> Callable[[Path, list[Any]], dict[str, Any]]:
    def trial(world: Path, expected: list[Any]) -> dict[str, Any]:
        with disk(size) as place, tempfile.TemporaryDirectory() as other:
            report = Path(other) / "report"
            return judged(world, place / "store", report, expected, lambda: grow(place))

    return trial


def full_report(size: str) -> Callable[[Path, list[Any]], dict[str, Any]]:
    def trial(world: Path, expected: list[Any]) -> dict[str, Any]:
        with disk(size) as place, tempfile.TemporaryDirectory() as other:
            store = Path(other) / "store"
            return judged(world, store, place / "report", expected, lambda: grow(place))

    return trial


def something_else(where: str) -> Callable[[Path, list[Any]], dict[str, Any]]:
    """A file where the store or report needs a folder."""

    def trial(world: Path, expected: list[Any]) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as other:
            path = Path(other) / where
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("not a folder")
            store, report = Path(other) / "store", Path(other) / "report"
            return judged(world, store, report, expected, path.unlink)

    return trial


TRIALS: dict[str, Callable[[Path, list[Any]], dict[str, Any]]] = {
    "store full at once (16 kB)": full_store("16k"),
    "store full while texts are tokenised (100 kB)": full_store("100k"),
    "store full in training (240 kB)": full_store("240k"),
    "report folder full at once (4 kB)": full_report("4k"),
    "report folder full (40 kB)": full_report("40k"),
    "a file in place of the store": something_else("store"),
    "a file in place of artifacts/": something_else("store/artifacts"),
    "a file in place of work/": something_else("store/work"),
    "a file in place of tmp/": something_else("store/tmp"),
    "a file in place of the report": something_else("report"),
    "a file in place of the report's plots/": something_else("report/plots"),
}


if __name__ == "__main__":
    sys.exit(main())
