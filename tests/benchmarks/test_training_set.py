"""Training sets: which benchmarks have one, and that nothing of the benchmark is in it."""

import json
from pathlib import Path

import pytest

from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.load import load_benchmark
from dataselect.benchmarks.own import load_definition
from dataselect.benchmarks.training_set import load_training_set, without_examples
from dataselect.errors import InputError

SHARED = Path(__file__).parents[3] / "shared/data/benchmarks"
shared = pytest.mark.skipif(not SHARED.exists(), reason="needs the shared benchmark files")


def write(path: Path, rows: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def own(folder: Path, more: str = "training_set: true\nshots: train.jsonl\n") -> Path:
    rows = [{"id": f"{n}", "question": f"What is {n}?", "answer": str(n)} for n in range(9)]
    write(folder / "test.jsonl", rows[:3])
    write(folder / "train.jsonl", [{**row, "id": f"t{row['id']}"} for row in rows])
    path = folder / "own.yaml"
    path.write_text(f"name: own\nitems: test.jsonl\n{more}")
    return path


def test_the_shots_of_an_own_benchmark_may_be_a_training_set_without_its_items(
    tmp_path: Path,
) -> None:
    definition = load_definition(str(own(tmp_path)), Path())
    benchmark, _, _ = load_benchmark(definition)
    training = load_training_set(definition, benchmark, None)
    assert [item.id for item in training.items] == [f"t{n}" for n in range(3, 9)]
    assert (training.prompt, training.label) == (benchmark.prompt, benchmark.label)
    assert training.context(training.items[0]) == "Question: What is 3?\nAnswer:"
    assert without_examples(benchmark).context(benchmark.items[0]).count("Question") == 1


def test_shots_are_no_training_set_by_default(tmp_path: Path) -> None:
    definition = load_definition(str(own(tmp_path, "shots: train.jsonl\n")), Path())
    benchmark, _, _ = load_benchmark(definition)
    with pytest.raises(InputError, match="own: it has no training set to fine-tune on"):
        load_training_set(definition, benchmark, None)


def test_items_cannot_be_their_own_training_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"own\.yaml:\d+.*training_set.*its own rows"):
        load_definition(str(own(tmp_path, "training_set: true\nshots: items\n")), Path())


def test_four_of_the_six_have_one() -> None:
    having = {name for name, definition in KNOWN.items() if definition.training_set}
    assert having == {"gsm8k", "math500", "arc_challenge", "commonsense_qa"}


@shared
def test_those_that_have_none_or_lack_its_file_are_refused_by_name() -> None:
    for name, reason in (
        ("mmlu_pro_stem", "no training set"),
        ("humaneval", "no training set"),
        ("math500", "its training set is not in"),
    ):
        benchmark, _, _ = load_benchmark(KNOWN[name], SHARED, limit=2)
        with pytest.raises(InputError, match=f"{name}: .*{reason}"):
            load_training_set(KNOWN[name], benchmark, SHARED)


@shared
def test_the_training_set_of_arc_is_its_train_split() -> None:
    benchmark, _, _ = load_benchmark(KNOWN["arc_challenge"], SHARED, limit=2)
    training = load_training_set(KNOWN["arc_challenge"], benchmark, SHARED)
    assert 1100 < len(training.items) <= 1119
    first = training.items[0]
    assert training.label_text(first) == f" {first.answer}"
    assert training.context(first).endswith("D. palms covered with lotion\nAnswer:")
