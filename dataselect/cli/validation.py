"""`dataselect validate`: all checks that are possible before anything is spent."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from dataselect.config.manifest import Manifest
from dataselect.config.plan import Plan
from dataselect.config.proxy import Proxy
from dataselect.config.stage import Cut, Screen
from dataselect.corpus.files import describe_left_out
from dataselect.corpus.sampling import peek
from dataselect.pipeline import check, check_trials
from dataselect.scoring.gather import check_released
from dataselect.scoring.remarks import Remarks
from dataselect.stages.engine import job_device, share_gpus
from dataselect.stages.prepare import read_own_agreements, read_truth
from dataselect.stages.proxy_origins import Given, resolve_given, role, stages
from dataselect.stages.rehearsal import rehearse_benchmark, rehearse_training
from dataselect.store import Store
from dataselect.traces.released import RELEASED
from dataselect.transfer.file import read_transfer_file


def validate(manifest: Manifest, plan: Plan, kept: Store) -> Iterator[str]:
    """Check a manifest with its plan and yield a line for each part that is valid.

    `kept` is the store of the run, which may have released traces already; nothing is added to it.
    Raises InputError for the first problem, with the line that a run would end with. Rows of all
    parts of the data are sampled, and local texts of up to a few megabytes are read to their end;
    all rows and token counts of larger ones are checked only by a run.
    """
    device = job_device(plan)
    share_gpus(plan, device)
    check(manifest, plan)
    yield f"{manifest.name}: {len(manifest.candidates)} candidates, plan {plan.name}"
    yield from _stages(plan)
    evaluations = []
    for chosen in plan.benchmarks:
        with Remarks() as remarks:
            evaluation = rehearse_benchmark(plan, chosen, remarks.add)
        evaluations.append(evaluation)
        if chosen.weigh is not None:
            source = f"rationales weighed by {chosen.weigh}"
        elif evaluation.traces:
            sets = evaluation.traces
            source = " and ".join(f"{len(t.traces)} traces of {t.header.model}" for t in sets)
        else:
            check_released(evaluation.benchmark, kept)
            source = f"released traces, from {RELEASED}"
        out = evaluation.left_out
        malformed = f", {len(out)} malformed items left out" if out else ""
        items = len(evaluation.benchmark.items)
        yield f"benchmark {chosen.id}: {items} items, {source}{malformed}"
        yield from remarks.all
    if plan.predict is not None and plan.predict.transfer is not None:
        functions = read_transfer_file(plan.base / plan.predict.transfer)
        yield f"transfer functions: {', '.join(sorted(functions))}"
    for stage, own in read_own_agreements(plan).items():
        names = ", ".join(own.comparisons)
        yield f"{stage.label}: gap between proxy and target by {own.path.name} ({names})"
    known = read_truth(manifest)
    if known is not None:
        yield f"target accuracy: known for {len(known)} candidates"
    given = resolve_given(manifest, plan)
    _check_given(given)
    for (stage, candidate), series in given.items():
        named = ", ".join(member.label for members in series for member in members)
        yield f"{candidate}: checkpoints for {role(plan, stage)}: {named}"
    for source_id, text in manifest.text_sources().items():
        remark = peek(text, manifest.base)
        yield f"source {source_id}: readable"
        for each in (describe_left_out(text, manifest.base), remark):
            if each:
                yield f"source {source_id}: {each}"
    with tempfile.TemporaryDirectory(prefix="dataselect-") as folder:
        store = Store(Path(folder))
        read = rehearse_training(manifest, plan, given, evaluations, device, store, check_trials)
    if read:
        yield f"short texts give enough tokens: {', '.join(read)}"


def _check_given(given: Given) -> None:
    """What a run refuses of the folders that it would score, weights apart."""
    members = (member for all_of in given.values() for series in all_of for member in series)
    folders = {member.place: None for member in members if isinstance(member.place, Path)}
    if folders:
        from dataselect.scoring.loading import check_files  # loads torch and transformers

        for folder in folders:
            check_files(folder)


def _stages(plan: Plan) -> Iterator[str]:
    """The stages of a plan that has more, or other ones, than `screen` and `predict`."""
    if plan.screen0 is not None:
        yield f"Stage 0: counts words and keeps {_kept(plan.screen0)}"
    if plan.rungs is not None:
        for stage, chosen in stages(plan).items():
            does = f"keeps {_kept(chosen)}" if isinstance(chosen, Screen) else "predicts"
            trained = "" if chosen.proxy is None else f"{_size(chosen.proxy)}, "
            yield f"{stage.label}: {trained}seeds {chosen.seeds}, {does}"
    if plan.stop_when is not None:
        yield f"stops when the first is the best with probability {plan.stop_when.p_best:g}"


def _kept(cut: Cut) -> str:
    if cut.min_probability is None:
        return str(cut.keep)
    most = "" if cut.keep_at_most is None else f", at most {cut.keep_at_most}"
    return f"{cut.keep} or more{most}"


def _size(proxy: Proxy) -> str:
    return "a shape of its own" if proxy.size is None else str(proxy.size)
