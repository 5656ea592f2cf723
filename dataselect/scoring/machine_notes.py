"""Where results that are compared come from different kinds of machines: the note that says so.

Keys hold no machine (`compute.machine`), so a store that several machines share mixes them. These
notes name what differs and who is affected, and say what such a change is worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields

from dataselect.compute.machine import NO_TORCH, UNKNOWN, Machine
from dataselect.wording import one_line

_NAMED = 3
"""Most names in a list of those that a kind computed."""

WORTH = (
    "on a CPU by 1 to 3% (rms / √2) and by up to 12%, where another seed moves it by 8%"
    " (benchmarks/machines)"
)
"""What another kind of machine in training is worth, as measured on the quickstart's proxies."""
SCORING_WORTH = (
    "on a CPU that moves a mean likelihood by about 1e-8 of its value, and that of a model that is"
    " fine-tuned first by more"
)
"""What another kind of machine in scoring is worth."""
ALIKE = (
    "x86 processors are made to compute alike, more slowly, by ATEN_CPU_CAPABILITY=avx2,"
    " MKL_CBWR=COMPATIBLE and ONEDNN_MAX_CPU_ISA=AVX2 in the environment of every run"
)
"""How x86 processors of different kinds are made to compute alike (benchmarks/machines)."""

Kind = tuple[Machine, ...]
"""What computed something: one machine, or several one after the other; empty if not known."""


def by_kind(machines: Mapping[str, Kind]) -> dict[Kind, list[str]]:
    """The names that each kind computed, the most common kind first; names without one left out."""
    kinds: dict[Kind, list[str]] = {}
    for name, kind in machines.items():
        if kind:
            kinds.setdefault(tuple(dict.fromkeys(kind)), []).append(name)
    return dict(sorted(kinds.items(), key=lambda each: -len(each[1])))


def training_note(trained: Mapping[str, Kind]) -> str | None:
    """What differs between the kinds that trained proxies, by name; None where nothing does."""
    differing = _differing(trained)
    if differing is None:
        return None
    return (
        f"the proxies were trained by different kinds of machines ({differing}), which alone moves"
        f" a score: {WORTH}; to compare like with like, train all by one kind, with a new --store"
        f"{_alike(trained)}"
    )


def scoring_note(scored: Mapping[str, Kind]) -> str | None:
    """The same for the kinds that scored models; None where nothing differs.

    That tiny models are scored without torch and others by it is no difference to tell: it is so
    wherever sizes are compared, and moves a token by millionths of a nat.
    """
    groups = (
        {
            name: tuple(m for m in kind if (m.torch == NO_TORCH) is alone)
            for name, kind in scored.items()
        }
        for alone in (False, True)
    )
    differing = "; ".join(filter(None, map(_differing, groups)))
    if not differing:
        return None
    return (
        f"scored by different kinds of machines ({differing}): {SCORING_WORTH}; to score all by one"
        " kind, give a new --store"
    )


def _differing(machines: Mapping[str, Kind]) -> str | None:
    """Each kind by the facts that differ, with the names that it computed."""
    kinds = by_kind(machines)
    if len(kinds) < 2:
        return None
    names = [each.name for each in fields(Machine)]
    told = {kind: {name: _told(kind, name) for name in names} for kind in kinds}
    differ = [n for n in names if len({texts[n] for texts in told.values()} - {UNKNOWN}) > 1]
    parts = []
    for kind, computed in kinds.items():
        texts = told[kind]
        facts = [f"{name} {texts[name]}" for name in differ if texts[name] != UNKNOWN]
        if UNKNOWN in texts.values():
            facts.append("the rest not recorded" if facts else "not recorded by an older version")
        facts = facts or [f"instructions {texts['instructions']}"]
        parts.append(f"{', '.join(facts)}: {_listed(computed)}")
    return one_line("; ".join(parts))


def _told(kind: Kind, field: str) -> str:
    """A fact of a kind, of several machines in their order."""
    return ", then ".join(dict.fromkeys(getattr(each, field) or "none" for each in kind))


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"


def _alike(machines: Mapping[str, Kind]) -> str:
    """How processors of different kinds are made to compute alike, where that helps."""
    kinds = {each for kind in machines.values() for each in kind if each.architecture == "x86_64"}
    cpus = {(each.processor, each.instructions) for each in kinds if each.device == "cpu"}
    return f"; {ALIKE}" if len(cpus) > 1 else ""
