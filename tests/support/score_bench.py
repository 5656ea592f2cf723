"""A benchmark of one's own with models made here, for what scores and trains nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import transformers
from small_models import save_model
from typer.testing import CliRunner, Result

from dataselect.cli import app
from dataselect.traces.trace import Trace, TraceHeader, write_traces

# Its logger keeps the stream that it first sees: not one that a command under test leaves closed.
transformers.logging.get_logger()


class Bench:
    """A folder with a benchmark of one's own and small models; the command run in it.

    The last question is long: `short`, a model of few positions, cannot take it.
    """

    yaml = """\
name: sums
items: sums.jsonl
shots: shots.jsonl
shot_count: 2
task: arithmetic
stop: ["That"]
new_tokens: 12
"""
    count = 6

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder, self.models = folder, models
        rows = []
        for n in range(self.count):
            why = f"We add {n} and {2 * n}, which makes {3 * n}"
            row = {"id": f"s{n}", "question": f"What is {n} + {2 * n}?", "answer": str(3 * n)}
            rows.append(row | {"rationale": why})
        rows[-1]["question"] = "Mind the sum. " * 20 + rows[-1]["question"]
        self.write_rows("sums.jsonl", rows)
        shots = [{"id": f"e{n}", "question": f"{n} + 1?", "answer": str(n + 1)} for n in (1, 2)]
        self.write_rows("shots.jsonl", [row | {"rationale": "We count on"} for row in shots])
        (folder / "sums.yaml").write_text(self.yaml)

    def write_rows(self, name: str, rows: list[dict[str, object]]) -> Path:
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def model(self, name: str = "first") -> str:
        return str(self.models / name)

    def traces(
        self,
        name: str = "sums.traces.jsonl.gz",
        *,
        model: str = "oracle",
        opening: str = "First",
        wrong: Sequence[int] = (),
        missing: Sequence[int] = (),
        benchmark: str = "sums",
        prefix: str = "s",
    ) -> Path:
        """A trace file; `opening` and `model` make it differ from another."""
        made = []
        for n in range(self.count):
            text = f"{opening}, {n} and {2 * n} are added. That makes {3 * n}."
            cut = 5 + len(opening)
            runs = ((cut, 0.2 + 0.1 * n), (4, None), (len(text) - cut - 4, 0.9))
            answer = "1000" if n in wrong else str(3 * n)
            made.append(Trace(f"{prefix}{n}", text, runs, answer))
        header = TraceHeader(benchmark, model, "{question}", "a test", created="2026-01-02")
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_traces(path, header, [trace for n, trace in enumerate(made) if n not in missing])
        return path

    def invoke(self, *arguments: object) -> Result:
        return CliRunner().invoke(app, [str(each) for each in arguments])

    def score(self, *arguments: object, models: Sequence[str] = ("first",)) -> Result:
        """`dataselect score` of models by name on the benchmark, on the CPU."""
        folders = [self.model(name) for name in models]
        benchmarks = () if "--benchmarks" in arguments else ("--benchmarks", "sums.yaml")
        return self.invoke("score", *folders, *benchmarks, "--device", "cpu", *arguments)

    def results(self, model: str = "first", out: str = "scores") -> dict[str, Any]:
        """The newest summary of a model."""
        path = max((self.folder / out / model).glob("results_*.json"))
        content: dict[str, Any] = json.loads(path.read_bytes(), parse_constant=no_number)
        return content

    def items(self, model: str = "first", out: str = "scores") -> Any:
        """The newest table of a model, by item."""
        import pandas as pd

        path = max((self.folder / out / model).glob("items_*.parquet"))
        return pd.read_parquet(path).set_index("item")


def no_number(name: str) -> None:
    """JSON has no NaN and no infinity, whatever Python writes and reads."""
    raise AssertionError(f"{name} in a results file")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models `first`, `second` and `short`, which takes 200 tokens."""
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "first", seed=1)
    save_model(folder / "second", seed=2)
    save_model(folder / "short", seed=3, positions=200)
    return folder


@pytest.fixture
def bench(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Bench(tmp_path, model_folder)
