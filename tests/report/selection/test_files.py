import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from dataselect.pipeline import Selection
from dataselect.report.selection.document import document
from dataselect.report.selection.files import ranking_csv, write_report
from dataselect.report.selection.readme import readme
from dataselect.store.sealed import unsealed

MakeSelection = Callable[..., Selection]


def test_the_files_that_the_readme_names_are_written_and_nothing_else(
    make_selection: MakeSelection, tmp_path: Path
) -> None:
    out = tmp_path / "reports" / "try"
    made = write_report(make_selection(), out)
    assert sorted(path.name for path in out.iterdir()) == [
        "README.md",
        "plots",
        "ranking.csv",
        "report.html",
        "report.json",
        "resolved.yaml",
    ]
    drawn = {f"plots/{path.name}" for path in (out / "plots").glob("*.svg")}
    assert {path.name for path in (out / "plots").iterdir()} == {
        "drawn.json",
        *(Path(name).name for name in drawn),
    }
    linked = re.findall(r"^!\[.+\]\((.+)\)$", (out / "README.md").read_text(), re.MULTILINE)
    assert set(linked) == drawn
    assert len(linked) == len(drawn) == 4
    assert unsealed(json.loads((out / "report.json").read_text(encoding="utf-8"))) == made


def test_pictures_are_drawn_again_only_where_they_would_differ(
    make_selection: MakeSelection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0

    def draw(content: Mapping[str, Any]) -> dict[str, str]:
        nonlocal times
        times += 1
        return {"ranking": f"<svg><!-- {times} --></svg>"}

    monkeypatch.setattr("dataselect.report.pictures.selection.draw.draw_selection", draw)
    picture = tmp_path / "plots" / "ranking.svg"
    write_report(make_selection(), tmp_path)
    again = replace(make_selection(), seconds=1e6)
    write_report(again, tmp_path)
    assert times == 1
    picture.write_text("<svg>cut")
    write_report(again, tmp_path)
    assert times == 2
    picture.unlink()
    write_report(again, tmp_path)
    assert times == 3
    write_report(replace(again, notes=("another",)), tmp_path)
    assert times == 4
    assert picture.read_text() == "<svg><!-- 4 --></svg>"


def test_writing_again_replaces_the_report(make_selection: MakeSelection, tmp_path: Path) -> None:
    write_report(make_selection(), tmp_path)
    write_report(replace(make_selection(stage2=False), seconds=1.0), tmp_path)
    made = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert made["cost"]["seconds"]["this_run"] == 1.0


def test_the_csv_has_one_row_per_candidate_in_the_order_of_the_report(
    make_selection: MakeSelection,
) -> None:
    made = document(make_selection())
    rows = list(csv.DictReader(io.StringIO(ranking_csv(made))))
    assert [row["id"] for row in rows] == [c["id"] for c in made["candidates"]]
    assert (
        float(rows[0]["predicted_accuracy"])
        == made["candidates"][0]["stage2"]["predicted_accuracy"]
    )
    assert float(rows[0]["stage1_sums_rbridge"]) > 0
    assert rows[-1]["rank"] == rows[-1]["stage1_score"] == ""


@pytest.mark.parametrize("title", ["=1+1", "+1", "-1", "@sum"])
def test_a_title_is_no_formula_in_a_spreadsheet(make_selection: MakeSelection, title: str) -> None:
    made = document(make_selection())
    made["candidates"][0]["title"] = title
    row = next(csv.DictReader(io.StringIO(ranking_csv(made))))
    assert row["title"] == f"'{title}"


def headings(text: str) -> list[str]:
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


def test_the_readme_has_the_order_that_people_want(make_selection: MakeSelection) -> None:
    text = readme(document(make_selection()), "dataselect run x.yaml")
    assert headings(text) == [
        "Ranking",
        "Who beats whom",
        "Stage by stage",
        "Predicted accuracy of the target, by benchmark",
        "Agreement with targets trained already",
        "Cost",
        "Items left out",
        "Notes",
        "Provenance",
        "Run it again",
    ]
    opening = text[: text.index("## Ranking")]
    for words in ("comes first", "Next: ", "**How sure:** good", "**What it cost:** 8.5e13 FLOPs"):
        assert words in opening
    assert "    dataselect run x.yaml\n" in text


def test_the_readme_leaves_out_what_there_is_not(make_selection: MakeSelection) -> None:
    selection = replace(make_selection(stage2=False, evidence=False), notes=())
    text = readme(document(selection), "dataselect run x.yaml")
    assert headings(text) == [
        *("Ranking", "Who beats whom", "Cost", "Items left out", "Provenance", "Run it again")
    ]
    assert "Stage 2" not in text


def test_the_readme_shows_scores_where_nothing_is_predicted(make_selection: MakeSelection) -> None:
    text = readme(document(make_selection(transfer=False)), "x")
    assert "Stage 2 score" in text
    assert "predicted accuracy" not in text


def test_the_readme_marks_extrapolation_and_gives_reasons(make_selection: MakeSelection) -> None:
    text = readme(document(make_selection()), "x")
    assert "61.7* [59.7, 63.7] | extrapolated" in text
    assert "pruned: place 4 of 4" in text
    assert "Some candidates failed" in text


def test_the_readme_counts_failed_and_repeated_work(make_selection: MakeSelection) -> None:
    text = readme(document(make_selection()), "x")
    row = next(line for line in text.splitlines() if line.startswith("| both"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        *("both", "8", "2", "12", "2m 30s", "2m 20s", "0.0s"),
        *("6.0e12 FLOPs", "2.0e11 FLOPs"),
    ]


def test_hostile_titles_and_errors_stay_text_in_the_readme(make_selection: MakeSelection) -> None:
    made = document(make_selection())
    made["candidates"][0]["title"] = "<script>alert(1)</script> [x](http://evil) | `a` ![i](j)"
    made["notes"] = ["<img src=x onerror=alert(1)>\n\n# heading"]
    html = MarkdownIt("commonmark").enable("table").render(readme(made, "x"))
    assert "<script" not in html
    assert set(re.findall("<img [^>]*?src=(\\S+)", html)) == {
        *('"plots/ranking.svg"', '"plots/stages.svg"', '"plots/fits.svg"', '"plots/cost.svg"')
    }
    assert "<a " not in html
    assert "<h1># heading" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; [x](http://evil) | `a` ![i](j)" in html
    # A pipe in a title must not add a column.
    body = html.split("<tbody>")[1].split("</tbody>")[0]
    assert {row.count("<td") for row in body.split("</tr>")[:-1]} == {6}


def test_the_command_to_run_again_names_the_folder_only_when_it_must(
    make_selection: MakeSelection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_report(make_selection(), Path("reports/try"))
    text = Path("reports/try/README.md").read_text(encoding="utf-8")
    assert "    dataselect run reports/try/resolved.yaml\n" in text
    write_report(make_selection(), Path("else where"))
    text = Path("else where/README.md").read_text(encoding="utf-8")
    assert "    dataselect run 'else where/resolved.yaml' --out 'else where'\n" in text
