"""Counts come back as they were written, and what is not a count is refused with a fix."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from dataselect.units import (
    Count,
    Number,
    Whole,
    chinchilla_tokens,
    format_count,
    format_flops,
    format_seconds,
    parse_count,
)

SCALES = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("87.3M", 87_300_000),
        ("3.75T", 3_750_000_000_000),
        ("6T", 6 * 10**12),
        ("32B", 32 * 10**9),
        ("1e9", 10**9),
        ("1.5e3", 1500),
        ("3_750", 3750),
        ("1_000_000", 1_000_000),
        ("4k", 4000),
        (" 5 M ", 5_000_000),
        ("+7", 7),
        (0, 0),
        (10**18, 10**18),
        (1e9, 10**9),
        (2.0, 2),
    ],
)
def test_counts_are_read_as_people_write_them(written: str | int | float, meant: int) -> None:
    assert parse_count(written) == meant


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        (True, "true is not a number"),
        (None, "is not a number"),
        ([1], "is not a number"),
        ("", "is not a number"),
        ("lots", "is not a number"),
        ("87,3M", "is not a number"),
        ("²", "is not a number"),
        ("1__0", "is not a number"),
        ("2_5", "is not a number"),
        ("1e1_0", "is not a number"),
        ("3750_0M", "is not a number"),
        ("\uff11\uff12", "is not a number"),
        ("0x10", "is not a number"),
        ("9" * 5000, "is not a number"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ("-5", "negative"),
        (-5, "negative"),
        ("1.5", "whole"),
        (0.3, "whole"),
        ("1.0001K", "whole"),
        ("5G", "'G', which is not K, M, B or T"),
        ("1e400", "more than 10^18"),
        pytest.param(10**5000, "more than 10^18", id="very long"),
    ],
)
def test_what_is_not_a_count_is_refused_with_a_fix(written: Any, problem: str) -> None:
    with pytest.raises(ValueError, match="; write a") as error:
        parse_count(written)
    assert problem in str(error.value)
    assert len(str(error.value)) < 200


def test_control_characters_are_escaped_in_the_message() -> None:
    with pytest.raises(ValueError, match="not a number") as error:
        parse_count("5\x1b[31m\n")
    assert str(error.value).isprintable()


@given(st.integers(0, 10**18))
def test_a_plain_integer_is_itself_in_every_notation(number: int) -> None:
    assert parse_count(number) == parse_count(str(number)) == parse_count(f"{number:_}") == number


@given(st.integers(1, 999), st.sampled_from([1, 10, 100]), st.sampled_from(list(SCALES.values())))
def test_three_significant_digits_survive_the_round_trip(
    digits: int, divisor: int, scale: int
) -> None:
    count = digits * scale // divisor
    if count * divisor == digits * scale:
        assert parse_count(format_count(count)) == count


@given(st.integers(0, 10**18))
def test_a_formatted_count_is_within_half_a_percent_and_never_in_e_notation(count: int) -> None:
    text = format_count(count)
    assert "e" not in text
    assert abs(parse_count(text) - count) <= 0.00501 * count


@given(st.decimals(0, 9999, places=4, allow_nan=False), st.sampled_from(sorted(SCALES, key=len)))
def test_a_suffix_scales_exactly_or_the_number_is_not_whole(number: Any, suffix: str) -> None:
    exact = number * SCALES[suffix]
    if exact == int(exact):
        assert parse_count(f"{number:f}{suffix}") == int(exact)
    else:
        with pytest.raises(ValueError, match="whole"):
            parse_count(f"{number:f}{suffix}")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1K"),
        (3750, "3.75K"),
        (87_300_000, "87.3M"),
        (999_999, "1M"),
        (1_176_800_000, "1.18B"),
        (6 * 10**12, "6T"),
        (1500 * 10**12, "1500T"),
    ],
)
def test_counts_are_shown_to_three_digits(count: int, text: str) -> None:
    assert format_count(count) == text


def test_flops_are_shown_to_two_digits() -> None:
    assert format_flops(1.9e15) == "1.9e15 FLOPs"
    assert format_flops(9.99e20) == "1.0e21 FLOPs"
    assert format_flops(0) == "0 FLOPs"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (4.2, "4.2s"),
        (9.97, "10s"),
        (59.7, "1m"),
        (75, "1m 15s"),
        (3599.6, "1h"),
        (3725, "1h 2m"),
        (90_000, "1d 1h"),
        (math.inf, "?"),
    ],
)
def test_durations_are_shown_in_their_two_largest_units(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_chinchilla_tokens_are_twenty_for_each_parameter() -> None:
    assert chinchilla_tokens(3_700_000, 5) == 370_000_000


@pytest.mark.parametrize("multiple", [1e-30, 1e300])
def test_an_impossible_multiple_is_refused(multiple: float) -> None:
    with pytest.raises(ValueError, match="tokens; write another 'chinchilla_multiple'"):
        chinchilla_tokens(32 * 10**9, multiple)


def test_a_count_field_is_at_least_one_and_a_whole_field_may_be_zero() -> None:
    assert TypeAdapter(Whole).validate_python("0") == 0
    assert TypeAdapter(Count).validate_python("1K") == 1000
    with pytest.raises(ValidationError, match="0 is too small"):
        TypeAdapter(Count).validate_python(0)


@pytest.mark.parametrize("value", [True, math.nan, math.inf, "x", "2_5", "1e1_0"])
def test_a_number_field_is_finite_and_no_boolean(value: Any) -> None:
    assert TypeAdapter(Number).validate_python("1e-3") == 1e-3
    with pytest.raises(ValidationError):
        TypeAdapter(Number).validate_python(value)
