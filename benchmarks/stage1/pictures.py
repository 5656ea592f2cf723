"""Two small SVG pictures, written by hand: the project draws with no library."""

import math
from collections.abc import Iterable
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 560, 380, 60, 330, 20, 540
COLOURS = ("#1b6ca8", "#c8553d", "#4f8a4c", "#7a5c99")
STYLE = 'font-family="sans-serif" font-size="12" fill="#333"'


def reliability_picture(calibration: dict[str, Any]) -> str:
    """True share against stated probability, leave-family-out, of the shipped form and of Φ(z)."""
    shown = {
        "shipped, 1 seed": (calibration["shipped"], 1),
        "shipped, 3 seeds": (calibration["shipped"], 3),
        "seeds alone, 3 seeds": ("seeds alone, Φ(z)", 3),
    }

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + (x - 0.5) / 0.5 * (RIGHT - LEFT), BOTTOM - (y - 0.4) / 0.6 * (BOTTOM - TOP)

    parts = [_line([place(0.5, 0.5), place(1, 1)], "#999", dashed=True)]
    parts += _axes(
        [(place(v, 0.4)[0], f"{v:.1f}") for v in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)],
        [(place(0.5, v)[1], f"{v:.1f}") for v in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)],
        "stated probability",
        "came true",
    )
    for number, (label, (form, seeds)) in enumerate(shown.items()):
        row = next(
            r
            for r in calibration["rows"]
            if (r["form"], r["seeds"], r["asked"]) == (form, seeds, "the paper's two")
        )
        points = [place(b["stated"], b["true"]) for b in row["bins"]]
        parts.append(_line(points, COLOURS[number]))
        for (x, _), each in zip(points, row["bins"], strict=True):
            # The interval is of true less stated.
            low, high = (each["stated"] + end for end in each["gap_interval"])
            parts.append(
                _line(
                    [(x, place(0.5, max(low, 0.4))[1]), (x, place(0.5, min(high, 1.0))[1])],
                    COLOURS[number],
                )
            )
            parts.append(_dot(x, place(0.5, each["true"])[1], COLOURS[number]))
        parts.append(_text(LEFT + 20, TOP + 16 * (number + 1), label, COLOURS[number]))
    return _picture(parts)


def budget_picture(budget: dict[str, Any]) -> str:
    """Decision accuracy against FLOPs of a candidate, by kind of use."""

    def place(flops: float, y: float) -> tuple[float, float]:
        x = (math.log10(flops) - 15.5) / (21.0 - 15.5)
        return LEFT + x * (RIGHT - LEFT), BOTTOM - (y - 0.4) / 0.5 * (BOTTOM - TOP)

    parts = _axes(
        [(place(10.0**e, 0.4)[0], f"1e{e}") for e in range(16, 22)],
        [(place(1e16, v)[1], f"{v:.1f}") for v in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9)],
        "training FLOPs of a candidate",
        "decision accuracy, mean of ARC-C and CSQA",
    )
    kinds = {
        "one run": "one run of a size",
        "seeds": "2 or 3 seeds of a size",
        "sizes": "several sizes",
    }
    for number, (kind, label) in enumerate(kinds.items()):
        for use in budget["uses"]:
            if use["kind"] == kind:
                x, y = place(use["flops"], use["accuracy"])
                parts.append(_dot(x, y, COLOURS[number]))
                if kind == "one run":
                    low, high = (place(1e16, end)[1] for end in use["interval"])
                    parts.append(_line([(x, low), (x, high)], COLOURS[number]))
        parts.append(_text(LEFT + 20, TOP + 16 * (number + 1), label, COLOURS[number]))
    return _picture(parts)


def _axes(
    below: Iterable[tuple[float, str]], beside: Iterable[tuple[float, str]], x: str, y: str
) -> list[str]:
    parts = [_line([(LEFT, TOP), (LEFT, BOTTOM), (RIGHT, BOTTOM)], "#333")]
    parts += [_text(at, BOTTOM + 18, text, "#333", "middle") for at, text in below]
    parts += [_text(LEFT - 8, at + 4, text, "#333", "end") for at, text in beside]
    parts.append(_text((LEFT + RIGHT) / 2, BOTTOM + 38, x, "#333", "middle"))
    middle = (TOP + BOTTOM) / 2
    parts.append(
        f'<text x="16" y="{middle:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 16 {middle:.0f})" {STYLE}>{y}</text>'
    )
    return parts


def _line(points: list[tuple[float, float]], colour: str, dashed: bool = False) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="4 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}"{dash}/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    style = STYLE.replace("#333", colour)
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {style}>{text}</text>'


def _picture(parts: list[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
