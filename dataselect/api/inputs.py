"""Manifest and plan as the run functions accept them: files, names or loaded objects."""

from pathlib import Path

from dataselect.api.arguments import as_manifest, as_path
from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan, load_plan

DEFAULT_PLAN = "quickstart"
"""The plan if neither the caller nor the manifest names one."""


def load_inputs(
    manifest: str | Path | Manifest, plan: str | Path | Plan | None = None, where: str = "plan"
) -> tuple[Manifest, Plan]:
    """The manifest, and the plan: the given one, else the manifest's, else `DEFAULT_PLAN`.

    `plan` is a name in stages/, a file relative to the working folder, or a loaded plan. Raises
    InputError for an invalid file; `where` is the place that messages name for `plan`.
    """
    loaded = as_manifest(manifest)
    if isinstance(plan, Plan):
        return loaded, plan
    if plan is not None:
        return loaded, load_plan(
            as_path(where, plan, "give a name in stages/, or a file"), where=where
        )
    if isinstance(loaded.plan, dict):
        return loaded, loaded.document_at(Plan, "plan")
    return loaded, load_plan(loaded.plan or DEFAULT_PLAN, loaded.base, loaded.where("plan"))
