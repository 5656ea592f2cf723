"""What `make .venv/.installed` takes with pip and with uv, and what it leaves on the disk.

    python benchmarks/install/installing.py --before bf6979b      # results.json; uv on PATH

Each revision is exported and installed into a new environment, first with empty caches, then with
what the first left in them. `before` is installed with pip alone. The machine's package indexes,
those that pip and uv are set to, are used; `load` is how many processes wanted a core at the start,
so compare CPU seconds where it is high.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).with_name("results.json")
IMPORTS = "import torch, transformers, datasets, openai, optuna, scipy.stats, matplotlib.pyplot"


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Seconds, and seconds of CPU with those of all that it starts."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=folder, env=environment, check=True, stdout=sys.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": round(time.monotonic() - start, 1), "cpu_seconds": round(cpu, 1)}


def megabytes(files: Iterator[Path]) -> int:
    return round(sum(path.lstat().st_size for path in files if path.is_file()) / 1e6)


def size(venv: Path) -> dict[str, Any]:
    """Of the installed packages, with what was compiled to bytecode apart; pip does that."""
    (packages,) = venv.glob("lib/python*/site-packages")
    names = [path.name.rpartition(".")[0] for path in packages.glob("*.dist-info")]
    return {
        "packages": len(names),
        "megabytes": megabytes(path for path in packages.rglob("*") if path.suffix != ".pyc"),
        "megabytes_of_bytecode": megabytes(packages.rglob("*.pyc")),
    }


def installed(source: Path, installer: str, caches: Path, folder: Path) -> dict[str, Any]:
    venv = folder / "venv"
    shutil.rmtree(venv, ignore_errors=True)
    environment = os.environ | {
        "INSTALLER": "pip" if installer == "pip" else "",
        "PIP_CACHE_DIR": str(caches / "pip"),
        "UV_CACHE_DIR": str(caches / "uv"),
        "VENV": str(venv),
    }
    command = ["make", f"VENV={venv}", f"PYTHON={sys.executable}", f"{venv}/.installed"]
    row: dict[str, Any] = timed(command, source, environment) | size(venv)
    importing = [str(venv / "bin" / "python"), "-c", IMPORTS]
    row["first_import_cpu_seconds"] = timed(importing, folder, environment)["cpu_seconds"]
    row["next_import_cpu_seconds"] = timed(importing, folder, environment)["cpu_seconds"]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--before", help="an earlier revision to compare with")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    ways = [("now", "HEAD", "uv"), ("now", "HEAD", "pip")]
    if options.before:
        ways.append(("before", options.before, "pip"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for build, revision, installer in ways:
            source, caches = folder / f"{build}-{installer}", folder / "caches"
            source.mkdir()
            archive = ["git", "archive", revision]
            packed = subprocess.run(archive, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
            subprocess.run(["tar", "x"], cwd=source, input=packed, check=True)
            for state in ("cold", "warm"):
                load = round(os.getloadavg()[0], 1)
                row = installed(source, installer, caches, folder)
                named = {"build": build, "installer": installer, "cache": state, "load": load}
                rows.append(named | row)
                sys.stderr.write(f"{rows[-1]}\n")
                RESULTS.write_text(json.dumps({"rows": rows}, indent=1) + "\n")
            shutil.rmtree(caches)


if __name__ == "__main__":
    main()
