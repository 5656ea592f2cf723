"""Streams for a manifest: enough tokens, or an error that says how many there are."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataselect.config.manifest import Manifest, load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.corpus import prepare
from dataselect.corpus.packing import PackedData, Part
from dataselect.corpus.prepare import (
    Corpus,
    corpus_notes,
    draw_shares,
    prepare_streams,
    read_corpus,
    repeats,
    tokens_needed,
)
from dataselect.corpus.shards import TokenStream
from dataselect.corpus.tokenizer import load_tokenizer, tokenizer_hash
from dataselect.errors import InputError
from dataselect.store import Store

MANIFEST = """
target: {size: 1M, tokens: 20M}
candidates:
  - {id: a, path: a.jsonl}
  - {id: b, path: b.jsonl}
  - {id: blend, mixture: {a: 1, b: 3}}
"""
PLAN = """
tokenizer: {train: {vocab_size: 257, characters: 2k}}
benchmarks: [{id: x, items: x, traces: x}]
screen: {keep: 1, proxy: {size: 4M, tokens: 1M}}
"""


@pytest.fixture
def made(tmp_path: Path) -> tuple[Manifest, Plan, Store, Corpus]:
    # With 257 entries a letter is a token: a document of 99 letters is 100 tokens with its end.
    for name, letter, documents in (("a", "x", 40), ("b", "y", 30)):
        rows = [json.dumps({"text": letter * 99}) for _ in range(documents)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join([*rows, '{"text": null}']))
    (tmp_path / "m.yaml").write_text(MANIFEST)
    (tmp_path / "p.yaml").write_text(PLAN)
    manifest, plan = load_manifest(tmp_path / "m.yaml"), load_plan("p.yaml", tmp_path)
    store = Store(tmp_path / "store")
    return manifest, plan, store, read_corpus(manifest, plan, store, ignore)


def same_for_all(manifest: Manifest, budget: int, length: int = 10) -> dict[str, Any]:
    return {candidate.id: [(budget, length)] for candidate in manifest.candidates}


def ignore(name: str, fields: Any) -> None: ...


def streams(made: tuple[Manifest, Plan, Store, Corpus], budget: int, length: int = 10) -> Any:
    manifest, plan, store, corpus = made
    needed = tokens_needed(manifest, same_for_all(manifest, budget, length))
    return prepare_streams(manifest, plan, corpus, needed, store, ignore).streams


def test_source_with_exactly_the_budget_is_enough(made: Any) -> None:
    assert streams(made, 3000)["b"].tokens == 3000


def test_source_with_a_sequence_too_few_is_refused_with_its_count(made: Any) -> None:
    with pytest.raises(InputError) as refused:
        streams(made, 3020)
    assert "m.yaml:5:" in str(refused.value)
    assert "'b' has 3,000 tokens" in str(refused.value)
    assert "max_repeats: 2" in str(refused.value)


def test_repeats_are_allowed_by_the_plan_and_reported(made: Any) -> None:
    manifest, plan, store, corpus = made
    generous = plan.model_copy(update={"max_repeats": 2.0})
    prepared = streams((manifest, generous, store, corpus), 4500)
    assert repeats(manifest, prepared, same_for_all(manifest, 4500)) == {
        "a": pytest.approx(4500 / 4000),
        "b": pytest.approx(1.5),
        "blend": pytest.approx(0.75 * 4500 / 3000),
    }


def test_candidate_without_a_budget_needs_no_tokens_of_its_own(made: Any) -> None:
    manifest = made[0]
    assert tokens_needed(manifest, {"a": [(100, 10), (250, 10)]}) == {"a": 251}
    assert set(tokens_needed(manifest, {"blend": [(100, 10)]})) == {"a", "b"}
    assert tokens_needed(manifest, {}) == {}


def test_stream_keeps_its_key_when_the_budget_grows(made: Any) -> None:
    small, large = streams(made, 500), streams(made, 2000)
    assert {name: s.key for name, s in small.items()} == {n: s.key for n, s in large.items()}
    assert small["a"].tokens < large["a"].tokens
    assert small["a"].key != small["b"].key


def test_a_cut_stream_is_the_beginning_of_the_whole_one_and_no_other_s(made: Any) -> None:
    manifest, plan, store, corpus = made

    def prepared(needed: dict[str, int], start: Corpus = corpus, cut: tuple[str, ...] = ()) -> Any:
        return prepare_streams(manifest, plan, start, needed, store, ignore, cut=cut)

    needed = {"a": 150, "b": 2000}
    both = prepared({"a": 2000, "b": 2000})
    whole, cut = both.streams, prepared(needed, cut=("a",)).streams
    short = prepared(needed).streams
    assert cut["a"].tokens == 150
    assert cut["a"].key not in (whole["a"].key, short["a"].key)
    assert cut["a"].folder not in (whole["a"].folder, short["a"].folder)
    assert cut["b"] == whole["b"]
    shorter = prepared({"a": 140}, cut=("a",)).streams
    # What is there already is taken as it is, unless another length is asked for, or a cut.
    again = prepared(needed, start=both, cut=("a",)).streams
    assert again == cut
    assert again["b"] is whole["b"]
    assert shorter["a"].key != cut["a"].key
    ids = TokenStream(cut["a"].folder).read(0, 150)
    assert (ids == TokenStream(whole["a"].folder).read(0, 150)).all()
    # Asked for more, a training reads the cut text again.
    packed = PackedData([Part(str(cut["a"].folder), 600)], 50, 0, 600)
    rows = packed.batch(0, 12)
    starts = {tuple(ids[i : i + 50].tolist()) for i in (0, 50, 100)}
    assert {tuple(row[:50].tolist()) for row in rows} == starts


def test_mixture_draws_its_shares_from_its_sources(made: Any) -> None:
    prepared = streams(made, 2000)
    shares = draw_shares(made[0], "blend", prepared, 2000)
    drawn = {share.stream: share.tokens for share in shares}
    assert drawn == {prepared["a"].key: 500, prepared["b"].key: 1500}


def test_rows_without_text_are_counted(made: Any) -> None:
    rows = streams(made, 3000)["b"].index["counts"]
    assert (rows["used"], rows["non_text"]) == (30, 1)


def test_a_tokenizer_is_used_as_its_file_has_it_whoever_kept_it_before(
    made: Any, tmp_path: Path
) -> None:
    """An earlier release kept what transformers' class made of the folder, under the same key."""
    manifest, _, store, corpus = made
    own = shutil.ignore_patterns("artifact.json", "facts.json")
    shutil.copytree(corpus.tokenizer.folder, tmp_path / "tok", ignore=own)
    (tmp_path / "q.yaml").write_text(
        PLAN.replace("{train: {vocab_size: 257, characters: 2k}}", "{path: tok}")
    )
    plan = load_plan("q.yaml", tmp_path)
    spec = {"path": str((tmp_path / "tok").resolve()), "hash": tokenizer_hash(tmp_path / "tok")}
    with store.publish("tokenizer", spec) as out:
        shutil.copytree(tmp_path / "tok", out, dirs_exist_ok=True)
        content = json.loads((out / "tokenizer.json").read_text())
        content["normalizer"] = {"type": "Lowercase"}
        (out / "tokenizer.json").write_text(json.dumps(content))
        (out / "facts.json").write_text(json.dumps({"hash": "wrong", "vocab_size": 257}))
    loaded = read_corpus(manifest, plan, store, ignore).tokenizer
    assert (
        load_tokenizer(loaded.folder).decode(load_tokenizer(loaded.folder)("AB")["input_ids"])
        == "AB"
    )
    assert loaded.hash == corpus.tokenizer.hash
    assert read_corpus(manifest, plan, store, ignore).tokenizer == loaded


def test_notes_on_a_tokenizer_are_of_its_folder_as_it_is_now(
    made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The class beside the tokens is in no key, so a folder of another class has the same."""
    manifest, _, store, corpus = made
    own = shutil.ignore_patterns("artifact.json", "facts.json")
    folder = Path(shutil.copytree(corpus.tokenizer.folder, tmp_path / "tok", ignore=own))
    (tmp_path / "q.yaml").write_text(
        PLAN.replace("{train: {vocab_size: 257, characters: 2k}}", "{path: tok}")
    )
    plan = load_plan("q.yaml", tmp_path)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    said = []
    for name in (settings["tokenizer_class"], "Qwen2Tokenizer", settings["tokenizer_class"]):
        (folder / "tokenizer_config.json").write_text(
            json.dumps({**settings, "tokenizer_class": name})
        )
        said.append(read_corpus(manifest, plan, store, ignore).tokenizer.notes)
    assert said[0] == said[2] == ()
    assert "Qwen2Tokenizer" in said[1][0]

    def refuse(*arguments: Any) -> Any:
        raise AssertionError("a folder that has not changed was loaded again")

    monkeypatch.setattr("dataselect.corpus.tokenizer.load_saved_tokenizer", refuse)
    assert read_corpus(manifest, plan, store, ignore).tokenizer.notes == ()


def test_a_bos_of_the_tokenizer_is_in_the_stream_and_in_its_key(made: Any, tmp_path: Path) -> None:
    manifest, plan, store, corpus = made
    budgets = same_for_all(manifest, 3000)
    needed = tokens_needed(manifest, budgets)
    with_bos = replace(corpus, tokenizer=replace(corpus.tokenizer, before=(0,)))
    keys = {
        prepare_streams(manifest, plan, each, needed, store, ignore).streams["b"].key
        for each in (corpus, with_bos)
    }
    assert len(keys) == 2


def test_a_source_most_of_whose_rows_have_no_text_is_refused_when_tokenised(
    made: tuple[Manifest, Plan, Store, Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest, plan, store, corpus = made
    path = manifest.base / "a.jsonl"
    path.write_text(path.read_text() + '\n{"body": "x"}' * 60)
    # As if a look at some of the rows had found nothing.
    monkeypatch.setattr(prepare, "peek", lambda source, base: "")
    corpus = read_corpus(manifest, plan, store, ignore)
    for _ in range(2):  # The second time its stream is in the store.
        with pytest.raises(InputError) as refused:
            streams((manifest, plan, store, corpus), 2000)
        assert "a: a.jsonl: 61 of 101 rows read have no usable text (60%; 61 non text)" in str(
            refused.value
        )
        assert "max_unusable: 0.61" in str(refused.value)
    sources = [
        each.model_copy(update={"max_unusable": 0.61}) if each.id == "a" else each
        for each in manifest.candidates
    ]
    allowed = manifest.model_copy(update={"candidates": sources})
    assert read_corpus(allowed, plan, store, ignore).fingerprints == corpus.fingerprints
    assert streams((allowed, plan, store, corpus), 2000)["a"].tokens == 2001


def test_what_is_left_out_of_a_source_is_noted(made: tuple[Manifest, Plan, Store, Corpus]) -> None:
    manifest, plan, store, _ = made
    folder = manifest.base / "split"
    folder.mkdir()
    for split in ("train", "test"):
        shutil.copy(manifest.base / "b.jsonl", folder / f"{split}.jsonl")
    candidates = [
        each.model_copy(update={"path": "split"}) if each.id == "b" else each
        for each in manifest.candidates
    ]
    changed = manifest.model_copy(update={"candidates": candidates})
    corpus = read_corpus(changed, plan, store, ignore)
    needed = {"a": 500, "b": 500}
    corpus = prepare_streams(changed, plan, corpus, needed, store, ignore)
    # Training takes days, and the report that follows it needs the files no more.
    shutil.rmtree(folder)
    assert corpus_notes(corpus) == [
        "a: 1 of 41 rows read have no usable text (2.4%; 1 non text)",
        "b: only split train is read (1 file); left out: test.jsonl (test)",
        "b: 1 of 31 rows read have no usable text (3.2%; 1 non text)",
    ]
