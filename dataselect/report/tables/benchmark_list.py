"""The list of benchmarks that are known by name, in the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from dataselect.benchmarks.catalogue import Entry

_METRICS = """\
Metrics: rbridge, trace_nll, label_nll, answer_nll, mpca, ted; where answers are
letters, acc_raw, acc_per_char and others of the choices. --accuracy adds
exact_match (pass@1 for code), --isft the same after fine-tuning. mask-NAME has
no answers: the NLL of marked key steps alone. Your own: a YAML file's path."""


def print_benchmarks(entries: Sequence[Entry], console: Console) -> None:
    """A line for each: name, items, where it is from, and what can be measured."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("benchmark", no_wrap=True)
    table.add_column("items", justify="right", no_wrap=True)
    table.add_column("on the Hub", overflow="fold")
    table.add_column("answers", no_wrap=True)
    table.add_column("--isft", no_wrap=True)
    for each in entries:
        answers = {"choice": "letter", None: "none"}.get(each.answers, each.answers)
        source = f"{each.source}, {each.split}"
        table.add_row(
            each.name, f"{each.items:,}", source, answers, "yes" if each.training_set else ""
        )
    console.print(table, highlight=False)
    console.print(_METRICS, markup=False, highlight=False, soft_wrap=True)
