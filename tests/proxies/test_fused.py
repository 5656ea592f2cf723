"""The fused step computes what torch's operations do, and a run with it has the same rules."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import RECIPE, Rows, noise, refrain, tiny_tokenizer

pytest.importorskip("numba", reason="the extra fast is not installed")

from dataselect.proxies.fused.training_step import FusedStep
from dataselect.proxies.ladder import Shape
from dataselect.proxies.loss import ChunkedCrossEntropy
from dataselect.proxies.model import build_model
from dataselect.proxies.optimizer import clip, make_optimizer
from dataselect.proxies.population import hidden_states, output_embeddings, stack
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Member, Run, Training, train, train_population

FUSED = replace(RECIPE, kernels="fused")
# Lengths that are no multiples of a tile, a vocabulary that is none of a panel, a part of a batch
# that passes alone; and heads as wide as the narrowest product.
SHAPES = {
    "shared keys, untied": (Shape(64, 2, 4, 2, 96, False), 300, 70, 3),
    "narrow heads, tied": (Shape(32, 2, 4, 4, 48), 130, 50, 5),
}


class Pair:
    """The same model twice: for the fused step, and for autograd."""

    def __init__(self, shape: Shape, words: int, length: int, sequences: int) -> None:
        self.recipe = replace(
            FUSED, shape=shape, vocab_size=words, sequence_length=length, batch_size=sequences
        )
        self.parameters, self.expected = (_perturbed(self.recipe) for _ in range(2))
        self.optimizer, self.their_optimizer = (
            make_optimizer(each, self.recipe) for each in (self.parameters, self.expected)
        )
        self.step = FusedStep(self.recipe, self.parameters, self.optimizer)
        self.tokens = np.random.default_rng(0).integers(0, words, (sequences, length + 1))

    def losses(self) -> tuple[float, float]:
        """Summed losses of both, which leave gradients."""
        ours = self.step.add_gradients(self.tokens, 0.01)
        tokens = torch.from_numpy(self.tokens)[None]
        shape = self.recipe.shape
        hidden = hidden_states(self.expected, shape, tokens[..., :-1], torch.float32)
        output = output_embeddings(self.expected)
        loss = ChunkedCrossEntropy.apply(
            hidden, output, tokens[..., 1:].flatten(1), torch.float32
        ).sum()
        (0.01 * loss).backward()
        return ours, loss.item()


def _perturbed(recipe: Recipe) -> dict[str, torch.nn.Parameter]:
    torch.manual_seed(0)
    parameters = stack([build_model(recipe, None)], torch.device("cpu"))
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return parameters


def apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, of the largest number."""
    return ((a - b).abs().max() / b.abs().max()).item()


@pytest.mark.parametrize("case", SHAPES.values(), ids=SHAPES)
def test_losses_and_gradients_are_those_of_autograd(case: Any) -> None:
    pair = Pair(*case)
    ours, theirs = pair.losses()
    assert ours == pytest.approx(theirs, rel=5e-7)
    for name, parameter in pair.parameters.items():
        expected = pair.expected[name]
        assert parameter.grad is not None
        assert expected.grad is not None
        assert apart(parameter.grad, expected.grad) < 5e-6, name


def test_clipping_and_the_optimizer_are_those_of_torch() -> None:
    pair = Pair(*SHAPES["shared keys, untied"])
    for step in range(2):
        pair.losses()
        for name, parameter in pair.parameters.items():
            pair.expected[name].grad = parameter.grad.clone()  # type: ignore[union-attr]
        pair.step.update(step)
        clip(pair.expected.values(), pair.recipe.grad_clip)
        pair.their_optimizer.step()
        for name, parameter in pair.parameters.items():
            expected = pair.expected[name]
            assert apart(parameter.detach(), expected.detach()) < 1e-6, name
            for moment in ("exp_avg", "exp_avg_sq"):
                kept = pair.optimizer.state[parameter][moment]
                assert apart(kept, pair.their_optimizer.state[expected][moment]) < 1e-6, name
            assert not parameter.grad.any()  # type: ignore[union-attr]


def run(recipe: Recipe, folder: Path, data: Rows) -> Training:
    folder.mkdir()
    return train(recipe, data, tiny_tokenizer(), folder, lambda fields: None)


def test_a_training_is_repeatable_and_differs_from_torchs_by_rounding(tmp_path: Path) -> None:
    done = [run(FUSED, tmp_path / name, refrain()) for name in ("a", "b")]
    plain = run(RECIPE, tmp_path / "c", refrain())
    assert done[0].losses == done[1].losses
    a, b, c = (load_file(tmp_path / name / "step-00000040" / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert a.keys() == c.keys()
    for (_, ours), (_, theirs) in zip(done[0].losses, plain.losses, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_run_goes_on_from_its_saved_state_to_the_same_bits(tmp_path: Path) -> None:
    ended = {}
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        member = Member(noise(0, FUSED), tmp_path / name, FUSED.seed)
        made = Run(FUSED, [member], "cpu")
        for _ in range(7):
            made.take_step()
        if name == "stopped":
            made.save()
            made = Run(FUSED, [member], "cpu")
            assert made.step == 7
        for _ in range(3):
            made.take_step()
        ended[name] = made
    for name, parameter in ended["whole"].parameters.items():
        assert torch.equal(parameter, ended["stopped"].parameters[name])


def test_proxies_of_a_population_have_the_bits_of_each_alone(tmp_path: Path) -> None:
    members = []
    for seed in range(2):
        (tmp_path / f"{seed}").mkdir()
        members.append(Member(noise(seed, FUSED), tmp_path / f"{seed}", seed))
    train_population(FUSED, members, tiny_tokenizer(), lambda fields: None)
    run(FUSED, tmp_path / "alone", noise(0, FUSED))
    ours, alone = (
        load_file(tmp_path / name / "step-00000040" / "model.safetensors")
        for name in ("0", "alone")
    )
    assert all(torch.equal(ours[name], alone[name]) for name in alone)


def test_a_loss_that_is_no_number_ends_the_run_as_with_torch(tmp_path: Path) -> None:
    absurd = {"learning_rate": 1e20, "embedding_learning_rate": 1e20}
    ours = run(replace(FUSED, **absurd), tmp_path / "fused", refrain())
    theirs = run(replace(RECIPE, **absurd), tmp_path / "torch", refrain())
    assert ours.diverged
    assert ours.final_loss is None
    assert (ours.steps, ours.losses) == (theirs.steps, [pytest.approx(x) for x in theirs.losses])
    assert not list((tmp_path / "fused").glob("step-*"))


def test_one_nan_in_the_weights_reaches_the_loss() -> None:
    pair = Pair(*SHAPES["narrow heads, tied"])
    with torch.no_grad():
        pair.parameters["model.layers.1.mlp.up_proj.weight"][0, 3, 5] = math.nan
    assert math.isnan(pair.step.add_gradients(pair.tokens, 0.01))
