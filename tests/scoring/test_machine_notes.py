"""The note on kinds of machines: what differs, who is affected, what it is worth, what mends it."""

from dataclasses import replace

import pytest

from dataselect.compute.machine import NO_TORCH, Machine
from dataselect.scoring.machine_notes import WORTH, by_kind, scoring_note, training_note

WIDE = Machine(
    device="cpu",
    architecture="x86_64",
    processor="AuthenticAMD AVX512",
    instructions="AVX512",
    libraries="MKL",
    torch="2.13.0+cpu",
    settings="",
)
NARROW = replace(WIDE, instructions="AVX2", processor="GenuineIntel AVX2")
OLD = Machine.read({"torch": WIDE.torch, "grouping": "alone"})


def test_one_kind_needs_no_note() -> None:
    assert training_note({}) is None
    assert training_note({"a": (WIDE,), "b": (WIDE, WIDE), "elsewhere": ()}) is None
    assert scoring_note({"a": (WIDE,), "b": (WIDE,)}) is None
    # An old store in which nothing is recorded: there is nothing to tell kinds by.
    assert training_note({"a": (OLD,), "b": (OLD,)}) is None


def test_models_scored_with_and_without_torch_are_not_told_apart() -> None:
    tiny = replace(WIDE, libraries="compiled by numba 0.62.1", torch=NO_TORCH)
    assert scoring_note({"4M": (tiny,), "1B": (WIDE,), "4M with answers": (tiny, WIDE)}) is None
    note = scoring_note({"4M": (tiny,), "1B": (WIDE,), "6M": (replace(tiny, instructions="AVX2"),)})
    assert note is not None
    assert "(instructions AVX512: 4M; instructions AVX2: 6M)" in note


def test_the_note_names_what_differs_and_who_is_affected() -> None:
    note = training_note({"web": (NARROW,), "a": (WIDE,), "b": (WIDE,), "given": ()})
    assert note is not None
    assert "processor AuthenticAMD AVX512, instructions AVX512: a, b; " in note
    assert "processor GenuineIntel AVX2, instructions AVX2: web)" in note
    assert "given" not in note
    assert "torch" not in note, "it is the same"
    assert WORTH in note
    assert "--store" in note
    assert "ATEN_CPU_CAPABILITY=avx2" in note


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(WIDE, torch="2.12.1+cpu"), "torch 2.12.1+cpu: b"),
        (replace(WIDE, grouping="population of 4"), "grouping population of 4: b"),
        (replace(WIDE, grouping="2 processes, ddp"), "grouping 2 processes, ddp: b"),
        (replace(WIDE, settings="MKL_CBWR=AVX2"), "settings MKL_CBWR=AVX2: b"),
        (replace(WIDE, architecture="aarch64"), "architecture aarch64: b"),
        (OLD, "(instructions AVX512: a; not recorded by an older version: b)"),
        (replace(OLD, torch="2.9.0"), "torch 2.9.0, the rest not recorded: b"),
    ],
)
def test_any_fact_that_differs_is_told(other: Machine, told: str) -> None:
    note = training_note({"a": (WIDE,), "b": (other,)})
    assert note is not None
    assert told in note
    assert "ATEN_CPU_CAPABILITY" not in note, "it would not mend this"


def test_what_is_not_recorded_hides_no_difference_of_the_others() -> None:
    note = training_note({"a": (WIDE,), "b": (NARROW,), "c": (OLD,)})
    assert note is not None
    assert (
        "(processor AuthenticAMD AVX512, instructions AVX512: a; processor GenuineIntel AVX2,"
        " instructions AVX2: b; not recorded by an older version: c)" in note
    )


def test_a_training_that_another_machine_went_on_with_is_another_kind() -> None:
    note = training_note({"a": (WIDE,), "b": (WIDE, NARROW)})
    assert note is not None
    assert "instructions AVX512, then AVX2: b" in note


def test_the_order_of_the_names_changes_no_word_but_theirs() -> None:
    of = {"a": (WIDE,), "b": (NARROW,), "c": (WIDE,)}
    assert training_note(of) == training_note({name: of[name] for name in ("b", "a", "c")})


def test_long_lists_are_cut_and_names_are_shown_safely() -> None:
    many = {f"trial {n}": (WIDE,) for n in range(40)}
    note = training_note({**many, "odd\nname": (NARROW,)})
    assert note is not None
    assert "trial 0, trial 1, trial 2 and 37 more" in note
    assert "\n" not in note
    assert list(map(len, by_kind({**many, "x": (NARROW,)}).values())) == [40, 1]


def test_scoring_is_told_with_what_it_is_worth() -> None:
    note = scoring_note({"a": (WIDE,), "b": (NARROW,)})
    assert note is not None
    assert "instructions AVX2: b" in note
    assert WORTH not in note, "scoring alone moves a score by rounding"
