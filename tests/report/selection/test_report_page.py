"""report.html: one file that loads and runs nothing, for phones, dark rooms, paper and ears."""

import copy
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from made_mixture import CONFIRMED, SEARCH, made_document, made_model
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.pipeline import Selection
from dataselect.report.pictures.selection import cost_bars, paired, selection_pictures
from dataselect.report.pictures.selection.draw import draw_selection
from dataselect.report.selection.document import document
from dataselect.report.selection.files import rewrite, views, write_report
from dataselect.report.selection.html import report_html
from dataselect.report.selection.sections import sections

MakeSelection = Callable[..., Selection]
Document = dict[str, Any]
HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'--> ![i](http://e.vil/i) "
    "[l](javascript:x) </svg></style> $\\frac{"
)
TARGETS = {"good": 0.65, "fair": 0.7, "poor": 0.2}


class Page(HTMLParser):
    """Elements with their attributes, and the text, of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.elements if name == tag)


@pytest.fixture
def unrendered() -> None:
    """Pictures are what is looked at here."""


_MADE: dict[str, Any] = {}
"""What many tests look at, made once: nobody changes it."""


@pytest.fixture
def full(make_selection: MakeSelection) -> Document:
    """A document with every picture that two stages, known targets and a mixture have."""
    if "full" not in _MADE:
        _MADE["full"] = _full(make_selection)
    found: Document = copy.deepcopy(_MADE["full"])
    return found


@pytest.fixture
def text(full: Document) -> str:
    """Its page."""
    if "text" not in _MADE:
        _MADE["text"] = rendered(full)
    return str(_MADE["text"])


def _full(make_selection: MakeSelection) -> Document:
    made = document(make_selection(targets=TARGETS))
    facts = {"search": SEARCH, "confirmed": CONFIRMED, "objective_unit": "standard deviations"}
    proposal = made_document(made_model(("web", "books", "code")), **facts)
    made["mixture"] = {"status": "done", "folder": "mixture", "problem": None}
    made["mixture"] |= {"verdict": "more web", "proposal": proposal}
    return made


def rendered(made: Document) -> str:
    return views(made, "dataselect run x.yaml")["report.html"]


def test_the_page_loads_and_runs_nothing(text: str) -> None:
    page = Page(text)
    policy = next(each for each in page.all("meta") if "http-equiv" in each)
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert not {name for name, _ in page.elements} & {
        *("script", "img", "image", "iframe", "object", "embed", "link", "base", "form", "video")
    }
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), tag
            assert name != "src", tag
            if name.endswith("href"):
                assert (value or "").startswith("#"), (tag, value)
    outside = set(re.findall(r"(?:url\(|@import|https?:)[^\s\"')]*", text))
    assert {
        each for each in outside if not each.startswith(("url(#", "http://www.w3.org/"))
    } == set()


def test_its_order_is_that_of_the_reader_s_questions(text: str) -> None:
    titles = re.findall(r"<h2[^>]*>([^<]+)</h2>", text)
    assert titles == [
        *("Ranking", "Who beats whom", "Stage by stage"),
        "Predicted accuracy of the target, by benchmark",
        *("Agreement with targets trained already", "What the targets reached", "Mixture"),
        *("Cost", "Items left out", "Notes", "Provenance", "Run it again"),
    ]
    head = text[: text.index("<nav")]
    for words in ("comes first", '<p class="next">Next: ', "How sure:", "What it cost:"):
        assert words in head
    # The contents lead to every section.
    page = Page(text)
    named = {each["id"] for each in page.all("h2")}
    assert {str(each["href"])[1:] for each in page.all("a")} == named


def test_every_picture_has_a_text_with_its_figures(full: Document, text: str) -> None:
    page = Page(text)
    shown = {each["aria-label"] for each in page.all("svg")}
    assert all(each["role"] == "img" for each in page.all("svg"))
    pictures = selection_pictures(full)
    assert {picture.alt for picture in pictures.values()} == shown
    assert list(pictures) == ["ranking", "stages", "fits", "truth", "mixture", "cost"]
    first = full["candidates"][0]["stage1"]["score"]
    assert f"good {first:.2f}".replace("-", "−") in pictures["ranking"].alt
    assert "fair (ranked" not in pictures["ranking"].alt
    assert "blend (pruned)" in pictures["ranking"].alt
    assert "fair 61.7* [59.7, 63.7]%" in pictures["fits"].alt
    assert "fair 70.0% (predicted 61.7%, a miss)" in pictures["truth"].alt
    assert "good 65.0% (predicted 65.0%, a hit)" in pictures["truth"].alt
    assert "all 5 targets (N·Ct) 6.0e20 FLOPs" in pictures["cost"].alt


def test_names_in_the_page_are_unique_and_lead_somewhere(text: str) -> None:
    page = Page(text)
    identities = [each["id"] for _, each in page.elements if each.get("id")]
    assert [name for name, count in Counter(identities).items() if count > 1] == []
    used = {str(each["href"])[1:] for _, each in page.elements if each.get("href")}
    used |= set(re.findall(r"url\(#([^)]+)\)", text))
    used |= {str(each["aria-labelledby"]) for each in page.all("section")}
    assert used <= set(identities)


def test_pictures_take_the_page_s_colours_and_print_is_light(text: str) -> None:
    assert "prefers-color-scheme:dark" in text
    assert "@media print" in text
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in text
    svg = text[text.index("<svg") : text.index("</svg>")]
    assert "var(--blue,#0072b2)" in svg
    assert "fill: #ffffff" not in svg


def test_tables_scroll_in_their_own_box_and_pruned_rows_are_grey(text: str) -> None:
    assert text.count('<div class="scroll" tabindex="0"') == text.count("<table>") > 5
    assert "<th></th>" not in re.sub(' [a-z]+="[^"]*"', "", text)
    ranking = text[: text.index(">Who beats whom</h2>")]
    # The reason stands last, behind the scores that a phone shows.
    rows = re.findall(r'<tr class="out">.*?</tr>', ranking, re.DOTALL)
    assert len(rows) == 3
    assert "pruned: place 4 of 4" in rows[1]


def test_foreign_text_stays_text_wherever_it_stands(full: Document, text: str) -> None:
    plain = {name for name, _ in Page(text).elements}
    made = copy.deepcopy(full)
    made["run"] = made["verdict"] = made["next_step"] = HOSTILE
    made["notes"] = [HOSTILE, "# " + HOSTILE]
    for each in made["candidates"]:
        each["title"] = HOSTILE
        each["reason"] = each["reason"] and HOSTILE
    made["exclusions"]["sums"][0]["reason"] = HOSTILE
    made["provenance"]["hardware"]["processor"] = HOSTILE
    made["provenance"]["versions"]["torch"] = HOSTILE
    made["provenance"]["benchmarks"]["sums"]["traces"][0]["model"] = HOSTILE
    made["provenance"]["transfer"]["sums"]["calibration"] = HOSTILE
    made["mixture"]["proposal"]["sources"] = {
        f"{HOSTILE}{i}": each
        for i, each in enumerate(made["mixture"]["proposal"]["sources"].values())
    }
    shown = views(made, "dataselect run x.yaml")
    page = Page(shown["report.html"])
    assert {name for name, _ in page.elements} == plain
    assert not any(name.startswith("on") for _, each in page.elements for name in each)
    assert HOSTILE in page.text
    for name, svg in shown.items():
        assert not name.endswith(".svg") or "<script" not in svg


def test_a_report_with_hostile_ids_can_be_shown(full: Document, text: str) -> None:
    """Ids of a run are plain; a report.json from elsewhere may hold anything."""
    plain = {name for name, _ in Page(text).elements}
    text = json.dumps(full).replace('"good"', json.dumps(f"`{HOSTILE}`"))
    page = Page(rendered(json.loads(text)))
    assert {name for name, _ in page.elements} <= plain
    assert not any(name.startswith("on") for _, each in page.elements for name in each)


def test_the_same_document_gives_the_same_bytes(full: Document) -> None:
    once = views(full, "x")
    assert once == views(json.loads(json.dumps(full)), "x")
    # The files beside README.md are drawn on white, for whatever shows them.
    assert "fill: #ffffff" in once["plots/ranking.svg"]


def test_two_hundred_candidates_fit_into_a_page(make_selection: MakeSelection) -> None:
    made = document(make_selection(stage2=False))
    row, wins = made["candidates"][0], made["wins"]["stage1"]
    names = [f"candidate-{i}-of-a-team-with-a-long-name" for i in range(200)]
    made["candidates"] = [
        {**row, "id": name, "rank": i + 1, "status": "ranked" if i < 2 else "pruned"}
        for i, name in enumerate(names)
    ]
    made["wins"]["stage1"] = {a: dict.fromkeys(names, wins["good"]["fair"]) for a in names}
    drawn = draw_selection(made)
    text = report_html(made, "x", drawn)
    assert len(text) < 400_000
    assert "the first 40; 160 more in the table" in drawn["ranking"]
    assert paired(made)[1] == names[:12]
    assert "and 194 more" in selection_pictures(made)["ranking"].alt


def test_pairs_are_drawn_where_there_are_three(make_selection: MakeSelection) -> None:
    made = document(make_selection(stage2=False))
    assert list(selection_pictures(made)) == ["ranking", "pairs", "cost"]
    alt = selection_pictures(made)["pairs"].alt
    assert "neighbours in the ranking: good before fair > 0.99" in alt


def test_what_costs_nothing_has_no_bar(full: Document) -> None:
    assert list(cost_bars(full)) == [
        *("all 5 targets (N·Ct)", "one target (Ct)"),
        *("Stage 1 proxies", "Stage 2 proxies", "failed work"),
    ]


def test_electricity_names_its_assumptions(text: str) -> None:
    text = Page(text).text
    # 140 s of CPU cores at 10 W are 1400 J; 1.2e20 FLOPs at 4e14 a second and 700 W are 58 kWh.
    assert "about 0.39 Wh and 0.17 g of CO2" in text
    assert "would take about 58 kWh and 26 kg of CO2" in text
    for assumed in ("700 W", "10 W", "445 g of CO2 a kWh", "not counted"):
        assert assumed in text


def test_money_for_traces_is_named(full: Document) -> None:
    assert "No money was spent on an API" in "\n".join(sections(full)["Cost"])
    full["provenance"]["benchmarks"]["sums"]["traces"][0]["notes"] = {"usd": "3.1416"}
    assert "`sums` 3.14 US dollars to a/frontier\\_model" in "\n".join(sections(full)["Cost"])


def test_the_command_writes_the_same_files_again(
    make_selection: MakeSelection, tmp_path: Path
) -> None:
    out = tmp_path / "try"
    write_report(make_selection(), out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "report.html").write_text("gone")
    (out / "plots/pairs.svg").write_text("of an earlier report")
    ran = CliRunner().invoke(app, ["report", str(out)])
    assert ran.exit_code == 0, ran.output
    assert str(out / "report.html") in ran.stdout.split()
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {path: text for path, text in after.items() if path.name != ".lock"} == before


def test_a_report_of_before_there_were_fits_is_shown_without_them(
    full: Document, tmp_path: Path
) -> None:
    del full["fits"]
    (tmp_path / "report.json").write_text(json.dumps(full))
    assert tmp_path / "plots/ranking.svg" in rewrite(tmp_path)
    assert not (tmp_path / "plots/fits.svg").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no report of this version"),
        ("[]", "is no report of this version"),
        ('{"schema": 1}', "is no report of this version (KeyError: "),
        ('{"schema": 7}', "has schema 7"),
    ],
)
def test_what_is_no_report_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "report.json").write_text(text)
    ran = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert ran.exit_code == 2
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert not (tmp_path / "report.html").exists()


def test_a_number_beyond_floats_is_refused_in_a_line(full: dict[str, Any], tmp_path: Path) -> None:
    full["cost"]["flops"]["target"] = 10**400
    (tmp_path / "report.json").write_text(json.dumps(full))
    ran = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert ran.exit_code == 2
    assert "is no report of this version (ValueError: a whole number of 401 digits" in ran.stderr
