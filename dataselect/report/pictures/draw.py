"""Draw a picture by its name. Only this module and those it imports load matplotlib."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataselect.report.pictures.slices import draw_slices
from dataselect.report.pictures.style import look, to_svg
from dataselect.report.pictures.trials import draw_course, draw_held_out
from dataselect.report.pictures.triangle import draw_triangle
from dataselect.report.pictures.weights import draw_shares

Array = NDArray[np.float64]


def drawn(name: str, document: Mapping[str, Any], runs: Array, key: str, plain: bool) -> str:
    """The SVG of one picture."""
    with look():
        match name:
            case "weights":
                figure = draw_shares(document)
            case "slices":
                figure = draw_slices(document, runs)
            case "map":
                figure = draw_triangle(document, runs)
            case "held-out":
                figure = draw_held_out(document)
            case "course":
                figure = draw_course(document)
            case _:
                raise AssertionError(f"no picture {name}")
        return to_svg(figure, key, plain)
