"""A user's benchmark in a short YAML file, and the lookup of any benchmark by name.

The file must give the id and where the questions are; everything else has a default.
`docs/benchmarks.md` has an example.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from dataselect.benchmarks.columns import Columns
from dataselect.benchmarks.definition import Definition, FileRows, HubRows, RowSource
from dataselect.benchmarks.items import AnswerKind
from dataselect.benchmarks.known import ALIASES, KNOWN
from dataselect.benchmarks.mask_subsets import MASKED
from dataselect.config.schema import Document, FieldError, Section, Text, read
from dataselect.errors import InputError
from dataselect.units import Count
from dataselect.wording import nearest, quoted


def _check_prompt(prompt: str) -> str:
    if "{question}" not in prompt:
        raise ValueError(r"it has no {question}; write it like 'Question: {question}\nAnswer:'")
    return prompt


class HubSplit(Section):
    """A split of a Hub dataset, in the terms of `datasets.load_dataset`."""

    path: Text
    """A dataset on the Hub such as `allenai/openbookqa`, or a local folder with one."""

    split: Text
    """The split to read."""

    name: Text | None = None
    """The configuration (subset) of the dataset."""

    revision: Text | None = None
    """Branch, tag or commit. Pin a commit to make a run repeatable."""


class ColumnNames(Section):
    """The names of the columns. Columns that are named here must exist."""

    question: Text | None = None
    """The question. Default: `question`."""

    answer: Text | None = None
    """The right answer. Where there are choices: the letter, the position from 0, or the text
    of the right one. Default: `answer`."""

    choices: Text | None = None
    """A list of texts, or `text` and `label` lists as in ARC. Default: `choices`, if there."""

    answer_index: Text | None = None
    """The position of the right choice, from 0; `answer` is then not needed. Default:
    `answer_index`, if there."""

    rationale: Text | None = None
    """The worked solution. Default: `rationale`, if there."""

    id: Text | None = None
    """An id, unique in the benchmark. Default: `id`, if there, else the benchmark's id and the
    position of the row."""

    category: Text | None = None
    """The subject; items then get worked examples of their own subject. Default: `category`,
    if there."""


class OwnBenchmark(Document):
    """A user's benchmark. `name` is its id."""

    items: Text | HubSplit
    """The questions: a JSONL file relative to this file (also `.gz`), or a split on the Hub."""

    columns: ColumnNames = ColumnNames()
    """The column names of items and shots."""

    shots: Text | HubSplit | None = None
    """Worked examples, from a file or split with the same columns; `items` takes the first items,
    and an item is never its own example. Default: none."""

    training_set: bool = False
    """The shots are a whole training set, on which models may be fine-tuned
    (`dataselect score --isft`)."""

    shot_count: Count = 5
    """How many worked examples an item gets."""

    title: Text | None = None
    """Free name for the report. Default: the id."""

    task: Text | None = None
    """Kind of problem, in the frontier model's prompt: "… solves [task] problems"."""

    prompt: Annotated[str, AfterValidator(_check_prompt)] = "Question: {question}\nAnswer:"
    """The prompt of one item; {question} stands for the question and its choices."""

    label: Literal["solution", "answer"] = "solution"
    """The benchmark's gold text: the worked solution or the answer alone."""

    answers: AnswerKind | None = None
    """How final answers are compared. Default: inferred from the items."""

    stop: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    """Where a generated answer ends. Default: at the next question."""

    new_tokens: Count = 512
    """The longest generated answer, in tokens."""

    @model_validator(mode="after")
    def _has_rows_to_train_on(self) -> Self:
        if self.training_set and self.shots in (None, "items"):
            raise FieldError(
                "it needs its own rows", "name a file or split in 'shots:'", "training_set"
            )
        return self

    @model_validator(mode="after")
    def _does_not_hide_a_known_one(self) -> Self:
        if self.name in KNOWN or self.name in MASKED:
            raise FieldError(
                f"{quoted(self.name)} is a benchmark of the paper already",
                "give yours another 'name:'",
                "name",
            )
        return self

    def definition(self) -> Definition:
        """The definition that `load_benchmark` takes."""
        named = self.columns.model_dump(exclude_none=True)
        columns = Columns(self.name, **named)
        # A position replaces the answer, and needs choices.
        answer = columns.answer_index if self.columns.answer_index else columns.answer
        required = tuple(dict.fromkeys([columns.question, answer, *named.values()]))

        def rows(source: str | HubSplit, prefix: str) -> RowSource:
            record = Columns(prefix, **named).record
            if isinstance(source, str):
                return RowSource(FileRows(str(self.base / source), required, record))
            return RowSource(hub=HubRows(columns=required, record=record, **source.model_dump()))

        shots: RowSource | Literal["items"] | None = None
        if self.shots is not None:
            shots = "items" if self.shots == "items" else rows(self.shots, f"{self.name}_shot")
        fields = ("task", "prompt", "label", "answers", "new_tokens", "shot_count", "training_set")
        given = {field: getattr(self, field) for field in fields}
        if self.stop is not None:
            given["stop"] = tuple(self.stop)
        return Definition(
            id=self.name,
            title=self.title or self.name,
            items=rows(self.items, self.name),
            shots=shots,
            **given,
        )


def load_definition(name_or_path: str, base: Path, where: str = "benchmark") -> Definition:
    """The definition of one of the six benchmarks or of a marked subset, or of a YAML file.

    A name that ends in .yaml or .yml is a file relative to `base`. Raises InputError for an
    unknown name and a bad file; `where` is the place of the name in the message.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return read(OwnBenchmark, base / name_or_path).definition()
    known = {**KNOWN, **MASKED}
    if name_or_path in known:
        return known[name_or_path]
    if name_or_path.endswith((".jsonl", ".jsonl.gz", ".csv", ".parquet")):
        raise InputError(
            where,
            f"{quoted(name_or_path)} is a file of items, not the description of a benchmark",
            "write a YAML file with 'name:' and 'items:' that names it (docs/benchmarks.md)",
        )
    plain = name_or_path.strip().lower().replace("-", "_")
    meant = ALIASES.get(plain, plain)
    suggested = f"did you mean '{meant}'?" if meant in KNOWN else nearest(name_or_path, known)
    listed = (
        f"(benchmarks: {', '.join(KNOWN)}; marked reasoning: {', '.join(MASKED)}; a file of your"
        " own ends in .yaml)"
    )
    raise InputError(
        where,
        f"there is no benchmark {quoted(name_or_path)}",
        f"{suggested or 'use one of these'} {listed}",
    )
