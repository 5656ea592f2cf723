"""The house keeps its shape: floors, no circles, small modules, reference pages, a fast start.

The floors are read from the tree in README.md, which is their only list.
"""

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dataselect"
PATHS = [path for path in sorted(PACKAGE.rglob("*.py")) if "_project" not in path.parts]


def module_name(path: Path) -> str:
    """`store.lock` for dataselect/store/lock.py, `store` for its package, '' for dataselect."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return "" if name == "__init__" else name.removesuffix(".__init__")


SOURCES = {module_name(path): path.read_text() for path in PATHS}


def listed_floors() -> dict[str, int]:
    """The floor of each package and loose module, from the README's tree."""
    floors: dict[str, int] = {}
    floor = None
    tree = (ROOT / "README.md").read_text().split("```\ndataselect/\n", 1)[1].split("```", 1)[0]
    for line in tree.splitlines():
        if heading := re.fullmatch(r"  floor (\d), \w+: .+", line):
            floor = int(heading[1])
        elif entry := re.match(r"    (\w+)/?  +\S", line):
            assert floor is not None, "an entry before the first floor"
            assert entry[1] not in floors, f"{entry[1]} is listed twice"
            floors[entry[1].replace("__init__", "")] = floor
        else:
            assert re.match(r"  {8}", line), f"neither floor, entry nor its second line: {line!r}"
    return floors


def imported(name: str, text: str, modules: Mapping[str, str]) -> Iterator[str]:
    """Modules that a module imports in any form, at any place, for types only too."""
    package = name if any(other.startswith(f"{name}.") for other in modules) else ""
    for node in ast.walk(ast.parse(text)):
        full: list[str] = []
        if isinstance(node, ast.Import):
            full = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                here = f"dataselect.{package or name}".split(".")
                base = here[: len(here) - node.level + bool(package)]
                origin = ".".join([*base, *filter(None, [origin])])
            # `from dataselect import report` takes a module, `from dataselect.report import x`
            # may.
            full = [f"{origin}.{each.name}" for each in node.names]
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
                full = [str(node.args[0].value)]
        for each in full:
            if each == "dataselect" or each.startswith("dataselect."):
                found = each.removeprefix("dataselect").lstrip(".")
                if found not in modules:
                    found = found.rpartition(".")[0]
                if found != name:
                    yield found


def offences(modules: Mapping[str, str], floors: Mapping[str, int]) -> list[str]:
    """What is wrong with the house that these modules, texts by name, make up."""

    def place(name: str) -> str:
        return name.split(".", maxsplit=1)[0]

    found = [
        f"{name or 'dataselect'} is on no floor" for name in modules if place(name) not in floors
    ]
    found += [f"{name} is listed and not there" for name in floors if name not in modules]
    by_module = {name: set(imported(name, text, modules)) for name, text in modules.items()}
    by_package: dict[str, set[str]] = {}
    for name, targets in by_module.items():
        for target in targets:
            if floors.get(place(target), 0) > floors.get(place(name), 0):
                found.append(f"{name} imports {target or 'dataselect'}, which is above it")
            if place(target) != place(name):
                by_package.setdefault(place(name), set()).add(place(target))
    found += [f"circle of packages: {' -> '.join(each)}" for each in circles(by_package)]
    return found + [f"circle of modules: {' -> '.join(each)}" for each in circles(by_module)]


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """One circle for each place where a walk comes back to where it has been."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(node: str, way: list[str]) -> None:
        if node in way:
            found.append([*way[way.index(node) :], node])
        elif node not in done:
            for each in sorted(graph.get(node, ())):
                walk(each, [*way, node])
            done.add(node)

    for node in sorted(graph):
        walk(node, [])
    return found


def test_each_module_imports_from_its_floor_and_below_and_nothing_runs_in_circles() -> None:
    assert offences(SOURCES, listed_floors()) == []


PLANTED = {
    "plain import of a module above": (
        ("store.keys", "import dataselect.cli"),
        "store.keys imports cli, which is above it",
    ),
    "module taken from the package, in a function": (
        ("corpus.rows", "def _late() -> None:\n    from dataselect import report"),
        "corpus.rows imports report, which is above it",
    ),
    "name taken from a module above": (
        ("mixture.swarm", "from dataselect.pipeline import run"),
        "mixture.swarm imports pipeline, which is above it",
    ),
    "package circle on one floor, for types only": (
        (
            "benchmarks.shots",
            "if TYPE_CHECKING:\n    from dataselect.traces.trace import TraceSet",
        ),
        "circle of packages: benchmarks -> traces -> benchmarks",
    ),
    "module circle inside a package, in a function": (
        ("store.files", "def _late() -> None:\n    from .store import Store"),
        # Where a walk enters the circle depends on what else imports these modules.
        "store.files -> store.store -> ",
    ),
    "a package that no floor lists": (("extras.thing", ""), "extras.thing is on no floor"),
}


@pytest.mark.parametrize("offence", PLANTED)
def test_a_planted_offence_is_seen(offence: str) -> None:
    (module, line), expected = PLANTED[offence]
    planted = {**SOURCES, module: f"{SOURCES.get(module, '')}\n{line}\n"}
    assert any(expected in each for each in offences(planted, listed_floors()))


@pytest.mark.parametrize("path", PATHS, ids=module_name)
def test_module_says_what_it_is_for_and_is_not_long(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


def test_reference_pages_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/make_reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    for name, text in reference.pages().items():
        assert (ROOT / "docs" / name).read_text() == text, "run python docs/make_reference.py"


def test_relative_links_of_the_documents_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("*/README.md")]
    pages += ROOT.glob("benchmarks/*/README.md")
    broken = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in link and not (page.parent / link).exists()
    ]
    assert broken == []


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom dataselect.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'scipy', 'numpy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            "dataselect.api.agreement, dataselect.report.tables.agreements",
            "scipy torch datasets pandas",
        ),
        ("dataselect.api.transfer, dataselect.report.tables.fits", "pandas torch datasets"),
        ("dataselect.api.mixture, dataselect.api.mixture_proposal", "pandas torch datasets"),
        ("dataselect.scoring.likelihood_loading", "torch transformers datasets"),
        ("dataselect.api.run, dataselect.cli.run", "scipy torch transformers datasets"),
        ("dataselect.api.score", "scipy torch transformers datasets matplotlib"),
    ],
)
def test_commands_load_what_they_need(modules: str, heavy: str) -> None:
    code = f"import sys, {modules}\nprint(*set('{heavy}'.split()) & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.split() == []
