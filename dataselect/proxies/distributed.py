"""One proxy trained by several processes, each with a GPU of its own or a core.

    python -m torch.distributed.run --nproc-per-node 8 -m dataselect.proxies.distributed SPEC.json

is what `processes` starts on this machine, and what anyone may start with a torchrun or a scheduler
of their own, on several machines too (`docs/training.md`). Every process takes its even
share of every batch, so that order of data, schedule and result are those of one process, to the
rounding of sums. Two kinds of run differ in where the weights are:

- `Replicated` (DDP): whole in every process; gradients are summed once a step, after the last
  slice of the batch, which at these batch sizes leaves little to hide behind the backward pass;
- `Sharded` (FSDP): a share in each, gathered block by block by torch's `fully_shard`.

Both write the state that a single process writes, whole and from the first process, so a run that
was killed goes on with any number of processes and in either way; the price is that one process
writes it all, which bounds the size of models to a few billion parameters.

Not here: tensor or pipeline parallelism, processes that join or leave, populations.
"""

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn import Parameter
from torch.utils.checkpoint import checkpoint
from transformers import Olmo2ForCausalLM

from dataselect.corpus.packing import PackedData
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.errors import DataselectError, InputError
from dataselect.proxies.layout import Layout, check_layout
from dataselect.proxies.loss import ChunkedCrossEntropy
from dataselect.proxies.model import build_model
from dataselect.proxies.population import copy_into
from dataselect.proxies.processes import ENDS_WITH_STDIN, RESULT, Spec
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.train import DTYPES, Member, Run, Training, device_bytes, run_to_end

# Others wait while the first process writes a large state or checkpoint.
_PATIENCE = timedelta(hours=1)
_BUCKET_ELEMENTS = 1 << 24


class Replicated(Run):
    """A run whose weights are whole in every process. One member."""

    def __init__(self, recipe: Recipe, member: Member, device: str, recompute: bool) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        super().__init__(recipe, [member], device, recompute)

    def _resume(self) -> None:
        super()._resume()
        if self.rank > 0:
            # What the first process has counted would be counted once for each.
            self._pending.zero_()

    def agrees(self, wish: bool) -> bool:
        wished = torch.tensor(int(wish))
        dist.broadcast(wished, src=0)
        return bool(wished)

    def _total(self, counted: torch.Tensor) -> torch.Tensor:
        total = counted.clone()
        dist.all_reduce(total)
        return total

    def _backward(self, loss: torch.Tensor, is_last: bool) -> None:
        super()._backward(loss, is_last)
        if is_last:
            _add_up([p.grad for p in self.parameters.values() if p.grad is not None])


class Sharded(Replicated):
    """A run of which every process has a share of the weights, gradients and moments."""

    def __init__(self, recipe: Recipe, member: Member, device: str, recompute: bool) -> None:
        super().__init__(recipe, member, device, recompute)
        # Every slice is gathered for, so all must take as many, whatever memory they have.
        fewest = torch.tensor(self._slice)
        dist.all_reduce(fewest, op=dist.ReduceOp.MIN)
        self._slice = int(fewest)

    def _build(self) -> dict[str, Parameter]:
        (member,) = self.members
        torch.manual_seed(member.seed)
        model = build_model(self.recipe, eos_token_id=None)
        dtype = DTYPES[self.recipe.precision]
        self._mesh = init_device_mesh(self.device.type, (self.size,))
        # What passes between blocks stays in float32, as in a single process.
        policy = MixedPrecisionPolicy(
            param_dtype=dtype, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
        for block in model.model.layers:
            if self.recompute:
                _recompute(block)
            fully_shard(block, mesh=self._mesh, mp_policy=policy)
        self._loss = _SummedLoss(model, dtype)
        fully_shard(self._loss, mesh=self._mesh)
        return dict(model.named_parameters())

    def _placed(self, parameter: torch.Tensor, saved: list[torch.Tensor]) -> torch.Tensor:
        assert isinstance(parameter, DTensor), "fully_shard makes every parameter one"
        whole = saved[0].to(self.device)
        # Each process has read all of it, so there is nothing to send.
        return distribute_tensor(
            whole, parameter.device_mesh, parameter.placements, src_data_rank=None
        )

    def _whole(self, placed: torch.Tensor, member: int) -> torch.Tensor:
        assert isinstance(placed, DTensor), "fully_shard makes every parameter one"
        # Taken part in by all, kept by the one that writes.
        whole: torch.Tensor = placed.full_tensor().detach()
        return whole.cpu() if self.rank == 0 else torch.empty(0)

    def _summed_losses(self, tokens: torch.Tensor) -> torch.Tensor:
        losses: torch.Tensor = self._loss(tokens[0])
        return losses

    def _backward(self, loss: torch.Tensor, is_last: bool) -> None:
        # It gives every process its share of the mean gradient; wanted is the sum's.
        (loss * self.size).backward()  # type: ignore[no-untyped-call]

    def _clip(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.grad_clip)

    def _finite_models(self) -> list[bool]:
        found = [bool(self._local(p).isfinite().all()) for p in self.parameters.values()]
        finite = torch.tensor(int(all(found)))
        dist.all_reduce(finite, op=dist.ReduceOp.MIN)
        return [bool(finite)]

    @staticmethod
    def _local(parameter: torch.Tensor) -> torch.Tensor:
        assert isinstance(parameter, DTensor), "fully_shard makes every parameter one"
        return parameter.to_local()

    def _model(self, member: int) -> Olmo2ForCausalLM | None:
        whole = {name: self._whole(p, member)[None] for name, p in self.parameters.items()}
        if self.rank > 0:
            return None
        return copy_into(build_model(self.recipe, eos_token_id=None), whole, 0)


class _SummedLoss(torch.nn.Module):
    """Nats of a model over sequences, (1,); the root of what is sharded.

    It multiplies with the output layer itself, so this is where that has to be gathered.
    """

    def __init__(self, model: Olmo2ForCausalLM, dtype: torch.dtype) -> None:
        super().__init__()
        self.model, self._dtype = model.train(), dtype

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        with torch.autocast(tokens.device.type, self._dtype, enabled=self._dtype != torch.float32):
            hidden = self.model.model(input_ids=tokens[:, :-1], use_cache=False).last_hidden_state
        summed: torch.Tensor = ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
            hidden.float().flatten(0, 1)[None],
            self.model.lm_head.weight[None],
            tokens[:, 1:].flatten()[None],
            self._dtype,
        )
        # Not the view of an output, which would not tell when its backward pass begins.
        return summed.clone()


def _add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Sum each tensor over the processes, in place; small ones travel together."""
    bucket: list[torch.Tensor] = []
    for n, tensor in enumerate(tensors):
        bucket.append(tensor)
        if n + 1 < len(tensors) and sum(each.numel() for each in bucket) < _BUCKET_ELEMENTS:
            continue
        flat = torch.cat([each.flatten() for each in bucket])
        dist.all_reduce(flat)
        parts = torch.split(flat, [each.numel() for each in bucket])
        for each, part in zip(bucket, parts, strict=True):
            each.copy_(part.view_as(each))
        bucket = []


def _recompute(block: torch.nn.Module) -> None:
    """Keep only what enters the block; inside of what gathers its weights, which happens once."""
    forward = block.forward

    def twice(*arguments: Any, **options: Any) -> Any:
        return checkpoint(
            forward, *arguments, use_reentrant=False, preserve_rng_state=False, **options
        )

    block.forward = twice


def train_share(spec: Spec) -> Training:
    """Take part as the process that torchrun's environment names; the first one writes."""
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    recipe, layout = spec.recipe, spec.layout
    with _group(spec.device, local) as device:
        size = dist.get_world_size()
        check_layout(recipe, Layout(processes=size), "batch_size")
        data = PackedData(spec.parts, recipe.sequence_length, recipe.seed, recipe.tokens)
        member = Member(data, spec.folder, recipe.seed)
        memory = device_bytes(torch.device(device))
        way = Sharded if layout.is_sharded(recipe.parameters, memory) else Replicated
        run = way(recipe, member, device, layout.recomputes(recipe.parameters))
        tokenizer = load_tokenizer(str(spec.tokenizer), None)
        run_to_end(
            run, tokenizer, _report_progress if rank == 0 else _stay_silent, spec.save_seconds
        )
        training = run.result(0)
        if rank == 0:
            unfinished = spec.folder / "result.unfinished"
            unfinished.write_text(json.dumps(asdict(training)), encoding="utf-8")
            unfinished.replace(spec.folder / RESULT)
    return training


@contextmanager
def _group(device: str, local: int) -> Iterator[str]:
    """The processes joined together; yields this one's device."""
    cuda = device.startswith("cuda")
    if cuda:
        there = torch.cuda.device_count()
        if local >= there:
            raise InputError(
                "processes_per_proxy",
                f"process {local + 1} of this machine has no GPU, there are {there}",
                f"write {there}, or fewer",
            )
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_PATIENCE)
    try:
        yield f"cuda:{local}" if cuda else "cpu"
    finally:
        dist.destroy_process_group()


def _report_progress(fields: Mapping[str, float]) -> None:
    print(json.dumps({"progress": dict(fields)}), flush=True)  # noqa: T201 (read by the parent)


def _stay_silent(fields: Mapping[str, float]) -> None:
    """The first process speaks for all."""


def _end_with_stdin() -> None:
    # The parent never writes: the end of the file is its own end, however that came about.
    # Not through `sys.stdin`, whose lock would be held at the end of the interpreter.
    os.read(0, 1)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """One process: `SPEC.json`, in the environment of torchrun."""
    path = Path(arguments[0]).absolute()
    if ENDS_WITH_STDIN in arguments:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    spec = Spec.read(path)
    try:
        train_share(spec)
    except Exception as error:
        ours = isinstance(error, DataselectError)
        told = str(error) if ours else f"{type(error).__name__}: {error}"
        failure = {"time": time.time(), "error": " ".join(told.split())}
        name = f"failure-{os.environ['RANK']}.json"
        (spec.folder / name).write_text(json.dumps(failure), encoding="utf-8")
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
