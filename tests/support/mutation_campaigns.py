"""Many mutations, each judged: what the tests run a few of, and benchmarks/reliability thousands.

Everything is drawn from the seed and the number of the mutation, so that one can be made again
alone.
"""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import checkpoint_mutations
import manifest_mutations
import table_mutations
from mutation_outcomes import Judged, Tally, judge, read_files, write_files
from mutations import Files, Mutation
from scored_models import ALL, differing, item_scores
from zoo import ARCHITECTURES, TOKENIZERS, write_model

from dataselect.scoring.evaluation import Measurement

Seen = Callable[[str, Mutation, Judged], None]


def _nothing(_: str, __: Mutation, ___: Judged) -> None: ...


def checkpoints(
    folder: Path,
    numbers: Sequence[int],
    seed: int,
    architectures: Sequence[str] = ARCHITECTURES,
    measurements: Sequence[Measurement] = ALL,
    seen: Seen = _nothing,
) -> Tally:
    """Mutations of folders of models, scored as the command scores them."""
    kinds = {name: TOKENIZERS[n % len(TOKENIZERS)] for n, name in enumerate(architectures)}
    plain: dict[str, Files] = {}
    intact: dict[str, Any] = {}
    for name, tokenizer in kinds.items():
        saved = write_model(folder / "plain" / name, name, tokenizer)
        plain[name] = read_files(saved)
        intact[name] = item_scores(saved, measurements=measurements)
    tally = Tally()
    for number in numbers:
        name = architectures[number % len(architectures)]
        draw = random.Random(f"checkpoint-{seed}-{number}")
        others = {other: files for other, files in plain.items() if other != name}
        mutation = checkpoint_mutations.mutate(plain[name], draw, others)
        at = write_files(folder / "mutated", mutation.files)
        before = set(intact[name].attrs["notes"])
        leaf = mutation.where.rsplit(".", 1)[-1]

        def named(found: Any, leaf: str = leaf, before: set[str] = before) -> bool:
            # Only a note that is about what was changed counts.
            return any(leaf in note for note in set(found.attrs["notes"]) - before) or (
                leaf in ("model_type", "architectures")
                and any("scored as" in note for note in found.attrs["notes"])
            )

        judged = judge(
            lambda at=at: item_scores(at, measurements=measurements),  # type: ignore[misc]
            lambda found, name=name: differing(intact[name], found),  # type: ignore[misc]
            checkpoint_mutations.may_change(mutation),
            named,
        )
        subject = f"{name}/{kinds[name]} #{number}"
        tally.add(subject, mutation, judged)
        seen(subject, mutation, judged)
    return tally


def tables(folder: Path, numbers: Sequence[int], seed: int, seen: Seen = _nothing) -> Tally:
    """Mutations of tables, items, traces and results files, read as the commands read them."""
    return _files(
        folder,
        table_mutations.subjects(folder / "made"),
        table_mutations.mutate,
        table_mutations.may_change,
        numbers,
        f"table-{seed}",
        seen,
    )


def manifests(folder: Path, numbers: Sequence[int], seed: int, seen: Seen = _nothing) -> Tally:
    """Mutations of manifests and plans."""
    return _files(
        folder,
        manifest_mutations.subjects(),
        manifest_mutations.mutate,
        manifest_mutations.may_change,
        numbers,
        f"manifest-{seed}",
        seen,
    )


def _files(
    folder: Path,
    subjects: Sequence[table_mutations.Subject],
    mutate: Callable[[Files, random.Random], Mutation],
    may_change: Callable[[Mutation], bool],
    numbers: Sequence[int],
    seed: str,
    seen: Seen,
) -> Tally:
    intact = {
        each.name: each.read(write_files(folder / "plain" / each.name, each.files))
        for each in subjects
    }
    tally = Tally()
    for number in numbers:
        each = subjects[number % len(subjects)]
        mutation = mutate(each.files, random.Random(f"{seed}-{number}"))
        at = write_files(folder / "mutated", mutation.files)
        whole = intact[each.name]
        judged = judge(
            lambda each=each, at=at: each.read(at),  # type: ignore[misc]
            lambda found, whole=whole: table_mutations.changes(whole, found),  # type: ignore[misc]
            may_change(mutation),
            lambda found, whole=whole: set(found.said) != set(whole.said),  # type: ignore[misc]
        )
        subject = f"{each.name} #{number}"
        tally.add(subject, mutation, judged)
        seen(subject, mutation, judged)
    return tally
