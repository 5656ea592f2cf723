"""Which files of a local folder are its train, validation and test split.

The rules are those of the installed `datasets`, so that a folder gives the rows that `load_dataset`
would give: the `configs:` of the folder's README.md, else words in the names of files and folders
(`train.jsonl`, `data/test-00000-of-00003.parquet`, `dev/…`). A folder without such words is one
split, `train`. Two differences: a file that matches two patterns is taken once, where `datasets`
gives its rows twice; and files that hold no data (`train.py`, `test.log`) name no split, where
`datasets` finds no data at all.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from dataselect.errors import InputError
from dataselect.wording import nearest, quoted

README = "README.md"
STANDALONE_CONFIGS = ".huggingface.yaml"
_SLICE = re.compile(r"[\[\]%:]")


@dataclass(frozen=True)
class Splits:
    """The files of a folder by split."""

    files: Mapping[str, tuple[Path, ...]]
    """By the name of the split, each file once."""
    config: str | None = None
    """The configuration of the README.md that decides; None where names do."""


def is_data(name: PurePosixPath) -> bool:
    """Whether `datasets` takes a file for data: none that is hidden, special or describes data."""
    from datasets.data_files import FILES_TO_IGNORE

    hidden = any(part.startswith(".") for part in name.parts)
    special = any(part.startswith("__") for part in name.parent.parts)
    return not (hidden or special or name.name in FILES_TO_IGNORE)


def splits_by_name(folder: Path, names: Iterable[str]) -> Splits:
    """The splits that the names of data files show; `names` are below `folder`, with slashes."""
    by_split = _by_name(tuple(sorted(names)))
    return Splits({split: tuple(folder / name for name in found) for split, found in by_split})


@lru_cache(maxsize=64)
def _by_name(names: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    # The function that `load_dataset` itself uses, on names instead of a file system: it tries some
    # sixty patterns, and each would walk through the folder.
    from datasets.data_files import _get_data_files_patterns

    if not names:
        return ()
    patterns: dict[str, list[str]] = _get_data_files_patterns(lambda each: _matching(each, names))
    return tuple(
        (
            str(split),
            tuple(dict.fromkeys(name for each in found for name in _matching(each, names))),
        )
        for split, found in patterns.items()
    )


def _matching(pattern: str, names: tuple[str, ...]) -> list[str]:
    matches = _compiled(pattern).match
    return [name for name in names if matches(name)]


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    # The translation by which fsspec matches the patterns of `datasets` to files.
    from fsspec.utils import glob_translate

    return re.compile(glob_translate(pattern))


def configured_splits(folder: Path, chosen: str | None, where: str) -> Splits | None:
    """The splits that a folder's README.md lists under `configs:`; None where it lists none.

    `chosen` is the configuration asked for, None for the default one. Raises InputError, beginning
    with `where`, for a configuration that is not there and for one that names no files.
    """
    configs = _configs(folder)
    if not configs:
        return None
    names = ", ".join(configs)
    try:
        config = chosen or configs.get_default_config_name()
    except ValueError:
        config = None
    if config is None:
        problem = f"{folder / README} has the configurations {names}, and no default"
        raise InputError(f"{where}: name", problem, f"set name: to one of: {names}")
    if config not in configs:
        raise InputError(
            f"{where}: name",
            f"{folder / README} has no configuration {quoted(config)}",
            nearest(config, configs) or f"set name: to one of: {names}",
        )
    keys, base = configs[config], folder
    if keys.get("data_dir"):
        base = folder / str(keys["data_dir"])
    files: dict[str, tuple[Path, ...]] = {}
    if keys.get("data_files") is None:
        found = [p.relative_to(base) for p in base.rglob("*") if p.is_file()]
        named = splits_by_name(base, (p.as_posix() for p in found if is_data(PurePosixPath(p))))
        files = dict(named.files)
    else:
        from datasets.data_files import sanitize_patterns

        for split, patterns in sanitize_patterns(keys["data_files"]).items():
            files[split] = tuple(
                path for each in patterns for path in _resolved(each, base, folder, config)
            )
    unique = {split: tuple(dict.fromkeys(paths)) for split, paths in files.items()}
    return Splits(unique, config)


def _configs(folder: Path) -> Any:
    """The configurations as `datasets` reads them: a mapping by name."""
    readme, standalone = folder / README, folder / STANDALONE_CONFIGS
    data: dict[str, Any] = {}
    place = readme
    try:
        if readme.is_file():
            text = readme.read_text(encoding="utf-8", errors="replace")
            block = re.match(r"\s*---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(\r?\n|$)", text, re.DOTALL)
            if block is not None and "configs" in block[1]:
                data |= _mapping(block[1])
        if standalone.is_file():
            place = standalone
            data |= _mapping(standalone.read_text(encoding="utf-8"))
        if not data.get("configs"):
            return {}
        from datasets.utils.metadata import MetadataConfigs

        return MetadataConfigs.from_dataset_card_data({"configs": data["configs"]})
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            place,
            f"its configs: cannot be read ({reason})",
            "correct it, or name the files in data_files",
        ) from None


def _mapping(text: str) -> dict[str, Any]:
    from ruamel.yaml.error import YAMLError

    from dataselect.config.yamlfile import bounded_yaml

    try:
        data = bounded_yaml().load(text)
    except YAMLError as error:
        raise ValueError(str(error)) from None
    return data if isinstance(data, dict) else {}


def _resolved(pattern: Any, base: Path, folder: Path, config: str) -> list[Path]:
    from datasets.data_files import resolve_pattern

    where, text = folder / README, str(pattern)
    if "://" in text:
        raise InputError(
            where,
            f"configuration {quoted(config)} names an address, which is not read",
            "download the files and name them in data_files",
        )
    real = folder.resolve()
    try:
        found = [Path(path) for path in resolve_pattern(text, str(base.resolve()))]
        # Below the folder as the user wrote it, which may be a link.
        return [
            folder / path.relative_to(real) if path.is_relative_to(real) else path for path in found
        ]
    except FileNotFoundError:
        raise InputError(
            where,
            f"configuration {quoted(config)}: no file matches {quoted(text)}",
            "correct the pattern, or name the files in data_files",
        ) from None


def split_files(
    splits: Splits, wanted: str, folder: Path, where: str, files: int | None = None
) -> list[Path]:
    """The files of a split, or of several (`train+validation`, `all`), each once.

    `files`: how many the folder has, where their names decide. Raises InputError, beginning with
    `where`, for a split that is not there and for a slice.
    """
    if _SLICE.search(wanted):
        raise InputError(
            f"{where}: split",
            f"{quoted(wanted)}: slices of a split are read from the Hub only",
            "name a whole split, or the files in data_files",
        )
    parts = list(splits.files) if wanted == "all" else [p.strip() for p in wanted.split("+")]
    for part in parts:
        if part not in splits.files:
            raise _no_split(splits, part, folder, f"{where}: split", files)
    return list(dict.fromkeys(path for part in parts for path in splits.files[part]))


def _no_split(splits: Splits, part: str, folder: Path, where: str, files: int | None) -> InputError:
    there = ", ".join(splits.files)
    problem = f"there is no split {quoted(part)} in {folder} (splits: {there})"
    taken = {path: name for name, paths in splits.files.items() for path in paths}
    if files is None or files <= len(taken):
        return InputError(
            where, problem, "set split: to one of them, or name the files in data_files"
        )
    # A word in a few names takes all other files out, which nobody expects.
    path, name = next(iter(taken.items()))
    return InputError(
        where,
        f"{problem}: by a word in their names, as in {quoted(path.name)} ({name}), "
        f"{len(taken)} of its {files} files are in these splits, and the others in none",
        "to read all, write path: json, parquet, arrow or text, and name them in data_files:, or "
        "rename those; or set split: to one of the splits",
    )
