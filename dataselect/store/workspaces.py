"""Folders for unfinished work, one at a time for each key.

    work/<kind>-<key>/       the first
    work/<kind>-<key>.<n>/   after a takeover from a process that may still live

A process that was thought dead may wake and write where it wrote before. So whoever takes over from
it works in a folder with the next number, with a copy of what the other had saved, and the other's
is removed. From a process that has certainly ended the folder itself is taken over: a command then
finds its output under the path that it knows.
"""

import errno
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_FOLDER = re.compile(r"(?P<name>.+-[0-9a-f]{32})(\.(?P<number>\d+))?(?P<copy>\.copy)?")


class Workspaces:
    """The workspaces in a folder. A key is given by its folder name, `<kind>-<key>`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str, number: int | None) -> Path:
        """The workspace with this number; the latest if None."""
        if number is None:
            number = self.latest(name)
        return self._folder / (name if number == 1 else f"{name}.{number}")

    def latest(self, name: str) -> int:
        """The highest number of a workspace of the key; 1 if there is none."""
        return max(self._numbers(name), default=1)

    def open(self, name: str, number: int | None) -> Path:
        """The workspace with this number, made if absent with what the one before it holds."""
        if number is None:
            number = self.latest(name)
        folder = self.path(name, number)
        earlier = [each for each in self._numbers(name) if each < number]
        if not folder.exists() and earlier:
            copy = folder.with_name(f"{folder.name}.copy")
            shutil.rmtree(copy, ignore_errors=True)
            _copy_tree(self.path(name, max(earlier)), copy)
            copy.rename(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for each in earlier:
            shutil.rmtree(self.path(name, each), ignore_errors=True)
        return folder

    def remove(self, name: str) -> None:
        """Remove all workspaces of the key."""
        for number in self._numbers(name):
            shutil.rmtree(self.path(name, number), ignore_errors=True)

    def clean(self, is_published: Callable[[str], bool]) -> None:
        """Remove the workspaces of all keys that are published; what else lies there is kept."""
        for folder in sorted(self._folder.glob("*")):
            made_here = _FOLDER.fullmatch(folder.name)
            if made_here and folder.is_dir() and is_published(made_here["name"]):
                shutil.rmtree(folder, ignore_errors=True)

    def _numbers(self, name: str) -> list[int]:
        found = []
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for entry in entries:
                made_here = _FOLDER.fullmatch(entry.name)
                if made_here and made_here["name"] == name and not made_here["copy"]:
                    found.append(int(made_here["number"] or 1))
        return found


def _copy_tree(folder: Path, to: Path) -> None:
    """Copy a folder whose owner, if it lives, may still replace or remove files in it."""
    try:
        shutil.copytree(folder, to, symlinks=True)
    except shutil.Error as failed:
        errors: list[tuple[str, str, str]] = failed.args[0]
        left = [each for each in errors if Path(each[0]).exists()]
        if left:
            raise OSError(errno.EIO, f"{left[0][0]} cannot be copied: {left[0][2]}") from failed
