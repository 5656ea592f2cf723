"""Checkpoints of proxy and target paired at equal tokens, or as nearly equal as possible.

At each token count the nearest checkpoint of both is taken, if it lies within the tolerance. A spec
may ask for unequal ones instead: a proxy at its end predicts a target at its own end. No
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
    """The token count to pair at, that of the target where the two differ by intention."""
    proxy: int
    """Tokens of the proxy's checkpoint."""
    target: int
    """Tokens of the target's checkpoint."""
    proxy_at: int | None = None
    """The proxy's token count where it is another than the target's by intention."""

    @property
    def apart(self) -> int:
        """Tokens between the two, or how far one lies from where it is wanted by intention."""
        if self.proxy_at is None:
            return abs(self.proxy - self.target)
        return max(abs(self.proxy - self.proxy_at), abs(self.target - self.tokens))


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
        widest = max(self.found, key=lambda match: match.apart / match.tokens)
        share = f"{format_count(widest.apart)} tokens ({widest.apart / widest.tokens:.1%})"
        counts = [format_count(match.tokens) for match in self.found]
        if self.found[0].proxy_at is not None:
            of_proxy = ", ".join(format_count(match.proxy_at or 0) for match in self.found)
            where = f", the proxy at {of_proxy} and the target at {', '.join(counts)} tokens"
            apart = f"at most {share} off" if widest.apart else "exactly"
        else:
            where = f" from {counts[0]} to {counts[-1]} tokens"
            apart = f"at most {share} apart" if widest.apart else "equal tokens"
        if len(counts) == 1 and self.found[0].proxy_at is None:
            where = f" at {counts[0]} tokens"
        pairs = f"{len(counts)} pair{'' if len(counts) == 1 else 's'}"
        return f"{pairs}{where}, {apart}{self._left_out()}"

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
    for of_proxy, tokens in pairing.unequal or [(tokens, tokens) for tokens in grid]:
        proxy = _nearest(proxies, of_proxy, pairing.reach(of_proxy))
        target = _nearest(targets, tokens, pairing.reach(tokens))
        if proxy is None or target is None:
            lacking = [name for name, p in (("proxy", proxy), ("target", target)) if p is None]
            reason = f"no checkpoint of the {' and '.join(lacking)} within {pairing.tolerance:.1%}"
            missing.append((tokens, reason))
        elif any(proxy == other.proxy or target == other.target for other in found):
            missing.append((tokens, "its nearest checkpoint is paired already"))
        else:
            intended = of_proxy if pairing.unequal else None
            found.append(Match(tokens, proxy, target, intended))
    return Matches(tuple(found), tuple(missing))


def _nearest(points: Sequence[int], tokens: int, reach: float) -> int | None:
    nearest = min((p for p in points if p), key=lambda p: (abs(p - tokens), p), default=None)
    return nearest if nearest is not None and abs(nearest - tokens) <= reach else None
