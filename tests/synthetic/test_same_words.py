"""Genres with the same words: equal counts, other truth."""

import re
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.decisions.target_agreement import read_target_accuracy
from dataselect.synthetic import genres, same_words, world
from dataselect.synthetic.problems import Problem
from dataselect.synthetic.same_words import BATCH, GENRES, LARGEST, documents, make_problem
from dataselect.synthetic.world import is_held_out

DOCUMENT = re.compile(
    r"Question: (?P<prompt>.*\?)\nAnswer: (?P<work>.*) The answer is (?P<answer>\d+)\."
)
EQUATION = re.compile(r"(\d+) ([-+*]) (\d+) = (\d+)")
EXACT: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


@pytest.fixture(scope="module")
def problems() -> list[Problem]:
    return same_words.batch(Random(0))


@pytest.fixture(scope="module")
def batches(problems: list[Problem]) -> dict[str, list[str]]:
    return {genre: write(problems, Random(1)) for genre, write in GENRES.items()}


def words(texts: list[str]) -> Counter[str]:
    return Counter(word for text in texts for word in re.findall(r" ?\w+| ?[^\w\s]|\n", text))


def equations(text: str) -> list[tuple[int, str, int, int]]:
    return [(int(a), symbol, int(b), int(r)) for a, symbol, b, r in EQUATION.findall(text)]


def is_right(a: int, symbol: str, b: int, result: int) -> bool:
    return EXACT[symbol](a, b) == result


def asked(text: str) -> str:
    return text.partition("\n")[0]


@pytest.mark.parametrize("genre", GENRES)
def test_a_batch_has_the_same_words_equally_often_in_every_genre(
    batches: dict[str, list[str]], genre: str
) -> None:
    assert words(batches[genre]) == words(batches["right-steps"])
    assert len(batches[genre]) == BATCH


@pytest.mark.parametrize("genre", GENRES)
def test_no_genre_changes_a_question(batches: dict[str, list[str]], genre: str) -> None:
    assert Counter(map(asked, batches[genre])) == Counter(map(asked, batches["right-steps"]))


@pytest.mark.parametrize("genre", [genre for genre in GENRES if genre != "right-steps"])
def test_documents_differ_from_the_right_ones(batches: dict[str, list[str]], genre: str) -> None:
    if genre == "few-stories":
        assert sorted(batches[genre]) == sorted(batches["right-steps"])
        return
    same = set(batches[genre]) & set(batches["right-steps"])
    # Of six orders of three sentences one is right; elsewhere two stories may just look alike.
    assert len(same) < (0.25 if genre == "shuffled-steps" else 0.1) * BATCH


@pytest.mark.parametrize("genre", ["right-steps", "other-numbers", "other-solutions"])
def test_arithmetic_is_right_wherever_results_are_not_moved(
    batches: dict[str, list[str]], genre: str
) -> None:
    for text in batches[genre]:
        found = DOCUMENT.fullmatch(text)
        assert found is not None, text
        first, second = equations(found["work"])
        assert is_right(*first), text
        assert is_right(*second), text
        assert second[0] == first[3]
        assert int(found["answer"]) == second[3]


def test_slipped_results_are_mostly_wrong_and_carry_on(batches: dict[str, list[str]]) -> None:
    right = 0
    for text in batches["slipped-results"]:
        found = DOCUMENT.fullmatch(text)
        assert found is not None, text
        first, second = equations(found["work"])
        assert second[0] == first[3]
        assert int(found["answer"]) == second[3]
        right += is_right(*first) + is_right(*second)
    # One in about twelve results is that of another story by chance.
    assert right < 0.2 * 2 * BATCH


def test_other_numbers_tell_of_the_same_things_with_the_same_operations(
    batches: dict[str, list[str]],
) -> None:
    right, other = batches["right-steps"], batches["other-numbers"]
    assert [re.sub(r"\d+", "N", text.partition("Answer")[2]) for text in other] == [
        re.sub(r"\d+", "N", text.partition("Answer")[2]) for text in right
    ]


def test_shuffled_steps_keep_the_sentences(batches: dict[str, list[str]]) -> None:
    orders = Counter[tuple[int, ...]]()
    for right, shuffled in zip(batches["right-steps"], batches["shuffled-steps"], strict=True):
        ours = sentences(shuffled)
        assert sorted(ours) == sorted(sentences(right))
        orders[tuple(map(ours.index, sentences(right)))] += 1
    assert len(orders) == 6
    assert max(orders.values()) < 0.25 * BATCH


def sentences(text: str) -> list[str]:
    return re.findall(r"[^.]+\.", text.partition("Answer:")[2])


def test_few_stories_come_again_and_all_other_genres_go_on() -> None:
    for genre in GENRES:
        first, second = _two_batches(genre)
        assert (sorted(first) == sorted(second)) == (genre == "few-stories")
    first, second = _two_batches("few-stories")
    assert first != second


def _two_batches(genre: str) -> tuple[list[str], list[str]]:
    texts = list(islice(documents(genre, 0), 2 * BATCH))
    return texts[:BATCH], texts[BATCH:]


@pytest.mark.parametrize("genre", GENRES)
def test_a_stream_is_the_genre_s_and_the_seed_s(genre: str) -> None:
    assert list(islice(documents(genre, 0), 50)) == list(islice(documents(genre, 0), 50))
    stories = set(map(asked, islice(documents(genre, 0), BATCH)))
    assert len(stories & set(map(asked, islice(documents(genre, 1), BATCH)))) < 5
    others = [each for each in GENRES if each != genre]
    for other in others:
        assert len(stories & set(map(asked, islice(documents(other, 0), BATCH)))) < 5


def test_numbers_stay_within_the_world_and_all_operations_occur() -> None:
    rng, symbols = Random(0), Counter[str]()
    for _ in range(2000):
        problem = make_problem(rng)
        results = problem.results(lambda exact: exact)
        assert all(1 <= result <= LARGEST for result in results)
        assert problem.prompt.endswith("?")
        symbols.update(step.symbol for step in problem.steps)
    assert min(symbols.values()) > 500


@pytest.mark.parametrize("genre", GENRES)
def test_no_genre_shows_a_held_out_story(genre: str) -> None:
    for text in islice(documents(genre, 0), 2 * BATCH):
        prompt = asked(text).removeprefix("Question: ")
        story, _, question = prompt.rpartition(". ")
        assert not is_held_out(Problem(f"{story}.", question, ()))


def test_benchmark_stories_are_different_and_held_out() -> None:
    problems = same_words.benchmark_problems(1, 100)
    assert len({each.prompt for each in problems}) == 100
    assert all(map(is_held_out, problems))
    assert same_words.benchmark_problems(1, 50) == problems[:50]


def test_all_genres_are_found_by_name_and_the_old_ones_as_they_were() -> None:
    assert (*world.GENRES, *GENRES) == genres.names()
    assert next(genres.documents("worked", 0)) == next(world.documents("worked", 0))
    assert next(genres.documents("right-steps", 0)) == next(documents("right-steps", 0))
    assert genres.version("worked") == world.VERSION
    assert genres.version("right-steps") == same_words.VERSION
    with pytest.raises(KeyError):
        next(genres.documents("poetry", 0))


def test_the_example_knows_the_target_accuracy_of_all_its_candidates() -> None:
    folder = Path(__file__).parents[2] / "candidates"
    manifest = load_manifest(folder / "same-words.yaml")
    names = {source.name for source in manifest.text_sources().values()}
    assert names == set(GENRES)
    truth = read_target_accuracy(folder / "same-words" / "target_accuracy.csv")
    assert set(truth) == {candidate.id for candidate in manifest.candidates}
    assert load_plan("same-words", folder).benchmarks[0].id == "stories-tiny"
