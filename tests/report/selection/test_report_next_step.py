"""The line after the verdict: what to do next."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pandas as pd
import pytest

from dataselect.cost import training_flops
from dataselect.decisions.discrepancy import Gap
from dataselect.decisions.uncertainty import with_uncertainty
from dataselect.pipeline import Selection
from dataselect.report.selection.document import document
from dataselect.report.selection.readme import readme
from dataselect.scoring.evaluation import METRICS
from dataselect.stages.next_step import leads
from dataselect.stages.proxy_origins import StageName
from dataselect.stages.scores import RUN_INDEX, StageScores

MakeSelection = Callable[..., Selection]

TARGETS = {"good": 0.7, "fair": 0.6, "blend": 0.5, "poor": 0.2}


def whole(selection: Selection) -> Selection:
    """With a candidate that diverged in place of the one that failed."""
    scores = selection.screening.scores
    runs = {
        name: replace(run, status="diverged") if run.status == "failed" else run
        for name, run in scores.candidates.items()
    }
    screening = replace(selection.screening, scores=replace(scores, candidates=runs))
    return replace(selection, screening=screening)


def with_gap(
    selection: Selection, tau: float, seed_sd: float = 0.0, doubt: float = 0.0
) -> Selection:
    screening = selection.screening
    runs = {name: table["rbridge"] for name, table in screening.scores.runs.items()}
    ranking, known = with_uncertainty(
        screening.ranking, runs, Gap(tau, seed_sd, None, "published runs", doubt), 0
    )
    return replace(selection, screening=replace(screening, ranking=ranking, uncertainty=known))


def with_seeds(selection: Selection, noise: Sequence[float]) -> Selection:
    screening = selection.screening
    return replace(
        selection, screening=replace(screening, scores=with_noise(screening.scores, noise))
    )


def with_noise(scores: StageScores, noise: Sequence[float]) -> StageScores:
    """With seeds whose scores are off by `noise`, turned round for every other candidate."""
    rows = []
    for place, (name, mean) in enumerate(scores.tables["sums"]["rbridge"].mean().items()):
        sign = 1 if place % 2 else -1
        rows += [(name, seed, 1, mean + sign * each) for seed, each in enumerate(noise)]
    runs = pd.DataFrame(rows, columns=[*RUN_INDEX, "rbridge"]).set_index(list(RUN_INDEX))
    return replace(scores, runs={"sums": runs.assign(**dict.fromkeys(METRICS, runs["rbridge"]))})


def test_a_clear_winner_is_to_be_chosen(make_selection: MakeSelection) -> None:
    made = document(with_gap(whole(make_selection(stage2=False)), 0.001))
    assert made["next_step"] == "Next: choose good."
    assert made["decision"]["next"]["action"] == "choose"
    assert "Next" not in made["verdict"]


def test_a_clear_winner_by_one_seed_of_unknown_noise_comes_with_the_price_of_a_second(
    make_selection: MakeSelection,
) -> None:
    made = document(whole(make_selection()))
    assert made["next_step"].startswith("Next: choose good; the noise of seeds is not in that")
    assert (
        "'seeds: 2' in the plan's 'predict' would measure it, for 1.0e12 FLOPs"
        in (made["next_step"])
    )


def test_failed_candidates_are_tried_again_first(make_selection: MakeSelection) -> None:
    made = document(make_selection(stage2=False))
    assert made["next_step"].startswith(
        "Next: run the same command again, which retries broken. With what is there: choose good"
    )
    assert made["decision"]["next"]["action"] == "retry"
    assert made["decision"]["next"]["failed"] == ["broken"]


def test_seeds_are_proposed_with_their_price_where_their_noise_hides_the_order(
    make_selection: MakeSelection,
) -> None:
    made = document(with_gap(whole(make_selection(stage2=False)), 0.02, seed_sd=0.5))
    step = made["decision"]["next"]
    assert (step["action"], step["undecided"]) == ("more_seeds", ["fair"])
    assert step["probability"] >= 0.9
    more = step["seeds"] - 1
    # The fixture's stage cost 1e12 FLOPs with one seed of each.
    assert step["flops"] == pytest.approx(more * 1e12)
    assert step["of_target"] == pytest.approx(more * 1e12 / training_flops(10**9, 20 * 10**9))
    assert f"'seeds: {step['seeds']}' in the plan's 'screen'" in made["next_step"]
    assert f"run good and fair with {more} more seed" in made["next_step"]
    assert "for all 4" in made["next_step"]


def test_measured_noise_of_seeds_counts_those_that_are_there(make_selection: MakeSelection) -> None:
    selection = with_seeds(whole(make_selection(stage2=False)), [-0.4, 0.4])
    made = document(with_gap(selection, 0.02))
    step = made["decision"]["next"]
    assert step["action"] == "more_seeds"
    assert step["seeds"] > 2
    assert step["flops"] == pytest.approx((step["seeds"] - 2) * 1e12 / 2)


def test_seeds_are_not_sold_where_the_gap_decides(make_selection: MakeSelection) -> None:
    made = document(with_gap(whole(make_selection(stage2=False)), 2.0, doubt=0.7))
    step = made["decision"]["next"]
    assert (step["action"], step["seeds"], step["flops"]) == ("other_proxies", None, None)
    assert step["probability"] < 0.9
    assert "good, fair, blend and poor cannot be told apart by more seeds" in made["next_step"]
    assert "no proxy cheaper than the target is known to be enough" in made["next_step"]
    assert "take good, or another if it is cheaper" in made["next_step"]


def test_a_larger_proxy_is_priced_where_published_ones_of_that_size_are_enough(
    make_selection: MakeSelection,
) -> None:
    far = {"good": 1.0, "fair": 8.0, "blend": 8.1, "poor": 8.2}
    selection = whole(make_selection(stage2=False, qualities=far))
    made = document(with_gap(selection, 5.0, doubt=0.7))
    step = made["decision"]["next"]
    assert step["action"] == "other_proxies"
    assert step["proxy_flops"] is not None
    assert step["flops"] == pytest.approx(4 * step["proxy_flops"])
    assert "or a larger proxy in the plan's 'screen': about" in made["next_step"]


def test_stage_2_says_what_no_seed_can_tell(make_selection: MakeSelection) -> None:
    made = document(whole(make_selection(close=True)))
    step = made["decision"]["next"]
    assert (step["order"], step["seeds"]) == ("other_proxies", None)
    assert (
        "or a larger Stage 2 proxy with a function of its own, and how large is not known"
        in made["next_step"]
    )


def test_known_targets_are_named_where_the_order_is_open(make_selection: MakeSelection) -> None:
    made = document(whole(make_selection(close=True, targets=TARGETS)))
    assert "Their targets are known: blend 50.0%, fair 60.0%." in made["next_step"]
    blind = document(whole(make_selection(close=True)))
    assert "targets are known" not in blind["next_step"]


def test_a_cut_that_may_have_lost_the_best_is_widened_first(make_selection: MakeSelection) -> None:
    selection = with_gap(whole(make_selection()), 3.0)
    made = document(selection)
    step = made["decision"]["next"]
    assert (step["action"], step["order"]) == ("keep_more", "choose")
    cut = step["cut"]
    assert cut["p_kept"] < 0.9 <= cut["p_then"]
    # Two survivors cost 1e12 FLOPs in the fixture's Stage 2.
    assert cut["flops"] == pytest.approx(cut["more"] * 1e12 / 2)
    assert f"'keep: {cut['keep']}' in the plan's 'screen'" in made["next_step"]
    assert "Of the survivors: choose good" in made["next_step"]


def test_a_wider_cut_that_costs_a_target_comes_last(make_selection: MakeSelection) -> None:
    selection = with_gap(whole(make_selection()), 3.0)
    assert selection.prediction is not None
    dear = replace(selection.prediction.scores, flops=1e21)
    made = document(replace(selection, prediction=replace(selection.prediction, scores=dear)))
    assert made["next_step"].startswith("Next: choose good")
    assert "Stage 1's cut is in doubt" in made["next_step"]


def test_seeds_that_cost_more_than_targets_are_said_to(make_selection: MakeSelection) -> None:
    selection = with_gap(whole(make_selection(stage2=False)), 0.02, seed_sd=0.5)
    dear = replace(selection.screening.scores, flops=1e21)
    made = document(replace(selection, screening=replace(selection.screening, scores=dear)))
    assert "train the targets of good and fair (2.4e20 FLOPs), or take either" in made["next_step"]


def test_a_lone_survivor_calls_for_more_to_compare(make_selection: MakeSelection) -> None:
    lost = {"fair": (StageName.PREDICT, "diverged")}
    made = document(whole(make_selection(fate=lost)))
    assert made["decision"]["next"]["action"] == "compare_more"
    assert "a larger 'keep' in the plan's 'screen'" in made["next_step"]
    alone = dict.fromkeys(("fair", "blend", "poor"), (StageName.SCREEN, "diverged"))
    made = document(whole(make_selection(fate=alone)))
    assert made["next_step"].startswith("Next: add candidates")


@pytest.mark.parametrize("noise", [[0.0], [-0.4, 0.1, 0.3]])
def test_the_present_probability_is_that_of_stage_1(
    make_selection: MakeSelection, noise: list[float]
) -> None:
    selection = with_seeds(make_selection(stage2=False), noise)
    selection = with_gap(selection, 0.4, seed_sd=0.3, doubt=0.7)
    others = ["fair", "blend", "poor"]
    made = leads(selection.experiment, selection, StageName.SCREEN, "good", others)
    wins = selection.screening.ranking.wins
    for name, lead in made.items():
        assert lead.probability(len(noise)) == pytest.approx(wins.loc["good", name], abs=0.06)


def test_seeds_that_stage_2_measured_and_its_probability_left_out_are_named(
    make_selection: MakeSelection,
) -> None:
    selection = whole(make_selection(transfer=False))
    prediction = selection.prediction
    assert prediction is not None
    scores = with_noise(prediction.scores, [-0.6, 0.6])
    made = document(replace(selection, prediction=replace(prediction, scores=scores)))
    assert made["decision"]["not_told_apart"] == []
    step = made["decision"]["next"]
    assert (step["action"], step["undecided"]) == ("more_seeds", ["fair"])
    assert "which the probability above leaves out, hides its lead over fair" in made["next_step"]
    calm = with_noise(prediction.scores, [-0.01, 0.01])
    made = document(replace(selection, prediction=replace(prediction, scores=calm)))
    assert made["next_step"] == "Next: choose good."


def test_a_single_survivor_is_judged_by_the_order_of_stage_1(make_selection: MakeSelection) -> None:
    selection = with_gap(whole(make_selection()), 1.0)
    prediction, screening = selection.prediction, selection.screening
    assert prediction is not None
    one = replace(selection, screening=replace(screening, survivors=("good",)))
    one = replace(one, prediction=replace(prediction, order=("good",)))
    made = document(one)
    assert made["decision"]["stage"] == "stage1"
    assert ". By Stage 1: good" in made["next_step"]


def test_every_report_shows_it(make_selection: MakeSelection) -> None:
    made = document(with_gap(whole(make_selection(stage2=False)), 0.001))
    assert "Next: choose good." in readme(made, "again")
