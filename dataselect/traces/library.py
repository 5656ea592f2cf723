"""A project's folder of trace files, `<benchmark>.<model>.jsonl.gz`.

The names are for people; the benchmark of a file is read from its header line, because ids may
contain dots and files get renamed.

Not here: reading and checking the traces themselves (`trace`).
"""

import gzip
import re
import zlib
from pathlib import Path

from dataselect import strict_json
from dataselect.errors import InputError

TRACES_FOLDER = "traces"
"""The folder's name in a project."""

_ENDINGS = (".jsonl.gz", ".jsonl")


def trace_path(folder: Path, benchmark_id: str, model: str) -> Path:
    """The path for a benchmark's traces by one frontier model."""
    return folder / f"{_slug(benchmark_id)}.{_slug(model)}.jsonl.gz"


def trace_benchmark(path: Path) -> str:
    """The benchmark id in a trace file's header. Raises InputError if there is none."""
    name = _header_benchmark(path)
    if name is None:
        reason = "its first line names no benchmark" if path.is_file() else "there is no such file"
        raise InputError(path, f"it is not a trace file ({reason})", "check the path")
    return name


def find_trace_files(folder: Path, benchmark_id: str) -> list[Path]:
    """The folder's trace files for a benchmark, in order of name; empty if there is no folder.

    A file with an unreadable header is matched by its name, so that reading it raises the error.
    """
    return [path for path, name in _benchmarks(folder) if _is_of(path, name, benchmark_id)]


def resolve(name_or_path: str, folder: Path) -> Path:
    """The trace file of a path, or of a benchmark id with one file in `folder`.

    Raises InputError, listing the alternatives, when there is no such file or several.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.name.endswith(_ENDINGS):
        raise InputError(path, "there is no such trace file", "check the path")
    found = find_trace_files(folder, name_or_path)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"benchmark '{name_or_path}'",
            f"{folder} has {len(found)} trace files for it ({', '.join(p.name for p in found)})",
            "name one of them by its path",
        )
    others = sorted({name or path.name for path, name in _benchmarks(folder)})
    raise InputError(
        f"'{name_or_path}'",
        f"it is no trace file, and {folder} has none for a benchmark of this name"
        + (f" (it has traces for {', '.join(others)})" if others else ""),
        "get traces with `dataselect traces pull` or `dataselect traces build`",
    )


def _benchmarks(folder: Path) -> list[tuple[Path, str | None]]:
    """Every trace file with the benchmark id in its header, None without a header."""
    if not folder.is_dir():
        return []
    paths = sorted(path for path in folder.iterdir() if path.name.endswith(_ENDINGS))
    return [(path, _header_benchmark(path)) for path in paths if path.is_file()]


def _header_benchmark(path: Path) -> str | None:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            header = strict_json.loads(file.readline())
    except (OSError, EOFError, zlib.error, ValueError):
        return None
    name = header.get("benchmark") if isinstance(header, dict) else None
    return name if isinstance(name, str) else None


def _is_of(path: Path, named: str | None, benchmark_id: str) -> bool:
    if named is not None:
        return named == benchmark_id
    return path.name.startswith(f"{_slug(benchmark_id)}.")


def _slug(name: str) -> str:
    """`name` as a part of a file name; a Hub id's "/" becomes "--", as in the Hub's cache."""
    kept = re.sub(r"[^\w.-]+", "-", name.replace("/", "--"), flags=re.ASCII)
    return kept.strip("-.") or "unnamed"
