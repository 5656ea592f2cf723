"""A server's log-probabilities against those that transformers computes on the same tokens.

Servers name their tokens by text only, and differ in how they show those that hold part of a
character. The ids are found again from the whole answer, whose bytes they must spell. Nothing
here uses our alignment: it is one of the things compared.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

from dataselect.traces.alignment import (
    AlignmentError,
    ServerToken,
    completion_letter_probabilities,
)
from dataselect.traces.answer_tokens import answer_tokens
from dataselect.traces.recording.completion import (
    Form,
    MalformedAnswerError,
    read_completion,
    trace_from_completion,
)
from dataselect.traces.recording.reply import Reply
from dataselect.traces.trace import Trace

SHOWN, SPLIT, BESIDE, HALF = "shown", "split", "split_beside_another", "half_shown"
Floats = npt.NDArray[np.float64]


@dataclass
class Differences:
    """Absolute differences seen so far, of one kind."""

    values: list[float] = field(default_factory=list)

    def add(self, ours: Floats, theirs: Floats) -> None:
        self.values += np.abs(ours - theirs).tolist()

    def summary(self) -> dict[str, float | int | None]:
        """How many, the largest, and the mean."""
        if not self.values:
            return {"count": 0, "max": None, "mean": None}
        found = np.array(self.values)
        return {
            "count": len(found),
            "max": float(f"{found.max():.3g}"),
            "mean": float(f"{found.mean():.3g}"),
        }


class Reference:
    """The model in transformers, and the bytes of its tokens."""

    def __init__(self, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
        self._model = model
        byte_of = {letter: byte for byte, letter in bytes_to_unicode().items()}
        self.spelling = {
            token: bytes(byte_of[letter] for letter in text)
            for text, token in tokenizer.get_vocab().items()
            if token != tokenizer.eos_token_id
        }
        self.end = tokenizer.eos_token
        self._of: dict[bytes, list[int]] = {}
        for token, data in self.spelling.items():
            self._of.setdefault(data, []).append(token)
        self._longest = max(map(len, self._of))

    def ids(self, content: str, tokens: Sequence[ServerToken]) -> list[int]:
        """Ids of the tokens that spell the answer.

        Tokens at the end that show nothing may be beyond it: an answer that is cut at the limit
        ends before a character that is not whole. Raises ValueError unless there is one way.
        """
        data = content.encode()
        # By the end of what is spelt and of what is shown: some servers show a character when its
        # last part has come, others leave it out.
        ways: dict[tuple[int, int], list[list[int]]] = {(0, 0): [[]]}
        for index, shown in enumerate(tokens):
            spelt = any(at == len(data) for at, _ in ways)
            if spelt and all(token.text in {"", self.end} for token in tokens[index:]):
                break
            after: dict[tuple[int, int], list[list[int]]] = {}
            for (at, seen), paths in ways.items():
                for end in range(at + 1, min(at + self._longest, len(data)) + 1):
                    for seen_after in _shown_as(data, at, end, seen, shown.text):
                        for token in self._of.get(data[at:end], ()):
                            longer = [[*path, token] for path in paths]
                            after.setdefault((end, seen_after), []).extend(longer)
            ways = after
        found = [path for (at, _), paths in ways.items() if at == len(data) for path in paths]
        different = {tuple(path) for path in found}
        if len(different) != 1:
            raise ValueError(f"{len(different)} sequences of tokens spell {content!r}")
        return found[0]

    def logprobs(self, prompt: list[int], ids: list[int]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Log-probability of each of `ids` in nats, and whether it is the most likely token."""
        with torch.inference_mode():
            logits = self._model(input_ids=torch.tensor([prompt + ids])).logits[0]
        rows = logits[len(prompt) - 1 : -1].double()
        chosen = torch.log_softmax(rows, -1)[torch.arange(len(ids)), torch.tensor(ids)]
        return chosen.numpy(), (rows.argmax(-1) == torch.tensor(ids)).numpy()

    def letters(
        self, content: str, tokens: Sequence[ServerToken], ids: list[int], logprobs: Floats
    ) -> tuple[Floats, npt.NDArray[np.str_]]:
        """Mean probability of the tokens that each letter has bytes of, and how they are shown.

        Shape (letters,) each. `SHOWN` when the server's texts are all that its tokens hold,
        `HALF` when one of them shows other letters only, and `SPLIT` when they show nothing:
        `BESIDE` when a letter next to it is split too.
        """
        spellings = [self.spelling[token] for token in ids]
        ends = np.cumsum([len(spelling) for spelling in spellings])
        starts = ends - [len(spelling) for spelling in spellings]
        means, kinds, at = np.empty(len(content)), [SHOWN] * len(content), 0
        for index, letter in enumerate(content):
            end = at + len(letter.encode())
            touching = np.flatnonzero((starts < end) & (ends > at))
            means[index] = np.exp(logprobs[touching]).mean()
            texts = [tokens[i].text for i in touching]
            if any(texts[n].encode() != spellings[i] for n, i in enumerate(touching)):
                kinds[index] = HALF if any(texts) else SPLIT
            at = end
        unseen = [kind != SHOWN for kind in kinds]
        for index, kind in enumerate(kinds):
            if kind == SPLIT and (
                any(unseen[max(0, index - 1) : index]) or any(unseen[index + 1 : index + 2])
            ):
                kinds[index] = BESIDE
        return means, np.array(kinds)


def _shown_as(data: bytes, at: int, end: int, seen: int, text: str) -> set[int]:
    """Up to where `data` may be shown after a token of `data[at:end]` that shows as `text`.

    `seen` is up to where it was shown before.
    """
    own = data[at:end]
    found = {end} if text in {own.decode(errors="ignore"), own.decode(errors="replace")} else set()
    waiting = data[seen:end].decode(errors="replace")
    if waiting.endswith("\ufffd"):
        return found | ({seen} if not text else set())
    return found | ({end} if text == waiting else set())


class Comparison:
    """What a number of replies came to, for one form and one setting of the server."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.logprobs, self.trace_letters = Differences(), Differences()
        self.thinking_letters = Differences()
        self.letters = {kind: Differences() for kind in (SHOWN, SPLIT, BESIDE, HALF)}
        self.not_most_likely, self.certain, self.lowest = 0, 0, 0.0
        self.without_text = 0
        self.problems: Counter[str] = Counter()
        self.traces: dict[str, Trace] = {}

    def add(self, item: str, reply: Reply, prompt: list[int], form: Form) -> None:
        """Compare one reply; raises ValueError when its tokens cannot be told."""
        ids = self._reference.ids(reply.content, reply.tokens)
        exact, most_likely = self._reference.logprobs(prompt, ids)
        tokens = reply.tokens[: len(ids)]
        reported = np.array([np.nan if t.logprob is None else t.logprob for t in tokens])
        self.logprobs.add(exact, reported)
        self.not_most_likely += int((~most_likely).sum())
        self.certain += int((exact > np.log(0.99)).sum())
        self.lowest = min(self.lowest, float(exact.min()))
        self.without_text += sum(not token.text for token in tokens)
        expected, kinds = self._reference.letters(reply.content, tokens, ids, exact)
        try:
            own = answer_tokens(reply.content, reply.tokens).tokens
            ours = completion_letter_probabilities(reply.content, own)
        except AlignmentError as error:
            self.problems[f"alignment: {error}"] += 1
            return
        for kind, differences in self.letters.items():
            differences.add(expected[kinds == kind], ours[kinds == kind])
        if reply.problem is not None:
            self.problems[reply.problem] += 1
            return
        self._trace(item, reply, form, expected)

    def add_thinking(self, item: str, reply: Reply, prompt: list[int], form: Form) -> None:
        """Compare the letters of the thinking before one answer."""
        whole = "".join(token.text for token in reply.tokens).removesuffix(self._reference.end)
        if reply.thinking is not None and reply.thinking.strip() not in whole:
            # A server whose tokens leave out parts of characters; the model always writes so.
            whole = f"<think>\n{reply.thinking.strip()}\n</think>\n\n{reply.content}"
        ids = self._reference.ids(whole, reply.tokens)
        exact, _ = self._reference.logprobs(prompt, ids)
        expected, _ = self._reference.letters(whole, reply.tokens, ids, exact)
        try:
            trace = trace_from_completion(
                item, reply.content, reply.tokens, form, part="thinking", thinking=reply.thinking
            )
        except (MalformedAnswerError, AlignmentError) as error:
            self.problems[str(error)] += 1
            return
        first = whole.index(trace.text)
        self.thinking_letters.add(expected[first : first + len(trace.text)], trace.letter_probs)
        self.traces[item] = trace

    def _trace(self, item: str, reply: Reply, form: Form, expected: Floats) -> None:
        try:
            trace = trace_from_completion(item, reply.content, reply.tokens, form)
        except (MalformedAnswerError, AlignmentError) as error:
            self.problems[str(error)] += 1
            return
        if form == "json":
            assert trace.text == json.loads(reply.content)["reasoning"].strip()
        found = read_completion(reply.content, form)
        first = len(found.reasoning) - len(found.reasoning.lstrip())
        spans = found.letters[first : first + len(trace.text)]
        means = np.array([expected[start:end].mean() for start, end in spans])
        self.trace_letters.add(means, trace.letter_probs)
        self.traces[item] = trace

    def summary(self) -> dict[str, object]:
        """All figures; log-probabilities in nats, letters as probabilities."""
        return {
            "logprob_difference": self.logprobs.summary(),
            "lowest_logprob": round(self.lowest, 3),
            "tokens_above_099": self.certain,
            "tokens_not_most_likely": self.not_most_likely,
            "tokens_without_text": self.without_text,
            "letter_difference": {kind: d.summary() for kind, d in self.letters.items()},
            "trace_letter_difference": self.trace_letters.summary(),
            "traces": len(self.traces),
            "without_trace": dict(self.problems),
        }
