"""Measure how the code is laid out, so that two versions of it can be compared.

    python benchmarks/structure/measure.py [ROOT]

ROOT is a checkout, by default this one. Counts are read from the source; the way of a candidate is
recorded while a tiny manifest runs: the files whose functions are given the manifest, and how often
a call with it goes from a package to one that stands above it.
"""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

WAY = """
import json, sys
root, folder, out = sys.argv[1:4]
sys.path[:0] = [root, root + "/tests/support"]
from pathlib import Path
from stage_world import write_world
write_world(Path(folder), tokens=1500)
calls = set()
def watch(frame, event, _):
    code = frame.f_code
    if event != "call" or not code.co_filename.startswith(root + "/dataselect/"):
        return
    count = code.co_argcount + code.co_kwonlyargcount
    given = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
    if any(type(each).__name__ == "Manifest" for each in given):
        back = frame.f_back
        while back is not None and not back.f_code.co_filename.startswith(root + "/dataselect/"):
            back = back.f_back
        calls.add((back.f_code.co_filename if back else "", code.co_filename))
sys.argv = ["dataselect", "run", folder + "/manifest.yaml", "--plan", folder + "/plan.yaml",
            "--store", folder + "/store", "--out", folder + "/report"]
from dataselect.cli import main
sys.setprofile(watch)
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
sys.setprofile(None)
Path(out).write_text(json.dumps(sorted(calls)))
"""


def name_of(path: Path, package: Path) -> str:
    name = ".".join(path.relative_to(package).with_suffix("").parts)
    return "" if name == "__init__" else name.removesuffix(".__init__")


def imports(sources: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Every import between two modules, also in functions and for types alone."""
    for name, text in sources.items():
        for node in ast.walk(ast.parse(text)):
            full: list[str] = []
            if isinstance(node, ast.Import):
                full = [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                full = [f"{node.module}.{each.name}" for each in node.names]
            for each in full:
                if each.startswith("dataselect."):
                    target = each.removeprefix("dataselect.")
                    target = target if target in sources else target.rpartition(".")[0]
                    if target != name:
                        yield name, target


def circles(graph: dict[str, set[str]]) -> int:
    """Sets of nodes that reach each other."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for each in graph.get(waiting.pop(), ()):
                if each not in seen:
                    seen.add(each)
                    waiting.append(each)
        return seen

    reach = {node: reached(node) for node in graph}
    return len(
        {frozenset(b for b in reach[a] if a in reach.get(b, ())) for a in graph if a in reach[a]}
    )


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """How many packages stand on each other below each; circles count once."""
    found: dict[str, int] = {}

    def level(node: str, way: tuple[str, ...]) -> int:
        if node in way:
            return 0
        if node not in found:
            below = [level(each, (*way, node)) for each in graph.get(node, ())]
            found[node] = 1 + max(below, default=0)
        return found[node]

    for node in sorted({*graph, *(b for each in graph.values() for b in each)}):
        level(node, ())
    return found


def way_of_a_candidate(root: Path, level: dict[str, int]) -> dict[str, int]:
    """Files that are given the manifest in a run, and calls with it that climb."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "calls.json"
        command = [sys.executable, "-c", WAY, str(root), folder, str(out)]
        ran = subprocess.run(
            command,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise SystemExit(ran.stderr)
        calls = json.loads(out.read_text())
    place = {
        str(path): name_of(path, root / "dataselect").split(".")[0]
        for path in (root / "dataselect").rglob("*.py")
    }
    climbs = {
        (caller, callee)
        for caller, callee in calls
        if caller in place and level.get(place[callee], 0) > level.get(place[caller], 0)
    }
    return {
        "files given the manifest": len({callee for _, callee in calls}),
        "calls between files with it": len({c for c in map(tuple, calls) if c[0] and c[0] != c[1]}),
        "of these, climbing": len(climbs),
    }


def measured(root: Path) -> dict[str, int]:
    package = root / "dataselect"
    paths = [path for path in package.rglob("*.py") if "_project" not in path.parts]
    sources = {name_of(path, package): path.read_text() for path in paths}
    edges = set(imports(sources))
    packages: dict[str, set[str]] = {}
    modules: dict[str, set[str]] = {}
    for a, b in edges:
        modules.setdefault(a, set()).add(b)
        if a.split(".")[0] != b.split(".")[0]:
            packages.setdefault(a.split(".")[0], set()).add(b.split(".")[0])
    level = levels(packages)
    trees = {name: ast.parse(text) for name, text in sources.items()}
    # What users call has an option for each thing that they may say.
    functions = [
        node
        for name, tree in trees.items()
        if name.split(".")[0] not in ("cli", "api")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]

    def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
        every = [
            each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        ]
        return len([each for each in every if each not in ("self", "cls")])

    def is_not_none(node: ast.AST) -> bool:
        return isinstance(node, ast.Assert) and "is not None" in ast.unparse(node.test)

    return {
        "modules": len(sources),
        "loose modules": sum(
            "." not in name and (package / f"{name}.py").exists() for name in sources if name
        ),
        "levels of packages": max(level.values()),
        "imports between packages": sum(map(len, packages.values())),
        "circles of packages": circles(packages),
        "circles of modules": circles(modules),
        "functions of 8 or more parameters, cli and api aside": sum(
            parameters(each) >= 8 for each in functions
        ),
        "asserts that something is not None": sum(
            is_not_none(n) for t in trees.values() for n in ast.walk(t)
        ),
        "lines of the longest module": max(len(text.splitlines()) for text in sources.values()),
        **way_of_a_candidate(root, level),
    }


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2]).resolve()
    print(json.dumps(measured(where), indent=1))
