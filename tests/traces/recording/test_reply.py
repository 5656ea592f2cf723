from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataselect.traces.alignment import ServerToken
from dataselect.traces.recording.reply import Reply, read_reply, request_body
from dataselect.traces.recording.spending import Usage

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def payload(**changes: Any) -> dict[str, Any]:
    choice = {
        "message": {"content": "aé"},
        "finish_reason": "stop",
        "logprobs": {
            "content": [
                {"token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []},
                {"token": "é", "bytes": None, "logprob": -9999.0},
            ]
        },
    }
    return {
        "model": "m-1",
        "system_fingerprint": "fp",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
        "choices": [{**choice, **changes}],
    }


def test_a_whole_reply_is_read() -> None:
    tokens = (ServerToken("a", b"a", -0.5), ServerToken("é", None, -9999.0))
    assert read_reply(payload()) == Reply("aé", tokens, "m-1", "fp", Usage(3, 2), "stop")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"finish_reason": "length"}, "the answer was cut at the token limit (--max-tokens)"),
        ({"finish_reason": "content_filter"}, "the server's content filter stopped the answer"),
        ({"message": {"content": None, "refusal": "No,\nthanks"}}, "the model refused: No, thanks"),
        ({"message": {"content": " \n"}}, "the answer is empty"),
        ({"message": None}, "the answer is empty"),
        ({"logprobs": None}, "the answer came without log-probabilities"),
        ({"logprobs": {"content": []}}, "the answer came without log-probabilities"),
        ({"logprobs": {"content": [None]}}, "the answer came without log-probabilities"),
        ({"logprobs": {"content": None}}, "the answer came without log-probabilities"),
        (
            {"message": {"content": None, "reasoning": "Hm."}},
            "the answer is empty, all of the text came as hidden reasoning",
        ),
        (
            {"message": {"content": "<think>Hm.</think>"}},
            "the answer is empty, all of the text is thinking",
        ),
        (
            {"logprobs": {"tokens": ["a"], "token_logprobs": [-0.5, -0.5]}},
            "the answer came without log-probabilities that can be read (they have the older form "
            "of /v1/completions, 'tokens' and 'token_logprobs', and 1 tokens have 2 "
            "log-probabilities)",
        ),
        (
            {"logprobs": {"tokens": [97], "token_logprobs": [-0.5]}},
            "the answer came without log-probabilities that can be read (they have the older form "
            "of /v1/completions, 'tokens' and 'token_logprobs', and a token is not text but 97)",
        ),
        (
            {"logprobs": {"token_ids": [97], "top_logprobs": None}},
            "the answer came without log-probabilities that can be read (their form, with "
            '["token_ids"], is not known)',
        ),
    ],
)
def test_an_unusable_reply_has_a_problem(changes: dict[str, Any], problem: str) -> None:
    assert read_reply(payload(**changes)).problem == problem


@pytest.mark.parametrize(
    "token",
    [
        {"token": None, "logprob": -1.0},
        {"token": "a", "logprob": "-1.0"},
        {"token": "a", "logprob": True},
        {"token": "a", "logprob": -1.0, "bytes": [300]},
        {"token": "a", "logprob": -1.0, "bytes": ["a"]},
    ],
)
def test_a_malformed_token_spoils_the_log_probabilities(token: dict[str, Any]) -> None:
    assert read_reply(payload(logprobs={"content": [token]})).tokens == ()


@pytest.mark.parametrize(
    ("message", "read"),
    [
        ({"content": "aé", "reasoning_content": "Hm."}, ("aé", "Hm.")),
        ({"content": "aé", "reasoning": "Hm."}, ("aé", "Hm.")),
        ({"content": "<think>\nHm.\n</think>\n\naé"}, ("aé", "Hm.")),
        ({"content": "aé", "reasoning": None}, ("aé", None)),
    ],
)
def test_thinking_is_read_apart_from_the_answer(
    message: dict[str, Any], read: tuple[str, str | None]
) -> None:
    reply = read_reply(payload(message=message))
    assert (reply.content, reply.thinking) == read
    assert reply.problem is None


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": "3"}, {"prompt_tokens": -1}, []])
def test_malformed_usage_is_none(usage: object) -> None:
    assert read_reply({**payload(), "usage": usage}).usage is None


@pytest.mark.parametrize("body", ["<html>", [], {"error": {"message": "busy"}}, None])
def test_invalid_completions_are_refused(body: object) -> None:
    with pytest.raises(ValueError, match="not a chat completion"):
        read_reply(body)


@given(JSON, JSON, JSON, JSON)
def test_any_values_are_read_without_a_crash(
    choices: object, message: object, logprobs: object, usage: object
) -> None:
    body = payload(message=message, logprobs=logprobs)
    assert isinstance(read_reply({**body, "usage": usage, "model": usage}), Reply)
    assert read_reply({**body, "choices": choices}).problem is not None


def test_json_mode_is_asked_for_in_that_form_only() -> None:
    bodies = [request_body("m", [], form=form, max_tokens=5, seed=1) for form in ("json", "plain")]
    assert [body.get("response_format") for body in bodies] == [{"type": "json_object"}, None]
