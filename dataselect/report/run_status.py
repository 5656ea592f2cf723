"""`dataselect status` in the terminal: one run, or a line for each run of a store; 80 columns."""

import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from dataselect.report.console import add_row, named_table, say
from dataselect.report.overall import (
    counts,
    left_words,
    loss_words,
    ranking_table,
    speed_words,
)
from dataselect.stages.run_status import (
    ODD,
    ODD_FIX,
    RunStatus,
    failed_jobs,
    running_jobs,
    unreadable,
)
from dataselect.stages.work import RankedRow, StageRanking
from dataselect.units import format_flops, format_seconds
from dataselect.wording import one_line

_STYLES = {"running": "green", "done": "green", "died": "red", "failed": "red", "unreadable": "red"}
_MOST_JOBS = 24
"""Running jobs that are shown; more are counted."""


_MINUTES = len("2026-01-01 00:00")
"""In the list seconds would take the room of a run's name."""


def print_runs(found: Sequence[RunStatus], console: Console) -> None:
    """A line for each run, in their order; below them those whose record is odd, and why."""
    table = named_table("run", "state", "done", "left", "last written", left=("state", "done"))
    odd = []
    for each in found:
        shown = each
        try:
            row = _row(each)
        except ODD as error:
            shown = unreadable(each.run, error)
            row = _row(shown)
        add_row(table, *row)
        if shown.odd:
            odd.append(shown)
    console.print(table)
    for each in odd:
        problem = f"its record is none of this version ({each.odd})"
        _whole(console, f"{each.run.id}: {problem}; {ODD_FIX}")


def _row(status: RunStatus) -> tuple[str, ...]:
    """The cells of a run in the list."""
    if status.odd:
        return status.run.id, status.state, "", "", ""
    document = status.document
    part = _current(document)
    estimate = document.get("estimate") or {}
    seconds = estimate.get("seconds_left") if status.state == "running" else None
    return (
        status.run.id,
        status.state,
        _asked(document) if part is None else f"{_short(part)} {_done(part)}".strip(),
        "" if seconds is None else format_seconds(seconds),
        _time(document.get("updated"))[:_MINUTES],
    )


def print_run(status: RunStatus, console: Console) -> None:
    """Everything that is known of a run."""
    document = status.document
    headline = f"{document.get('name')}: {state_words(status)}"
    console.print(Text(one_line(headline), style=_STYLES.get(status.state, "yellow")))
    if status.may_be_resumed:
        _whole(console, f"to go on: {resume_command(document)}")
    for part in document.get("parts") or ():
        if part.get("total") is not None or part.get("state") == "running":
            _indented(console, f"{part['title']}: {_part_words(part, status.state)}")
    if status.state == "running":
        estimate = document.get("estimate") or {}
        words = left_words(estimate.get("seconds_left"), bool(estimate.get("at_most")))
        if estimate.get("seconds_left") is not None:
            words += f" (at {_time(document.get('updated'))})"
        _indented(console, words)
    _print_jobs(status, console)
    for job in failed_jobs(document):
        console.print(Text(one_line(f"failed: {job['name']}: {job.get('error', '')}"), style="red"))
    for each in document.get("rankings") or ():
        console.print()
        console.print(ranking_table(_ranking(each)))
    console.print()
    say(console, spent_words(status))
    if document.get("report"):
        _whole(console, f"report: {document['report']}")
    _whole(console, f"events: {status.run.folder}/events.jsonl")


def state_words(status: RunStatus) -> str:
    """What has become of a run, and when."""
    document = status.document
    process = document.get("process") or {}
    who = f"process {process.get('pid')} on {process.get('host')}"
    call = document.get("call") or 1
    nth = f", call {call}" if call > 1 else ""
    seen = "" if status.seen is None else status.seen.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    took = format_seconds(float(document.get("seconds") or 0.0))
    ended = f"at {_time(document.get('ended'))}, after {took}{nth}"
    why = f": {document.get('problem')}" if document.get("problem") else ""
    words = {
        "running": f"running since {_time(document.get('began'))} as {who}{nth}",
        "paused": f"stopped by a signal, {who}; 'kill -CONT {process.get('pid')}' lets it go on",
        "died": f"died; {who} is gone, its last sign of life was at {seen}{nth}",
        "silent": f"no sign of life since {seen} from {who}, which cannot be seen from here; it "
        "has probably died (to go on is safe if not: nothing is done twice)",
        "done": f"done {ended}",
        "incomplete": f"ended {ended}; some of it failed{why}",
        "failed": f"failed {ended}{why}",
        "interrupted": f"interrupted {ended}",
    }
    return words.get(status.state, status.state)


def resume_command(document: Mapping[str, Any]) -> str:
    """The command that goes on with a run, for the folder that one is in."""
    command, folder = str(document.get("command")), str(document.get("folder"))
    if folder == os.getcwd() or not command.startswith("dataselect "):
        return command
    return f"cd {shlex.quote(folder)} && {command}"


def spent_words(status: RunStatus) -> str:
    """What a run has cost so far: FLOPs, time and money."""
    sums = status.spent
    parts = [format_flops(sums.flops + sums.failed_flops)]
    parts.append(f"{_hours(sums.cpu_seconds)} of CPU")
    if sums.gpu_seconds:
        parts.append(f"{_hours(sums.gpu_seconds)} of GPU")
    usd = status.document.get("traces_usd")
    money = "" if usd is None else f"; its traces cost {usd:.2f} USD when they were built"
    failed = f", {sums.failed_jobs} of them failed" if sums.failed_jobs else ""
    return f"spent: {', '.join(parts)} in {sums.jobs} pieces of work that ended{failed}{money}"


def _print_jobs(status: RunStatus, console: Console) -> None:
    """The jobs that run, or ran when the driver died."""
    jobs = running_jobs(status.document)
    working = status.document.get("working")
    if status.state not in ("running", "paused", "died", "silent"):
        return
    rows = [*([working] if working else []), *jobs]
    if not rows:
        return
    dead = status.state in ("died", "silent")
    table = named_table("ran then" if dead else "running", "done", "speed", "loss", "for", "left")
    for job in rows[:_MOST_JOBS]:
        share, loss, left = (job.get(key) for key in ("share", "loss", "seconds_left"))
        peers = job.get("peers_loss")
        waits = f" waits for {job['waits_for']}" if job.get("waits_for") else ""
        add_row(
            table,
            f"{job['name']}{waits}",
            "" if share is None else f"{100 * share:.0f}%",
            speed_words(job),
            loss_words(loss, peers).removeprefix("loss "),
            format_seconds(float(job.get("seconds") or 0.0)),
            "" if left is None or dead or share == 1 else format_seconds(left),
        )
    console.print()
    console.print(table)
    if working:
        for line in work_words(working):
            say(console, line)
    if len(rows) > _MOST_JOBS:
        say(console, f"and {len(rows) - _MOST_JOBS} more")
    for name, holder in status.held.items():
        say(console, f"{name} is still worked on by {holder}")


def work_words(work: Mapping[str, Any]) -> list[str]:
    """How the asking for traces goes: answers, requests and money, as far as known."""
    lines = []
    if work.get("total_items"):
        out = work.get("left_out") or 0
        left_out = f", {out} left out" if out else ""
        lines.append(f"{work.get('items', 0):.0f} of {work['total_items']:.0f} settled{left_out}")
    if work.get("graded"):
        right, graded = work.get("correct", 0), work["graded"]
        lines.append(f"{100 * right / graded:.0f}% of {graded:.0f} answers are right")
    if work.get("failed"):
        lines.append(f"{work['failed']:.0f} of {work.get('requests', 0):.0f} requests failed")
    if work.get("usd") is not None:
        about_all = work.get("expected_usd")
        total = "" if about_all is None else f" of about {about_all:.2f}"
        cap = "" if work.get("max_usd") is None else f", cap {work['max_usd']:g}"
        lines.append(f"{work['usd']:.2f}{total} USD{cap}")
    return lines


def _asked(document: Mapping[str, Any]) -> str:
    """How far work without parts is."""
    work = document.get("working") or {}
    if not work.get("total_items"):
        return ""
    return f"{work.get('items', 0):.0f} of {work['total_items']:.0f}"


def _whole(console: Console, line: str) -> None:
    """A line that is not broken, to be copied."""
    console.print(Text(one_line(line)), soft_wrap=True)


def _indented(console: Console, line: str) -> None:
    console.print(Text(f"  {one_line(line)}"))


def _part_words(part: Mapping[str, Any], state: str) -> str:
    """How far a part is."""
    words = _done(part)
    if part.get("found"):
        words += f" ({part['found']} from the store)"
    open_ = [f"{part[key]} {key}" for key in ("running", "waiting") if part.get(key)]
    if part.get("state") == "running" and state not in ("died", "silent"):
        words = ", ".join([*([words] if words else []), *open_])
    took = format_seconds(float(part.get("seconds") or 0.0))
    return f"{words}, {took}" if words else took


def _done(part: Mapping[str, Any]) -> str:
    if part.get("total") is None:
        return ""
    return counts(part["done"], part["failed"], part["total"])


def _short(part: Mapping[str, Any]) -> str:
    return str(part["title"]).partition(":")[0]


def _current(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The part that runs, or the last that had jobs."""
    parts = document.get("parts") or []
    counted = [part for part in parts if part.get("total") is not None]
    if parts and parts[-1].get("state") == "running":
        return dict(parts[-1])
    return dict(counted[-1]) if counted else None


def _ranking(each: Mapping[str, Any]) -> StageRanking:
    rows = tuple(RankedRow(**row) for row in each["rows"])
    return StageRanking(each["stage"], each["title"], each["keep"], rows, each["without"])


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f} hours" if seconds >= 360 else format_seconds(seconds)


def _time(text: object) -> str:
    """A time of a record in this machine's time zone, to the second; "?" for none."""
    try:
        return datetime.fromisoformat(str(text)).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return "?"
