"""What may not change a selection, and what changes it in a known way.

Whole runs over checkpoints that exist, each with a store of its own, so that nothing agrees because
it was read from the other run's store.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scored_models import evaluation, questions, traces_for
from selections import Document, order, select, stage1, write_benchmark
from zoo import write_model

MODELS = ("ant", "bee", "cat")
WORLDS = {
    "bytes-bos": ("llama", "gpt2", "qwen3"),
    "sentencepiece": ("mistral", "gpt_neox", "gemma2"),
}
"""By tokenizer, which candidates share, their architectures."""
Entry = Mapping[str, str]


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three models of three architectures with one tokenizer."""
    folder = tmp_path_factory.mktemp("world")
    for seed, (name, kind) in enumerate(zip(MODELS, WORLDS[request.param], strict=True)):
        write_model(folder / name, kind, request.param, seed=seed)
    return folder


@pytest.fixture(scope="module")
def entry(world: Path) -> Entry:
    return write_benchmark(world, questions(), evaluation().traces[0])


@pytest.fixture(scope="module")
def other(world: Path) -> Entry:
    """Another benchmark, whose items have nothing to do with those of the first."""
    benchmark = questions()
    items = tuple(
        replace(item, id=f"o{n}", question=f"Name a letter. {n}", rationale=f"{n * 'x'} is one.")
        for n, item in enumerate(benchmark.items)
    )
    changed = replace(benchmark, id="other", items=items)
    return write_benchmark(world, changed, traces_for(changed, seed=1))


def folders(world: Path, names: Sequence[str] = MODELS) -> dict[str, str]:
    return {name: str(world / name) for name in names}


@pytest.fixture(scope="module")
def plain(world: Path, entry: Entry) -> Document:
    return select(world, folders(world), [entry])


def by_id(made: Document) -> dict[str, Any]:
    """Everything that is said of each candidate in Stage 1."""
    return {each["id"]: each["stage1"] for each in made["candidates"]}


def assert_alike(one: Any, two: Any, tolerance: float = 1e-9) -> None:
    """Equal in form, and in numbers up to the tolerance."""
    if isinstance(one, dict):
        assert set(one) == set(two)
        for key in one:
            assert_alike(one[key], two[key], tolerance)
    elif isinstance(one, list):
        assert len(one) == len(two)
        for each in zip(one, two, strict=True):
            assert_alike(*each, tolerance)
    elif isinstance(one, float):
        assert two == pytest.approx(one, abs=tolerance)
    else:
        assert one == two


def test_the_models_differ(plain: Document) -> None:
    scores = [each["probe"] for each in stage1(plain).values()]
    assert len({round(each, 3) for each in scores}) == len(MODELS)
    assert len(order(plain)) == len(MODELS)


@pytest.mark.parametrize(("doubled", "aggregate"), [("ant", "z_score"), ("bee", "mean_rank")])
def test_a_duplicate_candidate_ties_with_itself(
    world: Path, entry: Entry, doubled: str, aggregate: str
) -> None:
    models = {**folders(world), "again": str(world / doubled)}
    made = select(world, models, [entry], aggregate=aggregate)
    stages = by_id(made)
    assert_alike(stages["again"], stages[doubled], 0)
    assert made["wins"]["stage1"]["again"][doubled] == 0.5
    places = [order(made).index(name) for name in ("again", doubled)]
    assert abs(places[0] - places[1]) == 1


@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_candidates_changes_nothing(
    world: Path, entry: Entry, plain: Document, seed: int
) -> None:
    names = random.Random(seed).sample(MODELS, len(MODELS))
    made = select(world, folders(world, names), [entry])
    assert order(made) == order(plain)
    assert_alike(by_id(made), by_id(plain))


def test_other_names_of_candidates_change_nothing_but_the_names(
    world: Path, entry: Entry, plain: Document
) -> None:
    names = dict(zip(MODELS, ["zebra", "yak", "wolf"], strict=True))
    models = {names[name]: folder for name, folder in folders(world).items()}
    made = select(world, models, [entry])
    assert order(made) == [names[name] for name in order(plain)]
    assert_alike(by_id(made), {names[name]: each for name, each in by_id(plain).items()})


def test_another_name_of_a_folder_changes_nothing(
    world: Path, entry: Entry, plain: Document, tmp_path: Path
) -> None:
    for name in MODELS:
        (tmp_path / f"{name} (copy)").symlink_to(world / name)
    made = select(world, {name: str(tmp_path / f"{name} (copy)") for name in MODELS}, [entry])
    assert order(made) == order(plain)
    assert_alike(stage1(made), stage1(plain))


@pytest.mark.parametrize("gone", MODELS)
def test_a_model_less_changes_no_score_of_another(
    world: Path, entry: Entry, plain: Document, gone: str
) -> None:
    left = [name for name in MODELS if name != gone]
    made = select(world, folders(world, left), [entry])
    assert_alike(stage1(made), {name: stage1(plain)[name] for name in left})
    # Two candidates are compared on their items alone, so their order stays as well.
    assert order(made) == [name for name in order(plain) if name != gone]


@pytest.mark.parametrize("seed", [3])
def test_the_order_of_items_and_traces_changes_no_score(
    world: Path, plain: Document, tmp_path: Path, seed: int
) -> None:
    entry = write_benchmark(tmp_path, questions(), evaluation().traces[0])
    for name in ("probe.jsonl", "probe.traces.jsonl"):
        lines = (tmp_path / name).read_text().splitlines()
        head = lines[: name == "probe.traces.jsonl"]
        rows = lines[len(head) :]
        random.Random(seed).shuffle(rows)
        (tmp_path / name).write_text("\n".join([*head, *rows]) + "\n")
    made = select(tmp_path, folders(world), [entry])
    assert order(made) == order(plain)
    assert_alike(stage1(made), stage1(plain))


def test_keys_of_a_row_in_another_order_change_nothing(
    world: Path, plain: Document, tmp_path: Path
) -> None:
    entry = write_benchmark(tmp_path, questions(), evaluation().traces[0])
    for name in ("probe.jsonl", "probe.traces.jsonl"):
        rows = [json.loads(line) for line in (tmp_path / name).read_text().splitlines()]
        turned = [json.dumps(dict(reversed(row.items())), ensure_ascii=False) for row in rows]
        (tmp_path / name).write_text("\n".join(turned) + "\n\n")
    made = select(tmp_path, folders(world), [entry])
    assert_alike(by_id(made), by_id(plain))


def test_an_unrelated_benchmark_changes_no_score_on_the_first_nor_does_their_order(
    world: Path, entry: Entry, other: Entry, plain: Document
) -> None:
    one = select(world, folders(world), [entry, other])
    two = select(world, folders(world), [other, entry])
    assert order(one) == order(two)
    assert_alike(by_id(one), by_id(two))
    for name, scores in stage1(one).items():
        assert scores["probe"] == pytest.approx(stage1(plain)[name]["probe"], abs=1e-9)


@pytest.mark.parametrize("cut", [1])
def test_a_benchmark_in_two_parts_has_the_mean_of_the_whole(
    world: Path, plain: Document, tmp_path: Path, cut: int
) -> None:
    whole = questions()
    parts = [
        replace(whole, id=name, items=items)
        for name, items in (("first", whole.items[:cut]), ("rest", whole.items[cut:]))
    ]
    by_item = evaluation().traces[0].traces
    entries = []
    for part in parts:
        made_for = traces_for(part)
        traces = {item.id: by_item[item.id] for item in part.items}
        entries.append(write_benchmark(tmp_path, part, replace(made_for, traces=traces)))
    made = stage1(select(tmp_path, folders(world), entries))
    count = len(whole.items)
    for name, scores in made.items():
        joined = (cut * scores["first"] + (count - cut) * scores["rest"]) / count
        assert joined == pytest.approx(stage1(plain)[name]["probe"], abs=1e-9)


def test_the_same_run_again_from_its_store_says_the_same(
    world: Path, entry: Entry, plain: Document, tmp_path: Path
) -> None:
    first = select(world, folders(world), [entry], store=tmp_path / "store")
    again = select(world, folders(world), [entry], store=tmp_path / "store")
    for made in (first, again):
        assert order(made) == order(plain)
        assert_alike(by_id(made), by_id(plain))


def test_a_store_that_others_have_used_changes_nothing(
    world: Path, entry: Entry, other: Entry, plain: Document, tmp_path: Path
) -> None:
    select(world, folders(world, ["cat", "ant"]), [other, entry], store=tmp_path / "store")
    made = select(world, folders(world), [entry], store=tmp_path / "store")
    assert order(made) == order(plain)
    assert_alike(by_id(made), by_id(plain))
