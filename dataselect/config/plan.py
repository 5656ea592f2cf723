"""The plan: how to choose.

A plan names the tokenizer, the benchmarks, and what is trained and measured in Stage 1
(`screen`) and Stage 2 (`predict`). It does not depend on the candidates, so one plan serves many
manifests. What depends on both (keeping more candidates than there are) is checked where both are
known, and what depends on the files that it names is checked where those are read.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

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
        raise ValueError(f"{quoted(value)} is not a count; write 1 or more, or 'auto'")
    return count


def _check_discrepancy(text: str) -> str:
    if text in ("published", "none") or text.endswith(".json"):
        return text
    fix = nearest(text, ("published", "none"))
    raise ValueError(
        f"{quoted(text)} is no gap; {fix or 'write published, none'}, or a file that ends in .json"
    )


Discrepancy = Annotated[Literal["published", "none"] | str, AfterValidator(_check_discrepancy)]
Automatic = Annotated[int | Literal["auto"], BeforeValidator(_parse_automatic)]
Aggregate = Literal["mean_rank", "z_score"]


class Stage(Section):
    """The keys that Stage 1 and Stage 2 share."""

    proxy: Proxy | None = None
    """The model that is trained on every candidate of this stage. Not needed where every candidate
    has a proxy from elsewhere."""

    train: Trainer | None = None
    """Your own command that trains the proxy of every candidate, in place of the built-in trainer.
    A candidate's `proxies` override it."""

    seeds: Annotated[Count, Field(le=64)] = 1
    """Proxies to train for each candidate, with the seeds `proxy.seed`, + 1, and so on. Scores are
    their mean, which lowers the noise of the seed."""

    processes: Annotated[Count, Field(le=4096)] = 1
    """Processes that train one proxy together, one GPU each (`docs/training.md`). Their number
    changes nothing about the proxy."""

    average: Annotated[Count, Field(le=1000)] = 1
    """Late checkpoints of each proxy whose scores are averaged; at most `proxy.checkpoints`."""

    benchmarks: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids of the benchmarks to score the proxies on. Default: all of the plan's."""

    aggregate: Aggregate = "z_score"
    """How scores on several benchmarks become one: the mean rank of a candidate, or the mean of its
    scores in a unit of each benchmark, the z-score (of few candidates the noise of items)."""

    accuracy: bool = False
    """Also generate answers and measure their accuracy, for comparison. Takes extra time."""

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
    """Stage 1: a tiny proxy for every candidate; the best survive."""

    keep: Count
    """Number of survivors, the candidates that go on to Stage 2."""

    min_probability: Annotated[Number, Field(gt=0, lt=1)] | None = None
    """Also keep candidates whose probability to belong among the best `keep` is at least this, such
    as 0.2; an unclear ranking then keeps more. Default: keep no more."""

    keep_at_most: Count | None = None
    """Most survivors, with `min_probability`. Default: all candidates."""

    discrepancy: Discrepancy = "published"
    """Gap between proxy and target that probabilities account for: that of published proxies of
    the same training FLOPs (docs/stage1.md); that of your own candidates with known targets, by the
    JSON file that `dataselect agree --out` writes, relative to the plan; or none, so that they
    describe the proxies' scores alone."""

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

    @property
    def agreement_file(self) -> str | None:
        """The file that `discrepancy` names, relative to the plan; None if it names none."""
        return None if self.discrepancy in ("published", "none") else self.discrepancy

    def most(self, candidates: int) -> int:
        """Most survivors that `candidates` candidates can have."""
        if self.min_probability is None:
            return min(self.keep, candidates)
        return min(self.keep_at_most or candidates, candidates)


class Predict(Stage):
    """Stage 2: a larger proxy for every survivor, whose score is mapped to target accuracy."""

    transfer: Text | None = None
    """JSON file of transfer functions, relative to the plan. Without one the survivors are
    ranked by score, and no accuracy is predicted."""


class ComputePlan(Section):
    """What runs where on this machine."""

    jobs: Automatic = "auto"
    """Processes in parallel. `auto`: on a CPU one per core that this process may use, on a GPU
    one."""

    threads: Automatic = "auto"
    """Threads of each process. `auto`: on a CPU one, on a GPU the cores divided by `jobs`."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` takes a GPU where there is one."""

    population: Automatic = "auto"
    """Candidates whose proxies train in one process, on a GPU as one program. `auto`: one on a CPU,
    and on a GPU as many as fit into 16 GiB, since a single small proxy leaves it idle. On a CPU
    they train one after the other, with the bits of each alone."""

    shard: Literal["auto", "ddp", "fsdp"] = "auto"
    """With several `processes`: `ddp` replicates the model, `fsdp` shards it. `auto`: `fsdp` where
    a whole model would take more than half of a GPU's memory."""

    activation_checkpointing: Literal["auto"] | bool = "auto"
    """Recompute activations in the backward pass instead of keeping them: a third more time in a
    fraction of the memory. `auto`: for models of 500M parameters and more."""


class Leaks(Section):
    """The leak alarm: which candidates contain text of the benchmarks."""

    enabled: bool = True
    """Search the text that candidates are trained on for the benchmarks."""

    ngram: Annotated[Count, Field(ge=4, le=50)] = 8
    """Words in a row that must match, regardless of case and punctuation, to count as found."""

    share: Annotated[Number, Field(gt=0, le=1)] = 0.9
    """Fraction of the words of an item's question, solution or trace that one document must hold,
    in such runs, to count as holding the item; at least 13 words."""


class Plan(Document):
    """How to choose."""

    seed: Seed = 0
    """Seed of the order of the corpora, the tokenizer's sample and the bootstrap."""

    tokenizer: TokenizerPlan | None = None
    """The tokenizer that all proxies share. Needed where a proxy is trained here, or by a command
    that reads its tokens."""

    benchmarks: Annotated[list[Benchmark], Field(min_length=1)]
    """The benchmarks that candidates are scored on."""

    screen: Screen
    """Stage 1."""

    predict: Predict | None = None
    """Stage 2. Without it the run ends with the ranking of Stage 1."""

    mix: Mix | None = None
    """The search for mixture shares. Where given, `dataselect run` does it after the stages;
    `dataselect mix` uses the defaults where it is not."""

    compute: ComputePlan = ComputePlan()
    """What runs where."""

    leaks: Leaks = Leaks()
    """The leak alarm."""

    max_repeats: Annotated[Number, Field(ge=1)] = 1.0
    """Most epochs over a text when the token budget exceeds it."""

    bootstrap_draws: Count = 2000
    """Bootstrap resamples of the items for every interval."""

    confidence: Annotated[Number, Field(gt=0, lt=1)] = 0.9
    """Confidence level of the intervals: the fraction of the draws inside."""

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
        sections = (("screen", self.screen), ("predict", self.predict), ("mix", self.mix))
        for key, stage in sections:
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
        return [b for b in self.benchmarks if chosen is None or b.id in chosen]


def project_folder() -> Path:
    """The folder with the `candidates/` and `stages/` that come with dataselect.

    Inside the package in an installed wheel, the root of the repository in a checkout.
    """
    package = Path(__file__).parents[1]
    packaged = package / "_project"
    return packaged if packaged.is_dir() else package.parent


def load_plan(name_or_path: str | Path, base: str | Path = ".", where: str = "plan") -> Plan:
    """The plan that a manifest in the folder `base` names by `name_or_path`.

    A text ending in .yaml or .yml is a file relative to `base`. Any other is a name, looked up in
    `stages/` beside the manifest, then in `stages/` beside its folder, then among the plans that
    come with dataselect. Raises InputError; `where` is the place that names the plan.
    """
    name_or_path, base = str(name_or_path), Path(base)
    if name_or_path.endswith((".yaml", ".yml")):
        return read(Plan, base / name_or_path)
    folders = [base / "stages", base / os.pardir / "stages", project_folder() / "stages"]
    plans = {file.stem: file for folder in reversed(folders) for file in folder.glob("*.yaml")}
    if name_or_path not in plans:
        listed = f"(plans: {', '.join(sorted(plans))}; a file ends in .yaml)"
        fix = f"{nearest(name_or_path, plans) or 'name an existing one'} {listed}"
        raise InputError(where, f"there is no plan {quoted(name_or_path)}", fix)
    return read(Plan, plans[name_or_path])
