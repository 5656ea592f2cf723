"""The trainer: its loss, its checkpoints, and what it does when a run diverges."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import RECIPE, VOCABULARY, refrain
from transformers import AutoModelForCausalLM, AutoTokenizer

from dataselect.proxies import train as trainer
from dataselect.proxies.ladder import Shape
from dataselect.proxies.model import build_model
from dataselect.proxies.optimizer import make_optimizer, schedule
from dataselect.proxies.population import stack
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Training, train

SHAPE = RECIPE.shape


def run(recipe: Recipe, tokenizer: Any, folder: Path, **options: Any) -> Training:
    options.setdefault("progress", lambda fields: None)
    return train(recipe, refrain(recipe), tokenizer, folder, **options)


def weights(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / f"step-{step:08d}" / "model.safetensors")


def checkpoints(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("step-*"))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_loss_falls_on_a_repetitive_corpus(tmp_path: Path, tokenizer: Any, precision: Any) -> None:
    done = run(replace(RECIPE, steps=80, precision=precision), tokenizer, tmp_path)
    assert not done.diverged
    assert done.losses[0][1] == pytest.approx(math.log(VOCABULARY), rel=0.1)
    assert done.final_loss is not None
    assert done.final_loss < 0.5
    assert (done.steps, done.tokens) == (80, 80 * 4 * 16)


def test_the_same_recipe_gives_the_same_bits_and_another_seed_others(
    tmp_path: Path, tokenizer: Any
) -> None:
    files, losses = [], []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(3)  # what was drawn before must not matter
        folder = tmp_path / name
        folder.mkdir()
        losses.append(run(replace(RECIPE, seed=seed), tokenizer, folder).losses)
        files.append((folder / "step-00000040" / "model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]
    assert losses[0] == losses[1] != losses[2]


def test_activation_checkpointing_trains_to_the_same_bits(tmp_path: Path, tokenizer: Any) -> None:
    files = []
    for recompute in (False, True):
        folder = tmp_path / str(recompute)
        folder.mkdir()
        run(RECIPE, tokenizer, folder, recompute=recompute)
        files.append((folder / "step-00000040" / "model.safetensors").read_bytes())
    assert files[0] == files[1]


@pytest.mark.parametrize(
    "shape",
    [SHAPE, replace(SHAPE, kv_heads=1, tie_embeddings=False)],
    ids=["tied", "untied-shared-kv"],
)
def test_checkpoints_load_by_themselves_and_are_the_model_in_memory(
    tmp_path: Path, tokenizer: Any, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = torch.arange(VOCABULARY)[None, :50]
    in_memory: dict[str, torch.Tensor] = {}
    save = trainer.save_checkpoint

    def watched(model: Any, its_tokenizer: Any, folder: Path) -> None:
        with torch.no_grad():
            in_memory[folder.name] = model(input_ids=probe).logits
        save(model, its_tokenizer, folder)

    monkeypatch.setattr(trainer, "save_checkpoint", watched)
    run(replace(RECIPE, shape=shape, steps=12, checkpoints=3), tokenizer, tmp_path)
    assert checkpoints(tmp_path) == ["step-00000004", "step-00000008", "step-00000012"]
    assert list(in_memory) == checkpoints(tmp_path)
    for name, logits in in_memory.items():
        model = AutoModelForCausalLM.from_pretrained(tmp_path / name, use_safetensors=True)
        assert torch.equal(model(input_ids=probe).logits, logits)
        assert sum(p.numel() for p in model.parameters()) == shape.parameters(VOCABULARY)
        loaded = AutoTokenizer.from_pretrained(tmp_path / name)
        text = "Bob has 25 green apples."
        assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]
        assert model.generation_config.eos_token_id == tokenizer.eos_token_id
        assert not list((tmp_path / name).glob("*.bin"))
    first, *_, last = in_memory.values()
    assert not torch.equal(first, last)


def test_embeddings_have_a_learning_rate_of_their_own(tmp_path: Path, tokenizer: Any) -> None:
    recipe = replace(
        RECIPE, shape=replace(SHAPE, tie_embeddings=False), embedding_learning_rate=1e-9
    )
    run(recipe, tokenizer, tmp_path)
    torch.manual_seed(recipe.seed)
    before, after = build_model(recipe, eos_token_id=None).state_dict(), weights(tmp_path, 40)
    for name, start in before.items():
        moved = (after[name] - start).abs().max().item()
        if name in ("model.embed_tokens.weight", "lm_head.weight"):
            assert moved < 1e-6
        else:
            assert moved > 1e-3


def test_only_matrices_are_decayed(tmp_path: Path, tokenizer: Any) -> None:
    stacked = stack([build_model(RECIPE, None)], torch.device("cpu"))
    groups = make_optimizer(stacked, RECIPE).param_groups
    embeddings, matrices, vectors = groups
    assert [group["weight_decay"] for group in groups] == [0.0, RECIPE.weight_decay, 0.0]
    assert [p.shape for p in embeddings["params"]] == [(1, VOCABULARY, 16)]
    assert {p.ndim for p in matrices["params"]} == {3}
    assert {p.ndim for p in vectors["params"]} == {2}
    held = sum(p.numel() for group in groups for p in group["params"])
    assert held == RECIPE.parameters


def test_a_loss_that_is_no_number_ends_the_run_without_a_final_checkpoint(
    tmp_path: Path, tokenizer: Any
) -> None:
    absurd = replace(RECIPE, learning_rate=1e20, embedding_learning_rate=1e20)
    done = run(absurd, tokenizer, tmp_path)
    assert done.diverged
    assert done.final_loss is None
    assert done.steps < 40
    assert all(math.isfinite(loss) for _, loss in done.losses)
    assert checkpoints(tmp_path) == []


def test_divergence_between_two_entries_of_the_log_is_seen_at_the_next(
    tmp_path: Path, tokenizer: Any
) -> None:
    recipe = replace(
        RECIPE, steps=400, batch_size=1, learning_rate=1e20, embedding_learning_rate=1e20
    )
    done = run(recipe, tokenizer, tmp_path)
    assert (done.diverged, done.steps, done.losses) == (True, 4, [])


@pytest.mark.parametrize("broken_step", [20, 40], ids=["in-the-middle", "at-the-end"])
def test_weights_that_are_no_numbers_never_become_a_checkpoint(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, broken_step: int
) -> None:
    calls = []

    def overflow(parameters: Any, limit: float) -> None:
        # The gradient of this step overflows; its loss, taken before, does not show it.
        calls.append(limit)
        if len(calls) == broken_step:
            next(iter(parameters)).grad.fill_(math.inf)

    monkeypatch.setattr(trainer, "clip", overflow)
    done = run(replace(RECIPE, checkpoints=4), tokenizer, tmp_path)
    assert done.diverged
    assert done.steps == broken_step
    kept = checkpoints(tmp_path)
    assert kept == [f"step-{step:08d}" for step in range(10, broken_step, 10)]
    for name in kept:
        tensors = load_file(tmp_path / name / "model.safetensors").values()
        assert all(bool(tensor.isfinite().all()) for tensor in tensors)


def test_progress_tells_tokens_speed_loss_and_time_left(tmp_path: Path, tokenizer: Any) -> None:
    heard: list[Mapping[str, float]] = []
    done = run(RECIPE, tokenizer, tmp_path, progress=heard.append)
    keys = {"tokens", "total_tokens", "tokens_per_second", "loss", "seconds_left"}
    assert all(set(fields) == keys for fields in heard)
    last = heard[-1]
    assert last["tokens"] == last["total_tokens"] == RECIPE.tokens
    assert last["seconds_left"] == 0
    assert last["tokens_per_second"] > 0
    assert last["loss"] == done.losses[-1][1]


def test_the_learning_rate_rises_over_the_warm_up_and_falls_to_a_tenth() -> None:
    factors = [schedule(step, 200, 0.05) for step in range(200)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(factors) == 1.0
    assert all(later < earlier for earlier, later in pairwise(factors[10:]))
    assert factors[-1] == pytest.approx(0.1, abs=1e-3)
    assert schedule(0, 1, 0.05) == 1.0
