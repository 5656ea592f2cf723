"""What the functions of a run take: manifest and plan as files, names or objects."""

from pathlib import Path

from dataselect.config.manifest import Manifest, load_manifest
from dataselect.config.plan import Plan, load_plan

DEFAULT_PLAN = "quickstart"
"""The plan where neither the caller nor the manifest names one."""


def load_inputs(
    manifest: str | Path | Manifest, plan: str | Path | Plan | None = None, where: str = "plan"
) -> tuple[Manifest, Plan]:
    """The manifest, and the plan that is meant: the one given, else the manifest's, else ours.

    `plan` is a name in stages/, a file relative to the working folder, or a plan. Raises
    InputError; `where` is what it calls the given plan's place.
    """
    loaded = manifest if isinstance(manifest, Manifest) else load_manifest(Path(manifest))
    if isinstance(plan, Plan):
        return loaded, plan
    if plan is not None:
        return loaded, load_plan(str(plan), Path(), where)
    if isinstance(loaded.plan, dict):
        return loaded, loaded.document_at(Plan, "plan")
    return loaded, load_plan(loaded.plan or DEFAULT_PLAN, loaded.base, loaded.where("plan"))
