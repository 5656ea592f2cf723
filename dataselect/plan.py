"""The plan: how to choose.

A plan names the tokenizer, the benchmarks, and what is trained and measured in Stage 1
(`screen`) and Stage 2 (`predict`). It knows nothing of the candidates, so one plan serves many
manifests; what depends on both (keeping more candidates than there are) is checked where they
meet, and what depends on the files that it names where those are read.
"""

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dataselect.errors import InputError
from dataselect.sections import Document, FieldError, Id, Section, Text, read
from dataselect.units import Count, Number, Whole, parse_count
from dataselect.wording import nearest, quoted

LADDER_SIZES = (
    *("4M", "6M", "8M", "10M", "14M", "16M", "20M", "60M", "90M"),
    *("150M", "300M", "530M", "750M", "1B"),
)
"""Sizes of the DataDecide ladder that a plan may name; `proxies.ladder` has their shapes."""

KNOWN_BENCHMARKS = (
    *("gsm8k", "math500", "arc_challenge"),
    *("mmlu_pro_stem", "commonsense_qa", "humaneval"),
)
"""Benchmarks that need no file; `benchmarks.known` says what they are."""


def _check_ladder_size(size: str) -> str:
    if size not in LADDER_SIZES:
        listed = f"the ladder has {', '.join(LADDER_SIZES)}; another size needs an 'architecture'"
        raise ValueError(
            f"{quoted(size)} is not on the ladder; {nearest(size, LADDER_SIZES)} {listed}"
        )
    return size


def _check_prompt(prompt: str) -> str:
    if "{question}" not in prompt:
        raise ValueError(r"it has no {question}; write it like 'Question: {question}\nAnswer:'")
    return prompt


def _parse_automatic(value: Any) -> int | str:
    if value == "auto":
        return "auto"
    try:
        count = parse_count(value)
    except ValueError:
        count = 0
    if count == 0:
        raise ValueError(f"{quoted(value)} is not a number of them; write 1 or more, or 'auto'")
    return count


Automatic = Annotated[int | Literal["auto"], BeforeValidator(_parse_automatic)]
Positive = Annotated[Number, Field(gt=0)]
Seed = Annotated[Whole, Field(lt=2**32)]
Aggregate = Literal["mean_rank", "z_score"]


class Architecture(Section):
    """The shape of a proxy of one's own, without its vocabulary."""

    hidden_size: Count
    """Width of the model. An even multiple of `heads`."""

    layers: Count
    """Number of blocks."""

    heads: Count
    """Attention heads in a block."""

    intermediate_size: Count | None = None
    """Width inside the feed-forward part. Default: four times `hidden_size`."""

    kv_heads: Count | None = None
    """Key and value heads; a divisor of `heads`. Default: as many as `heads`."""

    tie_embeddings: bool = True
    """Use one matrix for the embedding and the output."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            # Rotary positions turn pairs of dimensions, so each head needs an even number.
            raise FieldError(
                f"{self.hidden_size} cannot be split over {self.heads} heads of an even size",
                f"write a multiple of {2 * self.heads}",
                "hidden_size",
            )
        if self.heads % (self.kv_heads or self.heads):
            raise FieldError(
                f"{self.heads} heads cannot share {self.kv_heads}",
                f"write a divisor of {self.heads}",
                "kv_heads",
            )
        return self

    @property
    def feed_forward_size(self) -> int:
        """`intermediate_size` or its default."""
        return self.intermediate_size or 4 * self.hidden_size

    @property
    def key_value_heads(self) -> int:
        """`kv_heads` or its default."""
        return self.kv_heads or self.heads


class Proxy(Section):
    """A small model that is trained on every candidate, and how."""

    size: Annotated[Text, AfterValidator(_check_ladder_size)] | None = None
    """A size of the DataDecide ladder, such as `4M`. Either this or `architecture`."""

    architecture: Architecture | None = None
    """A shape of one's own."""

    tokens: Count | None = None
    """Training tokens, such as `87.3M`. Either this or `chinchilla_multiple`."""

    chinchilla_multiple: Positive | None = None
    """Training tokens as a multiple of 20 for each parameter."""

    sequence_length: Annotated[Count, Field(ge=2)] | None = None
    """Tokens in a training sequence. Default: the ladder's."""

    batch_size: Count | None = None
    """Sequences in a step. Default: the ladder's, smaller where the token budget is small."""

    learning_rate: Positive | None = None
    """Peak learning rate of the matrices. Default: the ladder's."""

    embedding_learning_rate: Positive | None = None
    """Peak learning rate of the embeddings. Default: that of the matrices."""

    weight_decay: Annotated[Number, Field(ge=0)] = 0.1
    """AdamW's decoupled weight decay, on the matrices."""

    warmup_fraction: Annotated[Number, Field(ge=0, lt=1)] = 0.05
    """Share of the steps over which the learning rate rises; a cosine brings it down after."""

    grad_clip: Positive = 1.0
    """Largest norm of the gradient; a longer one is scaled down."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of the forward and backward passes; `auto` takes bf16 where it helps."""

    checkpoints: Count = 1
    """Checkpoints to keep, evenly spaced; the last one is the end of training."""

    seed: Seed = 0
    """Seed of the initial weights and the order of the data."""

    @model_validator(mode="after")
    def _has_one_shape_and_budget(self) -> Self:
        self._require_one("size", "architecture")
        self._require_one("tokens", "chinchilla_multiple")
        return self


class TokenizerTraining(Section):
    """A byte-level BPE tokenizer trained on the candidates, pooled in equal parts."""

    vocab_size: Annotated[Count, Field(ge=257)] = 4096
    """Entries, the 256 bytes and the end-of-text token included."""

    split_digits: bool = True
    """Make every digit a token of its own, which arithmetic is learnt better with."""

    characters: Count = 5_000_000
    """Characters to train on, in equal parts from all candidates."""


class TokenizerPlan(Section):
    """The tokenizer that all proxies share."""

    path: Text | None = None
    """A folder relative to the plan, or a tokenizer on the Hub. Either this or `train`."""

    revision: Text | None = None
    """Branch, tag or commit of a tokenizer on the Hub."""

    train: TokenizerTraining | None = None
    """Train one on the candidates instead; `{}` takes the defaults."""

    @model_validator(mode="after")
    def _has_one_origin(self) -> Self:
        self._require_one("path", "train")
        if self.revision is not None and self.path is None:
            raise FieldError("only a 'path' has revisions", "remove it", "revision")
        return self


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


class Stage(Section):
    """What Stage 1 and Stage 2 have in common."""

    proxy: Proxy
    """The model that is trained on every candidate of this stage."""

    benchmarks: Annotated[list[str], Field(min_length=1)] | None = None
    """Ids of the benchmarks to score it on. Default: all of the plan's."""

    aggregate: Aggregate = "z_score"
    """How scores on several benchmarks become one: the mean z-score or mean rank of a candidate."""

    accuracy: bool = False
    """Also generate answers and measure their accuracy, for comparison; costs time."""


class Screen(Stage):
    """Stage 1: a tiny proxy for every candidate; the best go on."""

    keep: Count
    """How many candidates go on."""


class Predict(Stage):
    """Stage 2: a larger proxy for every survivor, mapped to the target's accuracy."""

    transfer: Text | None = None
    """JSON file of transfer functions, relative to the plan. Without one the survivors are
    ranked by score, and no accuracy is predicted."""


class ComputePlan(Section):
    """What runs where on this machine."""

    jobs: Automatic = "auto"
    """Processes side by side; `auto` for one on each core that this process may use."""

    threads: Automatic = "auto"
    """Threads of each process."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models run; `auto` takes a GPU where there is one."""

    population: Automatic = "auto"
    """Candidates whose proxies train as one program in one process; `auto` for one on a CPU, and
    for as many as fit into 16 GiB on a GPU, which a single small proxy leaves idle."""


class Plan(Document):
    """How to choose."""

    seed: Seed = 0
    """Seed of the order of the corpora, the tokenizer's sample and the bootstrap."""

    tokenizer: TokenizerPlan
    """The tokenizer that all proxies share."""

    benchmarks: Annotated[list[Benchmark], Field(min_length=1)]
    """What candidates are judged by."""

    screen: Screen
    """Stage 1."""

    predict: Predict | None = None
    """Stage 2. Without it the run ends with the ranking of Stage 1."""

    compute: ComputePlan = ComputePlan()
    """What runs where."""

    max_repeats: Annotated[Number, Field(ge=1)] = 1.0
    """Epochs allowed over a text when there is less of it than the token budget."""

    bootstrap_draws: Count = 2000
    """Resamples of the items behind every interval."""

    confidence: Annotated[Number, Field(gt=0, lt=1)] = 0.9
    """Share of the draws that an interval holds."""

    @model_validator(mode="after")
    def _benchmarks_fit_together(self) -> Self:
        ids = [benchmark.id for benchmark in self.benchmarks]
        for i, name in enumerate(ids):
            if name in ids[:i]:
                raise FieldError(
                    f"{name!r} is the id of benchmarks[{ids.index(name)}] too",
                    "give each an id of its own",
                    *("benchmarks", i, "id"),
                )
        for key, stage in (("screen", self.screen), ("predict", self.predict)):
            chosen = (stage.benchmarks if stage else None) or []
            for i, name in enumerate(chosen):
                place = (key, "benchmarks", i)
                if name not in ids:
                    mend = nearest(name, ids) or f"name some of: {', '.join(ids)}"
                    raise FieldError(f"there is no benchmark {quoted(name)}", mend, *place)
                if name in chosen[:i]:
                    raise FieldError(f"{name!r} is named twice", "remove one", *place)
        return self

    def benchmarks_of(self, stage: Stage) -> list[Benchmark]:
        """The benchmarks of `screen` or `predict`, in the plan's order."""
        chosen = stage.benchmarks
        return [each for each in self.benchmarks if chosen is None or each.id in chosen]


def project_folder() -> Path:
    """The folder with `candidates/` and `stages/` that comes with dataselect.

    Inside the package when it was installed from a wheel, the root of the repository in a
    checkout.
    """
    package = Path(__file__).parent
    packaged = package / "_project"
    return packaged if packaged.is_dir() else package.parent


def load_plan(name_or_path: str, base: Path, where: str = "plan") -> Plan:
    """The plan that a manifest in the folder `base` means by `name_or_path`.

    What ends in .yaml or .yml is a file relative to `base`. Anything else is a name, looked up
    in `stages/` beside the manifest, then in `stages/` beside its folder, then among the plans
    that come with dataselect. Raises InputError; `where` names the place that asks for the plan.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        return read(Plan, base / name_or_path)
    folders = [base / "stages", base / os.pardir / "stages", project_folder() / "stages"]
    found = {file.stem: file for folder in reversed(folders) for file in folder.glob("*.yaml")}
    if name_or_path not in found:
        listed = f"(plans: {', '.join(sorted(found))}; a file ends in .yaml)"
        mend = f"{nearest(name_or_path, found) or 'name one that there is'} {listed}"
        raise InputError(where, f"there is no plan {quoted(name_or_path)}", mend)
    return read(Plan, found[name_or_path])
