"""Write the folder of a report: report.json and what is made from it, and resolved.yaml.

`views` is what people read: README.md with its pictures in `plots`, report.html with the same
inside, and ranking.csv. `rewrite` makes these again. A stage that prunes has its ranking in
`ranking-STAGE.csv` as soon as it is known. After a mixture search the folder also has a subfolder
`mixture` with its results.

Each file is written atomically. Only a crash between two writes can leave files of two runs side by
side; the next call of the same command writes all of them again.
"""

import csv
import hashlib
import io
import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect import strict_json
from dataselect._version import __version__
from dataselect.errors import InputError
from dataselect.formats.jsonfile import refuse_changes, sealed_json
from dataselect.proxies.recipe import Recipe
from dataselect.report.items.links import ITEMS_FOLDER, item_pages, stamped_pages
from dataselect.report.output import ELSEWHERE, make_folder
from dataselect.report.pictures.selection import FOLDER, NAMES
from dataselect.report.selection.document import SCHEMA, document
from dataselect.report.selection.leaks import leak_cells
from dataselect.report.selection.readme import readme
from dataselect.report.selection.resolved import resolved_yaml
from dataselect.report.selection.stages import cuts, number, planned, predicting
from dataselect.report.selection.truth import truth_cells
from dataselect.stages.proxy_origins import section
from dataselect.stages.work import StageRanking
from dataselect.store import lock
from dataselect.store.files import write_atomic, writing
from dataselect.wording import closest, one_line, quoted

if TYPE_CHECKING:
    from dataselect.pipeline import Selection


_AGAIN = "repeat the run, which computes nothing again"
_DRAWN = f"{FOLDER}/drawn.json"
"""From what the pictures are, so that a run that changes nothing does not draw them again: that
takes longer than all else that such a run does."""


def write_report(selection: "Selection", out: Path) -> dict[str, Any]:
    """Write the files into `out`, created if missing; returns the content of report.json."""
    content = document(selection)
    experiment, mixture = selection.experiment, selection.mixture_found
    recipes: dict[str, Recipe] = {
        section(experiment.plan, stage): scores.recipe
        for stage, scores in selection.scores.items()
        if scores.recipe
    }
    texts = {
        "resolved.yaml": resolved_yaml(
            experiment.manifest,
            experiment.plan,
            recipes,
            out,
            experiment.given,
            experiment.agreements,
        ),
        "report.json": sealed_json(json.dumps(content, allow_nan=False), indent=1),
    }
    # First what cannot be made again without the run.
    _write(out, texts)
    command = _command(content["run"], out)
    if mixture is not None:
        # Imported here: few reports have a mixture, and its libraries take a second to load.
        from dataselect.report.mixture.search import write_search

        folder = out / content["mixture"]["folder"]
        write_search(mixture, experiment.manifest, experiment.plan, folder, command)
    pages = item_pages(out, content)
    _write_views(out, views(content, command, _found_drawn(content, out), pages))
    return content


def views(
    content: Mapping[str, Any],
    command: str,
    drawn: Mapping[str, str] | None = None,
    pages: Sequence[str] = (),
) -> dict[str, str]:
    """By path in the folder, all that people read, from the document.

    `command` repeats the run; `drawn`: its pictures by name where they are drawn already; `pages`:
    paths of pages of its items.
    """
    # Imported here: `import dataselect` should load neither Markdown nor matplotlib.
    from dataselect.report.selection.html import report_html

    if drawn is None:
        from dataselect.report.pictures.selection.draw import draw_selection

        drawn = draw_selection(content)
    return {
        **{f"{FOLDER}/{name}.svg": svg for name, svg in drawn.items()},
        _DRAWN: _drawn_from(content, drawn),
        "ranking.csv": ranking_csv(content),
        "report.html": report_html(content, command, drawn, pages),
        "README.md": readme(content, command, pages),
    }


def _drawn_from(content: Mapping[str, Any], drawn: Mapping[str, str]) -> str:
    """What the pictures are of, and their hashes; `drawn` by name."""
    # How long this call took is in no picture.
    seconds = {
        name: each for name, each in content["cost"]["seconds"].items() if name != "this_run"
    }
    pictured = {**content, "cost": {**content["cost"], "seconds": seconds}}
    of = hashlib.sha256(json.dumps([__version__, pictured]).encode()).hexdigest()
    files = {name: hashlib.sha256(svg.encode()).hexdigest() for name, svg in drawn.items()}
    return json.dumps({"of": of, "files": files}, indent=1) + "\n"


def _found_drawn(content: Mapping[str, Any], out: Path) -> dict[str, str] | None:
    """The pictures of the folder, if they are of this document and whole; None if not."""
    try:
        record = (out / _DRAWN).read_text(encoding="utf-8")
        names = strict_json.loads(record)["files"]
        found = {name: (out / FOLDER / f"{name}.svg").read_text(encoding="utf-8") for name in names}
    except (OSError, ValueError, KeyError, TypeError):
        return None
    whole = set(found) <= set(NAMES) and _drawn_from(content, found) == record
    return found if whole else None


def rewrite(folder: Path) -> list[Path]:
    """Make the views of a report again from its report.json; returns the files written.

    Raises InputError where that file cannot be read, was changed or lacks what a report has.
    """
    with reading(folder) as content:
        texts = views(content, _command(content["run"], folder), pages=item_pages(folder, content))
    with lock(folder, "the report folder"):
        _write_views(folder, texts)
    return [folder / name for name in texts]


@contextmanager
def reading(folder: Path) -> Iterator[dict[str, Any]]:
    """The content of a folder's report.json, for whoever looks into it inside the context.

    Raises InputError where the file cannot be read, or lacks what is looked for.
    """
    path = folder / "report.json"
    try:
        content = refuse_changes(strict_json.loads(path.read_bytes()), path)
        if content["schema"] != SCHEMA:
            raise InputError(path, f"has schema {quoted(content['schema'])}", _AGAIN)
        yield content
    except OSError as error:
        near = [each.parent.name for each in Path("reports").glob("*/report.json")]
        meant = closest(folder.name, near)
        fix = "give a folder that `dataselect run` wrote"
        if meant is not None and folder != Path("reports") / meant:
            fix = f"did you mean {quoted(f'reports/{meant}')}?"
        if any(folder.glob("scores_*.csv")):
            fix = "it holds the scores of `dataselect score`; give the folder of a run's report"
        raise InputError(path, f"cannot be read: {error.strerror}", fix) from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        problem = f"is no report of this version ({type(error).__name__}: {error})"
        raise InputError(path, one_line(problem), _AGAIN) from None


def write_item_pages(folder: Path, pages: Mapping[str, str]) -> None:
    """Write pages of items by benchmark, and the report's own pages again with links to them.

    Other pages of items go, so that all there are belong to one look.
    """
    named = {f"{ITEMS_FOLDER}/{benchmark}.html": text for benchmark, text in pages.items()}
    with lock(folder, "the report folder"):
        make_folder(folder / ITEMS_FOLDER, "report's folder")
        for old in stamped_pages(folder):
            if old not in named:
                (folder / old).unlink()
        _write(folder, named)
        # Read again: a run may have written another report since the pages were made.
        with reading(folder) as content:
            command, drawn = _command(content["run"], folder), _found_drawn(content, folder)
            texts = views(content, command, drawn, item_pages(folder, content))
        _write_views(folder, texts)


def _write_views(out: Path, texts: Mapping[str, str]) -> None:
    """Write the views; a picture of an earlier report that this one has not goes."""
    with writing(out / FOLDER, ELSEWHERE):
        (out / FOLDER).mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            if f"{FOLDER}/{name}.svg" not in texts:
                (out / FOLDER / f"{name}.svg").unlink(missing_ok=True)
    _write(out, texts)


def _write(out: Path, texts: Mapping[str, str]) -> None:
    with writing(out, ELSEWHERE):
        out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with writing(out / name, ELSEWHERE):
            write_atomic(out / name, text.encode())


def write_stage_ranking(ranking: StageRanking, out: Path) -> Path:
    """Write a stage's ranking into `out` as soon as it is known, as `ranking-stage1.csv`.

    The report's own ranking, of all stages, comes at the end of the run.
    """
    columns = ("rank", "id", "score", "low", "high", "p_top_k", "goes_on", "reason")
    rows: list[dict[str, Any]] = [asdict(row) | {"reason": ""} for row in ranking.rows]
    rows += [{"id": name, "reason": _cell(why)} for name, why in ranking.without.items()]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = out / f"ranking-{ranking.stage}.csv"
    _write(out, {path.name: text.getvalue()})
    return path


def _command(run: str, out: Path) -> str:
    """The command that repeats the run, from the folder where it was started."""
    words = ["dataselect", "run", str(out / "resolved.yaml")]
    if out != Path("reports") / run:
        words += ["--out", str(out)]
    return shlex.join(words)


def ranking_rows(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per candidate, in the order of the report; missing values are None."""
    return [_row(content, candidate) for candidate in content["candidates"]]


def ranking_csv(content: Mapping[str, Any]) -> str:
    """The rows as CSV; missing values are empty cells."""
    rows = [
        row | {name: _cell(row[name] or "") for name in ("title", "reason")}
        for row in ranking_rows(content)
    ]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _row(content: Mapping[str, Any], candidate: Mapping[str, Any]) -> dict[str, Any]:
    last = predicting(content)
    counted = content["screen0"] is not None
    stages = [*(["stage0"] if counted else []), *planned(content)]
    parts = {stage: candidate[stage] or {} for stage in stages}
    predicted = {} if last is None else parts[last]
    row = {
        "rank": candidate["rank"],
        "id": candidate["id"],
        "title": candidate["title"],
        "status": candidate["status"],
        "reason": candidate["reason"],
    }
    for stage, part in parts.items():
        # The last stage has the columns of one that predicts, whether it ran or not.
        prunes = stage in cuts(content) or number(stage) not in (2, len(planned(content)))
        for key in ("score", "low", "high", "p_top_k") if prunes else ("score",):
            row[f"{stage}_{key}"] = part.get(key)
    row |= {
        "predicted_accuracy": predicted.get("predicted_accuracy"),
        "predicted_low": predicted.get("low"),
        "predicted_high": predicted.get("high"),
    }
    row |= truth_cells(content, candidate["id"])
    row |= leak_cells(content, candidate["id"])
    for stage, part in parts.items():
        for benchmark, measured in part.get("benchmarks", {}).items():
            for key, value in measured.items():
                row[f"{stage}_{benchmark}_{key}"] = value
    return row


def _cell(text: str) -> str:
    """Foreign text for a spreadsheet: quoted if it could be read as a formula."""
    shown = one_line(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown
