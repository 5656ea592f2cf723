"""The cost of requests to a frontier model: prices, an estimate before the start, and a cap.

Before a request is sent, its maximum cost is reserved; it is sent only if everything spent and
reserved stays within the cap. So even answers of maximum length do not exceed the cap. Prices are
built in for a few models only and change: the user's prices take precedence.

Not here: which requests are sent, and their permanent record (journal).
"""

import asyncio
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from dataselect.errors import IncompleteError, InputError

_CHARACTERS_PER_TOKEN = 4
# The authors' released traces have 122 to 353 tokens on average (their data set's card); JSON
# and final answer add to them.
_TYPICAL_COMPLETION_TOKENS = 300
# Chat templates put a few tokens around each message.
_TOKENS_PER_MESSAGE = 16
# developers.openai.com/api/docs/guides/batch
_BATCH_DISCOUNT = 0.5


@dataclass(frozen=True)
class Usage:
    """Billed tokens of one or more requests."""

    prompt_tokens: int
    """Input tokens, including those in batches."""

    completion_tokens: int
    """Output tokens, including those in batches."""

    batch_prompt_tokens: int = 0
    """Input tokens in batches."""

    batch_completion_tokens: int = 0
    """Output tokens in batches."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*map(operator.add, astuple(self), astuple(other)))

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(*map(operator.sub, astuple(self), astuple(other)))

    def in_batch(self) -> "Usage":
        """The same tokens, all of them in a batch."""
        tokens = self.prompt_tokens, self.completion_tokens
        return Usage(*tokens, *tokens)


NOTHING = Usage(0, 0)


@dataclass(frozen=True)
class Prices:
    """US dollars per million tokens outside batches; in batches they cost half.

    Raises InputError unless both are finite numbers of at least 0.
    """

    prompt: float
    """Price of input tokens."""

    completion: float
    """Price of output tokens."""

    def __post_init__(self) -> None:
        if not all(math.isfinite(price) and price >= 0 for price in (self.prompt, self.completion)):
            raise InputError(
                "prices",
                f"{self.prompt} and {self.completion} are not two prices",
                "write US dollars per million tokens, 0 or more",
            )

    def cost(self, usage: Usage) -> float:
        """US dollars for `usage`."""
        prompt = usage.prompt_tokens - _BATCH_DISCOUNT * usage.batch_prompt_tokens
        completion = usage.completion_tokens - _BATCH_DISCOUNT * usage.batch_completion_tokens
        return (prompt * self.prompt + completion * self.completion) / 1e6


# Prices without caching or batch, developers.openai.com/api/docs/pricing, as reported in 2026.
# Snapshots ("gpt-4o-2024-11-20") cost the same as their model unless they are listed.
_OPENAI_PRICES = {
    "gpt-4o-2024-05-13": Prices(5.0, 15.0),
    "gpt-4o": Prices(2.5, 10.0),
    "gpt-4o-mini": Prices(0.15, 0.6),
    "gpt-4.1": Prices(2.0, 8.0),
    "gpt-4.1-mini": Prices(0.4, 1.6),
    "gpt-4.1-nano": Prices(0.1, 0.4),
}


def openai_prices(model: str) -> Prices | None:
    """The prices of an OpenAI model or its dated snapshots; None for any other model."""
    for name in sorted(_OPENAI_PRICES, key=len, reverse=True):
        rest = model.removeprefix(name)
        if model.startswith(name) and (not rest or rest.startswith("-20")):
            return _OPENAI_PRICES[name]
    return None


def worst_case(messages: Sequence[Mapping[str, str]], max_tokens: int) -> Usage:
    """An upper bound on a request's usage: a text has at most as many tokens as bytes."""
    parts = [part for message in messages for part in message.values()]
    prompt = sum(len(part.encode("utf-8", "surrogatepass")) for part in parts)
    return Usage(prompt + _TOKENS_PER_MESSAGE * (len(messages) + 1), max_tokens)


@dataclass(frozen=True)
class Estimate:
    """The expected requests and their cost."""

    requests: int
    """How many requests."""

    usage: Usage
    """Their expected tokens."""

    usd: float | None
    """Their expected cost in US dollars; None when prices are not known."""


def estimate(
    prompts: Iterable[Sequence[Mapping[str, str]]],
    max_tokens: int,
    prices: Prices | None,
    *,
    batched: bool = False,
) -> Estimate:
    """The expected cost of sending each of `prompts` once, at four characters per token."""
    requests, characters = 0, 0
    for messages in prompts:
        requests += 1
        characters += sum(len(message["content"]) for message in messages)
    usage = Usage(
        math.ceil(characters / _CHARACTERS_PER_TOKEN),
        requests * min(_TYPICAL_COMPLETION_TOKENS, max_tokens),
    )
    if batched:
        usage = usage.in_batch()
    return Estimate(requests, usage, None if prices is None else prices.cost(usage))


class Budget:
    """Usage so far, reserved usage, and a cap on the cost of both.

    `spent` is the usage of earlier runs of the same work. Without a cap (`max_usd` None) it only
    counts. Raises InputError for a cap without prices and one that is not a number above 0.
    """

    def __init__(
        self, prices: Prices | None, max_usd: float | None, spent: Usage = NOTHING
    ) -> None:
        if max_usd is not None and not (math.isfinite(max_usd) and max_usd > 0):
            raise InputError("--max-usd", f"{max_usd} is not a cap", "write US dollars above 0")
        if max_usd is not None and prices is None:
            raise InputError(
                "--max-usd",
                "the prices of this model are not known, so the cap cannot be enforced",
                "give its prices in US dollars per million tokens, or leave out the cap",
            )
        self._prices, self._max_usd = prices, max_usd
        self.spent = spent
        self._reserved, self._open = NOTHING, 0
        self._settled = asyncio.Event()

    @property
    def max_usd(self) -> float | None:
        """The cap in US dollars; None without one."""
        return self._max_usd

    @property
    def usd(self) -> float | None:
        """US dollars spent so far; None when prices are not known."""
        return None if self._prices is None else self._prices.cost(self.spent)

    async def reserve(self, worst: Usage) -> None:
        """Reserve `worst`; if it does not fit, first wait for open requests to end.

        Raises IncompleteError when it does not fit and no request is open.
        """
        while not self._fits(worst):
            if not self._open:
                raise IncompleteError(
                    f"spent {self.usd:.4f} of {self._max_usd:g} US dollars, and the next request "
                    "could pass the cap; raise --max-usd and run the same command again"
                )
            self._settled.clear()
            await self._settled.wait()
        self._reserved += worst
        self._open += 1

    def settle(self, worst: Usage, used: Usage) -> None:
        """Replace the reservation of one request, made by `reserve`, by its actual usage."""
        self.release(worst, used)
        self._open -= 1
        self._settled.set()

    def take(self, worst: Usage) -> bool:
        """Reserve `worst` for a request in a batch if it fits now; whether it did.

        `reserve` does not wait for such requests, because they may take a day.
        """
        fits = self._fits(worst)
        if fits:
            self.resume(worst)
        return fits

    def resume(self, worst: Usage) -> None:
        """Reserve a batch request that an earlier run has sent, whether it fits or not."""
        self._reserved += worst

    def release(self, worst: Usage, used: Usage) -> None:
        """Replace the reservation of one request, made by `take` or `resume`, by its usage."""
        self._reserved -= worst
        self.spent += used

    def _fits(self, worst: Usage) -> bool:
        if self._prices is None or self._max_usd is None:
            return True
        return self._prices.cost(self.spent + self._reserved + worst) <= self._max_usd
