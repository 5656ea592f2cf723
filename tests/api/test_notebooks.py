"""The notebooks run from the first cell to the last, and their results are shown as HTML."""

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "docs" / "notebooks"
VERDICTS = {
    "quickstart.ipynb": ("comes first",),
    "tables.ipynb": (
        "orders 15 pairs of candidates as arc does with decision accuracy",
        "The mean absolute error on held-out folds is",
        "comes first with predicted accuracy",
        "Held-out runs are predicted with an error of",
        "predicted gain over the prior",
    ),
}
"""What each notebook has to show, in the order of its cells."""
SMALLER = {
    "tokens: 0.5M": "tokens: 10k",
    "tokens: 3M ": "tokens: 12k ",
    "checkpoints: 12": "checkpoints: 1",
    "accuracy: true": "accuracy: false",
    "characters: 3M": "characters: 60k",
    "    prompt: ": "    limit: 12\n    prompt: ",
    ": quickstart/": f": {ROOT}/stages/quickstart/",
}
"""What makes the quickstart's plan one of seconds: the same two stages, with less of everything."""


@pytest.mark.parametrize("name", [path.name for path in sorted(NOTEBOOKS.glob("*.ipynb"))])
def test_notebook_runs_and_shows_its_verdicts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    notebook: Any = nbformat.read(NOTEBOOKS / name, as_version=4)
    nbformat.validate(notebook)
    small = (ROOT / "stages" / "quickstart.yaml").read_text()
    for find, put in SMALLER.items():
        assert find in small
        small = small.replace(find, put)
    # Each process of jobs imports torch.
    (tmp_path / "small.yaml").write_text(f"{small}compute: {{jobs: 1}}\n")
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", ()):
            cell.source += '\nplan = "small.yaml"'
    assert all(not cell.get("outputs") for cell in notebook.cells), "clear the outputs"

    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [each for each in outputs if each.output_type == "error"]
    pages = [each.data["text/html"] for each in outputs if "text/html" in each.get("data", {})]
    shown = [page for page in pages if "<b>" in page]
    assert len(shown) == len(VERDICTS[name])
    for page, verdict in zip(shown, VERDICTS[name], strict=True):
        assert verdict in page
