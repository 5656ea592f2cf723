import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from batch_building import (
    ADDING,
    ITEMS,
    OPTIONS,
    PRICES,
    QUESTIONS,
    Time,
    Watch,
    build,
    one_by_one,
    script,
    sizes,
)
from batch_server import BatchServer

from dataselect.benchmarks.items import Item
from dataselect.errors import IncompleteError, InputError, LockedError
from dataselect.store import lock
from dataselect.traces.recording.asked import partial_folder
from dataselect.traces.recording.batch import Limits, Queue
from dataselect.traces.recording.journal import Journal
from dataselect.traces.recording.spending import Usage
from dataselect.traces.trace import read_traces


def test_the_traces_are_those_of_single_requests(server: BatchServer, out: Path) -> None:
    watch = Watch()
    made = build(server, out, watch=watch)
    single = one_by_one(server, out.with_name("single.jsonl"))
    assert made.traces == single.traces
    assert made.hash == single.hash
    notes, others = dict(made.header.notes), dict(single.header.notes)
    assert float(notes.pop("usd")) == pytest.approx(float(others.pop("usd")) / 2, abs=1e-4)
    assert notes == others
    assert replace(made.header, notes={}) == replace(single.header, notes={})
    assert sorted(server.batched) == QUESTIONS
    assert [each.settled for each in watch.seen] == list(range(1, 13))
    assert read_traces(out) == made
    assert not partial_folder(out).exists()


def test_a_request_in_a_batch_is_the_single_request(server: BatchServer, out: Path) -> None:
    model = "tiny+unknown-seed"
    build(server, out, model)
    server.requests.clear()
    one_by_one(server, out.with_name("single.jsonl"), model)
    single = {request.question: request.body for request in server.requests}
    for request in server.uploads[0]:
        assert (request["method"], request["url"]) == ("POST", "/v1/chat/completions")
        question = request["body"]["messages"][-1]["content"].split("\n\nRespond ONLY")[0]
        assert request["body"] == single[question]
        assert "seed" not in request["body"]


def test_the_server_is_probed_before_anything_is_uploaded(server: BatchServer, out: Path) -> None:
    with pytest.raises(InputError, match="without log-probabilities"):
        build(server, out, "tiny+nologprobs")
    assert server.events == []


def test_items_may_have_any_id(server: BatchServer, out: Path) -> None:
    ids = ['"', "a\nb", "日本/😀", "x" * 500, "request-0", "request-1"]
    items = tuple(replace(item, id=name) for item, name in zip(ITEMS, ids, strict=False))
    made = build(server, out, benchmark=replace(ADDING, items=items))
    assert {name: trace.text for name, trace in made.traces.items()} == {
        item.id: script(item.question)[0] for item in items
    }
    names = [request["custom_id"] for request in server.uploads[0]]
    assert all(re.fullmatch(r"[a-z0-9-]{1,64}", name) for name in names)


def test_the_price_is_half(server: BatchServer, out: Path) -> None:
    watch = Watch()
    build(server, out, watch=watch)
    assert watch.estimate is not None
    assert watch.estimate.usd == pytest.approx(PRICES.cost(watch.estimate.usage))
    tokens = watch.estimate.usage.prompt_tokens, watch.estimate.usage.completion_tokens
    assert watch.estimate.usd == pytest.approx(PRICES.cost(Usage(*tokens)) / 2)
    assert watch.seen[-1].usd == pytest.approx(server.usd)


def test_a_bad_answer_gets_one_more_attempt_in_a_second_batch(
    server: BatchServer, out: Path
) -> None:
    bad = {"What is 3 + 2?", "What is 5 + 2?"}
    fault = server.fault
    server.fault = lambda model, question: (  # type: ignore[method-assign]
        fault("tiny+each-prose:1", question) if question in bad else ""
    )
    made = build(server, out)
    assert (len(made.traces), made.exclusions) == (12, ())
    assert sizes(server) == [12, 2]
    assert Counter(server.batched) == {q: 1 + (q in bad) for q in QUESTIONS}
    assert [r["body"]["seed"] for upload in server.uploads for r in upload] == [0] * 12 + [1] * 2


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("refusal", "the model refused"),
        ("400", r"refused the request .HTTP 400, This prompt is too long"),
        ("echo", "repeats the key"),
    ],
)
def test_a_second_bad_answer_excludes_the_item_with_the_reason(
    server: BatchServer, out: Path, fault: str, reason: str
) -> None:
    orders = server.fault
    server.fault = lambda model, question: (  # type: ignore[method-assign]
        orders(f"tiny+each-{fault}:2", question) if question == "What is 3 + 2?" else ""
    )
    made = build(server, out)
    assert [each.item for each in made.exclusions] == ["q3"]
    assert re.search(reason, made.exclusions[0].reason)
    assert len(made.traces) == 11
    assert sizes(server) == [12, 1]


def test_answers_that_are_all_bad_are_not_paid_for_twice(server: BatchServer, out: Path) -> None:
    items = tuple(Item(f"q{n}", f"What is {n} + 2?", str(n + 2)) for n in range(50))
    with pytest.raises(InputError, match="none of 20 answers can be used"):
        build(server, out, "tiny+item-prose", benchmark=replace(ADDING, items=items))
    assert sizes(server) == [50, 20]


def test_the_time_between_polls_grows_up_to_the_longest(server: BatchServer, out: Path) -> None:
    server.looks = 9
    time, watch = Time(), Watch()
    build(server, out, wait=time.wait(), watch=watch)
    assert time.waits == pytest.approx([min(5.0 * 1.5**n, 60.0) for n in range(9)])
    assert watch.queues == [Queue(1, 12, 0)] * 9


def test_after_the_time_to_wait_the_batch_goes_on_and_is_fetched_later(
    server: BatchServer, out: Path
) -> None:
    server.looks = 10
    time = Time()
    with pytest.raises(
        IncompleteError, match=r"0 of 12 requests are done and the batch is not over"
    ):
        build(server, out, wait=time.wait(20.0))
    assert sum(time.waits) == pytest.approx(20.0)
    server.requests.clear()
    assert len(build(server, out).traces) == 12
    assert sizes(server) == [12]
    assert server.requests == []


def test_without_waiting_a_call_submits_and_another_fetches(server: BatchServer, out: Path) -> None:
    server.looks = 2
    for _ in range(2):
        time = Time()
        with pytest.raises(IncompleteError, match="run the same command again to fetch it"):
            build(server, out, wait=time.wait(0.0))
        assert time.waits == []
    assert len(build(server, out, wait=Time().wait(0.0)).traces) == 12
    assert server.events.count("POST batches") == 1


def test_single_requests_are_refused_while_a_batch_is_open(server: BatchServer, out: Path) -> None:
    with pytest.raises(IncompleteError):
        build(server, out, wait=Time().wait(0.0))
    server.requests.clear()
    with pytest.raises(InputError, match="in a batch that is not over; add --batch"):
        one_by_one(server, out)
    assert server.requests == []
    with pytest.raises(InputError, match="answers are to other questions"):
        build(server, out, options=replace(OPTIONS, max_tokens=500))
    assert len(build(server, out).traces) == 12


def test_single_requests_go_on_where_a_batch_ended(server: BatchServer, out: Path) -> None:
    server.endings = ["cancelled:5"]
    with pytest.raises(IncompleteError):
        build(server, out)
    server.requests.clear()
    assert len(one_by_one(server, out).traces) == 12
    assert sorted([*server.batched, *server.questions]) == QUESTIONS


def test_as_much_as_the_cap_allows_is_submitted_and_then_the_rest(
    server: BatchServer, out: Path
) -> None:
    cap = 0.012
    assert len(build(server, out, options=replace(OPTIONS, max_usd=cap)).traces) == 12
    assert 1 < sizes(server)[0] < 12
    assert sum(sizes(server)) == 12
    assert server.usd <= cap


@pytest.mark.parametrize("fault", ["", "+nousage", "+each-502:1", "+each-prose:1"])
def test_the_servers_own_ledger_never_passes_the_cap(
    server: BatchServer, out: Path, fault: str
) -> None:
    cap = 0.007
    for _ in range(2):
        with pytest.raises(IncompleteError, match=r"of 0\.007 US dollars.*raise --max-usd"):
            build(server, out, f"tiny{fault}", options=replace(OPTIONS, max_usd=cap))
        assert cap / 10 < server.usd <= cap
    more = replace(OPTIONS, max_usd=1.0)
    assert len(build(server, out, f"tiny{fault}", options=more).traces) == 12


def test_a_batch_under_way_counts_with_all_it_can_cost(server: BatchServer, out: Path) -> None:
    server.looks = 5
    room = replace(OPTIONS, max_usd=0.012)
    with pytest.raises(IncompleteError, match="is not over"):
        build(server, out, options=room, wait=Time().wait(0.0))
    (first,) = sizes(server)
    with pytest.raises(IncompleteError, match="is not over"):
        build(server, out, options=room, wait=Time().wait(0.0))
    assert sizes(server) == [first]
    assert len(build(server, out, options=room).traces) == 12
    assert server.usd <= 0.012


def test_a_batch_holds_only_so_many_requests(server: BatchServer, out: Path) -> None:
    assert len(build(server, out, limits=Limits(requests=5)).traces) == 12
    assert sizes(server) == [5, 5, 2]


def test_a_batch_holds_only_so_many_bytes(server: BatchServer, out: Path) -> None:
    assert len(build(server, out, limits=Limits(bytes=3_000)).traces) == 12
    files = [data for data in server._files.values() if b'"method"' in data]
    assert len(files) > 2
    assert max(map(len, files)) <= 3_000
    assert max(map(len, files)) > 2_000
    assert sum(sizes(server)) == 12


def test_a_request_that_is_too_large_for_a_batch_is_left_to_the_server(
    server: BatchServer, out: Path
) -> None:
    assert len(build(server, out, limits=Limits(bytes=10)).traces) == 12
    assert sizes(server) == [1] * 12


def test_two_builds_of_one_file_exclude_each_other(server: BatchServer, out: Path) -> None:
    with lock(partial_folder(out), "x"), pytest.raises(LockedError):
        build(server, out)
    assert not server.requests


def test_existing_traces_are_not_requested_again(server: BatchServer, out: Path) -> None:
    made = build(server, out)
    server.requests.clear()
    server.events.clear()
    assert build(server, out) == made
    assert one_by_one(server, out) == made
    assert (server.requests, server.events) == ([], [])


def test_a_journal_keeps_requests_of_a_batch_open(tmp_path: Path) -> None:
    worst = Usage(100, 1000).in_batch()
    path = tmp_path / "journal.jsonl"
    with Journal(path, {}) as journal:
        batch = journal.begin_batch("t", [("q1", worst), ("q2", worst), ("q3", worst)])
        journal.uploaded(batch, "f")
        journal.created(batch, "b")
        journal.failed(batch.numbers[1], worst)
        before = journal.open_in(batch)
    assert before == {1: ("q1", worst), 3: ("q3", worst)}
    with Journal(path, {}) as journal:
        assert journal.batches == {"t": batch}
        assert journal.open_in(journal.batches["t"]) == before
        assert journal.spent == worst
        journal.ended(journal.batches["t"])
    with Journal(path, {}) as journal:
        assert (journal.batches, journal.spent) == ({}, worst)
        assert journal.begin("q1", worst) == 4
