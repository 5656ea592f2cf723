import json
import logging
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from completions_server import COMPLETION_USD, PROMPT_USD, CompletionsServer

from dataselect.benchmarks.items import BenchmarkItems, CodeCheck, Item
from dataselect.errors import DataselectError, IncompleteError, InputError, LockedError
from dataselect.store import lock
from dataselect.traces.recording.asked import BuildOptions, partial_folder
from dataselect.traces.recording.build import Progress, build_traces
from dataselect.traces.recording.endpoint import Endpoint
from dataselect.traces.recording.spending import Estimate, Prices
from dataselect.traces.trace import TraceSet, read_traces

KEY = "sk-secret-0123456789"
PRICES = Prices(PROMPT_USD, COMPLETION_USD)
ITEMS = tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(12))
ADDING = BenchmarkItems("adding", ITEMS, revision="adding@1", task="arithmetic")


class Watch:
    """Records its calls."""

    def __init__(self) -> None:
        self.estimate: Estimate | None = None
        self.seen: list[Progress] = []

    def start(self, estimate: Estimate, progress: Progress) -> None:
        self.estimate = estimate
        self.seen.append(progress)

    def advance(self, progress: Progress) -> None:
        self.seen.append(progress)


def script(question: str) -> tuple[str, str]:
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    return f"We add {numbers}, “carefully”.\nSo it is {sum(numbers)}.", str(sum(numbers))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with CompletionsServer(script) as running:
        yield running


def build(
    server: CompletionsServer,
    out: Path,
    model: str = "tiny",
    *,
    benchmark: BenchmarkItems = ADDING,
    options: BuildOptions | None = None,
    watch: Watch | None = None,
    **changes: Any,
) -> TraceSet:
    quick = Endpoint(
        model, server.url, timeout_seconds=60, attempts=3, first_wait_seconds=0.01, concurrency=4
    )
    return build_traces(
        benchmark,
        replace(quick, **changes),
        out,
        options or BuildOptions(max_tokens=400, prices=PRICES),
        created="2026-01-02",
        watch=watch or Watch(),
    )


def test_every_item_gets_its_trace(server: CompletionsServer, out: Path) -> None:
    watch = Watch()
    traces = build(server, out, watch=watch)
    assert {item: trace.text for item, trace in traces.traces.items()} == {
        item.id: script(item.question)[0] for item in ITEMS
    }
    assert {trace.answer for trace in traces.traces.values()} == {item.answer for item in ITEMS}
    assert read_traces(out) == traces
    assert not partial_folder(out).exists()
    assert sorted(server.questions) == sorted(item.question for item in ITEMS)
    assert [progress.settled for progress in watch.seen] == list(range(13))


def test_the_header_says_where_the_traces_come_from(server: CompletionsServer, out: Path) -> None:
    header = build(server, out).header
    assert (header.benchmark, header.model) == ("adding", "tiny-2026-01-01")
    assert (header.benchmark_revision, header.fingerprint) == ("adding@1", "fp_1")
    assert header.created == "2026-01-02"
    assert header.notes["asked_model"] == "tiny"
    assert server.url.split("/")[2] == header.notes["server"]
    probe_usd = (
        server.model.count("\n".join(m["content"] for m in server.requests[0].body["messages"]))
        * PROMPT_USD
        / 1e6
    )
    assert float(header.notes["usd"]) == pytest.approx(server.usd - probe_usd, abs=2e-3)


def test_choices_are_shown_as_lines_and_the_task_is_named(
    server: CompletionsServer, out: Path
) -> None:
    item = Item("q", "Which is 2 + 2?", "B", ("3", "4"), 1)
    build(server, out, benchmark=replace(ADDING, items=(item,)))
    assert server.questions == ["Which is 2 + 2?\nA. 3\nB. 4"]
    assert "arithmetic" in server.requests[1].body["messages"][0]["content"]


def test_shots_without_a_rationale_are_asked_too(server: CompletionsServer, out: Path) -> None:
    shots = (
        Item("s1", "What is 50 + 2?", "52"),
        Item("s2", "What is 60 + 2?", "62", rationale="It is 62."),
        Item("s3", "def f():", "  pass", code=CodeCheck("", "f")),
        ITEMS[0],
    )
    traces = build(server, out, benchmark=replace(ADDING, items=ITEMS[:2], shots=shots))
    assert set(traces.traces) == {"q0", "q1", "s1"}
    assert len(server.questions) == 3


@pytest.mark.parametrize("fault", ["empty", "refusal", "filter", "length", "prose", "nologprobs"])
def test_a_bad_answer_gets_one_more_attempt(
    server: CompletionsServer, out: Path, fault: str
) -> None:
    traces = build(server, out, f"tiny+each-{fault}:1")
    assert (len(traces.traces), traces.exclusions) == (12, ())
    assert set(Counter(server.questions).values()) == {2}


def test_a_second_bad_answer_excludes_the_item_with_the_reason(
    server: CompletionsServer, out: Path
) -> None:
    traces = build(server, out, "tiny+item-refusal:2", concurrency=1)
    assert [(each.item, each.reason) for each in traces.exclusions] == [
        ("q0", "the model refused: I cannot help with that.")
    ]
    assert set(traces.traces) == {item.id for item in ITEMS[1:]}
    assert read_traces(out).exclusions == traces.exclusions


def test_failures_of_the_server_exclude_nothing(server: CompletionsServer, out: Path) -> None:
    faults = "+each-429:1+each-500:1+each-reset:1+each-html:1"
    traces = build(server, out, f"tiny{faults}", attempts=5)
    assert (len(traces.traces), traces.exclusions) == (12, ())


def test_the_same_call_goes_on_after_the_server_failed(
    server: CompletionsServer, out: Path
) -> None:
    whole = build(server, out.with_name("whole.jsonl"))
    server.requests.clear()
    broken = CompletionsServer.handle

    def break_after_five(self: CompletionsServer, http: Any, body: dict[str, Any]) -> None:
        broken(self, http, {**body, "model": "tiny+500" if len(self.requests) > 5 else "tiny"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CompletionsServer, "handle", break_after_five)
        with pytest.raises(IncompleteError, match="attempts failed"):
            build(server, out)
    journal = (partial_folder(out) / "journal.jsonl").read_text()
    answered = journal.count('"answered"') - 1
    assert answered >= 1
    server.requests.clear()
    traces = build(server, out)
    assert len(server.questions) == 12 - answered
    assert (traces.traces, traces.header) == (whole.traces, whole.header)


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """SIGINT interrupts, also where a shell that started the tests with & had it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_journal_cut_anywhere_loses_only_what_was_not_written(
    server: CompletionsServer, out: Path
) -> None:
    whole = build(server, out)
    with pytest.raises(KeyboardInterrupt):
        build(server, out.with_name("cut.jsonl.gz"), watch=InterruptAfter(8))
    folder = partial_folder(out.with_name("cut.jsonl.gz"))
    journal = (folder / "journal.jsonl").read_bytes()
    for part in (0.1, 0.35, 0.6, 0.85, 1.0):
        (folder / "journal.jsonl").write_bytes(journal[: int(part * len(journal))])
        kept = answered_questions(folder)
        server.requests.clear()
        again = out.with_name("cut.jsonl.gz")
        traces = build(server, again)
        assert not kept & set(server.questions)
        assert len(kept) + len(server.questions) == 12
        assert again.read_bytes() == out.read_bytes()
        assert traces.traces == whole.traces
        again.unlink()
        folder.mkdir()


class InterruptAfter(Watch):
    """Ctrl-C after some items."""

    def __init__(self, items: int) -> None:
        super().__init__()
        self._items = items

    def advance(self, progress: Progress) -> None:
        super().advance(progress)
        if progress.settled == self._items:
            signal.raise_signal(signal.SIGINT)


def answered_questions(folder: Path) -> set[str]:
    """The questions with complete answers in a journal, read without the package's code."""
    asked, answered = {}, set()
    for line in (folder / "journal.jsonl").read_bytes().split(b"\n")[:-1]:
        record = json.loads(line)
        if "request" in record and record["item"] is not None:
            asked[record["request"]] = int(record["item"][1:])
        answered.add(record.get("answered"))
    return {ITEMS[n].question for request, n in asked.items() if request in answered}


def test_an_interruption_keeps_what_was_answered(server: CompletionsServer, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(server, out, watch=InterruptAfter(4))
    kept = answered_questions(partial_folder(out))
    assert len(kept) >= 4
    server.requests.clear()
    assert len(build(server, out).traces) == 12
    assert not kept & set(server.questions)


def test_existing_traces_are_not_requested_again(server: CompletionsServer, out: Path) -> None:
    traces = build(server, out)
    server.requests.clear()
    assert build(server, out) == traces
    assert not server.requests


@pytest.mark.parametrize(
    "changes", [{"model": "tiny+none"}, {"options": BuildOptions("plain")}, {"seed": 1}]
)
def test_other_existing_traces_are_not_replaced(
    server: CompletionsServer, out: Path, changes: dict[str, Any]
) -> None:
    build(server, out)
    before = out.read_bytes()
    with pytest.raises(InputError, match="already holds other traces"):
        build(server, out, **changes)
    assert out.read_bytes() == before


def test_answers_to_other_questions_are_not_taken(server: CompletionsServer, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(server, out, watch=InterruptAfter(4))
    with pytest.raises(InputError, match=r"items .*delete this folder to start over"):
        build(server, out, benchmark=replace(ADDING, items=ITEMS[:3]))


def test_a_refused_start_does_not_block_another_model(server: CompletionsServer, out: Path) -> None:
    with pytest.raises(InputError, match="without log-probabilities"):
        build(server, out, "tiny+nologprobs")
    assert len(build(server, out, "tiny").traces) == 12


def test_two_builds_of_one_file_exclude_each_other(server: CompletionsServer, out: Path) -> None:
    with lock(partial_folder(out), "x"), pytest.raises(LockedError, match="recording of traces"):
        build(server, out)
    assert not server.requests


def test_another_model_behind_the_same_name_stops_the_work(
    server: CompletionsServer, out: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(server, out, watch=InterruptAfter(4))
    server.answers_as = "tiny-2027"
    with pytest.raises(InputError, match="'tiny-2026-01-01' and now come from 'tiny-2027'"):
        build(server, out)


def test_another_fingerprint_is_reported_and_kept(
    server: CompletionsServer, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        build(server, out, watch=InterruptAfter(4))
    server.fingerprint = "fp_2"
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        traces = build(server, out)
    assert "fingerprint was fp_1 and is fp_2 now" in caplog.text
    assert traces.header.fingerprint == "fp_1, fp_2"


def test_latex_can_be_repaired_in_stored_answers(server: CompletionsServer, out: Path) -> None:
    latex = r'{"reasoning": "It is \frac{1}{2}.", "final_answer": "0.5"}'
    server._content = (  # type: ignore[method-assign]
        lambda question, fault, as_json: (
            latex
            if question == "What is 3 + 2?"
            else json.dumps(dict(zip(("reasoning", "final_answer"), script(question), strict=True)))
        )
    )
    with pytest.raises(KeyboardInterrupt):
        build(server, out, watch=InterruptAfter(11), concurrency=1)
    server.requests.clear()
    options = BuildOptions(max_tokens=400, prices=PRICES, repair_latex=True)
    traces = build(server, out, options=options)
    assert traces.traces["q3"].text == r"It is \frac{1}{2}."
    assert traces.header.notes["repaired_backslashes"] == "1"
    assert "What is 3 + 2?" not in server.questions


def test_answers_that_are_all_bad_are_not_paid_for_to_the_end(
    server: CompletionsServer, out: Path
) -> None:
    items = tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(60))
    with pytest.raises(InputError, match=r"none of 20 answers can be used .q"):
        build(server, out, "tiny+prose", benchmark=replace(ADDING, items=items))
    assert len(server.questions) <= 2 * (20 + 4)


def test_the_estimate_comes_before_the_first_request(server: CompletionsServer, out: Path) -> None:
    class Refuse(Watch):
        def start(self, estimate: Estimate, progress: Progress) -> None:
            super().start(estimate, progress)
            raise IncompleteError("too dear")

    watch = Refuse()
    with pytest.raises(IncompleteError, match="too dear"):
        build(server, out, watch=watch)
    assert not server.requests
    assert watch.estimate is not None
    assert watch.estimate.requests == 12
    assert watch.estimate.usd == pytest.approx(PRICES.cost(watch.estimate.usage))


@pytest.mark.parametrize(
    ("fault", "at_least"),
    [
        ("", 0.01),
        ("+each-reset:1", 0.002),
        ("+each-html:1+each-timeout:1", 0.001),
        ("+nousage", 0.002),
    ],
)
def test_the_servers_own_ledger_never_passes_the_cap(
    server: CompletionsServer, out: Path, fault: str, at_least: float
) -> None:
    cap = 0.015
    options = BuildOptions(max_tokens=400, max_usd=cap, prices=PRICES)
    with pytest.raises(IncompleteError, match=r"of 0\.015 US dollars.*raise --max-usd"):
        build(server, out, f"tiny{fault}", options=options, timeout_seconds=0.5)
    assert at_least < server.usd <= cap
    with pytest.raises(IncompleteError, match="raise --max-usd"):
        build(server, out, f"tiny{fault}", options=options, timeout_seconds=0.5)
    assert server.usd <= cap
    more = replace(options, max_usd=10.0)
    assert len(build(server, out, f"tiny{fault}", options=more, timeout_seconds=0.5).traces) == 12


def test_a_cap_without_prices_is_refused_before_anything(
    server: CompletionsServer, out: Path
) -> None:
    with pytest.raises(InputError, match="prices of this model are not known"):
        build(server, out, options=BuildOptions(max_usd=1.0))
    assert not server.requests


def test_progress_has_the_expected_cost(server: CompletionsServer, out: Path) -> None:
    watch = Watch()
    build(server, out, watch=watch)
    last, middle = watch.seen[-1], watch.seen[6]
    assert last.usd == pytest.approx(server.usd)
    assert last.expected_usd == pytest.approx(server.usd)
    assert middle.expected_usd == pytest.approx(server.usd, rel=0.15)


@pytest.mark.parametrize("fault", ["", "+429:2", "+401", "+item-echo:2", "+item-400:2", "+quota"])
def test_the_key_is_in_no_file_and_no_log(
    server: CompletionsServer, out: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    files: dict[str, bytes] = {}

    class Look(Watch):
        def advance(self, progress: Progress) -> None:
            files.update({str(p): p.read_bytes() for p in out.parent.rglob("*") if p.is_file()})

    message = ""
    with caplog.at_level(logging.DEBUG):
        try:
            build(server, out, f"tiny{fault}", watch=Look())
        except DataselectError as error:
            message = str(error)
    files.update({str(p): p.read_bytes() for p in out.parent.rglob("*") if p.is_file()})
    everything = b"".join(files.values()) + (message + caplog.text).encode()
    spelt = "".join(re.findall(r'\["(.*?)",-?\d', everything.decode(errors="replace")))
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY.encode() not in everything
    assert KEY not in spelt


def test_it_can_be_called_beside_other_threads(server: CompletionsServer, out: Path) -> None:
    found: list[TraceSet] = []
    thread = threading.Thread(target=lambda: found.append(build(server, out)))
    thread.start()
    thread.join(20)
    assert len(found[0].traces) == 12
