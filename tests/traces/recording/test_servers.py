"""How answers of servers of several kinds become traces, or are refused in a line."""

import json
import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from batch_building import PRICES, QUESTIONS
from batch_building import build as build_by_batch
from batch_server import BatchServer
from completions_server import PROBE

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.traces.recording.asked import BuildOptions, open_asked
from dataselect.traces.recording.build import build_traces
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.trace import TraceSet

Completion = dict[str, Any]
ADDING = BenchmarkItems(
    "adding", tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(4)), task="sums"
)


class Silent:
    """Shows nothing."""

    def start(self, *_: object) -> None:
        pass

    def advance(self, *_: object) -> None:
        pass


def build(server: BatchServer, out: Path, options: BuildOptions | None = None) -> TraceSet:
    at = Endpoint("tiny", server.url, attempts=2, first_wait_seconds=0.01, concurrency=2)
    options = options or BuildOptions(max_tokens=400)
    return build_traces(ADDING, at, out, options, created="2026-01-02", watch=Silent())


def entries(completion: Completion) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = completion["choices"][0]["logprobs"]["content"]
    return found


def entry(text: str, logprob: float = -0.5) -> dict[str, Any]:
    return {"token": text, "bytes": list(text.encode()), "logprob": logprob, "top_logprobs": []}


def think(thinking: str, key: str | None = "reasoning_content") -> Callable[..., None]:
    def rework(_: object, completion: Completion) -> None:
        hidden = f"{thinking}{completion['choices'][0]['message']['content']}"
        tagged = f"<think>\n{hidden}\n</think>"
        entries(completion)[:0] = [entry(t) for t in re.findall(r"\s?\w+|\s|[^\w\s]", tagged)]
        if key is not None:
            completion["choices"][0]["message"][key] = hidden
        entries(completion).append(entry("<|im_end|>"))

    return rework


def visible(body: object, completion: Completion) -> None:
    """As a server without a reasoning parser shows thinking."""
    think("Let me see. " * 9)(body, completion)
    message = completion["choices"][0]["message"]
    thinking = message.pop("reasoning_content")
    message["content"] = f"<think>\n{thinking}\n</think>{message['content']}"


@pytest.fixture
def plain_traces(server: BatchServer, out: Path) -> TraceSet:
    return build(server, out.with_name("usual.jsonl"))


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning", None])
def test_hidden_thinking_leaves_the_probabilities_as_they_are(
    server: BatchServer, out: Path, plain_traces: TraceSet, key: str | None
) -> None:
    server.rework = think("Let me see. " * 50, key)
    traces = build(server, out)
    assert traces.traces == plain_traces.traces
    assert traces.header.notes["after_hidden_thinking"] == "4"
    assert "after_hidden_thinking" not in plain_traces.header.notes


def test_thinking_in_the_text_is_taken_off_and_can_be_the_trace(
    server: BatchServer, out: Path, plain_traces: TraceSet
) -> None:
    for name, rework in (("parsed", think("Let me see. " * 9)), ("visible", visible)):
        server.rework = rework
        traces = build(server, out.with_name(f"{name}.jsonl"))
        assert traces.traces == plain_traces.traces
        found = build(
            server,
            out.with_name(f"{name}-think.jsonl"),
            BuildOptions(max_tokens=400, part="thinking"),
        )
        assert found.header.notes["part"] == "thinking"
        assert "part" not in traces.header.notes
        for item, trace in found.traces.items():
            assert trace.text.startswith("Let me see. Let me see.")
            assert trace.answer == plain_traces.traces[item].answer
            assert trace.letter_probs == pytest.approx(math.exp(-0.5))
        with pytest.raises(InputError, match="already holds other traces"):
            build(server, out.with_name(f"{name}-think.jsonl"))


def test_thinking_of_a_model_that_shows_none_is_refused(server: BatchServer, out: Path) -> None:
    with pytest.raises(InputError, match=r"no thinking before.*leave --part thinking out"):
        build(server, out, BuildOptions(max_tokens=400, part="thinking"))
    assert not server.questions


def test_answers_that_are_kept_can_be_read_for_the_other_part(
    server: BatchServer, out: Path
) -> None:
    class Stop(Silent):
        def advance(self, *_: object) -> None:
            raise KeyboardInterrupt

    server.rework = think("Let me see. " * 9)
    at = Endpoint("tiny", server.url, concurrency=1)
    options = BuildOptions(max_tokens=400)
    with pytest.raises(KeyboardInterrupt):
        build_traces(ADDING, at, out, options, created="2026-01-02", watch=Stop())
    asked = len(server.questions)
    found = build(server, out, BuildOptions(max_tokens=400, part="thinking"))
    assert all(trace.text.startswith("Let me see.") for trace in found.traces.values())
    assert len(server.questions) == 4
    assert asked


def test_a_list_of_the_thinking_alone_is_refused(server: BatchServer, out: Path) -> None:
    def rework(body: object, completion: Completion) -> None:
        own = len(entries(completion))
        think("I answer: ")(body, completion)
        del entries(completion)[-own - 1 :]

    server.rework = rework
    with pytest.raises(InputError, match="its tokens do not fit the text"):
        build(server, out)


def strip_end(_: object, completion: Completion) -> None:
    last = entries(completion)[-1]
    last["token"] += "\n"
    last["bytes"].append(10)


def strip_start(_: object, completion: Completion) -> None:
    entries(completion).insert(0, entry("\n\n"))


def old_form(_: object, completion: Completion) -> None:
    own = entries(completion)
    completion["choices"][0]["logprobs"] = {
        "tokens": [each["token"] for each in own],
        "token_logprobs": [each["logprob"] for each in own],
        "top_logprobs": None,
        "text_offset": None,
    }


@pytest.mark.parametrize("rework", [strip_end, strip_start, old_form])
def test_other_forms_of_the_same_answer_give_the_same_traces(
    server: BatchServer, out: Path, plain_traces: TraceSet, rework: Callable[..., None]
) -> None:
    server.script = lambda question: (f"It is {question.count('2')}.", "4")
    plain = build(server, out.with_name("ascii.jsonl"))
    server.rework = rework
    assert build(server, out).traces == plain.traces != plain_traces.traces


def each(change: Callable[[dict[str, Any]], object]) -> Callable[..., None]:
    def rework(_: object, completion: Completion) -> None:
        for one in entries(completion):
            change(one)

    return rework


def first_only(_: object, completion: Completion) -> None:
    for one in entries(completion)[1:]:
        one["logprob"] = 0.0


def last_only(_: object, completion: Completion) -> None:
    for one in entries(completion)[:-3]:
        one["logprob"] = -9999.0


def all_thought(_: object, completion: Completion) -> None:
    message = completion["choices"][0]["message"]
    message |= {"reasoning_content": message["content"], "content": None}


@pytest.mark.parametrize(
    ("rework", "reason"),
    [
        (each(lambda e: e.update(token="token_id:7", bytes=None)), "not their text.*as-token-ids"),
        (each(lambda e: e.update(logprob=math.exp(e["logprob"]))), "probabilities instead of"),
        (each(lambda e: e.update(logprob=str(e["logprob"]))), "not a number but"),
        (each(lambda e: e.update(token=7, bytes=None)), "a token is not text but 7"),
        (
            each(lambda e: e.update(token=e["token"].replace(" ", "▁"), bytes=None)),
            "its vocabulary writes them",
        ),
        (first_only, "log-probabilities are all 0 or missing"),
        (last_only, "log-probabilities are all 0 or missing"),
        (all_thought, "came as hidden reasoning.*reasoning parser"),
    ],
)
def test_what_would_give_wrong_weights_is_refused_by_the_probe(
    server: BatchServer, out: Path, rework: Callable[..., None], reason: str
) -> None:
    server.rework = rework
    with pytest.raises(InputError, match=reason) as caught:
        build(server, out)
    assert "\n" not in str(caught.value)
    assert not server.questions


def refuses(name: str, said: str, status: int = 400) -> Callable[..., tuple[int, Any] | None]:
    return lambda body: (status, {"error": said}) if name in body else None


@pytest.mark.parametrize(
    ("name", "said", "status"),
    [
        ("response_format", "'response_format.type' must be 'json_schema' or 'text'", 400),
        ("response_format", "response_format json_object is not implemented", 501),
        ("seed", "create() got an unexpected keyword argument 'seed'", 500),
        ("top_logprobs", "property 'top_logprobs' is unsupported", 422),
    ],
)
def test_a_parameter_without_meaning_for_the_answer_is_left_out_and_noted(
    server: BatchServer,
    out: Path,
    plain_traces: TraceSet,
    caplog: pytest.LogCaptureFixture,
    name: str,
    said: str,
    status: int,
) -> None:
    server.refuse = refuses(name, said, status)
    server.requests.clear()
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        traces = build(server, out)
    assert traces.traces == plain_traces.traces
    assert traces.header.notes["not_sent"] == name
    assert "not_sent" not in plain_traces.header.notes
    # Decided once, by the probe.
    assert [name in request.body for request in server.requests].count(True) == 1
    assert caplog.text.count(f"it does not take '{name}'") == 1


@pytest.mark.parametrize(
    ("name", "said", "fix"),
    [
        ("temperature", "Unsupported value: 'temperature' does not support 0", "sampled"),
        ("logprobs", "logprobs are not supported with this model", "traces weigh"),
        ("max_tokens", "max_tokens: maximum context length is 128 tokens", "--max-tokens"),
    ],
)
def test_a_parameter_that_decides_the_answer_is_refused_by_name(
    server: BatchServer, out: Path, name: str, said: str, fix: str
) -> None:
    server.refuse = refuses(name, said)
    with pytest.raises(InputError, match=rf"{re.escape(said)}.*{fix}"):
        build(server, out)
    assert not server.questions


def test_the_probe_finds_a_context_that_is_too_short_for_the_items(
    server: BatchServer, out: Path
) -> None:
    said = "This model's maximum context length is 512 tokens"
    server.refuse = lambda body: (400, {"message": said}) if body["max_tokens"] > 400 else None
    with pytest.raises(InputError, match=r"maximum context length.*lower --max-tokens"):
        build(server, out, BuildOptions(max_tokens=2048))
    assert not server.questions


def test_an_answer_that_the_context_cuts_says_so(server: BatchServer, out: Path) -> None:
    def cut(_: object, completion: Completion) -> None:
        if completion["usage"]["completion_tokens"] < 400:
            completion["choices"][0]["finish_reason"] = "length"

    server.rework = cut
    with pytest.raises(InputError, match=r"cut at \d+ tokens, before --max-tokens 400.*longer con"):
        build(server, out)


def test_answers_of_another_form_name_the_option_that_helps(server: BatchServer, out: Path) -> None:
    server.script = lambda _: ("It is $\\frac{1}{2}$.", "1/2")
    usual = server._content
    server._content = (  # type: ignore[method-assign]
        lambda question, fault, as_json: usual(question, fault, as_json).replace("\\\\", "\\")
    )
    with pytest.raises(InputError, match=r"single backslashes.*--form plain.*--repair-latex"):
        build(server, out)
    server._content = lambda *_: "It is 1/2."  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"JSON object.*add --form plain"):
        build(server, out.with_name("second.jsonl"))
    with pytest.raises(InputError, match=r"no line <<<REASONING>>>.*add --form json"):
        build(server, out.with_name("third.jsonl"), BuildOptions("plain", max_tokens=400))


def masked(body: dict[str, Any], completion: Completion) -> None:
    if "response_format" in body:
        entries(completion)[0]["logprob"] = 0.0
        entries(completion)[1]["logprob"] = -0.01


def test_plain_text_is_asked_for_where_a_grammar_masks_tokens(
    server: BatchServer, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    usual = build(server, out.with_name("plain.jsonl"), BuildOptions("plain", max_tokens=400))
    server.rework = masked
    server.requests.clear()
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        traces = build(server, out)
    assert traces.traces == usual.traces
    assert traces.header.prompt == usual.header.prompt
    assert traces.header.notes["form"] == "plain"
    assert "JSON mode changes probabilities" in caplog.text
    assert "as by --form plain" in caplog.text
    asked = [r for r in server.requests if not r.question.startswith(PROBE)]
    assert all("response_format" not in request.body for request in asked)
    count = len(server.requests)
    assert build(server, out) == traces
    assert build(server, out, BuildOptions("plain", max_tokens=400)) == traces
    assert len(server.requests) == count
    with pytest.raises(InputError, match="already holds other traces"):
        build(server, out, BuildOptions("json", max_tokens=400))


def test_a_mask_that_the_question_does_not_show_is_found_by_forcing_json(
    server: BatchServer, out: Path
) -> None:
    def forced(body: dict[str, Any], completion: Completion) -> None:
        if "not with JSON" in body["messages"][-1]["content"]:
            masked(body, completion)
        else:
            # This model begins with a brace by itself.
            entries(completion)[0]["logprob"] = -0.01

    server.rework = forced
    traces = build(server, out)
    assert traces.header.notes["form"] == "plain"
    # The question and the word, each with JSON mode and without, then the question in plain text.
    probes = [r for r in server.requests if r.question.startswith(PROBE)]
    assert ["response_format" in r.body for r in probes] == [True, False, True, False, False]
    assert [r.body["max_tokens"] for r in probes] == [400, 400, 8, 8, 400]


def test_the_chosen_form_and_what_the_probe_cost_are_known_after_a_stop(
    server: BatchServer, out: Path
) -> None:
    class Stop(Silent):
        def advance(self, *_: object) -> None:
            raise KeyboardInterrupt

    server.rework = masked
    options = BuildOptions(max_tokens=400, prices=PRICES)
    at = Endpoint("tiny", server.url, concurrency=1)
    with pytest.raises(KeyboardInterrupt):
        build_traces(ADDING, at, out, options, created="2026-01-02", watch=Stop())
    with open_asked(ADDING, at, out, options) as asked:
        assert asked.form == "plain"
        assert PRICES.cost(asked.journal.spent) == pytest.approx(server.usd)
    with pytest.raises(InputError, match=r"form 'plain', now 'json'"):
        build(server, out, BuildOptions("json", max_tokens=400))
    server.requests.clear()
    assert len(build(server, out).traces) == 4
    assert all("response_format" not in request.body for request in server.requests)


def test_batches_are_in_the_form_that_the_probe_chose(server: BatchServer, out: Path) -> None:
    server.rework = masked
    traces = build_by_batch(server, out)
    assert traces.header.notes["form"] == "plain"
    assert len(traces.traces) == 12


def test_json_is_asked_for_without_its_mode_where_it_is_wanted(
    server: BatchServer, out: Path, plain_traces: TraceSet, caplog: pytest.LogCaptureFixture
) -> None:
    server.rework = masked
    server.requests.clear()
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        traces = build(server, out, BuildOptions("json", max_tokens=400))
    assert traces.traces == plain_traces.traces
    assert traces.header.notes["not_sent"] == "response_format"
    assert "JSON mode changes probabilities" in caplog.text
    asked = [r for r in server.requests if not r.question.startswith(PROBE)]
    assert all("response_format" not in request.body for request in asked)


def test_a_model_that_needs_the_grammar_is_asked_for_plain_text(
    server: BatchServer, out: Path
) -> None:
    server.rework = masked
    usual = server._content

    def prose_unless_forced(question: str, fault: str, as_json: bool) -> str:
        forced = "response_format" in server.requests[-1].body
        return usual(question, fault if forced or not as_json else "prose", as_json)

    server._content = prose_unless_forced  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"a grammar masks other tokens.*--form plain"):
        build(server, out, BuildOptions("json", max_tokens=400))
    assert len(build(server, out).traces) == 4


def test_a_server_that_is_only_inexact_keeps_json_mode(server: BatchServer, out: Path) -> None:
    def noisy(body: dict[str, Any], completion: Completion) -> None:
        entries(completion)[0]["logprob"] = -0.01
        for at in range(1, min(20, len(entries(completion)))):
            p = 0.5 + (0.05 if (at % 2 == 0) == ("response_format" in body) else -0.05)
            entries(completion)[at]["logprob"] = math.log(p)

    server.rework = noisy
    assert "not_sent" not in build(server, out).header.notes


def test_what_a_server_does_not_take_is_known_after_a_stop(server: BatchServer, out: Path) -> None:
    server.refuse = refuses("seed", "seed is unknown")

    class Stop(Silent):
        def advance(self, *_: object) -> None:
            raise KeyboardInterrupt

    at = Endpoint("tiny", server.url, concurrency=1)
    with pytest.raises(KeyboardInterrupt):
        build_traces(
            ADDING, at, out, BuildOptions(max_tokens=400), created="2026-01-02", watch=Stop()
        )
    server.requests.clear()
    traces = build(server, out)
    assert all("seed" not in request.body for request in server.requests)
    assert traces.header.notes["not_sent"] == "seed"


def test_batches_are_asked_as_the_probe_was(server: BatchServer, out: Path) -> None:
    server.refuse = refuses("response_format", "no json_object here")
    traces = build_by_batch(server, out)
    assert sorted(server.batched) == QUESTIONS
    assert traces.header.notes["not_sent"] == "response_format"
    lines = [line["body"] for upload in server.uploads for line in upload]
    assert lines
    assert all("response_format" not in body for body in lines)


def test_a_parameter_that_only_batches_refuse_costs_no_item(server: BatchServer, out: Path) -> None:
    def refuse(body: dict[str, Any]) -> tuple[int, Any] | None:
        probe = body["messages"][-1]["content"].startswith(PROBE)
        return None if probe or "seed" not in body else (400, {"error": "seed is not known"})

    server.refuse = refuse
    traces = build_by_batch(server, out)
    assert (len(traces.traces), traces.exclusions) == (12, ())
    assert traces.header.notes["not_sent"] == "seed"
    assert [json.dumps(u).count('"seed"') for u in server.uploads] == [12, 0]
