"""The calibration spec: what it may say, and the specs that come with the project."""

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import GitRefInfo, GitRefs

from dataselect.calibration.paired import Series, pair
from dataselect.calibration.runs import load_calibration
from dataselect.calibration.spec import CalibrationSpec
from dataselect.config.plan import project_folder
from dataselect.errors import InputError

SPEC = """\
proxy: {model: lab/small}
target: {size: 7B, csv: target.csv}
benchmarks:
  - id: gsm8k
"""


def load(folder: Path, text: str) -> CalibrationSpec:
    (folder / "spec.yaml").write_text(text)
    return load_calibration(folder / "spec.yaml")[0]


def test_defaults(tmp_path: Path) -> None:
    spec = load(tmp_path, SPEC)
    assert (spec.name, spec.protocol, spec.seed) == ("spec", "robust", 0)
    assert spec.pair.grid() is None
    grid = load(tmp_path, SPEC + "pair: {every: 250B, last: 1T}\n").pair.grid()
    assert grid == [n * 10**9 for n in (250, 500, 750, 1000)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("csv: target.csv", "tokens: 4T"),
            "spec.yaml:2:1: target: no accuracies are named; give one of",
        ),
        (("csv: target.csv", "csv: a, lm_eval: {files: b}"), "'lm_eval' is given as well"),
        (
            ("csv: target.csv", "csv: a, sft: true"),
            "spec.yaml:2:28: target.sft: 'csv' has accuracies as they were measured; leave this",
        ),
        (
            ("  - id: gsm8k\n", "  - id: gsm8k\n  - id: gsm8k\n"),
            "spec.yaml:5:5: benchmarks[1].id: 'gsm8k'",
        ),
        (("csv: target.csv", "lm_eval: {files: b, tasks: {gsm: {task: c}}}"), "no benchmark 'gsm'"),
        (("proxy:", "pair: {tolerance: 0.6}\nproxy:"), "a number below 0.5"),
        (("proxy:", "pair: {every: 2, last: 1}\nproxy:"), "below the first token count"),
        (("proxy:", "protocol: best\nproxy:"), "'best' does not fit"),
        (("proxy:", "pair: {proxy: 15B}\nproxy:"), "pair.proxy: 'target' is missing"),
        (
            ("proxy:", "pair: {proxy: [1B, 2B], target: 9B}\nproxy:"),
            "spec.yaml:1:25: pair.target: 'proxy' has 2 token counts and this 1; give one for each",
        ),
        (("proxy:", "pair: {proxy: 1B, target: 9B, last: 1B}\nproxy:"), "pair.last: this is for"),
        (("proxy:", "pair: {proxy: [2B, 1B], target: [3B, 4B]}\nproxy:"), "counts do not rise"),
        (("proxy:", "offsets: true\nprior: public\nproxy:"), "a prior has each dataset's"),
        (("proxy:", "offsets: true\nprotocol: paper\nproxy:"), "protocol has no offsets"),
    ],
)
def test_a_bad_spec_is_one_line_with_its_place(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, SPEC.replace(*change))
    assert message in str(error.value)


SHIPPED = sorted((project_folder() / "stages" / "calibrations").glob("olmo2-*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_public_calibrations_pair_at_every_250b_tokens(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    per_step = {"1B": 2**21, "7B": 2**22, "3B": 2**23, "2B": 2**23}
    every = {"1B": 10_000}  # of the smallest only every ten thousandth step is public

    def refs(self: Any, repo_id: str) -> GitRefs:
        end = repo_id[-2:]
        names = ["main", "stage2-ingredient1-step5000-tokens250B"]
        for step in range(0, 4 * 10**12 // per_step[end], every.get(end, 1000)):
            tokens = -(-step * per_step[end] // 10**9)
            names.append(f"stage1-step{step}-tokens{tokens}B")
        found = [GitRefInfo(n, f"refs/heads/{n}", f"{hash(n) % 16**40:040x}") for n in names]
        return GitRefs(branches=found, converts=[], tags=[])

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_refs", refs)
    (spec,) = load_calibration(path)
    paired = pair(spec)
    assert isinstance(paired.target, Series)
    assert paired.target.name.endswith(str(spec.target.size // 10**9) + "B")
    assert len(paired.proxies) == len(paired.targets) == 15
    (note,) = paired.notes()
    assert (
        "gsm8k, math500, arc_challenge, mmlu_pro_stem, commonsense_qa, humaneval: 15 pairs" in note
    )
    assert "from 250B to 3.75T tokens, at most" in note
    assert all(member.label.startswith("stage1-") for member in paired.proxies)


def test_there_is_a_calibration_for_each_public_target() -> None:
    assert [path.stem for path in SHIPPED] == [f"olmo2-1b-to-{size}b" for size in (13, 32, 7)]
