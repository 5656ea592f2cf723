"""What columns are by their names: metrics with a direction, bookkeeping, ends of intervals."""

from itertools import product
from pathlib import Path

import pytest

from dataselect.errors import InputError
from dataselect.formats.column_names import (
    better_when,
    check_names,
    companions,
    conditions,
    counters,
    is_bookkeeping,
    no_metrics,
)

LOWER = (
    *("loss", "nll", "bpb", "ppl", "perplexity", "ce", "cross_entropy", "cross-entropy", "error"),
    *("bits_per_byte", "bitsPerByte", "BitsPerChar", "nats per token", "neg_log_likelihood"),
    *("rbridge", "trace_nll", "val/loss", "valLoss", "valloss", "c4_ce", "error_rate", "nll_score"),
    *("neglog_correct_prob", "olmes10_mean_neglog_correct_prob_per_char", "1-acc", "-accuracy"),
    *("mask", "mask,none", "mask_numbers", "mask_bpb", "authors_mask_word_perplexity"),
    *("accuracy_loss", "accuracy_drop", "metric/the_pile_arxiv_val_loss", "wer", "regret", "rmse"),
)
HIGHER = (
    *("acc", "accuracy", "acc_norm,none", "exact_match,strict-match", "em", "f1", "F1", "squad_f1"),
    *("pass@1", "score", "rouge", "bleu", "mcc", "auroc", "win_rate", "correct_prob", "val_acc"),
    *("log_likelihood", "logprob", "negative_loss", "-loss", "neg_nll", "loss_reduction", "mpca"),
    *("predicted_accuracy", "accuracy_gain", "arc_easy accuracy", "inverse_perplexity"),
)
UNKNOWN = (
    *("arc", "csqa", "piqa", "boolq", "hellaswag", "mmlu", "ArXiv", "Pile-CC", "x", "metric"),
    *("lossless", "date_understanding", "object_counting", "temporal_sequences", "xcopa_id"),
    *("time_ms_qa", "multistep_arithmetic", "math", "code", "docs", "race_high", "mean", "passage"),
    *("masked", "mask_ratio", "attention_mask"),
)
BOOKKEEPING = (
    *("seed", "Seed", "seeds", "data_seed", "seed_2", "step", "steps", "global_step", "train/step"),
    *("trainer/global_step", "epoch", "epochs", "iteration", "seconds", "time", "train_time"),
    *("wall_time_s", "wallTime", "wall clock seconds", "elapsed", "runtime", "gpu_hours", "date"),
    *("started_at", "timestamp", "tokens", "num_tokens", "tokens_B", "tokens_seen", "params"),
    *("model_size", "flops", "total_flops", "tokens_per_second", "lr", "learning_rate", "index"),
    *("idx", "Unnamed: 0", "id", "run_id", "rank", "order", "trial", "n", "n_samples", "num_docs"),
    *("wall_clock", "weight_decay", "seq_len", "peak_mem_gb", "loss_scale", "train/loss_scale"),
    *("batch_size", "cost_usd", "note", "commit", "sha", "tier", "world_size", "grad_norm"),
    *("total_flos", "gnorm", "it/s", "tok_s", "n_layer", "n_head", "d_model", "n_embd", "pid"),
    *("stderr", "acc_stderr", "acc_stderr,none", "loss_std", "arc_sem"),
)


@pytest.mark.parametrize(
    ("names", "better"), [(LOWER, "lower"), (HIGHER, "higher"), (UNKNOWN, None)]
)
def test_a_name_says_which_way_is_better_or_nothing(
    names: tuple[str, ...], better: str | None
) -> None:
    assert {name: better_when(name) for name in names} == dict.fromkeys(names, better)
    assert not [name for name in names if is_bookkeeping(name)]


def test_bookkeeping_is_no_metric_and_has_no_direction() -> None:
    assert [name for name in BOOKKEEPING if not is_bookkeeping(name)] == []
    assert [name for name in BOOKKEEPING if better_when(name) is not None] == []


@pytest.mark.parametrize("separator", ["_", "-", ".", "/", " "])
def test_what_stands_around_a_metrics_word_changes_nothing(separator: str) -> None:
    places = ("arc", "val", "step", "seed", "the pile", "Mean")
    for place, word in product(places, ("loss", "PPL", "acc", "Accuracy")):
        for name in (separator.join((place, word)), separator.join((word, place))):
            assert better_when(name) == ("lower" if word in ("loss", "PPL") else "higher"), name
            assert not is_bookkeeping(name), name


def test_columns_that_say_how_sure_another_is_belong_to_it() -> None:
    names = (
        *("arc", "arc_low", "arc_high", "arc_stderr", "acc,none", "acc_stderr,none"),
        *("predicted_accuracy", "predicted_low", "predicted_high", "predicted_extrapolated"),
        *("race", "race_high", "x_low", "csqa std", "csqa"),
    )
    assert companions(names) == {
        "arc_low": "arc",
        "arc_high": "arc",
        "arc_stderr": "arc",
        "acc_stderr,none": "acc,none",
        "predicted_low": "predicted_accuracy",
        "predicted_high": "predicted_accuracy",
        "predicted_extrapolated": "predicted_accuracy",
        "csqa std": "csqa",
    }
    assert no_metrics(("arc", "seed", "arc_low", "arc_high", "num_fewshot")) == [
        *("seed", "arc_low", "arc_high", "num_fewshot")
    ]


def test_columns_that_say_how_was_measured_are_known() -> None:
    names = ("num_fewshot", "n-shot", "limit", "Chat Template", "filter", "task_version", "arc")
    assert list(conditions(names).values()) == [
        *("n-shot", "n-shot", "limit", "chat template", "filter", "task version")
    ]


def test_a_row_number_is_found_whatever_its_name() -> None:
    rising = [float(i) for i in range(10)]
    other = [0.3, 0.1, 0.2] * 3 + [0.5]
    assert counters({"zeile": rising, "arc": other}) == ["zeile"]
    assert counters({"zeile": [i + 1 for i in rising], "arc": other}) == ["zeile"]
    assert counters({"x_loss": rising, "arc": other}) == []  # its name says what it is
    assert counters({"zeile": rising}) == []  # there is nothing else
    assert counters({"zeile": rising, "flat": [1.0] * 10}) == []
    assert counters({"zeile": rising[:7], "arc": other[:7]}) == []  # few rows are no evidence
    assert counters({"zeile": [*rising[1:], 0.0], "arc": other}) == []
    assert counters({"empty": [], "arc": []}) == []


@pytest.mark.parametrize(
    ("names", "lower", "fix"),
    [
        (("loss", "x"), False, "give --lower-is-better, or --trust-direction"),
        (("acc", "x"), True, "leave out --lower-is-better, or --trust-direction"),
        (("x", "acc", "loss"), True, "give --lower loss, or --trust-direction"),
        (("acc", "loss", "ppl"), False, "give --lower loss,ppl, or --trust-direction"),
        (("x", "acc"), ("acc",), "leave it out of --lower, or --trust-direction"),
    ],
)
def test_a_direction_that_names_contradict_is_refused_with_what_to_give(
    names: tuple[str, ...], lower: bool | tuple[str, ...], fix: str
) -> None:
    with pytest.raises(InputError) as refused:
        check_names(Path("t.csv"), names, lower, each="--lower")
    assert str(refused.value).startswith("t.csv:1: '")
    assert fix in str(refused.value)


def test_directions_that_fit_or_are_unknown_pass() -> None:
    check_names(Path("t.csv"), ("loss", "x"), True)
    check_names(Path("t.csv"), ("acc", "x"), False)
    check_names(Path("t.csv"), ("acc", "loss", "x"), ("loss",), each="--lower")
