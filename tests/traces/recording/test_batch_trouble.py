import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from batch_building import (
    ADDING,
    KEY,
    OPTIONS,
    QUESTIONS,
    Time,
    Watch,
    build,
    one_by_one,
    sizes,
)
from batch_server import BatchServer

from dataselect.errors import DataselectError, IncompleteError, InputError
from dataselect.traces.recording.asked import partial_folder


@pytest.mark.parametrize("fault", ["500", "429"])
def test_unanswered_requests_are_submitted_again(
    server: BatchServer, out: Path, fault: str
) -> None:
    made = build(server, out, f"tiny+item-{fault}:4")
    assert (len(made.traces), made.exclusions) == (12, ())
    assert sizes(server) == [12, 4]


def test_an_answer_that_cannot_be_read_is_asked_for_again(
    server: BatchServer, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete = server.complete
    monkeypatch.setattr(
        server,
        "complete",
        lambda fault, *rest: {"page": 1} if fault == "html" else complete(fault, *rest),
    )
    made = build(server, out, "tiny+item-html:4")
    assert (len(made.traces), made.exclusions) == (12, ())
    assert sizes(server) == [12, 4]


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        ("401", InputError, "refuses the key"),
        ("quota", IncompleteError, "no quota left"),
        ("404", InputError, "has no model"),
    ],
)
def test_permanent_failures_stop_the_work_and_keep_the_answers(
    server: BatchServer, out: Path, fault: str, error: type[DataselectError], message: str
) -> None:
    with pytest.raises(error, match=message):
        build(server, out, f"tiny+item-{fault}:1")
    assert sizes(server) == [12]
    assert len(build(server, out, f"tiny+item-{fault}:1").traces) == 12
    assert sizes(server) == [12, 1]


def test_an_answer_that_never_comes_ends_the_work_for_now(server: BatchServer, out: Path) -> None:
    with pytest.raises(IncompleteError, match=r"12 requests unanswered .HTTP 500.*--batch"):
        build(server, out, "tiny+item-500:48")
    assert sizes(server) == [12] * 4
    assert len(build(server, out, "tiny+item-500:48").traces) == 12


def test_results_of_unknown_requests_are_reported_and_not_used(
    server: BatchServer, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answer = {"response": {"status_code": 200, "body": {"choices": []}}}
    server.more_results = [
        json.dumps({"custom_id": "request-12", **answer}),
        json.dumps({"custom_id": "q1", **answer}),
        json.dumps({"custom_id": "request-0", **answer}),
        "{torn",
        "",
        '{"custom_id": 7}',
    ]
    with caplog.at_level(logging.WARNING, logger="dataselect"):
        made = build(server, out)
    assert len(made.traces) == 12
    assert sizes(server) == [12]
    assert "batch-0: 2 results are to requests that were not sent" in caplog.text
    assert "batch-0: 1 results came more than once" in caplog.text
    assert "batch-0: 2 results cannot be read" in caplog.text


def test_an_expired_batch_keeps_its_answers(server: BatchServer, out: Path) -> None:
    server.endings = ["expired:5", "expired:0"]
    made = build(server, out)
    assert len(made.traces) == 12
    assert sizes(server) == [12, 7, 7]
    assert sorted(server.batched) == QUESTIONS


def test_batches_that_always_expire_end_the_work_for_now(server: BatchServer, out: Path) -> None:
    server.endings = ["expired:2"] * 4
    with pytest.raises(IncompleteError, match=r"4 requests unanswered .It was not executed"):
        build(server, out)
    assert sizes(server) == [12, 10, 8, 6]
    assert len(build(server, out).traces) == 12
    assert sorted(server.batched) == QUESTIONS


def test_cancelled_requests_are_not_submitted_in_the_same_run(
    server: BatchServer, out: Path
) -> None:
    server.endings = ["cancelled:5"]
    with pytest.raises(IncompleteError, match=r"batch-0 was cancelled with 7 requests unanswered"):
        build(server, out)
    assert sizes(server) == [12]
    assert len(build(server, out).traces) == 12
    assert sizes(server) == [12, 7]


def test_a_full_queue_is_filled_by_smaller_batches_one_by_one(
    server: BatchServer, out: Path
) -> None:
    server.endings = ["failed:token_limit_exceeded"] * 2
    assert len(build(server, out).traces) == 12
    assert sizes(server) == [12, 6, 3, 3, 3, 3]
    steps = [event for event in server.events if event in {"POST batches", "GET files one"}]
    assert steps == ["POST batches"] * 2 + ["POST batches", "GET files one"] * 4
    assert sorted(server.batched) == QUESTIONS


def test_a_queue_that_others_fill_ends_the_work_for_now(server: BatchServer, out: Path) -> None:
    server.endings = ["failed:token_limit_exceeded"] * 4
    with pytest.raises(IncompleteError, match="token_limit_exceeded"):
        build(server, out)
    assert sizes(server) == [12, 6, 3, 1]


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        ("model_not_found", InputError, "batch-0: it was refused .*check --model"),
        ("billing_hard_limit_reached", IncompleteError, "add credit"),
    ],
)
def test_a_batch_that_is_refused_for_good_is_submitted_once(
    server: BatchServer, out: Path, code: str, error: type[DataselectError], message: str
) -> None:
    server.endings = [f"failed:{code}"]
    with pytest.raises(error, match=message):
        build(server, out)
    assert sizes(server) == [12]
    assert KEY not in (partial_folder(out) / "journal.jsonl").read_text()


@pytest.mark.parametrize("absent", ["files", "POST batches"])
def test_a_server_without_batches_is_bad_input_and_single_requests_go_on(
    server: BatchServer, out: Path, absent: str
) -> None:
    server.absent = {absent}
    with pytest.raises(InputError, match=r"it takes no batches.*leave --batch off"):
        build(server, out)
    assert len(one_by_one(server, out).traces) == 12


def test_a_batch_that_the_server_does_not_know_is_bad_input(server: BatchServer, out: Path) -> None:
    server.absent = {"GET batches one"}
    with pytest.raises(InputError, match=r"does not know batch batch-0.*use the key"):
        build(server, out)
    server.absent = set()
    assert len(build(server, out).traces) == 12
    assert sizes(server) == [12]


def test_results_that_are_gone_count_as_paid_and_are_asked_for_again(
    server: BatchServer, out: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.absent = {"GET files one"}
    watch = Watch()

    def bring_back() -> None:
        server.absent = set()

    server.at["GET files one"] = bring_back
    made = build(server, out, watch=watch)
    assert len(made.traces) == 12
    assert sizes(server) == [12, 12]
    assert "results of batch batch-0 are gone" in caplog.text
    assert watch.seen[-1].usd is not None
    # Twelve answers of 400 tokens at half the price.
    assert watch.seen[-1].usd > server.usd / 2 + 12 * 0.002


def test_lost_results_count_in_the_next_run_too(server: BatchServer, out: Path) -> None:
    server.absent = {"GET files one"}
    server.endings = ["completed", "failed:billing_hard_limit_reached"]
    with pytest.raises(IncompleteError, match="add credit"):
        build(server, out)
    # Twelve answers of 400 tokens at half the price, and their questions.
    with pytest.raises(IncompleteError, match=r"spent 0\.02[4-9]\d* of 0\.025 US dollars"):
        build(server, out, options=replace(OPTIONS, max_usd=0.025))


def test_an_answer_that_may_have_been_billed_counts(server: BatchServer, out: Path) -> None:
    watch = Watch()
    assert len(build(server, out, "tiny+each-502:1", watch=watch).traces) == 12
    assert watch.seen[-1].usd is not None
    assert watch.seen[-1].usd > server.usd + 12 * 0.002


@pytest.mark.parametrize(
    ("event", "times"), [("POST files", 2), ("POST batches", 1), ("GET batches one", 2)]
)
def test_failures_of_the_server_are_retried(
    server: BatchServer, out: Path, event: str, times: int
) -> None:
    orders = iter(["lost"] * times)
    server.at[event] = lambda: next(orders, None)
    assert len(build(server, out).traces) == 12
    assert len(server.batches) == 1
    assert next(orders, None) is None


def test_results_that_break_off_are_read_on_without_a_loss(server: BatchServer, out: Path) -> None:
    orders = iter(["lost", "lost"])
    server.at["GET files one"] = lambda: next(orders, None)
    made = build(server, out)
    assert len(made.traces) == 12
    assert sizes(server) == [12]
    assert server.events.count("GET files one") == 3


def test_a_page_of_html_for_results_is_tried_again(server: BatchServer, out: Path) -> None:
    pages = {"file-1": b"<html>Welcome</html>"}

    def once() -> None:
        server._files.update({name: kept[name] for name in pages})

    kept: dict[str, bytes] = {}
    end = server._end

    def hide(batch: dict[str, Any]) -> None:
        end(batch)
        kept.update({name: server._files[name] for name in pages})
        server._files.update(pages)

    server._end = hide  # type: ignore[method-assign]
    server.at["GET files one"] = once
    assert len(build(server, out).traces) == 12
    assert sizes(server) == [12]
    assert server.events.count("GET files one") == 2


@pytest.mark.parametrize("forgotten", ["file", "tag"])
def test_a_batch_whose_creation_was_not_confirmed_is_found(
    server: BatchServer, out: Path, forgotten: str
) -> None:
    for other in ("one", "two", "three"):
        one_more = replace(ADDING, id=other)
        build(server, out.with_name(f"{other}.jsonl"), benchmark=one_more)
    server.forgets = {forgotten}
    others, orders = list(server.batches), iter(["lost"])

    def lose() -> str | None:
        # Those of others came later, and so they are listed before it.
        server.batches[:] = [*server.batches[3:], *others]
        return next(orders, None)

    server.at["POST batches"] = lose
    server.events.clear()
    assert len(build(server, out).traces) == 12
    assert server.events.count("POST batches") == 1
    assert server.events.count("GET batches") == 2
    assert len(server.batches) == 4


def test_a_server_that_lists_no_batches_is_not_sent_one_twice(
    server: BatchServer, out: Path
) -> None:
    server.absent = {"GET batches"}
    server.at["POST batches"] = lambda: "lost"
    with pytest.raises(InputError, match="does not list its batches"):
        build(server, out)
    assert len(server.batches) == 1


def test_another_model_in_the_results_stops_the_work(server: BatchServer, out: Path) -> None:
    def change() -> None:
        server.answers_as = "tiny-2027"

    server.at["POST batches"] = change
    with pytest.raises(InputError, match="'tiny-2026-01-01' and now come from 'tiny-2027'"):
        build(server, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        ("", "completed"),
        ("+item-echo:2", "completed"),
        ("+item-400:3", "expired:5"),
        ("+item-401:1", "completed"),
        ("", "failed:model_not_found"),
        ("", "failed:other"),
    ],
)
def test_the_key_is_in_no_file_and_no_log(
    server: BatchServer, out: Path, fault: str, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.endings = [ending]
    written: list[bytes] = []
    time = Time()

    async def sleep(seconds: float) -> None:
        written.extend(path.read_bytes() for path in out.parent.rglob("*") if path.is_file())
        await time.sleep(seconds)

    message, chain = "", None
    with caplog.at_level(logging.DEBUG):
        try:
            build(server, out, f"tiny{fault}", wait=replace(time.wait(), sleep=sleep))
        except DataselectError as error:
            message, chain = str(error), error.__context__
    written.extend(path.read_bytes() for path in out.parent.rglob("*") if path.is_file())
    everything = b"".join(written) + (message + caplog.text).encode()
    spelt = "".join(re.findall(r'\["(.*?)",-?\d', everything.decode(errors="replace")))
    assert len(written) > 2
    assert chain is None
    assert KEY.encode() not in everything
    assert KEY not in spelt


def test_a_key_beside_the_answers_is_not_kept(server: BatchServer, out: Path) -> None:
    def show_it() -> None:
        server.fingerprint = KEY

    server.at["POST batches"] = show_it
    with pytest.raises(InputError, match="repeats the key"):
        build(server, out)
    assert KEY not in (partial_folder(out) / "journal.jsonl").read_text()
