"""Checkpoints of proxy and target paired at equal tokens, or as nearly equal as possible.

At each token count the nearest checkpoint of both is taken, if it lies within the tolerance. No
checkpoint is used at two counts, because a pair counted twice looks like more evidence than there
is. What was not paired, and how far the pairs lie apart, is reported: unequal tokens cause an error
of the score in an unknown direction.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dataselect.calibration.spec import Pairing
from dataselect.units import format_count


@dataclass(frozen=True)
class Match:
    """A pair of checkpoints, by their token counts."""

    tokens: int
    """The token count to pair at."""
    proxy: int
    """Tokens of the proxy's checkpoint."""
    target: int
    """Tokens of the target's checkpoint."""

    @property
    def apart(self) -> int:
        """Tokens between the two checkpoints."""
        return abs(self.proxy - self.target)


@dataclass(frozen=True)
class Matches:
    """The pairs of one benchmark."""

    found: tuple[Match, ...]
    """Pairs by rising tokens."""
    missing: tuple[tuple[int, str], ...]
    """Token counts without a pair, each with the reason."""

    def describe(self) -> str:
        """A sentence: what was paired, how far apart the checkpoints lie, what was left out."""
        if not self.found:
            return f"nothing is paired{self._left_out()}"
        first, last = self.found[0], self.found[-1]
        widest = max(self.found, key=lambda match: match.apart / match.tokens)
        apart = "equal tokens"
        if widest.apart:
            share = widest.apart / widest.tokens
            apart = f"at most {format_count(widest.apart)} tokens ({share:.1%}) apart"
        return (
            f"{len(self.found)} pairs from {format_count(first.tokens)} to"
            f" {format_count(last.tokens)} tokens, {apart}{self._left_out()}"
        )

    def _left_out(self) -> str:
        by_reason = Counter(reason for _, reason in self.missing)
        parts = []
        for reason in by_reason:
            counts = [format_count(tokens) for tokens, why in self.missing if why == reason]
            shown = ", ".join(counts[:6]) + (f" and {len(counts) - 6} more" if counts[6:] else "")
            parts.append(f"; not paired: {shown} ({reason})")
        return "".join(parts)


def match(proxies: Sequence[int], targets: Sequence[int], pairing: Pairing) -> Matches:
    """Pair checkpoints by their token counts; counts of 0 are ignored."""
    grid = pairing.grid()
    if grid is None:
        grid = sorted(tokens for tokens in set(targets) if tokens and pairing.includes(tokens))
    found: list[Match] = []
    missing: list[tuple[int, str]] = []
    for tokens in grid:
        reach = pairing.reach(tokens)
        proxy, target = (_nearest(points, tokens, reach) for points in (proxies, targets))
        if proxy is None or target is None:
            lacking = [name for name, p in (("proxy", proxy), ("target", target)) if p is None]
            reason = f"no checkpoint of the {' and '.join(lacking)} within {pairing.tolerance:.1%}"
            missing.append((tokens, reason))
        elif any(proxy == other.proxy or target == other.target for other in found):
            missing.append((tokens, "its nearest checkpoint is paired already"))
        else:
            found.append(Match(tokens, proxy, target))
    return Matches(tuple(found), tuple(missing))


def _nearest(points: Sequence[int], tokens: int, reach: float) -> int | None:
    nearest = min((p for p in points if p), key=lambda p: (abs(p - tokens), p), default=None)
    return nearest if nearest is not None and abs(nearest - tokens) <= reach else None
