"""A designed swarm: its README.md, for whoever trains the runs, and a table for the terminal."""

from collections.abc import Sequence

from rich.console import Console

from dataselect.mixture.swarm_design import SwarmDesign
from dataselect.mixture.swarm_file import SwarmRecord
from dataselect.mixture.swarm_tables import used_sources
from dataselect.mixture.trainers import BY_NAME, TRAINERS
from dataselect.report.console import add_row, named_table, say
from dataselect.report.markdown import code, escape, table
from dataselect.units import format_count
from dataselect.wording import one_line


def swarm_verdict(design: SwarmDesign) -> str:
    """How many runs of what are to be trained, in a sentence."""
    roles = [run.role for run in design.new]
    parts = [
        f"{count} {words}"
        for role, words in (
            ("prior", "of the prior"),
            ("designed", "around it"),
            ("repeat", "of an earlier mixture"),
        )
        if (count := roles.count(role))  # type: ignore[arg-type]
    ]
    length = "" if design.tokens is None else f" of {format_count(design.tokens)} tokens"
    earlier = len(design.runs) - len(design.new)
    beside = f", beside {earlier} earlier ones" if earlier else ""
    return (
        f"{len(design.new)} runs{length} to train on mixtures of {len(design.current)} sources"
        f"{beside}: {', '.join(parts)}."
    )


def source_rows(design: SwarmDesign) -> list[list[str]]:
    """For each source: name, prior, smallest and largest share in new runs, and most epochs."""
    shares = design.shares[len(design.runs) - len(design.new) :]
    rows = []
    for j in used_sources(design):
        column = shares[:, j]
        prior = f"{design.prior[j]:.4f}" if j < len(design.current) else "–"
        epochs = "–"
        if design.rates is not None and design.rates[-1, j] > 0:
            epochs = f"{design.rates[-1, j] * column.max():.2g}"
        rows.append(
            [design.sources[j], prior, f"{column.min():.4f}", f"{column.max():.4f}", epochs]
        )
    return rows


_HEAD = ("source", "prior", "least", "most", "most epochs")


def print_swarm(design: SwarmDesign, notes: Sequence[str], console: Console) -> None:
    """Print what is to be trained, the range of each source's share, and notes."""
    say(console, swarm_verdict(design))
    shown = named_table(*_HEAD, fold=True)
    for row in source_rows(design):
        add_row(shown, *row)
    console.print(shown)
    say(console, "Least and most: shares of the tokens in the runs to train.")
    for note in notes:
        say(console, f"note: {note}")


def swarm_readme(design: SwarmDesign, record: SwarmRecord, notes: Sequence[str]) -> str:
    """Markdown text of the folder's README."""
    rows = [[escape(cell) for cell in row] for row in source_rows(design)]
    length = "as many tokens" if design.tokens is None else f"{format_count(design.tokens)} tokens"
    joined = len(design.new) < len(design.runs)
    twice = "; it may be given twice, for the earlier runs and for these" if joined else ""
    parts = [
        "# A swarm to train",
        f"**{escape(swarm_verdict(design))}** Every run is one model. The metrics of all runs then "
        "predict those of any other mixture of these sources, and a mixture is proposed.",
        table(list(_HEAD), rows, " rrrr"),
        "Least and most: shares of the tokens in the runs to train. `ratios.csv` has all of them.",
        "## What stays the same in every run",
        f"Model, tokenizer, {length}, sequence length, batch size, learning rate and its schedule, "
        "code, and how the result is evaluated. Only the mixture and the seed differ: `runs.csv` "
        "has the seed of each run, for the model's first weights and the order of the data. Runs "
        "of one mixture have different ones, since they measure what a seed is worth.",
        *_cut_lines(design),
        *_earlier_lines(design),
        *_files(record),
        "## Launch",
        "The seed is in the second column of `runs.csv`. In a shell, with a trainer `train`:",
        _loop(record),
        "## Bring the results back",
        f"`--metrics` is a table with a column `run` and one for each metric{twice}. Or it is a "
        "folder with the results files of lm-evaluation-harness or OLMES, those of each run below "
        "a folder of its name (`results/run-001/…/results_….json`). Runs that are missing are left "
        "out, with a note.",
        "    dataselect mix fit --swarm . --metrics metrics.csv --out model.json\n"
        "    dataselect mix propose --with model.json --constraints constraints.yaml \\\n"
        "      --out proposal",
        "Losses need `--lower-is-better` in `mix fit`. `constraints.yaml` has the limits and the "
        "prior of this swarm, to be edited for the proposal.",
        "## Do it again",
        f"    {one_line(record.command)}",
        *(["## Notes", "\n".join(f"- {escape(note)}" for note in notes)] if notes else []),
    ]
    return "\n\n".join(parts) + "\n"


def _cut_lines(design: SwarmDesign) -> list[str]:
    """How much of each text to train on, where runs read texts as often as the target."""
    if design.kept is None or design.tokens is None:
        return []
    known = {name: text.tokens for name, text in design.limits.texts.items()}
    for name, tokens in zip(design.current, design.limits.tokens.tolist(), strict=True):
        if name not in design.limits.parts:
            known[name] = tokens
    rows = [
        [escape(name), format_count(tokens), format_count(int(tokens * design.kept))]
        for name, tokens in known.items()
        if tokens * design.kept < design.tokens
    ]
    if not rows:
        return []
    return [
        "## Cut the texts first",
        "So that runs read scarce text as often as the target will, train on only so many tokens "
        "of each: whole documents drawn at random, the same in every run. Others stay whole.",
        table(["text", "has", "train on"], rows, " rr"),
        "`epochs.csv` and the files for trainers are for the cut texts.",
    ]


def _earlier_lines(design: SwarmDesign) -> list[str]:
    earlier = len(design.runs) - len(design.new)
    if not earlier:
        return []
    again = [run for run in design.new if run.repeats is not None]
    lines = [
        "## Earlier runs",
        f"`ratios.csv` has {earlier} runs that are trained already (`earlier` in `runs.csv`); "
        "nothing is written for them here. New runs must be trained and evaluated as those were.",
    ]
    lines += [
        f"Train {code(run.name)} first: it has the mixture of {escape(run.repeats or '')} with "
        "another seed. If it differs by more than a seed does, something else has changed, and "
        "the two swarms cannot be joined; `mix fit` says so."
        for run in again
    ]
    return lines


def _files(record: SwarmRecord) -> list[str]:
    rows = [
        [code(f"runs/RUN/{file}"), *_fits(file)] for name in record.export for file in BY_NAME[name]
    ]
    return ["## Files", table(["file", "fits", "a weight is a share of"], rows)]


def _fits(file: str) -> tuple[str, str]:
    if file not in TRAINERS:
        return "anything", "the tokens"
    return escape(TRAINERS[file].fits), escape(TRAINERS[file].weighs)


def _loop(record: SwarmRecord) -> str:
    file = BY_NAME[record.export[0]][0]
    return "\n".join(
        f"    {line}"
        for line in (
            "for folder in runs/*/; do",
            '  run=$(basename "$folder")',
            "  seed=$(awk -F, -v run=\"$run\" '$1 == run {print $2}' runs.csv)",
            f'  train --data "${{folder}}{file}" --seed "$seed" --out "results/$run"',
            "done",
        )
    )
