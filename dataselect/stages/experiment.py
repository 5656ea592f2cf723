"""All that the stages of a run work with: manifest and plan, prepared, and who looks on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from dataselect.compute import Compute, Event
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.corpus.prepare import Stream, Tokenizer, shares
from dataselect.leaks.alarm import LeakAlarm
from dataselect.proxies.layout import make_layout
from dataselect.proxies.make import ProxyRequest
from dataselect.proxies.recipe import Recipe
from dataselect.proxy_sources import CommandSource, GivenCheckpoints, ProxySource, TrainedHere
from dataselect.proxy_sources.data_export import hand
from dataselect.scoring.evaluate import Evaluation
from dataselect.stages.proxy_origins import (
    SECTIONS,
    Command,
    Given,
    Series,
    StageName,
    command_tokens,
    origin_of,
    stages,
)
from dataselect.store import Store


class Watch(Protocol):
    """Whoever looks on; shows what happens and decides nothing."""

    def step(self, title: str) -> None:
        """A new part of the run begins."""

    def progress(self, work: str, fields: Mapping[str, float]) -> None:
        """How far a piece of work in this process is."""

    def event(self, event: Event) -> None:
        """Something happened to a job."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True)
class Experiment:
    """`tokenizer` and `streams` are there where a proxy is trained, `recipes` where it is here."""

    manifest: Manifest
    plan: Plan
    store: Store
    compute: Compute
    device: str
    tokenizer: Tokenizer | None
    streams: Mapping[str, Stream]
    evaluations: Mapping[str, Evaluation]
    recipes: Mapping[StageName, Recipe]
    watch: Watch
    given: Given = field(default_factory=dict)
    leaks: LeakAlarm | None = None

    def request(self, stage: StageName, candidate: str) -> ProxyRequest:
        """The proxy that a stage trains here for a candidate, with the first seed."""
        recipe = self.recipes[stage]
        assert self.tokenizer is not None, "prepared where anything is trained"
        drawn = shares(self.manifest, candidate, self.streams, recipe.tokens)
        return ProxyRequest(recipe, self.tokenizer.folder, self.tokenizer.hash, drawn)

    def sources(self, stage: StageName, candidate: str) -> tuple[ProxySource, ...]:
        """The training runs that a stage measures for a candidate, wherever they happen."""
        origin = origin_of(self.manifest, self.plan, stage, candidate)
        if isinstance(origin, Series):
            series = self.given[stage, candidate]
            return tuple(GivenCheckpoints(members, i) for i, members in enumerate(series))
        chosen = stages(self.plan)[stage]
        if isinstance(origin, Command):
            first = 0 if chosen.proxy is None else chosen.proxy.seed
            seeds = range(first, first + chosen.seeds)
            return tuple(self._commanded(stage, candidate, origin, seed) for seed in seeds)
        request = self.request(stage, candidate)
        first = request.recipe.seed
        layout = make_layout(chosen, self.plan.compute)
        return tuple(
            TrainedHere(
                replace(request, recipe=replace(request.recipe, seed=seed)), chosen.average, layout
            )
            for seed in range(first, first + chosen.seeds)
        )

    def _commanded(
        self, stage: StageName, candidate: str, command: Command, seed: int
    ) -> CommandSource:
        manifest, chosen = self.manifest, stages(self.plan)[stage]
        tokens = command_tokens(command, chosen, self.recipes.get(stage))
        names = command.trainer.placeholders
        data = []
        if command.takes_data:
            assert tokens is not None, "check_origins asks for the tokens"
            weights, texts = manifest.weights(candidate), manifest.text_sources()
            drawn = shares(manifest, candidate, self.streams, tokens)
            for (source, weight), share in zip(weights.items(), drawn, strict=True):
                stream = self.streams[source]
                data.append(hand(stream, share, weight, texts[source], manifest.base))
        return CommandSource(
            words=tuple(command.trainer.words),
            values={
                "tokens": str(tokens),
                "candidate": candidate,
                "stage": SECTIONS[stage],
                "seed": str(seed),
                "checkpoints": str(max(chosen.average, chosen.proxy.checkpoints))
                if chosen.proxy
                else str(chosen.average),
            },
            working_folder=command.working_folder,
            tokens=tokens,
            seed=seed,
            tokenizer=self.tokenizer if names & {"data", "tokenizer"} else None,
            data=tuple(data),
            late=chosen.average,
        )
