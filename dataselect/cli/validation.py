"""`dataselect validate`: all checks that are possible before anything is spent."""

from collections.abc import Iterator

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.corpus.files import describe_left_out
from dataselect.corpus.sampling import peek
from dataselect.decisions.target_agreement import read_target_accuracy
from dataselect.pipeline import check
from dataselect.scoring.gather import planned_benchmark, recorded
from dataselect.stages.proxy_origins import resolve_given
from dataselect.traces.released import RELEASED
from dataselect.transfer.file import read_transfer_file


def validate(manifest: Manifest, plan: Plan) -> Iterator[str]:
    """Check a manifest with its plan and yield a line for each part that is valid.

    Raises InputError for the first problem. Rows of all parts of the data are sampled; all rows,
    and token counts, are checked only by a run.
    """
    check(manifest, plan)
    yield f"{manifest.name}: {len(manifest.candidates)} candidates, plan {plan.name}"
    for chosen in plan.benchmarks:
        remarks: list[str] = []
        benchmark, left_out = planned_benchmark(plan, chosen, remarks.append)
        if chosen.weigh is not None:
            source = f"rationales weighed by {chosen.weigh}"
        elif chosen.trace_files:
            sets = recorded([plan.base / each for each in chosen.trace_files], benchmark)
            source = " and ".join(f"{len(t.traces)} traces of {t.header.model}" for t in sets)
        else:
            source = f"released traces, from {RELEASED}"
        malformed = f", {len(left_out)} malformed items left out" if left_out else ""
        yield f"benchmark {chosen.id}: {len(benchmark.items)} items, {source}{malformed}"
        yield from remarks
    if plan.predict is not None and plan.predict.transfer is not None:
        functions = read_transfer_file(plan.base / plan.predict.transfer)
        yield f"transfer functions: {', '.join(sorted(functions))}"
    if manifest.evidence is not None:
        known = read_target_accuracy(manifest.base / manifest.evidence.target_accuracy)
        yield f"target accuracy: known for {len(known)} candidates"
    for (stage, candidate), series in resolve_given(manifest, plan).items():
        named = ", ".join(member.label for members in series for member in members)
        yield f"{candidate}: checkpoints for {stage.section}: {named}"
    for source_id, text in manifest.text_sources().items():
        remark = peek(text, manifest.base)
        yield f"source {source_id}: readable"
        for each in (describe_left_out(text, manifest.base), remark):
            if each:
                yield f"source {source_id}: {each}"
