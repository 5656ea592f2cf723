"""Which file is meant by a path that leads to none, or to a folder."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from dataselect.errors import InputError
from dataselect.wording import closest, one_line, quoted

YAML_FILES = (".yaml", ".yml")
CSV_FILES = (".csv", ".csv.gz", ".tsv")
JSON_FILES = (".json",)

_PROJECT = ("candidates", "stages", "stages/calibrations", "reports")
"""Folders of a project, which people leave out."""
_REPEATS_A_RUN = "resolved.yaml"
_LOOKED_AT = 1000
"""Most entries of a folder that are compared, since it may hold a corpus."""
_SHOWN = 4


def unreadable(path: object, error: OSError, endings: Sequence[str], fix: str) -> InputError:
    """The error for a file that cannot be read, with the file that may be meant, else `fix`."""
    given = Path(str(path))
    if isinstance(error, IsADirectoryError):
        return InputError(given, "this is a folder", meant_in(given, endings))
    meant = meant_file(given, endings) if isinstance(error, FileNotFoundError) else ""
    return InputError(given, f"cannot be read: {error.strerror}", meant or fix)


def meant_file(path: Path, endings: Sequence[str]) -> str:
    """ "did you mean 'candidates/web.yaml'?" for a file near `path`; "" where none is.

    Files with the `endings` count: of the same name in another spelling, beside `path`, and in the
    folders of a project beside it.
    """
    folders = [path.parent, *(path.parent / name for name in _PROJECT)]
    for folder in folders:
        if (whole := _with_ending(folder / path.name, endings)) is not None:
            return _did_you_mean(whole, path)
    for folder in folders:
        stems = {_stem(each.name, endings): each for each in files_in(folder, endings)}
        if (near := closest(_stem(path.name, endings), stems)) is not None:
            return _did_you_mean(stems[near], path)
    return ""


def _did_you_mean(found: Path, given: Path) -> str:
    # An absolute path may be too long for a line, and whoever gave one knows its folder.
    shown = found.relative_to(given.parent) if given.is_absolute() else found
    return f"did you mean {quoted(str(shown))}?"


def meant_in(folder: Path, endings: Sequence[str]) -> str:
    """Which file of a folder is meant, for a fix: its only one, else its names."""
    files = sorted(files_in(folder, endings))
    again = folder / _REPEATS_A_RUN
    if again in files or len(files) == 1:
        return _did_you_mean(again if again in files else files[0], folder)
    if not files:
        return f"name a file that ends in {endings[0]}"
    names = ", ".join(one_line(each.name) for each in files[:_SHOWN])
    more = ", …" if len(files) > _SHOWN else ""
    return f"name a file in it ({names}{more})"


def files_in(folder: Path, endings: Sequence[str]) -> Iterator[Path]:
    """The files of a folder, without those below it, whose names have one of the endings."""
    try:
        entries = list(islice(folder.iterdir(), _LOOKED_AT))
    except OSError:
        return
    for each in entries:
        if each.name.endswith(tuple(endings)) and each.is_file():
            yield each


def _with_ending(path: Path, endings: Sequence[str]) -> Path | None:
    """The file of this name with one of the endings, added or in place of another."""
    if not path.name:
        return None
    stem = _stem(path.name, endings)
    for ending in endings:
        for name in (f"{path.name}{ending}", f"{stem}{ending}"):
            if _is_file(path.with_name(name)):
                return path.with_name(name)
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _stem(name: str, endings: Sequence[str]) -> str:
    return next((name.removesuffix(each) for each in endings if name.endswith(each)), name)
