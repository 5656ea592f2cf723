"""The specs in stages/calibrations pair what the Hub has, by lists of revisions in the real form.

DataDecide's steps are those of its own release (`checkpoints/weka_paths.jsonl` in its repository):
every 1,250 at 150M and every 2,500 at 1B, then an end that differs by recipe, other seeds that run
further, and runs at 1B that stop early. Those of Olmo 3 and Marin are as their model cards and
users name them.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import GitRefInfo, GitRefs

from dataselect.calibration.paired import Paired, pair_all
from dataselect.calibration.runs import load_calibration
from dataselect.config.plan import project_folder

FOLDER = project_folder() / "stages" / "calibrations"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Revisions by repository, to be filled by a test."""
    revisions: dict[str, list[str]] = {}

    def refs(self: Any, repo_id: str) -> GitRefs:
        names = ["main", *revisions[repo_id]]
        found = [GitRefInfo(n, f"refs/heads/{n}", f"{i:040x}") for i, n in enumerate(names)]
        return GitRefs(branches=found, converts=[], tags=[])

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_refs", refs)
    return revisions


def paired(name: str) -> tuple[Paired, ...]:
    return pair_all(load_calibration(FOLDER / name))


def datadecide(recipe: str, ends: tuple[int, ...]) -> dict[str, list[str]]:
    small = [f"step{step}-seed-default" for step in (*range(0, 38_000, 1250), *ends)]
    # The release's list has seeds of 150M that go on far beyond its 15B tokens.
    small += [f"step{step}-seed-small-aux-2" for step in (*range(0, 423_751, 1250), 423_865)]
    return {f"allenai/DataDecide-{recipe}-150M": small}


def olmes(task: str, recipe: str) -> str:
    """A metrics file as OLMES writes it."""
    settings = {
        "model": f"allenai/DataDecide-{recipe}-1B",
        "revision": "step69369-seed-default",
    }
    return json.dumps(
        {
            "task_name": task,
            "model_config": settings,
            "task_config": {"num_shots": 5, "primary_metric": "acc_per_char", "split": "test"},
            "num_instances": 1172,
            "metrics": {"primary_score": 0.3 + len(recipe) / 100},
        }
    )


def test_datadecide_pairs_the_ends_of_twelve_recipes(
    tmp_path: Path, hub: dict[str, list[str]]
) -> None:
    spec = tmp_path / "datadecide-150m-to-1b.yaml"
    shutil.copy(FOLDER / spec.name, spec)
    specs = load_calibration(spec)
    recipes = [each.dataset or "" for each in specs]
    assert len(recipes) == 12
    for place, recipe in enumerate(recipes):
        # Most recipes end at 38157; some have one more, and some were published to 38750 or 37500.
        ends = [(38_157,), (38_157, 38_167), (38_750,), ()][place % 4]
        hub |= datadecide(recipe, ends)
        for number, task in enumerate(("arc_challenge", "csqa")):
            path = tmp_path / "datadecide-1b" / recipe / f"task-00{number}-{task}-metrics.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(olmes(task, recipe))
    runs = pair_all(specs)
    assert [len(run.proxies) for run in runs] == [1] * 12
    assert [run.proxies[0].step for run in runs[:4]] == [38_157, 38_157, 38_750, 37_500]
    assert all(run.proxies[0].label.endswith("-seed-default") for run in runs)
    assert {(run.proxy_tokens, run.target_tokens) for run in runs} == {(15 * 10**9, 10**11)}
    assert not any(run.targets for run in runs)
    first = runs[0]
    assert first.target_name == "DataDecide-c4-1B"
    assert first.notes()[0].startswith(
        "arc_challenge, commonsense_qa: 1 pair, the proxy at 15B and the target at 100B tokens,"
    )


@pytest.mark.parametrize(
    "named", [lambda n, t: f"stage1-step{n}", lambda n, t: f"stage1-step{n}-tokens{t}B"]
)
def test_olmo_3_is_paired_by_its_steps(named: Any, hub: dict[str, list[str]]) -> None:
    for repository, per_step, last in (
        ("allenai/Olmo-3-1025-7B", 2**22, 1_413_814),
        ("allenai/Olmo-3-1125-32B", 2**23, 656_000),
    ):
        steps = {*range(0, last, 1000), last}
        # Some steps are missing, and some are none of the thousands.
        steps = (steps - {119_000, 298_000}) | {590_120} if last < 10**6 else steps
        names = [named(step, -(-step * per_step // 10**9)) for step in sorted(steps)]
        hub[repository] = [
            *names,
            "stage2-step47684",
            "stage2-ingredient1-step7000",
            "stage3-step11921",
        ]
    (run,) = paired("olmo3-7b-to-32b.yaml")
    assert len(run.proxies) == len(run.targets) == 11
    assert all(member.label.startswith("stage1-") for member in (*run.proxies, *run.targets))
    assert run.proxies[0].step == 119_000
    assert run.targets[-1].step == 656_000
    note, *_ = run.notes()
    assert "humaneval: 11 pairs from 500B to 5.5T tokens, at most" in note
    assert run.spec.dataset == "dolma3"


def test_marin_is_paired_by_the_tokens_of_its_card(
    tmp_path: Path, hub: dict[str, list[str]]
) -> None:
    hub["marin-community/marin-8b-base"] = [
        *("kestrel", "ocelot", "jellyfish", "phoenix", "starling", "deeper-starling"),
    ]
    spec = tmp_path / "marin-8b-to-32b.yaml"
    shutil.copy(FOLDER / spec.name, spec)
    names = [benchmark.id for benchmark in load_calibration(spec)[0].benchmarks]
    rows = [f"{tokens},{name},0.5" for name in names for tokens in ("2.679T", "5.363T", "6.437T")]
    (tmp_path / "marin-32b.csv").write_text("\n".join(["tokens,benchmark,accuracy", *rows]))
    (run,) = pair_all(load_calibration(spec))
    assert [member.label for member in run.proxies] == ["phoenix", "deeper-starling"]
    assert (run.proxy_tokens, run.target_tokens) == (12_700_000_000_000, 6_437_000_000_000)
    assert (
        "2 pairs, the proxy at 11.1T, 12.7T and the target at 5.36T, 6.44T tokens, exactly"
        in (run.notes()[0])
    )


def test_the_readme_names_each_spec() -> None:
    text = (FOLDER / "README.md").read_text()
    for path in FOLDER.glob("*.yaml"):
        assert f"`{path.name}`" in text
