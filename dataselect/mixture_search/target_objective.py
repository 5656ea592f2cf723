"""The transfer functions by which a search maximises accuracy, if any.

They are those that the search's section names, or those of Stage 2 if it uses the same proxy. The
same checks as in Stage 2 decide whether they apply. If functions of Stage 2 do not apply, the
search is by scores; if those that the search itself names do not, it is an error, since another
objective would be another search. Stage 2 only warns of a function that rises with the loss; here
it does not apply, since its maximum is the worst mixture.
"""

from collections.abc import Sequence

import numpy as np

from dataselect.config.mixture import Mix
from dataselect.config.plan import Plan
from dataselect.errors import InputError
from dataselect.mixture.accuracy import TargetAccuracy
from dataselect.mixture_search.trial_runner import TrialRunner
from dataselect.stages.predict import setting
from dataselect.transfer.applies import check_all
from dataselect.transfer.file import read_transfer_file
from dataselect.transfer.function import Setting, TransferFunction

_FIX = "name a file that has them, or leave out 'transfer' to search by rBridge"


def transfer_file(plan: Plan, mix: Mix) -> str | None:
    """The file of transfer functions as the plan writes it; None: search by rBridge."""
    if mix.transfer is not None:
        return mix.transfer or None
    stage = plan.predict
    if stage is None or stage.proxy is None or stage.transfer is None:
        return None
    return stage.transfer if stage.proxy == (mix.proxy or plan.screen.proxy) else None


def find_target(
    runner: TrialRunner, weights: Sequence[float]
) -> tuple[TargetAccuracy | None, list[str]]:
    """The accuracy to maximise (None: search by rBridge), and notes for the user.

    `weights` are of the benchmarks. InputError for functions that the search names and that do not
    apply.
    """
    mix, plan = runner.mix, runner.experiment.plan
    name = transfer_file(plan, mix)
    if name is None:
        return None, []
    weighted = [b for b, weight in zip(runner.benchmarks, weights, strict=True) if weight > 0]
    functions = read_transfer_file(plan.base / name)
    problems = [f"{name} has no transfer function for {b}" for b in weighted if b not in functions]
    chosen = {b: functions[b] for b in weighted if b in functions}
    problems += [
        f"the transfer function of {b} rises with the score, so its best would be the worst mixture"
        for b, function in chosen.items()
        if function.rising
    ]
    refusals, warnings = check_all(chosen, {b: _setting(runner, b) for b in chosen})
    problems += refusals.values()
    if problems and mix.transfer:
        raise InputError(plan.where("mix", "transfer"), problems[0], _FIX)
    if problems:
        return None, [f"{each}; the mixture is searched by rBridge" for each in problems]
    by_place: list[TransferFunction | None] = [chosen.get(b) for b in runner.benchmarks]
    return TargetAccuracy(np.array(weights), tuple(by_place)), warnings


def check_transfer(plan: Plan, mix: Mix, benchmarks: Sequence[str]) -> None:
    """Check that the file that the search names has its benchmarks. Raises InputError."""
    if not mix.transfer:
        return
    functions = read_transfer_file(plan.base / mix.transfer)
    for name in mix.objective or benchmarks:
        if name not in functions:
            problem = f"{mix.transfer} has no transfer function for {name}"
            raise InputError(plan.where("mix", "transfer"), problem, _FIX)


def _setting(runner: TrialRunner, benchmark: str) -> Setting:
    tokenizer, recipe = runner.corpus.tokenizer, runner.recipe
    return setting(runner.experiment, benchmark, recipe.parameters, recipe.tokens, tokenizer.hash)
