"""Our n-gram model beside that of a library, NLTK's `WittenBellInterpolated`.

    pip install nltk
    python benchmarks/counting/library.py

Both count a text of the quickstart's world, and score other texts of it. NLTK gives a word that the
text lacks the unigram probability 0; so its unigrams are replaced by ours, (c + 1) / (N + V), and
everything else is NLTK's. Writes `library.json` beside this file.
"""

import json
import math
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import nltk
import numpy as np
from nltk.lm import WittenBellInterpolated
from nltk.lm.smoothing import WittenBell
from nltk.util import everygrams

from dataselect.corpus.packing import Part
from dataselect.corpus.shards import TokenStream, write_tokens
from dataselect.corpus.tokenizer import load_tokenizer, train_tokenizer
from dataselect.counting.count import count
from dataselect.counting.trie import NgramTrie
from dataselect.counting.witten_bell import token_nll
from dataselect.synthetic.world import documents

COUNTED, OTHER = ("narrative", "worked")
"""Genres of the text that is counted, and of half of the texts that are scored."""
DOCUMENTS, SCORED, VOCABULARY = 600, 60, 1000
ORDERS = 5


class AddOneUnigrams(WittenBell):  # type: ignore[misc]
    """NLTK's smoothing with our unigrams."""

    def unigram_score(self, word: str) -> float:
        """(c + 1) / (N + V)."""
        unigrams = self.counts.unigrams
        return float((unigrams[word] + 1) / (unigrams.N() + VOCABULARY))


def main() -> None:
    """Count and score with both, and write how far they are apart."""
    texts = list(islice(documents(COUNTED, 0), DOCUMENTS + SCORED))
    texts += islice(documents(OTHER, 0), SCORED)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        train_tokenizer(iter(texts), VOCABULARY, split_digits=True).save_pretrained(place)
        stream = folder / "tokens"
        write_tokens(
            iter(texts[:DOCUMENTS]),
            place,
            1 << 40,
            stream,
            processes=1,
            progress=lambda _: None,
        )
        tokenizer = load_tokenizer(place)
        scored = [tokenizer(text)["input_ids"] for text in texts[DOCUMENTS:]]
        length = len(TokenStream(stream))
        counted = TokenStream(stream).read(0, length).tolist()
        trie = NgramTrie(scored, ORDERS, VOCABULARY)
        counts = count(trie, [Part(str(stream), length)])
        ours = token_nll(trie, counts)
    results: dict[str, Any] = {
        "nltk": nltk.__version__,
        "tokens": length,
        "scored": len(trie.tokens),
        "exact": counts.exact,
        "nll": [round(float(each), 4) for each in ours.mean(axis=1)],
        "largest_difference": [],
    }
    for order in range(1, ORDERS + 1):
        theirs = np.array(library_nll(counted, scored, order))
        results["largest_difference"].append(float(np.abs(ours[order - 1] - theirs).max()))
    print(json.dumps(results))
    Path(__file__).with_name("library.json").write_text(json.dumps(results, indent=1) + "\n")


def library_nll(counted: list[int], scored: list[list[int]], order: int) -> list[float]:
    """NLTK's −ln p of every token, in nats."""
    words = [str(token) for token in counted]
    model = WittenBellInterpolated(order)
    model.fit([list(everygrams(words, max_len=order))], vocabulary_text=words)
    model.estimator = AddOneUnigrams(model.vocab, model.counts)
    return [
        -math.log(model.unmasked_score(str(token), tuple(map(str, context))))
        for sequence in scored
        for place, token in enumerate(sequence)
        for context in [sequence[max(0, place - order + 1) : place]]
    ]


if __name__ == "__main__":
    main()
