import pytest

from dataselect.cost import PlannedCost, Spent, scoring_flops, spent, training_flops


def test_training_flops_are_6nd_as_for_the_papers_smallest_point() -> None:
    # 3.7M parameters on 87.3M tokens, the paper's figure 6.
    assert training_flops(3_700_000, 87_300_000) == pytest.approx(1.938e15, rel=1e-3)


def test_scoring_is_a_third_of_training_on_the_same_tokens() -> None:
    assert scoring_flops(7, 11) == training_flops(7, 11) / 3 == 154


def test_planned_cost_is_the_papers_formula() -> None:
    cost = PlannedCost(candidates=25, survivors=5, proxy1=2.0, proxy2=100.0, target=10_000.0)
    assert (cost.stage1, cost.stage2) == (50, 500)
    assert cost.total == 25 * 2 + 5 * 100 + 10_000
    assert cost.naive == 25 * 10_000
    assert cost.saving_factor == pytest.approx(250_000 / 10_550)


def test_saving_approaches_the_number_of_candidates_as_proxies_become_cheap() -> None:
    factors = [PlannedCost(40, 4, c, 10 * c, 1e6).saving_factor for c in (1e4, 1e2, 1.0)]
    assert factors == sorted(factors)
    assert factors[-1] == pytest.approx(40, rel=1e-3)


def test_without_a_second_stage_only_the_first_and_the_target_are_paid() -> None:
    assert PlannedCost(10, 0, 1.0, 0.0, 100.0).total == 110


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
