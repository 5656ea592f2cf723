"""Token shards: what is written is every document's ids and an end, cut at the budget."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors
from transformers import PreTrainedTokenizerFast

from dataselect.corpus import batches, shards
from dataselect.corpus.rows import RowCounts
from dataselect.corpus.shards import TokenCounts, TokenStream, write_tokens
from dataselect.corpus.tokenizer import load_tokenizer, train_tokenizer
from dataselect.errors import InputError
from dataselect.scoring.token_spans import align

TEXTS = [f"Story {i}: " + "the cat sat on 12 mats. " * (i % 7) + "ü🙂" for i in range(200)]


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(iter(TEXTS), 300, True).save_pretrained(folder)
    return folder


def write(
    texts: list[str], tokenizer: Path, budget: int, folder: Path, threads: int = 1
) -> TokenCounts:
    return write_tokens(
        iter(texts), tokenizer, budget, folder, processes=threads, progress=lambda _: None
    )


def reference(texts: list[str], tokenizer_folder: Path) -> tuple[list[int], list[int]]:
    """Token ids one document at a time, and where each document begins."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    ids: list[int] = []
    starts = []
    for text in texts:
        starts.append(len(ids))
        plain = tokenizer.backend_tokenizer
        plain.encode_special_tokens = True
        ids += [*plain.encode(text, add_special_tokens=False).ids, tokenizer.eos_token_id]
    return ids, starts


def tokens_of(folder: Path) -> list[int]:
    stream = TokenStream(folder)
    return [int(token) for token in stream.read(0, len(stream))]


def test_stream_holds_every_document_and_its_end(tokenizer_folder: Path, tmp_path: Path) -> None:
    expected, _ = reference(TEXTS, tokenizer_folder)
    counts = write(TEXTS, tokenizer_folder, 10**9, tmp_path)
    assert tokens_of(tmp_path) == expected
    assert counts == TokenCounts(len(expected), len(TEXTS), exhausted=True)
    assert TokenStream(tmp_path).counts == counts
    assert TokenStream(tmp_path).read(0, 1).dtype == np.uint16


def test_documents_begin_as_scored_texts_do_and_special_tokens_in_them_are_text(
    tokenizer_folder: Path, tmp_path: Path
) -> None:
    """A tokenizer that adds a BOS adds it in training too; else a proxy would first see one when it
    is scored."""
    backend = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    backend.add_special_tokens(["<s>"])
    start = backend.token_to_id("<s>")
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", start)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="<|endoftext|>"
    )
    tokenizer.save_pretrained(tmp_path / "bos")
    texts = ["One <s> text.", "Another <|endoftext|> one."]
    write(texts, tmp_path / "bos", 10**6, tmp_path / "tokens")
    scored = [align(load_tokenizer(tmp_path / "bos"), "", text) for text in texts]
    expected = [[*each.context_ids, *each.ids, 0] for each in scored]
    assert tokens_of(tmp_path / "tokens") == expected[0] + expected[1]
    assert expected[0].count(start) == 1
    assert expected[0][0] == start
    assert expected[1].count(0) == 1


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
        min_size=1,
        max_size=20,
    ),
    budget=st.integers(1, 200),
    threads=st.integers(1, 3),
    batch_characters=st.integers(1, 60),
    shard_tokens=st.integers(1, 40),
    ahead=st.integers(1, 4),
)
def test_any_budget_takes_a_prefix_whatever_the_threads_batches_and_shards(
    tokenizer_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    *,
    texts: list[str],
    budget: int,
    threads: int,
    batch_characters: int,
    shard_tokens: int,
    ahead: int,
) -> None:
    folder = tmp_path_factory.mktemp("tokens")
    expected, starts = reference(texts, tokenizer_folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH_CHARACTERS", batch_characters)
        patch.setattr(shards, "SHARD_TOKENS", shard_tokens)
        patch.setattr(batches, "BATCHES_AHEAD", ahead)
        counts = write(texts, tokenizer_folder, budget, folder, threads)
    assert tokens_of(folder) == expected[:budget]
    assert counts.tokens == min(budget, len(expected))
    assert counts.documents == sum(start < budget for start in starts)
    assert counts.exhausted == (budget > len(expected))


def test_end_token_in_a_text_is_text(tokenizer_folder: Path, tmp_path: Path) -> None:
    write(["a<|endoftext|>b", "c"], tokenizer_folder, 10**6, tmp_path)
    assert tokens_of(tmp_path).count(0) == 2


def test_padding_and_truncation_of_the_tokenizer_are_not_applied(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(TEXTS), 300, True)
    tokenizer.save_pretrained(tmp_path / "t")
    expected, _ = reference(TEXTS[:20], tmp_path / "t")
    tokenizer.backend_tokenizer.enable_padding()
    tokenizer.backend_tokenizer.enable_truncation(max_length=5)
    tokenizer.backend_tokenizer.save(str(tmp_path / "t/tokenizer.json"))
    write(TEXTS[:20], tmp_path / "t", 10**6, tmp_path / "out")
    assert tokens_of(tmp_path / "out") == expected


def test_large_vocabulary_is_kept_in_32_bits(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(iter(TEXTS), 300, True)
    first = len(tokenizer)
    tokenizer.add_tokens([chr(0x20000 + i) for i in range(66_000)])
    tokenizer.save_pretrained(tmp_path / "t")
    write(["x" + chr(0x20000 + 65_999)], tmp_path / "t", 100, tmp_path / "out")
    found = TokenStream(tmp_path / "out").read(0, 2)
    assert found.dtype == np.uint32
    assert max(tokens_of(tmp_path / "out")) == first + 65_999


def test_counts_of_rows_are_kept(tokenizer_folder: Path, tmp_path: Path) -> None:
    rows = RowCounts(read=5, used=2, bad=1, empty=1, non_text=1)
    write_tokens(
        iter(["a", "b"]),
        tokenizer_folder,
        100,
        tmp_path,
        processes=1,
        progress=lambda _: None,
        rows=rows,
    )
    assert TokenStream(tmp_path).rows == rows


def test_reading_ahead_is_bounded_and_the_same_for_any_number_of_threads(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 50)

    def endless(taken: list[int]) -> Iterator[str]:
        while True:
            taken.append(1)
            yield "x" * 50

    amounts = set()
    for threads in (1, 4):
        taken: list[int] = []
        folder = tmp_path / str(threads)
        write_tokens(
            endless(taken),
            tokenizer_folder,
            60,
            folder,
            processes=threads,
            progress=lambda _: None,
        )
        amounts.add(len(taken))
    assert len(amounts) == 1
    assert max(amounts) <= batches.BATCHES_AHEAD + 2


class CountedText(str):
    """A text that is counted for as long as anybody holds it."""

    alive = 0

    def __new__(cls, text: str) -> "CountedText":
        cls.alive += 1
        return super().__new__(cls, text)

    def __del__(self) -> None:
        type(self).alive -= 1


def test_texts_are_let_go_however_many_come(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 100)
    peaks = []
    for documents in (1_000, 4_000):
        most = 0

        def texts(documents: int = documents) -> Iterator[str]:
            nonlocal most
            for _ in range(documents):
                yield CountedText("x" * 10)
                most = max(most, CountedText.alive)

        write_tokens(
            texts(),
            tokenizer_folder,
            10**9,
            tmp_path / str(documents),
            processes=2,
            progress=lambda _: None,
        )
        peaks.append(most)
    # Ten documents make a batch; one batch is being filled and two may just have been done.
    assert max(peaks) <= 10 * (batches.BATCHES_AHEAD + 3)
    assert CountedText.alive == 0


def test_error_in_the_texts_passes_through(tokenizer_folder: Path, tmp_path: Path) -> None:
    def broken() -> Iterator[str]:
        yield "good"
        raise InputError("a.jsonl:2", "bad", "fix it")

    with pytest.raises(InputError, match=r"a\.jsonl:2"):
        write_tokens(broken(), tokenizer_folder, 10, tmp_path, processes=1, progress=lambda _: None)
    with pytest.raises(InputError, match="missing or damaged"):
        TokenStream(tmp_path)


def test_environment_is_left_as_it_was(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    write(TEXTS, tokenizer_folder, 5, tmp_path)
    assert "TOKENIZERS_PARALLELISM" not in os.environ
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    write(TEXTS, tokenizer_folder, 5, tmp_path)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"


def test_progress_ends_at_what_was_written(tokenizer_folder: Path, tmp_path: Path) -> None:
    reports: list[dict[str, float]] = []
    write_tokens(iter(TEXTS), tokenizer_folder, 100, tmp_path, processes=1, progress=reports.append)
    assert reports[-1]["tokens"] == reports[-1]["total_tokens"] == 100
    assert reports[-1]["tokens_per_second"] > 0


def test_reads_within_a_shard_copy_nothing(tokenizer_folder: Path, tmp_path: Path) -> None:
    write(TEXTS, tokenizer_folder, 500, tmp_path)
    piece = TokenStream(tmp_path).read(10, 200)
    assert type(piece) is np.ndarray
    assert not piece.flags.owndata


def test_reads_beyond_the_ends_are_refused(tokenizer_folder: Path, tmp_path: Path) -> None:
    write(TEXTS, tokenizer_folder, 50, tmp_path)
    stream = TokenStream(tmp_path)
    assert len(stream.read(50, 50)) == 0
    for start, stop in ((-1, 3), (0, 51), (4, 3)):
        with pytest.raises(IndexError):
            stream.read(start, stop)


def test_shortened_shard_is_refused(tokenizer_folder: Path, tmp_path: Path) -> None:
    write(TEXTS, tokenizer_folder, 50, tmp_path)
    shard = tmp_path / "tokens-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(InputError, match="missing or damaged"):
        TokenStream(tmp_path).read(0, 1)


def test_few_files_stay_open_however_many_shards(
    tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARD_TOKENS", 4)
    monkeypatch.setattr(shards, "OPEN_SHARDS", 2)
    write(TEXTS, tokenizer_folder, 400, tmp_path)
    stream = TokenStream(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    for start in range(0, 400, 4):
        stream.read(start, start + 4)
    assert len(os.listdir("/proc/self/fd")) <= before + 2
