"""Nothing is unpickled but what a process of ours has just sent to another: no file, ever.

Reading a pickle runs what it says. Checkpoints, states, traces and tables come from others.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "dataselect"
PICKLING = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
# Over pipes between a parent and its child, and in contract tests for what is sent that way.
PERMITTED = {"compute/processes.py", "compute/worker.py", "testing/proxy_sources.py"}
UNPICKLING = {
    *("read_pickle", "unsafe_load", "full_load", "load_all", "recv_object_list"),
    *("broadcast_object_list", "scatter_object_list", "all_gather_object", "gather_object"),
}
TELLING = re.compile(
    r"pickle|dill|joblib|shelve|marshal|\bload\b|_load\b|load_all|_object|from_pretrained"
)
SOURCES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in sorted(ROOT.rglob("*.py"))
    if "_project" not in path.parts
}
# What holds no such word is not parsed, which would take seconds.
TREES = {name: ast.parse(text) for name, text in SOURCES.items() if TELLING.search(text)}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """Each call of an attribute, with the name before the point and the one after it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node, getattr(node.func.value, "id", ""), node.func.attr


def unpickles(call: ast.Call, of: str, name: str) -> bool:
    if name in UNPICKLING or (of == "torch" and name in {"load", "save"}):
        return True
    if name == "load" and of in {"np", "numpy", "yaml"}:
        return True
    return any(each.arg == "allow_pickle" for each in call.keywords)


def test_only_pipes_between_processes_carry_pickles() -> None:
    assert {name for name, tree in TREES.items() if PICKLING & set(imports(tree))} == PERMITTED


def test_no_call_reads_a_pickle_from_a_file() -> None:
    assert len(SOURCES) > 300
    found = [
        f"{path}:{call.lineno}"
        for path, tree in TREES.items()
        for call, of, name in calls(tree)
        if unpickles(call, of, name)
    ]
    assert found == []


def test_every_pickle_that_is_read_is_bytes_from_a_pipe() -> None:
    # `pickle.load` reads a file; `pickle.loads` has bytes, which come from `recv_bytes`.
    used = {name for path in PERMITTED for _, of, name in calls(TREES[path]) if of == "pickle"}
    assert used == {"dumps", "loads"}


@pytest.mark.parametrize(
    "code",
    [
        *("torch.load(path)", "np.load(path)", "numpy.load(path, allow_pickle=True)"),
        *("pd.read_pickle(path)", "yaml.load(text)", "dist.broadcast_object_list(values)"),
    ],
)
def test_the_search_would_find_it(code: str) -> None:
    assert [unpickles(*found) for found in calls(ast.parse(code))] == [True]


def test_automatic_loading_of_weights_asks_for_safetensors() -> None:
    loads = [
        call
        for tree in TREES.values()
        for call, of, name in calls(tree)
        if of == "AutoModelForCausalLM" and name == "from_pretrained"
    ]
    assert loads
    for call in loads:
        value = {each.arg: each.value for each in call.keywords}.get("use_safetensors")
        assert isinstance(value, ast.Constant)
        assert value.value is True
