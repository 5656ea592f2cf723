"""Pictures of a mixture, drawn from its document.

A picture that exists with the same content is kept, so that a run whose results are all in the
store neither loads matplotlib nor draws. Each picture has a text that says what it shows, for
readers who cannot see it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataselect._version import __version__
from dataselect.report import numbers
from dataselect.wording import one_line

Array = NDArray[np.float64]

_DRAWN = (
    *(
        "sources",
        "beside",
        "objective",
        "objective_unit",
        "lower_is_better",
        "confidence",
        "held_out",
    ),
    *("map", "accuracy"),
)
"""Keys of a document that pictures show, besides the steps of a search."""
_HEAD = 4_000
"""Bytes at the start of a picture that contain its key."""


@dataclass(frozen=True)
class Picture:
    """A picture in the folder of a mixture."""

    file: str
    """Name of the file."""
    alt: str
    """What it shows, in words."""


def pictures(document: Mapping[str, Any]) -> dict[str, Picture]:
    """The pictures of a document, by a short name of what they show."""
    confidence = f"{document['confidence']:.0%}"
    ranked = sorted(document["sources"].items(), key=lambda item: -item[1]["weight"])
    listed = ", ".join(
        f"{name} {numbers.percent(each['weight'])}" for name, each in ranked[:6] if each["weight"]
    )
    what = "target accuracy" if document.get("accuracy") else "objective"
    runs = document["held_out"]["rank_correlation"]["runs"]
    found = {
        "weights": Picture("weights.svg", f"Proposed weights with intervals: {listed}"),
        "slices": Picture(
            "slices.svg",
            f"Predicted {what} along the weight of each source, the others scaled, with its "
            f"{confidence} interval",
        ),
    }
    if document["map"] is not None:
        found["map"] = Picture(
            "map.svg",
            "Predicted objective of all mixtures of the three sources, and the half width of its "
            f"{confidence} interval, with runs, prior and proposal",
        )
    found["held-out"] = Picture(
        "held-out.svg", f"Predicted against observed objective of {runs} held-out runs"
    )
    if "search" in document:
        found["course"] = Picture(
            "course.svg",
            "Objective of the search's trials in their order: designed, proposed, confirming",
        )
    return found


def missing_pictures(document: Mapping[str, Any], runs: Array, folder: Path) -> dict[str, str]:
    """SVG text by file of the pictures missing in the folder; `runs` are shares (runs, sources)."""
    key = _key(document, runs)
    missing = {
        name: picture.file
        for name, picture in pictures(document).items()
        if not _is_there(folder / picture.file, key)
    }
    if not missing:
        return {}
    from dataselect.report.pictures.draw import drawn

    plain = _plain(document["sources"])
    return {file: drawn(name, document, runs, key, plain) for name, file in missing.items()}


def _key(document: Mapping[str, Any], runs: Array) -> str:
    content = {name: document.get(name) for name in _DRAWN}
    steps = document["search"]["steps"] if "search" in document else None
    text = json.dumps([__version__, content, steps, runs.tolist()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _is_there(path: Path, key: str) -> bool:
    try:
        with path.open("rb") as file:
            return key.encode() in file.read(_HEAD)
    except OSError:
        return False


def _plain(names: Iterable[str]) -> bool:
    """Whether all letters can be drawn as shapes; others are left to the reader's fonts."""
    return all(one_line(name).isascii() for name in names)
