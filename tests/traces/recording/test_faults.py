import json
from datetime import UTC, datetime

import pytest

from dataselect.errors import IncompleteError, InputError
from dataselect.traces.recording.faults import Fault, exhausted_for, retry_after, status_fault
from dataselect.traces.recording.spending import Usage

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def fault(status: int, body: object, headers: dict[str, str] | None = None) -> Fault:
    text = body if isinstance(body, str) else json.dumps(body)
    return status_fault(
        status,
        headers or {},
        text,
        now=NOW,
        where="host",
        model="m",
        without_key=lambda said: said.replace("sk-secret", "[key]"),
    )


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_failures_of_the_server_are_temporary(status: int) -> None:
    found = fault(status, {"error": {"message": "busy"}})
    assert (found.error, found.refused) == (None, False)
    assert found.reason == f"HTTP {status}, busy"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_refused_request_does_not_stop_others(status: int) -> None:
    found = fault(status, {"error": {"message": "too long"}})
    assert (found.error, found.refused) == (None, True)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (429, {"error": {"message": "no", "code": "insufficient_quota"}}),
        (429, {"error": {"message": "no", "type": "insufficient_quota", "code": None}}),
        (400, {"error": {"message": "no", "code": "billing_hard_limit_reached"}}),
        (402, {"error": "Insufficient balance"}),
    ],
)
def test_an_empty_account_ends_the_work_for_now(status: int, body: object) -> None:
    assert isinstance(fault(status, body).error, IncompleteError)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_model_is_bad_input(status: int) -> None:
    assert isinstance(fault(status, {"detail": "no"}).error, InputError)


def test_only_gateways_may_have_let_an_answer_be_billed() -> None:
    assert [fault(s, "").maybe_billed for s in (429, 500, 502, 504)] == [False, False, True, True]


def test_usage_in_an_error_is_kept() -> None:
    body = {"error": {"message": "x"}, "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    assert fault(500, body).usage == Usage(3, 4)


@pytest.mark.parametrize("body", ["<html>Sorry</html>", "", "[1]", {"error": [1]}, {"error": None}])
def test_a_body_without_a_message_is_left_out(body: object) -> None:
    assert fault(500, body).reason == "HTTP 500"


def test_a_body_of_plain_text_is_the_message() -> None:
    found = fault(422, "response_format: unknown variant `json_object`")
    assert found.reason == "HTTP 422, response_format: unknown variant `json_object`"


def test_a_refusal_tells_the_parameter_that_the_server_names() -> None:
    found = fault(400, {"error": {"message": "Not here: sk-secret", "param": "seed"}})
    assert (found.refused, found.about) == (True, "seed: Not here: [key]")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (501, "no"),
        (500, "json_object is not implemented"),
        (500, "unexpected keyword 'seed'"),
        # LiteLLM, of token ids.
        (500, "Unmapped prompt format. Your prompt is neither a list of strings nor a string."),
    ],
)
def test_a_server_that_knows_a_parameter_not_is_not_asked_again(status: int, message: str) -> None:
    assert fault(status, {"error": {"message": message}}).refused


def test_the_key_is_taken_out_after_escapes_are_read() -> None:
    found = fault(401, r'{"error": {"message": "wrong key sk\u002dsecret"}}')
    assert found.reason == "HTTP 401, wrong key [key]"
    assert "[key]" in str(found.error)


def test_a_long_message_is_one_short_line() -> None:
    reason = fault(500, {"error": {"message": "word\n" * 200}}).reason
    assert "\n" not in reason
    assert len(reason) < 250


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "Fri, 02 Jan 2026 03:04:35 GMT"}, 30.0),
        ({"retry-after": "Fri, 02 Jan 2026 03:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


def test_an_exhausted_limit_says_when_it_is_reset() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "1m2.5s",
        "x-ratelimit-remaining-tokens": "12",
        "x-ratelimit-reset-tokens": "6h",
    }
    assert exhausted_for(headers) == 62.5
    assert exhausted_for({**headers, "x-ratelimit-remaining-requests": "1"}) == 0.0
    assert exhausted_for({"x-ratelimit-remaining-tokens": "0"}) == 0.0
