"""The training loops that are compared, each in a fresh process of one thread.

All start from the same weights and take the same sequences in the same order through the same
AdamW (betas, epsilon, groups, decay, clipping, rate of every step), so their losses can be laid
side by side. Processes are forked from a server that has only imported the libraries: what a loop
allocates is its own, and importing is not part of any figure.
"""

import os

# Read by the libraries when they load, in the server too.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, Olmo2ForCausalLM, PrinterCallback

from dataselect.corpus.tokenizer import train_tokenizer
from dataselect.proxies.model import build_model
from dataselect.proxies.optimizer import schedule
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import Member, train_population

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Task:
    """One training run; `rows` and `held_out` are .npy files of (count, sequence_length + 1)."""

    loop: str
    recipe: Recipe
    rows: Path
    held_out: Path | None = None
    models: int = 1
    """Trained as one population where there are several; ours alone can."""


@dataclass(frozen=True)
class Outcome:
    """What came of a task; memory in MiB, resident."""

    cpu_seconds: float
    """Of the steps alone: neither building the model nor writing it."""
    losses: list[tuple[int, float]]
    """(step, mean loss of the steps since the entry before)."""
    peak_memory: float
    memory_before: float
    held_out_loss: float | None = None


class Rows:
    """Sequences in the order of training."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def batch(self, first: int, count: int) -> Ids:
        return self._ids[first : first + count]

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        """As the Trainer wants it; targets that are shifted already keep the lengths equal."""
        ids = torch.from_numpy(self._ids[index])
        return {"input_ids": ids[:-1], "labels": ids[1:], "shift_labels": ids[1:]}


# This module itself would not be found: the server does not search the script's folder.
_LIBRARIES = ["dataselect.proxies.train", "transformers.trainer", "accelerate", "torch.profiler"]


@contextmanager
def one_process_each() -> Iterator[Callable[..., Any]]:
    """Give a function that calls another one in a process made for this call."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_LIBRARIES)
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


def run(task: Task) -> Outcome:
    """Carry out the task in this process, after a short training that warms the libraries."""
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    ids = np.load(task.rows)
    short = replace(task.recipe, steps=1, batch_size=1, sequence_length=min(256, ids.shape[1] - 1))
    loop = LOOPS[task.loop]
    before = _memory("VmRSS")
    with tempfile.TemporaryDirectory() as folder:
        loop(short, Rows(ids[:1, : short.sequence_length + 1]), Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        if task.models > 1:
            seconds, losses, model = ours(task.recipe, Rows(ids), Path(folder), task.models)
        else:
            seconds, losses, model = loop(task.recipe, Rows(ids), Path(folder))
        peak = _memory("VmHWM")
        held_out = None
        if task.held_out is not None:
            held_out = _loss(model, np.load(task.held_out))
    return Outcome(seconds, losses, peak, before, held_out)


def _memory(field: str) -> float:
    """A figure of this process's memory in MiB (`ru_maxrss` would include the server's)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise OSError("this system does not tell a process's memory in /proc")


@torch.no_grad()
def _loss(model: Any, ids: Ids) -> float:
    rows = torch.from_numpy(ids)
    model.eval()
    total = 0.0
    for part in rows.split(8):
        logits = model(part[:, :-1]).logits.float().flatten(0, 1)
        total += cross_entropy(logits, part[:, 1:].flatten(), reduction="sum").item()
    return total / rows[:, 1:].numel()


Result = tuple[float, list[tuple[int, float]], Olmo2ForCausalLM]


def ours(recipe: Recipe, data: Rows, folder: Path, models: int = 1) -> Result:
    """Seconds are those of all models, losses and checkpoint those of the first."""
    tokenizer = train_tokenizer(iter(["one text"]), 257, split_digits=True)
    members = [Member(data, folder / str(n), recipe.seed + n) for n in range(models)]
    for member in members:
        member.folder.mkdir()
    trained = train_population(recipe, members, tokenizer, lambda fields: None, save_seconds=1e9)
    last = members[0].folder / f"step-{recipe.steps:08d}"
    model = AutoModelForCausalLM.from_pretrained(last, trust_remote_code=False)
    return sum(each.cpu_seconds for each in trained), trained[0].losses, model


def plain(recipe: Recipe, data: Rows, folder: Path, nudge: float = 0.0) -> Result:
    """What one writes first: whole logits, torch's cross-entropy, fused AdamW.

    The initial weights are raised by the share `nudge`.
    """
    model = _untrained(recipe)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + nudge)
    optimizer = _optimizer(model, recipe)
    entries: list[tuple[int, float]] = []
    pending: list[float] = []
    log_every = max(1, recipe.steps // 100)
    began = time.process_time()
    for step in range(recipe.steps):
        rows = torch.from_numpy(data.batch(step * recipe.batch_size, recipe.batch_size))
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * schedule(
                step, recipe.steps, recipe.warmup_fraction
            )
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = model(rows[:, :-1]).logits
        loss = cross_entropy(logits.float().flatten(0, 1), rows[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.grad_clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        pending.append(loss.item())
        if (step + 1) % log_every == 0:
            entries.append((step + 1, float(np.mean(pending))))
            pending.clear()
    return time.process_time() - began, entries, model


def plain_nudged(recipe: Recipe, data: Rows, folder: Path) -> Result:
    """How far a difference in the last bit of the weights goes is the measure of equality."""
    return plain(recipe, data, folder, nudge=1e-7)


class _Clock(transformers.TrainerCallback):  # type: ignore[misc]
    """CPU seconds from the first step's beginning to the last one's end."""

    seconds = 0.0

    def on_train_begin(self, *arguments: Any, **options: Any) -> None:
        self.seconds = -time.process_time()

    def on_train_end(self, *arguments: Any, **options: Any) -> None:
        self.seconds += time.process_time()


class _InOrder(transformers.Trainer):  # type: ignore[misc]
    def _get_train_sampler(self, *arguments: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def hf_trainer(recipe: Recipe, data: Rows, folder: Path, accumulate: bool = False) -> Result:
    """transformers.Trainer; with `accumulate` a step's sequences go through one by one."""
    clock = _Clock()
    together = 1 if accumulate else recipe.batch_size
    made = trainer(recipe, data, folder, together, clock, "cpu")
    mean_loss = made.train().training_loss
    return clock.seconds, [(recipe.steps, mean_loss)], made.model


def trainer(
    recipe: Recipe,
    data: Rows,
    folder: Path,
    together: int,
    callback: transformers.TrainerCallback,
    device: str,
) -> transformers.Trainer:
    """One for the recipe, which sends so many sequences of a batch `together` through the model."""
    model = _untrained(recipe).to(device)
    optimizer = _optimizer(model, recipe)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule(step, recipe.steps, recipe.warmup_fraction)
    )
    made = _InOrder(
        model=model,
        args=transformers.TrainingArguments(
            output_dir=str(folder),
            max_steps=recipe.steps,
            per_device_train_batch_size=together,
            gradient_accumulation_steps=recipe.batch_size // together,
            max_grad_norm=recipe.grad_clip,
            bf16=recipe.precision == "bf16",
            use_cpu=device == "cpu",
            save_strategy="no",
            logging_steps=recipe.steps,
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            seed=recipe.seed,
        ),
        train_dataset=data,
        optimizers=(optimizer, rate),
        callbacks=[callback],
    )
    made.remove_callback(PrinterCallback)
    return made


def hf_trainer_accumulating(recipe: Recipe, data: Rows, folder: Path) -> Result:
    return hf_trainer(recipe, data, folder, accumulate=True)


LOOPS: dict[str, Callable[[Recipe, Rows, Path], Result]] = {
    "HF Trainer": hf_trainer,
    "HF Trainer, one sequence at a time": hf_trainer_accumulating,
    "plain loop": plain,
    "plain loop, weights nudged by 1e-7": plain_nudged,
    "dataselect": ours,
}


def _untrained(recipe: Recipe) -> Olmo2ForCausalLM:
    torch.manual_seed(recipe.seed)
    return build_model(recipe, eos_token_id=None).train()


def _optimizer(model: Olmo2ForCausalLM, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that decays the matrices but neither embeddings nor norms, all at one rate."""
    decayed: list[torch.nn.Parameter] = []
    others: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim > 1 and not name.startswith(("model.embed_tokens", "lm_head"))
        (decayed if is_matrix else others).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": decayed, "weight_decay": recipe.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
        betas=(0.9, 0.95),
        eps=1e-8,
        fused=True,
    )


def matmul_rate(dtype: str, size: int = 1024, seconds: float = 2.0) -> float:
    """FLOPs per CPU second of products of square matrices: the machine's practical peak."""
    torch.set_num_threads(1)
    kind = getattr(torch, dtype)
    a, b = torch.randn(size, size).to(kind), torch.randn(size, size).to(kind)
    out = torch.empty(size, size, dtype=kind)
    torch.matmul(a, b, out=out)
    count, began = 0, time.process_time()
    while time.process_time() - began < seconds:
        torch.matmul(a, b, out=out)
        count += 1
    return count * 2 * size**3 / (time.process_time() - began)
