"""What is summed up over the documents of a source, and looked at while they are tokenised."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.corpus import batches
from dataselect.corpus.shards import write_tokens
from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.leaks.candidates import Draw, leaked
from dataselect.leaks.index import LeakIndex
from dataselect.leaks.parts import parts_of
from dataselect.leaks.scan import Amount, Findings, Scan, scan_documents

DUCKS = Item(
    "ducks",
    "Janet's ducks lay 16 eggs per day, and she eats three of them for breakfast every morning. "
    "How many eggs are left for the market?",
    "13",
    rationale="Of the 16 eggs that the ducks lay she eats three, so that 16 - 3 = 13 are left.",
)
ROBE = Item(
    "robe",
    "A robe takes 2 bolts of blue fiber and half that much white fiber, and is worn by a monk. "
    "How many bolts in total does it take?",
    "3",
)
SHEEP = Item(
    "sheep",
    "Toulouse has twice as many sheep as Charleston, which has 4 times as many sheep as Seattle "
    "has. How many sheep do they have together?",
    "260",
)
SUMS = BenchmarkItems("sums", (DUCKS, ROBE))
PARTS = list(parts_of(SUMS, [], [SHEEP]))
NOTHING = "It was a bright cold day in April, and the clocks were striking thirteen all over town."


def index() -> LeakIndex:
    return LeakIndex(PARTS, 8, 0.5)


def scanned(texts: list[str]) -> Findings:
    return scan_documents(iter(texts), len(texts), index(), 1)


def test_what_a_source_holds_is_told_by_item_part_and_document() -> None:
    changed = DUCKS.question.replace("breakfast", "supper")
    texts = [NOTHING, changed, NOTHING, DUCKS.question, f"{DUCKS.rationale} {SHEEP.question}"]
    findings = scanned(texts)
    assert findings.read == Amount(5, sum(map(len, texts)))
    held = {(part.item, part.kind): part for part in findings.parts}
    assert set(held) == {("ducks", "question"), ("ducks", "solution"), ("sheep", "question")}
    question = held["ducks", "question"]
    assert (question.documents, question.first, question.first_whole) == (2, 1, 3)
    assert question.covered == 1
    amounts = {split: amount.documents for (_, split), amount in findings.holding.items()}
    assert amounts == {"items": 3, "training": 1}


def test_a_candidate_that_draws_on_the_beginning_holds_what_stands_there() -> None:
    findings = scanned([NOTHING, DUCKS.question.replace("3", "4"), ROBE.question, DUCKS.question])
    whole = leaked({"corpus": Draw(1.0, 1.0)}, {"corpus": findings}, "sums", "items", 2)
    assert set(whole.items) == {"ducks", "robe"}
    half = leaked({"corpus": Draw(0.5, 0.5)}, {"corpus": findings}, "sums", "items", 2)
    assert half.items == ("ducks",)
    assert half.text_share == pytest.approx(whole.text_share / 2)
    none = leaked({"corpus": Draw(0.5, 0.25)}, {"corpus": findings}, "sums", "items", 2)
    assert none.items == ()
    assert leaked({"corpus": Draw(1.0, 1.0)}, {"corpus": findings}, "other", "items", 2).items == ()


def test_a_mixture_holds_what_its_sources_hold() -> None:
    one, other = scanned([DUCKS.question, NOTHING]), scanned([ROBE.question, DUCKS.question])
    found = {"one": one, "other": other}
    both = leaked({"one": Draw(0.9, 1.0), "other": Draw(0.1, 1.0)}, found, "sums", "items", 2)
    assert set(both.items) == {"ducks", "robe"}
    assert both.documents == 3
    assert both.kinds == {"question": 2}
    assert 0.1 < both.text_share < 1


def test_findings_come_back_from_their_file(tmp_path: Path) -> None:
    findings = scanned([DUCKS.question, NOTHING])
    findings.write(tmp_path / "findings.json")
    assert Findings.from_json(json.loads((tmp_path / "findings.json").read_text())) == findings


documents = st.lists(
    st.sampled_from([DUCKS.question, DUCKS.question[:90], ROBE.question, SHEEP.question, NOTHING]),
    min_size=1,
    max_size=30,
)


@settings(max_examples=30, deadline=None)
@given(documents, st.integers(1, 500), st.integers(1, 3))
def test_batches_and_threads_do_not_change_what_is_found(
    texts: list[str], characters: int, threads: int
) -> None:
    expected = scanned(texts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "BATCH_CHARACTERS", characters)
        assert scan_documents(iter(texts), len(texts), index(), threads) == expected


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(iter([NOTHING, DUCKS.question]), 300, True).save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("budget", [10, 400, 2000, 1_000_000])
def test_tokenising_sees_what_a_pass_over_the_stream_s_documents_sees(
    budget: int, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_CHARACTERS", 300)
    texts = [NOTHING, DUCKS.question, SHEEP.question, NOTHING, f"{DUCKS.rationale}"] * 20
    scan = Scan(index())
    counts = write_tokens(
        iter(texts),
        tokenizer,
        budget,
        tmp_path,
        processes=2,
        progress=lambda _: None,
        observer=scan,
    )
    again = scan_documents(iter(texts), counts.documents, index(), 1)
    assert scan.findings() == again
    assert again.read.documents == counts.documents


def test_a_source_is_read_no_further_than_it_is_trained_on() -> None:
    taken = []

    def texts() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield DUCKS.question

    assert scan_documents(texts(), 7, index(), 1).read.documents == 7
    assert len(taken) <= 8


def test_a_trace_that_repeats_the_solution_is_no_part_of_its_own() -> None:
    kinds = [part.kind for part in parts_of(replace(SUMS, items=(DUCKS,)), [], [])]
    assert kinds == ["question", "solution"]
