"""Train one small Olmo2 model on packed sequences: the whole trainer, in the order it happens.

Next-token prediction with AdamW, warm-up and cosine decay, on one device. It is written for
many short runs rather than one long one: a few hundred lines without a framework start in no
time, and the run is a pure function of (recipe, data, seed) which can be killed at any step and
goes on to the same bits, because everything that moves is either in the saved state (weights,
moments, random state) or a function of the step (learning rate, position in the data).

Two things differ from a textbook loop because they matter at this size:

- the loss never holds the logits of a whole batch (`_ChunkedCrossEntropy`), since with a
  vocabulary of 50,000 these are most of a tiny model's memory and time;
- embeddings have a learning rate of their own, because at small token budgets one shared rate
  leaves them nearly untrained (figures in docs/decisions.md).

Not here: several devices, gradient accumulation, other optimizers, other architectures.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import Olmo2Config, Olmo2ForCausalLM, PreTrainedTokenizerBase

from dataselect.proxies.recipe import Recipe

Progress = Callable[[Mapping[str, float]], None]


@dataclass(frozen=True)
class Training:
    """What came of a run."""

    diverged: bool
    """The loss or the weights stopped being finite; there are no later checkpoints."""
    steps: int
    tokens: int
    final_loss: float | None
    """Mean of the last tenth of the steps, nats per token."""
    losses: list[tuple[int, float]]
    """(step, mean loss since the entry before), about a hundred entries."""
    seconds: float
    """Wall time over all attempts, each killed one up to its last saved state."""
    cpu_seconds: float
    """Likewise, of this process."""


class Sequences(Protocol):
    """Training data: rows of `sequence_length + 1` token ids, in the order of training."""

    def __len__(self) -> int: ...

    def batch(self, first: int, count: int) -> NDArray[np.int64]: ...


def train(
    recipe: Recipe,
    data: Sequences,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    progress: Progress,
    device: str = "cpu",
    save_seconds: float = 15.0,
) -> Training:
    """Train in `folder`, going on from the state there if an earlier call was killed.

    Leaves `folder/step-NNNNNNNN/` Hugging Face checkpoints (safetensors, config, tokenizer).
    `data` must hold at least `steps * batch_size` sequences. Called again after its end it
    returns the same at once.
    """
    assert len(data) >= recipe.steps * recipe.batch_size, "the data must cover the budget"
    run = _Run.resume(recipe, folder, device) or _Run(recipe, device)
    checkpoint_steps = set(recipe.checkpoint_steps())
    log_every = max(1, recipe.steps // 100)
    began, before, first_step = time.monotonic(), run.seconds, run.step
    cpu_before = run.cpu_seconds - time.process_time()
    saved_at, save_cost, reported_at = began, 0.0, 0.0
    while run.step < recipe.steps:
        rows = data.batch(run.step * recipe.batch_size, recipe.batch_size)
        run.take_step(rows)
        now = time.monotonic()
        run.seconds = before + now - began
        run.cpu_seconds = cpu_before + time.process_time()
        at_checkpoint = run.step in checkpoint_steps
        if run.step % log_every == 0 or at_checkpoint:
            run.log()
            if at_checkpoint:
                run.check_weights()
            if run.diverged:
                return run.result()
        if at_checkpoint:
            save_checkpoint(run.model, tokenizer, folder / f"step-{run.step:08d}")
        if now - reported_at > 0.5 or run.step == recipe.steps:
            reported_at = now
            rate = (run.step - first_step) / max(now - began, 1e-9)
            per_step = recipe.batch_size * recipe.sequence_length
            progress(
                {
                    "tokens": run.step * per_step,
                    "total_tokens": recipe.tokens,
                    "tokens_per_second": rate * per_step,
                    "loss": run.losses[-1][1] if run.losses else math.nan,
                    "seconds_left": (recipe.steps - run.step) / rate,
                }
            )
        # State of a large model takes seconds to write: spend at most a twentieth on it.
        if now - saved_at > max(save_seconds, 20 * save_cost):
            run.save(folder)
            saved_at = time.monotonic()
            save_cost = saved_at - now
    # Between here and the publication of the checkpoints the caller may be killed, too.
    run.save(folder)
    return run.result()


def build_model(recipe: Recipe, eos_token_id: int | None) -> Olmo2ForCausalLM:
    """An untrained Olmo2 of the recipe's shape; the caller seeds torch."""
    shape = recipe.shape
    config = Olmo2Config(
        vocab_size=recipe.vocab_size,
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=max(recipe.sequence_length, 2048),
        tie_word_embeddings=shape.tie_embeddings,
        rope_theta=10_000.0,
        pad_token_id=eos_token_id,
        bos_token_id=None,
        eos_token_id=eos_token_id,
        attention_dropout=0.0,
    )
    return Olmo2ForCausalLM(config)


def save_checkpoint(
    model: Olmo2ForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path
) -> None:
    """Write a directory that `AutoModelForCausalLM.from_pretrained` loads, all or nothing."""
    unfinished = folder.with_name(folder.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    model.config.eos_token_id = tokenizer.eos_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(unfinished)
    tokenizer.save_pretrained(str(unfinished))
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


class _Run:
    """A training run between two steps: all that moves."""

    def __init__(self, recipe: Recipe, device: str) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        self.model = build_model(recipe, eos_token_id=None).to(self.device).train()
        self.optimizer = _optimizer(self.model, recipe)
        self.step, self.diverged = 0, False
        self.seconds, self.cpu_seconds = 0.0, 0.0
        self.losses: list[tuple[int, float]] = []
        self._pending = torch.zeros((), device=self.device)
        self._pending_steps = 0

    @classmethod
    def resume(cls, recipe: Recipe, folder: Path, device: str) -> "_Run | None":
        if not (folder / "state.safetensors").exists():
            return None
        run = cls(recipe, device)
        tensors = load_file(folder / "state.safetensors")
        facts = json.loads(bytes(tensors.pop("facts").tolist()))
        torch.set_rng_state(tensors.pop("rng"))
        with torch.no_grad():
            for name, parameter in run.model.named_parameters():
                parameter.copy_(tensors[f"model.{name}"])
                run.optimizer.state[parameter] = {
                    # The fused optimizer wants its counter where the weights are.
                    "step": torch.tensor(float(facts["step"]), device=run.device),
                    "exp_avg": tensors[f"mean.{name}"].to(run.device),
                    "exp_avg_sq": tensors[f"square.{name}"].to(run.device),
                }
        run.step = facts["step"]
        run.seconds, run.cpu_seconds = facts["seconds"], facts["cpu_seconds"]
        run.losses = [(step, loss) for step, loss in facts["losses"]]
        run._pending.fill_(facts["pending"])
        run._pending_steps = facts["pending_steps"]
        return run

    def save(self, folder: Path) -> None:
        """Write the state by rename, in one file, so that weights and cursor cannot disagree."""
        facts = {
            "step": self.step,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "losses": self.losses,
            "pending": self._pending.item(),
            "pending_steps": self._pending_steps,
        }
        tensors = {
            "rng": torch.get_rng_state(),
            "facts": torch.tensor(list(json.dumps(facts).encode()), dtype=torch.uint8),
        }
        for name, parameter in self.model.named_parameters():
            moments = self.optimizer.state[parameter]
            tensors[f"model.{name}"] = parameter.detach()
            tensors[f"mean.{name}"] = moments["exp_avg"]
            tensors[f"square.{name}"] = moments["exp_avg_sq"]
        unfinished = folder / "state.unfinished"
        save_file(tensors, unfinished)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(folder / "state.safetensors")

    def take_step(self, rows: NDArray[np.int64]) -> None:
        recipe = self.recipe
        factor = schedule(self.step, recipe.steps, recipe.warmup_fraction)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        tokens = torch.from_numpy(rows).to(self.device)
        bf16 = recipe.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            hidden = self.model.model(
                input_ids=tokens[:, :-1], attention_mask=None, use_cache=False
            ).last_hidden_state
        loss: torch.Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden.flatten(0, 1), self.model.lm_head.weight, tokens[:, 1:].flatten(), bf16
        )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._pending += loss.detach()
        self._pending_steps += 1
        self.step += 1

    def log(self) -> None:
        """Close the running mean; a loss that is no number ends the run."""
        loss = self._pending.item() / max(1, self._pending_steps)
        self.diverged = not math.isfinite(loss)
        if not self.diverged:
            self.losses.append((self.step, loss))
        self._pending.zero_()
        self._pending_steps = 0

    def check_weights(self) -> None:
        """End the run if its last step left weights that are no numbers: no loss shows it yet."""
        if not all(bool(p.isfinite().all()) for p in self.model.parameters()):
            self.diverged = True

    def result(self) -> Training:
        tail = [loss for step, loss in self.losses if step > 0.9 * self.recipe.steps]
        per_step = self.recipe.batch_size * self.recipe.sequence_length
        return Training(
            diverged=self.diverged,
            steps=self.step,
            tokens=self.step * per_step,
            final_loss=float(np.mean(tail)) if tail and not self.diverged else None,
            losses=self.losses,
            seconds=self.seconds,
            cpu_seconds=self.cpu_seconds,
        )


def schedule(step: int, steps: int, warmup_fraction: float) -> float:
    """Share of the peak learning rate at `step`: linear warm-up, then a cosine to a tenth."""
    warmup = max(1, round(steps * warmup_fraction))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


def _optimizer(model: Olmo2ForCausalLM, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW with three groups: embeddings, matrices (decayed), and norms (not decayed)."""
    embeddings: list[torch.nn.Parameter] = []
    matrices: list[torch.nn.Parameter] = []
    vectors: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if name.startswith(("model.embed_tokens", "lm_head")):
            embeddings.append(parameter)
        else:
            (matrices if parameter.ndim > 1 else vectors).append(parameter)
    rate, decay = recipe.learning_rate, recipe.weight_decay
    groups = [
        {"params": embeddings, "peak": recipe.embedding_learning_rate, "weight_decay": 0.0},
        {"params": matrices, "peak": rate, "weight_decay": decay},
        {"params": vectors, "peak": rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Mean cross-entropy of `hidden @ weight.T`, in rows of bounded size.

    The gradient is taken along with the loss, chunk by chunk, so logits of more than one chunk
    never exist. hidden (rows, h), weight (V, h), targets (rows,).
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        targets: torch.Tensor,
        bf16: bool,
    ) -> torch.Tensor:
        kind = torch.bfloat16 if bf16 else torch.float32
        rows, vocabulary = hidden.shape[0], weight.shape[0]
        chunk = max(64, 2**23 // vocabulary)  # logits of at most 32 MiB
        weight_cast = weight.to(kind)
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32)
        total = torch.zeros((), device=hidden.device)
        for first in range(0, rows, chunk):
            part = hidden[first : first + chunk].to(kind)
            wanted = targets[first : first + chunk, None]
            logits = (part @ weight_cast.T).float()
            log_total = torch.logsumexp(logits, dim=-1, keepdim=True)
            total += (log_total - logits.gather(1, wanted)).sum()
            slope = logits.sub_(log_total).exp_().div_(rows)
            slope.scatter_add_(1, wanted, torch.full_like(log_total, -1.0 / rows))
            slope = slope.to(kind)
            hidden_gradient[first : first + chunk] = slope @ weight_cast
            weight_gradient += slope.T @ part
        ctx.save_for_backward(hidden_gradient, weight_gradient.to(weight.dtype))
        return total / rows

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        hidden_gradient, weight_gradient = ctx.saved_tensors
        (upstream,) = gradients
        return hidden_gradient * upstream, weight_gradient * upstream, None, None
