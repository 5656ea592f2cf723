"""The colours of all pictures of a report; without matplotlib, for pages that hold pictures."""

from collections.abc import Mapping

BLUE, ORANGE, GREEN, GREY, INK = "#0072b2", "#d55e00", "#009e73", "#8a8a8a", "#222222"
PALE = "#bcdcee"
"""Colours of Okabe and Ito, which colour-blind people can tell apart; shapes differ as well."""

THEME: Mapping[str, str] = {
    BLUE: "blue",
    ORANGE: "orange",
    GREEN: "green",
    GREY: "grey",
    INK: "ink",
    PALE: "pale",
    "#000000": "ink",
    "#ffffff": "card",
}
"""Names of the colours in an HTML page, which has others in dark mode."""
