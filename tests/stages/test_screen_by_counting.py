"""Stage 0: hundreds of candidates pruned by counting, what it finds and what it cannot see."""

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from stage_world import Counted, experiment, runtime, write_world

from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.counting import Questions
from dataselect.errors import InputError
from dataselect.pipeline import Selection, check, run
from dataselect.report.selection.document import document
from dataselect.report.selection.files import ranking_csv
from dataselect.report.selection.planned import print_plan
from dataselect.report.selection.readme import readme
from dataselect.report.selection.terminal import print_report
from dataselect.stages.screen_by_counting import screen_by_counting

HEAD = """
tokenizer: {train: {vocab_size: 300, characters: 20k}}
benchmarks:
  - {id: short, items: short.jsonl, traces: short.traces.jsonl}
  - {id: long, items: long.jsonl, traces: long.traces.jsonl}
"""
SCREEN = """
screen:
  keep: 2
  proxy:
    architecture: {hidden_size: 16, layers: 1, heads: 2}
    tokens: 1500
    sequence_length: 32
    batch_size: 4
    learning_rate: 1e-2
"""
SHARES = (0, 10, 20, 40, 60, 80, 90, 100)
"""Percent of worked reasoning in each candidate, which is also its target's accuracy."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight mixtures of worked reasoning and prose, the more of it the better."""
    import torch

    torch.set_num_threads(1)
    made = tmp_path_factory.mktemp("counted")
    write_world(made)
    mixtures = [
        f"  - {{id: m{s}, mixture: {{worked: {s}, prose: {100 - s}}}}}" for s in SHARES[1:7]
    ]
    (made / "manifest.yaml").write_text(
        "target: {size: 1M, tokens: 20M}\n"
        "evidence: {target_accuracy: truth.csv}\n"
        "sources:\n"
        "  - {id: worked, path: dataselect/desk, name: worked}\n"
        "  - {id: prose, path: dataselect/desk, name: narrative}\n"
        "candidates:\n" + "\n".join(mixtures) + "\n"
        "  - {id: m0, mixture: {prose: 1}}\n  - {id: m100, mixture: {worked: 1}}\n"
    )
    truth = "".join(f"m{share},{share / 100}\n" for share in SHARES)
    (made / "truth.csv").write_text(f"id,made\n{truth}")
    (made / "plan.yaml").write_text(f"{HEAD}screen0: {{keep: 3}}{SCREEN}")
    return made


def select(folder: Path, plan: str = "plan.yaml") -> tuple[Selection, list[str]]:
    compute = Counted()
    manifest, chosen = load_manifest(folder / "manifest.yaml"), load_plan(plan, folder)
    return run(manifest, chosen, runtime(folder, compute)), compute.names


@pytest.fixture(scope="module")
def found(folder: Path) -> tuple[Selection, list[str]]:
    return select(folder)


def test_the_planted_best_go_on_and_nobody_else_is_trained(
    found: tuple[Selection, list[str]],
) -> None:
    selection, jobs = found
    stage0 = selection.stage0
    assert stage0 is not None
    assert list(stage0.ranking.table.index) == [f"m{share}" for share in reversed(SHARES)]
    assert stage0.survivors == ("m100", "m90", "m80")
    assert sorted(jobs) == ["stage1/m100", "stage1/m80", "stage1/m90"]
    assert stage0.counted.exact
    assert set(stage0.counted.tokens.values()) == {selection.screening.scores.tokens}


def test_the_pruned_stand_in_every_table_as_pruned_in_stage_0(
    found: tuple[Selection, list[str]],
) -> None:
    made = document(found[0])
    assert json.loads(json.dumps(made)) == made
    last = made["candidates"][-1]
    assert (last["id"], last["rank"], last["status"]) == ("m0", 8, "pruned")
    assert last["reason"].startswith("place 8 of 8 in Stage 0, by counting, which keeps 3; prob")
    assert last["stage1"] is None
    assert set(last["stage0"]["benchmarks"]) == {"short", "long"}
    assert made["screen0"]["kept"] == 3
    assert made["screen0"]["cpu_seconds"] > 0
    shown = io.StringIO()
    print_report(made, Console(width=80, file=shown))
    text = shown.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("pruned in Stage 0") == 2 * 5  # the ranking, and the targets' accuracies
    assert "to count words; this call took" in " ".join(text.split())
    page = readme(made, "again")
    assert "| rank | candidate | Stage 0 score | P(best 3) | Stage 1 score |" in page
    assert "Texts with the same words look the same to it" in page
    assert "k0·C1 + Ct = 3 × " in page
    assert "stage0_score,stage0_low,stage0_high,stage0_p_top_k,stage1_score" in ranking_csv(made)


def test_the_truth_tells_what_counting_lost(folder: Path, found: tuple[Selection, Any]) -> None:
    assert found[0].truth is not None
    assert found[0].truth.lost_by_cut["stage0"] == 0
    turned = "".join(f"m{share},{1 - share / 100}\n" for share in SHARES)
    (folder / "truth.csv").write_text(f"id,made\n{turned}")
    selection, jobs = select(folder)
    assert jobs == []
    assert selection.truth is not None
    assert selection.truth.lost_by_cut["stage0"] == pytest.approx(0.8)
    assert "of them in the cuts of Stage 0 (80.0)" in readme(document(selection), "again")


def test_its_probabilities_are_timid_and_count_in_every_later_one(
    found: tuple[Selection, list[str]],
) -> None:
    selection, _ = found
    stage0 = selection.stage0
    assert stage0 is not None
    # By counting alone the order is certain; whether it is that of targets is not.
    chance = stage0.ranking.table["p_top_k"]
    assert chance.sum() == pytest.approx(3)
    assert 0.4 < chance["m100"] < 0.95
    assert chance["m0"] > 0.02
    (cut,) = selection.cuts(0)
    assert cut.stage == "stage0"
    assert 0.3 < cut.p_kept < 0.95


def test_the_spread_before_the_cut_is_that_of_the_gap_after_it(
    found: tuple[Selection, list[str]],
) -> None:
    screening = found[0].screening
    assert screening.uncertainty is not None
    assert screening.uncertainty.spread is not None
    assert screening.uncertainty.spread > screening.ranking.table["score"].std(ddof=0)


def test_a_stopped_count_goes_on_where_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered: list[str] = []
    answer, left = Questions.answer, [3]

    def counted(self: Questions, *arguments: Any) -> None:
        if len(answered) == left[0]:
            raise KeyboardInterrupt
        answer(self, *arguments)
        answered.append("one")

    monkeypatch.setattr(Questions, "answer", counted)
    made = experiment(folder, Counted(), tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        screen_by_counting(made)
    left[0] = len(SHARES) + 1
    stage0 = screen_by_counting(made)
    assert len(answered) == len(SHARES)
    assert stage0 is not None
    assert stage0.survivors == ("m100", "m90", "m80")


def test_another_order_is_found_in_the_store(
    folder: Path, found: tuple[Selection, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Questions, "answer", None)
    (folder / "two.yaml").write_text(f"{HEAD}screen0: {{keep: 3, order: 2}}{SCREEN}")
    stage0 = screen_by_counting(experiment(folder, Counted(), plan="two.yaml"))
    assert stage0 is not None
    assert stage0.score == "ngram2_trace_nll"
    first = found[0].stage0
    assert first is not None
    assert not np.allclose(stage0.ranking.table["score"], first.ranking.table["score"])


def test_texts_of_the_same_words_look_the_same_whatever_they_say(tmp_path: Path) -> None:
    write_world(tmp_path)
    rng = random.Random(0)
    right = [f"{a} plus {b} is {a + b}." for a in range(2, 30) for b in range(2, 12)]
    rng.shuffle(right)
    words = [sentence.split() for sentence in right]
    sums = [each[-1] for each in words]
    rng.shuffle(sums)
    wrong = [" ".join([*each[:-1], number]) for each, number in zip(words, sums, strict=True)]
    for name, lines in (("right", right), ("wrong", wrong)):
        rows = [{"text": " ".join(lines[i : i + 20])} for i in range(0, len(lines), 20)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "manifest.yaml").write_text(
        "target: {size: 1M, tokens: 20M}\n"
        "candidates:\n"
        "  - {id: right, path: right.jsonl}\n"
        "  - {id: wrong, path: wrong.jsonl}\n"
        "  - {id: prose, path: dataselect/desk, name: narrative}\n"
    )
    (tmp_path / "plan.yaml").write_text(f"{HEAD}screen0: {{keep: 2}}{SCREEN}")
    stage0 = screen_by_counting(experiment(tmp_path, Counted()))
    assert stage0 is not None
    scores = stage0.ranking.table["score"]
    assert abs(scores["right"] - scores["wrong"]) < 0.05 * (scores.max() - scores.min())
    assert stage0.ranking.wins.loc["right", "wrong"] == pytest.approx(0.5, abs=0.15)


def test_who_cannot_be_counted_goes_on(folder: Path, tmp_path: Path) -> None:
    write_world(tmp_path)
    text = (folder / "manifest.yaml").read_text().replace("evidence", "# evidence")
    (tmp_path / "manifest.yaml").write_text(
        f"{text}  - {{id: own, proxies: {{screen: {{train: {{command: 'go {{output}}'}}}}}}}}\n"
    )
    (tmp_path / "plan.yaml").write_text(f"{HEAD}screen0: {{keep: 3}}{SCREEN}")
    made = experiment(tmp_path, Counted())
    stage0 = screen_by_counting(made)
    assert stage0 is not None
    assert stage0.uncounted == {"own": "its Stage 1 proxy is not trained on text that is read here"}
    assert "own" not in stage0.ranking.table.index
    shown = io.StringIO()
    print_plan(made.manifest, made.plan, tmp_path / "store", Console(width=80, file=shown))
    assert "words of 8 candidates are counted" in shown.getvalue()
    assert "at most 4 of 9 go on to Stage 1" in " ".join(shown.getvalue().split())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("keep: 3", "keep: 9", "plan.yaml:6:11: 9 candidates cannot be kept of 8; write 8 or"),
        (
            "  keep: 2\n",
            "  keep: 2\n  train: {command: 'go {candidate} {output}'}\n",
            "plan.yaml:6:1: fewer than two candidates have a Stage 1 proxy that is trained on text",
        ),
    ],
)
def test_what_cannot_be_counted_is_refused_before_anything_is_spent(
    folder: Path, old: str, new: str, message: str, tmp_path: Path
) -> None:
    plan = (folder / "plan.yaml").read_text()
    assert old in plan
    for name in ("manifest.yaml", "short.jsonl", "short.traces.jsonl"):
        (tmp_path / name).write_text((folder / name).read_text())
    (tmp_path / "plan.yaml").write_text(plan.replace(old, new, 1))
    with pytest.raises(InputError) as error:
        check(load_manifest(tmp_path / "manifest.yaml"), load_plan("plan.yaml", tmp_path))
    assert message in str(error.value)


def test_an_unclear_count_keeps_more_up_to_a_limit(tmp_path: Path) -> None:
    write_world(tmp_path)
    shares = np.linspace(1, 99, 40)
    (tmp_path / "manifest.yaml").write_text(
        "target: {size: 1M, tokens: 20M}\n"
        "sources:\n"
        "  - {id: worked, path: dataselect/desk, name: worked}\n"
        "  - {id: prose, path: dataselect/desk, name: narrative}\n"
        "candidates:\n"
        + "".join(
            f"  - {{id: m{i}, mixture: {{worked: {s:.3f}, prose: {100 - s:.3f}}}}}\n"
            for i, s in enumerate(shares)
        )
    )
    (tmp_path / "plan.yaml").write_text(
        f"{HEAD}screen0: {{keep: 10, min_probability: 0.2, keep_at_most: 15}}{SCREEN}"
    )
    stage0 = screen_by_counting(experiment(tmp_path, Counted()))
    assert stage0 is not None
    assert 10 < len(stage0.survivors) <= 15
    order = [int(name[1:]) for name in stage0.ranking.table.index]
    assert np.corrcoef(order, np.arange(40)[::-1])[0, 1] > 0.98
