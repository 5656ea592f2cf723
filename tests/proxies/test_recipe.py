"""What a plan's proxy becomes when it leaves things open."""

import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.config.proxy import Proxy
from dataselect.errors import InputError
from dataselect.proxies import kernels
from dataselect.proxies.ladder import LADDER
from dataselect.proxies.recipe import WANTED_STEPS, Recipe, make_recipe, population_size

OWN_SHAPE = {"hidden_size": 64, "layers": 2, "heads": 2}


def recipe(device: str = "cpu", vocab_size: int = 1000, **proxy: Any) -> Recipe:
    return make_recipe(Proxy(**proxy), vocab_size, device, "plan.yaml:3:5")


def test_a_ladder_size_brings_its_shape_learning_rate_length_and_batch() -> None:
    made, rung = recipe(size="20M", tokens="2B"), LADDER["20M"]
    assert made.shape == rung.shape
    assert made.learning_rate == made.embedding_learning_rate == rung.learning_rate
    assert (made.sequence_length, made.batch_size) == (2048, rung.batch_size)
    assert made.steps == 2_000_000_000 // (2048 * rung.batch_size)


def test_a_shape_of_ones_own_takes_the_learning_rate_of_the_nearest_width() -> None:
    made = recipe(architecture=OWN_SHAPE | {"hidden_size": 100}, tokens="1M")
    assert made.learning_rate == LADDER["6M"].learning_rate
    assert made.shape.intermediate_size == 400
    assert made.shape.kv_heads == 2


def test_what_the_plan_says_comes_before_the_ladder() -> None:
    said = {"sequence_length": 64, "batch_size": 3, "learning_rate": 0.02, "seed": 9}
    made = recipe(size="4M", tokens="1M", embedding_learning_rate=0.03, checkpoints=4, **said)
    assert {name: getattr(made, name) for name in said} == said
    assert (made.embedding_learning_rate, made.checkpoints) == (0.03, 4)
    assert recipe(size="4M", tokens="1M", **said).embedding_learning_rate == 0.02


def test_the_budget_is_used_to_the_last_whole_step_and_never_exceeded() -> None:
    made = recipe(size="4M", tokens=100_000, sequence_length=128, batch_size=8)
    assert made.steps == 97
    assert made.tokens == 97 * 8 * 128


@given(st.integers(1, 10**9), st.sampled_from([16, 128, 2048]))
def test_the_batch_shrinks_with_the_budget_until_there_are_enough_steps(
    tokens: int, length: int
) -> None:
    if tokens < length:
        with pytest.raises(InputError):
            recipe(size="4M", tokens=tokens, sequence_length=length)
        return
    made = recipe(size="4M", tokens=tokens, sequence_length=length)
    assert 1 <= made.batch_size <= LADDER["4M"].batch_size
    assert made.tokens <= tokens < made.tokens + made.batch_size * length
    if made.batch_size > 1:
        assert made.steps >= WANTED_STEPS
    if made.batch_size < LADDER["4M"].batch_size:
        assert tokens < WANTED_STEPS * (made.batch_size + 1) * length


def test_a_budget_below_one_step_is_refused_with_its_place() -> None:
    with pytest.raises(InputError) as refused:
        recipe(size="4M", tokens=1023, sequence_length=128, batch_size=8)
    message = str(refused.value)
    assert message.startswith("plan.yaml:3:5: a budget of 1,023 tokens")
    assert "8 x 128" in message
    assert recipe(size="4M", tokens=1024, sequence_length=128, batch_size=8).steps == 1


def test_a_chinchilla_multiple_counts_20_tokens_for_each_parameter() -> None:
    made = recipe(architecture=OWN_SHAPE, chinchilla_multiple=2.5, sequence_length=16, batch_size=1)
    wanted = 20 * 2.5 * made.parameters
    assert wanted - 16 <= made.tokens <= wanted + 1


def test_a_larger_vocabulary_counts_among_the_parameters() -> None:
    small, large = (recipe(size="4M", tokens="1M", vocab_size=v) for v in (500, 1500))
    assert large.parameters - small.parameters == 1000 * 64


def test_precision_is_bf16_only_where_it_helps_or_is_asked_for() -> None:
    proxy = {"size": "4M", "tokens": "1M"}
    assert recipe("cpu", **proxy).precision == "fp32"
    assert recipe("cuda", **proxy).precision == "bf16"
    assert recipe("cuda", **proxy, precision="fp32").precision == "fp32"
    assert recipe("cpu", **proxy, precision="bf16").precision == "bf16"


@given(st.integers(1, 400), st.integers(1, 50))
def test_checkpoints_are_evenly_spaced_and_the_last_is_the_end(steps: int, wanted: int) -> None:
    tokens = steps * 16
    made = recipe(
        size="4M", tokens=tokens, sequence_length=16, batch_size=1, checkpoints=wanted
    ).checkpoint_steps()
    assert len(set(made)) == len(made) == min(wanted, steps)
    assert made == sorted(made)
    assert made[-1] == steps
    gaps = [b - a for a, b in zip([0, *made], made, strict=False)]
    assert max(gaps) - min(gaps) <= 1


def test_a_population_is_one_model_on_a_cpu_and_many_small_ones_on_a_gpu() -> None:
    assert population_size("auto", 3_700_000, "cpu") == 1
    assert population_size("auto", 3_700_000, "cuda") > 25
    assert population_size("auto", 1_176_800_000, "cuda") == 1
    assert population_size(7, 3_700_000, "cpu") == 7


def test_kernels_are_fused_where_numba_is_there_and_the_shape_allows_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = {"architecture": OWN_SHAPE, "tokens": "1M"}
    for installed in (None, "a spec"):
        monkeypatch.setattr(kernels, "find_spec", lambda name, found=installed: found)
        assert recipe(**small).kernels == ("fused" if installed else "torch")
    assert recipe(**small, kernels="torch").kernels == "torch"
    assert recipe(**small, precision="bf16").kernels == "torch"
    assert recipe(device="cuda:0", **small).kernels == "torch"
    assert recipe(size="6M", tokens="1M").kernels == "torch"  # heads of 12
    assert recipe(size="60M", tokens="1M").kernels == "torch"
    with pytest.raises(InputError, match="the precision is bf16, so 'kernels: fused' cannot"):
        recipe(**small, precision="bf16", kernels="fused")
    monkeypatch.setattr(kernels, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"dataselect\[fast\]"):
        recipe(**small, kernels="fused")


def test_only_fused_kernels_are_in_a_key() -> None:
    made = recipe(architecture=OWN_SHAPE, tokens="1M", kernels="torch")
    assert "kernels" not in made.describe()
    fused = replace(made, kernels="fused").describe()
    assert fused == {**made.describe(), "kernels": f"fused {kernels.FUSED_VERSION}"}


def test_a_worker_without_numba_says_what_a_fused_proxy_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(InputError, match=r"needs numba.*dataselect\[fast\].*kernels: torch"):
        kernels.require_numba()
