"""`dataselect mix swarm`: mixtures for one's own trainer, and the way back to a proposal."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from small_swarms import few_folds
from typer.testing import CliRunner, Result

from dataselect.cli import app

MANIFEST = """\
target: {size: 1B, tokens: 100B}
sources:
  - {id: web, path: s3://bucket/web.parquet}
  - {id: code, path: org/code, revision: v1}
  - {id: wiki, path: data/wiki.jsonl}
candidates:
  - {id: most, mixture: {web: 0.8, code: 0.2}}
  - {id: half, mixture: {web: 0.5, wiki: 0.5}}
"""
LIMITS = """\
sources:
  web: {tokens: 300B, path: "s3://bucket/web", tokens_per_document: 900}
  code: {tokens: 60B, max: 0.5, tokens_per_document: 500}
  wiki: {tokens: 10B, tokens_per_document: 300}
prior: {web: 0.7, code: 0.2, wiki: 0.1}
floors: {qa_loss: prior}
"""
WORTH = {"web": (1.0, 0.3), "code": (0.3, 3.0), "wiki": (2.0, 0.4), "math": (4.0, 2.0)}

Run = Callable[..., Result]


@pytest.fixture(scope="module", autouse=True)
def _few_folds() -> Iterator[None]:
    with few_folds():
        yield


@pytest.fixture
def mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in a folder with a manifest and constraints."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(MANIFEST)
    (tmp_path / "limits.yaml").write_text(LIMITS)
    return lambda *arguments: CliRunner().invoke(app, ["mix", *map(str, arguments)])


def swarm(mix: Run, *options: object, out: str = "swarm") -> Result:
    return mix("swarm", "mine.yaml", "--constraints", "limits.yaml", "--out", out, *options)


def rows(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).open()))


def shares(row: dict[str, str]) -> dict[str, float]:
    return {name: float(cell) for name, cell in row.items() if name != "run"}


def train(
    out: str, shift: float = 0.0, roles: tuple[str, ...] = ("prior", "designed", "repeat")
) -> None:
    """A trainer: metrics of the runs by a known law with noise of its seed, as metrics.csv."""
    role = {row["run"]: row["role"] for row in rows(f"{out}/runs.csv")}
    lines = ["run,qa_loss,code_loss"]
    for number, row in enumerate(rows(f"{out}/ratios.csv")):
        if role[row["run"]] in roles:
            noise = 0.002 * np.random.default_rng(number + len(out)).standard_normal(2) + shift
            data = sum(s**0.5 * np.array(WORTH[name]) for name, s in shares(row).items())
            values = 2 + (0.05 + data) ** -0.5 + noise
            lines.append(f"{row['run']},{values[0]},{values[1]}")
    Path(f"{out}/metrics.csv").write_text("\n".join(lines) + "\n")


def content(folder: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def test_from_a_swarm_through_a_trainer_to_a_proposal(mix: Run) -> None:
    made = swarm(mix, "--runs", 14, "--tokens", "5B", "--export", "olmo-core,weights,datasets")
    assert made.exit_code == 0, made.output
    runs = rows("swarm/runs.csv")
    assert [(row["seed"], row["role"]) for row in runs[:3]] == [
        ("0", "prior"),
        ("1", "prior"),
        ("0", "designed"),
    ]
    ratios = {row["run"]: shares(row) for row in rows("swarm/ratios.csv")}
    assert list(ratios) == [f"run-{i:03}" for i in range(1, 15)]
    assert ratios["run-001"] == ratios["run-002"] == {"web": 0.7, "code": 0.2, "wiki": 0.1}
    assert len({tuple(each.values()) for each in ratios.values()}) == 13
    for run, each in ratios.items():
        assert sum(each.values()) == pytest.approx(1)
        assert each["code"] <= 0.5
        assert all(round(share * 1e4) / 1e4 == share for share in each.values())
        weights = json.loads(Path(f"swarm/runs/{run}/weights.json").read_text())
        assert weights == {name: share for name, share in each.items() if share}
        olmo = YAML(typ="safe").load(Path(f"swarm/runs/{run}/olmo-core.yaml").read_text())
        assert {s["source_name"]: s["target_ratio"] for s in olmo["sources"]} == weights
        drawn = json.loads(Path(f"swarm/runs/{run}/interleave_datasets.json").read_text())
        assert sum(drawn["probabilities"]) == pytest.approx(1)
    epochs = {row["run"]: shares(row) for row in rows("swarm/epochs.csv")}
    assert epochs["run-001"]["wiki"] == pytest.approx(0.1 * 5 / 10)
    train("swarm")
    fitted = mix(
        *("fit", "--swarm", "swarm", "--metrics", "swarm/metrics.csv", "--lower-is-better"),
        *("--out", "model.json"),
    )
    assert fitted.exit_code == 0, fitted.output
    assert "14 runs, 3 sources, 2 metrics" in fitted.stdout
    assert set(json.loads(Path("model.json").read_text())["provenance"]["files"]) == {
        "ratios",
        "metrics",
        "epochs",
    }
    proposed = mix(
        *("propose", "--with", "model.json", "--constraints", "swarm/constraints.yaml"),
        *("--out", "proposal", "--json-file", "proposal.json"),
    )
    assert proposed.exit_code == 0, proposed.output
    found = json.loads(Path("proposal.json").read_text())
    # By the noise-free law within the bounds wiki is at its cap, 4 x 10B of 100B.
    assert found["sources"]["wiki"]["weight"] == pytest.approx(0.4, abs=0.05)
    assert found["beside"]["prior"]["gain"] > 0


def test_the_same_command_gives_the_same_bytes_and_another_design_is_refused(mix: Run) -> None:
    assert swarm(mix, "--runs", 9).exit_code == 0
    before = content("swarm")
    Path("swarm/metrics.csv").write_text("mine")
    assert swarm(mix, "--runs", 9).exit_code == 0
    assert content("swarm").items() >= before.items()
    other = swarm(mix, "--runs", 10)
    assert other.exit_code == 2
    assert other.stderr == "error: swarm: it holds another swarm, of 9 runs; give another --out\n"
    assert swarm(mix, "--runs", 9, "--seed", 1).exit_code == 2
    assert content("swarm").items() >= before.items()
    Path("swarm/constraints.yaml").write_text("sources: {}\n")
    assert swarm(mix, "--runs", 9, "--export", "levanter").exit_code == 0
    assert Path("swarm/constraints.yaml").read_text() == "sources: {}\n", "it was edited"
    assert json.loads(Path("swarm/swarm.json").read_text())["export"] == ["weights", "levanter"]
    assert Path("swarm/runs/run-001/levanter.yaml").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--runs", 7), "--runs: 7 are too few for 3 sources; give 8 or more (better 9)"),
        (
            ("--export", "olmocore"),
            "--export: there is no 'olmocore'; did you mean 'olmo-core'? (olmo-core, megatron, "
            "nanotron, streaming, streaming-tokens, datasets, torchtitan, levanter, litgpt, "
            "weights)",
        ),
        (
            ("--sources", "web,cod"),
            "--sources: there is no text or mixture 'cod' in mine.yaml; did you mean 'code'?",
        ),
        (("--sources", "web"), "--sources: there is nothing to mix: 1 source; name two or more"),
        (
            ("--reuse", "nowhere"),
            "nowhere: cannot be read: No such file or directory; check the path",
        ),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(
    mix: Run, options: tuple[object, ...], message: str
) -> None:
    result = swarm(mix, *options)
    assert (result.exit_code, result.stderr) == (2, f"error: {message}\n")
    assert not Path("swarm").exists()


def test_json_has_the_shares_of_every_run(mix: Run) -> None:
    made = swarm(mix, "--runs", 9, "--json")
    document = json.loads(made.stdout)
    first = document["runs"][0]
    assert (first["run"], first["seed"], first["role"]) == ("run-001", 0, "prior")
    assert first["shares"] == {"web": 0.7, "code": 0.2, "wiki": 0.1}
    assert document["sources"]["code"]["text"] == {"path": "org/code", "revision": "v1"}


def test_a_folder_with_tables_of_something_else_is_left_alone(mix: Run) -> None:
    Path("swarm").mkdir()
    Path("swarm/ratios.csv").write_text("run,a\n")
    result = swarm(mix, "--runs", 9)
    assert result.exit_code == 2
    assert "it holds a ratios.csv of something else" in result.stderr


def add_math(manifest: str = MANIFEST) -> None:
    text = manifest.replace("candidates:", "  - {id: math, path: org/math}\ncandidates:")
    Path("mine.yaml").write_text(text)
    limits = LIMITS.replace("prior:", "  math: {tokens: 20B}\nprior:")
    limits = limits.replace("web: 0.7", "math: 0.1, web: 0.6")
    Path("limits.yaml").write_text(limits)


def test_an_added_source_reuses_the_earlier_runs(mix: Run) -> None:
    assert swarm(mix, "--runs", 12, "--tokens", "5B").exit_code == 0
    train("swarm")
    add_math()
    few = swarm(mix, "--runs", 4, "--tokens", "5B", "--reuse", "swarm", out="more")
    assert few.stderr == (
        "error: --runs: 4 are too few for 1 new of 4 sources beside 12 earlier runs; "
        "give 5 or more (better 8)\n"
    )
    longer = swarm(mix, "--tokens", "6B", "--reuse", "swarm", out="more")
    assert "runs of swarm train on 5B tokens, and these on 6B" in longer.stderr
    made = swarm(mix, "--tokens", "5B", "--reuse", "swarm", out="more")
    assert made.exit_code == 0, made.output
    runs, ratios = rows("more/runs.csv"), rows("more/ratios.csv")
    assert [row["role"] for row in runs] == [
        *["earlier"] * 12,
        "repeat",
        *["prior"] * 2,
        *["designed"] * 5,
    ]
    assert runs[12] == {"run": "run-013", "seed": "2", "role": "repeat", "repeats": "run-001"}
    assert shares(ratios[12]) == shares(ratios[0])
    assert all(float(row["math"]) == 0 for row in ratios[:13])
    assert all(float(row["math"]) >= 0.005 for row in ratios[13:])
    old = rows("swarm/ratios.csv")
    assert [{k: row[k] for k in old[0]} for row in ratios[:12]] == old
    assert sorted(path.name for path in Path("more/runs").iterdir()) == [
        row["run"] for row in runs[12:]
    ]
    assert float(rows("more/epochs.csv")[0]["wiki"]) == pytest.approx(0.05)
    train("more")
    given = ("fit", "--swarm", "more", "--metrics", "swarm/metrics.csv")
    fitted = mix(*given, "--metrics", "more/metrics.csv", "--lower-is-better", "--out", "m.json")
    assert fitted.exit_code == 0, fitted.output
    assert "20 runs, 4 sources, 2 metrics" in fitted.stdout
    text = " ".join(fitted.stdout.split())
    assert "run-013 repeats run-001 of the earlier swarm: no difference beyond seeds" in text
    proposed = mix(
        *("propose", "--with", "m.json", "--constraints", "more/constraints.yaml"),
        *("--json-file", "p.json"),
    )
    assert proposed.exit_code == 0, proposed.output
    weights = {k: v["weight"] for k, v in json.loads(Path("p.json").read_text())["sources"].items()}
    assert max(weights, key=lambda name: weights[name]) == "math"
    # Runs of another machine are noticed by the run that repeats one.
    train("more", shift=0.05)
    shifted = mix(*given, "--metrics", "more/metrics.csv", "--lower-is-better")
    text = " ".join(shifted.stdout.split())
    assert "run-013 repeats run-001 and differs by more than seeds do" in text
    twice = mix(*given, "--metrics", "swarm/metrics.csv", "--lower-is-better")
    assert twice.exit_code == 2
    assert "run 'run-001' is in another table too" in twice.stderr


def test_a_removed_source_stays_a_column_and_gets_no_new_share(mix: Run) -> None:
    assert swarm(mix, "--runs", 9).exit_code == 0
    add_math()
    Path("limits.yaml").write_text("sources: {wiki: {tokens: 10B}}\n")
    made = swarm(mix, "--sources", "web,code,math", "--reuse", "swarm", out="more")
    assert made.exit_code == 0, made.output
    text = " ".join(made.stdout.split())
    assert "in no new run, and bounded at 0: wiki" in text
    again = next(row for row in rows("more/runs.csv") if row["role"] == "repeat")
    repeated = next(row for row in rows("more/ratios.csv") if row["run"] == again["repeats"])
    assert float(repeated["wiki"]) == 0, "there is no text of it any more"
    ratios = rows("more/ratios.csv")
    assert list(ratios[0]) == ["run", "web", "code", "math", "wiki"]
    assert any(float(row["wiki"]) > 0 for row in ratios[:9])
    assert all(float(row["wiki"]) == 0 for row in ratios[9:])
    limits = YAML(typ="safe").load(Path("more/constraints.yaml").read_text())
    assert limits["sources"]["wiki"] == {"weight": 0}
    assert json.loads(Path("more/swarm.json").read_text())["sources"]["wiki"]["removed"]
    # A third swarm on top of the second keeps the runs of both.
    third = swarm(mix, "--sources", "web,code,math", "--runs", 2, "--reuse", "more", out="third")
    assert third.exit_code == 0, third.output
    assert len(rows("third/ratios.csv")) == len(ratios) + 2


@pytest.mark.parametrize("export", [[], ["weights", ""]], ids=str)
def test_a_record_of_trainers_that_are_none_is_refused(mix: Run, export: list[str]) -> None:
    assert swarm(mix, "--runs", 9).exit_code == 0
    file = Path("swarm/swarm.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "export": export}))
    result = swarm(mix, "--runs", 9)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: swarm/swarm.json: export")


def test_another_text_under_the_same_name_is_refused(mix: Run) -> None:
    assert swarm(mix, "--runs", 9).exit_code == 0
    Path("mine.yaml").write_text(MANIFEST.replace("revision: v1", "revision: v2"))
    result = swarm(mix, "--runs", 9, "--reuse", "swarm", out="more")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: --reuse: 'code' has another 'revision' than in swarm; give it another name, since "
        "earlier runs say nothing of another text; if only its place is another, write that into "
        "swarm/swarm.json\n"
    )
    table = swarm(mix, "--runs", 9, "--reuse", "swarm/ratios.csv", out="more")
    assert table.exit_code == 0, table.output
    assert "rename a source whose text has changed since" in " ".join(table.stdout.split())


def test_a_mixture_of_texts_is_one_column_and_its_parts_for_trainers(mix: Run) -> None:
    add_math()
    limits = """\
sources:
  old: {parts: {web: 3, code: 1}, max: 0.9}
  web: {tokens: 300B, path: "s3://bucket/web"}
  code: {tokens: 10B}
  wiki: {tokens: 10B}
  math: {tokens: 20B}
"""
    Path("limits.yaml").write_text(limits)
    made = swarm(mix, "--runs", 9, "--tokens", "40B", "--export", "weights,olmo-core")
    assert made.exit_code == 0, made.output
    ratios = {row["run"]: shares(row) for row in rows("swarm/ratios.csv")}
    assert list(ratios["run-001"]) == ["wiki", "math", "old"]
    # 10B of code are a quarter of 40B.
    assert ratios["run-001"] == {"wiki": 0.1429, "math": 0.2857, "old": 0.5714}
    assert float(rows("swarm/epochs.csv")[0]["old"]) == pytest.approx(0.5714)
    for run, each in ratios.items():
        weights = json.loads(Path(f"swarm/runs/{run}/weights.json").read_text())
        assert weights["web"] == pytest.approx(0.75 * each["old"])
        assert weights["code"] == pytest.approx(0.25 * each["old"])
        assert sum(weights.values()) == pytest.approx(1)
    olmo = YAML(typ="safe").load(Path("swarm/runs/run-001/olmo-core.yaml").read_text())
    assert [each["paths"] for each in olmo["sources"]][-2:] == [["s3://bucket/web"], ["code"]]
    lines = [
        f"{run},{(0.1 + 0.5 * s['old'] ** 0.5 + 2 * s['math'] ** 0.5) ** -0.5},1"
        for run, s in ratios.items()
    ]
    Path("metrics.csv").write_text("\n".join(["run,loss,other_loss", *lines]) + "\n")
    given = ("--metrics", "metrics.csv", "--lower-is-better", "--out", "m.json")
    assert mix("fit", "--swarm", "swarm", *given).exit_code == 0
    proposed = mix(
        *("propose", "--with", "m.json", "--constraints", "swarm/constraints.yaml"),
        *("--out", "proposal"),
    )
    assert proposed.exit_code == 0, proposed.output
    weights = json.loads(Path("proposal/weights.json").read_text())
    assert "old" not in weights
    assert weights["web"] == pytest.approx(3 * weights["code"])
    assert sum(weights.values()) == pytest.approx(1)


def test_a_mixture_of_the_manifest_is_a_source_too_and_adds_to_its_parts(mix: Run) -> None:
    bounded = swarm(mix, "--runs", 9, "--sources", "web,wiki", "--sources", "most")
    assert bounded.stderr == (
        "error: limits.yaml:3:23: 'code' is a part of 'most' and has no share of its own; "
        "bound 'most'\n"
    )
    Path("limits.yaml").write_text("sources: {}\n")
    made = swarm(mix, "--runs", 9, "--sources", "web,wiki", "--sources", "most")
    assert made.exit_code == 0, made.output
    row = shares(rows("swarm/ratios.csv")[4])
    weights = json.loads(Path("swarm/runs/run-005/weights.json").read_text())
    assert weights["web"] == pytest.approx(row["web"] + 0.8 * row["most"])
    assert weights["code"] == pytest.approx(0.2 * row["most"])


def test_runs_may_read_texts_as_often_as_the_target(mix: Run) -> None:
    once = swarm(mix, "--runs", 9, "--tokens", "5B", out="once")
    assert "the target would read" in " ".join(once.stdout.split())
    given = ("--runs", 9, "--target-epochs", "--export", "olmo-core")
    without = swarm(mix, *given)
    assert without.stderr == (
        "error: --target-epochs: the tokens of a run are not known; give --tokens\n"
    )
    made = swarm(mix, *given, "--tokens", "5B")
    assert made.exit_code == 0, made.output
    assert "the target would read" not in " ".join(made.stdout.split())
    # A tenth of 100B of the target's tokens are wiki, of which there are 10B.
    assert float(rows("swarm/epochs.csv")[0]["wiki"]) == pytest.approx(1)
    page = Path("swarm/README.md").read_text()
    assert "| wiki | 10B | 500M |" in page
    assert "| web | 300B" not in page, "it is longer than a run, even cut"
    most = max(rows("swarm/ratios.csv"), key=lambda row: float(row["wiki"]))
    olmo = YAML(typ="safe").load(Path(f"swarm/runs/{most['run']}/olmo-core.yaml").read_text())
    repeats = {each["source_name"]: each["max_repetition_ratio"] for each in olmo["sources"]}
    assert repeats["wiki"] == pytest.approx(10 * float(most["wiki"]), rel=0.002)
    limits = YAML(typ="safe").load(Path("swarm/constraints.yaml").read_text())
    assert limits["sources"]["wiki"]["tokens"] == 10**10


def test_results_of_a_harness_by_run_are_metrics(mix: Run) -> None:
    assert swarm(mix, "--runs", 10).exit_code == 0
    ratios = rows("swarm/ratios.csv")
    for i, row in enumerate(ratios[:9]):
        share = shares(row)
        place = Path(f"results/{row['run']}/model__x")
        place.mkdir(parents=True)
        results = {
            "arc_easy": {"acc,none": 0.3 + 0.3 * share["wiki"], "acc_norm,none": 0.2},
            "piqa": {"acc,none": 0.5 + 0.1 * share["code"] + 0.001 * (i % 3)},
        }
        file = {"results": results, "n-shot": {"arc_easy": 0, "piqa": 0}, "config": {"limit": None}}
        (place / "results_2026.json").write_text(json.dumps(file))
    Path("results/stranger").mkdir()
    Path("results/stranger/results_1.json").write_text('{"results": {}}')
    fitted = mix("fit", "--swarm", "swarm", "--metrics", "results", "--out", "m.json")
    text = " ".join(fitted.stdout.split())
    assert fitted.exit_code == 0, fitted.output
    assert "note: results: of no run, left out: stranger" in text
    assert "'acc_norm,none' of arc_easy" in text
    assert "1 metric the same in every run, left out: 'arc_easy'" in text
    assert "1 run only in ratios.csv left out: 'run-010'" in text
    other = Path("results/run-003/model__x/results_2026.json")
    other.write_text(other.read_text().replace('"piqa": 0}', '"piqa": 5}'))
    refused = mix("fit", "--swarm", "swarm", "--metrics", "results")
    assert refused.exit_code == 2
    assert "its n-shot for piqa is 5" in refused.stderr
    assert mix("fit", "--metrics", "results").stderr == (
        "error: --ratios: neither it nor --swarm is given; give one of --ratios and --swarm\n"
    )


def test_foreign_text_is_inert_in_the_readme(mix: Run) -> None:
    Path("limits.yaml").write_text('sources: {"[x](http://e) <b>": {parts: {web: 1, code: 1}}}\n')
    result = swarm(mix, "--runs", 9)
    assert result.exit_code == 0, result.output
    page = Path("swarm/README.md").read_text()
    assert "\\[x\\](http:\\//e) \\<b\\>" in page
    assert "<b>" not in page.replace("\\<b\\>", "")
