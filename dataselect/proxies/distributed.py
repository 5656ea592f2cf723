"""Train one proxy with several processes, each with one GPU or CPU core.

    python -m torch.distributed.run --nproc-per-node 8 -m dataselect.proxies.distributed SPEC.json

`processes` starts this on the local machine; users may start it with their own torchrun or
scheduler, also on several machines (`docs/training.md`). Every process takes an equal share of
every batch, so the data order, the schedule and the result are those of one process, up to the
rounding of sums. Two kinds of run differ in the placement of the parameters:

- `Replicated` (DDP): a whole copy in every process; gradients are summed once a step, after the
  last slice of the batch, as at these batch sizes there is little to overlap with the backward
  pass;
- `Sharded` (FSDP): a shard in each, gathered block by block by torch's `fully_shard`.

Both save the same state as a single process, whole and from rank 0, so a run that was killed
resumes with any number of processes and in either way. The cost: one process writes everything,
which limits models to a few billion parameters.

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
from dataselect.proxies.saved_state import settle
from dataselect.proxies.train import DTYPES, Member, Run, Training, device_bytes, run_to_end
from dataselect.store.sealed import write_own

# The others wait while rank 0 writes a large state or checkpoint.
_TIMEOUT = timedelta(hours=1)
_BUCKET_ELEMENTS = 1 << 24


class Replicated(Run):
    """A run with a whole copy of the parameters in every process. One member."""

    def __init__(self, recipe: Recipe, member: Member, device: str, recompute: bool) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        if self.rank == 0:
            settle(member.folder)
        # The others look for a state only when a spoilt one is out of the way.
        self.agrees(True)
        super().__init__(recipe, [member], device, recompute)

    def _resume(self) -> None:
        super()._resume()
        if self.rank > 0:
            # The saved sum is over all processes; only rank 0 keeps it, to count it once.
            self._pending.zero_()

    def agrees(self, proposal: bool) -> bool:
        decision = torch.tensor(int(proposal))
        dist.broadcast(decision, src=0)
        return bool(decision)

    def _total(self, values: torch.Tensor) -> torch.Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    def _share_gradients(self) -> None:
        _add_up([p.grad for p in self.parameters.values() if p.grad is not None])


class Sharded(Replicated):
    """A run with a shard of the parameters, gradients and moments in every process."""

    def __init__(self, recipe: Recipe, member: Member, device: str, recompute: bool) -> None:
        super().__init__(recipe, member, device, recompute)
        # Every slice gathers parameters from all, so all must take equally many slices.
        fewest = torch.tensor(self._slice)
        dist.all_reduce(fewest, op=dist.ReduceOp.MIN)
        self._slice = int(fewest)

    def _make_fused(self) -> None:
        """No process has all weights, and recipes with fused kernels are refused before."""

    def _build(self) -> dict[str, Parameter]:
        (member,) = self.members
        torch.manual_seed(member.seed)
        model = build_model(self.recipe, eos_token_id=None)
        dtype = DTYPES[self.recipe.precision]
        self._mesh = init_device_mesh(self.device.type, (self.size,))
        # The residual stream stays in float32, as in a single process.
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
        # Each process has read the whole tensor, so nothing is sent.
        return distribute_tensor(
            whole, parameter.device_mesh, parameter.placements, src_data_rank=None
        )

    def _whole(self, placed: torch.Tensor, member: int) -> torch.Tensor:
        assert isinstance(placed, DTensor), "fully_shard makes every parameter one"
        # All processes take part; only rank 0, which writes, keeps it.
        whole: torch.Tensor = placed.full_tensor().detach()
        return whole.cpu() if self.rank == 0 else torch.empty(0)

    def _summed_losses(self, tokens: torch.Tensor) -> torch.Tensor:
        losses: torch.Tensor = self._loss(tokens[0])
        return losses

    def _backward(self, loss: torch.Tensor, is_last: bool) -> None:
        # FSDP averages gradients over the processes; the sum is needed.
        (loss * self.size).backward()  # type: ignore[no-untyped-call]

    def _clip(self) -> None:
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.recipe.grad_clip)

    def _finite_models(self) -> list[bool]:
        finite_shards = [bool(self._local(p).isfinite().all()) for p in self.parameters.values()]
        finite = torch.tensor(int(all(finite_shards)))
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
    """Summed loss of a model over sequences in nats, shape (1,); the root module of the sharding.

    It uses the output layer itself, so the output layer is gathered here.
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
        # A clone, because FSDP's backward hooks do not fire on a view of an output.
        return summed.clone()


def _add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Sum each tensor over the processes, in place; small ones share one all-reduce."""
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
    """Checkpoint a block's activations, inside of FSDP's hooks, so that it gathers only once."""
    forward = block.forward

    def twice(*arguments: Any, **options: Any) -> Any:
        return checkpoint(
            forward, *arguments, use_reentrant=False, preserve_rng_state=False, **options
        )

    block.forward = twice


def train_share(spec: Spec) -> Training:
    """Train as one process of torchrun's group, named by its environment; rank 0 writes."""
    rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    recipe, layout = spec.recipe, spec.layout
    with _group(spec.device, local) as device:
        size = dist.get_world_size()
        check_layout(recipe, Layout(processes=size), "batch_size")
        data = PackedData(spec.parts, recipe.sequence_length, recipe.seed, recipe.tokens)
        member = Member(data, spec.folder, recipe.seed)
        memory = device_bytes(torch.device(device))
        kind = Sharded if layout.is_sharded(recipe.parameters, memory) else Replicated
        run = kind(recipe, member, device, layout.recomputes(recipe.parameters))
        tokenizer = load_tokenizer(str(spec.tokenizer), None)
        run_to_end(
            run, tokenizer, _report_progress if rank == 0 else _stay_silent, spec.save_seconds
        )
        training = run.result(0)
        if rank == 0:
            write_own(spec.folder / RESULT, asdict(training))
    return training


@contextmanager
def _group(device: str, local: int) -> Iterator[str]:
    """Join the process group; yields this process's device."""
    cuda = device.startswith("cuda")
    if cuda:
        gpus = torch.cuda.device_count()
        if local >= gpus:
            raise InputError(
                "processes_per_proxy",
                f"process {local + 1} of this machine has no GPU, there are {gpus}",
                f"write {gpus}, or fewer",
            )
        torch.cuda.set_device(local)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=_TIMEOUT)
    try:
        yield f"cuda:{local}" if cuda else "cpu"
    finally:
        dist.destroy_process_group()


def _report_progress(fields: Mapping[str, float]) -> None:
    print(json.dumps({"progress": dict(fields)}), flush=True)  # noqa: T201 (read by the parent)


def _stay_silent(fields: Mapping[str, float]) -> None:
    """Only rank 0 reports."""


def _end_with_stdin() -> None:
    # The parent never writes, so end-of-file means that it has ended, for whatever reason.
    # Not through `sys.stdin`, whose lock would be held when the interpreter exits.
    os.read(0, 1)
    os._exit(1)


def main(arguments: list[str]) -> None:
    """Run one process: `SPEC.json` as argument, torchrun's environment variables set."""
    path = Path(arguments[0]).absolute()
    if ENDS_WITH_STDIN in arguments:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    spec = Spec.read(path)
    try:
        train_share(spec)
    except Exception as error:
        is_ours = isinstance(error, DataselectError)
        message = str(error) if is_ours else f"{type(error).__name__}: {error}"
        failure = {"time": time.time(), "error": " ".join(message.split())}
        name = f"failure-{os.environ['RANK']}.json"
        (spec.folder / name).write_text(json.dumps(failure), encoding="utf-8")
        traceback.print_exc()
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
