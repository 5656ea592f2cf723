"""A mixture's shares as the files that pretraining code reads.

What a weight weighs differs. Most trainers draw tokens, or sequences of a fixed number of them, and
take shares of tokens unchanged; those that draw documents need them divided by a source's mean
document length, and where that is not known the file says that nothing was converted. Each file
names the release that it fits (`trainers`), but for one that may hold weights and paths only.
Sources with a share of 0 are left out, since several trainers refuse them. A source without a path
is written by name.
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
from ruamel.yaml.comments import CommentedSeq

from dataselect.mixture.constraints import Limits
from dataselect.mixture.parts import KnownText, in_texts
from dataselect.mixture.trainers import TRAINERS
from dataselect.wording import one_line

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


_BY_DOCUMENTS = frozenset({"interleave_datasets.json", "streaming.yaml"})
"""Files for trainers that draw documents and nothing else."""

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


def texts_of(names: Sequence[str], shares: Array, limits: Limits) -> list[Source]:
    """What trainers read of a mixture with these shares of the sources `names`.

    A source that is a mixture of texts is replaced by them. The limits are of these sources.
    """
    known = dict(limits.texts)
    for name, *facts in zip(
        names, limits.paths, limits.tokens, limits.tokens_per_document, strict=True
    ):
        known[name] = KnownText(*facts)
    by_text = in_texts(names, shares.tolist(), limits.parts)
    texts = [known[name] for name in by_text]
    return sources_of(
        list(by_text),
        np.array(list(by_text.values())),
        [each.paths for each in texts],
        np.array([each.tokens for each in texts]),
        np.array([each.tokens_per_document for each in texts]),
    )


def notes_on_texts(
    sources: Sequence[Source], target_tokens: int | None, limits: Limits
) -> list[str]:
    """Notes on sources that are mixtures of texts, given what trainers read of them.

    A text may be read too often because it is in several sources, which no bound on one of them
    prevents.
    """
    notes = [
        f"{name} is a mixture: files for trainers name its {len(parts)} texts"
        for name, parts in limits.parts.items()
    ]
    for each in sources:
        if each.name in limits.texts and each.tokens and target_tokens is not None:
            times = each.share * target_tokens / each.tokens
            if times > limits.most_repetition * (1 + 1e-6):
                notes.append(
                    f"{each.name} would be read {times:.3g} times in all that it is part of; "
                    f"'max_repetition' is {limits.most_repetition:g}"
                )
    return notes


def export_all(
    sources: Sequence[Source],
    target_tokens: int | None,
    seed: int,
    files: Sequence[str] | None = None,
    *,
    length: str = "'target_tokens'",
) -> tuple[dict[str, str], list[str]]:
    """Text by file name, and notes on the files for the user.

    `files` names some of them; `length` is what gives the target's tokens, in the notes.
    """
    chosen = list(EXPORTS) if files is None else list(files)
    notes = []
    named = any(each.paths == (each.name,) for each in sources)
    if named and not TRAINERS.keys().isdisjoint(chosen):
        notes.append("sources without 'path' are written by name in the trainers' files")
    if document_weights(sources) is None and not _BY_DOCUMENTS.isdisjoint(chosen):
        notes.append(
            "interleave_datasets.json and streaming.yaml draw documents and assume that they are "
            "of equal length in all sources; give 'tokens_per_document' of every source"
        )
    unknown = target_tokens is None or any(each.tokens is None for each in sources)
    if unknown and "olmo-core.yaml" in chosen:
        notes.append(
            "olmo-core.yaml assumes that every source is read at most once; give 'tokens' of every "
            f"source and {length}"
        )
    return {name: EXPORTS[name](sources, target_tokens, seed) for name in chosen}, notes


def document_weights(sources: Sequence[Source]) -> list[float] | None:
    """Shares of documents that come to the shares of tokens; None where a length is not known."""
    lengths = [each.tokens_per_document for each in sources]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return None
    documents = np.array([each.share for each in sources]) / np.array(known)
    weights: list[float] = (documents / documents.sum()).tolist()
    return weights


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
    return _header("olmo-core.yaml") + _yaml({"sources": entries})


def megatron(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Weights and prefixes for `--data-args-path`; paths of a source share it equally."""
    parts = [f"{each.share / len(each.paths):.10g} {p}" for each in sources for p in each.paths]
    return " ".join(parts) + "\n"


def nanotron(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """One stage of `data_stages`; paths of a source share it equally."""
    folders = CommentedSeq(path for each in sources for path in each.paths)
    names = [each.name for each in sources for _ in each.paths]
    for i, name in enumerate(names):
        folders.yaml_add_eol_comment(one_line(name), i)
    shares = [each.share / len(each.paths) for each in sources for _ in each.paths]
    dataset = {"dataset_folder": folders, "dataset_weights": shares}
    stage = {
        "name": "mixture",
        "start_training_step": 1,
        "data": {"dataset": dataset, "num_loading_workers": 1, "seed": seed},
    }
    return _header("nanotron.yaml") + _yaml({"data_stages": [stage]})


def streaming(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """`streams` of MosaicML Streaming where a sample is a document."""
    weights = document_weights(sources)
    if weights is None:
        return _header("streaming.yaml", _NOT_CONVERTED) + _streams(
            sources, [each.share for each in sources]
        )
    lines = [
        f"{one_line(each.name)}: {each.share:.6g} of the tokens at {each.tokens_per_document:.6g} "
        f"tokens a document is {weight:.6g} of the documents"
        for each, weight in zip(sources, weights, strict=True)
    ]
    return _header("streaming.yaml", *lines) + _streams(sources, weights)


def streaming_tokens(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """`streams` of MosaicML Streaming where every sample has the same number of tokens."""
    shares = [each.share for each in sources]
    return _header("streaming_tokens.yaml") + _streams(sources, shares)


def _streams(sources: Sequence[Source], weights: Sequence[float]) -> str:
    """Streams by name, each a remote or local folder; paths of a source share it equally."""
    names = {each.name for each in sources if len(each.paths) == 1}
    streams = {}
    for each, weight in zip(sources, weights, strict=True):
        for i, path in enumerate(each.paths):
            name = each.name if len(each.paths) == 1 else f"{each.name}-{i}"
            # Another source may have that name.
            while len(each.paths) > 1 and name in names:
                name = f"{name}_"
            names.add(name)
            where = "remote" if "://" in path else "local"
            streams[name] = {where: path, "proportion": weight / len(each.paths)}
    return _yaml({"streams": streams})


def interleave_datasets(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Arguments of `datasets.interleave_datasets`, which draws documents, and what they weigh."""
    weights = document_weights(sources)
    about = _about("interleave_datasets.json") + ([_NOT_CONVERTED] if weights is None else [])
    return _json(
        {
            "about": " ".join(about),
            "sources": [each.name for each in sources],
            "datasets": [list(each.paths) for each in sources],
            "probabilities": weights or [each.share for each in sources],
            "seed": seed,
            "stopping_strategy": "all_exhausted",
        }
    )


def torchtitan(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Python: the mixture for torchtitan's release, and for its repository after that."""
    return (
        _header("torchtitan_mixture.py")
        + f"\nWEIGHTS = {_literal(sources, [each.share for each in sources])}\n"
        + _document_literal(sources)
        + "\n\ndef interleaved(sources, **settings):\n"
        '    """torchtitan 0.3.0: keyword arguments of `HFDataSource`, given by source."""\n'
        "    from torchtitan.hf_datasets.text_datasets import (\n"
        "        HFDataSource,\n"
        "        InterleavedHuggingFaceTextDataLoader,\n"
        "    )\n\n"
        "    parts = [HFDataSource(weight=w, **sources[k]) for k, w in WEIGHTS.items()]\n"
        f"    settings = {{'seed': {seed}, **settings}}\n"
        "    return InterleavedHuggingFaceTextDataLoader.Config(sources=parts, **settings)\n"
        "\n\ndef mixture(datasets, weights=WEIGHTS):\n"
        '    """torchtitan after 0.3.0: dataset configurations, packed, given by source."""\n'
        "    from torchtitan.components.data import DatasetMixConfig, WeightedDataset\n\n"
        "    parts = [WeightedDataset(dataset=datasets[k], weight=w) for k, w in weights.items()]\n"
        "    return DatasetMixConfig(datasets=tuple(parts))\n"
    )


def levanter(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """`train_weights` of a data configuration."""
    shares = {each.name: each.share for each in sources}
    return _header("levanter.yaml") + _yaml({"train_weights": shares})


def litgpt(sources: Sequence[Source], target_tokens: int | None, seed: int) -> str:
    """Python: a `CombinedStreamingDataset` of one streaming dataset for each source."""
    return (
        _header("litgpt_mixture.py") + "\nfrom litdata import CombinedStreamingDataset\n\n"
        f"WEIGHTS = {_literal(sources, [each.share for each in sources])}\n"
        + _document_literal(sources)
        + "\n\ndef mixture(datasets, weights=WEIGHTS):\n"
        '    """The mixture of streaming datasets, given by source."""\n'
        "    return CombinedStreamingDataset(\n"
        "        datasets=[datasets[name] for name in weights],\n"
        f"        seed={seed},\n"
        "        weights=list(weights.values()),\n"
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
    "streaming_tokens.yaml": streaming_tokens,
    "interleave_datasets.json": interleave_datasets,
    "torchtitan_mixture.py": torchtitan,
    "levanter.yaml": levanter,
    "litgpt_mixture.py": litgpt,
}


_NOT_CONVERTED = (
    "NOT CONVERTED: the mean tokens per document of a source are not known, so these are shares of "
    "tokens, right only where documents are equally long in all sources."
)


def _about(file: str) -> list[str]:
    """What every file says: which release it fits, and what its weights weigh."""
    trainer = TRAINERS[file]
    return [f"For {trainer.fits}.", f"A weight is a share of {trainer.weighs}."]


def _header(file: str, *lines: str) -> str:
    return "".join(f"# {line}\n" for line in [*_about(file), *lines])


def _document_literal(sources: Sequence[Source]) -> str:
    weights = document_weights(sources)
    if weights is None:
        return "# No DOCUMENT_WEIGHTS: the mean tokens per document of a source are not known.\n"
    text = "# The same mixture where a sample is a document and not a packed sequence.\n"
    return f"{text}DOCUMENT_WEIGHTS = {_literal(sources, weights)}\n"


def _literal(sources: Sequence[Source], weights: Sequence[float]) -> str:
    # JSON's escapes are Python's, and a name cannot end its string.
    lines = "".join(
        f"    {json.dumps(each.name)}: {weight!r},\n"
        for each, weight in zip(sources, weights, strict=True)
    )
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
