"""What a plan says of a benchmark: its questions, and where the reasoning about them comes from."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from dataselect.config.schema import FieldError, Id, Section, Text
from dataselect.units import Count, Whole
from dataselect.wording import nearest

KNOWN_BENCHMARKS = (
    *("gsm8k", "math500", "arc_challenge"),
    *("mmlu_pro_stem", "commonsense_qa", "humaneval"),
)
"""Benchmarks that need no file; `benchmarks.known` says what they are."""


def _check_prompt(prompt: str) -> str:
    if "{question}" not in prompt:
        raise ValueError(r"it has no {question}; write it like 'Question: {question}\nAnswer:'")
    return prompt


class Benchmark(Section):
    """Questions with worked answers, and where the frontier model's reasoning comes from."""

    id: Id
    """Short name, unique in the plan. The known benchmarks need no more than theirs: gsm8k,
    math500, arc_challenge, mmlu_pro_stem, commonsense_qa, humaneval."""

    items: Text | None = None
    """JSONL file of the questions, or YAML definition of a benchmark of your own, relative to the
    plan. Not for the known benchmarks."""

    folder: Text | None = None
    """Folder that holds a known benchmark as JSONL files, relative to the plan. Default: the
    Hub."""

    shots: Text | None = None
    """JSONL file of worked examples that open the prompt, relative to the plan; only with a JSONL
    file of questions, other benchmarks have their own."""

    shot_count: Whole | None = None
    """How many worked examples to use. Default: the benchmark's own number, 0 for a JSONL file."""

    traces: Text | list[Text] | None = None
    """File of recorded reasoning traces (JSONL, also .gz), relative to the plan; of several files
    (several frontier models) the scores are averaged. Default for a known benchmark: the traces
    that the authors of the paper released."""

    weigh: Text | None = None
    """Instead of traces: a causal language model, in a folder relative to the plan or on the Hub,
    that reads the items' own rationales and gives the probability of each letter."""

    only_correct: bool = False
    """Leave out items whose trace ends in a wrong answer, which the paper keeps."""

    weights: Literal["trace", "benchmark", "none"] = "trace"
    """What the weights of a trace are scaled over; the paper's is `trace`, the others measure
    what that step does."""

    label: Literal["solution", "answer"] | None = None
    """What counts as the benchmark's own gold text: the worked solution or the answer alone.
    Default: the benchmark's own, `solution` for a JSONL file."""

    limit: Count | None = None
    """Use only the first so many items."""

    task: Text | None = None
    """Kind of problem, in the words of the frontier model's prompt: "… solves [task] problems"."""

    prompt: Annotated[str, AfterValidator(_check_prompt)] | None = None
    """What a model sees of an item; {question} stands for the question. Default: the benchmark's
    own, `Question: {question}\\nAnswer:` for a JSONL file."""

    @property
    def is_defined(self) -> bool:
        """Whether a definition says what it is, and not this section alone."""
        return self.items is None or self.items.endswith((".yaml", ".yml"))

    @property
    def trace_files(self) -> list[str]:
        """The files that are named in `traces`."""
        named = self.traces or []
        return [named] if isinstance(named, str) else named

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.items is None and self.id not in KNOWN_BENCHMARKS:
            meant = nearest(self.id, KNOWN_BENCHMARKS)
            raise FieldError(
                f"{self.id!r} is none of the known benchmarks ({', '.join(KNOWN_BENCHMARKS)})",
                f"{meant + ' Or name' if meant else 'name'} its file in 'items:'",
                "id",
            )
        if self.items is not None and self.folder is not None:
            self._require_one("items", "folder")
        if self.trace_files and self.weigh is not None:
            self._require_one("traces", "weigh")
        if not self.trace_files and self.weigh is None and self.items is not None:
            raise ValueError(
                f"benchmark {self.id!r} has no traces; name a trace file in 'traces:', or in"
                " 'weigh:' a model that reads the items' own rationales"
            )
        if self.is_defined:
            if self.shots is not None:
                raise FieldError("this benchmark brings its own", "remove it", "shots")
        elif self.shot_count and self.shots is None:
            raise FieldError("no file of shots is named", "add 'shots:'", "shot_count")
        elif self.shots is not None and not self.shot_count:
            raise FieldError("none of these is used", "add 'shot_count: 5' or so", "shots")
        return self
