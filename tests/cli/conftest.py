"""A project small enough to be run in seconds: three candidates of JSONL, one benchmark.

And `score_bench`, for the commands that train nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from score_bench import bench, model_folder
from typer.testing import CliRunner

from dataselect.cli import app
from dataselect.synthetic.world import benchmark_problems, documents
from dataselect.traces.trace import Trace, TraceHeader, write_traces

__all__ = ["bench", "model_folder"]  # fixtures

MANIFEST = """\
target: {size: 1M, tokens: 20M}
plan: plan.yaml
candidates:
  - id: solved
    path: json
    data_files: data/solved.jsonl
    text_column: body
  - id: prose
    path: data/prose.jsonl
  - id: blend
    title: "half [and] half"
    mixture: {solved: 0.5, prose: 0.5}
"""
PLAN = """\
tokenizer: {train: {vocab_size: 300, characters: 40k}}
benchmarks:
  - {id: stories, items: items.jsonl, traces: traces.jsonl.gz}
screen:
  keep: 2
  proxy:
    architecture: {hidden_size: 16, layers: 1, heads: 2}
    tokens: TOKENS
    sequence_length: 32
    batch_size: 4
    learning_rate: 1e-2
predict:
  proxy:
    architecture: {hidden_size: 32, layers: 1, heads: 2}
    tokens: 8k
    sequence_length: 32
    batch_size: 4
    learning_rate: 1e-2
compute: {jobs: 2, threads: 1, device: cpu}
"""


class Project:
    """A folder with a manifest, and the command run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest, self.plan = folder / "candidates.yaml", folder / "plan.yaml"

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "80"}
        return subprocess.Popen(
            [sys.executable, "-m", "dataselect", *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_apart(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command as a user runs it, in a process with processes for its jobs."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """The command in this process, which has imported what others take seconds to."""
        words = ["dataselect", *arguments]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setattr(sys, "argv", words)
            result = CliRunner(env={"COLUMNS": "80"}).invoke(app, words[1:], prog_name=words[0])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(words, result.exit_code, result.stdout, result.stderr)

    def report(self, name: str = "reports/candidates") -> dict[str, object]:
        content: dict[str, object] = json.loads((self.folder / name / "report.json").read_bytes())
        return content


@pytest.fixture
def make_project(tmp_path: Path, inline_jobs: None) -> Callable[..., Project]:
    def make(tokens: str = "8k") -> Project:
        (tmp_path / "data").mkdir()
        for name, genre, column in (("solved", "worked", "body"), ("prose", "narrative", "text")):
            rows = [json.dumps({column: text}) for text in islice(documents(genre, 5), 400)]
            (tmp_path / "data" / f"{name}.jsonl").write_text("\n".join(rows) + "\n")
        items, traces = [], []
        for number, problem in enumerate(benchmark_problems(9, (2,), 8)):
            item = {"id": f"i{number}", "question": problem.prompt, "answer": str(problem.answer)}
            items.append(json.dumps(item))
            text = problem.reasoning()
            traces.append(Trace(f"i{number}", text, ((5, 0.4), (len(text) - 5, 0.9))))
        (tmp_path / "items.jsonl").write_text("\n".join(items) + "\n")
        header = TraceHeader("stories", "made up", "Question: {question}\nAnswer:", "a test")
        write_traces(tmp_path / "traces.jsonl.gz", header, traces)
        project = Project(tmp_path)
        project.manifest.write_text(MANIFEST)
        project.plan.write_text(PLAN.replace("TOKENS", tokens))
        return project

    return make


@pytest.fixture
def project(make_project: Callable[..., Project]) -> Iterator[Project]:
    return make_project()
