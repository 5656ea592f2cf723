"""What `dataselect calibrate --dry-run` prints: the runs, what is paired, and what is scored."""

from collections.abc import Sequence

from dataselect.calibration.paired import Paired
from dataselect.calibration.runs import datasets_of


def planned(runs: Sequence[Paired]) -> list[str]:
    """Lines for each run, and the counts of all where there are several."""
    lines = []
    for run in runs:
        lines += [f"{run.prefix}{note}" for note in run.notes()]
        for what, members in (("proxy", run.proxies), ("target", run.targets)):
            lines += [
                f"{run.prefix}{what}: {member.label} ({member.commit or member.place})"
                for member in members
            ]
    if len(runs) == 1:
        return lines
    proxies = len({member for run in runs for member in run.proxies})
    targets = len({member for run in runs for member in run.targets})
    datasets = len(datasets_of([run.spec for run in runs]))
    pairs = (
        f"{name} {sum(len(run.matches[name].found) for run in runs)}" for name in runs[0].matches
    )
    lines.append(
        f"{len(runs)} runs of {datasets} datasets: {proxies} checkpoints of proxies to score and"
        f" {targets} of targets to evaluate; pairs: {', '.join(pairs)}"
    )
    return lines
