"""A manifest either says what to choose among, or the first fault with its place and fix."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.config.manifest import (
    Candidate,
    Evidence,
    Manifest,
    Source,
    Target,
    load_manifest,
)
from dataselect.config.schema import Section
from dataselect.errors import InputError

SMALLEST = """\
target: {size: 32B, tokens: 6T}
plan: quickstart
sources:
  - id: books
    path: text
    data_files: [books/*.txt, more/*.txt.gz]
candidates:
  - id: fineweb-edu
    path: HuggingFaceFW/fineweb-edu
    name: sample-10BT
  - id: our-crawl
    path: json
    data_files: crawl/*.jsonl.zst
    text_column: body
  - id: blend
    mixture: {fineweb-edu: 0.7, our-crawl: 2, books: 1e-1}
"""


def load_text(folder: Path, text: str) -> Manifest:
    file = folder / "m.yaml"
    file.write_text(text)
    return load_manifest(file)


def fault(folder: Path, text: str) -> str:
    """The message for `text`, from the line number on."""
    with pytest.raises(InputError) as error:
        load_text(folder, text)
    message = str(error.value)
    assert message.isprintable()
    return message.removeprefix(f"{folder / 'm.yaml'}:")


def test_the_keys_are_those_of_load_dataset(tmp_path: Path) -> None:
    manifest = load_text(tmp_path, SMALLEST)
    assert (manifest.name, manifest.plan, manifest.base) == ("m", "quickstart", tmp_path)
    assert (manifest.target.size, manifest.target.total_tokens) == (32 * 10**9, 6 * 10**12)
    crawl = manifest.candidates[1]
    assert (crawl.path, crawl.data_files, crawl.text_column) == (
        "json",
        "crawl/*.jsonl.zst",
        "body",
    )
    assert (crawl.split, crawl.streaming, crawl.bad_rows) == ("train", True, "error")
    assert list(manifest.text_sources()) == ["books", "fineweb-edu", "our-crawl"]
    assert manifest.where("candidates", 1, "path") == f"{tmp_path / 'm.yaml'}:12:5"


def test_shares_of_a_mixture_sum_to_one_and_a_plain_candidate_is_its_only_source(
    tmp_path: Path,
) -> None:
    manifest = load_text(tmp_path, SMALLEST)
    assert manifest.shares("blend") == pytest.approx(
        {"fineweb-edu": 0.25, "our-crawl": 2 / 2.8, "books": 0.1 / 2.8}
    )
    assert manifest.shares("our-crawl") == {"our-crawl": 1.0}
    with pytest.raises(KeyError):
        manifest.shares("books")


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20))
def test_any_positive_weights_become_shares(weights: list[float]) -> None:
    texts = [Source(id=f"s{i}", path="x") for i in range(len(weights))]
    manifest = Manifest(
        name="m",
        target=Target(size=10, tokens=10),
        sources=texts,
        candidates=[
            Candidate(id="plain", path="x"),
            Candidate(id="mix", mixture={f"s{i}": w for i, w in enumerate(weights)}),
        ],
    )
    shares = manifest.shares("mix")
    assert math.fsum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert all(share > 0 for share in shares.values())


def test_a_budget_may_be_a_chinchilla_multiple() -> None:
    assert Target(size=1_000_000, chinchilla_multiple=0.5).total_tokens == 10_000_000


def test_a_manifest_with_all_defaults_spelt_out_is_the_same_manifest(tmp_path: Path) -> None:
    manifest = load_text(tmp_path, SMALLEST)
    assert Manifest.model_validate(manifest.model_dump()).model_dump() == manifest.model_dump()


def test_words_that_other_loaders_misread_stay_titles(tmp_path: Path) -> None:
    text = SMALLEST.replace("    name: sample-10BT", "    title: no\n    revision: 2024-01-01")
    candidate = load_text(tmp_path, text).candidates[0]
    assert (candidate.title, candidate.revision) == ("no", "2024-01-01")


def test_a_title_is_kept_on_one_line(tmp_path: Path) -> None:
    text = SMALLEST.replace("    name: sample-10BT", "    title: >\n      Two\n      lines [/b]\n")
    assert load_text(tmp_path, text).candidates[0].title == "Two lines [/b]"


IDS = [
    ("../../etc/passwd", "'../../etc/passwd' is not an id; "),
    ("a/b", "'a/b' is not an id; "),
    ("'[/red]'", "'[/red]' is not an id; "),
    ("<b>x</b>", "'<b>x</b>' is not an id; "),
    ("'a\n\n  b'", "'a\\nb' is not an id; "),
    ('"a\\n"', "'a\\n' is not an id; "),
    ('"a\\u202e"', "'a\\u202e' is not an id; "),
    (".hidden", "'.hidden' is not an id; "),
    ("Upper Case", "'Upper Case' is not an id; use 1 to 64 of a-z 0-9 . _ - and begin with a"),
    ("é", "'é' is not an id; "),
    ("''", "'' is not an id; "),
    ("x" * 65, "is not an id; "),
    ("1.10", "1.10 means a number here; put text in quotes: '1.10'"),
]


@pytest.mark.parametrize(("written", "message"), IDS)
def test_an_id_with_a_path_or_markup_is_refused_and_shown_safely(
    tmp_path: Path, written: str, message: str
) -> None:
    shown = fault(tmp_path, SMALLEST.replace("id: our-crawl", f"id: {written}"))
    assert shown.startswith("11:5: candidates[1].id: ")
    assert message in shown


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("plan:", "pln:", "2:1: unknown key 'pln'; did you mean 'plan'? (keys: name, target, "),
        ("text_column", "text_colum", "14:5: unknown key 'text_colum' in candidates[1]; did you"),
        ("id: our-crawl", "id: books", "11:5: candidates[1].id: 'books' is the id of sources[0]"),
        (
            "our-crawl: 2",
            "our-crwl: 2",
            "16:33: candidates[2].mixture.our-crwl: there is no source or candidate 'our-crwl';"
            " did you mean 'our-crawl'?",
        ),
        ("our-crawl: 2", "blend: 2", "16:33: candidates[2].mixture.blend: 'blend' is a mixture"),
        ("our-crawl: 2", "our-crawl: 0", "16:33: candidates[2].mixture.our-crawl: 0 is not a sh"),
        ("our-crawl: 2", "our-crawl: -1", "16:33: candidates[2].mixture.our-crawl: -1 is not a s"),
        ("our-crawl: 2", "our-crawl: .nan", "16:33: candidates[2].mixture.our-crawl: .nan does "),
        ("our-crawl: 2", "our-crawl: true", "16:33: candidates[2].mixture.our-crawl: true is no"),
        ("our-crawl: 2", "our-crawl: 1, our-crawl: 2", "16:47: the key 'our-crawl' is given twi"),
        ("books: 1e-1}", "books: 1}\n    split: s", "17:5: candidates[2].split: this describes"),
        ("books: 1e-1}", "books: 1}\n    path: s", "16:5: candidates[2].mixture: 'path' is given"),
        ("{fineweb-edu: 0.7, our-crawl: 2, books: 1e-1}", "{}", "16:5: candidates[2].mixture: it "),
        ("    path: HuggingFaceFW/fineweb-edu\n", "", "9:5: candidates[0].name: this describes a"),
        ("    data_files: crawl/*.jsonl.zst\n", "", "12:5: candidates[1].path: 'json' does not s"),
        ("    path: text\n", "", "4:5: sources[0]: 'books' has no 'path'; add 'path:'"),
        ("crawl/*.jsonl.zst", "[]", "13:5: candidates[1].data_files: a list of 0 does not fit; "),
        ("path: json", "path: ''", "12:5: candidates[1].path: the text is empty; write some"),
        ("name: sample-10BT", "title: 1.10", "10:5: candidates[0].title: 1.10 means a number he"),
        ("name: sample-10BT", "bad_rows: skp", "10:5: candidates[0].bad_rows: 'skp' does not fit"),
        ("name: sample-10BT", "max_repeats: 0", "10:5: candidates[0].max_repeats: 0 does not fit"),
        ("6T", "0", "1:21: target.tokens: 0 is too small; write 1 or more"),
        ("6T", "1.5", "1:21: target.tokens: 1.5 does not come to a whole number; write"),
        ("6T", "-6T", "1:21: target.tokens: '-6T' is negative; write"),
        ("6T", "6Q", "1:21: target.tokens: '6Q' ends in 'Q', which is not K, M, B or T; write"),
        ("6T", "6T, chinchilla_multiple: 1", "1:33: target.chinchilla_multiple: 'tokens' is giv"),
        ("tokens: 6T", "chinchilla_multiple: 1e-40", "1:21: target.chinchilla_multiple: 1e-40 ×"),
        (", tokens: 6T", "", "1:1: target: neither 'tokens' nor 'chinchilla_multiple' is given; "),
        ("target: {size: 32B, tokens: 6T}\n", "", "1:1: the file has no 'target'; add 'target:'"),
    ],
)
def test_bad_input_is_one_line_with_place_key_and_fix(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in SMALLEST
    assert fault(tmp_path, SMALLEST.replace(old, new)).startswith(message)


def test_one_candidate_leaves_nothing_to_choose(tmp_path: Path) -> None:
    text = "target: {size: 1B, tokens: 1B}\ncandidates:\n  - {id: a, path: x}\n"
    message = fault(tmp_path, text)
    assert message == "2:1: candidates: a list of 1 does not fit; write 2 or more entries"


@pytest.mark.parametrize("model", [Source, Candidate, Target, Evidence, Manifest])
def test_every_field_is_documented(model: type[Section]) -> None:
    assert sorted(model.model_fields) == sorted(model.field_docs())
