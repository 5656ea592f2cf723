r"""Tokens of many texts with common parts: every distinct line is tokenised once.

All prompts of a benchmark begin with the same worked examples, and ten choices follow the same
question, so most text repeats. A text may be cut without changing its tokens where no token spans
the cut and none depends on the text after it. For byte-level BPE with the splitting rules below
that holds between a line break and an ASCII letter or digit: no rule matches such a pair, none
looks behind, and the only lookahead, `(?!\S)`, needs one character after the break, for which
`_BEHIND` is appended. NFC composes nothing across the cut.

With any other tokenizer a text is tokenised whole, so the tokens are always the same.
"""

import json
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

from dataselect.corpus.saved_tokenizer import plain_ids

_CUT = re.compile(r"\n(?=[A-Za-z0-9])")
_BEHIND = "A"
# The rules of cl100k (Llama 3, OLMo 2) and of Qwen 2. ByteLevel itself has those of GPT-2.
_RULES = tuple(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + digits + "|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    for digits in ("{1,3}", "")
)
# The cache is cleared when it holds more letters than this.
_CACHED_LETTERS = 1 << 24


class LineTokens:
    """Tokens of texts, equal to those of `tokenizer`; special tokens in a text are text.

    The tokenizer must not change. `by_line` is whether texts may be cut; if not, nothing is
    cached.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        # Tokens by line, without its break: lines before another line, and last lines of texts.
        self._inner: dict[str, list[int]] = {}
        self._last: dict[str, list[int]] = {}
        self._letters = 0
        # The latest context: the tokens of all its lines but the last, and the last line.
        self._context, self._head, self._rest = "", list[int](), ""
        self.by_line = _may_be_cut(tokenizer) and len(self._encode([_BEHIND])[0]) == 1

    def ids(self, context: str, text: str) -> list[int]:
        """The tokens of `context + text`; fastest when calls for one context follow each other."""
        if not self.by_line:
            return self._encode([context + text])[0]
        self.learn(context, [text])
        *inner, last = _CUT.split(self._rest + text)
        return list(chain(self._head, *(self._inner[line] for line in inner), self._last[last]))

    def learn(self, context: str, texts: Sequence[str]) -> None:
        """Tokenise all new lines of texts after a context in one call; `ids` then looks them up."""
        if not self.by_line:
            return
        if self._letters > _CACHED_LETTERS:
            self._inner, self._last, self._letters = {}, {}, 0
        lines: list[str] = []
        rest = self._rest
        if context != self._context:
            *lines, rest = _CUT.split(context)
        tails = [_CUT.split(rest + text) for text in texts]
        needed = chain(lines, *(tail[:-1] for tail in tails))
        inner = list(dict.fromkeys(line for line in needed if line not in self._inner))
        last = list(dict.fromkeys(tail[-1] for tail in tails if tail[-1] not in self._last))
        if inner or last:
            encoded = self._encode([*(f"{line}\n{_BEHIND}" for line in inner), *last])
            self._inner.update((line, ids[:-1]) for line, ids in zip(inner, encoded, strict=False))
            self._last.update(zip(last, encoded[len(inner) :], strict=True))
            self._letters += sum(map(len, chain(inner, last)))
        if context != self._context:
            head = list(chain.from_iterable(self._inner[line] for line in lines))
            self._context, self._head, self._rest = context, head, rest

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return plain_ids(self._tokenizer, texts)


def _may_be_cut(tokenizer: Any) -> bool:
    """Whether the tokenizer is one of those whose tokens end at a cut."""
    if not getattr(tokenizer, "is_fast", False):
        return False
    backend = tokenizer.backend_tokenizer
    if type(backend.model).__name__ != "BPE" or backend.model.dropout is not None:
        return False
    # Added tokens are split off first; one at a cut would hide the character after the break.
    added = (token.content for token in tokenizer.added_tokens_decoder.values())
    if any(_CUT.search(f"\n{content}") for content in added):
        return False
    normalizer = backend.normalizer
    if normalizer is not None and json.loads(normalizer.__getstate__()) != {"type": "NFC"}:
        return False
    splitter = backend.pre_tokenizer
    return splitter is not None and _is_known(json.loads(splitter.__getstate__()))


def _is_known(splitter: dict[str, Any]) -> bool:
    """Whether a pre-tokenizer splits by the rules above."""
    match splitter:
        case {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}:
            return True
        case {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": rule},
                    "behavior": behavior,
                    "invert": invert,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        }:
            return rule in _RULES and (behavior, invert) in (("Isolated", False), ("Removed", True))
    return False
