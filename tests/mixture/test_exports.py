"""Files for trainers: installed trainers read them, and the rules of the others hold."""

import csv
import importlib.util
import io
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from dataselect.mixture.exports import EXPORTS, Source, document_weights, export_all, sources_of
from dataselect.mixture.trainers import TRAINERS

SOURCES = [
    Source("web", 0.7, ("s3://bucket/web",), 3 * 10**12, 800.0),
    Source('co"de\n#', 0.2, ("/data/code-a", "/data/code b"), 10**11, 400.0),
    Source("wiki: en", 0.1, ("wiki: en",), None, 200.0),
]
TARGET = 10**12


def text(name: str, sources: list[Source] = SOURCES) -> str:
    return EXPORTS[name](sources, TARGET, 7)


def yaml(name: str) -> Any:
    return YAML(typ="safe").load(text(name))


def test_sources_without_weight_are_left_out_everywhere() -> None:
    nan = np.full(3, np.nan)
    found = sources_of(["a", "b", "c"], np.array([0.5, 0, 0.5]), [("p",), ("q",), ("r",)], nan, nan)
    assert [each.name for each in found] == ["a", "c"]
    files, notes = export_all(found, None, 0)
    assert set(files) == set(EXPORTS)
    assert len(notes) == 2
    assert any("at most once" in note for note in notes)
    assert export_all(SOURCES[:1], TARGET, 0)[1] == []


def test_plain_files_hold_the_weights() -> None:
    assert json.loads(text("weights.json")) == {each.name: each.share for each in SOURCES}
    rows = list(csv.reader(io.StringIO(text("weights.csv"))))
    assert rows[0] == ["source", "weight"]
    assert [(name, float(weight)) for name, weight in rows[1:]] == [
        (each.name, each.share) for each in SOURCES
    ]


def test_olmo_core_may_repeat_as_much_as_the_target_needs() -> None:
    entries = yaml("olmo-core.yaml")["sources"]
    assert sum(each["target_ratio"] for each in entries) == pytest.approx(1)
    for entry, source in zip(entries, SOURCES, strict=True):
        assert (entry["source_name"], entry["paths"]) == (source.name, list(source.paths))
        assert 0 < entry["target_ratio"] <= 1
        if source.tokens is not None:
            # OLMo-core's check: a source has at least as many tokens as the mixture needs.
            given = int(source.tokens * 1.0 * entry["max_repetition_ratio"])
            assert given >= int(TARGET * entry["target_ratio"])
            assert entry["max_repetition_ratio"] >= 1
    assert entries[1]["max_repetition_ratio"] == pytest.approx(2, rel=0.01)


def test_megatron_gets_a_weight_before_each_prefix() -> None:
    one = [SOURCES[0], Source("code", 0.3, ("/d/a", "/d/b"), None, None)]
    tokens = text("megatron.txt", one).split()
    weights, paths = list(map(float, tokens[::2])), tokens[1::2]
    assert paths == ["s3://bucket/web", "/d/a", "/d/b"]
    assert weights == [0.7, 0.15, 0.15]


def test_nanotron_gets_two_lists_of_one_length() -> None:
    (stage,) = yaml("nanotron.yaml")["data_stages"]
    dataset = stage["data"]["dataset"]
    assert dataset["dataset_folder"] == [path for each in SOURCES for path in each.paths]
    assert sum(dataset["dataset_weights"]) == pytest.approx(1)
    assert len(dataset["dataset_weights"]) == len(dataset["dataset_folder"])
    assert (stage["start_training_step"], stage["data"]["seed"]) == (1, 7)


def test_streams_have_a_place_and_a_proportion() -> None:
    for file in ("streaming.yaml", "streaming_tokens.yaml"):
        streams = list(yaml(file)["streams"].values())
        assert [set(each) - {"proportion"} for each in streams] == [
            {"remote"},
            *([{"local"}] * 3),
        ]
        assert sum(each["proportion"] for each in streams) == pytest.approx(1)


FOUR = [
    Source("short", 0.55, ("/d/short",), None, 40.0),
    Source("long", 0.30, ("/d/long",), None, 4000.0),
    Source("middle", 0.148, ("/d/middle",), None, 300.0),
    Source("rare", 0.002, ("/d/rare",), None, 200.0),
]


def test_streams_of_documents_come_to_the_shares_of_tokens() -> None:
    """Shares of tokens taken for shares of documents give .948 of the tokens to `long`."""
    lengths = np.array([each.tokens_per_document or 0 for each in FOUR])
    shares = np.array([each.share for each in FOUR])
    as_they_are = shares * lengths / (shares * lengths).sum()
    assert as_they_are == pytest.approx([0.017, 0.947, 0.035, 0.0003], abs=1e-3)
    content = YAML(typ="safe").load(EXPORTS["streaming.yaml"](FOUR, TARGET, 7))["streams"]
    assert list(content) == [each.name for each in FOUR]
    documents = np.array([each["proportion"] for each in content.values()])
    assert documents * lengths / (documents * lengths).sum() == pytest.approx(shares)
    same = YAML(typ="safe").load(EXPORTS["streaming_tokens.yaml"](FOUR, TARGET, 7))["streams"]
    assert [each["proportion"] for each in same.values()] == pytest.approx(shares.tolist())
    assert "# long: 0.3 of the tokens at 4000 tokens a document is 0.00523" in (
        EXPORTS["streaming.yaml"](FOUR, TARGET, 7)
    )


def test_what_cannot_be_converted_says_so() -> None:
    unknown = [*FOUR[:3], Source("rare", 0.002, ("/d/rare",), None, None)]
    assert document_weights(unknown) is None
    content = EXPORTS["streaming.yaml"](unknown, TARGET, 7)
    assert "# NOT CONVERTED: the mean tokens per document" in content
    shares = [each["proportion"] for each in YAML(typ="safe").load(content)["streams"].values()]
    assert shares == pytest.approx([each.share for each in unknown])
    assert "NOT CONVERTED" in EXPORTS["interleave_datasets.json"](unknown, TARGET, 7)
    assert "DOCUMENT_WEIGHTS =" not in EXPORTS["torchtitan_mixture.py"](unknown, TARGET, 7)
    notes = export_all(unknown, TARGET, 7)[1]
    assert any("streaming.yaml" in note and "'tokens_per_document'" in note for note in notes)


def test_streams_of_one_name_are_told_apart() -> None:
    sources = [
        Source("code", 0.5, ("/a", "/b"), None, 10.0),
        Source("code-0", 0.3, ("/c",), None, 10.0),
        Source("code-1", 0.2, ("/d", "/e"), None, 10.0),
    ]
    streams = YAML(typ="safe").load(EXPORTS["streaming_tokens.yaml"](sources, TARGET, 7))["streams"]
    assert {each["local"]: each["proportion"] for each in streams.values()} == pytest.approx(
        {"/a": 0.25, "/b": 0.25, "/c": 0.3, "/d": 0.1, "/e": 0.1}
    )
    assert streams["code-0"]["local"] == "/c"


def test_every_file_of_a_trainer_names_its_release_and_keeps_the_names() -> None:
    assert set(TRAINERS) == set(EXPORTS) - {"weights.json", "weights.csv"}
    for file, trainer in TRAINERS.items():
        if file == "megatron.txt":
            continue  # Megatron-LM splits it at white space; a comment would be a path.
        content = text(file)
        assert f"For {trainer.fits}." in content, file
        assert f"A weight is a share of {trainer.weighs}." in content, file
        names = [json.dumps(each.name)[1:-1] for each in SOURCES]
        plain = [each.name for each in SOURCES]
        for escaped, name in zip(names, plain, strict=True):
            assert any(form in content for form in (escaped, name, name.replace("\n", " "))), file


def test_levanter_gets_weights_by_name() -> None:
    assert yaml("levanter.yaml") == {"train_weights": {each.name: each.share for each in SOURCES}}


def test_interleaved_documents_come_to_the_shares_of_tokens() -> None:
    datasets = pytest.importorskip("datasets")
    keywords = json.loads(text("interleave_datasets.json"))
    assert keywords.pop("about").startswith("For datasets 4.7.0")
    assert keywords.pop("sources") == [each.name for each in SOURCES]
    assert keywords.pop("datasets") == [list(each.paths) for each in SOURCES]
    lengths = [int(each.tokens_per_document or 0) for each in SOURCES]
    parts = [datasets.Dataset.from_dict({"tokens": [n] * 4000}) for n in lengths]
    mixed = datasets.interleave_datasets(parts, **keywords)["tokens"][:6000]
    counts = np.array([np.sum(np.array(mixed) == n) * n for n in lengths])
    assert counts / counts.sum() == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


def module(name: str, tmp_path: Path) -> ModuleType:
    path = tmp_path / name
    path.write_text(text(name))
    spec = importlib.util.spec_from_file_location("mixture_file", path)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_torchtitan_gets_weighted_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchtitan's classes take keywords only."""

    class Weighted:
        def __init__(self, *, dataset: Any, weight: float) -> None:
            self.dataset, self.weight = dataset, weight

    class Mix:
        def __init__(self, *, datasets: tuple[Weighted, ...]) -> None:
            self.datasets = datasets

    found = module("torchtitan_mixture.py", tmp_path)  # imports nothing of torchtitan
    fake = SimpleNamespace(DatasetMixConfig=Mix, WeightedDataset=Weighted)
    for name in ("torchtitan", "torchtitan.components", "torchtitan.components.data"):
        monkeypatch.setitem(sys.modules, name, fake)
    named = {s.name: s.name for s in SOURCES}
    made = found.mixture(named)
    assert isinstance(made.datasets, tuple)
    assert [(d.dataset, d.weight) for d in made.datasets] == [(s.name, s.share) for s in SOURCES]
    weights = [d.weight for d in found.mixture(named, found.DOCUMENT_WEIGHTS).datasets]
    assert weights == pytest.approx(document_weights(SOURCES))


def test_torchtitan_0_3_gets_interleaved_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = module("torchtitan_mixture.py", tmp_path)
    loader = SimpleNamespace(Config=lambda **keywords: keywords)
    fake = SimpleNamespace(
        HFDataSource=lambda **keywords: keywords, InterleavedHuggingFaceTextDataLoader=loader
    )
    for name in ("torchtitan", "torchtitan.hf_datasets", "torchtitan.hf_datasets.text_datasets"):
        monkeypatch.setitem(sys.modules, name, fake)
    made = found.interleaved({s.name: {"dataset_path": s.paths[0]} for s in SOURCES}, seed=3)
    assert made == {
        "sources": [{"weight": s.share, "dataset_path": s.paths[0]} for s in SOURCES],
        "seed": 3,
    }


def test_litgpt_gets_datasets_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(CombinedStreamingDataset=lambda **keywords: keywords)
    monkeypatch.setitem(sys.modules, "litdata", fake)
    found = module("litgpt_mixture.py", tmp_path)
    named = {s.name: s.name for s in SOURCES}
    assert found.mixture(named) == {
        "datasets": [s.name for s in SOURCES],
        "seed": 7,
        "weights": [0.7, 0.2, 0.1],
        "iterate_over_all": False,
    }
    documents = found.mixture(named, found.DOCUMENT_WEIGHTS)["weights"]
    assert documents == pytest.approx(document_weights(SOURCES))
