"""Packed sequences: what they hold, in which order, and in which shares."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.corpus.packing import PackedData, Part


def stream(folder: Path, tokens: list[int], shard_tokens: int = 1000) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(tokens), shard_tokens)):
        piece = np.array(tokens[start : start + shard_tokens], "<u2")
        (folder / f"tokens-{number:05d}.bin").write_bytes(piece.tobytes())
    index = {"schema": 1, "dtype": "uint16", "tokens": len(tokens), "documents": 1}
    index |= {"shard_tokens": shard_tokens, "exhausted": False, "counts": None}
    (folder / "index.json").write_text(json.dumps(index))
    return str(folder)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 200)), min_size=1, max_size=4),
    st.integers(1, 12),
    st.integers(1, 25),
    st.integers(0, 5),
)
def test_sequences_are_the_consecutive_cuts_of_each_stream_read_as_a_ring(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[tuple[int, int]],
    length: int,
    shard_tokens: int,
    seed: int,
) -> None:
    base = tmp_path_factory.mktemp("packing")
    streams = [[1000 * part + i for i in range(has)] for part, (has, _) in enumerate(sizes)]
    parts = [
        Part(stream(base / str(i), tokens, shard_tokens), asked)
        for i, (tokens, (_, asked)) in enumerate(zip(streams, sizes, strict=True))
    ]
    total = sum(asked for _, asked in sizes)
    data = PackedData(parts, length, seed, total)
    assert len(data) == total // length
    got = data.batch(0, len(data))
    assert got.dtype == np.int64
    assert got.shape == (total // length, length + 1)
    given_by = Counter(row[0] // 1000 for row in got.tolist())
    expected: Counter[tuple[int, ...]] = Counter()
    for part, tokens in enumerate(streams):
        share = sizes[part][1] / total * len(data)
        assert abs(given_by[part] - share) < 1
        for cut in range(given_by[part]):
            places = range(cut * length, cut * length + length + 1)
            expected[tuple(tokens[place % len(tokens)] for place in places)] += 1
    assert Counter(map(tuple, got.tolist())) == expected


def test_batches_are_slices_of_one_order(tmp_path: Path) -> None:
    data = PackedData([Part(stream(tmp_path, list(range(500))), 500)], 4, 7, 500)
    whole = data.batch(0, len(data))
    pieces = [data.batch(first, min(9, len(data) - first)) for first in range(0, len(data), 9)]
    assert np.array_equal(np.concatenate(pieces), whole)


def test_order_is_the_seed_s(tmp_path: Path) -> None:
    parts = [Part(stream(tmp_path, list(range(500))), 500)]
    orders = [PackedData(parts, 4, seed, 500).batch(0, 125)[:, 0].tolist() for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_mixture_has_its_shares_all_through_training(tmp_path: Path) -> None:
    parts = [
        Part(stream(tmp_path / "a", [1] * 7000), 7000),
        Part(stream(tmp_path / "b", [2] * 3000), 3000),
    ]
    data = PackedData(parts, 5, 0, 10_000)
    starts = data.batch(0, len(data))[:, 0]
    assert (starts == 1).mean() == 0.7
    assert abs((starts[:1000] == 1).mean() - 0.7) < 0.06


def test_part_with_fewer_tokens_than_asked_repeats_evenly(tmp_path: Path) -> None:
    data = PackedData([Part(stream(tmp_path, list(range(100))), 350)], 10, 0, 350)
    seen = Counter(data.batch(0, len(data))[:, :-1].ravel().tolist())
    assert len(data) == 35
    assert set(seen.values()) == {3, 4}
    assert len(seen) == 100


def test_part_without_a_share_may_be_empty(tmp_path: Path) -> None:
    parts = [
        Part(stream(tmp_path / "a", [1] * 100), 100),
        Part(stream(tmp_path / "b", []), 0),
    ]
    assert set(PackedData(parts, 5, 0, 100).batch(0, 20).ravel().tolist()) == {1}


def test_reading_beyond_the_last_sequence_is_refused(tmp_path: Path) -> None:
    data = PackedData([Part(stream(tmp_path, list(range(100))), 100)], 10, 0, 100)
    assert data.batch(10, 0).shape == (0, 11)
    for first, count in ((5, 6), (-1, 2)):
        with pytest.raises(IndexError):
            data.batch(first, count)
