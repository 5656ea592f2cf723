"""The n-gram model against one written again, its probabilities, and what it keeps in memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_ngrams import NaiveModel, rounds
from token_streams import token_stream

from dataselect.corpus.packing import Part
from dataselect.counting import count as counting
from dataselect.counting.count import count
from dataselect.counting.distinct import DistinctFollowers
from dataselect.counting.trie import NgramTrie
from dataselect.counting.witten_bell import token_nll

ORDERS = 5


def draw(rng: np.random.Generator, size: int, vocabulary: int) -> list[int]:
    """Tokens of which some are common, and most follow from the one before."""
    tokens = rng.integers(0, vocabulary, size) * (rng.random(size) < 0.7)
    for place in range(1, size):
        if rng.random() < 0.6:
            tokens[place] = (3 * tokens[place - 1] + 1) % vocabulary
    return [int(token) for token in tokens]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(1, 700)), min_size=1, max_size=3),
    st.integers(2, 30),
    st.integers(1, 60),
    st.integers(0, 9),
)
def test_it_gives_the_probabilities_of_a_model_that_counts_everything(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[tuple[int, int]],
    vocabulary: int,
    piece: int,
    seed: int,
) -> None:
    rng, base = np.random.default_rng(seed), tmp_path_factory.mktemp("counted")
    streams = [draw(rng, size, vocabulary) for size, _ in sizes]
    parts = [
        Part(token_stream(base / str(number), stream, shard_tokens=37), tokens)
        for number, (stream, (_, tokens)) in enumerate(zip(streams, sizes, strict=True))
    ]
    asked = [draw(rng, size, vocabulary) for size in (1, 2, 40)]
    asked.append(streams[0][:50])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_PIECE", piece)
        trie = NgramTrie(asked, ORDERS, vocabulary)
        counts = count(trie, parts)
    got = token_nll(trie, counts)
    texts = [
        text
        for stream, (_, tokens) in zip(streams, sizes, strict=True)
        for text in rounds(stream, tokens)
    ]
    assert counts.tokens == sum(tokens for _, tokens in sizes)
    assert counts.exact
    for order in range(1, ORDERS + 1):
        model = NaiveModel(texts, order, vocabulary)
        expected = [loss for sequence in asked for loss in model.nll(sequence)]
        np.testing.assert_allclose(got[order - 1], expected, rtol=1e-10)


@pytest.mark.parametrize("bits", [1 << 28, 1 << 10])
def test_probabilities_of_all_tokens_after_a_context_sum_to_one(tmp_path: Path, bits: int) -> None:
    vocabulary = 50
    stream = draw(np.random.default_rng(1), 5000, vocabulary)
    contexts = [stream[100:104], stream[7:11], [49, 49, 49, 49], [3, 49, *stream[50:52]]]
    asked = [[*context, token] for context in contexts for token in range(vocabulary)]
    trie = NgramTrie(asked, ORDERS, vocabulary)
    counts = count(trie, [Part(token_stream(tmp_path, stream), 5000)], bits=bits)
    assert counts.exact == (bits > 1 << 10)
    last = token_nll(trie, counts).reshape(ORDERS, len(contexts), vocabulary, 5)[..., -1]
    np.testing.assert_allclose(np.exp(-last).sum(axis=-1), 1, rtol=1e-12)


def test_a_longer_context_helps_where_the_text_is_regular(tmp_path: Path) -> None:
    stream = [0, 1, 0, 2] * 500
    trie = NgramTrie([[0, 1, 0, 2, 0, 1]], 3, 3)
    nll = token_nll(trie, count(trie, [Part(token_stream(tmp_path, stream), 2000)]))
    unigram, bigram, trigram = np.exp(-nll[:, -1])
    assert unigram == pytest.approx(1 / 4, abs=0.01)
    assert bigram == pytest.approx(1 / 2, abs=0.01)
    assert trigram == pytest.approx(1, abs=0.01)


def test_distinct_followers_with_too_few_bits_are_right_on_average() -> None:
    rng, vocabulary, contexts = np.random.default_rng(0), 1000, 200
    keys = rng.permutation(contexts * vocabulary)[:120_000]
    estimated = DistinctFollowers(contexts, vocabulary, bits=1 << 17)
    assert not estimated.exact
    for piece in np.array_split(np.concatenate([keys, keys]), 60):
        estimated.add(piece)
    truth = np.bincount(keys // vocabulary, minlength=contexts)
    assert estimated.numbers.sum() == pytest.approx(len(keys), rel=0.03)
    # Single contexts are off by chance alone.
    assert np.abs(estimated.numbers / truth - 1).mean() < 0.08


def test_estimates_make_no_token_impossible(tmp_path: Path) -> None:
    """With nearly all bits taken most pairs are missed, so contexts seem to have no follower."""
    rng = np.random.default_rng(1)
    text = rng.integers(0, 300, 40_000).tolist()
    asked = [rng.integers(0, 300, 400).tolist(), text[:400]]
    trie = NgramTrie(asked, 3, 300)
    counts = count(trie, [Part(token_stream(tmp_path / "text", text), len(text))], bits=1 << 12)
    assert not counts.exact
    for followed, followers in zip(counts.followed, counts.followers, strict=True):
        assert (followers[followed > 0] >= 1).all()
        assert (followers <= followed).all()
    nll = token_nll(trie, counts)
    assert np.isfinite(nll).all()
    sure = count(trie, [Part(str(tmp_path / "text"), len(text))])
    assert sure.exact
    assert np.abs(nll - token_nll(trie, sure)).mean() < 0.5


def test_distinct_followers_with_enough_bits_are_exact() -> None:
    keys = np.random.default_rng(0).integers(0, 1000, 5000)
    exact = DistinctFollowers(10, 100)
    for piece in np.array_split(keys, 7):
        exact.add(piece)
    distinct = np.unique(keys)
    assert exact.numbers.tolist() == np.bincount(distinct // 100, minlength=10).tolist()


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    asked = [rng.integers(0, 3000, 200).tolist() for _ in range(20)]
    trie = NgramTrie(asked, ORDERS, 3000)
    peaks = []
    for size in (600_000, 4_800_000):
        folder = token_stream(tmp_path / str(size), rng.integers(0, 3000, size), size)
        tracemalloc.start()
        count(trie, [Part(folder, size)], bits=1 << 20)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < 64e6


def test_only_what_is_asked_for_is_counted(tmp_path: Path) -> None:
    trie = NgramTrie([[1, 2, 3]], 3, 10)
    counts = count(trie, [Part(token_stream(tmp_path, [1, 2, 3, 1, 2, 9, 1, 2]), 8)])
    assert [trie.size(depth) for depth in (1, 2, 3)] == [3, 2, 1]
    # "1 2" three times, "2 3" once; followed in the text by something: "1 2" twice.
    assert [each.tolist() for each in counts.ngrams] == [[3, 1], [1]]
    assert counts.followed[1].tolist() == [2, 1]
    assert counts.followers[1].tolist() == [2, 1]


def test_tokens_that_the_vocabulary_lacks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="vocabulary of 10"):
        NgramTrie([[1, 10]], 2, 10)
    trie = NgramTrie([[1, 2]], 2, 10)
    with pytest.raises(ValueError, match="vocabulary of 10"):
        count(trie, [Part(token_stream(tmp_path, [1, 2, 10]), 3)])


def test_a_part_without_tokens_is_not_read_and_an_empty_stream_is_refused(tmp_path: Path) -> None:
    trie = NgramTrie([[1, 2]], 2, 10)
    empty = token_stream(tmp_path, [])
    assert count(trie, [Part(empty, 0)]).tokens == 0
    with pytest.raises(ValueError, match="no tokens"):
        count(trie, [Part(empty, 5)])
