"""Pages and pictures of a mixture: content, escaping and reproducibility."""

import copy
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from made_mixture import CONFIRMED, SEARCH, made_document, made_model
from markdown_it import MarkdownIt

from dataselect.mixture.exports import EXPORTS
from dataselect.mixture.model import MixtureModel
from dataselect.mixture.trainers import TRAINERS
from dataselect.report import pictures as pictures_module
from dataselect.report.mixture.readme import mixture_readme
from dataselect.report.mixture.verdict import mixture_verdict, ranking_words
from dataselect.report.pictures import missing_pictures, pictures

HOSTILE = ("$\\frac{a}{$ <script>alert(1)</script>", 'a|b & "c"', "--> ]]> ![x](http://evil)")
FOREIGN = ("данные", "名前", "ü\u202e", "plain")
Made = tuple[MixtureModel, dict[str, Any]]


@pytest.fixture
def unrendered() -> None:
    """Pictures are what is looked at here."""


@pytest.fixture(scope="module")
def three() -> Made:
    """The document of a search, with malicious names."""
    model = made_model(HOSTILE)
    facts = {"search": SEARCH, "confirmed": CONFIRMED, "objective_unit": "standard deviations"}
    return model, made_document(model, **facts)


@pytest.fixture(scope="module")
def four() -> Made:
    model = made_model(FOREIGN)
    return model, made_document(model)


@pytest.fixture(scope="module")
def drawn(three: Made, four: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All pictures of both documents."""
    empty = tmp_path_factory.mktemp("none")
    found = {}
    for count, (model, document) in {"3": three, "4": four}.items():
        for file, text in missing_pictures(document, model.swarm.shares, empty).items():
            found[f"{count}/{file}"] = text
    return found


def test_three_sources_have_a_map_and_searches_their_course(drawn: dict[str, str]) -> None:
    assert {name for name in drawn if name.startswith("3/")} == {
        *("3/weights.svg", "3/map.svg", "3/slices.svg", "3/held-out.svg", "3/course.svg")
    }
    assert {name for name in drawn if name.startswith("4/")} == {
        *("4/weights.svg", "4/slices.svg", "4/held-out.svg")
    }


def test_pictures_are_plain_svg_that_runs_and_loads_nothing(drawn: dict[str, str]) -> None:
    for name, text in drawn.items():
        root = ET.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg", name
        for element in root.iter():
            assert not element.tag.endswith(("script", "foreignObject", "image")), name
            for key, value in element.attrib.items():
                assert not key.startswith("on"), name
                if key.endswith("href"):
                    assert value.startswith("#"), name
        assert "<dc:date>" not in text
        assert len(text) < 400_000


def test_the_same_content_gives_the_same_bytes(
    three: Made, drawn: dict[str, str], tmp_path: Path
) -> None:
    model, document = three
    for name in ("slices.svg", "weights.svg", "course.svg"):
        (tmp_path / name).write_text(drawn[f"3/{name}"])
    again = missing_pictures(copy.deepcopy(document), model.swarm.shares, tmp_path)
    assert again == {name: drawn[f"3/{name}"] for name in ("map.svg", "held-out.svg")}


def test_letters_that_are_no_shapes_here_are_left_to_the_readers_fonts(
    drawn: dict[str, str],
) -> None:
    texts = "".join(ET.fromstring(drawn["4/weights.svg"]).itertext())
    assert {"данные", "名前", "ü\\u202e"} <= set(re.split(r"\s*\n\s*", texts))
    assert "<text" not in drawn["3/weights.svg"]


def test_a_picture_that_is_there_is_not_drawn_again_until_its_content_changes(
    four: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, document = four
    runs = model.swarm.shares
    monkeypatch.setattr(
        "dataselect.report.pictures.draw.drawn", lambda *given: f"<!-- {given[3]} -->"
    )
    for file, text in missing_pictures(document, runs, tmp_path).items():
        (tmp_path / file).write_text(text)
    assert missing_pictures(document, runs, tmp_path) == {}
    assert missing_pictures({**document, "command": "another"}, runs, tmp_path) == {}
    (tmp_path / "slices.svg").unlink()
    assert set(missing_pictures(document, runs, tmp_path)) == {"slices.svg"}
    assert set(missing_pictures({**document, "confidence": 0.5}, runs, tmp_path)) == {
        each.file for each in pictures(document).values()
    }
    monkeypatch.setattr(pictures_module, "__version__", "another")
    assert missing_pictures(document, runs, tmp_path)


def test_what_draws_is_loaded_where_something_is_drawn() -> None:
    code = (
        "import sys, dataselect.report.mixture.readme, dataselect.report.pictures\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_slices_show_target_accuracy_where_it_was_predicted(
    four: Made, drawn: dict[str, str], tmp_path: Path
) -> None:
    model, document = four
    known = with_accuracy(document)
    found = missing_pictures(known, model.swarm.shares, tmp_path)
    assert found["slices.svg"] != drawn["4/slices.svg"]
    assert "target accuracy" in pictures(known)["slices"].alt
    page = mixture_readme(known, EXPORTS)
    assert "42.0 [40.0, 44.0]" in page
    assert "1.5 points" not in page
    assert "predicted gain over the best run 1.5 \\[0.5, 2.5\\] points of accuracy." in page


def with_accuracy(document: dict[str, Any]) -> dict[str, Any]:
    """The document as if of a search for accuracy."""
    level = {"value": 0.42, "low": 0.40, "high": 0.44, "extrapolated": False}
    gain = {"gain": 0.015, "gain_low": 0.005, "gain_high": 0.025}
    slices = {
        name: {
            "weight": each["slice"]["weight"],
            "value": [0.4 - 0.01 * at for at in each["slice"]["weight"]],
            "low": [0.38 - 0.01 * at for at in each["slice"]["weight"]],
            "high": [0.42 - 0.01 * at for at in each["slice"]["weight"]],
        }
        for name, each in document["sources"].items()
    }
    beside = {name: {**level, **gain} for name in document["beside"]}
    return {**document, "accuracy": {**level, "slices": slices, "beside": beside}}


def render(text: str) -> str:
    html: str = MarkdownIt("commonmark").enable("table").render(text)
    return html


def test_the_page_says_what_a_person_needs_who_was_handed_the_folder(three: Made) -> None:
    _, document = three
    text = mixture_readme(document, [*EXPORTS, "model.json"])
    headings = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        *("Response", "How well runs are predicted", "The search", "Files", "Do it again", "Notes")
    ]
    assert "measured 0.200 \\[0.100, 0.300\\] with 3 fresh seeds of each" in text
    assert "3.0e12 FLOPs, 0.01 of the target's training" in text
    assert f"    {document['command']}\n" in text
    assert "| `megatron.txt` | Megatron-LM" in text
    assert "| `model.json` | the fitted model" in text
    assert "metrics.csv` |" not in text
    html = render(text)
    assert html.count("<table>") == 4
    linked = set(re.findall(r'<img src="([^"]+)" alt="[^"]+', html))
    assert linked == {each.file for each in pictures(document).values()}


def test_names_that_mean_harm_stay_text_on_the_page(three: Made) -> None:
    html = render(mixture_readme(three[1], EXPORTS))
    assert "<script" not in html
    assert "evil" not in "".join(re.findall(r'(?:src|href)="([^"]*)"', html))
    assert len(re.findall(r"<tr>\s*<td[^>]*>\$\\frac", html)) == 1


def test_the_page_says_of_every_file_what_it_fits_and_weighs(three: Made) -> None:
    page = mixture_readme(three[1], EXPORTS)
    for file in EXPORTS:
        assert f"| `{file}` |" in page
    for each in TRAINERS.values():
        assert each.reader in page
    assert "nanotron's repository as of" in page
    assert "a weight is a share of" not in mixture_readme(three[1], ["weights.json"])


def test_the_verdict_says_when_a_gain_may_be_nothing(four: Made) -> None:
    document = copy.deepcopy(four[1])
    best = document["beside"]["best run"]
    best |= {"gain": 0.1, "gain_low": 0.05, "gain_high": 0.15}
    assert mixture_verdict(document).endswith("over the best run 0.100 [0.0500, 0.150].")
    best["gain_low"] = -0.05
    assert mixture_verdict(document).endswith("[−0.0500, 0.150], which may be nothing.")
    one = {**CONFIRMED, "seeds": 1, "objective": {"value": 0.2, "low": None, "high": None}}
    told = mixture_verdict({**document, "confirmed": one})
    assert told.endswith("measured 0.200 with 1 fresh seed of each, which may be nothing.")
    shares = sorted((each["weight"] for each in document["sources"].values()), reverse=True)
    assert told.startswith(f"{100 * shares[0]:.1f}% данные, ")


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.1, 0.3, "ahead by 0.20 [0.10, 0.30]."),
        (-0.1, 0.3, "not shown"),
        (-0.3, -0.1, "alone ranks"),
    ],
)
def test_a_model_is_told_from_more_of_one_source(
    four: Made, low: float, high: float, told: str
) -> None:
    found = copy.deepcopy(four[1]["held_out"]["rank_correlation"])
    found["ahead"] = {"value": (low + high) / 2, "low": low, "high": high}
    assert told in ranking_words(found)
