import asyncio
import logging
import re
import traceback
from dataclasses import replace
from typing import Any

import pytest
from completions_server import CompletionsServer
from spelt_keys import spelt

from dataselect.errors import DataselectError, IncompleteError, InputError
from dataselect.traces.recording.client import Client
from dataselect.traces.recording.completion import Form, messages, trace_from_completion
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.probe import probe
from dataselect.traces.recording.reply import Reply
from dataselect.traces.recording.spending import NOTHING, Usage

KEY = "sk-secret-0123456789"
REASONING = "Ann has √2 “red” apples.\nThen \\frac{1}{2} is\tleft: 日本 😀."


class Bill:
    """Records the calls of a client."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def begin(self, worst: Usage) -> None:
        self.events.append(("begin", worst))

    def failed(self, used: Usage) -> None:
        self.events.append(("failed", used))

    def answered(self, reply: Reply) -> None:
        self.events.append(("answered", reply))

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with CompletionsServer(lambda _: (REASONING, "7")) as running:
        yield running


def endpoint(server: CompletionsServer, model: str, **changes: Any) -> Endpoint:
    quick = Endpoint(model, server.url, timeout_seconds=60, attempts=3, first_wait_seconds=0.01)
    return replace(quick, **changes)


def ask(at: Endpoint, bill: Bill, form: Form = "json") -> Reply:
    async def once() -> Reply:
        async with Client(at) as client:
            prompt = messages("How many?", "maths", form)
            return await client.ask(prompt, form=form, max_tokens=500, billing=bill)

    return asyncio.run(once())


def test_a_request_is_greedy_and_asks_for_log_probabilities(server: CompletionsServer) -> None:
    ask(endpoint(server, "tiny", seed=3), Bill())
    (request,) = server.requests
    body = request.body
    assert (body["temperature"], body["seed"], body["max_tokens"]) == (0, 3, 500)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 1)
    assert body["response_format"] == {"type": "json_object"}
    assert request.headers["authorization"] == f"Bearer {KEY}"


def test_plain_text_is_asked_for_without_json_mode(server: CompletionsServer) -> None:
    reply = ask(endpoint(server, "tiny"), Bill(), "plain")
    assert "response_format" not in server.requests[0].body
    assert trace_from_completion("q", reply.content, reply.tokens, "plain").text == REASONING


@pytest.mark.parametrize("model", ["tiny", "tiny+nobytes"])
def test_a_reply_holds_the_models_own_log_probabilities(
    server: CompletionsServer, model: str
) -> None:
    bill = Bill()
    reply = ask(endpoint(server, model), bill)
    prompt = "\n".join(message["content"] for message in messages("How many?", "maths", "json"))
    expected = server.model.logprobs(prompt, reply.content)
    assert [token.logprob for token in reply.tokens] == [logprob for _, logprob, *_ in expected]
    trace = trace_from_completion("q", reply.content, reply.tokens, "json")
    assert (trace.text, trace.answer) == (REASONING, "7")
    assert bill.kinds == ["begin", "answered"]


@pytest.mark.parametrize("fault", ["429", "500", "502", "html", "torn", "reset"])
def test_failures_of_the_server_are_retried(server: CompletionsServer, fault: str) -> None:
    bill = Bill()
    reply = ask(endpoint(server, f"tiny+{fault}:2"), bill)
    assert reply.problem is None
    assert bill.kinds == ["begin", "failed"] * 2 + ["begin", "answered"]


@pytest.mark.parametrize("fault", ["timeout", "drip"])
def test_a_request_ends_after_its_total_time(server: CompletionsServer, fault: str) -> None:
    bill = Bill()
    reply = ask(endpoint(server, f"tiny+{fault}:1", timeout_seconds=0.3), bill)
    assert reply.problem is None
    assert bill.kinds == ["begin", "failed", "begin", "answered"]


@pytest.mark.parametrize("fault", ["429", "500", "html", "reset"])
def test_attempts_are_limited_and_the_work_can_be_resumed(
    server: CompletionsServer, fault: str
) -> None:
    with pytest.raises(IncompleteError, match=r"3 attempts failed.*run the same command again"):
        ask(endpoint(server, f"tiny+{fault}"), Bill())
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("fault", "error"), [("quota", IncompleteError), ("401", InputError), ("404", InputError)]
)
def test_permanent_failures_are_not_retried(
    server: CompletionsServer, fault: str, error: type[DataselectError]
) -> None:
    with pytest.raises(error):
        ask(endpoint(server, f"tiny+{fault}"), Bill())
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("empty", "holds no choice"),
        ("refusal", "the model refused: I cannot help"),
        ("filter", "content filter"),
        ("length", "cut at the token limit"),
        ("nologprobs", "without log-probabilities"),
        ("400", "refused the request .HTTP 400, This prompt is too long"),
        ("echo", "repeats the key"),
    ],
)
def test_a_bad_answer_is_a_reply_with_a_problem(
    server: CompletionsServer, fault: str, problem: str
) -> None:
    bill = Bill()
    reply = ask(endpoint(server, f"tiny+{fault}"), bill)
    assert re.search(problem, reply.problem or "")
    assert bill.events[-1] == ("answered", reply)
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["plain", "JSON escapes", "zero width"])
def test_a_server_that_calls_itself_by_the_key_is_not_named(
    server: CompletionsServer, kind: str
) -> None:
    server.answers_as = spelt(kind, KEY)
    reply = ask(endpoint(server, "tiny"), Bill())
    assert "repeats the key" in (reply.problem or "")
    assert reply.model == ""


@pytest.mark.parametrize(
    ("fault", "all_of_it"),
    [("429", False), ("500", False), ("502", True), ("html", True), ("reset", True)],
)
def test_a_failure_costs_all_it_can_if_it_may_have_been_billed(
    server: CompletionsServer, fault: str, all_of_it: bool
) -> None:
    bill = Bill()
    ask(endpoint(server, f"tiny+{fault}:1"), bill)
    (_, worst), (_, used), *_ = bill.events
    assert used == (worst if all_of_it else NOTHING)


@pytest.mark.parametrize(
    ("unknown", "absent", "present"),
    [("max_tokens", "max_tokens", "max_completion_tokens"), ("seed", "seed", "max_tokens")],
)
def test_an_unknown_parameter_is_replaced_once(
    server: CompletionsServer, unknown: str, absent: str, present: str
) -> None:
    async def twice() -> None:
        async with Client(endpoint(server, f"tiny+unknown-{unknown}")) as client:
            for _ in range(2):
                prompt = messages("How many?", "maths", "json")
                reply = await client.ask(prompt, form="json", max_tokens=500, billing=Bill())
                assert reply.problem is None

    asyncio.run(twice())
    bodies = [request.body for request in server.requests]
    assert [unknown in body for body in bodies] == [True, False, False]
    assert absent not in bodies[-1]
    assert present in bodies[-1]


def test_openai_gets_its_own_parameter_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    body = Client(Endpoint("gpt-4o")).body([], form="json", max_tokens=9)
    assert body["max_completion_tokens"] == 9
    assert "max_tokens" not in body


def test_all_requests_wait_as_long_as_the_server_asks(server: CompletionsServer) -> None:
    server.retry_after = "7"
    now, waits = [0.0], []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds

    async def both() -> None:
        at = endpoint(server, "tiny+429:1")
        async with Client(at, sleep=sleep, clock=lambda: now[0]) as client:
            prompt = messages("How many?", "maths", "json")
            for _ in range(2):
                await client.ask(prompt, form="json", max_tokens=500, billing=Bill())

    asyncio.run(both())
    assert len(waits) == 1
    assert 7 <= waits[0] <= 9


def test_waits_double_when_the_server_asks_for_none(server: CompletionsServer) -> None:
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def once() -> None:
        at = endpoint(server, "tiny+500:4", attempts=6, first_wait_seconds=1.0)
        async with Client(at, sleep=sleep) as client:
            prompt = messages("How many?", "maths", "json")
            await client.ask(prompt, form="json", max_tokens=500, billing=Bill())

    asyncio.run(once())
    assert len(waits) == 4
    assert all(2**n <= wait <= 1.25 * 2**n for n, wait in enumerate(waits))


def test_a_wait_of_hours_is_left_to_the_user(server: CompletionsServer) -> None:
    server.retry_after = "7200"
    with pytest.raises(IncompleteError, match="asks to wait 2h"):
        ask(endpoint(server, "tiny+429"), Bill())


def test_a_server_that_is_not_there_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    at = Endpoint("m", "http://127.0.0.1:9/v1", first_wait_seconds=0.01)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9: it cannot be reached"):
        ask(at, Bill())


def test_stopping_wakes_those_that_wait(server: CompletionsServer) -> None:
    server.retry_after = "600"

    async def scenario() -> None:
        async with Client(endpoint(server, "tiny+429")) as client:
            prompt = messages("How many?", "maths", "json")
            bill = Bill()
            asking = asyncio.create_task(
                client.ask(prompt, form="json", max_tokens=500, billing=bill)
            )
            while "failed" not in bill.kinds:
                await asyncio.sleep(0.01)
            client.stop()
            with pytest.raises(IncompleteError, match="stopped"):
                await asking

    asyncio.run(scenario())
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["401", "429", "quota", "400", "500", "404", "echo", "reset"])
def test_the_key_is_in_no_error_and_no_log(
    server: CompletionsServer, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    shown, chain = "", None
    with caplog.at_level(logging.DEBUG):
        try:
            shown = repr(ask(endpoint(server, f"tiny+{fault}"), Bill()))
        except DataselectError as error:
            shown = "".join(traceback.format_exception(error)) + repr(vars(error))
            chain = error.__context__
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in shown
    assert chain is None
    assert KEY not in caplog.text
    assert all(KEY not in repr(record.__dict__) for record in caplog.records)


def run_probe(at: Endpoint, form: Form = "json") -> Reply:
    async def once() -> Reply:
        async with Client(at) as client:
            return await probe(client, "maths", form, Bill())

    return asyncio.run(once())


def test_the_probe_returns_the_model_that_answers(server: CompletionsServer) -> None:
    reply = run_probe(endpoint(server, "tiny"))
    assert (reply.model, reply.fingerprint) == ("tiny-2026-01-01", "fp_1")


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ("nologprobs", "its answers come without log-probabilities; .*traces weigh"),
        ("nologprobs400", "logprobs is not supported.*traces weigh"),
        ("certain", "log-probabilities are all 0 or missing.*traces weigh"),
        ("shifted", "its tokens do not fit the text"),
        ("refusal", "gives no answer to a trivial question"),
    ],
)
def test_the_probe_refuses_an_unfit_server(
    server: CompletionsServer, fault: str, problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        run_probe(endpoint(server, f"tiny+{fault}"))


def test_the_probe_tries_twice(server: CompletionsServer) -> None:
    run_probe(endpoint(server, "tiny+empty:1"))
    assert [request.body["seed"] for request in server.requests] == [0, 1]


def test_the_probe_warns_of_answers_in_another_form(
    server: CompletionsServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        run_probe(endpoint(server, "tiny+prose"))
    assert "does not have the requested form" in caplog.text
