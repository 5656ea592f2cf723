"""Checkpoints of a calibration run, paired with those or the accuracies of its target.

Nothing is scored here, and at most names are read from the Hub: too few pairs are an error before
anything is spent.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dataselect.calibration.accuracies import Accuracies, read_accuracies
from dataselect.calibration.conditions import check_alike
from dataselect.calibration.lm_eval import read_lm_eval
from dataselect.calibration.pairing import Matches, match
from dataselect.calibration.spec import CalibrationSpec
from dataselect.calibration.training import check_training_sets
from dataselect.errors import InputError
from dataselect.scoring.series import Member, check_one_tokenizer, resolve
from dataselect.store import content_key
from dataselect.wording import quoted


@dataclass(frozen=True)
class Series:
    """Checkpoints of one training run."""

    name: str
    """The model, a folder or repository."""
    members: Mapping[int, Member]
    """Checkpoints by training tokens."""

    @property
    def tokens(self) -> int:
        """Tokens of the last checkpoint."""
        return max(self.members)

    def at(self, counts: Iterable[int]) -> list[Member]:
        """The checkpoints at these token counts, in order."""
        return [self.members[tokens] for tokens in sorted(set(counts))]


@dataclass(frozen=True)
class Paired:
    """A calibration run with its checkpoints paired, before anything is scored."""

    spec: CalibrationSpec
    """What to calibrate."""
    proxy: Series
    """The proxy's checkpoints."""
    target: Series | Accuracies
    """The target's checkpoints to evaluate, or its known accuracies."""
    matches: Mapping[str, Matches]
    """Pairs by benchmark."""

    @property
    def prefix(self) -> str:
        """The dataset's name before a note, where there are runs of others."""
        return f"{self.spec.dataset}: " if self.spec.is_one_of_several else ""

    @property
    def proxy_tokens(self) -> int:
        """Tokens at the end of the proxy's training, or where it is taken for its end."""
        unequal = self.spec.pair.unequal
        return unequal[-1][0] if unequal else self.proxy.tokens

    @property
    def target_name(self) -> str:
        """The target's name in the record."""
        return self.spec.target.name or self.target.name

    @property
    def target_tokens(self) -> int:
        """Tokens at the end of its training, or at its last checkpoint or accuracy."""
        if self.spec.target.tokens is not None:
            return self.spec.target.tokens
        if self.spec.pair.unequal:
            return self.spec.pair.unequal[-1][1]
        if isinstance(self.target, Series):
            return self.target.tokens
        return max(tokens for known in self.target.values.values() for tokens in known)

    @property
    def proxies(self) -> list[Member]:
        """The proxy's checkpoints that are paired for any benchmark."""
        return self.proxy.at(m.proxy for each in self.matches.values() for m in each.found)

    @property
    def targets(self) -> list[Member]:
        """The target's checkpoints to evaluate; empty where its accuracies are given."""
        if not isinstance(self.target, Series):
            return []
        return self.target.at(m.target for each in self.matches.values() for m in each.found)

    def known_as(self, target: Member) -> str:
        """The name of a checkpoint of the target in the record."""
        return f"{commit_of(target)} fine-tuned" if self.spec.target.sft else commit_of(target)

    def notes(self) -> list[str]:
        """What was paired and which accuracies were used, a line each."""
        by_text: dict[str, list[str]] = {}
        for name, matches in self.matches.items():
            by_text.setdefault(matches.describe(), []).append(name)
        notes = [f"{', '.join(names)}: {text}" for text, names in by_text.items()]
        if self.spec.target.sft:
            notes.append(f"{self.target_name}: accuracy after fine-tuning")
        return [*notes, *(self.target.notes if isinstance(self.target, Accuracies) else ())]


def pair_all(specs: Sequence[CalibrationSpec]) -> tuple[Paired, ...]:
    """Find checkpoints and accuracies of all runs and pair them. Raises InputError, naming keys.

    Reads at most names from the Hub; downloads nothing.
    """
    runs = []
    for spec in specs:
        try:
            runs.append(pair(spec))
        except InputError as error:
            if not spec.is_one_of_several:
                raise
            named = f"run {quoted(spec.dataset or '')}: {error.problem}"
            raise InputError(error.where, named, error.fix) from None
    if len(runs) > 1:
        _check_enough(runs)
        _check_measured_alike(runs)
        cuts = [check_one_tokenizer(run.proxies, run.spec.where("proxy")) for run in runs]
        check_runs_alike(runs, cuts)
    return tuple(runs)


def _check_enough(runs: Sequence[Paired]) -> None:
    spec = runs[0].spec
    for name in runs[0].matches:
        found = sum(len(run.matches[name].found) for run in runs)
        if found < spec.least_pairs:
            raise InputError(
                spec.where("pair"),
                f"{name}: {found} pairs in {len(runs)} runs; {spec.least_pairs} pairs are needed",
                "add runs, or checkpoints or accuracies",
            )


def _check_measured_alike(runs: Sequence[Paired]) -> None:
    """Raise InputError where the runs' targets are given other measures of a benchmark."""
    known = [(run, run.target) for run in runs if isinstance(run.target, Accuracies)]
    for name in runs[0].matches:
        first: tuple[Paired, str] | None = None
        for run, target in known:
            measure = target.measures.get(name)
            if measure is None:
                continue
            if first is not None and measure != first[1]:
                raise InputError(
                    run.spec.where("target"),
                    f"run {quoted(run.spec.dataset or '')}: the target's accuracy on {name} is"
                    f" {measure}, and that of run {quoted(first[0].spec.dataset or '')} {first[1]}",
                    "name task and metric in 'lm_eval.tasks'",
                )
            first = first or (run, measure)
        check_alike(name, [each for _, target in known for each in target.conditions.get(name, ())])


def check_runs_alike(runs: Sequence[Paired], cuts: Sequence[str | None]) -> None:
    """Raise InputError if proxies of the runs split texts differently, naming the runs that differ.

    `cuts`: how each run's proxies do (`corpus.segmentation`), None where that is not known.
    """
    known = [cut for cut in cuts if cut is not None]
    if len(set(known)) < 2:
        return
    usual = Counter(known).most_common(1)[0][0]
    others = [run for run, cut in zip(runs, cuts, strict=True) if cut not in (None, usual)]
    like = next(run for run, cut in zip(runs, cuts, strict=True) if cut == usual)
    names = ", ".join(dict.fromkeys(quoted(run.spec.dataset or run.proxy.name) for run in others))
    raise InputError(
        others[0].spec.where("proxy"),
        f"proxies of {names} have another tokenizer than those of"
        f" {quoted(like.spec.dataset or like.proxy.name)}, and scores per token of different"
        " tokenizers cannot be compared",
        "give runs whose proxies have one tokenizer",
    )


def pair(spec: CalibrationSpec) -> Paired:
    """Find checkpoints and accuracies of one run and pair them, as `pair_all` does."""
    if spec.target.sft:
        check_training_sets(spec)
    proxy = _series(spec, "proxy")
    target = _target(spec)
    names = [benchmark.id for benchmark in spec.benchmarks]
    known = {
        name: list(target.members if isinstance(target, Series) else target.values[name])
        for name in names
    }
    matches = {name: match(list(proxy.members), known[name], spec.pair) for name in names}
    for name, found in matches.items():
        if len(found.found) < spec.least_here:
            needed = f"{spec.least_here} pair{'' if spec.least_here == 1 else 's'}"
            raise InputError(
                spec.where("pair"),
                f"{name}: {found.describe()}; {needed} {'is' if needed == '1 pair' else 'are'}"
                " needed",
                "widen 'pair', or add checkpoints or accuracies",
            )
    paired = Paired(spec, proxy, target, matches)
    check_one_tokenizer(paired.proxies, spec.where("proxy"))
    return paired


def _series(spec: CalibrationSpec, *key: str) -> Series:
    section = spec.proxy if key == ("proxy",) else spec.target.checkpoints
    assert section is not None, "called only for series that the spec has"
    where = spec.where(*key)
    members = resolve(section, spec.base, where)
    unknown = [member.label for member in members if member.tokens is None]
    if unknown:
        raise InputError(
            where,
            f"the name {quoted(unknown[0])} does not tell the training tokens",
            "give 'tokens_per_step', or 'tokens' by name",
        )
    by_tokens: dict[int, Member] = {}
    for member in members:
        # Names round their tokens: of checkpoints with equal counts the last is the nearest.
        by_tokens[member.tokens or 0] = member
    return Series(section.model, by_tokens)


def _target(spec: CalibrationSpec) -> Series | Accuracies:
    target, names = spec.target, [benchmark.id for benchmark in spec.benchmarks]
    if target.csv is not None:
        return read_accuracies(spec.base / target.csv, names)
    if target.lm_eval is not None:
        return read_lm_eval(target.lm_eval, spec.base, spec.where("target", "lm_eval"), names)
    return _series(spec, "target", "checkpoints")


def commit_of(member: Member) -> str:
    """A checkpoint's name with its commit, or with the hash of its files' hashes."""
    commit = member.commit or content_key("model", member.checkpoint.identity)[:16]
    return member.label if member.label == commit else f"{member.label}@{commit}"


def in_short(names: Sequence[str]) -> str:
    """The first of the names, and how many others there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
