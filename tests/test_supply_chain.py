"""What is installed: locked by hash for every platform, under licences that we have looked at."""

import importlib.metadata
import importlib.util
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = [ROOT / "requirements.lock", *sorted((ROOT / ".ci").glob("*.lock"))]
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0"),
    *("CNRI-Python", "ISC", "LLVM-exception", "MIT", "MIT-CMU", "MPL-2.0", "PSF-2.0", "Zlib"),
}
"""Permissive licences, and those that bind a file alone (MPL-2.0)."""
OTHER_NAMES = {
    "Apache 2.0": "Apache-2.0",
    "Apache 2.0 License": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def load(path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[path.stem] = module
    specification.loader.exec_module(module)
    return module


install = load(ROOT / ".ci" / "install.py")
RUNTIME = install.locked((ROOT / "requirements.lock").read_text())
DEV = install.locked((ROOT / ".ci" / "requirements-dev.lock").read_text())


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_hashes_and_no_host_is_named(lock: Path) -> None:
    text = lock.read_text()
    entries = install.locked(text)
    assert entries
    for name, entry in entries.items():
        assert re.match(rf"{re.escape(name)}==\d\S*", entry), name
        assert HASH.search(entry), name
    assert "://" not in text
    assert not re.search(r"^\s*-(?!-hash)", text, re.MULTILINE), "an option of pip"


def test_the_lock_holds_what_the_project_asks_for_at_a_version_that_it_allows() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        stated = tomllib.load(file)
    runtime = stated["project"]["dependencies"] + stated["build-system"]["requires"]
    dev = stated["project"]["optional-dependencies"]["dev"]
    for wanted, entries in ((runtime, RUNTIME), (dev, RUNTIME | DEV)):
        for requirement in map(Requirement, wanted):
            version = install.pinned_version(entries[canonicalize_name(requirement.name)])
            assert version in requirement.specifier, requirement
    assert install.pinned_version(RUNTIME["torch"]) == "2.13.0"


def test_releases_are_locked_for_other_platforms_too() -> None:
    # numpy alone has a file for each system, processor and Python.
    for name in ("numpy", "torch", "tokenizers", "safetensors", "pyarrow"):
        assert len(HASH.findall(RUNTIME[name])) >= 15, name


TORCH = "torch==1.0 \\\n    --hash=sha256:00\n"
ENTRIES = {
    "torch": TORCH,
    "numpy": "numpy==2.0 \\\n    --hash=sha256:01\n",
    "nvidia-cublas": "nvidia-cublas==3 ; sys_platform == 'linux' \\\n    --hash=sha256:02\n",
    "triton": "triton==3 \\\n    --hash=sha256:03\n",
}
CPU = {"torch": TORCH.replace("1.0", "1.0+cpu").replace("00", "04")}


@pytest.mark.parametrize(
    ("offered", "cpu", "by_version", "hashed", "unhashed"),
    [
        ("1.0", CPU, False, ENTRIES, None),
        ("1.0+cpu", CPU, False, {"numpy": ENTRIES["numpy"], **CPU}, None),
        ("1.0+cpu", {}, False, {"numpy": ENTRIES["numpy"]}, "1.0+cpu"),
        ("1.0+cu126", CPU, False, {"numpy": ENTRIES["numpy"]}, "1.0+cu126"),
        ("1.0", CPU, True, {"numpy": ENTRIES["numpy"]}, "1.0"),
    ],
)
def test_torch_is_that_of_the_index_with_its_hash_where_it_is_known(
    offered: str,
    cpu: dict[str, str],
    by_version: bool,
    hashed: dict[str, str],
    unhashed: str | None,
) -> None:
    choice = install.choose(ENTRIES, offered, cpu, by_version=by_version)
    assert (choice.entries, choice.torch_by_version) == (hashed, unhashed)


def test_uv_sees_the_indexes_that_pip_is_set_to() -> None:
    mirror = {"PIP_INDEX_URL": "a", "PIP_EXTRA_INDEX_URL": "b  c", "PIP_FIND_LINKS": "d e"}
    assert dict(install.uv_settings(mirror)) == {
        "UV_DEFAULT_INDEX": "a",
        "UV_INDEX": "b c",
        "UV_FIND_LINKS": "d,e",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert dict(install.uv_settings({"PIP_INDEX_URL": "a", "UV_DEFAULT_INDEX": "z"})) == {}


def licences(name: str) -> set[str]:
    """The identifiers that a package states, by SPDX where it has one."""
    stated = importlib.metadata.metadata(name)
    classifiers = [
        each.rpartition(" :: ")[2]
        for each in stated.get_all("Classifier", [])
        if each.startswith("License :: ")
    ]
    expression = stated.get("License-Expression")
    texts = [expression] if expression else classifiers or [stated.get("License", "")]
    return {
        OTHER_NAMES.get(part, part)
        for text in texts
        for part in ([text] if text in OTHER_NAMES else re.split(r" (?:AND|OR|WITH) |[()]", text))
        if part
    }


def test_every_installed_package_of_the_lock_has_a_licence_that_is_allowed() -> None:
    seen = 0
    for name in RUNTIME:
        try:
            found = licences(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # of another platform
        seen += 1
        assert found, f"{name} states no licence"
        assert found <= ALLOWED, f"{name}: {found - ALLOWED}"
    assert seen >= 60
