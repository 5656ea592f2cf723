"""Suggestions name what is really near."""

import pytest

from dataselect.wording import natural, nearest

PILE = [
    f"train_the_pile_{name}"
    for name in ("arxiv", "freelaw", "github", "wikipedia_en", "pubmed_central", "stackexchange")
]


@pytest.mark.parametrize(
    ("name", "choices", "found"),
    [
        ("train_the_pile_books3", PILE, None),
        ("train_the_pile_openwebtext", PILE, None),
        ("train_the_pile_arxvi", PILE, "train_the_pile_arxiv"),
        ("arxiv", PILE, "train_the_pile_arxiv"),
        ("train_the_pile_wiki", PILE, "train_the_pile_wikipedia_en"),
        ("ArXiv", ["arxiv", "web"], "arxiv"),
        ("books_loss", ["web_loss", "code_loss", "wiki_loss"], None),
        ("cod_loss", ["web_loss", "code_loss", "wiki_loss"], "code_loss"),
        ("books", ["web", "code", "wiki"], None),
        ("wik", ["web", "code", "wiki"], "wiki"),
        ("mian", ["main"], "main"),
        ("x", [], None),
    ],
)
def test_only_a_near_name_is_suggested(name: str, choices: list[str], found: str | None) -> None:
    assert nearest(name, choices) == ("" if found is None else f"did you mean '{found}'?")


def test_names_are_sorted_as_people_do() -> None:
    names = ["r10", "r2", "a", "r2b", "r02", "2", "10", ""]
    assert sorted(names, key=natural) == ["", "2", "10", "a", "r02", "r2", "r2b", "r10"]
