"""Uncertainty of Stage 1 in the document, the README and the terminal."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
from rich.console import Console

from dataselect.decisions.ablation import ablation
from dataselect.decisions.bootstrap import Bootstrap
from dataselect.decisions.discrepancy import LIKELIHOOD, Gap, gap_for
from dataselect.decisions.pruning import PruningRule, survivors
from dataselect.decisions.signal_to_noise import signal_to_noise
from dataselect.decisions.uncertainty import with_uncertainty
from dataselect.pipeline import Selection
from dataselect.report.selection.document import document
from dataselect.report.selection.readme import readme
from dataselect.report.selection.terminal import print_report

MakeSelection = Callable[..., Selection]

NEAR = LIKELIHOOD.gap(1e18, LIKELIHOOD.target_flops)
FAR = LIKELIHOOD.gap(1e11, LIKELIHOOD.target_flops)


def with_doubt(
    selection: Selection, gap: Gap | None, seeds: int = 1, rule: PruningRule | None = None
) -> Selection:
    """The selection after Stage 1, with this many seeds that differ slightly."""
    screening = selection.screening
    runs = {}
    for name, table in screening.scores.runs.items():
        own = table["rbridge"]
        shifted = {
            seed: own.droplevel("seed") + 0.01 * seed * (1 + pd.Series(range(len(own))).to_numpy())
            for seed in range(seeds)
        }
        runs[name] = pd.concat(shifted, names=["seed"]).reorder_levels(own.index.names)
    ranking, uncertainty = with_uncertainty(screening.ranking, runs, gap, 0)
    kept_by = survivors(ranking, rule or PruningRule(2))
    noise = {name: signal_to_noise(each) for name, each in runs.items()}
    made = replace(
        screening,
        ranking=ranking,
        survivors=tuple(kept_by),
        uncertainty=uncertainty,
        noise=noise,
        kept_by=kept_by,
    )
    return replace(selection, screening=made)


def with_ablation(selection: Selection, target: Mapping[str, float] | None) -> Selection:
    table = selection.screening.scores.tables["sums"]["rbridge"]
    swapped = table.rename(columns={"good": "fair", "fair": "good"})[list(table.columns)]
    tables = {"rbridge": {"sums": table}, "trace_nll": {"sums": swapped}}
    return replace(
        selection, ablation=ablation(tables, target=target, bootstrap=Bootstrap(draws=200))
    )


def texts(selection: Selection) -> tuple[dict[str, Any], str, str]:
    """The document, README and terminal."""
    made = document(selection)
    json.dumps(made, allow_nan=False)
    console = Console(width=80, file=io.StringIO(), force_terminal=False)
    print_report(made, console)
    return made, readme(made, "again"), console.file.getvalue()  # type: ignore[attr-defined]


def test_stage_1_speaks_of_the_target_only_with_a_gap(make_selection: MakeSelection) -> None:
    made, text, _ = texts(with_doubt(make_selection(stage2=False), NEAR))
    assert "it is the better one at target size with probability" in made["verdict"]
    assert "judging by published proxies of this size" in made["verdict"]
    assert "what one training seed commonly changes" in text
    assert "Probability that the row is the better one at target size" in text
    without, text, _ = texts(with_doubt(make_selection(stage2=False), None))
    assert "its score is ahead with probability > 0.99 over items." in without["verdict"]
    assert "cover the training seed or the gap between proxy and target" in text
    assert made["decision"]["probability"] < without["decision"]["probability"]


def test_an_extrapolation_is_called_so(make_selection: MakeSelection) -> None:
    made, text, _ = texts(with_doubt(make_selection(stage2=False), FAR))
    assert "by an extrapolation from published proxies" in made["verdict"]
    assert "these have 1.0e11 FLOPs" in text
    assert (
        made["stages"]["stage1"]["doubt"]["extrapolated"]
        in made["stages"]["stage1"]["doubt"].values()
    )


def test_the_plans_own_gap_is_named_with_its_candidates(make_selection: MakeSelection) -> None:
    source = "own.json: decision accuracy 0.80 [0.60, 0.90] over 12 candidates"
    own = Gap(0.5, 0.3, None, source, 0.4, "measured", 12)
    made, text, shown = texts(with_doubt(make_selection(stage2=False), own))
    assert "judging by your own proxies of 12 known targets" in made["verdict"]
    doubt = made["stages"]["stage1"]["doubt"]
    assert (doubt["basis"], doubt["known_targets"], doubt["tau_doubt"]) == ("measured", 12, 0.4)
    assert "how far your own proxies were from the order of known targets" in text
    assert "itself known within a factor of 1.5" in text
    assert "P(best 2) at target size rests on own.json: decision accuracy 0.80" in shown
    far = Gap(0.5, 0.3, "its proxies have 1M parameters", source, 0.4, "measured", 12)
    made, text, shown = texts(with_doubt(make_selection(stage2=False), far))
    assert "by an extrapolation from your own proxies of 12 known targets" in made["verdict"]
    assert "Here it is an extrapolation: its proxies have 1M parameters." in text
    assert "an extrapolation" in shown


def test_a_wide_guess_is_called_a_guess(make_selection: MakeSelection) -> None:
    guess = gap_for("trace_nll").gap(1e18, LIKELIHOOD.target_flops)
    made, text, shown = texts(with_doubt(make_selection(stage2=False), guess))
    assert "by a wide guess, since nothing is published of this metric" in made["verdict"]
    assert "itself known within a factor of 2.7" in text
    assert "rests on no published runs of this metric" in shown.replace("\n", " ")


def test_every_basis_has_its_line_in_the_terminal(make_selection: MakeSelection) -> None:
    _, _, shown = texts(with_doubt(make_selection(stage2=False), NEAR))
    assert "P(best 2) at target size rests on likelihoods of OLMES's ten tasks" in shown
    _, _, shown = texts(with_doubt(make_selection(stage2=False), None))
    assert "P(best 2): of the scores alone, without a gap to the target" in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_measured_seeds_are_in_the_intervals(make_selection: MakeSelection) -> None:
    made, text, shown = texts(with_doubt(make_selection(stage2=False), None, seeds=3))
    assert "over items and seeds" in made["verdict"]
    assert "with the noise of 3 seeds" in text
    assert "over items and 3 seeds]" in shown
    assert made["stages"]["stage1"]["doubt"]["measured"] is True


def test_the_second_stage_keeps_its_own_words(make_selection: MakeSelection) -> None:
    made, _, _ = texts(with_doubt(make_selection(), NEAR))
    assert "at target size" not in made["verdict"]


def test_noise_of_benchmarks_has_a_table_or_says_that_it_is_not_known(
    make_selection: MakeSelection,
) -> None:
    made, text, _ = texts(with_doubt(make_selection(), NEAR))
    assert made["stages"]["stage1"]["signal_to_noise"]["sums"]["verdict"] == "unknown"
    assert "Not known: one seed and one checkpoint say nothing of noise" in text
    made, text, _ = texts(with_doubt(make_selection(), NEAR, seeds=3))
    assert made["stages"]["stage1"]["signal_to_noise"]["sums"]["verdict"] == "usable"
    assert "| `sums` |" in text


def test_a_noisy_benchmark_is_named_in_the_terminal(make_selection: MakeSelection) -> None:
    made = document(with_doubt(make_selection(), NEAR, seeds=3))
    made["stages"]["stage1"]["signal_to_noise"]["sums"]["verdict"] = "too noisy"
    console = Console(width=80, file=io.StringIO())
    print_report(made, console)
    assert "too noisy to choose by in Stage 1: sums" in console.file.getvalue()  # type: ignore[attr-defined]


def test_who_was_pruned_by_probability_is_told_so(make_selection: MakeSelection) -> None:
    rule = PruningRule(2, 0.01, 3)
    made, _, _ = texts(with_doubt(make_selection(stage2=False), NEAR, rule=rule))
    assert made["stages"]["stage1"]["kept_by"]["blend"] == "probability"
    reasons = {c["id"]: c["reason"] for c in made["candidates"]}
    assert "3 of which go on; probability of being in the best 2" in reasons["poor"]


def test_without_targets_the_ablation_says_that_nobody_knows(make_selection: MakeSelection) -> None:
    made, text, shown = texts(with_ablation(make_selection(), None))
    assert made["ablation"]["metrics"]["trace_nll"]["differing"] == [["good", "fair"]]
    assert made["ablation"]["metrics"]["trace_nll"]["gain"] is None
    assert "83.3% of the pairs in the same order, and surely differ on 1 of 6" in text
    assert "Which of the two is right is not known" in shown.replace("\n", " ")
    assert "| `good` | 1 | 2 |" in text


def test_with_targets_the_ablation_answers_or_says_that_it_cannot(
    make_selection: MakeSelection,
) -> None:
    target = {"good": 0.7, "fair": 0.6, "blend": 0.5, "poor": 0.2}
    made, text, shown = texts(with_ablation(make_selection(), target))
    assert made["ablation"]["metrics"]["trace_nll"]["gain"] > 0
    assert "cannot be told here" in text
    assert "decision accuracy by 16.7 [" in shown.replace("\n", " ")
    assert max(map(len, shown.splitlines())) <= 80


def test_without_an_ablation_there_is_none(make_selection: MakeSelection) -> None:
    made, text, _ = texts(make_selection())
    assert made["ablation"] is None
    assert "Every metric" not in text
