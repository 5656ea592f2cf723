"""Formats of training data that are not read: how they are recognised, and what to do instead.

Metadata of sharded formats are .json files, which would otherwise be read as text, and the files of
others would be left out of a folder without a word.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from dataselect import strict_json

_INDEX = "index.json"
_INDEX_BYTES = 64 << 20
_INDEXES = 16
"""An index that is larger, and any after the first so many, is not looked into."""


@dataclass(frozen=True)
class OtherFormat:
    """A format that is not read."""

    name: str
    """What its files are, in the plural."""
    fix: str
    """What the user can do."""
    loadable: bool = False
    """Whether `datasets` reads it, so that its files count as data beside text."""


_CONVERT = "convert them to JSON lines or Parquet"
_UNPACK = "unpack them, or write their text as JSON lines"
_TOKENS = OtherFormat(
    "token ids instead of text",
    "name the text that they were made from: all candidates are tokenised here, alike",
)
MDS = OtherFormat(
    "MDS shards of MosaicML Streaming",
    "write their text as JSON lines or Parquet once (streaming.StreamingDataset reads them)",
)
LITDATA = OtherFormat(
    "chunks of litdata",
    "write their text as JSON lines or Parquet once (litdata.StreamingDataset reads them)",
)
MEGATRON = OtherFormat("token ids of Megatron-LM (.bin and .idx)", _TOKENS.fix)
_CSV = OtherFormat("CSV files", _CONVERT, loadable=True)

_BY_SUFFIX: Mapping[str, OtherFormat] = {
    ".mds": MDS,
    ".idx": MEGATRON,
    ".bin": _TOKENS,
    ".ds": _TOKENS,
    ".npy": _TOKENS,
    ".npz": _TOKENS,
    ".csv": _CSV,
    ".tsv": _CSV,
    ".tar": OtherFormat("tar archives (WebDataset)", _UNPACK, loadable=True),
    ".zip": OtherFormat("zip archives", _UNPACK, loadable=True),
    ".7z": OtherFormat("7z archives", _UNPACK),
    ".rar": OtherFormat("rar archives", _UNPACK),
    ".tgz": OtherFormat("tar archives", _UNPACK),
    ".warc": OtherFormat("web archives (WARC)", "extract their text as JSON lines"),
    ".wet": OtherFormat("web archives (WET)", "write their text as JSON lines"),
    ".xml": OtherFormat("XML files", _CONVERT, loadable=True),
    ".h5": OtherFormat("HDF5 files", _CONVERT, loadable=True),
    ".hdf5": OtherFormat("HDF5 files", _CONVERT, loadable=True),
    ".lance": OtherFormat("Lance files", _CONVERT, loadable=True),
    ".vortex": OtherFormat("Vortex files", _CONVERT, loadable=True),
    ".avro": OtherFormat("Avro files", _CONVERT),
    ".orc": OtherFormat("ORC files", _CONVERT),
    ".feather": OtherFormat("Feather files", _CONVERT),
    ".tfrecord": OtherFormat("TFRecord files", _CONVERT),
    ".tfrecords": OtherFormat("TFRecord files", _CONVERT),
    ".pkl": OtherFormat("pickle files", _CONVERT),
    ".pickle": OtherFormat("pickle files", _CONVERT),
    ".pt": OtherFormat("PyTorch files", _CONVERT),
    ".pth": OtherFormat("PyTorch files", _CONVERT),
    ".sqlite": OtherFormat("SQLite databases", _CONVERT),
    ".db": OtherFormat("databases", _CONVERT),
}


def other_format(name: PurePosixPath | Path) -> OtherFormat | None:
    """The format that a file's name shows, `tokens.mds.zstd` and `crawl.wet.gz` too; or None."""
    for suffix in reversed(name.suffixes):
        if (found := _BY_SUFFIX.get(suffix.lower())) is not None:
            return found
    return None


def sharded_format(folder: Path, names: Iterable[str]) -> tuple[Path, OtherFormat] | None:
    """The sharded format that an index in a folder describes, and the folder of that index.

    `names` are the files in `folder`, with slashes.
    """
    indexes = [name for name in names if PurePosixPath(name).name == _INDEX]
    for name in indexes[:_INDEXES]:
        path = folder / name
        try:
            if path.stat().st_size > _INDEX_BYTES:
                continue
            content = strict_json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if not isinstance(content, dict):
            continue
        if isinstance(content.get("shards"), list) and "version" in content:
            return path.parent, MDS
        if isinstance(content.get("chunks"), list) and "config" in content:
            return path.parent, LITDATA
    return None
