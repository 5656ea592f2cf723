"""resolved.yaml: manifest and plan in one file that is enough to repeat the run.

Every default is written out, also those that depend on the ladder, so that the file means the same
to a later version with other defaults. Relative local paths are rewritten relative to the report's
folder; absolute paths, Hub names and the built-in synthetic world stay unchanged.

The YAML is written here and not by a library, because its reader (`yamlfile`) is stricter than any
writer: strings are always in double quotes, with escapes of JSON or YAML, so that none can be read
as a number, a date, a tag or a comment.
"""

import glob
import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from dataselect.config.checkpoints import Checkpoints
from dataselect.config.manifest import Candidate, Manifest, Source
from dataselect.config.plan import Plan
from dataselect.config.proxy import Proxy
from dataselect.config.proxy_origin import Trained, Trainer
from dataselect.config.stage import Predict, Screen
from dataselect.corpus.files import origin
from dataselect.corpus.forms import Form
from dataselect.corpus.remote_source import is_remote
from dataselect.formats.agreement_file import AgreementFile
from dataselect.proxies.recipe import Recipe
from dataselect.scoring.series import Member
from dataselect.stages.proxy_origins import Given, StageName, own_proxies, role, section, stages
from dataselect.store import content_key
from dataselect.wording import one_line

_HEADER = """\
# What this run was made from. `dataselect run` with this file repeats it; paths are relative to
# the folder of this file.
"""
_PLAIN_KEY = re.compile(r"[a-z]+(_[a-z]+)*")
# Words that some YAML readers take for a boolean or null.
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def resolved_yaml(
    manifest: Manifest,
    plan: Plan,
    recipes: Mapping[str, Recipe],
    folder: Path,
    given: Given = MappingProxyType({}),
    agreements: Mapping[StageName, AgreementFile] = MappingProxyType({}),
) -> str:
    """Text of a resolved.yaml in `folder`; `recipes` are by plan section.

    `given` pins the revisions of checkpoints that candidates name to their commits; `agreements`
    are the files of the plan's own gaps, by stage.
    """
    values: dict[str, Any] = {
        "name": manifest.name,
        "target": manifest.target.model_dump(exclude_none=True),
    }
    if manifest.sources:
        values["sources"] = [_source(each, manifest.base, folder) for each in manifest.sources]
    values["candidates"] = [
        _candidate(each, manifest.base, folder, _given_to(each.id, plan, given))
        for each in manifest.candidates
    ]
    if manifest.evidence is not None:
        path = manifest.evidence.target_accuracy
        values["evidence"] = {"target_accuracy": moved(path, manifest.base, folder)}
    values["plan"] = plan_values(plan, recipes, folder)
    ends = [*_hashes(plan, given), *_hashes_of_agreements(plan, agreements)]
    return _HEADER + block_yaml(values) + "".join(ends)


def moved(path: str, base: Path, folder: Path) -> str:
    """A path relative to `base`, rewritten relative to `folder`; an absolute one is unchanged.

    Symbolic links are resolved first, since `..` of a linked folder is its real parent.
    """
    if os.path.isabs(path):
        return path
    return Path(os.path.relpath(Path(base).resolve() / path, folder.resolve())).as_posix()


_Located = Mapping[tuple[str, ...], tuple[tuple[Member, ...], ...]]
"""Existing checkpoints, located, by the keys in a candidate's `proxies` that name them."""


def _given_to(candidate: str, plan: Plan, given: Given) -> _Located:
    return {own_proxies(plan, s): given.get((s, candidate), ()) for s in stages(plan)}


def _candidate(candidate: Candidate, base: Path, folder: Path, located: _Located) -> dict[str, Any]:
    if candidate.path is not None:
        values = _source(candidate, base, folder)
    else:
        # The other defaults say how to read text, and a mixture has no text of its own.
        values = candidate.model_dump(include={"id", "title", "mixture"}, exclude_none=True)
    named = candidate.proxies
    if named is not None:
        values["proxies"] = {
            key: _proxies(proxies, located.get((key,), ()), base, folder)
            for key, proxies in (("screen", named.screen), ("predict", named.predict))
            if proxies is not None
        }
        if named.rungs is not None:
            values["proxies"]["rungs"] = {
                rung: _proxies(proxies, located.get(("rungs", rung), ()), base, folder)
                for rung, proxies in named.rungs.items()
            }
    return values


def _proxies(
    named: Any, resolved: tuple[tuple[Member, ...], ...], base: Path, folder: Path
) -> dict[str, Any] | list[dict[str, Any]]:
    if isinstance(named, Trained):
        return {"train": _trainer(named.train, base, folder)}
    if isinstance(named, Checkpoints):
        return _series(named, resolved[0] if resolved else (), base, folder)
    pinned = resolved or ((),) * len(named)
    return [_series(each, to, base, folder) for each, to in zip(named, pinned, strict=True)]


def _series(
    section: Checkpoints, members: tuple[Member, ...], base: Path, folder: Path
) -> dict[str, Any]:
    values = section.model_dump(exclude_none=True)
    commits = [f"{member.label}@{member.commit}" for member in members if member.commit]
    if commits:
        values["model"], values["revisions"] = section.model.partition("@")[0], commits
        if isinstance(section.tokens, dict):
            scored = {member.label for member in members}
            values["tokens"] = {k: v for k, v in section.tokens.items() if k in scored}
    elif members:
        values["model"] = _moved_pattern(section.model, base, folder)
    return values


def _hashes(plan: Plan, given: Given) -> Iterator[str]:
    """Comments with the hash of all files of checkpoints in folders, which no commit pins."""
    for (stage, candidate), series in given.items():
        for member in (member for members in series for member in members):
            if member.commit is None:
                digest = content_key("checkpoint", member.checkpoint.identity)
                yield f"# {role(plan, stage)}, {candidate}: {one_line(member.label)} was {digest}\n"


def _hashes_of_agreements(
    plan: Plan, agreements: Mapping[StageName, AgreementFile]
) -> Iterator[str]:
    """A comment with the hash of each file that the plan names as its own gap."""
    for stage, own in agreements.items():
        name = one_line(own.path.name)
        yield f"# {role(plan, stage)}: discrepancy {name} was sha256 {own.sha256}\n"


def _trainer(trainer: Trainer, base: Path, folder: Path) -> dict[str, Any]:
    values = trainer.model_dump(exclude_none=True)
    # The command may name files beside the file that it was written in.
    return {**values, "folder": moved(trainer.folder or ".", base, folder)}


def _source(source: Source, base: Path, folder: Path) -> dict[str, Any]:
    values = source.model_dump(exclude_none=True, exclude={"proxies"})
    if source.path in get_args(Form):
        if source.data_dir is not None:
            values["data_dir"] = _moved_from_home(source.data_dir, base, folder)
        elif is_remote(source):
            pass
        elif isinstance(source.data_files, str):
            values["data_files"] = _moved_pattern(source.data_files, base, folder)
        elif source.data_files is not None:
            values["data_files"] = [
                _moved_pattern(each, base, folder) for each in source.data_files
            ]
    elif origin(source, base) == "local":
        assert source.path is not None, "only a mixture has no path"
        path = _moved_from_home(source.path, base, folder)
        # A plain word could be read as a name on the Hub.
        values["path"] = path if path.startswith((".", "/", "~")) else f"./{path}"
    return values


def _moved_from_home(path: str, base: Path, folder: Path) -> str:
    return path if os.path.isabs(os.path.expanduser(path)) else moved(path, base, folder)


def _moved_pattern(pattern: str, base: Path, folder: Path) -> str:
    """As `moved`, for a glob pattern; the folders added in front of it are escaped."""
    if os.path.isabs(os.path.expanduser(pattern)):
        return pattern
    if (base / pattern).is_file():
        return moved(pattern, base, folder)
    here, there = (glob.escape(str(place.resolve())) for place in (base, folder))
    return Path(os.path.relpath(os.path.join(here, pattern), there)).as_posix()


def plan_values(plan: Plan, recipes: Mapping[str, Recipe], folder: Path) -> dict[str, Any]:
    """A plan's values with its paths relative to `folder`; recipes spell out their proxies."""
    values = plan.model_dump(exclude_none=True)
    for stage, chosen in stages(plan).items():
        written: dict[str, Any] = reduce(getitem, plan.place(stage.number), values)  # type: ignore[arg-type]
        written |= _stage_values(chosen, recipes.get(section(plan, stage)), plan.base, folder)
    tokenizer = values.get("tokenizer", {})
    if "path" in tokenizer and (plan.base / tokenizer["path"]).is_dir():
        tokenizer["path"] = moved(tokenizer["path"], plan.base, folder)
    for benchmark in values["benchmarks"]:
        for key in ("items", "folder", "shots"):
            if key in benchmark:
                benchmark[key] = moved(benchmark[key], plan.base, folder)
        if "traces" in benchmark:
            files = benchmark["traces"]
            named = [files] if isinstance(files, str) else files
            benchmark["traces"] = [moved(each, plan.base, folder) for each in named]
        if "weigh" in benchmark and (plan.base / benchmark["weigh"]).exists():
            benchmark["weigh"] = moved(benchmark["weigh"], plan.base, folder)
    for key in ("constraints", "transfer"):
        if values.get("mix", {}).get(key):
            values["mix"][key] = moved(values["mix"][key], plan.base, folder)
    # The storage does not affect the trials, and its URL may hold a password.
    values.get("mix", {}).pop("storage", None)
    # Who repeats a run shows its numbers elsewhere.
    values.pop("track", None)
    return values


def _stage_values(
    chosen: Screen | Predict, recipe: Recipe | None, base: Path, folder: Path
) -> dict[str, Any]:
    """The values of a stage that are written otherwise than in its plan."""
    written: dict[str, Any] = {}
    if recipe is not None and chosen.proxy is not None:
        proxy = _spelled_out(chosen.proxy, recipe)
        written["proxy"] = proxy.model_dump(exclude_none=True)
    if chosen.train is not None:
        written["train"] = _trainer(chosen.train, base, folder)
    if isinstance(chosen, Screen) and chosen.agreement_file is not None:
        written["discrepancy"] = moved(chosen.agreement_file, base, folder)
    if isinstance(chosen, Predict) and chosen.transfer is not None:
        written["transfer"] = moved(chosen.transfer, base, folder)
    return written


def _spelled_out(proxy: Proxy, recipe: Recipe) -> Proxy:
    """The proxy with the values that the plan left to the ladder."""
    keys = ("sequence_length", "batch_size", "learning_rate", "embedding_learning_rate")
    update = {key: getattr(recipe, key) for key in keys}
    if proxy.architecture is not None:
        shape = {key: getattr(recipe.shape, key) for key in ("intermediate_size", "kv_heads")}
        update["architecture"] = proxy.architecture.model_copy(update=shape)
    return proxy.model_copy(update=update)


def block_yaml(values: Mapping[str, Any]) -> str:
    """Plain values (dict, list, str, int, float, bool, None) as YAML that `yamlfile` reads back."""
    return "\n".join(_mapping(values)) + "\n"


def _mapping(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        plain = _PLAIN_KEY.fullmatch(key) and key not in _WORDS
        name = key if plain else _quoted(key)
        if isinstance(value, Mapping | list) and value:
            yield f"{name}:"
            yield from (f"  {line}" for line in _lines(value))
        else:
            yield f"{name}: {_scalar(value)}"


def _lines(value: Mapping[str, Any] | list[Any]) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from _mapping(value)
        return
    for each in value:
        if isinstance(each, Mapping | list) and each:
            for i, line in enumerate(_lines(each)):
                yield f"{'  ' if i else '- '}{line}"
        else:
            yield f"- {_scalar(each)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping | list):
        return "{}" if isinstance(value, Mapping) else "[]"
    return json.dumps(value, allow_nan=False)


def _quoted(text: str) -> str:
    return "".join(_letter(c) for c in json.dumps(text, ensure_ascii=False))


def _letter(letter: str) -> str:
    """The letter itself, or its YAML escape if it is not printable."""
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
