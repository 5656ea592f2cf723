"""Places that a file of the user names, relative to its folder."""

import os
from pathlib import Path


def beside(folder: Path, name: str | Path) -> Path:
    """`folder / name`, without the detours of `..` where these lead nowhere else.

    A manifest in `candidates/` that names `../data/web` means `data/web`, and so it stands in
    messages. Where a link is on the way, `..` leaves the folder that the link leads to, and the
    path stays as it is.
    """
    path = folder / name
    plain = Path(os.path.normpath(path))
    return plain if os.path.realpath(plain) == os.path.realpath(path) else path
