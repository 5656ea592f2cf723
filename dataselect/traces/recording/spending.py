"""What asking a frontier model costs: prices, an estimate before the start, and a cap.

Before a request is sent, the most that it can cost is set aside; it is sent only if everything
spent and set aside stays within the cap. So the cap is not passed even when every answer is as
long as it may be. Prices are known for a few models only and change: a user's own always win.

Not here: which requests there are, and the record of them that outlives the process (journal).
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
    """Tokens read and written, as a server bills them, and how many of both were in batches."""

    prompt_tokens: int
    completion_tokens: int
    batch_prompt_tokens: int = 0
    batch_completion_tokens: int = 0

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
    """US dollars per million tokens outside of batches, within which they cost half.

    Raises InputError unless both are numbers from 0.
    """

    prompt: float
    completion: float

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
# Snapshots ("gpt-4o-2024-11-20") cost what their model does unless they have a line of their own.
_OPENAI_PRICES = {
    "gpt-4o-2024-05-13": Prices(5.0, 15.0),
    "gpt-4o": Prices(2.5, 10.0),
    "gpt-4o-mini": Prices(0.15, 0.6),
    "gpt-4.1": Prices(2.0, 8.0),
    "gpt-4.1-mini": Prices(0.4, 1.6),
    "gpt-4.1-nano": Prices(0.1, 0.4),
}


def openai_prices(model: str) -> Prices | None:
    """The prices of one of OpenAI's own models or its dated snapshots; None for any other."""
    for name in sorted(_OPENAI_PRICES, key=len, reverse=True):
        rest = model.removeprefix(name)
        if model.startswith(name) and (not rest or rest.startswith("-20")):
            return _OPENAI_PRICES[name]
    return None


def worst_case(messages: Sequence[Mapping[str, str]], max_tokens: int) -> Usage:
    """More than a request can use: no tokenizer makes more tokens of a text than it has bytes."""
    parts = [part for message in messages for part in message.values()]
    prompt = sum(len(part.encode("utf-8", "surrogatepass")) for part in parts)
    return Usage(prompt + _TOKENS_PER_MESSAGE * (len(messages) + 1), max_tokens)


@dataclass(frozen=True)
class Estimate:
    """What is about to be asked; `usd` is None when no prices are known."""

    requests: int
    usage: Usage
    usd: float | None


def estimate(
    prompts: Iterable[Sequence[Mapping[str, str]]],
    max_tokens: int,
    prices: Prices | None,
    *,
    batched: bool = False,
) -> Estimate:
    """A guess at the cost of asking `prompts` once each, at four characters a token."""
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
    """What has been used so far, what is set aside, and the cap on their cost.

    `spent` is what earlier runs of the same work used. Without a cap it only counts. Raises
    InputError when there is a cap and no price, or the cap is not a number above 0.
    """

    def __init__(
        self, prices: Prices | None, max_usd: float | None, spent: Usage = NOTHING
    ) -> None:
        if max_usd is not None and not (math.isfinite(max_usd) and max_usd > 0):
            raise InputError("--max-usd", f"{max_usd} is not a cap", "write US dollars above 0")
        if max_usd is not None and prices is None:
            raise InputError(
                "--max-usd",
                "the prices of this model are not known, so a cap cannot be kept",
                "give its prices in US dollars per million tokens, or leave out the cap",
            )
        self._prices, self._max_usd = prices, max_usd
        self.spent = spent
        self._reserved, self._open = NOTHING, 0
        self._settled = asyncio.Event()

    @property
    def usd(self) -> float | None:
        """US dollars spent so far, or None when no prices are known."""
        return None if self._prices is None else self._prices.cost(self.spent)

    async def reserve(self, worst: Usage) -> None:
        """Set `worst` aside, waiting for requests under way if it does not fit beside them.

        Raises IncompleteError when it does not fit even with none under way.
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
        """Replace what `reserve` set aside for one request by what it used."""
        self.release(worst, used)
        self._open -= 1
        self._settled.set()

    def take(self, worst: Usage) -> bool:
        """Set `worst` aside for a request in a batch if it fits now; whether it did.

        Nobody waits for such a request in `reserve`, because it may take a day.
        """
        fits = self._fits(worst)
        if fits:
            self.resume(worst)
        return fits

    def resume(self, worst: Usage) -> None:
        """Set aside, as `take` does, what an earlier run has sent, whether it fits or not."""
        self._reserved += worst

    def release(self, worst: Usage, used: Usage) -> None:
        """Replace what `take` or `resume` set aside for one request by what it used."""
        self._reserved -= worst
        self.spent += used

    def _fits(self, worst: Usage) -> bool:
        if self._prices is None or self._max_usd is None:
            return True
        return self._prices.cost(self.spent + self._reserved + worst) <= self._max_usd
