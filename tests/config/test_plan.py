"""A plan either says how to choose, or the first fault with its place and fix."""

import re
from pathlib import Path

import pytest

from dataselect.config import plan as plan_module
from dataselect.config.benchmark import Benchmark
from dataselect.config.compute import ComputePlan, JobNeeds, PreparePlan, RayPlan, SlurmPlan
from dataselect.config.plan import Plan, load_plan, project_folder
from dataselect.config.plan_tokenizer import TokenizerPlan, TokenizerTraining
from dataselect.config.proxy import LADDER_SIZES, Architecture, Proxy
from dataselect.config.schema import Section
from dataselect.config.stage import CountingScreen, Predict, Screen, StopWhen
from dataselect.cost import training_flops
from dataselect.errors import InputError
from dataselect.proxies.ladder import LADDER
from dataselect.proxies.recipe import make_recipe

PLAN = """\
tokenizer:
  train: {vocab_size: 2K}
benchmarks:
  - id: stories
    items: stories.jsonl
    traces: stories.traces.jsonl.gz
  - id: gsm8k
    items: gsm8k.jsonl
    shots: gsm8k.shots.jsonl
    shot_count: 5
    weigh: ../models/small
screen:
  proxy: {size: 4M, tokens: 87.3M}
  benchmarks: [stories]
  keep: 3
predict:
  proxy:
    architecture: {hidden_size: 128, layers: 4, heads: 4, kv_heads: 2}
    chinchilla_multiple: 5
compute: {jobs: 2, device: cpu}
"""


def load_text(folder: Path, text: str) -> Plan:
    (folder / "p.yaml").write_text(text)
    return load_plan("p.yaml", folder)


def fault(folder: Path, text: str) -> str:
    """The message for `text`, from the line number on."""
    with pytest.raises(InputError) as error:
        load_text(folder, text)
    return str(error.value).removeprefix(f"{folder / 'p.yaml'}:")


def test_a_plan_is_read_with_its_defaults(tmp_path: Path) -> None:
    plan = load_text(tmp_path, PLAN)
    assert (plan.name, plan.base, plan.seed) == ("p", tmp_path, 0)
    assert plan.tokenizer.train == TokenizerTraining(vocab_size=2000, characters=5_000_000)
    assert plan.screen.proxy.tokens == 87_300_000
    assert plan.predict is not None
    shape = plan.predict.proxy.architecture
    assert shape is not None
    assert (shape.feed_forward_size, shape.key_value_heads) == (512, 2)
    assert (plan.compute.jobs, plan.compute.threads) == (2, "auto")
    assert (plan.bootstrap_draws, plan.confidence, plan.max_repeats) == (2000, 0.9, 1.0)


def test_a_stage_uses_all_benchmarks_unless_it_names_some(tmp_path: Path) -> None:
    plan = load_text(tmp_path, PLAN)
    assert plan.predict is not None
    assert [b.id for b in plan.benchmarks_of(plan.screen)] == ["stories"]
    assert [b.id for b in plan.benchmarks_of(plan.predict)] == ["stories", "gsm8k"]


def test_a_plan_with_all_defaults_spelt_out_is_the_same_plan(tmp_path: Path) -> None:
    plan = load_text(tmp_path, PLAN)
    assert Plan.model_validate(plan.model_dump()).model_dump() == plan.model_dump()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("keep: 3", "kep: 3", "15:3: unknown key 'kep' in screen; did you mean 'keep'? (keys: pr"),
        ("layers: 4", "layrs: 4", "18:38: unknown key 'layrs' in predict.proxy.architecture; di"),
        ("  keep: 3\n", "", "12:1: screen has no 'keep'; add 'keep:'"),
        ("keep: 3", "keep: 0", "15:3: screen.keep: 0 is too small; write 1 or mo"),
        ("keep: 3", "keep: 2.5", "15:3: screen.keep: 2.5 does not come to a whole number; write"),
        (
            "keep: 3",
            "keep: 3\n  keep_at_most: 4",
            "16:3: screen.keep_at_most: without 'min_probability' no more than 'keep' go on; add",
        ),
        (
            "keep: 3",
            "keep: 3\n  min_probability: 0.2\n  keep_at_most: 2",
            "17:3: screen.keep_at_most: 2 is fewer than 'keep', 3; write 3 or more",
        ),
        ("keep: 3", "keep: 3\n  min_probability: 1", "16:3: screen.min_probability: 1 does not"),
        ("keep: 3", "keep: true", "15:3: screen.keep: true is not a number; write"),
        ("87.3M", "0", "13:21: screen.proxy.tokens: 0 is too small; write 1 or mo"),
        ("4M", "4m", "13:11: screen.proxy.size: '4m' is not on the ladder; did you mean '4M'? th"),
        ("size: 4M, ", "", "13:3: screen.proxy: neither 'size' nor 'architecture' is given; gi"),
        ("size: 4M,", "size: 4M, chinchilla_multiple: 1,", "13:21: screen.proxy.chinchilla_mult"),
        (
            "    traces: stories.traces.jsonl.gz\n",
            "",
            "4:5: benchmarks[0]: benchmark 'stories' has no traces; name a trace file in 'traces:'",
        ),
        ("shot_count: 5", "traces: x", "11:5: benchmarks[1].weigh: 'traces' is given as well; k"),
        ("    shots: gsm8k.shots.jsonl\n", "", "9:5: benchmarks[1].shot_count: no file of shots"),
        ("    shot_count: 5\n", "", "9:5: benchmarks[1].shots: none of these is used; add 'shot"),
        ("weigh:", "prompt: 'Q: {q}'\n    weigh:", "11:5: benchmarks[1].prompt: it has no {que"),
        ("id: gsm8k", "id: stories", "7:5: benchmarks[1].id: 'stories' is the id of benchmarks["),
        ("[stories]", "[storys]", "14:16: screen.benchmarks[0]: there is no benchmark 'storys'; "),
        ("[stories]", "[stories, stories]", "14:25: screen.benchmarks[1]: 'stories' is named tw"),
        ("[stories]", "[]", "14:3: screen.benchmarks: a list of 0 does not fit; write 1 or more"),
        ("heads: 4,", "heads: 5,", "18:20: predict.proxy.architecture.hidden_size: 128 cannot be"),
        ("heads: 4,", "heads: 128,", "18:20: predict.proxy.architecture.hidden_size: 128 cannot"),
        ("kv_heads: 2", "kv_heads: 3", "18:59: predict.proxy.architecture.kv_heads: 4 heads can"),
        ("jobs: 2", "jobs: many", "20:11: compute.jobs: 'many' is not a count; write 1"),
        ("jobs: 2", "jobs: 0", "20:11: compute.jobs: 0 is not a count; write 1 or more"),
        ("device: cpu", "device: gpu", "20:20: compute.device: 'gpu' does not fit; did you mean"),
        ("2K", "256", "2:11: tokenizer.train.vocab_size: 256 does not fit; write a number of at l"),
        ("  train: {vocab_size: 2K}", "  path: x\n  train: {}", "3:3: tokenizer.train: 'path' is"),
        ("train: {vocab", "revision: x\n  train: {vocab", "2:3: tokenizer.revision: only a 'pat"),
        ("compute:", "confidence: 90\ncompute:", "20:1: confidence: 90 does not fit; write a nu"),
        ("compute:", "max_repeats: 0.5\ncompute:", "20:1: max_repeats: 0.5 does not fit; write"),
        ("compute:", "seed: -1\ncompute:", "20:1: seed: -1 is negative; write"),
    ],
)
def test_bad_input_is_one_line_with_place_key_and_fix(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    assert old in PLAN
    assert fault(tmp_path, PLAN.replace(old, new, 1)).startswith(message)


def test_numbers_may_be_written_with_an_exponent(tmp_path: Path) -> None:
    proxy = "{size: 4M, tokens: 1e9, learning_rate: 1e-3, batch_size: 1e2, weight_decay: 0}"
    plan = load_text(tmp_path, PLAN.replace("{size: 4M, tokens: 87.3M}", proxy))
    assert plan.screen.proxy.tokens == 10**9
    assert (plan.screen.proxy.learning_rate, plan.screen.proxy.batch_size) == (1e-3, 100)


def test_as_many_may_go_on_as_the_rule_allows(tmp_path: Path) -> None:
    screens = [
        load_text(tmp_path, PLAN.replace("keep: 3", f"keep: 3\n{more}")).screen
        for more in ("", "  min_probability: 0.2", "  min_probability: 0.2\n  keep_at_most: 5")
    ]
    assert [screen.most(9) for screen in screens] == [3, 9, 5]
    assert [screen.most(2) for screen in screens] == [2, 2, 2]


@pytest.mark.parametrize(
    ("value", "file"), [("published", None), ("none", None), ("own/gap.json", "own/gap.json")]
)
def test_a_gap_is_published_none_or_a_file(tmp_path: Path, value: str, file: str | None) -> None:
    screen = load_text(tmp_path, PLAN.replace("keep: 3", f"keep: 3\n  discrepancy: {value}")).screen
    assert screen.discrepancy == value
    assert screen.agreement_file == file


def test_a_gap_of_another_name_is_refused(tmp_path: Path) -> None:
    for value, said in (("publishd", "did you mean 'published'"), ("own.csv", "ends in .json")):
        with pytest.raises(InputError, match=f"discrepancy: '{value}' is no gap.*{said}"):
            load_text(tmp_path, PLAN.replace("keep: 3", f"keep: 3\n  discrepancy: {value}"))


def test_the_ladder_of_the_plan_is_the_ladder_that_is_trained() -> None:
    assert list(LADDER_SIZES) == list(LADDER)


def test_a_name_is_looked_up_beside_the_manifest_first_and_in_the_package_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged, project = tmp_path / "packaged", tmp_path / "project"
    base = project / "candidates"
    folders = [packaged / "stages", project / "stages", base / "stages"]
    monkeypatch.setattr(plan_module, "project_folder", lambda: packaged)
    base.mkdir(parents=True)
    for seed, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "quick.yaml").write_text(f"seed: {seed}\n{PLAN}")
        assert load_plan("quick", base).seed == seed


@pytest.mark.parametrize("name", ["quik", "../project/stages/quick", "[/b]\x1b", ""])
def test_a_plan_that_is_not_there_is_named_with_those_that_are(tmp_path: Path, name: str) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "quick.yaml").write_text(PLAN)
    with pytest.raises(InputError) as error:
        load_plan(name, tmp_path, where="m.yaml:2:1")
    assert str(error.value).startswith("m.yaml:2:1: there is no plan ")
    assert "quick" in str(error.value)
    assert str(error.value).isprintable()


def test_a_missing_plan_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text(PLAN)
    with pytest.raises(InputError, match=r"did you mean 'quick\.yaml'\?"):
        load_plan("quik.yaml", tmp_path)


def test_the_project_folder_holds_manifests_and_plans() -> None:
    assert (project_folder() / "candidates").is_dir()
    assert (project_folder() / "stages").is_dir()


@pytest.mark.parametrize("name", ["paper", "one-gpu", "three-rungs"])
def test_a_shipped_plan_costs_what_its_first_lines_say(name: str) -> None:
    file = project_folder() / "stages" / f"{name}.yaml"
    plan = load_plan(name, file.parent)
    told = [float(cost) for cost in re.findall(r"([\d.]+e\d+)", file.read_text())]
    for stage, cost in zip(plan.stages, told, strict=True):
        assert stage.proxy is not None
        recipe = make_recipe(stage.proxy, 50_304, "cpu", "here")
        flops = stage.seeds * training_flops(recipe.parameters, recipe.tokens)
        assert flops == pytest.approx(cost, rel=0.03)


SECTIONS = [Architecture, Proxy, TokenizerTraining, TokenizerPlan, Benchmark, Screen, Predict]
SECTIONS += [CountingScreen, StopWhen]


@pytest.mark.parametrize(
    "model", [*SECTIONS, ComputePlan, JobNeeds, PreparePlan, SlurmPlan, RayPlan, Plan]
)
def test_every_field_is_documented(model: type[Section]) -> None:
    assert sorted(model.model_fields) == sorted(model.field_docs())
