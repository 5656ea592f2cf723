"""Train small Olmo2 models on packed sequences: the whole trainer, in order of execution.

Next-token prediction with AdamW, warm-up and cosine decay, on one device. It is built for many
short runs rather than one long one: a few hundred lines without a framework start fast. A model is
a pure function of (recipe, data, seed). A run can be killed at any step and resumes to the same
bits, because everything that changes is in the saved state (parameters, moments) or a function of
the step (learning rate, position in the data).

Five things differ from a textbook loop because they matter at this size (docs/decisions.md):

- several models train as one program, a population, to fill a GPU (`population`);
- the loss never holds the logits of a whole batch (`loss`);
- a batch is processed in slices that fit the caches, so that memory does not grow with it; where
  a device has too little for one, in smaller ones (`memory`);
- embeddings can have a separate learning rate, because at small token budgets one shared rate
  leaves them nearly untrained;
- on a CPU whole steps of one small model may be compiled (`fused`), since launching torch's
  operations takes as long as they do.

Not here: several devices (`distributed` gives them its own kinds of `Run`, stepped by the same
loop), other optimizers, other architectures.
"""

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import Olmo2ForCausalLM, PreTrainedTokenizerBase

from dataselect.proxies.kernels import compiling_alone, require_numba
from dataselect.proxies.layout import slice_sequences
from dataselect.proxies.loss import ChunkedCrossEntropy
from dataselect.proxies.memory import fewer_sequences
from dataselect.proxies.model import build_model, save_checkpoint
from dataselect.proxies.optimizer import clip, make_optimizer, schedule
from dataselect.proxies.population import copy_into, hidden_states, output_embeddings, stack
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.saved_state import (
    STATE,
    checkpoint_hashes,
    read_state,
    settle,
    write_state,
)

if TYPE_CHECKING:
    from dataselect.proxies.fused.training_step import FusedStep

Progress = Callable[[Mapping[str, float]], None]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Training:
    """The result of a run."""

    diverged: bool
    """The loss or the parameters became non-finite; there are no later checkpoints."""
    steps: int
    tokens: int
    final_loss: float | None
    """Mean of the last tenth of the steps, nats per token."""
    losses: list[tuple[int, float]]
    """(step, mean loss since the entry before), about a hundred entries."""
    seconds: float
    """Wall time over all attempts, each killed one up to its last saved state; of a population,
    this model's even share."""
    cpu_seconds: float
    """Likewise, of this process."""


class Sequences(Protocol):
    """Training data: rows of `sequence_length + 1` token ids, in the order of training."""

    def __len__(self) -> int: ...

    def batch(self, first: int, count: int) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Member:
    """One model of a population."""

    data: Sequences
    folder: Path
    """For its saved state and checkpoints."""
    seed: int
    """Seed of its initial parameters."""


def train(
    recipe: Recipe,
    data: Sequences,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    progress: Progress,
    device: str = "cpu",
    save_seconds: float = 15.0,
    recompute: bool = False,
) -> Training:
    """Train one model in `folder`; see `train_population`."""
    alone = [Member(data, folder, recipe.seed)]
    return train_population(recipe, alone, tokenizer, progress, device, save_seconds, recompute)[0]


def train_population(
    recipe: Recipe,
    members: Sequence[Member],
    tokenizer: PreTrainedTokenizerBase,
    progress: Progress,
    device: str = "cpu",
    save_seconds: float = 15.0,
    recompute: bool = False,
) -> list[Training]:
    """Train a model for each member as one program, resuming from the states in their folders.

    Leaves `step-NNNNNNNN/` Hugging Face checkpoints (safetensors, config, tokenizer) in each
    member's folder. The data must hold at least `steps * batch_size` sequences. A second call after
    the end returns the same result at once. A model that diverges does not affect the others.
    `recompute` is activation checkpointing: the same weights in less memory and more time. With
    fused kernels the models train one after the other, which costs a CPU nothing.
    """
    # A program has one step; members from killed populations may be at different steps. The fused
    # step has one model.
    programs: dict[int | Path, list[Member]] = {}
    for member in members:
        step = settle(member.folder)
        program = step if recipe.kernels == "torch" else member.folder
        programs.setdefault(program, []).append(member)
    done: dict[Path, Training] = {}
    for together in programs.values():
        run = Run(recipe, together, device, recompute)
        run_to_end(run, tokenizer, progress, save_seconds)
        done |= {member.folder: run.result(n) for n, member in enumerate(together)}
    return [done[member.folder] for member in members]


def run_to_end(
    run: "Run", tokenizer: PreTrainedTokenizerBase, progress: Progress, save_seconds: float
) -> None:
    """Take all remaining steps, saving checkpoints and states on the way."""
    recipe, models = run.recipe, len(run.members)
    checkpoint_steps = set(recipe.checkpoint_steps())
    log_every = max(1, recipe.steps // 100)
    began, cpu_began, first_step = time.monotonic(), time.process_time(), run.step
    saved_at, save_cost, reported_at = began, 0.0, 0.0
    while run.step < recipe.steps and run.is_going_on:
        run.take_step()
        now = time.monotonic()
        run.seconds, run.cpu_seconds = now - began, time.process_time() - cpu_began
        at_checkpoint = run.step in checkpoint_steps
        if run.step % log_every == 0 or at_checkpoint:
            run.log()
        if at_checkpoint:
            run.check_parameters()
            run.save_checkpoints(tokenizer)
        if now - reported_at > 0.5 or run.step == recipe.steps:
            reported_at = now
            rate = (run.step - first_step) / max(now - began, 1e-9)
            per_step = models * recipe.batch_size * recipe.sequence_length
            progress(
                {
                    "tokens": run.step * per_step,
                    "total_tokens": models * recipe.tokens,
                    "tokens_per_second": rate * per_step,
                    "loss": run.latest_loss,
                    "seconds_left": (recipe.steps - run.step) / rate,
                }
            )
        # The state of a large model takes seconds to write: spend at most a twentieth on it.
        if run.agrees(now - saved_at > max(save_seconds, 20 * save_cost)):
            run.save()
            saved_at = time.monotonic()
            save_cost = saved_at - now
    # The caller may also be killed before it publishes the checkpoints.
    run.save()


@dataclass
class _Log:
    """One model's record so far."""

    losses: list[tuple[int, float]] = field(default_factory=list)
    diverged_at: int | None = None
    seconds: float = 0.0
    """Of the attempts before this one, as are `cpu_seconds`."""
    cpu_seconds: float = 0.0
    checkpoints: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files of its checkpoints, by path in its folder."""


class Run:
    """A training run between two steps: all that moves. It starts from the members' saved states.

    `seconds` and `cpu_seconds` are those of this attempt, of all models together. What several
    processes do together (`distributed`) is in methods of its own, which are trivial for one:
    process `rank` of `size`, of which the first one writes.
    """

    rank, size = 0, 1

    def __init__(
        self, recipe: Recipe, members: Sequence[Member], device: str, recompute: bool = False
    ) -> None:
        for member in members:
            assert len(member.data) >= recipe.steps * recipe.batch_size, "too little data"
        self.recipe, self.members, self.device = recipe, members, torch.device(device)
        self.recompute = recompute
        self.parameters = self._build()
        self.optimizer = make_optimizer(self.parameters, recipe)
        self.step, self.seconds, self.cpu_seconds = 0, 0.0, 0.0
        self.logs = [_Log() for _ in members]
        self._pending = torch.zeros(len(members), device=self.device)
        self._pending_steps = 0
        self._slice = slice_sequences(recipe, len(members), device_bytes(self.device), recompute)
        self._fused = self._make_fused()
        self._name = secrets.token_hex(4)
        if self.rank == 0:
            for member in members:
                for left in member.folder.glob("state*.unfinished"):
                    left.unlink(missing_ok=True)
        if (members[0].folder / STATE).exists():
            self._resume()

    def _build(self) -> dict[str, torch.nn.Parameter]:
        """The parameters, initialised from the members' seeds."""
        models = []
        for member in self.members:
            torch.manual_seed(member.seed)
            models.append(build_model(self.recipe, eos_token_id=None))
        # Checkpoints are saved through this model.
        self._template = models[0]
        return stack(models, self.device)

    def _make_fused(self) -> "FusedStep | None":
        """The compiled step where the recipe says so."""
        if self.recipe.kernels == "torch":
            return None
        assert len(self.members) == 1, "each member of a population is fused alone"
        require_numba()
        with compiling_alone():
            from dataselect.proxies.fused.training_step import FusedStep

            return FusedStep(self.recipe, self.parameters, self.optimizer)

    def _resume(self) -> None:
        read = [read_state(member.folder) for member in self.members]
        states, facts = [tensors for tensors, _ in read], [facts for _, facts in read]
        self.step, self._pending_steps = facts[0]["step"], facts[0]["pending_steps"]
        self._pending.copy_(torch.tensor([each["pending"] for each in facts]))
        self.logs = [
            _Log(
                [(step, loss) for step, loss in each["losses"]],
                each["diverged_at"],
                each["seconds"],
                each["cpu_seconds"],
                # A state of an older version has none.
                each.get("checkpoints", {}),
            )
            for each in facts
        ]

        def placed(parameter: torch.Tensor, name: str) -> torch.Tensor:
            return self._placed(parameter, [state[name] for state in states])

        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(placed(parameter, f"model.{name}"))
                self.optimizer.state[parameter] = {
                    # The fused optimizer needs its counter on the parameters' device.
                    "step": torch.tensor(float(self.step), device=self.device),
                    "exp_avg": placed(parameter, f"mean.{name}"),
                    "exp_avg_sq": placed(parameter, f"square.{name}"),
                }
        if self._fused is not None:
            self._fused.adopt_moments()

    def _placed(self, parameter: torch.Tensor, saved: list[torch.Tensor]) -> torch.Tensor:
        """What the members saved, laid out like `parameter`."""
        return torch.stack(saved).to(self.device)

    def _whole(self, placed: torch.Tensor, member: int) -> torch.Tensor:
        """One member's part of a parameter or moment, for writing."""
        return placed.detach()[member]

    def save(self) -> None:
        """Write each member's state."""
        for n, (member, log, pending) in enumerate(
            zip(self.members, self.logs, self._total(self._pending).tolist(), strict=True)
        ):
            facts = {
                "step": self.step,
                "losses": log.losses,
                "diverged_at": log.diverged_at,
                "seconds": log.seconds + self.seconds / len(self.members),
                "cpu_seconds": log.cpu_seconds + self.cpu_seconds / len(self.members),
                "pending": pending,
                "pending_steps": self._pending_steps,
                "checkpoints": log.checkpoints,
            }
            tensors = {}
            for name, parameter in self.parameters.items():
                moments = self.optimizer.state[parameter]
                tensors[f"model.{name}"] = self._whole(parameter, n)
                tensors[f"mean.{name}"] = self._whole(moments["exp_avg"], n)
                tensors[f"square.{name}"] = self._whole(moments["exp_avg_sq"], n)
            if self.rank == 0:
                write_state(member.folder, self._name, tensors, facts)

    def take_step(self) -> None:
        recipe = self.recipe
        factor = schedule(self.step, recipe.steps, recipe.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        count = recipe.batch_size // self.size
        first = self.step * recipe.batch_size + self.rank * count
        rows = np.stack([member.data.batch(first, count) for member in self.members])
        if self._fused is not None:
            share = 1 / (recipe.batch_size * recipe.sequence_length)
            self._pending += self._fused.add_gradients(rows[0], share) * share
            self._share_gradients()
            self._fused.update(self.step)
        else:
            self._take_step_by_torch(torch.from_numpy(rows).to(self.device))
        self._pending_steps += 1
        self.step += 1

    def _take_step_by_torch(self, tokens: torch.Tensor) -> None:
        while not self._added_up(tokens):
            at_once, models = min(self._slice, tokens.shape[1]), len(self.members)
            self._slice = fewer_sequences(self.recipe, at_once, models, self.device, self.recompute)
        self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _added_up(self, tokens: torch.Tensor) -> bool:
        """Sum the gradients of a batch; False, and none, where memory is short for a slice."""
        recipe, count, before = self.recipe, tokens.shape[1], self._pending.clone()
        try:
            for start in range(0, count, self._slice):
                losses = self._summed_losses(tokens[:, start : start + self._slice])
                losses = losses / (recipe.batch_size * recipe.sequence_length)
                self._backward(losses.sum(), is_last=start + self._slice >= count)
                self._pending += losses.detach()
        except torch.OutOfMemoryError:
            if self.size > 1:
                raise  # the other processes wait for this one's gradients
            self._pending = before
            self.optimizer.zero_grad(set_to_none=True)
            return False
        return True

    def agrees(self, proposal: bool) -> bool:
        """Whether to do what this process proposes; several processes follow rank 0."""
        return proposal

    def _total(self, values: torch.Tensor) -> torch.Tensor:
        """The sum over the processes."""
        return values

    def _summed_losses(self, tokens: torch.Tensor) -> torch.Tensor:
        """Nats of each model over a slice of its batch."""
        shape, dtype = self.recipe.shape, DTYPES[self.recipe.precision]
        hidden = hidden_states(self.parameters, shape, tokens[..., :-1], dtype, self.recompute)
        summed: torch.Tensor = ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden, output_embeddings(self.parameters), tokens[..., 1:].flatten(1), dtype
        )
        return summed

    def _backward(self, loss: torch.Tensor, is_last: bool) -> None:
        """Add the gradients of a slice; after the last slice they are complete."""
        loss.backward()  # type: ignore[no-untyped-call]
        if is_last:
            self._share_gradients()

    def _share_gradients(self) -> None:
        """Sum the gradients of a batch over the processes."""

    def _clip(self) -> None:
        clip(self.parameters.values(), self.recipe.grad_clip)

    def log(self) -> None:
        """Log the mean losses since the last entry; a non-finite loss ends its model's run."""
        means = (self._total(self._pending) / self._pending_steps).tolist()
        for log, loss in zip(self.logs, means, strict=True):
            if log.diverged_at is None:
                if math.isfinite(loss):
                    log.losses.append((self.step, loss))
                else:
                    log.diverged_at = self.step
        self._pending.zero_()
        self._pending_steps = 0

    def check_parameters(self) -> None:
        """End models whose last step gave non-finite parameters, which no loss shows yet."""
        for log, good in zip(self.logs, self._finite_models(), strict=True):
            if log.diverged_at is None and not good:
                log.diverged_at = self.step

    def _finite_models(self) -> list[bool]:
        finite = torch.stack([p.isfinite().flatten(1).all(1) for p in self.parameters.values()])
        return [bool(good) for good in finite.all(0)]

    def save_checkpoints(self, tokenizer: PreTrainedTokenizerBase) -> None:
        for n, (member, log) in enumerate(zip(self.members, self.logs, strict=True)):
            if log.diverged_at is None:
                model = self._model(n)
                if model is not None:
                    folder = member.folder / f"step-{self.step:08d}"
                    save_checkpoint(model, tokenizer, folder)
                    log.checkpoints |= checkpoint_hashes(folder)

    def _model(self, member: int) -> Olmo2ForCausalLM | None:
        """One member's whole model for saving; None where another process writes."""
        return copy_into(self._template, self.parameters, member) if self.rank == 0 else None

    @property
    def is_going_on(self) -> bool:
        """Whether any model has not diverged."""
        return any(log.diverged_at is None for log in self.logs)

    @property
    def latest_loss(self) -> float:
        """Mean over the models that have not diverged; NaN before the first log entry."""
        last = [log.losses[-1][1] for log in self.logs if log.losses and log.diverged_at is None]
        return sum(last) / len(last) if last else math.nan

    def result(self, member: int) -> Training:
        log, recipe = self.logs[member], self.recipe
        steps = self.step if log.diverged_at is None else log.diverged_at
        tail = [loss for step, loss in log.losses if step > 0.9 * recipe.steps]
        return Training(
            diverged=log.diverged_at is not None,
            steps=steps,
            tokens=steps * recipe.batch_size * recipe.sequence_length,
            final_loss=float(np.mean(tail)) if tail and log.diverged_at is None else None,
            losses=log.losses,
            seconds=log.seconds + self.seconds / len(self.members),
            cpu_seconds=log.cpu_seconds + self.cpu_seconds / len(self.members),
        )


def device_bytes(device: torch.device) -> int | None:
    """The memory of a GPU; None on a CPU."""
    if device.type != "cuda":
        return None
    return int(torch.cuda.get_device_properties(device).total_memory)
