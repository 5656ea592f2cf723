"""Counting words in a run: the same text as the proxies', its place in the report, and its cost."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from naive_ngrams import NaiveModel
from rich.console import Console
from stage_world import CANDIDATES, Counted, runtime, short_answers, write_world

from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.corpus.shards import TokenStream
from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.counting import ORDERS, SCORES, column
from dataselect.pipeline import Selection, run
from dataselect.report.selection.document import document
from dataselect.report.selection.readme import readme
from dataselect.report.selection.terminal import print_report
from dataselect.scoring.prepare import prepare
from dataselect.stages import counting
from dataselect.stages.counting import FIRST, SHOWN
from dataselect.stages.proxy_origins import StageName

TRUTH = "id,made\nworked,0.9\nprose,0.1\nblend,0.5\ncopy,0.8\n"


def selected(folder: Path, *, compare_metrics: bool = False) -> Selection:
    manifest = load_manifest(folder / "manifest.yaml")
    plan = load_plan("plan.yaml", folder)
    with short_answers():
        return run(manifest, plan, runtime(folder, Counted()), compare_metrics=compare_metrics)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world whose proxies are trained and scored, with known targets."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, accuracy=True)
    text = (folder / "manifest.yaml").read_text()
    (folder / "manifest.yaml").write_text(f"{text}evidence: {{target_accuracy: truth.csv}}\n")
    (folder / "truth.csv").write_text(TRUTH)
    selected(folder)
    return folder


@pytest.fixture(scope="module")
def found(world: Path) -> Selection:
    return selected(world, compare_metrics=True)


def naive_losses(found: Selection, candidate: str, order: int) -> dict[str, float]:
    """By benchmark, the mean NLL of the traces by a model that counts all that the proxy reads."""
    experiment = found.experiment
    assert experiment.tokenizer is not None
    request = experiment.request(StageName.SCREEN, candidate)
    texts = []
    for share in request.shares:
        stream = TokenStream(share.folder)
        assert share.tokens <= len(stream)
        texts.append(stream.read(0, share.tokens).tolist())
    tokenizer = load_tokenizer(experiment.tokenizer.folder)
    model = NaiveModel(texts, order, experiment.tokenizer.vocab_size)
    losses = {}
    for name, evaluation in experiment.evaluations.items():
        means = []
        for item in prepare(evaluation.benchmark, evaluation.traces[0], tokenizer, 1 << 30).items:
            nll = model.nll([*item.context_ids[-4:], *item.trace_ids])[-len(item.trace_ids) :]
            means.append(np.mean(np.array(nll)[~np.isnan(item.token_weights)]))
        losses[name] = float(np.mean(means))
    return losses


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("candidate", ["worked", "blend"])
def test_a_candidate_is_counted_on_the_text_that_its_proxy_is_trained_on(
    found: Selection, candidate: str, order: int
) -> None:
    assert found.counting is not None
    tables = found.counting.tables[column(order, "trace_nll")]
    expected = naive_losses(found, candidate, order)
    assert {name: table[candidate].mean() for name, table in tables.items()} == pytest.approx(
        expected
    )


def test_worked_reasoning_predicts_the_traces_better_than_prose(found: Selection) -> None:
    counts = found.counting
    assert counts is not None
    assert set(counts.tables) == {column(order, score) for order in ORDERS for score in SCORES}
    for score, values in counts.scores.items():
        assert values["worked"] == values["copy"], score
        assert values["worked"] < values["blend"] < values["prose"], score
    assert counts.same_order[FIRST] == 1
    assert not counts.without
    assert counts.exact
    assert counts.tokens == dict.fromkeys(CANDIDATES, found.screening.scores.tokens)


def test_a_second_run_counts_nothing(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "Questions", None)
    assert selected(world).counting is not None


def test_candidates_with_the_same_text_share_their_counts(world: Path) -> None:
    # Worked, prose and blend, on two benchmarks each; copy is worked.
    assert len(list((world / "store" / "artifacts" / "counted").iterdir())) == 6


def test_it_stands_beside_the_metrics_of_the_proxies(found: Selection) -> None:
    made = document(found)
    assert json.loads(json.dumps(made["counting"])) == made["counting"]
    assert made["counting"]["text"] == (
        "Counting words alone (unigrams) would have chosen worked or copy; "
        "it agrees with rBridge on 100% of the pairs."
    )
    shown = list(made["evidence"]["decision_accuracy"])
    assert shown == ["rbridge", "trace_nll", "label_nll", "accuracy", *SHOWN]
    # Worked and its copy are tied, which is one of the six pairs.
    assert made["evidence"]["decision_accuracy"][FIRST] == pytest.approx(5.5 / 6)
    assert set(made["ablation"]["metrics"]) >= set(made["counting"]["scores"])
    page = readme(made, "dataselect run it")
    assert "## Counting words\n\n**Counting words alone" in page
    assert "| `prose` | 4 | 4 | 4 | 4 | 4 | 4 |" in page
    assert "| counting words (unigrams) | 0.92" in page
    shown_text = io.StringIO()
    print_report(made, Console(width=80, file=shown_text))
    assert "Counting words alone (unigrams) would have chosen worked" in shown_text.getvalue()


def test_without_an_ablation_the_proxies_numbers_are_as_without_counting(found: Selection) -> None:
    plain = replace(found, counting=None)
    one, other = document(found), document(plain)
    assert other.pop("counting") is None
    assert one.pop("counting") is not None
    assert one == other
    assert "Counting words" not in readme(document(plain), "again")


def given(world: Path, folder: Path, names: list[str]) -> Selection:
    """A run in which the proxies of `names` are checkpoints that exist."""
    checkpoint = next((world / "store" / "artifacts").rglob("step-*/config.json")).parent
    lines = []
    for line in (world / "manifest.yaml").read_text().splitlines():
        name = next((n for n in names if f"{{id: {n}," in line), None)
        proxy = f"{{model: {checkpoint}, tokens: 4k}}"
        # The text stays, so that the tokenizer is the same.
        lines.append(f"{line[:-1]}, proxies: {{screen: {proxy}}}}}" if name else line)
    for each in world.iterdir():
        if each.is_file():
            (folder / each.name).write_bytes(each.read_bytes())
    (folder / "manifest.yaml").write_text("\n".join(lines))
    manifest = load_manifest(folder / "manifest.yaml")
    here = runtime(folder, Counted(), world / "store")
    return run(manifest, load_plan("plan.yaml", folder), here, compare_metrics=True)


def test_a_candidate_with_a_given_proxy_is_not_counted_and_the_report_says_so(
    world: Path, tmp_path: Path
) -> None:
    found = given(world, tmp_path, ["copy"])
    made = document(found)
    part = made["counting"]
    assert list(part["tokens"]) == ["worked", "prose", "blend"]
    assert part["without"] == {"copy": "its Stage 1 proxy is not trained on text that is read here"}
    assert "would have chosen worked" in part["text"]
    assert "of the 3 of 4 candidates with text here" in part["text"]
    # Decision accuracies are of the same pairs for all, so counting has none.
    assert FIRST not in made["evidence"]["decision_accuracy"]
    assert FIRST not in made["ablation"]["metrics"]
    page = readme(made, "again")
    assert "- `copy`: its Stage 1 proxy is not trained on text" in page


def test_with_fewer_than_two_texts_nothing_is_counted(world: Path, tmp_path: Path) -> None:
    found = given(world, tmp_path, ["copy", "prose", "blend"])
    assert found.counting is None
    assert document(found)["counting"] is None
