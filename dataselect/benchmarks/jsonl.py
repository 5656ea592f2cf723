"""Read a whole JSONL file of small records; every error names the line.

A file that is not JSONL is refused, because then none of it can be trusted. The caller interprets
the records; `corpus` reads training text, which is too large for this.
"""

import gzip
import zlib
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.errors import InputError


def read_records(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file (gzipped if its name ends in `.gz`) with their line numbers.

    Raises InputError for a file that is missing or damaged, and for a line that is not UTF-8 or
    not a JSON object.
    """
    again = "get the file again"
    try:
        data = path.read_bytes()
        if path.suffix == ".gz":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(path, f"the archive is damaged ({error})", again) from error
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check the path") from error
    records = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            record = strict_json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise InputError(where, "the line is not UTF-8", "save the file as UTF-8") from error
        except ValueError as error:
            raise InputError(
                where,
                f"the line is not JSON ({error})",
                f"write one JSON object a line, or {again} if it was cut short",
            ) from error
        if not isinstance(record, dict):
            raise InputError(where, "the line is not a JSON object", "write one object a line")
        records.append((number, record))
    return records
