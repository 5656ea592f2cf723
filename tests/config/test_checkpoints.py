"""How far training was, as the names of checkpoints tell it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.config.checkpoints import Checkpoints, step_in, tokens_in
from dataselect.config.schema import Document, read
from dataselect.errors import InputError


@pytest.mark.parametrize(
    ("name", "step", "tokens"),
    [
        ("stage1-step10000-tokens21B", 10_000, 21_000_000_000),
        ("stage1-step928646-tokens3896B", 928_646, 3_896_000_000_000),
        ("step5000-seed-default", 5_000, None),
        ("step5000-seed-small-aux-2", 5_000, None),
        ("checkpoint-3000", 3_000, None),
        ("global_step1500", 1_500, None),
        ("iter_0000200", 200, None),
        ("step-00000100", 100, None),
        ("fineweb/step2k/hf", 2_000, None),
        ("run3/step1000_hf", 1_000, None),
        ("tokens2.5B", None, 2_500_000_000),
        ("TOKENS=87.3M", None, 87_300_000),
        ("main", None, None),
        ("step", None, None),
        ("step1000hf", None, None),  # more letters: it might mean anything
        ("footstep7", None, None),
        ("stepwise-4", None, None),
    ],
)
def test_names_tell_step_and_tokens(name: str, step: int | None, tokens: int | None) -> None:
    assert (step_in(name), tokens_in(name)) == (step, tokens)


@given(st.integers(0, 10**7), st.integers(0, 10**5), st.text("abc-_/", max_size=9))
def test_names_of_public_runs_are_read_whatever_stands_in_front(
    step: int, billions: int, front: str
) -> None:
    name = f"{front}-step{step}-tokens{billions}B"
    assert (step_in(name), tokens_in(name)) == (step, billions * 10**9)


def test_what_is_stated_goes_before_steps_and_these_before_a_rounded_name() -> None:
    name = "stage1-step10000-tokens21B"
    assert Checkpoints(model="a/b").tokens_at(name) == 21_000_000_000
    by_step = Checkpoints(model="a/b", tokens_per_step=2_097_152)
    assert by_step.tokens_at(name) == 20_971_520_000
    assert by_step.tokens_at("main") is None
    stated = Checkpoints(model="a/b", tokens={name: "20B"}, tokens_per_step=10)
    assert stated.tokens_at(name) == 20_000_000_000
    assert stated.tokens_at("step7") == 70
    assert Checkpoints(model="a/b", tokens="4T").tokens_at("main") == 4 * 10**12


class Naming(Document):
    proxy: Checkpoints


def naming(folder: Path, text: str) -> Checkpoints:
    (folder / "naming.yaml").write_text(text)
    return read(Naming, folder / "naming.yaml").proxy


def test_it_is_a_section_of_a_yaml_file(tmp_path: Path) -> None:
    found = naming(tmp_path, "proxy: {model: a/b, revisions: 'step*', tokens_per_step: 4M}\n")
    assert found.revision_patterns == ["step*"]
    assert found.tokens_at("step2") == 8_000_000
    assert naming(tmp_path, "proxy: {model: a/b}\n").revision_patterns == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("proxy: {revisions: main}\n", "proxy has no 'model'"),
        ("proxy: {model: a/b, revisions: []}\n", "1 or more entries"),
        ("proxy: {model: a/b, tokens: {main: many}}\n", "'many' is not a number"),
        ("proxy: {model: a/b, tokens: 4B, tokens_per_step: 2}\n", "'tokens' is given as well"),
        ("proxy: {model: a/b, revision: main}\n", "did you mean 'revisions'"),
        ("proxy: {model: a/b, precision: fp32}\n", "'fp32' does not fit"),
    ],
)
def test_a_bad_section_is_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        naming(tmp_path, text)
    assert message in str(error.value)
    assert "naming.yaml:1:" in str(error.value)
