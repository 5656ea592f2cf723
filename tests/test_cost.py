import pytest

from dataselect.cost import (
    PlannedCost,
    Spent,
    StageCost,
    formula,
    scoring_flops,
    spent,
    training_flops,
)


def test_training_flops_are_6nd_as_for_the_papers_smallest_point() -> None:
    # 3.7M parameters on 87.3M tokens, the paper's figure 6.
    assert training_flops(3_700_000, 87_300_000) == pytest.approx(1.938e15, rel=1e-3)


def test_scoring_is_a_third_of_training_on_the_same_tokens() -> None:
    assert scoring_flops(7, 11) == training_flops(7, 11) / 3 == 154


def test_planned_cost_is_the_papers_formula() -> None:
    cost = PlannedCost(25, (StageCost(25, 2.0), StageCost(5, 100.0)), 10_000.0)
    assert [stage.flops for stage in cost.stages] == [50, 500]
    assert cost.total == 25 * 2 + 5 * 100 + 10_000
    assert cost.naive == 25 * 10_000
    assert cost.saving_factor == pytest.approx(250_000 / 10_550)


def test_saving_approaches_the_number_of_candidates_as_proxies_become_cheap() -> None:
    factors = [
        PlannedCost(40, (StageCost(40, c), StageCost(4, 10 * c)), 1e6).saving_factor
        for c in (1e4, 1e2, 1.0)
    ]
    assert factors == sorted(factors)
    assert factors[-1] == pytest.approx(40, rel=1e-3)


def test_without_a_second_stage_only_the_first_and_the_target_are_paid() -> None:
    assert PlannedCost(10, (StageCost(10, 1.0),), 100.0).total == 110


def test_more_stages_are_summed_as_well_and_have_letters_of_their_own() -> None:
    stages = (StageCost(40, 1.0), StageCost(8, 5.0), StageCost(3, 50.0))
    cost = PlannedCost(40, stages, 1000.0)
    assert (cost.search, cost.total) == (40 + 40 + 150, 1230)
    assert [formula(n) for n in (1, 2)] == ["N·C1 + Ct", "N·C1 + k·C2 + Ct"]
    assert formula(3) == "N·C1 + k1·C2 + k2·C3 + Ct"


def test_spent_counts_failed_and_repeated_work_apart() -> None:
    done = {
        "status": "done",
        "wall_seconds": 10.0,
        "cpu_seconds": 9.0,
        "flops": 1e12,
        "attempts": 2,
    }
    failed = {"status": "failed", "wall_seconds": 3.0, "cpu_seconds": 2.0, "flops": 4e11}
    on_gpu = {"status": "done", "wall_seconds": 1.0, "gpu_seconds": 1.0, "flops": None}
    assert spent([done, failed, on_gpu]) == Spent(
        jobs=3,
        failed_jobs=1,
        attempts=4,
        wall_seconds=14.0,
        cpu_seconds=11.0,
        gpu_seconds=1.0,
        flops=1e12,
        failed_flops=4e11,
    )


def test_an_empty_ledger_cost_nothing() -> None:
    assert spent([]) == Spent()
