"""One thing spoilt in what is read: it is found, or every number stays as it was.

A few hundred of the mutations of which benchmarks/reliability runs thousands, the same ones each
time. The only numbers that may change are those of files that are as valid as before
(`checkpoint_mutations.ONLY_THE_CONFIG_KNOWS`, `table_mutations.AS_VALID`).
"""

from pathlib import Path

import pytest
from checkpoint_mutations import ONLY_THE_CONFIG_KNOWS, may_change
from mutation_campaigns import checkpoints, manifests, tables
from mutation_outcomes import CHANGED, FOUND, UNCHANGED, WRONG, Tally, judge
from mutations import Mutation

from dataselect.errors import IncompleteError, InputError, LockedError

PARTS = {
    "llama-gpt2-qwen2": ("llama", "gpt2", "qwen2"),
    "gemma2-bloom-olmo2": ("gemma2", "bloom", "olmo2"),
    "mistral-gpt_neox-qwen3-phi": ("mistral", "gpt_neox", "qwen3", "phi"),
}


@pytest.mark.parametrize("part", PARTS)
def test_a_spoilt_checkpoint_is_refused_in_a_line_or_scores_as_before(
    part: str, tmp_path: Path
) -> None:
    tally = checkpoints(tmp_path, range(40), 0, PARTS[part], ("scores",))
    assert tally.wrong == []
    assert_not_trivial(tally, 40)


def test_a_spoilt_table_item_trace_or_result_is_refused_or_said_or_changes_nothing(
    tmp_path: Path,
) -> None:
    tally = tables(tmp_path, range(180), 0)
    assert tally.wrong == []
    assert_not_trivial(tally, 180)


def test_a_spoilt_manifest_or_plan_is_refused_in_a_line_or_says_the_same(tmp_path: Path) -> None:
    tally = manifests(tmp_path, range(200), 0)
    assert tally.wrong == []
    assert tally.by_outcome()[FOUND] > 60


def assert_not_trivial(tally: Tally, count: int) -> None:
    """Some were found, and some changed nothing: the judge says both."""
    found = tally.by_outcome()
    assert tally.total == count
    assert found[FOUND] > count / 10
    assert found[UNCHANGED] > count / 10


# The judge ---------------------------------------------------------------------------------------


def same(_: object) -> list[str]:
    return []


def other(_: object) -> list[str]:
    return ["rbridge"]


def raising(error: BaseException) -> object:
    raise error


def test_the_judge_knows_a_line_from_a_traceback() -> None:
    line = InputError("file", "it is damaged", "get it again")
    assert judge(lambda: raising(line), same, False)[0] == FOUND
    assert judge(lambda: raising(IncompleteError("one failed")), same, False)[0] == FOUND
    assert judge(lambda: raising(LockedError("locked")), same, False)[0] == WRONG
    for error in (ValueError("x"), KeyError("x"), MemoryError(), SystemExit(0)):
        assert judge(lambda error=error: raising(error), same, True)[0] == WRONG  # type: ignore[misc]


def test_the_judge_lets_numbers_change_only_where_they_may() -> None:
    assert judge(lambda: 1, same, False)[0] == UNCHANGED
    assert judge(lambda: 1, other, False)[0] == WRONG
    assert judge(lambda: 1, other, True)[0] == CHANGED
    assert judge(lambda: 1, other, frozenset({"ted"}))[0] == WRONG
    assert judge(lambda: 1, other, frozenset({"rbridge", "ted"}))[0] == CHANGED
    assert judge(lambda: 1, other, False, lambda _: True)[0] == FOUND


def test_what_the_judge_does_not_wait_for_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mutation_outcomes.SECONDS", 1)

    def endless() -> object:
        while True:
            pass

    assert judge(endless, same, True) == (WRONG, "TooSlowError: nothing after 1 s")


def test_only_values_that_nothing_contradicts_may_change_a_score() -> None:
    """Shapes, counts, names and ties are in the weights as well."""
    checked = ("hidden_size", "vocab_size", "num_hidden_layers", "intermediate_size", "n_layer")
    assert not set(ONLY_THE_CONFIG_KNOWS) & {*checked, "tie_word_embeddings", "model_type"}
    assert all(ONLY_THE_CONFIG_KNOWS.values())
    assert not may_change(Mutation("config", "removed", "num_hidden_layers", {}))
    assert may_change(Mutation("config", "removed", "rms_norm_eps", {}))
    assert not may_change(Mutation("weights", "dropped", "model.norm.weight", {}))
