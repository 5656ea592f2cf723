"""The plan: how to choose.

A plan names the tokenizer, the benchmarks, and what is trained and measured in Stage 1
(`screen`) and Stage 2 (`predict`). It knows nothing of the candidates, so one plan serves many
manifests; what depends on both (keeping more candidates than there are) is checked where they
meet, and what depends on the files that it names where those are read.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from dataselect.config.benchmark import Benchmark
from dataselect.config.mixture import Mix
from dataselect.config.plan_tokenizer import TokenizerPlan
from dataselect.config.proxy import Proxy, Seed
from dataselect.config.proxy_origin import Trainer
from dataselect.config.schema import Document, FieldError, Section, Text, read
from dataselect.errors import InputError
from dataselect.units import Count, Number, parse_count
from dataselect.wording import nearest, quoted


def _parse_automatic(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    try:
        count = parse_count(value)
    except ValueError:
        count = 0
    if count == 0:
        raise ValueError(f"{quoted(value)} is not a number of them; write 1 or more, or 'auto'")
    return count


Automatic = Annotated[int | Literal["auto"], BeforeValidator(_parse_automatic)]
Aggregate = Literal["mean_rank", "z_score"]


class Stage(Section):
    """What Stage 1 and Stage 2 have in common."""

    proxy: Proxy | None = None
    """The model that is trained on every candidate of this stage. Not needed where every candidate
    has a proxy from elsewhere."""

    train: Trainer | None = None
    """A command of your own that trains the proxy of every candidate instead of us; what a
    candidate says in its `proxies` goes first."""

    seeds: Annotated[Count, Field(le=64)] = 1
    """Proxies to train of each candidate, with the seeds `proxy.seed`, + 1, and so on; scores are
    their mean, so the noise of one seed decides less."""

    processes: Annotated[Count, Field(le=4096)] = 1
    """Processes that train one proxy together, each with a GPU of its own (`docs/training.md`).
    How many there are changes nothing about the proxy."""

    average: Annotated[Count, Field(le=1000)] = 1
    """Late checkpoints of each proxy whose scores are averaged; as many as `proxy.checkpoints`
    at most."""

    benchmarks: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids of the benchmarks to score it on. Default: all of the plan's."""

    aggregate: Aggregate = "z_score"
    """How scores on several benchmarks become one: the mean z-score or mean rank of a candidate."""

    accuracy: bool = False
    """Also generate answers and measure their accuracy, for comparison; costs time."""

    @model_validator(mode="after")
    def _keeps_enough_checkpoints(self) -> Self:
        if self.proxy is not None and self.average > self.proxy.checkpoints:
            raise FieldError(
                f"{self.average} checkpoints cannot be averaged of {self.proxy.checkpoints}",
                f"set the proxy's 'checkpoints' to {self.average} or more",
                "average",
            )
        return self


class Screen(Stage):
    """Stage 1: a tiny proxy for every candidate; the best go on."""

    keep: Count
    """How many candidates go on."""

    min_probability: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Candidates behind these go on as well while the probability that they belong among the best
    `keep` is at least this, such as 0.2; an unclear ranking then keeps more. Default: none."""

    keep_at_most: Count | None = None
    """How many candidates go on at most, with `min_probability`. Default: all."""

    discrepancy: Literal["published", "none"] = "published"
    """What probabilities know of the gap between proxy and target: that of published proxies of
    the same training FLOPs (docs/stage1.md), or nothing, so that they are of the proxies' scores
    alone."""

    @model_validator(mode="after")
    def _keeps_no_fewer_at_most(self) -> Self:
        if self.keep_at_most is None:
            return self
        if self.min_probability is None:
            raise FieldError(
                "without 'min_probability' no more than 'keep' go on",
                "add it, or remove this",
                "keep_at_most",
            )
        if self.keep_at_most < self.keep:
            raise FieldError(
                f"{self.keep_at_most} is fewer than 'keep', {self.keep}",
                f"write {self.keep} or more",
                "keep_at_most",
            )
        return self

    def most(self, candidates: int) -> int:
        """How many of so many candidates may go on."""
        if self.min_probability is None:
            return min(self.keep, candidates)
        return min(self.keep_at_most or candidates, candidates)


class Predict(Stage):
    """Stage 2: a larger proxy for every survivor, mapped to the target's accuracy."""

    transfer: Text | None = None
    """JSON file of transfer functions, relative to the plan. Without one the survivors are
    ranked by score, and no accuracy is predicted."""


class ComputePlan(Section):
    """What runs where on this machine."""

    jobs: Automatic = "auto"
    """Processes side by side; `auto` for one on each core that this process may use."""

    threads: Automatic = "auto"
    """Threads of each process."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` takes a GPU where there is one."""

    population: Automatic = "auto"
    """Candidates whose proxies train as one program in one process; `auto` for one on a CPU, and
    for as many as fit into 16 GiB on a GPU, which a single small proxy leaves idle."""

    shard: Literal["auto", "ddp", "fsdp"] = "auto"
    """Where a stage has several `processes`: `ddp` keeps a whole model in each, `fsdp` a share of
    it; `auto` for shares where a whole model would take more than half of a GPU's memory."""

    activation_checkpointing: Literal["auto"] | bool = "auto"
    """Work activations out again in the backward pass instead of keeping them: a third more time
    in a fraction of the memory. `auto` for models from 500M parameters on."""


class Leaks(Section):
    """The leak alarm: which candidates hold the benchmarks' own text."""

    enabled: bool = True
    """Look for the benchmarks in the text that candidates are trained on."""

    ngram: Annotated[Count, Field(ge=4, le=50)] = 8
    """Words in a row that must agree, case and punctuation aside, to count as found."""

    share: Annotated[Number, Field(gt=0, le=1)] = 0.9
    """Share of an item's question, solution or trace that one document must hold, in such runs,
    to count as holding the item; 13 words at least."""


class Plan(Document):
    """How to choose."""

    seed: Seed = 0
    """Seed of the order of the corpora, the tokenizer's sample and the bootstrap."""

    tokenizer: TokenizerPlan | None = None
    """The tokenizer that all proxies share. Needed where a proxy is trained, here or by a command
    that takes its tokens."""

    benchmarks: Annotated[list[Benchmark], Field(min_length=1)]
    """What candidates are judged by."""

    screen: Screen
    """Stage 1."""

    predict: Predict | None = None
    """Stage 2. Without it the run ends with the ranking of Stage 1."""

    mix: Mix | None = None
    """The search for mixture weights, which `dataselect run` does after the stages where this is
    given. `dataselect mix` does it with the defaults where it is not."""

    compute: ComputePlan = ComputePlan()
    """What runs where."""

    leaks: Leaks = Leaks()
    """The leak alarm."""

    max_repeats: Annotated[Number, Field(ge=1)] = 1.0
    """Epochs allowed over a text when there is less of it than the token budget."""

    bootstrap_draws: Count = 2000
    """Resamples of the items behind every interval."""

    confidence: Annotated[Number, Field(gt=0, lt=1)] = 0.9
    """Share of the draws that an interval holds."""

    @model_validator(mode="after")
    def _benchmarks_fit_together(self) -> Self:
        ids = [benchmark.id for benchmark in self.benchmarks]
        for i, name in enumerate(ids):
            if name in ids[:i]:
                raise FieldError(
                    f"{name!r} is the id of benchmarks[{ids.index(name)}] too",
                    "give each an id of its own",
                    *("benchmarks", i, "id"),
                )
        named = (("screen", self.screen), ("predict", self.predict), ("mix", self.mix))
        for key, stage in named:
            chosen = (stage.benchmarks if stage else None) or []
            for i, name in enumerate(chosen):
                place = (key, "benchmarks", i)
                if name not in ids:
                    fix = nearest(name, ids) or f"name some of: {', '.join(ids)}"
                    raise FieldError(f"there is no benchmark {quoted(name)}", fix, *place)
                if name in chosen[:i]:
                    raise FieldError(f"{name!r} is named twice", "remove one", *place)
        return self

    def benchmarks_of(self, stage: Stage) -> list[Benchmark]:
        """The benchmarks of `screen` or `predict`, in the plan's order."""
        chosen = stage.benchmarks
        return [each for each in self.benchmarks if chosen is None or each.id in chosen]


def project_folder() -> Path:
    """The folder with `candidates/` and `stages/` that comes with dataselect.

    Inside the package when it was installed from a wheel, the root of the repository in a
    checkout.
    """
    package = Path(__file__).parents[1]
    packaged = package / "_project"
    return packaged if packaged.is_dir() else package.parent


def load_plan(name_or_path: str, base: Path, where: str = "plan") -> Plan:
    """The plan that a manifest in the folder `base` means by `name_or_path`.

    What ends in .yaml or .yml is a file relative to `base`. Anything else is a name, looked up
    in `stages/` beside the manifest, then in `stages/` beside its folder, then among the plans
    that come with dataselect. Raises InputError; `where` names the place that asks for the plan.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return read(Plan, base / name_or_path)
    folders = [base / "stages", base / os.pardir / "stages", project_folder() / "stages"]
    found = {file.stem: file for folder in reversed(folders) for file in folder.glob("*.yaml")}
    if name_or_path not in found:
        listed = f"(plans: {', '.join(sorted(found))}; a file ends in .yaml)"
        fix = f"{nearest(name_or_path, found) or 'name one that there is'} {listed}"
        raise InputError(where, f"there is no plan {quoted(name_or_path)}", fix)
    return read(Plan, found[name_or_path])
