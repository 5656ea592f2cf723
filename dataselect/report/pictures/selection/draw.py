"""Draw the pictures of a run. Only this module and those it imports load matplotlib."""

from collections.abc import Callable, Mapping
from typing import Any

from matplotlib.figure import Figure

from dataselect.report.pictures.selection import selection_pictures
from dataselect.report.pictures.selection.cost import draw_cost
from dataselect.report.pictures.selection.fits import draw_fits
from dataselect.report.pictures.selection.pairs import draw_pairs
from dataselect.report.pictures.selection.rows import WIDTH, draw_ranking, draw_truth
from dataselect.report.pictures.selection.stages import draw_stages
from dataselect.report.pictures.style import look, to_svg
from dataselect.report.pictures.weights import draw_shares


def _draw_mixture(document: Mapping[str, Any]) -> Figure:
    return draw_shares(document["mixture"]["proposal"], WIDTH)


_DRAW: Mapping[str, Callable[[Mapping[str, Any]], Figure]] = {
    "ranking": draw_ranking,
    "pairs": draw_pairs,
    "stages": draw_stages,
    "fits": draw_fits,
    "truth": draw_truth,
    "mixture": _draw_mixture,
    "cost": draw_cost,
}


def draw_selection(document: Mapping[str, Any]) -> dict[str, str]:
    """SVG text of every picture of a run, by name. The same document gives the same text."""
    with look():
        # Text stays text: it can be searched and read aloud, and a page can give it its colour.
        return {
            name: to_svg(_DRAW[name](document), name, plain=False)
            for name in selection_pictures(document)
        }
