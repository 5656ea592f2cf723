"""The plan: how to choose.

A plan names the tokenizer, the benchmarks, and what is trained and measured in each stage: Stage 1
(`screen`) and Stage 2 (`predict`), or as many as `rungs` lists. It does not depend on the
candidates, so one plan serves many manifests. What depends on both (keeping more candidates than
there are) is checked where both are known, and what depends on the files that it names is checked
where those are read.
"""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from dataselect.config.benchmark import Benchmark, without_answers
from dataselect.config.compute import ComputePlan
from dataselect.config.mixture import Mix
from dataselect.config.places import beside
from dataselect.config.plan_tokenizer import TokenizerPlan
from dataselect.config.proxy import Seed
from dataselect.config.schema import Document, FieldError, Section, Text, read
from dataselect.config.stage import CountingScreen, Predict, Rung, Screen, Stage, StopWhen
from dataselect.config.yamlfile import KeyPath
from dataselect.errors import InputError
from dataselect.units import Count, Number
from dataselect.wording import nearest, quoted

_TWO_STAGES = ("screen", "predict")


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

    screen0: CountingScreen | None = None
    """Stage 0, by counting words. Without it Stage 1 has every candidate."""

    # With `rungs` these two are the first and the last of them, so that Stage 1 is always `screen`.
    screen: Screen = Field(default=None, validate_default=False)  # type: ignore[assignment]
    """Stage 1. Needed unless `rungs` is given."""

    predict: Predict | None = None
    """Stage 2. Without it the run ends with the ranking of Stage 1."""

    rungs: Annotated[list[Rung], Field(min_length=1)] | None = None
    """Any number of stages, in place of `screen` and `predict` (docs/rungs.md): each with the keys
    of `screen`, and the last, if it has no `keep`, with those of `predict`."""

    stop_when: StopWhen | None = None
    """When the remaining stages are left out. Default: never."""

    mix: Mix | None = None
    """The search for mixture shares. Where given, `dataselect run` does it after the stages;
    `dataselect mix` uses the defaults where it is not."""

    compute: ComputePlan = ComputePlan()
    """What runs where."""

    leaks: Leaks = Leaks()
    """The leak alarm."""

    track: list[Text] = Field(default_factory=list)
    """Where else the run's numbers are shown: some of `wandb`, `tensorboard`, `trackio`, `mlflow`,
    or the name of a tracker that another package brings (docs/watching.md). `--track` overrides
    it. `metrics.jsonl` is always written."""

    max_repeats: Annotated[Number, Field(ge=1)] = 1.0
    """Most epochs over a text when the token budget exceeds it."""

    bootstrap_draws: Count = 2000
    """Bootstrap resamples of the items for every interval."""

    confidence: Annotated[Number, Field(gt=0, lt=1)] = 0.9
    """Confidence level of the intervals: the fraction of the draws inside."""

    @model_validator(mode="before")
    @classmethod
    def _a_rung_has_one_form(cls, data: Any) -> Any:
        rungs = data.get("rungs") if isinstance(data, dict) else None
        for i, rung in enumerate(rungs if isinstance(rungs, list) else ()):
            if isinstance(rung, dict) and {"keep", "transfer"} <= set(rung):
                raise FieldError(
                    "'keep' is given as well, and only the last rung predicts, which keeps none",
                    "remove one of the two",
                    *("rungs", i, "transfer"),
                )
        return data

    @model_validator(mode="after")
    def _stages_fit_together(self) -> Self:
        if self.rungs is not None:
            self._take(self.rungs)
        elif self.screen is None:
            raise ValueError("the file has no 'screen'; add 'screen:' (or 'rungs:')")
        if self.stop_when is not None and len(self.stages) == 1:
            raise FieldError("there is one stage, so none to leave out", "remove it", "stop_when")
        if self.screen0 is not None and self.screen0.keep < self.screen.keep:
            raise FieldError(
                f"{self.screen0.keep} is fewer than Stage 1 keeps, {self.screen.keep}",
                f"write {self.screen.keep} or more",
                *("screen0", "keep"),
            )
        return self

    def _take(self, rungs: Sequence[Screen | Predict]) -> None:
        """Check the rungs, and set `screen` and `predict` to the first and the last of them."""
        for key in _TWO_STAGES:
            if key in self.model_fields_set:
                fix = "remove it, or write it as one of 'rungs'"
                raise FieldError(f"{key!r} is given as well as 'rungs'", fix, key)
        for i, (rung, after) in enumerate(pairwise(rungs)):
            if not isinstance(rung, Screen):
                raise FieldError("it has no 'keep', and is not the last", "add 'keep:'", "rungs", i)
            known = rung.min_probability is None
            if known and isinstance(after, Screen) and after.keep > rung.keep:
                raise FieldError(
                    f"{after.keep} cannot be kept of {rung.keep}, which the rung before keeps",
                    f"write {rung.keep} or fewer",
                    *("rungs", i + 1, "keep"),
                )
        first, last = rungs[0], rungs[-1]
        if not isinstance(first, Screen):
            raise FieldError("the only rung has no 'keep'", "add 'keep:'", "rungs", 0)
        self.__dict__["screen"] = first
        self.__dict__["predict"] = last if isinstance(last, Predict) else None

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
        named = [(self.place(n), stage.benchmarks) for n, stage in enumerate(self.stages, 1)]
        for path, chosen in (*named, (("mix",), None if self.mix is None else self.mix.benchmarks)):
            for i, name in enumerate(chosen or ()):
                place = (*path, "benchmarks", i)
                if name not in ids:
                    fix = nearest(name, ids) or f"name some of: {', '.join(ids)}"
                    raise FieldError(f"there is no benchmark {quoted(name)}", fix, *place)
                if name in (chosen or ())[:i]:
                    raise FieldError(f"{name!r} is named twice", "remove one", *place)
        return self

    @model_validator(mode="after")
    def _stages_agree_on_gpus(self) -> Self:
        for number, stage in enumerate(self.stages, start=1):
            own = None if stage.resources is None else stage.resources.gpus
            if own is not None and bool(own) != bool(self.compute.job_gpus):
                raise FieldError(
                    f"the jobs of this stage ask for {own:g} GPUs, and those of 'compute' for"
                    f" {self.compute.job_gpus:g}; all run on a GPU, or none",
                    "give both, or neither",
                    *(*self.place(number), "resources", "gpus"),
                )
        return self

    @model_validator(mode="after")
    def _has_answers_to_grade(self) -> Self:
        for number, stage in enumerate(self.stages, start=1):
            if not stage.accuracy:
                continue
            for benchmark in self.benchmarks_of(stage):
                if without_answers(benchmark.id):
                    raise FieldError(
                        f"{quoted(benchmark.id)} has no answers to grade",
                        "leave this out, or leave that out of the stage's 'benchmarks'",
                        *(*self.place(number), "accuracy"),
                    )
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        if self.rungs is not None:
            values = {key: value for key, value in values.items() if key not in _TWO_STAGES}
        return values

    @property
    def stages(self) -> tuple[Screen | Predict, ...]:
        """Stage 1, Stage 2 and so on: all but the last prune, and the last may."""
        if self.rungs is not None:
            return tuple(self.rungs)
        return (self.screen,) if self.predict is None else (self.screen, self.predict)

    def place(self, number: int) -> KeyPath:
        """The path to the section of Stage `number`; 0 is the counting before Stage 1."""
        if number == 0:
            return ("screen0",)
        return (_TWO_STAGES[number - 1],) if self.rungs is None else ("rungs", number - 1)

    def benchmarks_of(self, stage: Stage) -> list[Benchmark]:
        """The benchmarks of a stage, in the plan's order."""
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
        return read(Plan, beside(base, name_or_path))
    near = [base / "stages", beside(base, Path(os.pardir, "stages"))]
    folders = [*near, project_folder() / "stages"]
    plans = {file.stem: file for folder in reversed(folders) for file in folder.glob("*.yaml")}
    if name_or_path not in plans:
        listed = f"(plans: {', '.join(sorted(plans))}; a file ends in .yaml)"
        fix = f"{nearest(name_or_path, plans) or 'name an existing one'} {listed}"
        raise InputError(where, f"there is no plan {quoted(name_or_path)}", fix)
    return read(Plan, plans[name_or_path])
