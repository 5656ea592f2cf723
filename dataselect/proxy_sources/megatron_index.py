"""The index that Megatron-LM needs beside a file of raw token ids: where documents begin and end.

A shard with its index is one data set of a blend (`tokens/web/tokens-00000`, without the ending).
Documents are found by their end-of-text token, which is in no text (`corpus.shards`). A document
that continues in the next shard counts there as another.

    MMIDIDX\\0\\0   9 bytes
    version 1      uint64
    type           uint8: 8 is uint16, 4 is int32, as which ids below 2^31 read the same
    sequences      uint64; documents + 1, uint64
    lengths        int32 for each sequence; a document is one sequence
    offsets        int64 for each, in bytes
    documents      int64: which sequence each begins with, and the number of sequences
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np

_MAGIC = b"MMIDIDX\x00\x00"
_TYPES = {"uint16": 8, "uint32": 4}


def write_index(shard: Path, dtype: str, end_of_text: int) -> Path:
    """Write `<shard>.idx` beside `<shard>.bin` and return its path."""
    ids: np.ndarray[Any, Any] = np.memmap(shard, np.dtype(dtype).newbyteorder("<"), "r")
    ends = np.flatnonzero(ids == end_of_text) + 1
    if len(ends) == 0 or ends[-1] < len(ids):
        ends = np.append(ends, len(ids))
    lengths = np.diff(ends, prepend=0)
    offsets = (ends - lengths) * ids.itemsize
    index = shard.with_suffix(".idx")
    with index.open("wb") as file:
        file.write(_MAGIC + struct.pack("<QB", 1, _TYPES[dtype]))
        file.write(struct.pack("<QQ", len(lengths), len(lengths) + 1))
        file.write(lengths.astype("<i4").tobytes())
        file.write(offsets.astype("<i8").tobytes())
        file.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
    return index
