"""A new project: `candidates/`, `stages/`, `reports/`, and texts for a first run in `data/`."""

import io
import json
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from dataselect.config.plan import project_folder
from dataselect.errors import InputError
from dataselect.synthetic.first_texts import crawl, textbooks

_ABOUT = """\
# data

Small texts that `dataselect init` made up, so that `candidates/example-local.yaml` runs as it is
written. Nothing else needs them: name your own files in the manifest and delete these.

| folder | what |
|---|---|
| `crawl/` | pages as of the web: JSON lines, compressed by zstd, the text in `body` |
| `textbooks/` | worked problems: JSON lines, the text in `text` |
"""
_PAGES_A_FILE = 2000


def write_project(folder: Path) -> Iterator[Path]:
    """Write the four folders and yield the path of every file written.

    Raises InputError, before anything is written, where a file exists already.
    """
    source = project_folder()
    copied = [
        path.relative_to(source)
        for part in ("candidates", "stages")
        for path in sorted((source / part).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]
    copied.append(Path("reports/README.md"))
    made = dict(_texts())
    for name in (*copied, *made):
        if (folder / name).exists():
            raise InputError(folder / name, "this file is there already", "choose another folder")
    for name in (*copied, *made):
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            if name in made:
                (folder / name).write_bytes(made[name])
            else:
                shutil.copyfile(source / name, folder / name)
        except OSError as error:
            problem = f"cannot be written: {error.strerror}"
            raise InputError(folder / name, problem, "choose another folder") from None
        yield folder / name


def _texts() -> Iterator[tuple[Path, bytes]]:
    """The files of `data/`, by name."""
    from dataselect.formats.zstd import zstd

    yield Path("data/README.md"), _ABOUT.encode()
    pages, number = crawl(), 0
    while part := list(islice(pages, _PAGES_A_FILE)):
        packed = zstd.compress(_lines("body", part))
        yield Path(f"data/crawl/part-{number}.jsonl.zst"), packed
        number += 1
    yield Path("data/textbooks/problems.jsonl"), _lines("text", textbooks())


def _lines(column: str, texts: Iterable[str]) -> bytes:
    written = io.StringIO()
    for text in texts:
        written.write(json.dumps({column: text}, ensure_ascii=False) + "\n")
    return written.getvalue().encode()
