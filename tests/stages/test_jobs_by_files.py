"""What the stages send to a cluster arrives there: every kind of job goes by files."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stage_world import experiment, write_world

from dataselect.compute import Event, InlineCompute, Job, Outcome, wire
from dataselect.compute.job_folder import Encoder, JobFolder
from dataselect.stages.proxy_origins import stages
from dataselect.stages.stage import run_stage


class ByFiles(InlineCompute):
    """Runs here what a machine of a cluster would read."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sent = folder, 0

    def run(self, jobs: Sequence[Job], on_event: Callable[[Event], None]) -> list[Outcome]:
        encoder, read = Encoder(self.folder / "values"), []
        for job in jobs:
            folder = JobFolder(self.folder / f"job-{self.sent}")
            assert job.resources is not None
            digest = folder.write(job, encoder.encode(job), job.resources, [])
            read.append(folder.call(digest).job)
            self.sent += 1
        outcomes = super().run(read, on_event)
        return [wire.decode(wire.encode(each), imports=False) for each in outcomes]


def test_a_stage_whose_jobs_go_by_files_has_the_scores_of_one_here(tmp_path: Path) -> None:
    write_world(tmp_path, tokens=2000)
    tables = []
    for name, compute in (("here", InlineCompute()), ("files", ByFiles(tmp_path / "jobs"))):
        made = experiment(tmp_path, compute, tmp_path / name)
        ((stage, chosen),) = stages(made.plan).items()
        scores = run_stage(made, stage, chosen, ["worked", "prose"])
        assert set(scores.status.values()) == {"scored"}
        tables.append(scores.tables)
    assert isinstance(compute, ByFiles)
    assert compute.sent == 2
    assert len(list((tmp_path / "jobs" / "values").glob("*"))) == 1, "both jobs have these items"
    for benchmark, by_metric in tables[0].items():
        for metric, table in by_metric.items():
            assert table.equals(tables[1][benchmark][metric])
