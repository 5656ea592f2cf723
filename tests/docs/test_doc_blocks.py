"""Every block of code in README.md and docs/*.md does what it says, or is at least well-formed.

`doc_ways.WAYS` says of each block how it is tested. `pytest -m docs_slow` runs the five-minute
start with the plan that users have, in place of a smaller one.
"""

import json
import os
import shutil
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from doc_blocks import ROOT, Block, blocks, check_command, check_python, commands_of
from doc_ways import FILES, WAYS, YOURS
from ruamel.yaml import YAML
from small_swarms import made
from typer.testing import CliRunner

from dataselect.benchmarks.own import load_definition
from dataselect.calibration.runs import load_calibration
from dataselect.cli import app
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.mixture.constraints import read_limits
from dataselect.mixture.objective import find_objective

BLOCKS = blocks()
SMALLER = {
    "tokens: 0.1M": "tokens: 6k",
    "tokens: 0.2M": "tokens: 8k",
    "limit: 100": "limit: 10",
    "characters: 1M": "characters: 60k",
}
"""What makes the example's plan one of seconds: the same two stages, with less of everything."""


def way_of(block: Block) -> str:
    """How the block is tested; `unlisted` where test_every_block_is_listed fails."""
    place = [each for each in BLOCKS if each.page == block.page].index(block)
    ways = WAYS.get(block.page, [])
    return ways[place][1] if place < len(ways) else "unlisted"


def listed(*ways: str) -> list[Any]:
    """Parameters of the blocks that are tested in one of these ways."""
    named = (block for block in BLOCKS if way_of(block).split()[0] in ways)
    return [pytest.param(block, id=f"{block.page}:{block.line}") for block in named]


def test_every_block_is_listed() -> None:
    found: dict[str, list[Block]] = {}
    for block in BLOCKS:
        found.setdefault(block.page, []).append(block)
    assert set(found) == set(WAYS)
    for page, inside in found.items():
        starts = [start for start, _, _ in WAYS[page]]
        begin = [
            block.start.startswith(start) for block, start in zip(inside, starts, strict=False)
        ]
        assert len(inside) == len(starts), f"{page}: {[block.start for block in inside]}"
        assert all(begin), f"{page}: the {begin.index(False) + 1}th block is listed otherwise"


def test_what_is_not_run_says_why() -> None:
    for page, ways in WAYS.items():
        for start, way, why in ways:
            assert bool(why) == (way in {"parse", "shown"}), f"{page}: {start}"


def test_commands_are_in_blocks_that_are_run_or_parsed() -> None:
    for block in BLOCKS:
        if block.is_commands:
            assert way_of(block) in {"run", "parse"}, f"{block.page}:{block.line}"


@pytest.mark.parametrize("block", listed("parse", "run"))
def test_block_is_well_formed(block: Block) -> None:
    if block.language in {"python", "py"}:
        check_python(block.text)
        return
    files = FILES | YOURS | {"transfer.json", "model.json", "mix.json"}
    for words in commands_of(block):
        check_command(words, files)


def _merged(base: Mapping[str, Any], part: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the keys of `part`; sections of both are joined, one level deep."""
    found = dict(base)
    for key, value in part.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        found[key] = {**base[key], **value} if both else value
    return found


def _dump(content: Any, path: Path) -> Path:
    with path.open("w") as file:
        YAML(typ="safe").dump(content, file)
    return path


def _plan(text: str, folder: Path) -> None:
    part = YAML(typ="safe").load(text)
    base = YAML(typ="safe").load((ROOT / "stages" / "first.yaml").read_text())
    if "rungs" in part:
        del base["screen"], base["predict"]
    load_plan(str(_dump(_merged(base, part), folder / "plan.yaml")))


def _manifest(text: str, folder: Path) -> None:
    base = {"target": {"size": "7B", "tokens": "1T"}, "plan": "quickstart"}
    part = YAML(typ="safe").load(text)
    if len(part["candidates"]) == 1:  # one to choose among is no choice
        part["candidates"].append({"id": "another", "path": "another.jsonl"})
    load_manifest(_dump({**base, **part}, folder / "candidates.yaml"))


def _sources(text: str, folder: Path) -> None:
    names = [each["id"] for each in YAML(typ="safe").load(text)["sources"]]
    candidates = [{"id": f"only-{name}", "mixture": {name: 1}} for name in names]
    inside = json.dumps(candidates)  # JSON is YAML
    _manifest(f"{text}\ncandidates: {inside}\n", folder)


def _benchmark(text: str, folder: Path) -> None:
    (folder / "capitals.yaml").write_text(text)
    (folder / "capitals.jsonl").write_text("{}\n")
    load_definition(str(folder / "capitals.yaml"), folder)


def _calibration(text: str, folder: Path) -> None:
    part = YAML(typ="safe").load(text)
    first = next(
        each for each in BLOCKS if each.page == "docs/calibration.md" and not each.is_commands
    )
    base = YAML(typ="safe").load(first.text)
    whole = part if {"proxy", "target"} <= part.keys() else {**base, **part}
    load_calibration(_dump(whole, folder / "spec.yaml"))


def _constraints(text: str, folder: Path) -> None:
    (folder / "limits.yaml").write_text(text)
    names = ["web", "code", "wiki", "books", "old"]
    shares = {"r0": np.array([0.8, 0.1, 0.02, 0.04, 0.04])}
    read_limits(folder / "limits.yaml", names, ["hellaswag"], shares)


def _objective(text: str, folder: Path) -> None:
    (folder / "objective.yaml").write_text(text)
    find_objective(str(folder / "objective.yaml"), ["arc", "hellaswag"], np.ones((3, 2)))


def _lines(text: str, _: Path) -> None:
    decoder, left = json.JSONDecoder(), text.strip()
    while left:
        _, end = decoder.raw_decode(left)
        left = left[end:].strip()


def _toml(text: str, _: Path) -> None:
    tomllib.loads(text)


KINDS: dict[str, Callable[[str, Path], None]] = {
    "plan": _plan,
    "manifest": _manifest,
    "sources": _sources,
    "benchmark": _benchmark,
    "calibration": _calibration,
    "constraints": _constraints,
    "objective": _objective,
    "lines": _lines,
    "toml": _toml,
}


@pytest.mark.parametrize("block", listed("as"))
def test_block_is_read_by_its_loader(block: Block, tmp_path: Path) -> None:
    KINDS[way_of(block).removeprefix("as ")](block.text, tmp_path)


def write_tables(folder: Path) -> None:
    """Tables by the names in the pages: three datasets as in agreement.md, and a small swarm."""
    ids = ["web", "books", "code"]
    scores = {"rbridge": [1.21, 1.35, 1.3], "label_nll": [2.03, 1.98, 2.1]}
    accuracies = {"arc_challenge": [0.41, 0.36, 0.33]}
    for name in ("proxy.csv", "PROXY.csv"):
        pd.DataFrame({"id": ids, **scores}).to_csv(folder / name, index=False)
    for name in ("target.csv", "TARGET.csv"):
        pd.DataFrame({"id": ids, **accuracies}).to_csv(folder / name, index=False)
    rng = np.random.default_rng(0)
    tokens = np.geomspace(1e9, 1e11, 4)
    rows = []
    for benchmark in ("gsm8k", "csqa", "arc_challenge"):
        for group in "abcde":
            score = 3.5 - 0.1 * np.log(tokens) + rng.normal(0, 0.01, 4)
            share = 0.25 + 0.45 / (1 + np.exp(12 * (score - 1.2)))
            columns = {"metric": score, "accuracy": 100 * share, "tokens": tokens}
            rows.append(pd.DataFrame(columns).assign(benchmark=benchmark, group=group))
    pd.concat(rows).to_csv(folder / "PAIRS.csv", index=False)
    measured = {"gsm8k": [1.2, 1.1, 1.15], "csqa": [1.25, 1.12, 1.2]}
    pd.DataFrame({"id": ids, **measured}).to_csv(folder / "SCORES.csv", index=False)
    swarm = made(12, 0.01)
    shares = pd.DataFrame(swarm.shares, columns=list(swarm.sources))
    shares.assign(run=swarm.runs).to_csv(folder / "ratios.csv", index=False)
    shares.assign(run=swarm.runs).head(3).to_csv(folder / "mixtures.csv", index=False)
    losses = pd.DataFrame(swarm.values, columns=list(swarm.metrics))
    losses.assign(run=swarm.runs).to_csv(folder / "metrics.csv", index=False)
    (folder / "limits.yaml").write_text("sources: {web: {max: 0.5}}\n")


class Project:
    """Runs blocks one after another, as one reader in one shell would."""

    def __init__(self, folder: Path, smaller: Mapping[str, str]) -> None:
        self.folder, self.smaller = folder, smaller
        self.output = ""
        self.done: set[tuple[str, ...]] = set()

    def run(self, block: Block) -> None:
        if block.language == "python":
            exec(compile(block.text, f"{block.page}:{block.line}", "exec"), {})
            return
        for words in commands_of(block):
            if tuple(words) not in self.done:
                self.done.add(tuple(words))
                self._command(words)

    def _command(self, words: list[str]) -> None:
        if words[0] == "cd":
            os.chdir(self.folder / words[1])
            return
        assert words[0] == "dataselect", words
        got = CliRunner().invoke(app, words[1:], prog_name="dataselect", env={"COLUMNS": "80"})
        said = f"{' '.join(words)}: {got.exit_code}\n{got.output}\n{got.exception!r}"
        # `doctor` has a problem to tell where there is no network, or little room on the disk.
        assert got.exit_code == 0 or (words[1] == "doctor" and got.exit_code == 3), said
        self.output = got.stdout

        if words[1] == "init":
            project = self.folder / words[2]
            plan = project / "stages" / "first.yaml"
            for find, put in self.smaller.items():
                assert find in plan.read_text()
                plan.write_text(plan.read_text().replace(find, put))
            shutil.copy(project / "candidates/example-local.yaml", project / "candidates/mine.yaml")
            write_tables(project)


@pytest.fixture(name="project")
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)  # and back, whatever a block changes it to
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Project(tmp_path, SMALLER)


def _in_order() -> list[Block]:
    """The README makes the project that the other pages use."""
    ways = ("run", "file", "output")
    return [block for block in BLOCKS if way_of(block).split()[0] in ways]


@pytest.mark.usefixtures("inline_jobs")
def test_blocks_run_in_a_small_project(project: Project) -> None:
    for block in _in_order():
        way = way_of(block)
        if way == "output":
            said, wanted = " ".join(project.output.split()), " ".join(block.text.split())
            assert said.startswith(wanted), f"{block.page}:{block.line}\n{project.output}"
        elif way.startswith("file "):
            path = Path(way.removeprefix("file "))
            path.write_text(block.text)
        else:
            try:
                project.run(block)
            except Exception as error:
                raise AssertionError(f"{block.page}:{block.line}: {error}") from error
    manifest = load_manifest("candidates/twelve.yaml")
    assert len(manifest.candidates) == 12
    plan = load_plan(manifest.plan)
    assert [stage.proxy.size for stage in plan.stages if stage.proxy] == ["20M", "150M"]


@pytest.mark.docs_slow
def test_five_minute_start_as_users_have_it(project: Project) -> None:
    project.smaller = {}
    start = [block for block in BLOCKS if block.page == "docs/start.md"]
    for block in start:
        if block.start == "dataselect init my-project":
            project.run(block)
        elif way_of(block) == "run":
            project.run(block)
            if block.start.startswith("dataselect run"):
                said = " ".join(project.output.split())
                assert "textbooks comes first: Stage 2 rBridge 1.2" in said
                assert "its score is ahead with probability > 0.99 over items." in said


def test_quickstart_in_the_readme_is_its_report() -> None:
    block = next(each for each in BLOCKS if each.start.startswith("two-styles comes first"))
    report = json.loads((ROOT / "reports/example/report.json").read_text())
    said = " ".join(block.text.split())
    assert said.startswith(f"{report['verdict']} {report['next_step']}")
