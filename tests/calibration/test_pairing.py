"""Checkpoints are paired where both are near a token count, each once; the rest is reported."""

from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.calibration.pairing import Match, match
from dataselect.calibration.spec import Pairing

B = 10**9
COUNTS = st.lists(st.integers(0, 4000), max_size=30).map(lambda n: [each * B for each in n])


def test_the_nearest_checkpoints_are_paired_at_every_count_of_the_grid() -> None:
    pairing = Pairing(every="250B", last="1T")
    proxies = [n * B for n in (0, 21, 252, 503, 495, 755, 997)]
    targets = [n * B for n in (248, 254, 500, 749, 1002)]
    found = match(proxies, targets, pairing)
    assert found.found == (
        Match(250 * B, 252 * B, 248 * B),
        Match(500 * B, 503 * B, 500 * B),
        Match(750 * B, 755 * B, 749 * B),
        Match(1000 * B, 997 * B, 1002 * B),
    )
    assert found.missing == ()
    assert found.describe() == "4 pairs from 250B to 1T tokens, at most 4B tokens (1.6%) apart"


def test_without_a_grid_the_target_s_own_counts_are_taken() -> None:
    targets = [0, 100, 200, 300, 400]
    found = match([0, 100, 200, 299, 400], targets, Pairing(first=100, last=300))
    assert [each.tokens for each in found.found] == [100, 200, 300]
    assert found.found[-1] == Match(300, 299, 300)
    assert match([100], [100], Pairing()).describe() == "1 pair at 100 tokens, equal tokens"


def test_a_count_without_a_checkpoint_is_reported_with_the_reason() -> None:
    found = match([100, 200, 300], [100, 310], Pairing(every=100, last=400))
    assert [each.tokens for each in found.found] == [100]
    assert found.missing == (
        (200, "no checkpoint of the target within 2.0%"),
        (300, "no checkpoint of the target within 2.0%"),
        (400, "no checkpoint of the proxy and target within 2.0%"),
    )
    assert "; not paired: 200, 300 (no checkpoint of the target within 2.0%)" in found.describe()
    nothing = match([], [100], Pairing())
    assert nothing.describe().startswith("nothing is paired; not paired: 100 (no checkpoint of the")


def test_a_checkpoint_is_not_used_twice() -> None:
    found = match([100], [99, 101], Pairing())
    assert found.found == (Match(99, 100, 99),)
    assert found.missing == ((101, "its nearest checkpoint is paired already"),)


@settings(max_examples=50, deadline=None)
@given(COUNTS, COUNTS, st.integers(1, 500), st.floats(0.001, 0.49))
def test_pairs_lie_within_reach_and_no_checkpoint_serves_two(
    proxies: list[int], targets: list[int], every: int, tolerance: float
) -> None:
    pairing = Pairing(every=every * B, last=4000 * B, tolerance=tolerance)
    found = match(proxies, targets, pairing)
    grid = pairing.grid()
    assert grid is not None
    assert sorted([m.tokens for m in found.found] + [tokens for tokens, _ in found.missing]) == grid
    for each in found.found:
        assert each.proxy in proxies
        assert each.target in targets
        assert max(abs(each.proxy - each.tokens), abs(each.target - each.tokens)) <= min(
            tolerance * each.tokens, every * B / 2
        )
    for side in ("proxy", "target"):
        used = [getattr(each, side) for each in found.found]
        assert used == sorted(set(used))


def test_a_proxy_at_its_end_is_paired_with_a_target_at_its_own() -> None:
    pairing = Pairing(proxy=15_000, target=100_000)
    found = match([7500, 15_004, 15_240], [14_400, 97_300, 100_017], pairing)
    assert found.found == (Match(100_000, 15_004, 100_017, 15_000),)
    assert found.describe() == (
        "1 pair, the proxy at 15K and the target at 100K tokens, at most 17 tokens (0.0%) off"
    )
    short = match([7500, 14_000], [100_017], pairing)
    assert not short.found
    assert short.describe() == (
        "nothing is paired; not paired: 100K (no checkpoint of the proxy within 2.0%)"
    )
    both = Pairing(proxy=[10, 20], target=[50, 100])
    assert [(m.proxy, m.target) for m in match([10, 20], [50, 100], both).found] == [
        (10, 50),
        (20, 100),
    ]
