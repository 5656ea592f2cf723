"""What commands take in large projects: CPU seconds, wall seconds, memory, and how they grow.

    python benchmarks/load/load.py [--only NAME ...] [--least SIZE] [--most SIZE]
                                     [--work FOLDER]

Each load has a project of its own for each size (`loads.py`); its commands run one after the other,
each in a process of its own. Memory is the most that one process had; exponents are of the last two
sizes, which is where growth shows. Results are kept in `load.json` beside this file, and those of
other loads stay.
"""

import argparse
import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from loads import LOADS, Load

from dataselect.compute.machine import processor_name

HERE = Path(__file__).parent
RESULTS = HERE / "load.json"


@dataclass(frozen=True)
class Taken:
    """What one command took."""

    cpu_seconds: float
    wall_seconds: float
    peak_mib: float
    """Of its largest process."""
    own_mib: float
    """The same without pages of files."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(LOADS), choices=list(LOADS))
    parser.add_argument("--most", type=int, default=10**12, help="leave larger sizes out")
    parser.add_argument("--least", type=int, default=0, help="leave smaller sizes out")
    parser.add_argument("--work", type=Path, help="where projects are made")
    arguments = parser.parse_args()
    for name in arguments.only:
        load = LOADS[name]
        sizes = [size for size in load.sizes if arguments.least <= size <= arguments.most]
        found: dict[str, dict[int, Taken]] = {}
        for size in sizes:
            with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
                for command, taken in measured(load, Path(folder), size).items():
                    found.setdefault(command, {})[size] = taken
        keep(name, load, found)
    print(table(json.loads(RESULTS.read_text(encoding="utf-8"))))


def measured(load: Load, folder: Path, size: int) -> dict[str, Taken]:
    """Make the project and run its commands."""
    taken = {}
    for name, words in load.make(folder, size).items():
        taken[name] = run(words, folder)
        print(f"{load.unit} {size:,}: {name}: {taken[name]}", file=sys.stderr, flush=True)
    return taken


def run(words: Sequence[str], folder: Path) -> Taken:
    """Run a command, or a script of this folder. Raises RuntimeError where it fails."""
    script = [str(HERE / words[0])] if words[0].endswith(".py") else ["-m", "dataselect", words[0]]
    log = folder / "output.txt"
    with log.open("w", encoding="utf-8") as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *script, *words[1:]],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        ended = threading.Event()
        own = Own(process.pid, ended)
        own.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        ended.set()
        own.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{words}: exit code {process.returncode}: {log.read_text()[-2000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Taken(
        round(cpu, 2), round(wall, 2), round(usage.ru_maxrss / 1024), round(own.most / 1024)
    )


class Own(threading.Thread):
    """Looks at the memory of a process and those that it started until it has ended."""

    def __init__(self, process: int, ended: threading.Event) -> None:
        super().__init__(daemon=True)
        self._process, self._ended = process, ended
        self.most = 0
        """KiB that any of them held itself."""

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max([self.most, *map(_own_kib, _family(self._process))])


def _family(process: int) -> Iterator[int]:
    yield process
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text(encoding="utf-8").split():
                yield from _family(int(child))


def _own_kib(process: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1])
    return 0


def keep(name: str, load: Load, found: Mapping[str, Mapping[int, Taken]]) -> None:
    """Put a load's results beside those of the others."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    results[name] = {
        "unit": load.unit,
        "machine": f"{processor_name()}, {len(os.sched_getaffinity(0))} cores",
        "load_average": round(os.getloadavg()[1], 1),
        "commands": {
            command: {
                "sizes": {str(size): asdict(taken) for size, taken in sizes.items()},
                "exponents": {
                    "cpu_seconds": slope({s: t.cpu_seconds for s, t in sizes.items()}),
                    "own_mib": slope({s: t.own_mib for s, t in sizes.items()}),
                },
            }
            for command, sizes in found.items()
        },
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def slope(values: Mapping[int, float]) -> float | None:
    """Exponent of growth between the two largest sizes; None for a single one."""
    if len(values) < 2:
        return None
    (small, before), (large, after) = sorted(values.items())[-2:]
    return round(math.log(max(after, 1e-2) / max(before, 1e-2)) / math.log(large / small), 2)


def table(results: Mapping[str, Mapping[str, object]]) -> str:
    """The results in Markdown."""
    lines = [
        "| load | command | CPU s | ~ n^ | own memory, MiB | ~ n^ | peak with files, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for load in results.values():
        for command, found in load["commands"].items():  # type: ignore[attr-defined]
            sizes, exponents = found["sizes"], found["exponents"]
            cells = [
                f"{load['unit']}: {', '.join(f'{int(size):,}' for size in sizes)}",
                command,
                ", ".join(f"{each['cpu_seconds']:.3g}" for each in sizes.values()),
                str(exponents["cpu_seconds"]),
                ", ".join(f"{each['own_mib']:,}" for each in sizes.values()),
                str(exponents["own_mib"]),
                f"{max(each['peak_mib'] for each in sizes.values()):,}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
