"""A candidate's proxy as an artifact: trained once, then read from the store.

A proxy is determined by its recipe, its tokenizer and its token streams, not by the candidate's
name or the run. So two candidates with the same text share a proxy, and renaming a candidate costs
nothing.

An artifact holds `step-NNNNNNNN/` (Hugging Face checkpoints) and `training.json`. A run that
diverged is an artifact too, without a last checkpoint, so that it is not repeated. The number of
training processes is not part of the key (`layout`), nor is the kind of machine: `training.json`
records both (`compute.machine`), and reports say where they are mixed.
"""

import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.compute.machine import (
    UNKNOWN,
    Machine,
    processor_name,
    this_machine,
)
from dataselect.corpus.prepare import Share
from dataselect.cost import training_flops
from dataselect.proxies.kernels import require_numba
from dataselect.proxies.layout import ONE_PROCESS, Layout, check_layout
from dataselect.proxies.recipe import TRAINER_VERSION, Recipe
from dataselect.store import Artifact, Claim, LostClaimError, Store, Work
from dataselect.store.sealed import read_own, write_own

if TYPE_CHECKING:
    from dataselect.corpus.packing import Part
    from dataselect.proxies.train import Progress, Training

KIND = "proxy"
_MACHINES = "trained_on.json"
_MACHINES_BEFORE = "machines.json"
"""The same in a workspace of an older version, without a checksum."""


@dataclass(frozen=True)
class ProxyRequest:
    """A proxy to train."""

    recipe: Recipe
    tokenizer: Path
    """The tokenizer's folder."""
    tokenizer_hash: str
    shares: tuple[Share, ...]
    """The candidate's token streams with their budgets."""

    @property
    def spec(self) -> dict[str, Any]:
        """Everything that determines the checkpoints."""
        return {
            "trainer": TRAINER_VERSION,
            "recipe": self.recipe.describe(),
            "tokenizer": self.tokenizer_hash,
            "data": [{"stream": share.stream, "tokens": share.tokens} for share in self.shares],
        }


@dataclass(frozen=True)
class Proxy:
    """A trained proxy in the store."""

    artifact: Artifact
    recipe: Recipe
    facts: Mapping[str, Any]
    """`training.json`: losses, seconds, versions, hardware."""

    @property
    def diverged(self) -> bool:
        """Whether the loss or the weights became non-finite."""
        return bool(self.facts["diverged"])

    @property
    def trained_on(self) -> tuple[Machine, ...]:
        """What trained it; several where an attempt was stopped and another kind went on."""
        if "machines" in self.facts:
            return tuple(map(Machine.read, self.facts["machines"]))
        # Older versions recorded these alone.
        grouping = _grouping(self.facts.get("population", 1), self.facts.get("processes", 1))
        known = {"torch": self.facts.get("torch", UNKNOWN), "grouping": grouping}
        return (Machine.read(known),)

    def checkpoint(self, step: int) -> Path:
        """The Hugging Face folder after `step` steps, its files verified."""
        name = checkpoint_name(step)
        for file in self.artifact.files:
            if file.startswith(f"{name}/"):
                self.artifact.file(file)
        return self.artifact.path / name


def checkpoint_name(step: int) -> str:
    """The folder of a checkpoint inside a proxy's artifact."""
    return f"step-{step:08d}"


def find_proxy(store: Store, request: ProxyRequest) -> Proxy | None:
    """The proxy; None if it is not in the store."""
    artifact = store.find(KIND, request.spec)
    if artifact is None:
        return None
    return Proxy(artifact, request.recipe, artifact.json("training.json"))


def make_proxy(
    store: Store,
    request: ProxyRequest,
    name: str,
    device: str,
    progress: "Progress",
    layout: Layout = ONE_PROCESS,
) -> Proxy:
    """Train one proxy; see `make_proxies`."""
    return make_proxies(store, {name: request}, device, progress, layout)[0]


def make_proxies(
    store: Store,
    requests: Mapping[str, ProxyRequest],
    device: str,
    progress: "Progress",
    layout: Layout = ONE_PROCESS,
) -> list[Proxy]:
    """The proxies of the requests, all of one recipe; those not in the store are trained.

    On a GPU they train as one population. On a CPU, where that gains nothing and would give other
    bits than each alone, they train one after the other, as they do where each has several
    processes (`layout`). Resumes attempts that were killed. What other processes train is waited
    for at the end, and what they took over from this one too. The names are for the ledger. Raises
    whatever training raises, after recording the time in the ledger as failed.
    """
    together = layout.processes == 1 and device.startswith("cuda")
    left = dict(requests)
    while left:
        left = {name: each for name, each in left.items() if find_proxy(store, each) is None}
        if not left:
            break
        with ExitStack() as held:
            # Claimed without waiting, so that no two processes wait for each other's claims.
            claims = _claim(store, left, held, layout, device, at_once=together)
            if not claims:
                claims = _claim(store, left, held, layout, device, wait=True)
            population = {name: left[name] for name in claims}
            try:
                if population:
                    _train(store, population, claims, device, progress, layout)
            except Exception:
                if all(claim.is_held() for claim in claims.values()):
                    raise
                continue
            left = {name: each for name, each in left.items() if name not in population}
    proxies = [find_proxy(store, request) for request in requests.values()]
    return [proxy for proxy in proxies if proxy is not None]


def _claim(
    store: Store,
    requests: Mapping[str, ProxyRequest],
    held: ExitStack,
    layout: Layout,
    device: str,
    *,
    at_once: bool = False,
    wait: bool = False,
) -> dict[str, Claim]:
    """Claims on the first of the requests that is free, or on all that are; `held` ends them.

    With `wait`, on the first one as soon as it is free; none if another process makes it.
    """
    from dataselect.proxies.saved_state import STATE

    claims: dict[str, Claim] = {}
    gpus = layout.processes if device.startswith("cuda") else 0
    share = 1 / len(requests) if at_once else 1.0
    for name, request in requests.items():
        work = Work(name, gpus, saved=STATE, share=share)
        found = held.enter_context(store.claim(KIND, request.spec, work, wait=wait))
        if isinstance(found, Claim):
            claims[name] = found
        if wait or (claims and not at_once):
            break
    return claims


def _train(
    store: Store,
    requests: Mapping[str, ProxyRequest],
    claims: Mapping[str, Claim],
    device: str,
    progress: "Progress",
    layout: Layout,
) -> None:
    # Imported here so that a run with everything in the store never loads torch.
    import torch

    from dataselect.proxies.saved_state import settle
    from dataselect.proxies.train import device_bytes

    first = next(iter(requests.values()))
    recipe = first.recipe
    assert all(
        (each.recipe, each.tokenizer_hash) == (recipe, first.tokenizer_hash)
        for each in requests.values()
    ), "a population has one recipe and one tokenizer"
    wall, cpu = time.monotonic(), time.process_time()

    def note(name: str, status: str, seconds: float, cpu_seconds: float, tokens: int) -> None:
        facts = {
            "name": name,
            "status": status,
            "wall_seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "gpu_seconds": seconds * layout.processes if device.startswith("cuda") else 0.0,
            "flops": training_flops(recipe.parameters, tokens),
            "device": device,
        }
        store.note(KIND, requests[name].spec, facts)

    folders = [store.workspace(KIND, request.spec) for request in requests.values()]
    sharded = layout.is_sharded(recipe.parameters, device_bytes(torch.device(device)))
    grouping = _grouping(len(requests), layout.processes, "fsdp" if sharded else "ddp")
    machine = replace(this_machine(device), grouping=grouping)
    if recipe.kernels == "fused":
        check_layout(recipe, layout, "compute: shard")
        require_numba()
        machine = replace(machine, libraries=f"fused step of numba {version('numba')}")
    for folder in folders:
        settle(folder, store.damaged)
    machines = [_add_machine(folder, machine, store.damaged) for folder in folders]

    def progress_if_held(fields: Mapping[str, float]) -> None:
        for name, claim in claims.items():
            if claim.known_lost:
                raise LostClaimError(name)
        progress(fields)

    try:
        if layout.processes > 1:
            trained = [_train_together(first, folders[0], device, progress_if_held, layout)]
        else:
            trained = _train_here(requests, folders, device, progress_if_held, layout)
    except BaseException:
        if not all(claim.is_held() for claim in claims.values()):
            # Whoever took over has recorded what was lost.
            raise
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        for name in requests:
            note(name, "failed", wall / len(requests), cpu / len(requests), tokens=0)
        raise
    for (name, request), work, training, on in zip(
        requests.items(), folders, trained, machines, strict=True
    ):
        facts = {
            **asdict(training),
            "parameters": recipe.parameters,
            "flops": training_flops(recipe.parameters, training.tokens),
            "population": len(requests),
            "processes": layout.processes,
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name()
            if device.startswith("cuda")
            else processor_name(),
            "threads": torch.get_num_threads(),
            "machines": on,
        }
        with store.publish(KIND, request.spec) as folder:
            for checkpoint in sorted(work.glob("step-*")):
                if not checkpoint.name.endswith(".unfinished"):
                    # Linked, not moved: a kill at this point must leave the workspace complete.
                    shutil.copytree(checkpoint, folder / checkpoint.name, copy_function=os.link)
            (folder / "training.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        # Last, or a kill in between would count it twice. The seconds include killed attempts.
        note(name, "done", training.seconds, training.cpu_seconds, training.tokens)


def _add_machine(folder: Path, machine: Machine, damaged: Path) -> list[dict[str, str]]:
    """Records of what has trained in this workspace, `machine` included; kept beside the state."""
    from dataselect.proxies.saved_state import STATE

    path, records = folder / _MACHINES, list[dict[str, str]]()
    # Without a state nothing is left of earlier attempts.
    if (folder / STATE).exists():
        records = _machines_before(folder, damaged)
    if machine.record() not in records:
        records.append(machine.record())
    write_own(path, {"machines": records})
    return records


def _machines_before(folder: Path, damaged: Path) -> list[dict[str, str]]:
    """What the record in a workspace says; that nothing is known where it says nothing."""
    known = read_own(folder / _MACHINES, damaged)
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        if known is not None:
            records = known["machines"]
        else:
            records = json.loads((folder / _MACHINES_BEFORE).read_bytes())
        return [Machine.read(each).record() for each in records]
    return [Machine.read(None).record()]


def _grouping(models: int, processes: int, shard: str = UNKNOWN) -> str:
    """How the work was shared, as a `Machine` records it."""
    if processes > 1:
        return f"{processes} processes, {shard}"
    return "alone" if models == 1 else f"population of {models}"


def _train_here(
    requests: Mapping[str, ProxyRequest],
    folders: Sequence[Path],
    device: str,
    progress: "Progress",
    layout: Layout,
) -> "list[Training]":
    from dataselect.corpus.packing import PackedData
    from dataselect.corpus.tokenizer import load_tokenizer
    from dataselect.proxies.train import Member, train_population

    first = next(iter(requests.values()))
    recipe = first.recipe
    members = []
    for request, folder in zip(requests.values(), folders, strict=True):
        data = PackedData(_parts(request), recipe.sequence_length, recipe.seed, recipe.tokens)
        members.append(Member(data, folder, recipe.seed))
    return train_population(
        recipe,
        members,
        load_tokenizer(str(first.tokenizer), None),
        progress,
        device,
        recompute=layout.recomputes(recipe.parameters),
    )


def _train_together(
    request: ProxyRequest, folder: Path, device: str, progress: "Progress", layout: Layout
) -> "Training":
    from dataselect.proxies.processes import Spec, train_together

    parts = tuple(_parts(request))
    spec = Spec(request.recipe, request.tokenizer, parts, folder, device, layout)
    training = train_together(spec, progress)
    # Rank 0 reports its own CPU time, and all processes work in step.
    return replace(training, cpu_seconds=training.cpu_seconds * layout.processes)


def _parts(request: ProxyRequest) -> "list[Part]":
    from dataselect.corpus.packing import Part

    return [Part(str(share.folder), share.tokens) for share in request.shares]
