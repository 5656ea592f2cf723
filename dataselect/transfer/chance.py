"""The accuracy of guessing, where a robust transfer function starts.

Known by name for common benchmarks with a fixed number of choices. It is 0 where the answer is
generated. For other benchmarks the user gives it in a `chance` column.
"""

_CHOICES = {
    **dict.fromkeys(("arc_challenge", "arc_easy", "openbookqa", "hellaswag", "mmlu"), 4),
    **dict.fromkeys(("piqa", "boolq", "winogrande", "copa"), 2),
    **dict.fromkeys(("socialiqa", "social_iqa", "siqa"), 3),
    **dict.fromkeys(("commonsense_qa", "csqa"), 5),
    **dict.fromkeys(("mmlu_pro", "mmlu_pro_stem"), 10),
}
_GENERATED = ("gsm8k", "math500", "humaneval")


def known_chance(benchmark: str) -> float | None:
    """Share of right answers when guessing on a known benchmark; None for others.

    Case and the choice of `-` or `_` do not matter. MMLU-Pro counts as ten choices; a few of its
    items have fewer.
    """
    name = benchmark.lower().replace("-", "_")
    if name in _GENERATED:
        return 0.0
    choices = _CHOICES.get(name)
    return None if choices is None else 1 / choices
