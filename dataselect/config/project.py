"""A new project: the folders `candidates/`, `stages/` and `reports/`, as they come with us."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from dataselect.config.plan import project_folder
from dataselect.errors import InputError


def write_project(folder: Path) -> Iterator[Path]:
    """Copy the three folders into `folder` and give every file written.

    Raises InputError, before anything is written, where a file is there already.
    """
    source = project_folder()
    wanted = [
        path.relative_to(source)
        for part in ("candidates", "stages")
        for path in sorted((source / part).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    wanted.append(Path("reports/README.md"))
    for name in wanted:
        if (folder / name).exists():
            raise InputError(folder / name, "this file is there already", "choose another folder")
    for name in wanted:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, folder / name)
        yield folder / name
