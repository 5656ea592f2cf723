"""`import dataselect` is quick: it loads nothing heavy until something is used."""

import re
import subprocess
import sys

import pytest

import dataselect as ds

HEAVY = ("torch", "transformers", "datasets", "pandas", "numpy", "scipy", "pydantic", "rich")
MOST_MICROSECONDS = 50_000


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys\nbefore = set(sys.modules)\nimport dataselect\n"
        "loaded = set(sys.modules) - before\n"
        "assert loaded == {'dataselect', 'dataselect._version'}, loaded\n"
        "dir(dataselect)\n"
        f"assert not set({HEAVY}) & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_takes_milliseconds() -> None:
    assert min(_import_time() for _ in range(5)) < MOST_MICROSECONDS


def _import_time() -> int:
    """Cumulative microseconds of `import dataselect`."""
    call = [sys.executable, "-X", "importtime", "-c", "import dataselect"]
    told = subprocess.run(call, check=True, capture_output=True, text=True).stderr
    line = re.search(r"\| +(\d+) \| dataselect$", told, re.MULTILINE)
    assert line is not None, told
    return int(line[1])


@pytest.mark.parametrize("name", ds.__all__)
def test_every_public_name_is_there_and_explained(name: str) -> None:
    found = getattr(ds, name)
    assert name == "__version__" or found.__doc__
    assert name in dir(ds)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'agreee'"):
        _ = ds.agreee
