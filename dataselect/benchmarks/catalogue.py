"""What benchmarks are known by name, with their sizes, for people who choose among them."""

from dataclasses import dataclass

from dataselect.benchmarks.definition import Definition
from dataselect.benchmarks.items import AnswerKind
from dataselect.benchmarks.known import KNOWN
from dataselect.benchmarks.mask_subsets import MASKED
from dataselect.config.benchmark import without_answers

ITEMS = {
    "gsm8k": 1319,
    "math500": 500,
    "arc_challenge": 1172,
    "mmlu_pro_stem": 5876,
    "commonsense_qa": 1221,
    "humaneval": 164,
    "mask-mmlu-pro": 601,
    "mask-math500": 100,
    "mask-gpqa": 100,
    "mask-cqa": 486,
    "mask-bbh": 322,
    "mask-arena-hard": 100,
    "mask-arc": 177,
    "mask-aime25": 9,
    "mask-mmlu": 1248,
    "mask-kmmlu": 220,
}
"""Items of each known benchmark at its revision; of marked subsets the rows by their card."""


@dataclass(frozen=True)
class Entry:
    """A benchmark that is known by name."""

    name: str
    """As commands and plans take it."""
    title: str
    """As reports show it."""
    items: int
    """Number of items."""
    source: str
    """Dataset on the Hub."""
    split: str
    """Its split."""
    answers: AnswerKind | None
    """How answers are compared; None where there are only questions with reasoning."""
    training_set: bool
    """Whether models can be fine-tuned on it before they answer (`--isft`)."""


def catalogue() -> list[Entry]:
    """The benchmarks of the paper, then the authors' marked subsets."""
    return [_entry(definition) for definition in (*KNOWN.values(), *MASKED.values())]


def _entry(definition: Definition) -> Entry:
    hub = definition.items.hub
    assert hub is not None, "every known benchmark is on the Hub"
    return Entry(
        definition.id,
        definition.title,
        ITEMS[definition.id],
        hub.path,
        hub.split,
        None if without_answers(definition.id) else definition.answers,
        definition.training_set,
    )
