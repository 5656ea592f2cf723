"""The questions of a benchmark for a frontier model, its answers, and the resulting trace file.

Single requests and batches both write answers into the journal and get the remaining questions
from here. An unusable answer gets one more attempt; then its item is left out with the reason
(arXiv 2509.21013, limitations). Shots without a rationale, as in ARC-C and CSQA, are asked like
items: their rationales come from the same model and prompt.

Not here: sending (client) and the order of work (build).
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dataselect._version import __version__
from dataselect.benchmarks.answers import grade_answers
from dataselect.benchmarks.items import BenchmarkItems, Exclusion, Item
from dataselect.benchmarks.shots import shots_without_rationale
from dataselect.errors import IncompleteError, InputError
from dataselect.store.lock import lock
from dataselect.traces.alignment import AlignmentError
from dataselect.traces.answer_tokens import answer_tokens
from dataselect.traces.recording.completion import (
    Form,
    MalformedAnswerError,
    Part,
    messages,
    prompt_template,
    read_completion,
    trace_from_completion,
)
from dataselect.traces.recording.dialect import fix_for, left_out, other_form
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.journal import Journal, written_identity
from dataselect.traces.recording.reply import CUT, Reply
from dataselect.traces.recording.spending import (
    Estimate,
    Prices,
    Usage,
    estimate,
    openai_prices,
    worst_case,
)
from dataselect.traces.trace import (
    Trace,
    TraceHeader,
    TraceSet,
    read_traces,
    refuse_missing_probabilities,
    write_traces,
)

HOPELESS = 20
"""How many questions may be left out before the first trace; then the work stops."""

_ATTEMPTS = 2
_TASK = "reasoning"
# The trace file's header has separate fields for these.
_IN_HEADER = {"benchmark", "prompt"}


@dataclass(frozen=True)
class BuildOptions:
    """How questions are asked, and the cap on the cost."""

    form: Form | None = None
    """The requested form of answers; None means JSON, as in the paper, and plain text where the
    server's JSON mode changes probabilities."""

    max_tokens: int = 2048
    """The longest answer, in tokens."""

    max_usd: float | None = None
    """The cap in US dollars; None means no cap."""

    prices: Prices | None = None
    """The model's prices; None means the known ones on OpenAI's server, else unknown."""

    repair_latex: bool = False
    """Whether single backslashes are read as LaTeX; otherwise such items are left out."""

    part: Part = "answer"
    """Whether a trace is the reasoning in the answer or a reasoning model's thinking before it."""


class Asked:
    """The questions of a benchmark, and the answers in `journal`.

    `questions` are the items and the shots without a rationale, by id; `prices` are those of the
    options or of the model, None when not known. `form` is the form of answers that is asked for.
    With `batched`, requests cost half. Raises InputError as `judge` does.
    """

    def __init__(
        self,
        benchmark: BenchmarkItems,
        endpoint: Endpoint,
        options: BuildOptions,
        journal: Journal,
        *,
        form: Form,
        batched: bool = False,
    ) -> None:
        self.benchmark, self.endpoint, self.options = benchmark, endpoint, options
        self.form: Form = form
        self.journal, self._batched = journal, batched
        self.prices = options.prices
        if self.prices is None and endpoint.is_openai:
            self.prices = openai_prices(endpoint.model)
        self.questions = _questions(benchmark)
        self._traces: dict[str, Trace] = {}
        self._exclusions: dict[str, Exclusion] = {}
        self._repaired = 0
        self._after_thinking = 0
        self.graded = self.correct = 0
        """Answers that `judge` has compared with the right ones, and those that are right."""
        for item in self.questions:
            self._judge(item)
        self._refuse_hopeless()

    @property
    def task(self) -> str:
        """The word for the task in the model's system prompt."""
        return self.benchmark.task or _TASK

    @property
    def settled(self) -> int:
        """How many questions have a trace or are left out."""
        return len(self._traces) + len(self._exclusions)

    @property
    def excluded(self) -> int:
        """How many questions are left out."""
        return len(self._exclusions)

    def left(self) -> list[str]:
        """Ids of the questions that are not settled, in the benchmark's order."""
        return [item for item in self.questions if not self._is_settled(item)]

    def prompt(self, item: str) -> list[dict[str, str]]:
        """The messages of a question."""
        question = self.benchmark.question_text(self.questions[item])
        return messages(question, self.task, self.form)

    @property
    def form_is_open(self) -> bool:
        """Whether the form of answers may still change."""
        chosen = self.options.form is None and self.form == "json"
        return chosen and not self.journal.replies and not self.journal.batches

    def ask_in_plain_text(self) -> None:
        """Ask for plain text from now on; the form must be open."""
        assert self.form_is_open
        self.form = "plain"
        identity = identity_of(self.benchmark, self.endpoint, self.options, self.form)
        self.journal.begin_anew(identity)

    def attempt(self, item: str) -> int:
        """How many replies a question has had."""
        return len(self.journal.replies.get(item, ()))

    def judge(self, item: str) -> bool:
        """Whether the replies in the journal settle a question; call it after each reply.

        Raises InputError when the first `HOPELESS` questions were all left out, because the
        others would cost money for nothing.
        """
        was_settled = self._is_settled(item)
        self._judge(item)
        self._refuse_hopeless()
        if not was_settled and item in self._traces:
            self._grade(self._traces[item])
        return self._is_settled(item)

    def _grade(self, trace: Trace) -> None:
        """Count whether an answer is right, for whoever watches. Programs would have to be run."""
        kind = self.benchmark.answer_kind
        if kind == "code" or not self.benchmark.has_answers or trace.answer is None:
            return
        with suppress(Exception):  # a trace is no worse for an answer that cannot be compared
            (right,) = grade_answers([self.questions[trace.item]], kind, [trace.answer])
            if right is not None:
                self.graded += 1
                self.correct += right

    def estimate(self) -> Estimate:
        """The expected cost of asking each remaining question once."""
        prompts = (self.prompt(item) for item in self.left())
        return estimate(prompts, self.options.max_tokens, self.prices, batched=self._batched)

    def worst(self, item: str) -> Usage:
        """An upper bound on the usage of asking a question once."""
        worst = worst_case(self.prompt(item), self.options.max_tokens)
        return worst.in_batch() if self._batched else worst

    def write(self, out: Path, created: str) -> TraceSet:
        """Write the trace file and read it back; all questions must be settled.

        Raises InputError for traces without probabilities, IncompleteError when it cannot be
        written.
        """
        assert not self.left()
        traces = list(self._traces.values())
        exclusions = [self._exclusions[item] for item in sorted(self._exclusions)]
        refuse_missing_probabilities(self.endpoint.host, traces)
        try:
            write_traces(out, self._header(created), traces, exclusions)
        except OSError as error:
            raise IncompleteError(
                f"{out}: cannot be written ({error.strerror}); "
                "nothing received is lost, make room and run the same command again"
            ) from error
        return read_traces(out)

    def _is_settled(self, item: str) -> bool:
        return item in self._traces or item in self._exclusions

    def _judge(self, item: str) -> None:
        if self._is_settled(item):
            return
        reason = ""
        replies = self.journal.replies.get(item, [])
        for reply in replies:
            found = self._read(item, reply)
            if isinstance(found, Trace):
                self._traces[item] = found
                self._repaired += self._repairs(reply)
                self._after_thinking += answer_tokens(reply.content, reply.tokens).hidden > 0
                return
            reason = found
        if len(replies) >= _ATTEMPTS:
            self._exclusions[item] = Exclusion(item, reason)

    def _refuse_hopeless(self) -> None:
        enough = max(1, min(HOPELESS, len(self.questions)))
        if self._traces or len(self._exclusions) < enough:
            return
        first = next(iter(self._exclusions.values()))
        raise InputError(
            self.endpoint.host,
            f"none of {self.excluded} answers can be used ({first.item}: {first.reason})",
            fix_for(first.reason) or f"add {other_form(self.form)}, or name another model",
        )

    def _header(self, created: str) -> TraceHeader:
        model = self.journal.model or self.endpoint.model
        identity = identity_of(self.benchmark, self.endpoint, self.options, self.form)
        used = self.journal.used
        notes = {
            **{name: value for name, value in identity.items() if name not in _IN_HEADER},
            **_judged_by(self.options),
            "repaired_backslashes": str(self._repaired),
            "prompt_tokens": str(used.prompt_tokens),
            "completion_tokens": str(used.completion_tokens),
        }
        if names := left_out(self.journal.dialect):
            notes["not_sent"] = ", ".join(names)
        if self._after_thinking:
            notes["after_hidden_thinking"] = str(self._after_thinking)
        if self.prices is not None:
            notes["usd"] = f"{self.prices.cost(used):.4f}"
        return TraceHeader(
            self.benchmark.id,
            model,
            prompt_template(self.form),
            f"dataselect {__version__}",
            notes,
            benchmark_revision=self.benchmark.revision,
            fingerprint=", ".join(sorted(self.journal.fingerprints)) or None,
            created=created,
        )

    def _read(self, item: str, reply: Reply) -> Trace | str:
        if reply.problem is not None:
            return _cut_by_context(reply, self.options.max_tokens) or reply.problem
        try:
            return trace_from_completion(
                item,
                reply.content,
                reply.tokens,
                self.form,
                repair_latex=self.options.repair_latex,
                part=self.options.part,
                thinking=reply.thinking,
            )
        except (MalformedAnswerError, AlignmentError) as error:
            return str(error)

    def _repairs(self, reply: Reply) -> int:
        if not self.options.repair_latex:
            return 0
        return read_completion(reply.content, self.form, repair_latex=True).repaired


def _cut_by_context(reply: Reply, max_tokens: int) -> str | None:
    """The reason for an answer that the server's context cut before --max-tokens; else None."""
    written = max_tokens if reply.usage is None else reply.usage.completion_tokens
    if reply.problem != CUT or written >= max_tokens:
        return None
    return (
        f"the answer was cut at {written} tokens, before --max-tokens {max_tokens}: "
        "the server's context is full"
    )


def identity_of(
    benchmark: BenchmarkItems, endpoint: Endpoint, options: BuildOptions, form: Form
) -> dict[str, str]:
    """Everything that an answer depends on; stored answers are reused only if all is equal."""
    return {
        "benchmark": benchmark.id,
        "items": benchmark.content_hash,
        "asked_model": endpoint.model,
        "server": endpoint.host,
        "task": benchmark.task or _TASK,
        "prompt": prompt_template(form),
        "form": form,
        "max_tokens": str(options.max_tokens),
        "seed": str(endpoint.seed),
    }


@contextmanager
def open_asked(
    benchmark: BenchmarkItems,
    endpoint: Endpoint,
    out: Path,
    options: BuildOptions,
    *,
    batched: bool = False,
) -> Iterator[Asked]:
    """Lock the folder `<out>.partial` and open the journal in it.

    Raises LockedError when another process holds the lock, and InputError when the journal's
    answers are to other questions.
    """
    folder = partial_folder(out)
    with lock(folder, "this recording of traces"):
        path = folder / "journal.jsonl"
        form = options.form or _chosen(written_identity(path))
        with Journal(path, identity_of(benchmark, endpoint, options, form)) as journal:
            yield Asked(benchmark, endpoint, options, journal, form=form, batched=batched)


def partial_folder(out: Path) -> Path:
    """The folder of the answers until the trace file `out` is complete."""
    return out.with_name(f"{out.name}.partial")


def remove_partial(out: Path) -> None:
    """Remove the folder of the answers; the trace file `out` must exist."""
    assert out.exists()
    shutil.rmtree(partial_folder(out), ignore_errors=True)


def written_before(
    benchmark: BenchmarkItems, endpoint: Endpoint, out: Path, options: BuildOptions
) -> TraceSet | None:
    """The traces at `out` if they are of the same questions; None when there is no such file.

    Raises InputError for other traces, which have been paid for and are not overwritten.
    """
    if not out.exists():
        return None
    found = read_traces(out)
    header = found.header
    made_for = {**header.notes, "benchmark": header.benchmark, "prompt": header.prompt}
    form = options.form or _chosen(header.notes)
    identity = {**identity_of(benchmark, endpoint, options, form), **_judged_by(options)}
    if any(made_for.get(name) != value for name, value in {"part": None, **identity}.items()):
        raise InputError(
            out,
            "the file already holds other traces",
            "name another file with --out, or remove this one",
        )
    return found


def _chosen(identity: Mapping[str, str]) -> Form:
    """The form that was chosen before, where it is left to us."""
    return "plain" if identity.get("form") == "plain" else "json"


def _judged_by(options: BuildOptions) -> dict[str, str]:
    """What traces depend on besides the answers."""
    part = {} if options.part == "answer" else {"part": options.part}
    return {"repair_latex": str(options.repair_latex).lower(), **part}


def _questions(benchmark: BenchmarkItems) -> dict[str, Item]:
    questions = {item.id: item for item in benchmark.items}
    for shot in shots_without_rationale(benchmark):
        questions.setdefault(shot.id, shot)
    return questions
