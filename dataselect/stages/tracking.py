"""What a run's trackers are told of it, and which they are."""

from collections.abc import Mapping, Sequence
from typing import Any

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.cost import Spent
from dataselect.redaction import redact
from dataselect.trackers.names import check_tracker

_SECRET = {
    "compute": {"ray": True, "slurm": True, "options": True},
    "mix": {"storage": True},
}
"""What a plan may hold that may be secret: variables, accounts, the URL of a database."""


def tracker_choice(plan: Plan | None, track: Sequence[str] | None) -> tuple[str, ...]:
    """The trackers of the option `--track`, else of the plan. Raises InputError."""
    names = list(track or ())
    for name in names:
        check_tracker(name, "--track")
    if not names and plan is not None:
        names = list(plan.track)
        for i, name in enumerate(names):
            check_tracker(name, plan.where("track", i))
    return tuple(dict.fromkeys(names))


def run_config(manifest: Manifest, plan: Plan) -> dict[str, Any]:
    """Manifest and plan as trackers show them, without what may be secret."""
    written = plan.model_dump(mode="json", exclude_none=True, exclude=_SECRET)
    # A user's command may have a key among its arguments.
    return {
        "manifest": manifest.name,
        "candidates": [candidate.id for candidate in manifest.candidates],
        "target": manifest.target.model_dump(mode="json", exclude_none=True),
        "plan": harmless(without(written, "command")),
    }


def without(value: Any, key: str) -> Any:
    """JSON values without what stands under a key, at any depth."""
    if isinstance(value, Mapping):
        return {name: without(each, key) for name, each in value.items() if name != key}
    return [without(each, key) for each in value] if isinstance(value, list) else value


def harmless(value: Any) -> Any:
    """JSON values without the passwords of addresses."""
    if isinstance(value, Mapping):
        return {name: harmless(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [harmless(each) for each in value]
    return redact(value) if isinstance(value, str) else value


def cost_numbers(spent: Mapping[str, Spent], seconds: float) -> dict[str, float]:
    """What the parts of a run have spent, as numbers by name."""
    found = {"seconds_of_this_call": seconds}
    for name, each in spent.items():
        found |= {
            f"{name}/flops": each.flops + each.failed_flops,
            f"{name}/cpu_hours": each.cpu_seconds / 3600,
            f"{name}/gpu_hours": each.gpu_seconds / 3600,
        }
    return found
