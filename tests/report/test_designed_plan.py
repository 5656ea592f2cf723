"""The plan file of a design keeps what its writer chose, and holds the rungs."""

from pathlib import Path

import numpy as np
import pytest

from dataselect.config.plan import Plan, load_plan
from dataselect.config.yamlfile import load
from dataselect.decisions.design.rungs import Outcome, Rung, Rungs
from dataselect.decisions.design.score_model import ScoreModel
from dataselect.report.designed_plan import designed_plan, transfer_is_dropped
from dataselect.stages.design import Designed, proxy_sizes

PLAN = """\
seed: 3
tokenizer: {train: {vocab_size: 50304}}
confidence: 0.8
benchmarks:
  - {id: stories, items: items.jsonl, traces: traces.jsonl.gz, prompt: "Q: {question}\\nA:"}
screen:
  proxy: {size: 4M, chinchilla_multiple: 1}
  keep: 4
  keep_at_most: 5
  min_probability: 0.2
  discrepancy: none
  accuracy: true
predict:
  proxy: {size: 20M, tokens: 600M, checkpoints: 12}
  average: 3
  transfer: functions/transfer.json
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return load_plan(path)


def designed(plan: Plan, *rungs: tuple[str, int, int, int]) -> Designed:
    """A design with rungs of (size, tokens, seeds, keep)."""
    sizes = proxy_sizes(plan, 1e24, 50_304)
    places = {(each.name, each.tokens): place for place, each in enumerate(sizes)}
    made: Rungs = tuple(
        Rung(places[name, tokens], seeds, keep) for name, tokens, seeds, keep in rungs
    )
    outcome = Outcome(made, (1.0,) * len(made), 0.1, 0.01, (0.9,) * len(made))
    nothing = np.zeros(len(sizes))
    return Designed(
        candidates=12,
        sizes=sizes,
        model=ScoreModel(nothing, nothing),
        metric="rbridge",
        budget=1e19,
        best=outcome,
        at_budgets=(),
        others=(),
        cheapest=outcome,
        target_flops=1e21,
        spread=None,
        spread_from=None,
    )


def values(plan: Plan, design: Designed, file: Path) -> dict[str, object]:
    file.parent.mkdir(exist_ok=True)
    file.write_text(designed_plan(plan, design, file, ["made\nby a test"]))
    return dict(load(file)[0])


def stages(found: dict[str, object]) -> list[dict[str, object]]:
    """The rungs, in whichever form they are written."""
    if "rungs" in found:
        assert isinstance(found["rungs"], list)
        return found["rungs"]
    return [dict(found[key]) for key in ("screen", "predict") if key in found]  # type: ignore[call-overload]


def test_a_transfer_function_stays_with_its_proxy(plan: Plan, tmp_path: Path) -> None:
    design = designed(plan, ("4M", 375_000_000, 2, 3), ("20M", 600_000_000, 1, 1))
    assert not transfer_is_dropped(plan, design)
    found = values(plan, design, tmp_path / "new" / "designed.yaml")
    first, last = stages(found)
    assert last["transfer"] == "../functions/transfer.json"
    assert last["proxy"] == {"size": "20M", "tokens": "600M", "checkpoints": 12}
    assert (last["average"], last["seeds"]) == (3, 1)
    assert first == {
        "proxy": {"size": "4M", "tokens": "375M"},
        "seeds": 2,
        "discrepancy": "none",
        "accuracy": True,
        "keep": 3,
    }


def test_of_another_proxy_it_is_dropped(plan: Plan, tmp_path: Path) -> None:
    design = designed(plan, ("4M", 375_000_000, 2, 3), ("20M", 1_910_000_000, 1, 1))
    assert transfer_is_dropped(plan, design)
    last = stages(values(plan, design, tmp_path / "designed.yaml"))[-1]
    assert "transfer" not in last
    assert last["proxy"] == {"size": "20M", "tokens": "1.91B", "checkpoints": 3}


def test_what_is_no_stage_is_kept_as_it_was_written(plan: Plan, tmp_path: Path) -> None:
    design = designed(plan, ("4M", 375_000_000, 1, 3), ("20M", 1_910_000_000, 1, 1))
    file = tmp_path / "new" / "designed.yaml"
    found = values(plan, design, file)
    assert file.read_text().startswith("# made by a test\n")
    assert (found["seed"], found["confidence"]) == (3, 0.8)
    assert found["tokenizer"] == {"train": {"vocab_size": 50304}}
    assert found["benchmarks"] == [
        {
            "id": "stories",
            "items": "../items.jsonl",
            "traces": ["../traces.jsonl.gz"],
            "prompt": "Q: {question}\nA:",
        }
    ]
    assert not {"name", "compute", "leaks", "mix"} & set(found)


def test_one_rung_keeps_one(plan: Plan, tmp_path: Path) -> None:
    design = designed(plan, ("4M", 375_000_000, 2, 1))
    file = tmp_path / "designed.yaml"
    found = values(plan, design, file)
    (only,) = stages(found)
    assert only["keep"] == 1
    assert "stop_when" not in found
    again = load_plan(file)
    assert (again.screen.keep, again.screen.seeds, again.predict) == (1, 2, None)


def test_three_rungs_may_end_early(plan: Plan, tmp_path: Path) -> None:
    design = designed(
        plan,
        ("4M", 375_000_000, 1, 6),
        ("4M", 375_000_000, 3, 2),
        ("20M", 1_910_000_000, 1, 1),
    )
    found = values(plan, design, tmp_path / "designed.yaml")
    assert [each.get("keep") for each in stages(found)] == [6, 2, None]
    assert [each["seeds"] for each in stages(found)] == [1, 3, 1]
    assert found["stop_when"] == {"p_best": 0.8}


def test_a_proxy_of_two_rungs_is_written_alike_so_that_it_is_trained_once(
    plan: Plan, tmp_path: Path
) -> None:
    design = designed(plan, ("4M", 375_000_000, 1, 3), ("4M", 375_000_000, 3, 1))
    first, last = stages(values(plan, design, tmp_path / "designed.yaml"))
    assert first["proxy"] == last["proxy"] == {"size": "4M", "tokens": "375M", "checkpoints": 3}
    assert (first.get("average"), last["average"]) == (None, 3)


def test_a_size_in_chinchilla_multiples_is_written_as_it_was(plan: Plan, tmp_path: Path) -> None:
    sizes = proxy_sizes(plan, 1e24, 50_304)
    own = next(each for each in sizes if each.proxy.chinchilla_multiple == 1)
    design = designed(plan, ("4M", own.tokens, 1, 1))
    (only,) = stages(values(plan, design, tmp_path / "designed.yaml"))
    assert only["proxy"] == {"size": "4M", "chinchilla_multiple": 1}
