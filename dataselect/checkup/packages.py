"""Python and the packages that dataselect needs, against the versions that it allows."""

import platform
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from dataselect._version import __version__
from dataselect.checkup.finding import Finding

_PART = "environment"
_EXTRAS = {
    "fast": "training small proxies in half the time",
    "tokens": "tokenising texts many times as fast",
    "trees": "mix fit --trees",
    "s3": "--store s3://… and texts there",
    "gcs": "--store gs://… and texts there",
    "azure": "--store az://… and texts there",
    "slurm": "--on slurm",
    "ray": "--on ray",
}
"""What each extra is for."""


def examine_packages() -> Iterator[Finding]:
    """Python, dataselect, and each required package that does not fit, or one row for all."""
    requires, needed = _requirements()
    found = platform.python_version()
    if needed and not _fits(needed, found):
        fix = f"make an environment with Python {needed}"
        yield Finding(_PART, "Python", "problem", f"{found}, and {needed} is needed", fix)
    else:
        yield Finding(_PART, "Python", "ok", f"{found}, {sys.executable}")
    yield Finding(_PART, "dataselect", "ok", f"{__version__}, {Path(__file__).parents[1]}")
    if not requires:
        yield Finding(
            _PART,
            "packages",
            "note",
            "what dataselect needs is recorded neither by pip nor in a pyproject.toml",
            "install it with pip install .",
        )
        return
    wrong = list(_wrong(requires))
    yield from wrong
    if not wrong:
        count = sum(1 for each in requires if "extra ==" not in each)
        yield Finding(_PART, "packages", "ok", f"all {count} are here in versions that fit")


def examine_extras() -> Iterator[Finding]:
    """The packages of each extra: missing ones are no fault until a run needs them."""
    requires, _ = _requirements()
    for extra, purpose in _EXTRAS.items():
        names = [each for each in _parsed(requires) if _is_of(each, extra)]
        if not names:
            continue
        versions = {each.name: _version(each.name) for each in names}
        missing = [name for name, version in versions.items() if version is None]
        wrong = [
            f"{each.name} {versions[each.name]}, and {each.specifier} is needed"
            for each in names
            if versions[each.name] and not each.specifier.contains(versions[each.name])
        ]
        fix = f"pip install 'dataselect[{extra}]'"
        if wrong:
            yield Finding("extras", extra, "note", "; ".join(wrong), fix)
        elif missing:
            text = f"not installed: {', '.join(missing)}, for {purpose} ({fix})"
            yield Finding("extras", extra, "ok", text)
        else:
            text = ", ".join(f"{name} {version}" for name, version in versions.items())
            yield Finding("extras", extra, "ok", f"{text}, for {purpose}")


def has_extra(extra: str) -> bool:
    """Whether all packages of an extra are installed."""
    names = [each.name for each in _parsed(_requirements()[0]) if _is_of(each, extra)]
    return all(_version(name) is not None for name in names)


def _wrong(requires: Sequence[str]) -> Iterator[Finding]:
    for each in _parsed(requires):
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        version = _version(each.name)
        needed = f"{each.name}{each.specifier}"
        if version is None:
            problem = "it is not installed"
        elif not each.specifier.contains(version, prereleases=True):
            problem = f"{version}, and {each.specifier} is needed"
        else:
            continue
        yield Finding(_PART, each.name, "problem", problem, f"pip install '{needed}'")


def _parsed(requires: Sequence[str]) -> list[Any]:
    # Comes with transformers and datasets; without these their own rows say what is missing.
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return []
    return [Requirement(each) for each in requires]


def _is_of(requirement: Any, extra: str) -> bool:
    marker = requirement.marker
    if marker is None or "extra" not in str(marker):
        return False
    return bool(marker.evaluate({"extra": extra})) and not marker.evaluate({"extra": ""})


def _fits(specifier: str, version: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True
    return SpecifierSet(specifier).contains(version, prereleases=True)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> tuple[list[str], str]:
    """The requirements, those of extras marked as such, and Python's versions.

    A checkout's own pyproject.toml comes first: what pip recorded may be of an older one.
    """
    file = Path(__file__).parents[2] / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        if project["name"] != "dataselect":
            raise KeyError("name")
    except (OSError, ValueError, KeyError):
        try:
            found = metadata.metadata("dataselect")
        except metadata.PackageNotFoundError:
            return [], ""
        return metadata.requires("dataselect") or [], found["Requires-Python"] or ""
    extras = project.get("optional-dependencies", {})
    of_extras = [f"{each}; extra == '{name}'" for name, all_ in extras.items() for each in all_]
    return [*project["dependencies"], *of_extras], project["requires-python"]
