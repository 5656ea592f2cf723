"""An n-gram model written again, slowly and otherwise: dictionaries of all n-grams of a text."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence


class NaiveModel:
    """Witten-Bell over texts that are each counted on their own."""

    def __init__(self, texts: Sequence[Sequence[int]], order: int, vocabulary: int) -> None:
        self.order, self.vocabulary = order, vocabulary
        self.tokens = sum(len(text) for text in texts)
        self.counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for text in texts:
            for place, token in enumerate(text):
                for length in range(min(order - 1, place) + 1):
                    self.counts[tuple(text[place - length : place])][token] += 1

    def probability(self, context: Sequence[int], token: int) -> float:
        """p of a token after a context, of which at most order − 1 tokens count."""
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        return self._interpolated(context, token)

    def _interpolated(self, context: tuple[int, ...], token: int) -> float:
        after = self.counts.get(context, Counter())
        if not context:
            return (after[token] + 1) / (self.tokens + self.vocabulary)
        shorter = self._interpolated(context[1:], token)
        total, kinds = sum(after.values()), len(after)
        return (after[token] + kinds * shorter) / (total + kinds) if total else shorter

    def nll(self, sequence: Sequence[int]) -> list[float]:
        """−ln p of every token of a sequence, in nats."""
        return [
            -math.log(self.probability(sequence[:place], token))
            for place, token in enumerate(sequence)
        ]


def rounds(stream: Sequence[int], tokens: int) -> list[Sequence[int]]:
    """What is read of a stream: whole rounds, and the beginning of another."""
    whole, rest = divmod(tokens, len(stream))
    return [*([stream] * whole), stream[:rest]]
