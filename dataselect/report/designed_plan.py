"""The plan file of a design: the manifest's plan with other rungs.

What the plan's writer chose besides (tokenizer, benchmarks, seeds, leaks, ...) is kept as it was
written, with paths relative to the new file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataselect.config.plan import Plan
from dataselect.decisions.design.rungs import Rungs
from dataselect.report.selection.resolved import block_yaml, plan_values
from dataselect.stages.design import Designed, ProxySize
from dataselect.units import format_count, parse_count
from dataselect.wording import one_line

_NOT_OF_A_RUNG = ("proxy", "seeds", "keep", "min_probability", "keep_at_most", "transfer")
"""Keys of a stage that the design decides, or that hold for another proxy only."""


def designed_plan(plan: Plan, design: Designed, file: Path, header: Sequence[str]) -> str:
    """The text of a plan file at `file`; `header` are lines of a comment."""
    everything = plan_values(plan, {}, file.absolute().parent)
    values = _as_written(everything, plan.model_dump(exclude_unset=True, exclude_none=True))
    stages = ("screen", "predict", "rungs", "stop_when", "screen0")
    kept = {key: value for key, value in values.items() if key not in (*stages, "name")}
    first, last = _sections(values)
    rungs = _rungs(design.best.rungs, design.sizes, first, last)
    if "transfer" in last and not transfer_is_dropped(plan, design):
        rungs[-1]["transfer"] = last["transfer"]
    comment = "".join(f"# {one_line(line)}\n" for line in header)
    return comment + block_yaml({**kept, **_written(rungs, plan.confidence)})


def transfer_is_dropped(plan: Plan, design: Designed) -> bool:
    """Whether the plan's transfer function holds for another proxy than the last rung's."""
    return (
        plan.predict is not None
        and plan.predict.transfer is not None
        and not (_same_proxy(plan, design) and len(design.best.rungs) > 1)
    )


def _same_proxy(plan: Plan, design: Designed) -> bool:
    last = design.sizes[design.best.rungs[-1].size]
    return plan.predict is not None and plan.predict.proxy == last.proxy


def _sections(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The first stage's section, and the last one's."""
    if "rungs" in values:
        return values["rungs"][0], values["rungs"][-1]
    return values["screen"], values.get("predict", values["screen"])


def _rungs(
    rungs: Rungs,
    sizes: Sequence[ProxySize],
    first: Mapping[str, Any],
    last: Mapping[str, Any],
) -> list[dict[str, Any]]:
    sections = [last if place and rung is rungs[-1] else first for place, rung in enumerate(rungs)]
    averages = [int(section.get("average", 1)) for section in sections]
    made = []
    for place, (rung, section) in enumerate(zip(rungs, sections, strict=True)):
        further = {key: value for key, value in section.items() if key not in _NOT_OF_A_RUNG}
        # Proxies with other checkpoints would be trained again in a later rung.
        of_size = [a for a, each in zip(averages, rungs, strict=True) if each.size == rung.size]
        proxy = _proxy(sizes[rung.size], max(of_size))
        values: dict[str, Any] = {"proxy": proxy, "seeds": rung.seeds, **further}
        if place and rung is rungs[-1]:
            values.pop("discrepancy", None)
        else:
            values["keep"] = rung.keep
        made.append(values)
    return made


def _proxy(size: ProxySize, average: int) -> dict[str, Any]:
    """As a plan writes it, with as many checkpoints as are averaged."""
    values = size.proxy.model_dump(exclude_unset=True, exclude_none=True)
    if "tokens" in values:
        text = format_count(size.tokens)
        values["tokens"] = text if parse_count(text) == size.tokens else size.tokens
    if average > size.proxy.checkpoints:
        values["checkpoints"] = average
    return values


def _written(rungs: list[dict[str, Any]], confidence: float) -> dict[str, Any]:
    stop = {"stop_when": {"p_best": confidence}} if len(rungs) > 1 else {}
    return {"rungs": rungs, **stop}


def _as_written(values: Any, like: Any) -> Any:
    """`values` with the keys of `like` alone, at all depths."""
    if isinstance(values, Mapping) and isinstance(like, Mapping):
        return {key: _as_written(each, like[key]) for key, each in values.items() if key in like}
    if isinstance(values, list) and isinstance(like, list):
        return [_as_written(one, two) for one, two in zip(values, like, strict=True)]
    return values
