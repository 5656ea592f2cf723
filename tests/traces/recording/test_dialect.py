from typing import Any

import pytest

from dataselect.traces.recording.completion import messages
from dataselect.traces.recording.dialect import Dialect, fix_for, left_out
from dataselect.traces.recording.reply import request_body

BODY = request_body("m", messages("How many?", "maths", "json"), form="json", max_tokens=9, seed=0)

LM_STUDIO = "'response_format.type' must be 'json_schema' or 'text'"
VLLM_CONTEXT = (
    "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum context "
    "length is 1024 tokens and your request has 55 input tokens"
)


@pytest.mark.parametrize(
    ("said", "absent", "present"),
    [
        (LM_STUDIO, "response_format", None),
        ("json_object mode is not available", "response_format", None),
        ("This model does not support JSON mode", "response_format", None),
        ("seed: Extra inputs are not permitted", "seed", None),
        ("[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'input': 0}]", "seed", None),
        ('Invalid JSON payload received. Unknown name "seed": Cannot find field.', "seed", None),
        ("create() got an unexpected keyword argument 'seed'", "seed", None),
        ("top_logprobs must be 0", "top_logprobs", None),
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
            "max_completion_tokens",
        ),
        ("max_tokens: this field is unknown", "max_tokens", "max_completion_tokens"),
    ],
)
def test_a_parameter_that_is_refused_by_name_is_given_up(
    said: str, absent: str, present: str | None
) -> None:
    dialect = Dialect("host", {})
    told: list[Any] = []
    dialect.learnt = told.append
    assert dialect.learn(said, BODY)
    spoken = dialect.spoken(BODY)
    assert absent not in spoken
    assert spoken.keys() - BODY.keys() == ({present} if present else set())
    assert {**spoken, absent: BODY[absent]}.items() >= BODY.items()
    assert told == [{absent: present}]
    assert left_out(dialect.known) == ([] if present else [absent])
    # Refused again, it would be refused for ever.
    assert not dialect.learn(said, spoken)


@pytest.mark.parametrize(
    "said",
    [
        "",
        VLLM_CONTEXT,
        "max_tokens is too large: 99999. This model supports at most 16384 completion tokens",
        "Unsupported value: 'temperature' does not support 0 with this model.",
        "logprobs is not supported with this model",
        "This prompt is too long",
        "System role not supported",
        "The random_seed is unknown; seeds of sunflowers are unknown",
    ],
)
def test_other_refusals_teach_nothing(said: str) -> None:
    dialect = Dialect("host", {})
    assert not dialect.learn(said, BODY)
    assert dialect.spoken(BODY) == BODY


def test_only_what_was_sent_is_given_up() -> None:
    dialect = Dialect("host", {})
    body = {name: value for name, value in BODY.items() if name != "response_format"}
    assert not dialect.learn(LM_STUDIO, body)
    # A batch's request of an earlier run may have had it.
    assert dialect.learn(LM_STUDIO)
    assert dialect.learn(LM_STUDIO)


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        ("'temperature' does not support 0", "sampled"),
        (VLLM_CONTEXT, "--max-tokens"),
        (LM_STUDIO, "--form plain"),
        ("System role not supported", "system message"),
        ("logprobs is not supported with this model", "traces weigh"),
        ("the server is tired", None),
    ],
)
def test_a_refusal_that_changes_the_meaning_has_its_fix(reason: str, fix: str | None) -> None:
    found = fix_for(reason)
    assert found is None if fix is None else fix in str(found)
