"""The house keeps its shape: floors, small modules, reference pages, a command that starts fast."""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dataselect"

FLOORS = {
    0: {"__init__", "errors", "units", "store", "desk"},
    1: {
        "wording",
        *("csvfile", "jsonfile", "yamlfile"),
        "sections",
        "checkpoints",
        "origins",
        "manifest",
        "plan",
        *("plan_benchmark", "plan_mix", "plan_proxy"),
        "plan_tokenizer",
        "corpus",
        "benchmarks",
        "traces",
        "leaks",
        "cost",
    },
    2: {"proxies", "proxy_sources", "scoring", "traces.local"},
    3: {
        *("ranking", "decisions", "transfer", "evidence"),
        *("forecast", "forecast_table"),
        *("frontiers", "score_tables"),
        "calibration",
        "mixture",
    },
    4: {
        *("experiment", "stage_sources", "stage_jobs", "stage_scores", "stage"),
        *("compute", "screen", "predict", "pipeline", "project", "validation"),
        *("score", "calibrate", "isft"),
        *("leak_alarm", "mixture_search"),
    },
    5: {"report", "cli", "__main__"},
}
MODULES = [path for path in PACKAGE.rglob("*.py") if "_project" not in path.parts]


def floor_of(module: str) -> int:
    """The floor of `dataselect.<module>`, by its longest listed name."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        for floor, names in FLOORS.items():
            if name in names:
                return floor
    raise AssertionError(f"dataselect.{module} is on no floor; add it to FLOORS")


def module_name(path: Path) -> str:
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_module_imports_only_from_its_floor_and_below(path: Path) -> None:
    own = floor_of(module_name(path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dataselect."):
            imported = (node.module or "").removeprefix("dataselect.")
            assert floor_of(imported) <= own, f"{path.name} imports {imported}, which is above it"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
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


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom dataselect.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'datasets', 'pandas', 'scipy', 'numpy', 'pydantic'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
