"""A frontier model that runs locally: any causal LM in a folder or on the Hub.

`generate` writes greedy solutions with the probability of each emitted token, as in Algorithm 1.
`weigh` takes given reasoning (a benchmark's own rationales) and computes the probabilities of its
letters by teacher forcing.

It runs a model, so it belongs to `scoring`, whose decoding and likelihoods it uses, and not to
`traces`. Not here: models behind a server.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np

from dataselect._version import __version__
from dataselect.benchmarks.items import BenchmarkItems, Exclusion
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import resolve_model
from dataselect.scoring.decoding import greedy
from dataselect.scoring.likelihood.scorer import token_nll
from dataselect.scoring.loading import load_model
from dataselect.scoring.model_facts import position_limit
from dataselect.scoring.non_finite import NOT_FINITE, failure
from dataselect.scoring.prepare import TooLongError, fit
from dataselect.scoring.token_spans import (
    Aligner,
    RewrittenTextError,
    decode,
    letter_probabilities,
)
from dataselect.traces.frontier import warn_of_missing
from dataselect.traces.own_rationales import NOTHING_TO_WEIGH, own_rationales
from dataselect.traces.reasoning import split_answer, take_apart
from dataselect.traces.trace import (
    Trace,
    TraceHeader,
    TraceSet,
    refuse_missing_probabilities,
    runs_of,
)

_UNBOUNDED = 1 << 30


class LocalFrontier:
    """A causal LM and its tokenizer, from a folder, a Hub id or `ID@REVISION`.

    Raises InputError when it cannot be loaded.
    """

    def __init__(self, model: str, device: str = "cpu") -> None:
        checkpoint = resolve_model(model, "float32")
        self._where, self._name, self._device = model, checkpoint.name, device
        loaded = load_model(checkpoint.folder(), device, "float32")
        self._model, self._tokenizer = loaded.model, loaded.tokenizer
        self._notes = loaded.notes

    @property
    def name(self) -> str:
        """The model's Hub id, or the name of its folder without the path."""
        return self._name

    def traces(self, benchmark: BenchmarkItems) -> TraceSet:
        """The items' own rationales, weighed. Raises InputError when no item has one."""
        return self.weigh(benchmark, own_rationales(benchmark))

    def weigh(self, benchmark: BenchmarkItems, texts: Mapping[str, str]) -> TraceSet:
        """Traces of given reasoning with letter probabilities after each item's context.

        `texts`: reasoning by item id; its final answer is cut off, and `<span>` tags in it become
        the trace's marks (`traces.reasoning`). Items without reasoning, and
        those that do not fit the model, get an exclusion in place of a trace, and so do items with
        a probability that is NaN. Raises InputError when no item gets a trace, and when too many
        have such a probability (`non_finite`).
        """
        limit = position_limit(self._model) or _UNBOUNDED
        aligner = Aligner(self._tokenizer)
        fitted, reasons = [], {}
        for item in benchmark.items:
            given = take_apart(texts.get(item.id, ""))
            if not given.text:
                continue
            try:
                (aligned,), _ = fit(
                    partial(benchmark.context, item),
                    len(benchmark.examples(item)),
                    [benchmark.trace_text(given.text)],
                    aligner,
                    limit,
                )
            except (RewrittenTextError, TooLongError) as error:
                reasons[item.id] = str(error)
                continue
            fitted.append((item.id, given, aligned))
        pairs = [(aligned.context_ids, aligned.ids) for *_, aligned in fitted]
        likelihoods = token_nll(self._model, pairs, self._device)
        traces = {}
        for (name, given, aligned), nll in zip(fitted, likelihoods.nll, strict=True):
            # An infinite loss is a probability of 0; a NaN says nothing.
            if np.isnan(nll).any():
                reasons[name] = NOT_FINITE
                continue
            letters = letter_probabilities(aligned.spans, np.exp(-nll), len(given.text) + 1)
            # The first letter is the space between the prompt and the reasoning.
            runs = runs_of(letters[1:])
            traces[name] = Trace(name, given.text, runs, given.answer, given.marked)
        return self._set(benchmark, traces, reasons, "weighed by teacher-forcing")

    def generate(
        self,
        benchmark: BenchmarkItems,
        max_new_tokens: int = 256,
        stop: Sequence[str] = ("\nQuestion", "\n\n"),
        *,
        batch_size: int = 128,
    ) -> TraceSet:
        """Traces of greedy reasoning for every item, with the probability of each emitted token.

        The text ends before the final answer ("The answer is"), which becomes the trace's
        answer. Items for which the model writes no reasoning, or gives a probability that is NaN,
        get an exclusion in place of a trace. Raises InputError as `weigh` does.
        """
        prompts = [benchmark.context(item) for item in benchmark.items]
        written = greedy(
            self._model,
            self._tokenizer,
            prompts,
            max_new_tokens,
            stop,
            device=self._device,
            batch_size=batch_size,
        )
        traces, reasons = {}, {}
        for item, continuation in zip(benchmark.items, written, strict=True):
            if not continuation.finite:
                reasons[item.id] = NOT_FINITE
                continue
            try:
                text, spans = decode(self._tokenizer, continuation.ids)
            except RewrittenTextError as error:
                reasons[item.id] = str(error)
                continue
            letters = letter_probabilities(spans, continuation.probabilities, len(text))
            text = text[: len(continuation.text)]
            reasoning, answer = split_answer(text)
            if not reasoning:
                reasons[item.id] = "the model wrote no reasoning"
                continue
            start = text.index(reasoning)
            runs = runs_of(letters[start : start + len(reasoning)])
            traces[item.id] = Trace(item.id, reasoning, runs, answer)
        return self._set(benchmark, traces, reasons, "generated greedily")

    def _set(
        self,
        benchmark: BenchmarkItems,
        traces: dict[str, Trace],
        reasons: Mapping[str, str],
        how: str,
    ) -> TraceSet:
        warn_of_missing(self._where, benchmark.id, reasons)
        left_out = [Exclusion(name, reason) for name, reason in reasons.items()]
        broken = failure(left_out, len(traces), f"'{benchmark.id}'")
        if broken is not None:
            raise InputError(self._where, *broken.split("; ", 1))
        if not traces:
            raise InputError(
                self._where,
                f"it gives no trace for any item of '{benchmark.id}'",
                "use a stronger or longer-context frontier model",
            )
        refuse_missing_probabilities(self._where, traces.values())
        notes = {"how": how, "shots": str(len(benchmark.shots))}
        if self._notes:
            notes["model"] = "; ".join(self._notes)
        created_by = f"dataselect {__version__}"
        header = TraceHeader(benchmark.id, self.name, benchmark.prompt, created_by, notes)
        exclusions = tuple(
            Exclusion(item.id, reasons.get(item.id, NOTHING_TO_WEIGH))
            for item in benchmark.items
            if item.id not in traces
        )
        return TraceSet(header, traces, exclusions)
