"""The `benchmarks` section of a plan: questions, and the source of the reasoning traces."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from dataselect.config.schema import FieldError, Id, Section, Text
from dataselect.units import Count, Whole
from dataselect.wording import nearest

KNOWN_BENCHMARKS = (
    *("gsm8k", "math500", "arc_challenge"),
    *("mmlu_pro_stem", "commonsense_qa", "humaneval"),
)
"""Benchmarks that need no file; `benchmarks.known` defines them."""

MASK_PREFIX = "mask-"
MASK_SUBSETS = (
    *("mmlu-pro", "math500", "gpqa", "cqa", "bbh"),
    *("arena-hard", "arc", "aime25", "mmlu", "kmmlu"),
)
"""The authors' names of the subsets of `trillionlabs/rbridge-mask`. With `MASK_PREFIX` in front
they are benchmarks that need no file; `benchmarks.mask_subsets` defines them."""


def without_answers(benchmark: str) -> bool:
    """Whether a benchmark of this id has questions with reasoning, and no answers."""
    return benchmark.removeprefix(MASK_PREFIX) in MASK_SUBSETS and benchmark not in MASK_SUBSETS


def _check_prompt(prompt: str) -> str:
    if "{question}" not in prompt:
        raise ValueError(r"it has no {question}; write it like 'Question: {question}\nAnswer:'")
    return prompt


class Benchmark(Section):
    """Questions with worked answers, and where the frontier model's reasoning comes from."""

    id: Id
    """Short name, unique in the plan. For a known benchmark the id is enough: gsm8k, math500,
    arc_challenge, mmlu_pro_stem, commonsense_qa, humaneval; or mask-NAME, a subset of the authors'
    marked reasoning (docs/benchmarks.md)."""

    items: Text | None = None
    """JSONL file of the questions, or YAML definition of your own benchmark, relative to the plan.
    Not for the known benchmarks."""

    folder: Text | None = None
    """Folder that holds a known benchmark as JSONL files, relative to the plan. Default: the
    Hub."""

    shots: Text | None = None
    """JSONL file of worked examples that open the prompt, relative to the plan. Only with a JSONL
    file of questions; other benchmarks have their own examples."""

    shot_count: Whole | None = None
    """How many worked examples to use. Default: the benchmark's own number, 0 for a JSONL file."""

    traces: Text | list[Text] | None = None
    """File of recorded reasoning traces (JSONL, also .gz), relative to the plan. With several files
    (several frontier models) the scores are averaged. Default for a known benchmark: the traces
    that the authors of the paper released."""

    weigh: Text | None = None
    """Instead of traces: a causal language model, in a folder relative to the plan or on the Hub,
    that reads the benchmark's rationales and gives the probability of each letter."""

    only_correct: bool = False
    """Leave out items whose trace ends in a wrong answer. The paper keeps them."""

    weights: Literal["trace", "benchmark", "none", "span"] = "trace"
    """What token weights are scaled over: each trace (the paper), the whole benchmark, or nothing.
    The last two measure the effect of the scaling. Or `span`: the traces' `<span>` marks are the
    weights, not the frontier model's probabilities."""

    label: Literal["solution", "answer"] | None = None
    """Gold text for the baselines: the worked solution or the answer alone. Default: the
    benchmark's own, `solution` for a JSONL file."""

    limit: Count | None = None
    """Use only this many items, the first ones. Default: all."""

    task: Text | None = None
    """Kind of problem, as named in the frontier model's prompt: "… solves [task] problems"."""

    prompt: Annotated[str, AfterValidator(_check_prompt)] | None = None
    """Prompt for an item; {question} stands for the question. Default: the benchmark's own,
    `Question: {question}\\nAnswer:` for a JSONL file."""

    @property
    def is_defined(self) -> bool:
        """Whether a definition (built in, or a YAML file) describes it, not this section alone."""
        return self.items is None or self.items.endswith((".yaml", ".yml"))

    @property
    def trace_files(self) -> list[str]:
        """The files named in `traces`, as a list."""
        files = self.traces or []
        return [files] if isinstance(files, str) else files

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.items is None and self.id not in KNOWN_BENCHMARKS and not without_answers(self.id):
            suggestion = nearest(self.id, KNOWN_BENCHMARKS)
            raise FieldError(
                f"{self.id!r} is none of the known benchmarks ({', '.join(KNOWN_BENCHMARKS)})",
                f"{suggestion + ' Or name' if suggestion else 'name'} its file in 'items:'",
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
                raise FieldError("this benchmark has its own shots", "remove it", "shots")
        elif self.shot_count and self.shots is None:
            raise FieldError("no file of shots is named", "add 'shots:'", "shot_count")
        elif self.shots is not None and not self.shot_count:
            raise FieldError("none of these is used", "add 'shot_count: 5' or so", "shots")
        return self
