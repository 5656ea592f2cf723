"""Look in the trainers' releases for what the files of a mixture name, and weigh what is drawn.

    python benchmarks/mixture/trainers.py --into FOLDER [--repositories FOLDER]

Installs each release (`pip install --no-deps --target`, so torch is not pulled) and reads the
sources of its classes: nothing of a trainer is imported for that. Where a release lacks the names,
a bare or ordinary clone in `--repositories` is read as well (folders named as on GitHub:
`torchtitan`, `nanotron`, `levanter`), and its commit and date are recorded. Then documents of 40,
4,000, 300 and 200 tokens are drawn by the files, wanted .55, .30, .148 and .002 of the tokens:
by `datasets`, and by MosaicML Streaming where it can be imported. Results: trainers.json.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

from dataselect.mixture.exports import EXPORTS, Source

HERE = Path(__file__).parent
SOURCES = [
    Source("short", 0.55, ("short",), None, 40.0),
    Source("long", 0.30, ("long",), None, 4000.0),
    Source("middle", 0.148, ("middle",), None, 300.0),
    Source("rare", 0.002, ("rare",), None, 200.0),
]
SAMPLES = 200_000


@dataclass(frozen=True)
class Check:
    """What a file names in one package."""

    file: str
    """The export."""
    package: str
    """As pip names it, with its version."""
    repository: str
    """Folder of its clone; empty where the release alone is read."""
    paths: tuple[str, ...]
    """Where its module is: in the release, and in the repository."""
    names: Mapping[str, tuple[str, ...]]
    """By class or function, the fields or arguments that the file sets."""


CHECKS = (
    Check(
        "olmo-core.yaml",
        "ai2-olmo-core==3.0.0",
        "",
        ("olmo_core/data/source_mixture.py",),
        {
            "SourceMixtureList": ("sources",),
            "SourceMixtureConfig": (
                "source_name",
                "target_ratio",
                "paths",
                "max_repetition_ratio",
            ),
        },
    ),
    Check(
        "megatron.txt",
        "megatron-core==0.16.1",
        "",
        ("megatron/core/datasets/utils.py",),
        {"get_blend_from_list": ("blend",)},
    ),
    Check(
        "nanotron.yaml",
        "nanotron==0.4",
        "nanotron",
        ("nanotron/config/config.py", "src/nanotron/config/config.py"),
        {
            "NanosetDatasetsArgs": ("dataset_folder", "dataset_weights"),
            "DataArgs": ("dataset", "seed", "num_loading_workers"),
            "DatasetStageArgs": ("name", "start_training_step", "data"),
        },
    ),
    Check(
        "streaming.yaml",
        "mosaicml-streaming==0.13.0",
        "",
        ("streaming/base/stream.py",),
        {"Stream": ("remote", "local", "proportion")},
    ),
    Check(
        "interleave_datasets.json",
        "datasets==4.7.0",
        "",
        ("datasets/combine.py",),
        {"interleave_datasets": ("datasets", "probabilities", "seed", "stopping_strategy")},
    ),
    Check(
        "interleave_datasets.json",
        "datasets==5.2.0",
        "",
        ("datasets/combine.py",),
        {"interleave_datasets": ("datasets", "probabilities", "seed", "stopping_strategy")},
    ),
    Check(
        "torchtitan_mixture.py, interleaved",
        "torchtitan==0.3.0",
        "",
        ("torchtitan/hf_datasets/text_datasets.py",),
        {
            "HFDataSource": ("weight",),
            "InterleavedHuggingFaceTextDataLoader.Config": ("sources", "seed"),
        },
    ),
    Check(
        "torchtitan_mixture.py, mixture",
        "torchtitan==0.3.0",
        "torchtitan",
        ("torchtitan/components/data/dataset.py",) * 2,
        {"WeightedDataset": ("dataset", "weight"), "DatasetMixConfig": ("datasets",)},
    ),
    Check(
        "levanter.yaml",
        "levanter==1.1",
        "levanter",
        ("levanter/data/text.py", "src/levanter/data/text.py"),
        {"LMMixtureDatasetConfig": ("train_weights",)},
    ),
    Check(
        "litgpt_mixture.py",
        "litdata==0.2.76",
        "",
        ("litdata/streaming/combined.py",),
        {"CombinedStreamingDataset": ("datasets", "seed", "weights", "iterate_over_all")},
    ),
)


def install(package: str, into: Path) -> Path:
    """The folder that a release is installed in, without what it depends on."""
    folder = into / package.replace("=", "_")
    if not folder.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--target", str(folder), package], check=True)
    return folder


def missing(text: str | None, names: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Classes, fields and arguments that a module does not have."""
    if text is None:
        return list(names)
    found = {".".join(path): node for path, node in _definitions(ast.parse(text).body, ())}
    lacking = []
    for name, needed in names.items():
        if name not in found:
            lacking.append(name)
            continue
        has = _settable(found[name])
        lacking += [f"{name}.{each}" for each in needed if each not in has]
    return lacking


def _definitions(body: list[ast.stmt], above: tuple[str, ...]) -> Any:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield (*above, node.name), node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node.body, (*above, node.name))


def _settable(node: ast.ClassDef | ast.FunctionDef) -> set[str]:
    """Fields of a dataclass, and arguments of a function or of `__init__`."""
    if isinstance(node, ast.FunctionDef):
        return {each.arg for each in [*node.args.args, *node.args.kwonlyargs]}
    names = set()
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
            names.add(each.target.id)
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            names |= _settable(each)
    return names


def git(repository: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails."""
    done = subprocess.run(
        ["git", "-C", str(repository), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else None


def look(check: Check, into: Path, repositories: Path | None) -> dict[str, Any]:
    """What of the names is missing in the release, and in the repository."""
    module = install(check.package, into) / check.paths[0]
    text = module.read_text() if module.exists() else None
    row: dict[str, Any] = {
        "file": check.file,
        "release": check.package,
        "names": {name: list(fields) for name, fields in check.names.items()},
        "missing_in_release": missing(text, check.names),
    }
    if check.repository and repositories is not None:
        clone = repositories / check.repository
        row["repository"] = {
            "name": check.repository,
            "commit": (git(clone, "log", "-1", "--format=%H %cs") or "").strip(),
            "missing": missing(git(clone, "show", f"HEAD:{check.paths[1]}"), check.names),
        }
    return row


def by_datasets() -> dict[str, float]:
    """Shares of tokens that `interleave_datasets` draws by our file."""
    import datasets

    arguments = json.loads(EXPORTS["interleave_datasets.json"](SOURCES, None, 0))
    parts = [
        datasets.Dataset.from_dict({"source": [i] * SAMPLES}).to_iterable_dataset()
        for i in range(len(SOURCES))
    ]
    mixed = datasets.interleave_datasets(
        parts,
        **{key: arguments[key] for key in ("probabilities", "seed", "stopping_strategy")},
    )
    drawn = np.bincount([row["source"] for row in mixed.take(SAMPLES)], minlength=len(SOURCES))
    return _shares(drawn)


def _shares(drawn: Any) -> dict[str, float]:
    tokens = np.array(drawn) * [each.tokens_per_document or 0 for each in SOURCES]
    shares = (tokens / tokens.sum()).round(4)
    return dict(zip([each.name for each in SOURCES], shares.tolist(), strict=True))


_STREAM = """
import importlib.machinery, json, os, sys, types
for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.functional",
             "torchvision.datasets"):  # used for pictures only
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
sys.modules["torchvision.transforms.functional"].to_tensor = None
sys.modules["torchvision.datasets"].VisionDataset = object
from streaming import MDSWriter, Stream, StreamingDataset
folder, streams, samples = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
for name, each in streams.items():
    each["local"] = os.path.join(folder, each["local"])
    if not os.path.exists(each["local"]):
        with MDSWriter(out=each["local"], columns={"source": "str"}) as out:
            for _ in range(5000):
                out.write({"source": name})
found = StreamingDataset(streams=[Stream(**each) for each in streams.values()],
                         epoch_size=samples, batch_size=1, shuffle=False)
counts = dict.fromkeys(streams, 0)
for sample in found:
    counts[sample["source"]] += 1
print(json.dumps(counts))
"""


def by_streaming(file: str, into: Path) -> dict[str, float] | str:
    """Shares of tokens that Streaming draws from documents by a file; or why it could not."""
    release = install("mosaicml-streaming==0.13.0", into)
    streams = YAML(typ="safe").load(EXPORTS[file](SOURCES, None, 0))["streams"]
    paths = [str(release), str(into / "deps"), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", _STREAM, folder, json.dumps(streams), str(SAMPLES // 10)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        return done.stderr.strip().splitlines()[-1]
    counts = json.loads(done.stdout.strip().splitlines()[-1])
    return _shares([counts[each.name] for each in SOURCES])


def main() -> None:
    """Write trainers.json and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--into", type=Path, required=True)
    parser.add_argument("--repositories", type=Path)
    options = parser.parse_args()
    results = {
        "python": sys.version.split()[0],
        "datasets": next(d.version for d in distributions() if d.metadata["Name"] == "datasets"),
        "found": [look(check, options.into, options.repositories) for check in CHECKS],
        "wanted": {each.name: each.share for each in SOURCES},
        "tokens_per_document": {each.name: each.tokens_per_document for each in SOURCES},
        "drawn": {
            "interleave_datasets.json": by_datasets(),
            "streaming.yaml": by_streaming("streaming.yaml", options.into),
            "streaming_tokens.yaml, of documents": by_streaming(
                "streaming_tokens.yaml", options.into
            ),
        },
    }
    text = json.dumps(results, indent=1) + "\n"
    (HERE / "trainers.json").write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
