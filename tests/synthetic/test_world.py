"""The genres of the synthetic world: what each shows, and what none ever shows."""

import hashlib
import re
from itertools import islice, pairwise

import pytest

from dataselect.synthetic.problems import LARGEST, Problem
from dataselect.synthetic.world import (
    ANSWER_CUE,
    GENRES,
    HELD_OUT_SHARE,
    VERSION,
    benchmark_problems,
    documents,
    is_held_out,
)

DOCUMENTS = 3000
SOLVED = re.compile(
    rf"Question: (?P<prompt>.*\?)\nAnswer: (?P<work>.*){ANSWER_CUE} (?P<answer>\d+)\."
)
NOTED = re.compile(r"Task: (?P<prompt>.*\?)\nNotes: (?P<work>.*) ; result (?P<answer>\d+)\.")
EQUATION = re.compile(r"(-?\d+) ([-+*/]) (-?\d+) (?:=|->) (-?\d+)")
STORIES = {"worked": SOLVED, "wrong": SOLVED, "answers": SOLVED, "notes": NOTED}


@pytest.fixture(scope="module")
def streams() -> dict[str, list[str]]:
    return {genre: list(islice(documents(genre, 0), DOCUMENTS)) for genre in GENRES}


FIRST_200 = {
    "worked": "84095ffdfc4cc234",
    "wrong": "ceb6cf3dc7d8b04f",
    "answers": "d706df12db23a0b3",
    "notes": "c474bd0727ce193e",
    "drills": "9e58ba0781a1b1e6",
    "narrative": "61a11de699ac0f50",
    "boilerplate": "400ff29c7f42e6c1",
}
"""Of the SHA-256 of each stream's first documents: what was measured on them is kept."""


@pytest.mark.parametrize("genre", GENRES)
def test_no_stream_of_version_1_has_changed(streams: dict[str, list[str]], genre: str) -> None:
    text = "\n".join(streams[genre][:200])
    assert VERSION == 1
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == FIRST_200[genre]


def parsed(genre: str, text: str) -> re.Match[str]:
    found = STORIES[genre].fullmatch(text)
    assert found is not None, text
    return found


def problem(prompt: str) -> Problem:
    """One that shows this prompt."""
    story, _, rest = prompt.rpartition(" ")
    return Problem(story, rest, ())


def equations(text: str) -> list[tuple[int, str, int, int]]:
    return [(int(a), symbol, int(b), int(r)) for a, symbol, b, r in EQUATION.findall(text)]


def is_right(a: int, symbol: str, b: int, result: int) -> bool:
    # Multiplied out, so that a division is compared exactly and by zero is wrong.
    if symbol == "/":
        return b != 0 and a == result * b
    return result == {"+": a + b, "-": a - b, "*": a * b}[symbol]


@pytest.mark.parametrize("genre", GENRES)
def test_a_stream_is_the_genre_s_and_the_seed_s(streams: dict[str, list[str]], genre: str) -> None:
    assert list(islice(documents(genre, 0), 300)) == streams[genre][:300]
    other = list(islice(documents(genre, 1), 300))
    assert not set(other) & set(streams[genre][:300])


def test_streams_of_two_genres_have_no_story_in_common(streams: dict[str, list[str]]) -> None:
    # Not only other wordings of the same stories: the genres would not be independent texts.
    seen: dict[str, str] = {}
    for genre in STORIES:
        for text in streams[genre]:
            assert seen.setdefault(parsed(genre, text)["prompt"], genre) == genre


def test_an_unknown_genre_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        next(documents("poetry", 0))


@pytest.mark.parametrize("genre", ["worked", "notes"])
def test_worked_reasoning_is_right(streams: dict[str, list[str]], genre: str) -> None:
    for text in streams[genre]:
        found = parsed(genre, text)
        steps = equations(found["work"])
        assert 2 <= len(steps) <= 4
        assert all(is_right(*step) for step in steps), text
        assert steps[-1][3] == int(found["answer"])


def test_wrong_reasoning_is_wrong_and_its_slips_carry_on(streams: dict[str, list[str]]) -> None:
    right = total = 0
    for text in streams["wrong"]:
        found = parsed("wrong", text)
        steps = equations(found["work"])
        assert 2 <= len(steps) <= 4
        for before, after in pairwise(steps):
            assert before[3] in (after[0], after[2]), text
        assert steps[-1][3] == int(found["answer"])
        assert all(0 <= step[3] <= LARGEST for step in steps)
        right += sum(is_right(*step) for step in steps)
        total += len(steps)
        assert not all(is_right(*step) for step in steps), text
    # A slip that is cut at the ends of the number range can be none.
    assert right / total < 0.02


def test_wrong_reasoning_looks_like_worked_reasoning(streams: dict[str, list[str]]) -> None:
    def words(genre: str) -> set[str]:
        return set(re.findall(r"[A-Za-z]+", "\n".join(streams[genre])))

    assert words("wrong") == words("worked")


def test_answers_come_without_reasoning(streams: dict[str, list[str]]) -> None:
    for text in streams["answers"]:
        assert parsed("answers", text)["work"] == ""
        assert "=" not in text


def test_drills_are_right_arithmetic_without_a_story(streams: dict[str, list[str]]) -> None:
    for text in streams["drills"]:
        steps = equations(text)
        assert 8 <= len(steps) <= 16
        assert text == " ".join(f"{a} {s} {b} = {r}." for a, s, b, r in steps)
        for step in steps:
            assert is_right(*step), text
            assert all(0 <= number <= LARGEST for number in (step[0], step[2], step[3])), text


@pytest.mark.parametrize("genre", ["narrative", "boilerplate"])
def test_other_text_shows_no_problem_and_no_arithmetic(
    streams: dict[str, list[str]], genre: str
) -> None:
    for text in streams[genre]:
        assert not equations(text)
        assert not re.search(r"Question:|Answer:|Notes:|How many|answer is", text)
    assert len(set(streams[genre])) > 0.99 * DOCUMENTS


def test_narrative_tells_of_the_same_people_and_things_as_the_stories(
    streams: dict[str, list[str]],
) -> None:
    words = [set(re.findall(r"[A-Za-z]+", "\n".join(streams[g]))) for g in ("narrative", "worked")]
    assert len(words[0] & words[1]) > 0.8 * len(words[0])


def test_no_genre_ever_shows_a_held_out_problem(streams: dict[str, list[str]]) -> None:
    for genre in STORIES:
        for text in streams[genre]:
            assert not is_held_out(problem(parsed(genre, text)["prompt"])), text


def test_no_benchmark_problem_is_in_any_stream(streams: dict[str, list[str]]) -> None:
    everything = "\n".join("\n".join(texts) for texts in streams.values())
    told = set(re.findall(r"(?:Question|Task): (.*)\n", everything))
    assert len(told) > 3.9 * DOCUMENTS
    assert not told & {each.prompt for each in benchmark_problems(0, (2, 3, 4), 300)}


def test_benchmark_problems_are_unique_held_out_and_of_the_steps_asked_for() -> None:
    problems = benchmark_problems(0, (3, 4), 200)
    assert len({each.prompt for each in problems}) == len(problems) == 200
    assert all(is_held_out(each) for each in problems)
    assert {len(each.steps) for each in problems} == {3, 4}
    assert all(0 <= each.answer <= LARGEST for each in problems)
    assert benchmark_problems(0, (3, 4), 100) == problems[:100]
    assert not set(benchmark_problems(1, (3, 4), 100)) & set(problems)


def test_one_story_in_fifty_is_held_out() -> None:
    held = sum(is_held_out(problem(f"story {n}")) for n in range(20_000))
    assert held / 20_000 == pytest.approx(1 / HELD_OUT_SHARE, rel=0.15)
