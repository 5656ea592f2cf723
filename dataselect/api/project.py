"""`ds.init`: a new project from Python, as `dataselect init` writes it."""

from pathlib import Path

from dataselect.api.arguments import as_folder
from dataselect.config.project import write_project


def init(folder: str | Path) -> list[Path]:
    """Write a project into `folder`: manifests, plans, and small texts in `data/`; the files.

    Raises InputError, before anything is written, where a file is there already.

        ds.init("my-project")
        ds.run("my-project/candidates/example-local.yaml")
    """
    return list(write_project(as_folder("folder", folder)))
