"""Two tables of scores: which columns and candidates are compared, and the notes on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dataselect.decisions.comparisons import LABELS, Comparisons, Settings, compare_tables
from dataselect.errors import InputError
from dataselect.formats.score_table import ScoreTable, read_score_table

Compare = Callable[..., Comparisons]

TARGET = "id,arc\na,0.1\nb,0.2\nc,0.3\nd,0.4\n"
RISING = "id,up\na,1\nb,2\nc,3\nd,4\n"


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    def table(name: str, text: str) -> ScoreTable:
        path = tmp_path / name
        path.write_text(text)
        return read_score_table(path, LABELS)

    def run(proxy: str, target: str = TARGET, **settings: Any) -> Comparisons:
        chosen = Settings(draws=100, **settings)
        return compare_tables(table("proxy.csv", proxy), table("target.csv", target), chosen)

    return run


def accuracies(found: Comparisons) -> dict[str, float]:
    return {name: each.agreement.decision_accuracy for name, each in found.by_name.items()}


def test_every_metric_meets_the_only_target(compare: Compare) -> None:
    found = compare("id,up,down,arc\na,1,4,1\nb,2,3,2\nc,3,2,4\nd,4,1,3\n")
    assert accuracies(found) == pytest.approx({"up": 1, "down": 0, "arc": 5 / 6})
    assert {each.target for each in found.by_name.values()} == {"arc"}
    assert found.candidates == 4
    assert found.notes == ("compared with 'arc', not their own: 'up', 'down'",)


def test_of_several_targets_a_metric_meets_that_of_its_name(compare: Compare) -> None:
    found = compare(
        "id,csqa,arc,nll\na,1,1,1\nb,2,2,2\nc,3,3,3\n",
        "id,arc,csqa,piqa\na,1,3,0\nb,2,2,1\nc,3,1,2\n",
    )
    assert accuracies(found) == {"csqa": 0, "arc": 1}
    assert found.notes == (
        "proxy.csv: not compared, without a partner: 'nll'",
        "target.csv: not compared, without a partner: 'piqa'",
    )


def test_the_only_metric_meets_every_target(compare: Compare) -> None:
    found = compare(RISING, "id,arc,csqa\na,1,4\nb,2,3\nc,3,2\nd,4,1\n")
    assert accuracies(found) == {"up -> arc": 1, "up -> csqa": 0}
    assert [each.target for each in found.by_name.values()] == ["arc", "csqa"]


def test_columns_without_a_common_name_are_refused(compare: Compare) -> None:
    with pytest.raises(InputError, match=r"none of its columns \('arc', 'csqa'\)"):
        compare("id,x,y\na,1,1\nb,2,2\nc,3,3\n", "id,arc,csqa\na,1,1\nb,2,2\nc,3,3\n")


def test_both_directions_can_be_turned(compare: Compare) -> None:
    for lower in (False, True):
        for target_lower in (False, True):
            found = compare(
                RISING, lower_is_better=lower, target_lower_is_better=target_lower, top=(1,)
            ).by_name["up"]
            assert found.agreement.decision_accuracy == float(lower == target_lower)
            assert found.top[0].regret == pytest.approx(0 if lower == target_lower else 0.3)


def test_candidates_of_one_table_alone_are_left_out_with_a_note(compare: Compare) -> None:
    found = compare("id,up\nx,9\na,1\nb,2\nc,3\ny,9\n")
    assert (found.candidates, found.by_name["up"].agreement.pairs) == (3, 3)
    assert found.notes == (
        "2 candidates ('x', 'y') only in proxy.csv left out",
        "1 candidate ('d') only in target.csv left out",
    )


def test_two_common_candidates_are_too_few(compare: Compare) -> None:
    with pytest.raises(InputError, match=r"2 of its 3 candidates are in target.csv; give at least"):
        compare("id,up\na,1\nb,2\nz,3\n")


def test_a_candidate_without_a_value_is_left_out_of_that_metric(compare: Compare) -> None:
    found = compare("id,up,down,gone\na,1,4,\nb,2,,1\nc,3,2,\nd,4,1,2\n")
    assert {name: each.candidates for name, each in found.by_name.items()} == {"up": 4, "down": 3}
    assert found.notes == (
        "down: 1 candidate ('b') without a value left out",
        "gone: 2 candidates ('a', 'c') without a value left out",
        "gone: not compared, since fewer than 3 candidates have values",
    )


def test_a_target_that_is_the_same_for_all_cannot_be_compared(compare: Compare) -> None:
    with pytest.raises(InputError, match="the target is the same for all"):
        compare(RISING, "id,arc\na,0.1\nb,0.1\nc,0.1\nd,0.1\n")


def test_seeds_of_the_proxy_are_averaged_and_tell_how_sure_a_pair_is(compare: Compare) -> None:
    rows = "a,0,1\na,1,3\nb,0,4\nb,1,2\nc,0,8\nc,1,10\nd,0,10\n"
    found = compare("id,seed,up\n" + rows)
    each = found.by_name["up"]
    assert (each.agreement.decision_accuracy, each.agreement.proxy_ties) == (1, 0)
    assert found.notes == ("up: the proxy has 1 to 2 seeds",)
    assert each.stated is not None
    assert [stated.confidence for stated in each.stated] == [0.6, 0.7, 0.8, 0.9]
    assert compare(RISING).by_name["up"].stated is None


def test_means_of_the_same_seeds_in_another_order_are_a_tie(compare: Compare) -> None:
    rows = "a,0,0.1\na,1,0.2\na,2,0.3\nb,0,0.3\nb,1,0.2\nb,2,0.1\nc,0,1\nc,1,1\nc,2,1\n"
    assert compare("id,seed,up\n" + rows).by_name["up"].agreement.proxy_ties == 1


def test_seeds_of_the_target_give_a_ceiling(compare: Compare) -> None:
    rows = [f"{name},{seed},{i + seed / 10}" for i, name in enumerate("abcd") for seed in range(3)]
    found = compare(RISING, "id,seed,arc\n" + "\n".join(rows))
    assert found.ceilings["arc"].one_seed == 1
    assert (found.ceilings["arc"].seeds, found.ceilings["arc"].candidates) == (3, 4)
    assert compare(RISING).ceilings == {}


def test_sizes_are_compared_one_by_one_in_their_order(compare: Compare) -> None:
    rows = "".join(
        f"{name},{size},{sign * i}\n"
        for size, sign in (("1B", 1), ("90M", 1), ("4M", -1))
        for i, name in enumerate("abcd")
    )
    found = compare("id,size,up\n" + rows)
    assert accuracies(found) == {"up@4M": 0, "up@90M": 1, "up@1B": 1}
    assert [each.size for each in found.by_name.values()] == ["4M", "90M", "1B"]
    stability = found.stability["up"]
    assert [each.share for each in stability.neighbouring] == [0, 1]
    assert stability.all_sizes.share == 0


def test_stability_is_over_the_candidates_that_every_size_has(compare: Compare) -> None:
    rows = "a,s,1\nb,s,2\nc,s,3\nd,s,4\na,l,1\nb,l,2\nc,l,3\n"
    found = compare("id,size,up\n" + rows)
    assert list(found.by_name) == ["up@s", "up@l"]
    assert found.stability["up"].all_sizes.pairs == 3
    assert found.notes == ("up@l: 1 candidate ('d') without a value left out",)


def test_one_size_has_no_stability(compare: Compare) -> None:
    found = compare("id,size,up\na,4M,1\nb,4M,2\nc,4M,3\n")
    assert (list(found.by_name), found.stability) == (["up@4M"], {})


def test_targets_of_several_sizes_are_refused(compare: Compare) -> None:
    with pytest.raises(InputError, match="its rows are of several sizes"):
        compare(RISING, "id,size,arc\na,1B,1\nb,1B,2\nc,7B,3\n")


def test_the_best_are_one_three_and_five_where_there_are_more(compare: Compare) -> None:
    assert [top.k for top in compare(RISING).by_name["up"].top] == [1, 3]
    assert [top.k for top in compare(RISING, top=(4, 2, 2)).by_name["up"].top] == [2, 4]
    with pytest.raises(InputError, match=r"--top: 5 of 4 candidates \(up\)"):
        compare(RISING, top=(1, 5))
