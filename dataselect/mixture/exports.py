"""A mixture's shares as the files that pretraining code reads.

Most trainers draw tokens or fixed-length sequences, and take shares of tokens unchanged as weights;
those that draw documents need them divided by a source's mean document length. Sources with a share
of 0 are left out, since several trainers refuse them. A source without a path is written by name.
"""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

Array = NDArray[np.float64]

_HEADROOM = 1.001
"""Factor on the repetition allowed in OLMo-core's file: OLMo-core compares rounded token counts."""


@dataclass(frozen=True)
class Source:
    """A source of the mixture."""

    name: str
    """Its name in the runs."""
    share: float
    """Its share of the tokens, above 0."""
    paths: tuple[str, ...]
    """Where its data is; its name where that is not known."""
    tokens: int | None
    """Tokens available; None: not known."""
    tokens_per_document: float | None
    """Mean length of its documents; None: not known."""


Export = Callable[[Sequence[Source], int | None, int], str]
"""From sources, target tokens (None: not known) and a seed to the text of a file."""


def sources_of(
    names: Sequence[str],
    shares: Array,
    paths: Sequence[tuple[str, ...]],
    tokens: Array,
    tokens_per_document: Array,
) -> list[Source]:
    """The sources with a share above 0; arrays are (sources,), nan where not known."""
    found = []
    for i, name in enumerate(names):
        if shares[i] > 0:
            known = None if np.isnan(tokens[i]) else int(tokens[i])
            length = tokens_per_document[i]
            mean = None if np.isnan(length) else float(length)
            found.append(Source(name, float(shares[i]), paths[i], known, mean))
    return found


def export_all(
    sources: Sequence[Source], target_tokens: int | None, seed: int
) -> tuple[dict[str, str], list[str]]:
    """Text by file name, and notes on the files for the user."""
    notes = []
    if any(each.paths == (each.name,) for each in sources):
        notes.append("sources without 'path' are written by name in the trainers' files")
    if any(each.tokens_per_document is None for each in sources):
        notes.append(
            "interleave_datasets.json assumes documents of equal length in all sources; give "
            "'tokens_per_document' of every source"
        )
    if any(each.tokens is None for each in sources) or target_tokens is None:
        notes.append(
            "olmo-core.yaml assumes that every source is read at most once; give 'tokens' of every "
            "source and 'target_tokens'"
        )
    return {name: write(sources, target_tokens, seed) for name, write in EXPORTS.items()}, notes


def weights_json(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """A mapping from source to share."""
    return _json({each.name: each.share for each in sources})


def weights_csv(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """A line for each source."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["source", "weight"])
    rows.writerows([each.name, repr(each.share)] for each in sources)
    return text.getvalue()


def olmo_core(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """`SourceMixtureConfig` entries; the repetition is what the target needs of each source."""
    entries = []
    for each in sources:
        entry: dict[str, Any] = {
            "source_name": each.name,
            "target_ratio": each.share,
            "paths": list(each.paths),
        }
        if each.tokens is not None and target_tokens is not None:
            needed = each.share * target_tokens / each.tokens
            entry["max_repetition_ratio"] = round(max(1.0, needed * _HEADROOM), 6)
        entries.append(entry)
    return _yaml({"sources": entries})


def megatron(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Weights and prefixes for `--data-args-path`; paths of a source share it equally."""
    parts = [f"{each.share / len(each.paths):.10g} {p}" for each in sources for p in each.paths]
    return " ".join(parts) + "\n"


def nanotron(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """One stage of `data_stages`."""
    folders = [path for each in sources for path in each.paths]
    shares = [each.share / len(each.paths) for each in sources for _ in each.paths]
    dataset = {"dataset_folder": folders, "dataset_weights": shares}
    stage = {
        "name": "mixture",
        "start_training_step": 1,
        "data": {"dataset": dataset, "num_loading_workers": 1, "seed": seed},
    }
    return _yaml({"data_stages": [stage]})


def streaming(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """`streams` of MosaicML Streaming in YAML, each a remote or local folder."""
    streams = {}
    for each in sources:
        for i, path in enumerate(each.paths):
            name = each.name if len(each.paths) == 1 else f"{each.name}-{i}"
            where = "remote" if "://" in path else "local"
            streams[name] = {where: path, "proportion": each.share / len(each.paths)}
    return _yaml({"streams": streams})


def interleave_datasets(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Keyword arguments of `datasets.interleave_datasets`, which draws documents, not tokens."""
    lengths = [each.tokens_per_document for each in sources]
    known = [length for length in lengths if length is not None]
    even = len(known) < len(lengths)
    documents = np.array(
        [
            each.share
            / (1.0 if even or each.tokens_per_document is None else each.tokens_per_document)
            for each in sources
        ]
    )
    return _json(
        {
            "datasets": [list(each.paths) for each in sources],
            "probabilities": (documents / documents.sum()).tolist(),
            "seed": seed,
            "stopping_strategy": "all_exhausted",
        }
    )


def torchtitan(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Python: weights for `WeightedDataset`s of a `DatasetMixConfig`."""
    return (
        "from torchtitan.components.data import DatasetMixConfig, WeightedDataset\n\n"
        f"WEIGHTS = {_literal(sources)}\n\n\n"
        "def mixture(datasets):\n"
        '    """The mixture of dataset configurations, given by source."""\n'
        "    parts = [WeightedDataset(dataset=datasets[k], weight=w) for k, w in WEIGHTS.items()]\n"
        "    return DatasetMixConfig(datasets=tuple(parts))\n"
    )


def levanter(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """`train_weights` of a data configuration."""
    return _yaml({"train_weights": {each.name: each.share for each in sources}})


def litgpt(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Python: a `CombinedStreamingDataset` of one streaming dataset for each source."""
    return (
        "from litdata import CombinedStreamingDataset\n\n"
        f"WEIGHTS = {_literal(sources)}\n\n\n"
        "def mixture(datasets):\n"
        '    """The mixture of streaming datasets, given by source."""\n'
        "    return CombinedStreamingDataset(\n"
        "        datasets=[datasets[name] for name in WEIGHTS],\n"
        f"        seed={seed},\n"
        "        weights=list(WEIGHTS.values()),\n"
        "        iterate_over_all=False,\n"
        "    )\n"
    )


EXPORTS: Mapping[str, Export] = {
    "weights.json": weights_json,
    "weights.csv": weights_csv,
    "olmo-core.yaml": olmo_core,
    "megatron.txt": megatron,
    "nanotron.yaml": nanotron,
    "streaming.yaml": streaming,
    "interleave_datasets.json": interleave_datasets,
    "torchtitan_mixture.py": torchtitan,
    "levanter.yaml": levanter,
    "litgpt_mixture.py": litgpt,
}


def _literal(sources: Sequence[Source]) -> str:
    # JSON's escapes are Python's, and a name cannot end its string.
    lines = "".join(f"    {json.dumps(each.name)}: {each.share!r},\n" for each in sources)
    return "{\n" + lines + "}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _yaml(value: Any) -> str:
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 10_000
    text = io.StringIO()
    yaml.dump(value, text)
    return text.getvalue()
