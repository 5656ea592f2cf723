"""On real text: GSM8K's training split holds none of its test, and planted items are found."""

import gzip
import json
import random
from pathlib import Path

import pytest

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.load import load_benchmark
from dataselect.leaks.candidates import Draw, Leaked, leaked
from dataselect.leaks.index import LeakIndex
from dataselect.leaks.parts import parts_of
from dataselect.leaks.scan import scan_documents

DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not here")


def corpus(name: str) -> list[str]:
    with gzip.open(DATA / "corpora" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="module")
def gsm8k() -> BenchmarkItems:
    return load_benchmark(KNOWN["gsm8k"], DATA / "benchmarks")[0]


@pytest.fixture(scope="module")
def index(gsm8k: BenchmarkItems) -> LeakIndex:
    return LeakIndex(list(parts_of(gsm8k, [], [])), 8, 0.9)


def found(index: LeakIndex, gsm8k: BenchmarkItems, texts: list[str]) -> Leaked:
    findings = scan_documents(iter(texts), len(texts), index, 1)
    total = len(gsm8k.items)
    return leaked({"c": Draw(1.0, 1.0)}, {"c": findings}, "gsm8k", "items", total)


def test_gsm8k_s_training_split_holds_next_to_nothing_of_its_test(
    index: LeakIndex, gsm8k: BenchmarkItems
) -> None:
    held = found(index, gsm8k, corpus("gsm8k_train"))
    assert held.whole == ()
    assert len(held.items) <= 1
    assert len(held.like) <= 5


@pytest.mark.parametrize("name", ["brown", "webtext"])
def test_prose_holds_nothing(index: LeakIndex, gsm8k: BenchmarkItems, name: str) -> None:
    held = found(index, gsm8k, corpus(name)[:600])
    assert (held.items, held.like) == ((), ())


@pytest.mark.parametrize("form", ["verbatim", "question", "retyped", "cut"])
def test_one_percent_of_the_test_is_found_in_the_training_split(
    index: LeakIndex, gsm8k: BenchmarkItems, form: str
) -> None:
    rng = random.Random(0)
    planted = rng.sample(gsm8k.items, round(len(gsm8k.items) / 100))
    texts = corpus("gsm8k_train")[:2000]
    for item in planted:
        text = item.question if form == "question" else f"{item.question} {item.rationale}"
        if form == "retyped":
            text = " \n".join(text.upper().replace(".", " .").replace("'", "’").split())
        half = len(item.question) // 2
        cut = [text[:half], text[half:]] if form == "cut" else [text]
        for piece in cut:
            texts.insert(rng.randrange(len(texts)), piece)
    held = found(index, gsm8k, texts)
    assert set(held.items) == {item.id for item in planted}
