"""What the columns of a user's table are, by their names: metrics with a direction, or bookkeeping.

Tables come from spreadsheets and trackers, where the seed, the step and the seconds stand beside
the metrics. Nothing but the name tells them apart, so all commands that read tables ask this
module: which columns are no metric, and whether lower or higher values of a metric are better.

A name is bookkeeping only if each of its words is: `wall_time_s` is, the benchmarks `time_ms_qa`
and `date_understanding` are not. A name with a metric's word is a metric, whatever else it has
(`loss_at_last_step`). A name that says nothing is a metric of unknown direction.

Not covered: what the values say about a direction (`mixture.direction`).
"""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from dataselect.errors import InputError
from dataselect.formats.in_memory import Table
from dataselect.wording import quoted

Better = Literal["lower", "higher"]


def _set_of(*lines: str) -> frozenset[str]:
    return frozenset(" ".join(lines).split())


_LOWER = _set_of(
    "loss losses nll bpb bpc bpt ppl perplexity perplexities ce xent crossentropy entropy error",
    "errors err rbridge ted wer cer ter mse rmse mae brier ece surprisal regret divergence kl",
    "distance nats drop degradation",
)
_HIGHER = _set_of(
    "acc accuracy accuracies em f1 pass rouge bleu chrf comet mcc auc auroc auprc recall precision",
    "prob probs probability loglikelihood logprob logprobs loglik likelihood correct match reward",
    "elo r2 spearman pearson correlation mpca cloze improvement gain reduction winrate",
)
_LAST_RESORT = _set_of("score scores")
"""Better when higher, unless another word says otherwise: a loss may be called a score."""
_ALWAYS_HIGHER = _set_of("improvement gain reduction")
_FLIPS = _set_of("neg negative negated minus inv inverse neglog neglogprob incorrect wrong")
_OF_MARKS = re.compile(r"mask(_(numbers|operators|content))?")
"""Losses of marked parts of a trace, as `dataselect score --masks` names them."""
_PER_UNIT = re.compile(r"(bits?|nats?)per(byte|char|character|token|word|letter)s?")

_BOOKKEEPING = _set_of(
    # Which row it is.
    "id ids uid uuid guid index idx key row rank order trial replicate rep repeat fold line seed",
    "seeds rng unnamed",
    # How far training was, and how long it took.
    "step steps iteration iterations iter iters epoch epochs batch batches batchsize update",
    "updates time timestamp datetime date day days month year second seconds sec secs minute",
    "minutes mins hour hours hrs ms duration runtime walltime wallclock elapsed eta created",
    "started finished tokens token ntokens params parameters param nparams size sizes flop flops",
    "flos tflops gflops mfu throughput tps lr learning decay warmup momentum dropout optimizer",
    "scheduler grad gradient gnorm temperature vocab layer layers head heads embd depth",
    "width length len clock progress frac mult",
    # On what it ran, and what it cost.
    "gpu gpus cpu cpus device devices memory mem vram node nodes host hostname worker workers cost",
    "pid port watts power utilization util",
    "price usd dollars eur kwh energy co2",
    # How much was measured.
    "samples examples instances items shots shot fewshot nshot limit",
    # What people write down in words.
    "name label tag tags group recipe candidate note notes comment comments description status",
    "state author owner path file filename folder dir url config commit revision sha hash version",
    "checkpoint ckpt job experiment project dtype precision tier extrapolated",
)
_QUALIFIERS = _set_of(
    "train training trained trainer eval evaluation test val valid validation total num number n",
    "nr no count global local max maximum min minimum current cur last final best first mean avg",
    "per wall clock run runs model proxy target data dataset init random torch numpy shuffle task",
    "rate weight norm batch context seq sequence ctx world peak gb mb gib exp expt tok",
    "start end begin at in of the so far seen used processed s h hr m b k t g x wandb slurm git",
    "effective original few level column col",
)
_COUNTED = _set_of("documents docs")
"""Bookkeeping with a qualifier (`num_docs`): alone, text that a loss may be measured on."""
_ONLY_ALONE = _set_of(
    "n no nr count # it its it/s tok/s tok_s toks_s d_model d_ff dmodel dim hidden_dim"
)
_LOSS_SCALE = re.compile(r"(?:.*[^a-z])?loss[_ ./-]?scale", re.IGNORECASE)
"""The factor of mixed-precision training, which is no loss."""
_PREFIXED = re.compile(r"(?:train|val|valid|eval|test|dev|lm|log)(loss|acc|accuracy|ppl|bpb|nll)")
_CONDITIONS = {
    "nshot": "n-shot",
    "numfewshot": "n-shot",
    "numshots": "n-shot",
    "nfewshot": "n-shot",
    "fewshot": "n-shot",
    "shots": "n-shot",
    "limit": "limit",
    "taskversion": "task version",
    "filter": "filter",
    "chattemplate": "chat template",
    "applychattemplate": "chat template",
    "systemprompt": "system prompt",
    "systeminstruction": "system prompt",
    "fewshotasmultiturn": "worked examples as turns",
    "genkwargs": "gen_kwargs",
    "metricname": "metric",
    "split": "split",
    "size": "size",
    "proxysize": "proxy's size",
    "targetsize": "target's size",
    "metricversion": "metric version",
}
"""What a number was measured with, by the column's name in lower case without separators."""
_BY_COUNTING = re.compile(
    r"(?:(?P<benchmark>.+)/)?ngram(?P<order>[1-9]\d*)_(?P<score>trace_nll|rbridge)"
)
_OTHER_END = {"low": "high", "lo": "hi", "lower": "upper"}
_OTHER_END |= {high: low for low, high in _OTHER_END.items()}
_ALONE_ENDS = ("stderr", "stddev", "std", "sem", "extrapolated")
_END = re.compile(
    rf"(.+?)([_./ -](?:ci[_./ -]?)?)({'|'.join((*_OTHER_END, *_ALONE_ENDS))})", re.IGNORECASE
)
_ROWS_TO_COUNT = 8
_STDERR = re.compile(r"(.+)_stderr(,.+)?", re.I)
_ERROR_ALONE = re.compile(r"(.*[_./ -])?(stderr|stddev|std|sem)(,.+)?", re.I)
"""How sure a metric is that may stand in another table."""


@dataclass(frozen=True)
class CountingColumn:
    """What the name of a score by counting words says (`gsm8k/ngram1_trace_nll`)."""

    benchmark: str | None
    """None where the name does not say it."""
    order: int
    """Tokens in a row that are counted; 1 is single words."""
    weighted: bool
    """Whether tokens are weighted as rBridge weights them."""


def counting_column(name: str) -> CountingColumn | None:
    """The parts of the name of a score by counting, of which lower is better; None for others."""
    found = _BY_COUNTING.fullmatch(name)
    if found is None:
        return None
    return CountingColumn(found["benchmark"], int(found["order"]), found["score"] == "rbridge")


def better_when(name: str) -> Better | None:
    """Whether lower or higher values of the metric `name` are better; None: its name does not say.

    `neg_log_likelihood` and `accuracy_drop` are better when lower, `negative_loss` when higher.
    """
    if _LOSS_SCALE.fullmatch(name) or _ERROR_ALONE.fullmatch(name):
        return None
    if _OF_MARKS.fullmatch(name.partition(",")[0]):
        return "lower"
    words = _words(name)
    lower, higher = words & _LOWER, words & _HIGHER
    if _PER_UNIT.search("".join(re.findall(r"[a-z]+", name.casefold()))):
        lower |= {"bits"}
    if words & _ALWAYS_HIGHER:
        return "higher"
    if not lower and not higher and not words & _LAST_RESORT:
        return None
    # An accuracy's loss or error is a loss: the words for losses are the more specific ones.
    found: Better = "lower" if lower else "higher"
    flips = len(words & _FLIPS) + bool(re.match(r"\s*(-|1\s*-)\s*[A-Za-z]", name))
    if not flips % 2:
        return found
    return "higher" if found == "lower" else "lower"


def is_bookkeeping(name: str) -> bool:
    """Whether a column is no metric by its name: an id, a seed, a step, a time, a size, a cost."""
    if better_when(name) is not None:
        return False
    words = _split(name)
    if name.strip().casefold() in _ONLY_ALONE or any(
        pattern.fullmatch(name) for pattern in (_LOSS_SCALE, _ERROR_ALONE)
    ):
        return True
    plain = [word for word in words if not word.isdigit()]
    nouns = _BOOKKEEPING | _COUNTED if len(plain) > 1 else _BOOKKEEPING
    known = nouns | _QUALIFIERS
    return all(word in known for word in plain) and any(word in nouns for word in plain)


def companions(names: Collection[str]) -> dict[str, str]:
    """Columns that belong to another one of `names`, by that one: its interval, its error.

    `arc_low`, `arc_stderr` and `acc_stderr,none` say how sure a number is, and are no metrics.
    """
    found: dict[str, str] = {}
    for name in names:
        if match := _STDERR.fullmatch(name):
            of = match[1] + (match[2] or "")
        elif match := _END.fullmatch(name):
            of, other = match[1], _OTHER_END.get(match[3].casefold())
            # RACE has a part `high`: one end alone is no interval.
            ends = {each.casefold() for each in names}
            if other is not None and f"{of}{match[2]}{other}".casefold() not in ends:
                continue
        else:
            continue
        # `predict` names the mean over benchmarks and its interval like this.
        whole = next((each for each in (of, f"{of}_accuracy", f"{of}_mean") if each in names), None)
        if whole is not None and whole != name:
            found[name] = whole
    return found


def conditions(names: Collection[str]) -> dict[str, str]:
    """Columns that say how a number was measured, such as `num_fewshot`, by what they are called.

    Rows that differ there hold numbers of different things.
    """
    plain = {name: re.sub(r"[^a-z]", "", name.casefold()) for name in names}
    return {name: _CONDITIONS[text] for name, text in plain.items() if text in _CONDITIONS}


def no_metrics(names: Collection[str]) -> list[str]:
    """Those of `names` that are no metrics by their names, in their order."""
    known = {*companions(names), *conditions(names)}
    return [name for name in names if name in known or is_bookkeeping(name)]


def counters(columns: Mapping[str, Sequence[float]]) -> list[str]:
    """Columns of unknown direction that only number the rows: 0, 1, 2, … or 1, 2, 3, …

    A row number of a spreadsheet may have any name. Fewer than eight rows are no evidence, nor is a
    column that no other varying one stands beside.
    """
    found = [
        name
        for name, values in columns.items()
        if len(values) >= _ROWS_TO_COUNT
        and values[0] in (0.0, 1.0)
        and all(after - before == 1 for before, after in pairwise(values))
        and better_when(name) is None
    ]
    vary = {name for name, values in columns.items() if len(set(filter(math.isfinite, values))) > 1}
    return found if vary - set(found) else []


def left_out_note(table: Table, names: Sequence[str]) -> str:
    """The note that these columns are not read as metrics."""
    shown = ", ".join(map(quoted, names[:5])) + (", …" if len(names) > 5 else "")
    what = "column" if len(names) == 1 else "columns"
    return f"{table.name}: no metric, left out: {what} {shown} (rename one that is a metric)"


def check_names(
    table: Table,
    names: Sequence[str],
    lower_is_better: bool | Collection[str],
    *,
    option: str = "--lower-is-better",
    each: str | None = None,
) -> None:
    """Raise InputError, naming the table, where a metric's name contradicts the stated direction.

    `lower_is_better` is of all `names`, or those that are better when lower. `option` states it of
    all, `each` of some, where the command has such an option.
    """
    lower = lower_is_better
    stated: dict[str, Better] = {
        name: "lower" if lower is True or (lower is not False and name in lower) else "higher"
        for name in names
    }
    known = {name: better for name in names if (better := better_when(name)) is not None}
    wrong = [name for name, better in known.items() if better != stated[name]]
    if not wrong:
        return
    first, better = wrong[0], known[wrong[0]]
    if set(known.values()) == {"lower", "higher"}:
        down = ",".join(name for name, better in known.items() if better == "lower")
        change = "keep the columns of one direction" if each is None else f"give {each} {down}"
    elif better == "lower":
        change = f"give {option}"
    elif lower is True:
        change = f"leave out {option}"
    else:
        change = f"leave it out of {each}"
    raise InputError(
        f"{table}:1",
        f"{quoted(first)} is better when {better}, by its name",
        f"{change}, or --trust-direction if it is right all the same",
    )


def _split(name: str) -> list[str]:
    """The words of a name: `valLoss@step5`, `val_loss.step_5` → val, loss, step, 5."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+", name)
    return [part.casefold() for part in parts]


def _words(name: str) -> set[str]:
    """The words of a name, and its parts with their digits, such as `f1` and `r2`."""
    whole = re.split(r"[^a-z0-9]+", name.casefold())
    words = {*_split(name), *whole}
    words |= {match[1] for word in whole if (match := _PREFIXED.fullmatch(word))}
    # Words that people write apart or together.
    joined = "_".join(_split(name))
    for apart in ("cross_entropy", "log_likelihood", "log_prob", "exact_match", "win_rate"):
        if apart in joined:
            words.add(apart.replace("_", ""))
    return words - {""}
