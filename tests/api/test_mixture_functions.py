"""`ds.fit_mixture`, `predict_mixtures`, `propose_mixture`: the commands' results, and errors."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small_tables import HOSTILE, command, swarm_tables, written

import dataselect as ds
from dataselect.errors import InputError
from dataselect.store.sealed import sealed

LIMITS = {
    "target_tokens": "1T",
    "sources": {"web": {"tokens": "2T"}, HOSTILE: {"tokens": "200B"}, "wiki": {"tokens": "20B"}},
}


@pytest.fixture(scope="module")
def fitted() -> ds.MixtureFit:
    ratios, metrics = swarm_tables()
    return ds.fit_mixture(ratios, metrics.set_index("run"), lower_is_better=True)


@pytest.fixture(scope="module")
def proposal(fitted: ds.MixtureFit) -> ds.MixtureProposal:
    return ds.propose_mixture(fitted, constraints=LIMITS, pareto=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file written by the command, with its input tables."""
    folder = tmp_path_factory.mktemp("swarm")
    ratios, metrics = swarm_tables()
    given = list(written(folder, ratios=ratios, metrics=metrics))
    arguments = ("--ratios", given[0], "--metrics", given[1], "--lower-is-better")
    command("mix", "fit", *arguments, "--out", folder / "model.json")
    return folder / "model.json"


def test_the_fit_and_the_command_write_the_same_file(model: Path, tmp_path: Path) -> None:
    theirs = json.loads(model.read_text())
    paths = (model.with_name("ratios.csv"), model.with_name("metrics.csv"))
    by = theirs["provenance"]["command"]
    found = ds.fit_mixture(*paths, lower_is_better=True, command=by)
    assert found.document == theirs
    found.save(tmp_path / "model.json")
    assert (tmp_path / "model.json").read_bytes() == model.read_bytes()


def test_runs_in_frames_give_the_model_of_their_files(fitted: ds.MixtureFit, model: Path) -> None:
    theirs = json.loads(model.read_text())
    made = fitted.document["provenance"]
    ours = sealed({**fitted.document, "provenance": theirs["provenance"]})
    assert ours == theirs
    assert made["command"] == (
        "dataselect.fit_mixture(<DataFrame>, <DataFrame>, lower_is_better=True)"
    )
    assert made["files"]["ratios"]["name"] == "ratios (a frame)"
    assert len(made["files"]["metrics"]["sha256"]) == 64


def test_the_fit_says_how_well_held_out_runs_are_predicted(fitted: ds.MixtureFit) -> None:
    assert list(fitted.table.index) == ["qa_loss", "code_loss"]
    assert (fitted.table["of_spread"] < 0.5).all()
    assert fitted.errors.loc["average", "qa_loss"] == fitted.table.loc["qa_loss", "of_spread"]
    assert fitted.repetition is None
    assert fitted.verdict.startswith("Held-out runs are predicted with an error of ")
    assert f"{fitted.rankings.model.value:.2f} [" in fitted.verdict


def test_an_objective_may_be_a_mapping() -> None:
    ratios, metrics = swarm_tables()
    objective = {"qa_loss": 2, "code_loss": 1}
    found = ds.fit_mixture(ratios, metrics, objective=objective, lower_is_better=True)
    assert found.document["objective"] == pytest.approx([2 / 3, 1 / 3])
    with pytest.raises(InputError, match="--objective: 'qa' is no metric"):
        ds.fit_mixture(ratios, metrics, objective={"qa": 1}, lower_is_better=True)


def test_predictions_and_the_command_give_the_same_file(
    fitted: ds.MixtureFit, model: Path, tmp_path: Path
) -> None:
    at = swarm_tables()[0].head(4)
    (path,) = written(tmp_path, at=at)
    out = tmp_path / "out.csv"
    command("mix", "predict", "--with", model, "--at", path, "--out", out, "--confidence", 0.8)
    found = ds.predict_mixtures(model, at, confidence=0.8)
    assert found.to_csv() == out.read_text()
    assert list(found.table.columns) == list(pd.read_csv(out).columns[1:])
    near = ds.predict_mixtures(fitted, path, confidence=0.8)
    pd.testing.assert_frame_equal(near.table, found.table)
    best = found.table["objective"].idxmin()
    assert found.verdict.startswith(f"Of 4 mixtures {best} is predicted best: objective ")


def test_epochs_are_taken_from_frames() -> None:
    ratios, metrics = swarm_tables()
    sources = list(ratios.columns[1:])
    epochs = ratios.assign(**dict(ratios[sources] * [0.2, 3, 40]))
    fitted = ds.fit_mixture(ratios, metrics, epochs=epochs, lower_is_better=True)
    assert fitted.repetition is not None
    assert "value of repeated text: R " in fitted.repetition
    once = ds.predict_mixtures(fitted, ratios, epochs=epochs)
    more = epochs.assign(**{name: 10 * epochs[name] for name in sources})
    often = ds.predict_mixtures(fitted, ratios, epochs=more)
    assert often.table["objective"].mean() > once.table["objective"].mean()


def test_a_proposal_and_the_command_give_the_same_documents_and_files(
    model: Path, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text(json.dumps(LIMITS))
    theirs = tmp_path / "theirs"
    arguments = ("--with", model, "--constraints", limits, "--pareto", 2, "--seed", 1)
    command("mix", "propose", *arguments, "--out", theirs, "--json", tmp_path / "all.json")
    shown = json.loads((tmp_path / "all.json").read_text())
    by = shown["command"]
    found = ds.propose_mixture(model, constraints=limits, pareto=2, seed=1, command=by)
    assert json.loads(found.to_json()) == shown
    found.write(tmp_path / "ours")
    names = sorted(path.name for path in theirs.iterdir())
    assert names == sorted(path.name for path in (tmp_path / "ours").iterdir())
    for name in names:
        assert (tmp_path / "ours" / name).read_bytes() == (theirs / name).read_bytes(), name


def test_a_proposal_from_memory_is_that_of_the_files(
    proposal: ds.MixtureProposal, model: Path, tmp_path: Path
) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text(json.dumps(LIMITS))
    from_files = ds.propose_mixture(model, constraints=limits, pareto=2)
    assert proposal.shares == pytest.approx(from_files.shares, abs=1e-6)
    document = proposal.document
    assert (document["model"], document["constraints"]) == (
        "model (a MixtureFit)",
        "constraints (a mapping)",
    )
    assert document["command"].startswith("dataselect.propose_mixture(<MixtureFit>, constraints={'")
    assert document["command"].endswith(", pareto=2)")


def test_a_proposal_comes_as_frames(proposal: ds.MixtureProposal) -> None:
    assert sum(proposal.shares.values()) == pytest.approx(1)
    assert proposal.table["weight"].is_monotonic_decreasing
    assert proposal.table.loc["wiki", "capped_by"] == "20B tokens 4 times"
    assert proposal.table.loc["wiki", "epochs"] == pytest.approx(4, abs=1e-3)
    assert list(proposal.beside.index) == ["prior", "uniform", "best single source", "best run"]
    assert proposal.beside.loc["prior", "gain"] > 0
    assert len(proposal.trade_offs) == len(proposal.document["trade_offs"])
    assert proposal.trade_offs["weight"].sum(axis=1).to_list() == pytest.approx(
        [1.0] * len(proposal.trade_offs)
    )
    assert "predicted gain over the prior" in proposal.verdict


def test_a_notebook_shows_the_verdicts_and_runs_nothing(
    fitted: ds.MixtureFit, proposal: ds.MixtureProposal
) -> None:
    predicted = ds.predict_mixtures(fitted, swarm_tables()[0].replace("r0", HOSTILE))
    for found in (fitted, predicted, proposal):
        page = found._repr_html_()
        assert found.verdict.split("<")[0] in page
        assert "<script" not in page
    assert "&lt;script&gt;" in proposal._repr_html_()
    assert "None" not in ds.propose_mixture(fitted)._repr_html_()
    assert "&lt;script&gt;" in predicted._repr_html_()


def test_errors_name_the_frame_the_mapping_or_the_argument(
    fitted: ds.MixtureFit, tmp_path: Path
) -> None:
    ratios, metrics = swarm_tables()
    (tmp_path / "a-file").write_text("")
    low = {"sources": {"web": {"min": 0.5, "max": 0.2}}}
    for call, problem in (
        (
            lambda: ds.fit_mixture(ratios, metrics),
            "metrics .a frame.:1: 'qa_loss' is better when lower",
        ),
        (lambda: ds.fit_mixture(ratios, metrics.head(3)), "ratios .a frame.: 3 complete runs"),
        (lambda: ds.fit_mixture(ratios.assign(web=2), metrics), "ratios .a frame.:2: the weights"),
        (lambda: ds.predict_mixtures(fitted, ratios.assign(wiki=-1)), "at .a frame.:2: the wei"),
        (lambda: ds.predict_mixtures(fitted, ratios, epochs=ratios), "--epochs: no run of the"),
        (
            lambda: ds.predict_mixtures(fitted, ratios, confidence=0),
            "--confidence: 0 is not between 0 and 1",
        ),
        (lambda: ds.predict_mixtures(5, ratios), "model: int does not fit"),  # type: ignore[arg-type]
        (lambda: ds.propose_mixture(fitted, constraints={"x": 1}), "constraints .a mapping.: unkn"),
        (lambda: ds.propose_mixture(fitted, constraints=low), "mapping., sources.web.min: 'min'"),
        (lambda: ds.propose_mixture(fitted, constraints=5), "constraints: int does not fit"),  # type: ignore[arg-type]
        (lambda: ds.propose_mixture(fitted, pareto=-1), "--pareto: -1 is below 0"),
        (lambda: ds.propose_mixture(fitted).write(tmp_path / "a-file" / "x"), "cannot be made"),
        (lambda: fitted.save(tmp_path / "no" / "model.json"), "cannot be written.*--out"),
    ):
        with pytest.raises(InputError, match=problem):
            call()


def test_a_swarm_is_frames_and_a_folder_that_fit_reads(tmp_path: Path) -> None:
    manifest = tmp_path / "mine.yaml"
    manifest.write_text(
        "target: {size: 1B, tokens: 10B}\n"
        "candidates: [{id: web, path: org/web}, {id: code, path: org/code}]\n"
    )
    limits = {"sources": {"web": {"tokens": "90B"}, "code": {"tokens": "10B"}}}
    made = ds.design_swarm(manifest, runs=9, constraints=limits, tokens="1B", export="megatron")
    assert made.verdict == (
        "9 runs of 1B tokens to train on mixtures of 2 sources: 2 of the prior, 7 around it."
    )
    assert made.ratios.loc["run-001"].to_dict() == {"web": 0.9, "code": 0.1}
    assert made.ratios.sum(axis=1).tolist() == pytest.approx([1] * 9)
    assert made.epochs is not None
    assert made.epochs.loc["run-001", "code"] == pytest.approx(0.01)
    assert made.runs["role"].tolist() == ["prior"] * 2 + ["designed"] * 7
    assert made.record.command.startswith("dataselect.design_swarm(")
    assert "run-009" in made._repr_html_()
    made.write(tmp_path / "swarm")
    metrics = pd.DataFrame({"loss": 3 - made.ratios["code"] ** 0.5})
    halves = [metrics.iloc[:4], metrics.iloc[4:]]
    found = ds.fit_mixture(tmp_path / "swarm", halves, lower_is_better=True)
    assert found.model.swarm.runs == tuple(made.ratios.index)
    with pytest.raises(InputError, match=r"--tokens: 'much' is not a number"):
        ds.design_swarm(manifest, tokens="much")
