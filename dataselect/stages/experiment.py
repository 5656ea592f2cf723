"""What the stages of a run work with: manifest and plan, with everything prepared from them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.prepare import Corpus, Stream, draw_shares
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.formats.agreement_file import AgreementFile
from dataselect.leaks.alarm import LeakAlarm
from dataselect.proxies.layout import make_layout
from dataselect.proxies.make import ProxyRequest
from dataselect.proxies.recipe import Recipe
from dataselect.proxy_sources import CommandSource, GivenCheckpoints, ProxySource, TrainedHere
from dataselect.proxy_sources.data_export import hand
from dataselect.scoring.evaluation import Evaluation
from dataselect.stages.proxy_origins import (
    Command,
    Given,
    Series,
    StageName,
    command_tokens,
    origin_of,
    role,
    stages,
)
from dataselect.stages.runtime import Runtime
from dataselect.stages.watch import Watch
from dataselect.store import Store


@dataclass(frozen=True)
class Experiment:
    """A manifest and a plan, with everything that is prepared once for all stages."""

    manifest: Manifest
    """The candidates and the target."""
    plan: Plan
    """Benchmarks, stages and their settings."""
    runtime: Runtime
    """Store, compute, device and progress display."""
    evaluations: Mapping[str, Evaluation]
    """The plan's benchmarks with their traces, by benchmark id."""
    corpus: Corpus | None = None
    """Tokenizer and token streams; None where no proxy needs them."""
    recipes: Mapping[StageName, Recipe] = field(default_factory=dict)
    """Size and hyperparameters of the proxies, by stage; a stage without a `proxy:` has none."""
    given: Given = field(default_factory=dict)
    """Existing checkpoints that the manifest names, located on disk or on the Hub."""
    leaks: LeakAlarm | None = None
    """Benchmark items found in the candidates' texts; None where no text was searched."""
    agreements: Mapping[StageName, AgreementFile] = field(default_factory=dict)
    """How well such proxies ordered candidates with known targets: the file that `discrepancy`
    names, by stage; a stage that names none has none."""

    @property
    def store(self) -> Store:
        """Where the run keeps its artifacts."""
        return self.runtime.store

    @property
    def watch(self) -> Watch:
        """Where progress and notes are shown."""
        return self.runtime.watch

    @property
    def streams(self) -> Mapping[str, Stream]:
        """Token streams by source; empty without a corpus."""
        return {} if self.corpus is None else self.corpus.streams

    @property
    def tokenizer(self) -> Tokenizer | None:
        """The plan's tokenizer; None without a corpus."""
        return None if self.corpus is None else self.corpus.tokenizer

    @property
    def bootstrap(self) -> Bootstrap:
        """The plan's bootstrap settings."""
        plan = self.plan
        return Bootstrap(plan.bootstrap_draws, plan.seed, plan.confidence)

    def request(self, stage: StageName, candidate: str) -> ProxyRequest:
        """The proxy that a stage trains here for a candidate, with the first seed.

        Raises ValueError without a corpus.
        """
        recipe = self.recipes[stage]
        if self.corpus is None:
            raise ValueError("this experiment has no corpus, so nothing is trained here")
        tokenizer = self.corpus.tokenizer
        data = draw_shares(self.manifest, candidate, self.corpus.streams, recipe.tokens)
        return ProxyRequest(recipe, tokenizer.folder, tokenizer.hash, data)

    def sources(self, stage: StageName, candidate: str) -> tuple[ProxySource, ...]:
        """The training runs that a stage scores for a candidate, one for each seed."""
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
            if tokens is None:
                raise ValueError(f"{candidate}: no tokens; check_origins asks for them")
            shares, texts = manifest.shares(candidate), manifest.text_sources()
            drawn = draw_shares(manifest, candidate, self.streams, tokens)
            for (source, share), draw in zip(shares.items(), drawn, strict=True):
                stream = self.streams[source]
                data.append(hand(stream, draw, share, texts[source], manifest.base))
        return CommandSource(
            words=tuple(command.trainer.words),
            values={
                "tokens": str(tokens),
                "candidate": candidate,
                "stage": role(self.plan, stage),
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
