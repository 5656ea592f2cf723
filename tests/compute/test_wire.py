"""Values that travel as text come back as they were, and text names nothing that runs code."""

import enum
import io
import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.compute.wire import WireError, decode, encode
from dataselect.scoring.series import Member
from dataselect.store import Store
from dataselect.store.sharing import Sharing


class Colour(enum.Enum):
    """An enumeration."""

    RED = "r"


@dataclass(frozen=True)
class Box:
    """A dataclass with a field that is computed."""

    path: Path
    runs: tuple[tuple[int, float | None], ...]
    size: int = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", len(self.runs))


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.binary()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner),
        st.lists(inner).map(tuple),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner),
    ),
    max_leaves=8,
)


@given(VALUES)
def test_plain_values_come_back_with_their_types(value: Any) -> None:
    back = decode(encode(value), imports=False)
    assert back == value
    assert repr(back) == repr(value)  # also 1 and True, tuples and lists, 0.0 and -0.0


@pytest.mark.parametrize(
    "value",
    [
        Box(Path("/data/x"), ((3, 0.5), (1, None))),
        {"boxes": [Box(Path("a"), ())]},
        Colour.RED,
        np.float32(0.1),
        {8, 0},
        frozenset({("a", 1)}),
    ],
    ids=["dataclass", "nested", "enumeration", "numpy", "set", "frozen set"],
)
def test_own_types_come_back(value: Any) -> None:
    back = decode(encode(value), imports=False)
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"c":"subprocess:Popen","f":{"args":"false"}}', "no dataclass"),
        ('{"c":"os:system","f":{"command":"false"}}', "no dataclass"),
        ('{"e":"subprocess:Popen","v":"x"}', "no dataclass"),
        ('{"c":"not_loaded_at_all:Thing","f":{}}', "no dataclass"),
        ('{"x":1}', "unknown tag"),
        ('{"n":"memmap","v":1}', "unknown tag"),
        ("cos\nsystem\n(S'false'\ntR.", "not the text of a value"),
        ("{}", "without a tag"),
    ],
)
def test_text_that_names_anything_else_is_refused(text: str, problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        decode(text, imports=False)


def test_what_cannot_be_sent_is_named() -> None:
    with pytest.raises(WireError, match=r"value\['a'\] is a _io\.BytesIO"):
        encode({"a": io.BytesIO()})


def test_a_class_that_nobody_else_could_import_is_refused() -> None:
    @dataclass
    class Hidden:
        n: int = 0

    with pytest.raises(WireError, match="not importable by name"):
        encode(Hidden())


def test_traces_take_little_more_text_than_plain_json() -> None:
    runs = tuple((n % 7 + 1, 0.25 * n) for n in range(1000))
    assert len(encode(runs)) < len(json.dumps(runs))


assert subprocess.Popen  # loaded, so that only its kind keeps it out


def test_a_store_travels_by_its_place_also_inside_a_checkpoint(tmp_path: Path) -> None:
    shared = Store(tmp_path, lambda work, holder: None, sharing=Sharing(tmp_path, "memory://b/t"))
    sent = decode(
        encode({"store": shared, "of": (Member("a", 1, 8, tmp_path, "float32", shared),)}),
        imports=False,
    )
    for store in (sent["store"], sent["of"][0].store):
        assert isinstance(store, Store)
        assert store.root == tmp_path
        assert store.sharing is not None
        assert store.sharing.name == "memory://b/t"


class Unasked:
    """Says how it is copied, and not that it may be sent."""

    def __reduce__(self) -> tuple[type, tuple[int]]:
        return Unasked, (1,)


def test_a_class_that_is_not_sendable_is_neither_written_nor_made() -> None:
    with pytest.raises(WireError, match="cannot be sent"):
        encode(Unasked())
    with pytest.raises(WireError, match="no dataclass"):
        decode(f'{{"r":"{__name__}:Unasked","a":[1]}}', imports=False)
