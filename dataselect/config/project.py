"""A new project: copies of the folders `candidates/`, `stages/` and `reports/`."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from dataselect.config.plan import project_folder
from dataselect.errors import InputError


def write_project(folder: Path) -> Iterator[Path]:
    """Copy the three folders into `folder` and yield the path of every file written.

    Raises InputError, before anything is written, where a file exists already.
    """
    source = project_folder()
    names = [
        path.relative_to(source)
        for part in ("candidates", "stages")
        for path in sorted((source / part).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    names.append(Path("reports/README.md"))
    for name in names:
        if (folder / name).exists():
            raise InputError(folder / name, "this file is there already", "choose another folder")
    for name in names:
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, folder / name)
        except OSError as error:
            problem = f"cannot be written: {error.strerror}"
            raise InputError(folder / name, problem, "choose another folder") from None
        yield folder / name
