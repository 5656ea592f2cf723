from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataselect.config.manifest import Manifest, load_manifest
from dataselect.config.plan import Plan, load_plan
from dataselect.config.yamlfile import load
from dataselect.corpus.files import local_files
from dataselect.pipeline import Selection
from dataselect.report.selection.files import write_report
from dataselect.report.selection.resolved import block_yaml, resolved_yaml
from dataselect.scoring.series import Member, resolve
from dataselect.stages.prepare import make_recipes
from dataselect.stages.proxy_origins import StageName
from dataselect.store import content_key

MakeSelection = Callable[..., Selection]

# What `yamlfile` accepts: no control characters, no halves of surrogate pairs.
TEXTS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t:#-'\"\\{}[]&*!|>%@`~?,")
)
WORDS = st.sampled_from(["no", "null", "~", "1e9", "1.10", "2024-01-01", "<<", "=", "- a", "#", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | WORDS
)
KEYS = (TEXTS | WORDS).filter(bool)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=75, deadline=None)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5))
def test_what_is_written_is_what_is_read(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "values.yaml"
    path.write_text(block_yaml(values), encoding="utf-8")
    read, _ = load(path)
    assert repr(read) == repr(values)


def again(folder: Path) -> tuple[Manifest, Plan]:
    manifest = load_manifest(folder / "resolved.yaml")
    return manifest, manifest.document_at(Plan, "plan")


def test_it_stands_for_the_same_run(
    make_selection: MakeSelection, project: Path, tmp_path: Path
) -> None:
    selection = make_selection()
    write_report(selection, tmp_path / "reports" / "deep" / "try")
    manifest, plan = again(tmp_path / "reports" / "deep" / "try")
    assert manifest.name == "try"
    assert manifest.target == selection.experiment.manifest.target
    for candidate in selection.experiment.manifest.candidates:
        assert manifest.shares(candidate.id) == selection.experiment.manifest.shares(candidate.id)
    assert plan.name == "small"
    assert plan.screen.keep == 2
    for device in ("cpu", "cuda"):
        assert make_recipes(plan, 300, device) == make_recipes(
            selection.experiment.plan, 300, device
        )


def test_a_resolved_file_resolves_to_itself(make_selection: MakeSelection, tmp_path: Path) -> None:
    write_report(make_selection(), tmp_path)
    first = (tmp_path / "resolved.yaml").read_text(encoding="utf-8")
    manifest, plan = again(tmp_path)
    write_report(make_selection(manifest=manifest, plan=plan), tmp_path)
    assert (tmp_path / "resolved.yaml").read_text(encoding="utf-8") == first


def test_local_paths_lead_to_the_same_files_and_others_stay(
    make_selection: MakeSelection, project: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "else" / "where"
    write_report(make_selection(), folder)
    before = load_manifest(project / "try.yaml")
    after, plan = again(folder)
    for name in ("prose", "good", "poor"):
        files = local_files(before.text_sources()[name], project)
        moved = local_files(after.text_sources()[name], folder)
        assert [f.path.resolve() for f in moved] == [f.path.resolve() for f in files]
    hub, world = after.text_sources()["fair"], after.text_sources()["broken"]
    assert (hub.path, hub.name, hub.revision) == ("someone/on-the-hub", "part", "abc")
    assert world.path == "dataselect/desk"
    items = plan.base / plan.benchmarks[0].items
    assert items.resolve() == (project / "bench" / "sums.jsonl").resolve()


def resolved_sources(project: Path, folder: Path, sources: str) -> list[dict[str, Any]]:
    """The sources of a manifest as resolved for `folder`."""
    text = "target: {size: 1B, tokens: 20B}\ncandidates:\n" + sources
    (project / "own.yaml").write_text(text, encoding="utf-8")
    manifest = load_manifest(project / "own.yaml")
    plan = load_plan("small.yaml", project)
    folder.mkdir(parents=True, exist_ok=True)
    recipes = {"screen": make_recipes(plan, 300, "cpu")[StageName.SCREEN]}
    resolved = folder / "resolved.yaml"
    resolved.write_text(resolved_yaml(manifest, plan, recipes, folder), encoding="utf-8")
    after, _ = again(folder)
    for name, source in manifest.text_sources().items():
        same = local_files(after.text_sources()[name], folder)
        assert [f.path.resolve() for f in same] == [
            f.path.resolve() for f in local_files(source, project)
        ]
    values: list[dict[str, Any]] = load(resolved)[0]["candidates"]
    return values


def test_data_files_in_a_data_dir_stay_relative_to_it(project: Path, tmp_path: Path) -> None:
    one, two = resolved_sources(
        project,
        tmp_path / "out",
        "  - {id: a, path: json, data_dir: crawl, data_files: ['*.jsonl']}\n"
        "  - {id: b, path: texts, data_files: poor.jsonl}\n",
    )
    assert (one["data_dir"], one["data_files"]) == ("../project/candidates/crawl", ["*.jsonl"])
    assert (two["path"], two["data_files"]) == ("../project/candidates/texts", "poor.jsonl")


def test_absolute_paths_stay(project: Path, tmp_path: Path) -> None:
    pattern = str(project / "crawl" / "*.jsonl")
    one, two = resolved_sources(
        project,
        tmp_path / "out",
        f"  - {{id: a, path: json, data_files: '{pattern}'}}\n"
        f"  - {{id: b, path: '{project / 'texts'}'}}\n",
    )
    assert one["data_files"] == pattern
    assert two["path"] == str(project / "texts")


def test_folders_on_the_way_are_no_patterns(project: Path, tmp_path: Path) -> None:
    odd = project / "[a]*"
    (odd / "crawl").mkdir(parents=True)
    (odd / "crawl" / "[1].jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    (odd / "crawl" / "2.jsonl").write_text('{"text": "a"}\n', encoding="utf-8")
    (odd / "small.yaml").write_text((project / "small.yaml").read_text(), encoding="utf-8")
    resolved_sources(
        odd,
        tmp_path / "out",
        "  - {id: a, path: json, data_files: 'crawl/*.jsonl'}\n"
        "  - {id: b, path: json, data_files: 'crawl/[1].jsonl'}\n",
    )


def test_a_local_folder_is_not_taken_for_a_name_on_the_hub(project: Path) -> None:
    (first, _) = resolved_sources(
        project, project, "  - {id: a, path: texts}\n  - {id: b, path: crawl}\n"
    )
    assert first["path"] == "./texts"


def test_linked_folders_lead_to_where_they_point(project: Path, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "deep" / "er")
    resolved_sources(
        project, tmp_path / "link" / "out", "  - {id: a, path: texts}\n  - {id: b, path: crawl}\n"
    )


COMMITS = {f"step{n}-tokens{n}B": f"{n:040x}" for n in (1, 2)}


def test_revisions_are_pinned_to_commits_and_commands_keep_their_folder(
    project: Path, tmp_path: Path
) -> None:
    (project / "runs" / "step1").mkdir(parents=True)
    (project / "own.yaml").write_text(
        "target: {size: 1B, tokens: 20B}\n"
        "candidates:\n"
        "  - id: hub\n"
        "    proxies:\n"
        "      screen: {model: our/proxy, tokens: {step1-tokens1B: 1.5B, old: 1}}\n"
        "  - {id: disk, proxies: {screen: {model: runs/step*}}}\n"
        "  - {id: own, proxies: {screen: {train: {command: \"go '{{x}}' {output}\", tokens: 5}}}}\n"
    )
    manifest, plan = load_manifest(project / "own.yaml"), load_plan("small.yaml", project)
    hub = tuple(
        Member(name, n, n * 10**9, ("our/proxy", commit), "float32")
        for n, (name, commit) in enumerate(COMMITS.items(), start=1)
    )
    disk = Member("step1", 1, None, project / "runs" / "step1", "float32")
    given = {(StageName.SCREEN, "hub"): (hub,), (StageName.SCREEN, "disk"): ((disk,),)}
    folder = tmp_path / "reports" / "own"
    folder.mkdir(parents=True)
    (folder / "resolved.yaml").write_text(resolved_yaml(manifest, plan, {}, folder, given))
    after, _ = again(folder)
    pinned, moved, own = (candidate.proxies.screen for candidate in after.candidates)
    assert pinned.model == "our/proxy"
    assert pinned.revisions == [f"{name}@{commit}" for name, commit in COMMITS.items()]
    assert pinned.tokens == {"step1-tokens1B": 15 * 10**8}
    assert [place.place for place in resolve(pinned, folder, "here")] == [m.place for m in hub]
    assert (folder / moved.model).parent.resolve() == (project / "runs").resolve()
    text = (folder / "resolved.yaml").read_text()
    digest = content_key("checkpoint", disk.checkpoint.identity)
    assert text.endswith(f"# screen, disk: step1 was {digest}\n")
    assert own.train.command == "go '{{x}}' {output}"
    assert (folder / own.train.folder).resolve() == project.resolve()
