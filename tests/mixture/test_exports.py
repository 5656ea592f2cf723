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

from dataselect.mixture.exports import EXPORTS, Source, export_all, sources_of

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
    streams = list(yaml("streaming.yaml")["streams"].values())
    assert [set(each) - {"proportion"} for each in streams] == [
        {"remote"},
        *([{"local"}] * 3),
    ]
    assert sum(each["proportion"] for each in streams) == pytest.approx(1)


def test_levanter_gets_weights_by_name() -> None:
    assert yaml("levanter.yaml") == {"train_weights": {each.name: each.share for each in SOURCES}}


def test_interleaved_documents_come_to_the_shares_of_tokens() -> None:
    datasets = pytest.importorskip("datasets")
    keywords = json.loads(text("interleave_datasets.json"))
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
    """torchtitan's two classes take keywords only."""

    class Weighted:
        def __init__(self, *, dataset: Any, weight: float) -> None:
            self.dataset, self.weight = dataset, weight

    class Mix:
        def __init__(self, *, datasets: tuple[Weighted, ...]) -> None:
            self.datasets = datasets

    fake = SimpleNamespace(DatasetMixConfig=Mix, WeightedDataset=Weighted)
    for name in ("torchtitan", "torchtitan.components", "torchtitan.components.data"):
        monkeypatch.setitem(sys.modules, name, fake)
    made = module("torchtitan_mixture.py", tmp_path).mixture({s.name: s.name for s in SOURCES})
    assert isinstance(made.datasets, tuple)
    assert [(d.dataset, d.weight) for d in made.datasets] == [(s.name, s.share) for s in SOURCES]


def test_litgpt_gets_datasets_with_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(CombinedStreamingDataset=lambda **keywords: keywords)
    monkeypatch.setitem(sys.modules, "litdata", fake)
    made = module("litgpt_mixture.py", tmp_path).mixture({s.name: s.name for s in SOURCES})
    assert made == {
        "datasets": [s.name for s in SOURCES],
        "seed": 7,
        "weights": [0.7, 0.2, 0.1],
        "iterate_over_all": False,
    }
