"""Candidates for the shell's completion. `dataselect --install-completion` sets it up.

Each function gets what has been typed of a word. An empty list leaves the word to the shell, which
completes paths.
"""

from collections.abc import Iterable
from pathlib import Path

_MOST = 200
"""Most candidates, since a folder may hold a corpus."""


def manifests(incomplete: str) -> list[str]:
    """YAML files here and in candidates/."""
    return _begin(incomplete, _paths(incomplete, "*.y*ml", "candidates/*.y*ml"))


def plans(incomplete: str) -> list[str]:
    """Names of plans in stages/, and of those that come with dataselect."""
    package = Path(__file__).parents[1]
    shipped = package / "_project"
    shipped = (shipped if shipped.is_dir() else package.parent) / "stages"
    found = {each.stem for folder in (Path("stages"), shipped) for each in folder.glob("*.yaml")}
    return _begin(incomplete, found)


def benchmarks(incomplete: str) -> list[str]:
    """Names of known benchmarks, also after a comma, and `list`."""
    from dataselect.benchmarks.known import KNOWN
    from dataselect.benchmarks.mask_subsets import MASKED

    before, comma, last = incomplete.rpartition(",")
    given = before.split(",")
    names = [each for each in (*KNOWN, *MASKED) if each not in given]
    return [
        f"{before}{comma}{each}" for each in _begin(last, [*names, *([] if comma else ["list"])])
    ]


def engines(incomplete: str) -> list[str]:
    """Where jobs may run."""
    from dataselect.compute.engines import LOCAL, engine_names

    return _begin(incomplete, [LOCAL, *engine_names()])


def trackers(incomplete: str) -> list[str]:
    """Where numbers may be shown."""
    from dataselect.trackers.names import tracker_names

    return _begin(incomplete, tracker_names())


def reports(incomplete: str) -> list[str]:
    """Folders of reports."""
    found = Path().glob("reports/*/report.json")
    return _begin(incomplete, [str(each.parent) for each in found])


def traces(incomplete: str) -> list[str]:
    """Trace files in traces/."""
    return _begin(incomplete, _paths(incomplete, "*.jsonl.gz", "traces/*.jsonl.gz"))


def _paths(incomplete: str, *patterns: str) -> list[str]:
    """Paths by patterns below the folder that was typed."""
    typed = incomplete.rpartition("/")[0]
    folder = Path(typed) if typed or not incomplete.startswith("/") else Path("/")
    found = [each for pattern in patterns for each in folder.glob(pattern)]
    return [str(each) for each in found[:_MOST]]


def _begin(incomplete: str, names: Iterable[str]) -> list[str]:
    # Names of files may hold what acts on a terminal, and lines part candidates.
    return sorted(each for each in names if each.startswith(incomplete) and each.isprintable())
