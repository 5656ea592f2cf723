"""What a plan should spend on proxies: sizes of the ladder and of the plan, priced and tried.

Candidates, target and sizes come from manifest and plan; `decisions.design` looks for the rungs.
Costs are 6ND of training, as everywhere; scoring a proxy costs less than a thousandth of that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import pstdev

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.config.proxy import Proxy
from dataselect.cost import training_flops
from dataselect.decisions.design.known import score_model
from dataselect.decisions.design.rungs import Outcome, Rung, play
from dataselect.decisions.design.score_model import ScoreModel
from dataselect.decisions.design.search import SEED_LEVELS, Frontier, Problem, search
from dataselect.decisions.design.shapes import halving, single_stage, two_stage
from dataselect.decisions.target_agreement import read_target_table
from dataselect.errors import InputError
from dataselect.proxies.ladder import LADDER, LADDER_SEQUENCE_LENGTH
from dataselect.proxies.recipe import make_recipe
from dataselect.units import format_count, format_flops, parse_count

PUBLISHED_VOCABULARY = 50_304
"""Entries of the ladder's published tokenizer."""
SMALLEST_TOKENS = 87_300_000
"""Training tokens of the smallest proxy in the paper, a 4M."""
BUDGETS = (0.1, 1 / 3, 1.0, 3.0, 10.0)
"""Budgets that are looked at, as multiples of the one that is asked for."""
_FEWEST_KNOWN = 3
"""Fewest candidates with known targets that a spread is taken from."""


@dataclass(frozen=True)
class ProxySize:
    """A proxy that a rung may train."""

    name: str
    """Its size, such as "20M"."""
    proxy: Proxy
    """As a plan writes it."""
    parameters: int
    """N."""
    tokens: int
    """D."""

    @property
    def flops(self) -> float:
        """Training FLOPs, 6ND."""
        return training_flops(self.parameters, self.tokens)


@dataclass(frozen=True)
class Designed:
    """Rungs for a budget, what they are expected to come to, and what others would."""

    candidates: int
    """Number of candidates."""
    sizes: tuple[ProxySize, ...]
    """The proxies that were tried, by rising FLOPs; rungs name them by place."""
    model: ScoreModel
    """How scores come about, in the order of `sizes`."""
    metric: str
    """The metric that proxies are scored by."""
    budget: float
    """FLOPs that may be spent."""
    best: Outcome
    """The proposal."""
    at_budgets: tuple[tuple[float, Outcome | None], ...]
    """Other budgets in FLOPs, and their best plans; None if one pays for no plan."""
    others: tuple[tuple[str, Outcome | None], ...]
    """Other shapes at the same budget, by name; None if it does not pay for one."""
    cheapest: Outcome
    """The cheapest plan of all."""
    target_flops: float
    """Training FLOPs of one target."""
    spread: float | None
    """Standard deviation of the targets' accuracies in points; None if not known."""
    spread_from: str | None
    """Where `spread` comes from, in words."""


def design_plan(
    manifest: Manifest,
    plan: Plan,
    budget: float,
    *,
    metric: str = "rbridge",
    spread: float | None = None,
    keep_last: bool = False,
    seed: int = 0,
) -> Designed:
    """Rungs for `budget` FLOPs.

    `spread`: standard deviation of the targets' accuracies in points; default: of those that the
    manifest's evidence knows. `keep_last`: the plan's own last stage, which predicts, is the last
    rung. Raises InputError if the budget pays for no plan.
    """
    target = training_flops(manifest.target.size, manifest.target.total_tokens)
    sizes = proxy_sizes(plan, target, vocabulary_of(plan) or PUBLISHED_VOCABULARY)
    if not sizes:
        fix = "choose by the targets themselves, or name smaller proxies in the plan"
        problem = f"it takes {format_flops(target)}, less than any proxy"
        raise InputError(manifest.where("target"), problem, fix)
    flops = tuple(each.flops for each in sizes)
    model = score_model(metric, flops, target)
    candidates = len(manifest.candidates)
    last = _last_rung(plan, sizes) if keep_last else None
    levels = SEED_LEVELS if last is None else tuple(sorted({*SEED_LEVELS, last.seeds}))
    frontier = search(Problem(candidates, flops, model, levels, last=last, seed=seed))
    best = frontier.at(budget)
    cheapest = frontier.plans[0]
    if best is None:
        raise InputError(
            "--budget",
            f"{format_flops(budget)} train no proxy for each of {candidates} candidates",
            f"the smallest takes {format_flops(cheapest.flops)}",
        )
    known, origin = (spread, "--spread") if spread is not None else _known_spread(manifest)
    return Designed(
        candidates=candidates,
        sizes=sizes,
        model=model,
        metric=metric,
        budget=budget,
        best=best,
        at_budgets=tuple((times * budget, frontier.at(times * budget)) for times in BUDGETS),
        others=_others(candidates, flops, budget, frontier),
        cheapest=cheapest,
        target_flops=target,
        spread=known,
        spread_from=origin,
    )


def _last_rung(plan: Plan, sizes: Sequence[ProxySize]) -> Rung:
    """The plan's own last stage as a rung."""
    chosen = plan.predict
    if chosen is None or chosen.proxy is None:
        raise InputError(
            "--keep-last", "the plan has no last stage that trains a proxy", "leave it out"
        )
    for place, size in enumerate(sizes):
        if size.proxy == chosen.proxy:
            return Rung(place, chosen.seeds, 1)
    raise InputError(
        plan.where(*plan.place(len(plan.stages)), "proxy"),
        "this proxy takes more training than the target",
        "name a smaller one, or leave out --keep-last",
    )


def _others(
    candidates: int, flops: Sequence[float], budget: float, frontier: Frontier
) -> tuple[tuple[str, Outcome | None], ...]:
    made = {
        "two stages, as in the paper": two_stage(candidates, flops, budget),
        "single stage": single_stage(candidates, flops, budget),
        "successive halving": halving(candidates, flops, budget),
    }
    played = tuple(
        (name, None if rungs is None else play(rungs, frontier.worlds, flops))
        for name, rungs in made.items()
    )
    return (*played, ("one at random", frontier.random))


def proxy_sizes(plan: Plan, target_flops: float, vocabulary: int) -> tuple[ProxySize, ...]:
    """The ladder's sizes with its tokens, and the plan's own proxies, up to the target's FLOPs."""
    proxies = [
        Proxy(size="4M", tokens=SMALLEST_TOKENS),
        *(Proxy(size=name, tokens=ladder_tokens(name)) for name in LADDER),
    ]
    own = [stage.proxy for stage in plan.stages]
    sizes = {}
    # The plan's own last, with its settings of the training, where it has a size of the ladder.
    for proxy in [*proxies, *(each for each in own if each is not None)]:
        recipe = make_recipe(proxy, vocabulary, "cpu", plan.where())
        name = proxy.size or format_count(recipe.parameters)
        tokens = proxy.tokens or recipe.tokens
        made = ProxySize(name, proxy, recipe.parameters, tokens)
        if made.flops <= target_flops:
            sizes[made.parameters, format_count(tokens)] = made
    return tuple(sorted(sizes.values(), key=lambda each: each.flops))


def vocabulary_of(plan: Plan) -> int | None:
    """Entries of the plan's tokenizer; None if it would have to be loaded from the Hub."""
    chosen = plan.tokenizer
    if chosen is None:
        return None
    if chosen.train is not None:
        return chosen.train.vocab_size
    if chosen.path is None or not (plan.base / chosen.path).is_dir():
        return None
    from dataselect.corpus.tokenizer import load_tokenizer

    return len(load_tokenizer(str(plan.base / chosen.path), chosen.revision))


def ladder_tokens(size: str) -> int:
    """Training tokens of the published run of a size, to three digits."""
    rung = LADDER[size]
    return parse_count(format_count(rung.steps * rung.batch_size * LADDER_SEQUENCE_LENGTH))


def _known_spread(manifest: Manifest) -> tuple[float | None, str | None]:
    if manifest.evidence is None:
        return None, None
    truth = read_target_table(manifest.base / manifest.evidence.target_accuracy)
    known = [truth[each.id] for each in manifest.candidates if each.id in truth]
    if len(known) < _FEWEST_KNOWN:
        return None, None
    means = [sum(each.values()) / len(each) for each in known]
    return 100 * pstdev(means), f"the known targets of {len(known)} candidates"
