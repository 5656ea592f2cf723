"""What is not training or scoring: the command's start, cached runs, tokenising, machinery.

    python benchmarks/speed/overheads.py [--only start|cached|tokenising|machinery] [--runs 5]
        [--corpora FOLDER] [--store FOLDER]

- start: `dataselect --help` against `python -c pass`, whole processes that take turns;
- cached: the quickstart again in a store that holds all of it (`--store`; else it is filled first,
  which takes minutes);
- tokenising: see `tokenising.py`; with `--corpora` also on real text (`.jsonl.gz` files with
  `text`);
- machinery: see `machinery.py`.

Results go to `overheads.json` beside this file, part by part.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import tokenizers
import torch
import transformers
from machinery import measure as machinery
from measuring import process_seconds, spread
from tokenising import measure as tokenising

from dataselect.compute.machine import processor_name

HERE = Path(__file__).parent
RESULTS = HERE / "overheads.json"
ROOT = HERE.parents[1]
COMMAND = (sys.executable, "-m", "dataselect")
STARTS = 20
CHARACTERS = 20_000_000
STEPS = 2_500

Part = tuple[Any, tuple[str, ...], list[tuple[Any, ...]]]
"""What is written down, and a table's heads and rows."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=tuple(PARTS))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--corpora", type=Path)
    parser.add_argument("--store", type=Path)
    arguments = parser.parse_args()
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    found |= {
        "command": "python benchmarks/speed/overheads.py",
        "versions": {
            "python": sys.version.partition(" ")[0],
            "tokenizers": tokenizers.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "cores": len(os.sched_getaffinity(0)),
        "seed": 0,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, part in PARTS.items():
            if arguments.only in (None, name):
                place = Path(folder, name)
                place.mkdir()
                found[name], heads, rows = part(arguments, place)
                # Parts may be measured one by one, on several machines.
                found.setdefault("processors", {})[name] = processor_name()
                _print_table(heads, rows)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _start(_: argparse.Namespace, place: Path) -> Part:
    rows = _starts(place)
    heads = ("command", "wall s", "CPU s", "CPU, `python -c pass` = 1")
    return rows, heads, [(r["command"], r["wall"], r["cpu"], r["ratio"]) for r in rows]


def _cached(arguments: argparse.Namespace, place: Path) -> Part:
    row = _cached_runs(arguments.store or place / "store", arguments.runs, place)
    return row, ("cached quickstart, wall s", "CPU s"), [(row["wall"], row["cpu"])]


def _tokenising(arguments: argparse.Namespace, place: Path) -> Part:
    rows = tokenising(arguments.corpora, CHARACTERS, arguments.runs, place)
    heads = ("text", "form", "vocabulary", "documents", "tokens", "speed by wall", "by CPU")
    keys = ("text", "form", "vocabulary", "documents", "tokens")
    table = [(*(r[key] for key in keys), r["wall"]["ratio"], r["cpu"]["ratio"]) for r in rows]
    return rows, heads, table


def _machinery(arguments: argparse.Namespace, place: Path) -> Part:
    row = machinery(STEPS, arguments.runs, place)
    heads = ("piece", "calls", "CPU s", "wall s", "share of the job's CPU")
    keys = ("piece", "calls", "cpu_seconds", "wall_seconds", "share_of_cpu")
    table = [tuple(piece[key] for key in keys) for piece in row["pieces"]]
    table.append(("all but the steps", "", "", "", row["share_of_cpu"]))
    return row, heads, table


PARTS = {
    "start": _start,
    "cached": _cached,
    "tokenising": _tokenising,
    "machinery": _machinery,
}


def _starts(place: Path) -> list[dict[str, Any]]:
    commands = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "dataselect --help": (*COMMAND, "--help"),
        "dataselect run --help": (*COMMAND, "run", "--help"),
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(STARTS + 1):
        for name, command in commands.items():
            taken = process_seconds(command, place, _environment(place))
            # The first compiles what Python then keeps.
            if turn:
                seconds[name].append(taken)
    bare = [cpu for _, cpu in seconds["python -c pass"]]
    return [
        {
            "command": name,
            "wall": spread(wall for wall, _ in taken),
            "cpu": spread(cpu for _, cpu in taken),
            "ratio": spread(cpu / least for (_, cpu), least in zip(taken, bare, strict=True)),
        }
        for name, taken in seconds.items()
    ]


def _cached_runs(store: Path, runs: int, place: Path) -> dict[str, Any]:
    for name in ("candidates", "stages"):
        shutil.copytree(ROOT / name, place / name)
    command = (*COMMAND, "run", "candidates/quickstart.yaml", "--store", str(store.absolute()))
    # Fills the store if need be, and Python's cache of compiled modules.
    process_seconds(command, place, _environment(place))
    taken = [process_seconds(command, place, _environment(place)) for _ in range(runs)]
    return {"wall": spread(wall for wall, _ in taken), "cpu": spread(cpu for _, cpu in taken)}


def _environment(place: Path) -> dict[str, str]:
    """This package whatever is installed, and compiled modules as an installation has them."""
    return {
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(place / "compiled"),
        "PYTHONDONTWRITEBYTECODE": "",
    }


def _print_table(heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for row in rows:
        print(f"| {' | '.join(map(_figure, row))} |")


def _figure(value: Any) -> str:
    if isinstance(value, dict):
        return f"**{value['median']:.3g}** [{value['min']:.3g}, {value['max']:.3g}]"
    return f"{value:,}" if isinstance(value, int) else str(value)


if __name__ == "__main__":
    main()
