"""A candidate's proxy as an artifact: trained once, found ever after.

A proxy is determined by its recipe, its tokenizer and the token streams it was trained on, not
by the candidate's name or by the run it was made for. So two candidates with the same text share
a proxy, and a renamed candidate costs nothing.

An artifact holds `step-NNNNNNNN/` (Hugging Face checkpoints) and `training.json`. A run that
diverged is an artifact too, without a last checkpoint, so that it is not tried again and again.
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.corpus.prepare import Share
from dataselect.cost import training_flops
from dataselect.proxies.recipe import TRAINER_VERSION, Recipe
from dataselect.store import Artifact, Store

if TYPE_CHECKING:
    from dataselect.proxies.train import Progress

KIND = "proxy"


@dataclass(frozen=True)
class ProxyRequest:
    """What to train: `shares` are the candidate's token streams with their budgets."""

    recipe: Recipe
    tokenizer: Path
    tokenizer_hash: str
    shares: tuple[Share, ...]

    @property
    def spec(self) -> dict[str, Any]:
        """All that determines the checkpoints."""
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
        """Whether training ended in a loss that is no number."""
        return bool(self.facts["diverged"])

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
    """The proxy if it has been made already."""
    artifact = store.find(KIND, request.spec)
    if artifact is None:
        return None
    return Proxy(artifact, request.recipe, artifact.json("training.json"))


def make_proxy(
    store: Store, request: ProxyRequest, name: str, device: str, progress: "Progress"
) -> Proxy:
    """Train the proxy, going on from where an earlier attempt was killed; `name` is for the ledger.

    Raises whatever training raises, after the time it took is in the ledger as failed.
    """
    found = find_proxy(store, request)
    if found is not None:
        return found
    # Imported here so that a run in which everything is cached never loads torch.
    import torch

    from dataselect.corpus.packing import PackedData, Part
    from dataselect.corpus.tokenizer import load_tokenizer
    from dataselect.proxies.train import train

    recipe = request.recipe
    workspace = store.workspace(KIND, request.spec)
    wall, cpu = time.monotonic(), time.process_time()

    def note(status: str, seconds: float, cpu_seconds: float, tokens: int) -> None:
        facts = {
            "name": name,
            "status": status,
            "wall_seconds": seconds,
            "cpu_seconds": cpu_seconds,
            "gpu_seconds": seconds if device.startswith("cuda") else 0.0,
            "flops": training_flops(recipe.parameters, tokens),
            "device": device,
        }
        store.note(KIND, request.spec, facts)

    try:
        parts = [Part(str(share.folder), share.tokens) for share in request.shares]
        data = PackedData(parts, recipe.sequence_length, recipe.seed, recipe.tokens)
        tokenizer = load_tokenizer(str(request.tokenizer), None)
        training = train(recipe, data, tokenizer, workspace, progress, device)
    except BaseException:
        note("failed", time.monotonic() - wall, time.process_time() - cpu, tokens=0)
        raise
    facts = {
        **asdict(training),
        "parameters": recipe.parameters,
        "flops": training_flops(recipe.parameters, training.tokens),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else processor_name(),
        "threads": torch.get_num_threads(),
    }
    with store.publish(KIND, request.spec) as folder:
        for checkpoint in sorted(workspace.glob("step-*")):
            if not checkpoint.name.endswith(".unfinished"):
                # Linked, not moved: a kill in here must leave the workspace whole.
                shutil.copytree(checkpoint, folder / checkpoint.name, copy_function=os.link)
        (folder / "training.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
    # Last, or a kill in between would count it twice. It knows what killed attempts took.
    note("done", training.seconds, training.cpu_seconds, training.tokens)
    made = find_proxy(store, request)
    assert made is not None, "it was published a line ago"
    return made


def processor_name() -> str:
    """The CPU of this machine, as it calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
