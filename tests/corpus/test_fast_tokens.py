"""Whatever the fast library does, a stream has the tokens of `tokenizers`."""

import itertools
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from zoo import CORPUS, tokenizer_files

from dataselect.config.manifest import Source
from dataselect.corpus import batches, document_tokens, fast_tokens
from dataselect.corpus.document_tokens import DocumentTokens, OtherTokensError
from dataselect.corpus.fast_tokens import fast_encode, hard_texts
from dataselect.corpus.fingerprint import fingerprint
from dataselect.corpus.kept_tokenizer import Tokenizer as KeptTokenizer
from dataselect.corpus.shards import TokenStream
from dataselect.corpus.source_at import SourceAt
from dataselect.corpus.stream_request import StreamRequest
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.store import Store

BATCHES = [[f"{text} {n} {m}" for m, text in enumerate(CORPUS)] for n in range(60)]


@pytest.fixture
def tokenizer() -> Tokenizer:
    made = Tokenizer.from_str(tokenizer_files("bytes")[0])
    made.encode_special_tokens = True
    return made


@pytest.fixture(autouse=True)
def _short_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_tokens, "UNTRIED_LETTERS", 2_000)
    monkeypatch.setattr(document_tokens, "TRIED_LETTERS", 4_000)


class Library:
    """A stand-in for the library: right, until a document that it gets wrong."""

    def __init__(
        self, tokenizer: Tokenizer, wrong: Callable[[str], bool] = lambda _: False
    ) -> None:
        self.tokenizer, self.wrong, self.right = tokenizer, wrong, 10**9
        self.texts: list[str] = []

    def __call__(self, text: str) -> np.ndarray:
        self.texts.append(text)
        ids = self.tokenizer.encode(text, add_special_tokens=False).ids
        spoilt = self.wrong(text) or len(self.texts) > self.right
        return np.array([0] if spoilt else ids, np.uint32)


def use(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    monkeypatch.setattr(document_tokens, "fast_encode", lambda _: library)


def exact(tokenizer: Tokenizer) -> list[list[int]]:
    plain = DocumentTokens(tokenizer, [7], 9, 10**9, fast=False)
    return [plain(batch)[0].tolist() for batch in BATCHES]


def test_what_agrees_at_the_beginning_is_used_for_the_rest(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = Library(tokenizer)
    use(monkeypatch, library)
    tokens = DocumentTokens(tokenizer, [7], 9, 10**9, fast=True)
    first, *rest = exact(tokenizer)
    ids, ends = tokens(BATCHES[0])
    assert ids.tolist() == first
    assert library.texts == [], "a short stream needs no other library"
    assert ids[ends - 1].tolist() == [9, 9, 9]
    assert ids[np.append(0, ends[:-1])].tolist() == [7, 7, 7]
    assert [tokens(batch)[0].tolist() for batch in BATCHES[1:]] == rest
    assert len(library.texts) > 100


def test_another_token_in_the_trial_ends_its_use(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = Library(tokenizer, lambda text: " 20 " in text)
    use(monkeypatch, library)
    caplog.set_level(logging.INFO, logger="dataselect")
    tokens = DocumentTokens(tokenizer, [7], 9, 10**9, fast=True)
    assert [tokens(batch)[0].tolist() for batch in BATCHES] == exact(tokenizer)
    assert not [text for text in library.texts if " 30 " in text]
    assert "gigatoken gives other tokens for" in caplog.text


def test_another_token_after_it_makes_the_stream_anew(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document_tokens, "JUDGED", 1)
    use(monkeypatch, Library(tokenizer, lambda text: " 50 " in text))
    tokens = DocumentTokens(tokenizer, [7], 9, 10**9, fast=True)
    for batch in BATCHES[:50]:
        tokens(batch)
    with pytest.raises(OtherTokensError, match="other tokens for"):
        tokens(BATCHES[50])


def test_a_stream_is_the_same_whatever_the_library_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    texts = list(itertools.chain.from_iterable(BATCHES))
    folder = tmp_path / "tokenizer"
    trained = train_tokenizer(iter(texts), 300, split_digits=False)
    trained.save_pretrained(str(folder))
    (tmp_path / "it.txt").write_text("\n".join(text.replace("\n", " ") for text in texts))
    source = Source(id="it", path="it.txt")
    monkeypatch.setattr(document_tokens, "JUDGED", 1)
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 500)
    streams = []
    for name, right in (("right", 10**9), ("wrong", 100)):
        library = Library(Tokenizer.from_str(trained.backend_tokenizer.to_str()))
        library.right = right
        use(monkeypatch, library)
        request = StreamRequest(
            SourceAt.of(source, tmp_path),
            fingerprint(source, tmp_path),
            0,
            KeptTokenizer(folder, "hash", 300),
            10**6,
        )
        made = request.make(Store(tmp_path / name), lambda _: None, 1)
        stream = TokenStream(made.path)
        streams.append(stream.read(0, len(stream)).tolist())
        assert len(library.texts) > 100
    assert streams[0] == streams[1]
    assert "it: tokenised again without gigatoken, which failed (other tokens for" in caplog.text


def test_odd_texts_are_odd_and_always_the_same() -> None:
    texts = list(hard_texts(["<|endoftext|>"]))
    assert texts == list(hard_texts(["<|endoftext|>"]))
    assert sum(map(len, texts)) > 100_000
    joined = "".join(texts)
    assert all(each in joined for each in ("<|endoftext|>", "\u0301", "日", "🙂", "\r\n", "0" * 40))


@pytest.mark.parametrize("kind", ["bytes", "bytes-bos", "gpt2", "sentencepiece", "metaspace"])
def test_gigatoken_gives_the_same_tokens(kind: str) -> None:
    pytest.importorskip("gigatoken")
    made = Tokenizer.from_str(tokenizer_files(kind)[0])
    made.encode_special_tokens = True
    assert fast_encode(made) is not None


@pytest.mark.parametrize("kind", ["digits", "unigram"])
def test_what_gigatoken_does_not_read_is_left_to_tokenizers(kind: str) -> None:
    pytest.importorskip("gigatoken")
    assert fast_encode(Tokenizer.from_str(tokenizer_files(kind)[0])) is None


def test_a_library_that_gives_other_tokens_on_odd_texts_is_not_used(
    tokenizer: Tokenizer,
) -> None:
    right = Library(tokenizer)
    assert fast_tokens.differs(tokenizer, right, hard_texts([])) is None
    wrong = Library(tokenizer, lambda text: "½" in text)
    assert "½" in (fast_tokens.differs(tokenizer, wrong, hard_texts([])) or "")
