"""Probabilities of tokens under an interpolated n-gram model (Witten and Bell 1991).

    p_1(w)       = (c(w) + 1) / (N + V)
    p_k(w | h)   = (c(h w) + T(h) p_(k-1)(w | h')) / (c(h) + T(h))

c counts, T(h) is the number of different tokens that follow the context h, h' is h without its
first token, N the tokens of the text and V the vocabulary. A context that the text lacks leaves the
probability of the shorter one. The probabilities of all tokens after a context sum to 1, whatever
T(h) is, so an estimated T does not break that.
"""

import numpy as np
from numpy.typing import NDArray

from dataselect.counting.count import Counts
from dataselect.counting.trie import ABSENT, NgramTrie


def token_nll(trie: NgramTrie, counts: Counts) -> NDArray[np.float64]:
    """−ln p of every token of the trie's sequences by each order, shape (orders, tokens), in nats.

    A token with fewer tokens before it in its sequence than an order asks for has the NLL of the
    highest order that it can have.
    """
    tokens = trie.tokens
    p = (counts.unigrams[tokens] + 1) / (counts.tokens + trie.vocabulary)
    orders = [-np.log(p)]
    for order in range(2, trie.order + 1):
        # The n-gram that ends at a token begins order − 1 before it.
        ngrams = np.full(len(tokens), ABSENT)
        ngrams[order - 1 :] = trie.windows[order - 1][: len(tokens) - order + 1]
        there = np.flatnonzero(ngrams != ABSENT)
        contexts = trie.windows[order - 2][there - order + 1]
        followed = counts.followed[order - 2][contexts]
        followers = counts.followers[order - 2][contexts]
        seen = followed > 0
        there, followed, followers = there[seen], followed[seen], followers[seen]
        p = p.copy()
        counted = counts.ngrams[order - 2][ngrams[there]]
        p[there] = (counted + followers * p[there]) / (followed + followers)
        orders.append(-np.log(p))
    return np.array(orders)
