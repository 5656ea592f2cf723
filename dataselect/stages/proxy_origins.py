"""Where each candidate's proxy of a stage comes from, and the checks on manifest and plan together.

A candidate's own `proxies` come first, then the plan's `train` command, then training here. Only
training here, and a command that uses {data}, needs a candidate's text.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from dataselect.config.checkpoints import Checkpoints
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.config.proxy_origin import Trained, Trainer
from dataselect.config.stage import Predict, Screen, Stage
from dataselect.config.yamlfile import dotted
from dataselect.corpus.prepare import Budgets
from dataselect.corpus.segmentation import segmentation_hash
from dataselect.errors import InputError
from dataselect.proxies.recipe import Recipe
from dataselect.scoring.series import Member, resolve
from dataselect.scoring.series import check_one_tokenizer as series_of_one_tokenizer
from dataselect.store import Store
from dataselect.units import format_count


class StageName(str):
    """A stage, by its name in reports and logs: "stage1" is the first that trains proxies."""

    __slots__ = ()

    SCREEN: ClassVar["StageName"]
    """Stage 1."""
    PREDICT: ClassVar["StageName"]
    """Stage 2, which predicts in a plan with `screen` and `predict`."""

    @classmethod
    def at(cls, number: int) -> "StageName":
        """The stage with this number; 0 is the counting of words before Stage 1."""
        return cls(f"stage{number}")

    @property
    def number(self) -> int:
        """Its place in the run, from 1; 0 for the counting before."""
        return int(self.removeprefix("stage"))

    @property
    def label(self) -> str:
        """Its name in text: "Stage 1"."""
        return f"Stage {self.number}"


StageName.SCREEN, StageName.PREDICT = StageName.at(1), StageName.at(2)

Given = Mapping[tuple[StageName, str], tuple[tuple[Member, ...], ...]]
"""By stage and candidate: the existing checkpoints that the manifest names, located; a series for
each seed."""


@dataclass(frozen=True)
class Series:
    """Existing checkpoints of a candidate's proxy."""

    sections: tuple[Checkpoints, ...]
    """One for each seed."""
    where: tuple[str, ...]
    """`file:line:column` of each section."""


@dataclass(frozen=True)
class Command:
    """A command that trains a candidate's proxy."""

    trainer: Trainer
    """The command and its settings."""
    base: Path
    """Folder of the file that names it."""
    where: str
    """`file:line:column` of the command."""
    shared: bool
    """Whether it is the plan's, for all candidates, and not the candidate's own."""

    @property
    def takes_data(self) -> bool:
        """Whether it trains on tokens that are prepared here."""
        return "data" in self.trainer.placeholders

    @property
    def working_folder(self) -> Path:
        """The folder that it is started in."""
        return (self.base / (self.trainer.folder or ".")).resolve()


def stages(plan: Plan) -> dict[StageName, Screen | Predict]:
    """The plan's stages by name, in their order."""
    return {StageName.at(number): stage for number, stage in enumerate(plan.stages, start=1)}


def step_title(plan: Plan, stage: StageName) -> str:
    """The title of a stage's part of the run: "Stage 1: screen"."""
    kind = "screen" if isinstance(stages(plan)[stage], Screen) else "predict"
    return f"{stage.label}: {kind}"


def role(plan: Plan, stage: StageName) -> str:
    """A stage's name for commands and candidates' `proxies`: "screen", "predict" or "stage2".

    The first screens and the last of several predicts; those between have their names.
    """
    if stage.number == 1:
        return "screen"
    return "predict" if stage.number == len(plan.stages) else str(stage)


def section(plan: Plan, stage: StageName) -> str:
    """The key of a stage's section in the plan, for messages: "screen" or "rungs[1]"."""
    return dotted(plan.place(stage.number))


def own_proxies(plan: Plan, stage: StageName) -> tuple[str, ...]:
    """The keys in a candidate's `proxies` for a stage, innermost last."""
    word = role(plan, stage)
    return (word,) if word in ("screen", "predict") else ("rungs", str(stage.number))


def origin_of(
    manifest: Manifest, plan: Plan, stage: StageName, candidate: str
) -> Series | Command | None:
    """Where a candidate's proxy of a stage comes from; None when it is trained here."""
    proxies = manifest.candidate(candidate).proxies
    keys = own_proxies(plan, stage)
    named = None if proxies is None else proxies.named(keys)
    place = ("proxies", *keys)
    if isinstance(named, Trained):
        where = manifest.where_candidate(candidate, *place, "train", "command")
        return Command(named.train, manifest.base, where, shared=False)
    if isinstance(named, Checkpoints):
        return Series((named,), (manifest.where_candidate(candidate, *place),))
    if named is not None:
        places = tuple(manifest.where_candidate(candidate, *place, i) for i in range(len(named)))
        return Series(tuple(named), places)
    trainer = stages(plan)[stage].train
    if trainer is None:
        return None
    where = plan.where(*plan.place(stage.number), "train", "command")
    return Command(trainer, plan.base, where, shared=True)


def takes_text(origin: Series | Command | None) -> bool:
    """Whether proxies of this origin are trained on text that is prepared here."""
    return origin is None or (isinstance(origin, Command) and origin.takes_data)


def counted(manifest: Manifest, plan: Plan) -> list[str]:
    """The candidates whose words can be counted: Stage 1 trains a proxy on their text."""
    return [
        candidate.id
        for candidate in manifest.candidates
        if takes_text(origin_of(manifest, plan, StageName.SCREEN, candidate.id))
    ]


def check_origins(manifest: Manifest, plan: Plan) -> None:
    """Raise InputError where manifest and plan lack something that a candidate's proxy needs."""
    _check_own_rungs(manifest, plan)
    for stage, chosen in stages(plan).items():
        key, own = section(plan, stage), f"proxies: {': '.join(own_proxies(plan, stage))}"
        for candidate in manifest.candidates:
            origin = origin_of(manifest, plan, stage, candidate.id)
            if takes_text(origin) and not candidate.has_text:
                raise InputError(
                    manifest.where_candidate(candidate.id),
                    f"{candidate.id!r} has no text for the plan's {key!r} to train a proxy on",
                    f"add 'path' or 'mixture', or name its proxy in '{own}:'",
                )
            if takes_text(origin) and plan.tokenizer is None:
                raise InputError(
                    plan.where(),
                    f"no tokenizer is named, and {candidate.id!r} is trained on tokens",
                    "add 'tokenizer:'",
                )
            if origin is None and chosen.proxy is None:
                raise InputError(
                    plan.where(*plan.place(stage.number)),
                    f"it has no 'proxy', and {candidate.id!r} none from elsewhere",
                    f"add 'proxy:', or name one in the candidate's '{own}:'",
                )
            if isinstance(origin, Command):
                _check_command(origin, plan, chosen)
    trains = plan.tokenizer is not None and plan.tokenizer.train is not None
    if trains and needs_tokenizer(manifest, plan) and not manifest.text_sources():
        raise InputError(
            plan.where("tokenizer", "train"),
            "no candidate has text to train a tokenizer on",
            "name one in 'path:'",
        )


def _check_own_rungs(manifest: Manifest, plan: Plan) -> None:
    """Raise InputError where a candidate names the last stage's proxy by its number."""
    last = str(len(plan.stages))
    for candidate in manifest.candidates:
        if candidate.proxies is not None and last in (candidate.proxies.rungs or ()):
            raise InputError(
                manifest.where_candidate(candidate.id, "proxies", "rungs", last),
                f"Stage {last} is the plan's last",
                "name its proxy in 'proxies: predict:'",
            )


def _check_command(command: Command, plan: Plan, chosen: Stage) -> None:
    names = command.trainer.placeholders
    if command.shared and not names & {"data", "candidate"}:
        raise InputError(
            command.where,
            "it is the same for every candidate",
            "add {data} or {candidate} to it",
        )
    if chosen.seeds > 1 and "seed" not in names:
        raise InputError(
            command.where, f"it has no {{seed}}, and 'seeds' is {chosen.seeds}", "add it"
        )
    if "tokenizer" in names and plan.tokenizer is None:
        raise InputError(plan.where(), "a command asks for {tokenizer}", "add 'tokenizer:'")
    needs_tokens = bool(names & {"data", "tokens"}) and command.trainer.tokens is None
    if needs_tokens and (
        chosen.proxy is None or (chosen.proxy.tokens is None and plan.tokenizer is None)
    ):
        raise InputError(command.where, "nothing says how many tokens to train on", "add 'tokens:'")
    if not command.working_folder.is_dir():
        raise InputError(
            command.where, f"there is no folder {command.working_folder}", "correct 'folder'"
        )


def needs_tokenizer(manifest: Manifest, plan: Plan) -> bool:
    """Whether any proxy uses the plan's tokenizer, for its data or to size its training."""
    if plan.tokenizer is None:
        return False
    for stage, chosen in stages(plan).items():
        for candidate in manifest.candidates:
            origin = origin_of(manifest, plan, stage, candidate.id)
            if takes_text(origin):
                return True
            if isinstance(origin, Command):
                sized = chosen.proxy is not None and chosen.proxy.tokens is None
                if "tokenizer" in origin.trainer.placeholders or (
                    sized and origin.trainer.tokens is None
                ):
                    return True
    return False


def command_tokens(command: Command, chosen: Stage, recipe: Recipe | None) -> int | None:
    """Tokens that a command trains on; None where neither command nor plan says."""
    if command.trainer.tokens is not None:
        return command.trainer.tokens
    if chosen.proxy is not None and chosen.proxy.tokens is not None:
        return chosen.proxy.tokens
    return None if recipe is None else recipe.tokens


def text_budgets(manifest: Manifest, plan: Plan, recipes: Mapping[StageName, Recipe]) -> Budgets:
    """(tokens, sequence length) of each training on a candidate's own text, by candidate."""
    budgets: dict[str, list[tuple[int, int]]] = {}
    for stage in stages(plan):
        for candidate in manifest.candidates:
            budget = text_budget(manifest, plan, stage, recipes.get(stage), candidate.id)
            if budget is not None:
                budgets.setdefault(candidate.id, []).append(budget)
    return budgets


def text_budget(
    manifest: Manifest, plan: Plan, stage: StageName, recipe: Recipe | None, candidate: str
) -> tuple[int, int] | None:
    """(tokens, sequence length) of a stage's training on a candidate's text; None without one.

    `recipe` is that of the stage's proxies, None where it has none.
    """
    origin = origin_of(manifest, plan, stage, candidate)
    if not takes_text(origin):
        return None
    if isinstance(origin, Command):
        tokens, length = command_tokens(origin, stages(plan)[stage], recipe), 1
    elif recipe is not None:
        tokens, length = recipe.tokens, recipe.sequence_length
    else:
        tokens = None
    if tokens is None:
        raise ValueError(f"{candidate}: no tokens; check_origins asks for them")
    return tokens, length


def resolve_given(manifest: Manifest, plan: Plan, store: Store | None = None) -> Given:
    """Locate the existing checkpoints that the manifest names, the last `average` of each series.

    With a store the hashes of their files are remembered. Raises InputError where a series is too
    short or the tokenizers of a stage differ.
    """
    given: dict[tuple[StageName, str], tuple[tuple[Member, ...], ...]] = {}
    for stage, chosen in stages(plan).items():
        tokenizers: dict[str, str] = {}
        for candidate in manifest.candidates:
            origin = origin_of(manifest, plan, stage, candidate.id)
            if not isinstance(origin, Series):
                continue
            series = []
            for section, where in zip(origin.sections, origin.where, strict=True):
                members = [
                    replace(member, store=store)
                    for member in resolve(section, manifest.base, where)
                ]
                if len(members) < chosen.average:
                    raise InputError(
                        where,
                        f"it gives {len(members)} checkpoints, and 'average' is {chosen.average}",
                        "name more, or lower 'average' in the plan",
                    )
                series.append(tuple(members[-chosen.average :]))
            given[stage, candidate.id] = tuple(series)
            every = [member for members in series for member in members]
            cut = series_of_one_tokenizer(every, manifest.where_candidate(candidate.id))
            if cut is not None:
                tokenizers[candidate.id] = cut
        check_tokenizers(manifest, stage, tokenizers)
    return given


def check_tokenizers(manifest: Manifest, stage: StageName, cuts: Mapping[str, str]) -> None:
    """Raise InputError unless the proxies of a stage split texts into the same tokens.

    `cuts`: by candidate, the hash of how its tokenizer splits (`corpus.segmentation`). Scores per
    token of different tokenizers cannot be compared.
    """
    first, *others = cuts or ("",)
    for name in others:
        if cuts[name] != cuts[first]:
            raise InputError(
                manifest.where_candidate(name),
                f"its proxy of {stage.label} has another tokenizer than that of {first!r}, and "
                "scores per token of different tokenizers cannot be compared",
                "give proxies of one tokenizer, or compare these candidates in runs of their own",
            )


def check_one_tokenizer(manifest: Manifest, plan: Plan, given: Given, tokenizer: Path) -> None:
    """Raise InputError where a stage compares existing checkpoints with proxies trained here that
    split texts otherwise; `tokenizer` is the folder of the plan's."""
    for stage in stages(plan):
        cuts = {}
        for candidate in manifest.candidates:
            series = given.get((stage, candidate.id), ())
            folders = [m.place for members in series for m in members if isinstance(m.place, Path)]
            if folders:
                cuts[candidate.id] = segmentation_hash(folders[-1])
            elif origin_of(manifest, plan, stage, candidate.id) is None:
                cuts[candidate.id] = segmentation_hash(tokenizer)
        check_tokenizers(manifest, stage, cuts)


def describe_differences(
    stage: StageName, sizes: Mapping[str, int], tokens: Mapping[str, int | None]
) -> list[str]:
    """Warnings where proxies of a stage differ in size or training tokens, not in data alone."""
    notes = []
    for word, numbers in (("parameters", sizes), ("training tokens", tokens)):
        known = {name: number for name, number in numbers.items() if number is not None}
        if known and max(known.values()) > min(known.values()) * 1.02:
            listed = ", ".join(f"{name} {format_count(known[name])}" for name in known)
            notes.append(
                f"{stage.label.upper()} COMPARES PROXIES THAT DIFFER IN {word.upper()} ({listed}): "
                "more of them gives a better score with any data"
            )
    unknown = [name for name, number in tokens.items() if number is None]
    if unknown:
        notes.append(
            f"{stage.label}: the training tokens of the proxy of {', '.join(unknown)} are not "
            "known; its training is not in the cost"
        )
    return notes
