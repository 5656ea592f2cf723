"""What the stages of a run found, in their order, and the chance lost in their cuts."""

from collections.abc import Mapping
from dataclasses import dataclass

from dataselect.decisions.uncertainty import best_probabilities
from dataselect.stages.predict import Prediction
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.scores import CandidateRun, StageScores
from dataselect.stages.screen import Screening
from dataselect.stages.screen_by_counting import STAGE0, CountedScreening


@dataclass(frozen=True)
class StageCut:
    """The cut of a stage that others followed."""

    stage: StageName
    """The stage that pruned."""
    p_best: Mapping[str, float]
    """By candidate in the stage's order, the probability to be the best of them; they add up to
    1."""
    survivors: tuple[str, ...]
    """Candidates that it kept."""

    @property
    def p_kept(self) -> float:
        """Probability that the best of the stage's candidates is among the survivors."""
        return sum(self.p_best[name] for name in self.survivors)


@dataclass(frozen=True)
class EarlyStop:
    """Why a run ended before its last stage."""

    after: StageName
    """The last stage that ran."""
    first: str
    """The candidate that is first there."""
    p_best: float
    """Its probability to be the best of all candidates, in 0..1."""
    wanted: float
    """The probability that is enough, from the plan."""
    left_out: tuple[StageName, ...]
    """The stages that did not run."""
    flops_saved: float
    """FLOPs of their trainings here, at most; 0 if none would have been."""


@dataclass(frozen=True)
class FailedStage:
    """A stage after the first in which no candidate could be scored: those before it stand."""

    stage: StageName
    """The stage."""
    candidates: Mapping[str, CandidateRun]
    """What happened to each of its candidates."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Store keys of its training runs, to look up what they cost."""
        return tuple(key for each in self.candidates.values() for key in each.keys)

    @property
    def reasons(self) -> dict[str, str]:
        """Why each candidate has no scores."""
        return {name: each.reason for name, each in self.candidates.items()}


@dataclass(frozen=True, kw_only=True)
class StageResults:
    """The stages that ran."""

    screening: Screening
    """Stage 1: scores, ranking and survivors."""
    stage0: CountedScreening | None = None
    """The counting before it; None without."""
    between: tuple[Screening, ...] = ()
    """The stages after it that prune, in their order."""
    prediction: Prediction | None = None
    """The last stage, target accuracies of the survivors; None if the last to run pruned."""
    stopped: EarlyStop | None = None
    """Why later stages did not run; None if all did."""
    failed: FailedStage | None = None
    """The stage that ended the run because nothing in it could be scored; None without one."""

    @property
    def screenings(self) -> tuple[Screening, ...]:
        """All stages that prune, in their order."""
        return (self.screening, *self.between)

    @property
    def survivors(self) -> tuple[str, ...]:
        """Candidates that no stage pruned, in the order of the last one that could."""
        return self.screenings[-1].survivors

    @property
    def by_stage(self) -> dict[StageName, Screening | Prediction]:
        """The result of each stage by name, in their order."""
        ran = {each.scores.stage: each for each in self.screenings}
        last = {} if self.prediction is None else {self.prediction.scores.stage: self.prediction}
        return {**ran, **last}

    @property
    def scores(self) -> dict[StageName, StageScores]:
        """The scores of each stage by name, in their order."""
        return {name: each.scores for name, each in self.by_stage.items()}

    def cuts(self, seed: int) -> tuple[StageCut, ...]:
        """The cuts that other stages followed, in their order; `seed` is the plan's."""
        return tuple(self.all_cuts(seed).values())[: None if self.prediction is not None else -1]

    def all_cuts(self, seed: int) -> dict[StageName, StageCut]:
        """The cuts of all stages that prune, by stage, in their order."""
        cuts = [_cut(each.scores.stage, each, seed) for each in self.screenings]
        if self.stage0 is not None:
            cuts = [_cut(STAGE0, self.stage0, seed), *cuts]
        return {cut.stage: cut for cut in cuts}


def _cut(stage: StageName, result: Screening | CountedScreening, seed: int) -> StageCut:
    p_best = best_probabilities(result.ranking, result.uncertainty, seed)
    return StageCut(stage, p_best, result.survivors)
