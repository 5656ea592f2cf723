"""The stacked forward pass against transformers' Olmo2, and members against models alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import RECIPE as TINY
from tiny_training import noise
from transformers import Olmo2ForCausalLM

from dataselect.errors import PassingError
from dataselect.proxies import layout
from dataselect.proxies import train as trainer
from dataselect.proxies.ladder import Shape
from dataselect.proxies.model import build_model
from dataselect.proxies.optimizer import clip
from dataselect.proxies.population import copy_into, hidden_states, output_embeddings, stack
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Member, Training, train, train_population

SHAPE = Shape(hidden_size=32, layers=2, heads=4, kv_heads=4, intermediate_size=48)
RECIPE = replace(TINY, shape=SHAPE, steps=24, embedding_learning_rate=2e-2, checkpoints=2)
CPU = torch.device("cpu")


def models_of(shape: Shape, count: int) -> list[Olmo2ForCausalLM]:
    models = []
    for seed in range(count):
        torch.manual_seed(seed)
        model = build_model(replace(RECIPE, shape=shape), None)
        with torch.no_grad():
            for parameter in model.parameters():
                # Norms start as ones, which would hide that one of them is missing.
                parameter.add_(0.3 * torch.randn_like(parameter))
        models.append(model)
    return models


SHAPES = {
    "plain": SHAPE,
    "untied-shared-keys": replace(SHAPE, kv_heads=2, tie_embeddings=False),
    "one-head": replace(SHAPE, heads=1, kv_heads=1),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_hidden_states_and_gradients_are_those_of_transformers(shape: Shape) -> None:
    models = models_of(shape, 3)
    parameters = stack(models, CPU)
    tokens = torch.randint(300, (3, 2, 21))
    hidden = hidden_states(parameters, shape, tokens, torch.float32)
    logits = torch.bmm(hidden, output_embeddings(parameters).transpose(1, 2)).view(3, 2, 21, 300)
    logits.square().mean((1, 2, 3)).sum().backward()
    for n, model in enumerate(models):
        theirs = model(input_ids=tokens[n]).logits
        torch.testing.assert_close(logits[n], theirs, rtol=1e-4, atol=1e-4)
        theirs.square().mean().backward()
        for name, parameter in model.named_parameters():
            mine, wanted = parameters[name].grad, parameter.grad
            assert mine is not None
            assert wanted is not None
            torch.testing.assert_close(
                mine[n], wanted, rtol=1e-3, atol=1e-5 * wanted.abs().max().item(), msg=name
            )


def test_in_bf16_they_are_near_those_in_fp32() -> None:
    parameters = stack(models_of(SHAPE, 2), CPU)
    tokens = torch.randint(300, (2, 3, 20))
    low = hidden_states(parameters, SHAPE, tokens, torch.bfloat16)
    high = hidden_states(parameters, SHAPE, tokens, torch.float32)
    assert low.dtype == torch.float32
    assert (low - high).square().mean() < 1e-3 * high.square().mean()


def test_a_member_comes_out_as_it_went_in() -> None:
    models = models_of(SHAPE, 2)
    copied = copy_into(build_model(RECIPE, None), stack(models, CPU), 1)
    for mine, theirs in zip(copied.parameters(), models[1].parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_each_gradient_is_clipped_as_torch_clips_that_of_one_model() -> None:
    models = models_of(SHAPE, 2)
    parameters = stack(models, CPU)
    generator = torch.Generator().manual_seed(0)
    for weight in parameters.values():
        weight.grad = torch.randn(weight.shape, generator=generator)
        weight.grad[1] *= 1e-4  # below the limit
    for n, model in enumerate(models):
        for name, parameter in model.named_parameters():
            grad = parameters[name].grad
            assert grad is not None
            parameter.grad = grad[n].clone()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    clip(parameters.values(), 1.0)
    for n, model in enumerate(models):
        for name, parameter in model.named_parameters():
            assert parameters[name].grad is not None
            torch.testing.assert_close(parameters[name].grad[n], parameter.grad)  # type: ignore[index]


def trained(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / f"step-{RECIPE.steps:08d}" / "model.safetensors")


def members_in(base: Path, seeds: list[int]) -> list[Member]:
    folders = [base / f"member-{seed}" for seed in seeds]
    for folder in folders:
        folder.mkdir(parents=True)
    return [Member(noise(s, RECIPE), folder, s) for s, folder in zip(seeds, folders, strict=True)]


def population(members: list[Member], tokenizer: Any, recipe: Recipe = RECIPE) -> list[Training]:
    return train_population(recipe, members, tokenizer, lambda fields: None)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_member_trains_as_it_would_alone(tmp_path: Path, tokenizer: Any, shape: Shape) -> None:
    # Few and small steps, because AdamW makes of the last bit of a small gradient a whole step.
    recipe = replace(RECIPE, shape=shape, learning_rate=1e-3, embedding_learning_rate=2e-3)
    members = members_in(tmp_path, [0, 1, 2])
    together = population(members, tokenizer, recipe)
    for member, mine in zip(members, together, strict=True):
        folder = tmp_path / f"alone-{member.seed}"
        folder.mkdir()
        seeded = replace(recipe, seed=member.seed)
        alone = train(seeded, member.data, tokenizer, folder, lambda fields: None)
        assert [step for step, _ in mine.losses] == [step for step, _ in alone.losses]
        for (_, loss), (_, its) in zip(mine.losses, alone.losses, strict=True):
            assert loss == pytest.approx(its, abs=1e-4)
        theirs = trained(folder)
        for name, tensor in trained(member.folder).items():
            apart = (tensor - theirs[name]).abs()
            assert apart.mean() < 1e-4, name
    assert len({training.final_loss for training in together}) == 3


def test_a_batch_in_slices_trains_as_in_one(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = population(members_in(tmp_path / "whole", [0, 1]), tokenizer)
    monkeypatch.setattr(layout, "_SLICE_TOKENS", 96)  # 3 of a batch's 4 sequences, then 1
    sliced = population(members_in(tmp_path / "sliced", [0, 1]), tokenizer)
    for one, other in zip(whole, sliced, strict=True):
        for (_, loss), (_, its) in zip(one.losses, other.losses, strict=True):
            assert loss == pytest.approx(its, abs=1e-3)


def short_of_memory(monkeypatch: pytest.MonkeyPatch, fits: int) -> None:
    """Let the device have memory for so many sequences at a time; it shows in the backward pass."""
    backward = trainer.Run._backward
    summed = trainer.Run._summed_losses
    at_once = [0]

    def watched(run: Any, tokens: Any) -> Any:
        at_once[0] = tokens.shape[1]
        return summed(run, tokens)

    def limited(run: Any, loss: Any, is_last: bool) -> None:
        backward(run, loss, is_last)
        if at_once[0] > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(trainer.Run, "_summed_losses", watched)
    monkeypatch.setattr(trainer.Run, "_backward", limited)


def test_where_memory_is_short_a_step_is_taken_again_in_smaller_slices(
    tmp_path: Path,
    tokenizer: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recipe = replace(RECIPE, steps=6)
    with monkeypatch.context() as patch:
        patch.setattr(layout, "_SLICE_TOKENS", 1)
        by_one = population(members_in(tmp_path / "one", [0, 1]), tokenizer, recipe)
    short_of_memory(monkeypatch, 1)
    short = population(members_in(tmp_path / "short", [0, 1]), tokenizer, recipe)
    assert [each.losses for each in short] == [each.losses for each in by_one]
    for one, other in zip(
        sorted((tmp_path / "one").rglob("*.safetensors")),
        sorted((tmp_path / "short").rglob("*.safetensors")),
        strict=True,
    ):
        if not one.name.startswith("state"):
            assert one.read_bytes() == other.read_bytes()
    assert [record.args[1:] for record in caplog.records] == [(4, 16, 2), (2, 16, 1)]


def test_where_one_sequence_is_too_much_the_error_says_what_to_set(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    short_of_memory(monkeypatch, 0)
    with pytest.raises(PassingError) as raised:
        population(members_in(tmp_path, [0, 1]), tokenizer, replace(RECIPE, steps=6))
    text = str(raised.value)
    assert "cpu cannot hold one sequence of 16 tokens of 2 models together" in text
    assert "'activation_checkpointing: true' or 'population: 1' or a shorter" in text


def test_a_member_that_diverges_leaves_the_others_as_they_are(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    untroubled = population(members_in(tmp_path / "untroubled", [0, 1]), tokenizer)
    calls: list[float] = []

    def overflow(parameters: Any, limit: float) -> None:
        calls.append(limit)
        kept = list(parameters)
        clip(kept, limit)
        if len(calls) == 15:
            kept[0].grad[0].fill_(float("inf"))

    monkeypatch.setattr(trainer, "clip", overflow)
    members = members_in(tmp_path / "troubled", [0, 1])
    broken, whole = population(members, tokenizer)
    assert (broken.diverged, broken.steps, broken.final_loss) == (True, 16, None)
    assert broken.tokens == 16 * 4 * 16
    assert [path.name for path in members[0].folder.glob("step-*")] == ["step-00000012"]
    assert not whole.diverged
    assert whole.losses == untroubled[1].losses
    for name, tensor in trained(members[1].folder).items():
        assert torch.equal(
            tensor, trained(tmp_path / "untroubled" / members[1].folder.name)[name]
        ), name
    # Called again after its end, it says the same at once.
    again = population(members, tokenizer)
    assert [(each.diverged, each.steps) for each in again] == [(True, 16), (False, 24)]
    assert len(calls) == 24


def test_members_killed_at_different_steps_all_come_to_their_end(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = population(members_in(tmp_path / "whole", [0, 1, 2]), tokenizer)
    members = members_in(tmp_path / "killed", [0, 1, 2])
    take_step = trainer.Run.take_step

    def killed_at(step: int) -> Any:
        def step_or_die(run: Any) -> None:
            if run.step == step:
                run.save()
                raise KeyboardInterrupt
            take_step(run)

        return step_or_die

    for some, step in (([members[0]], 5), ([members[1], members[2]], 13)):
        monkeypatch.setattr(trainer.Run, "take_step", killed_at(step))
        with pytest.raises(KeyboardInterrupt):
            population(some, tokenizer)
    steps: list[tuple[int, int]] = []

    def counted(run: Any) -> None:
        steps.append((len(run.members), run.step))
        take_step(run)

    monkeypatch.setattr(trainer.Run, "take_step", counted)
    resumed = population(members, tokenizer)
    assert steps == [(1, n) for n in range(5, 24)] + [(2, n) for n in range(13, 24)]
    for one, other in zip(whole, resumed, strict=True):
        for (_, loss), (_, its) in zip(one.losses, other.losses, strict=True):
            assert loss == pytest.approx(its, abs=2e-3)


def test_time_is_shared_out_evenly(tmp_path: Path, tokenizer: Any) -> None:
    one, other = population(members_in(tmp_path, [0, 1]), tokenizer)
    assert one.seconds == other.seconds > 0
    assert one.cpu_seconds == other.cpu_seconds > 0
