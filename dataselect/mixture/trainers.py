"""The trainers that a mixture is written for: the release that each file fits, and what it weighs.

`benchmarks/mixture/trainers.py` installs the releases and looks for the classes and keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Trainer:
    """What reads one of the files."""

    reader: str
    """Trainer, and the class, key or option that reads it; Markdown."""
    fits: str
    """The release that the file was checked against; where only the repository has what it names,
    the commit."""
    weighs: str
    """What a weight is a share of, after "a share of"."""


_TOKENS = "the tokens"
_PACKED = (
    "the samples, packed sequences of one length, and so of the tokens; where a sample is a "
    "document take DOCUMENT_WEIGHTS"
)
_STREAMING = "mosaicml-streaming 0.13.0"

TRAINERS: Mapping[str, Trainer] = {
    "olmo-core.yaml": Trainer(
        "OLMo-core, `SourceMixtureList`", "OLMo-core 3.0.0 (ai2-olmo-core)", _TOKENS
    ),
    "megatron.txt": Trainer(
        "Megatron-LM, `--data-args-path`",
        "megatron-core 0.16.1",
        "the samples, sequences of one length, and so of the tokens",
    ),
    "nanotron.yaml": Trainer(
        "nanotron, `data_stages`",
        "nanotron's repository as of 2026-04-07 (2411b022a75f); 0.4 on PyPI has no dataset_weights",
        "the samples, sequences of one length, and so of the tokens",
    ),
    "streaming.yaml": Trainer(
        "MosaicML Streaming, `streams`, where a sample is a document",
        f"{_STREAMING}, shards with a document in each sample",
        "the samples, here documents: a share of the tokens divided by mean tokens per document",
    ),
    "streaming_tokens.yaml": Trainer(
        "MosaicML Streaming, `streams`, where a sample is a number of tokens",
        f"{_STREAMING}, shards with the same number of tokens in each sample",
        "the samples, and so of the tokens",
    ),
    "interleave_datasets.json": Trainer(
        "Hugging Face `datasets.interleave_datasets`",
        "datasets 4.7.0 to 5.2.0",
        "the documents: a share of the tokens divided by mean tokens per document",
    ),
    "torchtitan_mixture.py": Trainer(
        "torchtitan, `InterleavedHuggingFaceTextDataLoader` or `DatasetMixConfig`",
        "torchtitan 0.3.0 (interleaved) and its repository as of 2026-08-21 (b5bcd76c66d0), which "
        "has the classes of mixture",
        _PACKED,
    ),
    "levanter.yaml": Trainer(
        "levanter, `train_weights`",
        "levanter's repository as of 2025-09-26 (9263f81e8b45); 1.1 on PyPI has no train_weights",
        "the samples, sequences of one length, and so of the tokens",
    ),
    "litgpt_mixture.py": Trainer("litgpt, `CombinedStreamingDataset`", "litdata 0.2.76", _PACKED),
}
"""By file."""

BY_NAME: Mapping[str, tuple[str, ...]] = {
    "olmo-core": ("olmo-core.yaml",),
    "megatron": ("megatron.txt",),
    "nanotron": ("nanotron.yaml",),
    "streaming": ("streaming.yaml",),
    "streaming-tokens": ("streaming_tokens.yaml",),
    "datasets": ("interleave_datasets.json",),
    "torchtitan": ("torchtitan_mixture.py",),
    "levanter": ("levanter.yaml",),
    "litgpt": ("litgpt_mixture.py",),
    "weights": ("weights.json", "weights.csv"),
}
"""Files by the name of the trainer, as the option --export takes it."""
