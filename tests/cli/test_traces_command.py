"""`dataselect traces`: get, make, show, check and share traces."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_server import BatchServer
from completions_server import COMPLETION_USD, PROMPT_USD, CompletionsServer

from dataselect.benchmarks.items import Exclusion
from dataselect.errors import InputError
from dataselect.traces.trace import read_traces, write_traces

KEY = "sk-secret-0123456789abcdef"
MADE = "traces/sums.tiny.jsonl.gz"
PRICES = ("--usd-in", PROMPT_USD, "--usd-out", COMPLETION_USD)


def script(question: str) -> tuple[str, str]:
    numbers = [int(n) for n in re.findall(r"\d+", question)]
    return f"We add {numbers}, “carefully”.\nSo it is {sum(numbers)}.", str(sum(numbers))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[CompletionsServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with CompletionsServer(script) as running:
        yield running


def build(bench: Any, server: CompletionsServer, *options: object, model: str = "tiny") -> Any:
    arguments = ["--benchmarks", "sums.yaml", "--model", model, "--base-url", server.url, *options]
    out = () if model == "tiny" else ("--out", MADE)
    return bench.invoke("traces", "build", *arguments, *out)


def error_of(result: Any, code: int = 2) -> str:
    """The one line of an error."""
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert (result.exit_code, len(lines)) == (code, 1), result.output
    assert "Traceback" not in result.output
    return str(lines[0])


def flat(text: str) -> str:
    return " ".join(text.split())


# --- pull


def release(folder: Path) -> Path:
    """The released layout with two of three traces of GSM8K; one token is three bytes."""
    records, tokens = [], []
    for n in range(2):
        reasoning = f"Ann has {n} — and one more.\nThat is {n + 1}."
        record = {"question": f"Ann has {n}. And one more?", "reasoning": reasoning}
        records.append({**record, "final_answer": str(n + 1)})
        data = json.dumps({"reasoning": reasoning, "final_answer": str(n + 1)}).encode()
        for at in range(0, len(data), 3):
            piece = data[at : at + 3]
            row = {"id": n, "token": piece.decode(), "bytes": list(piece)}
            tokens.append({**row, "logprob": -0.01 - at % 7 / 10})
    where = folder / "traces" / "gsm8k"
    where.mkdir(parents=True)
    (where / "gpt4o_s1_new.json").write_text(json.dumps(records))
    rows = "".join(json.dumps(row) + "\n" for row in tokens)
    (where / "gpt4o_s1_new_logprobs_part01_of_01.jsonl").write_text(rows)
    return folder


def test_pull_takes_a_local_copy_of_the_release_and_score_finds_it(bench: Any) -> None:
    questions = [
        {"id": f"gsm8k_test_{n}", "question": f"Ann has {n}. And one more?", "answer": str(n + 1)}
        for n in range(3)
    ]
    bench.write_rows("gsm8k.test.jsonl", questions)
    copy = release(bench.folder / "copy")
    arguments = ["--benchmarks", "gsm8k", "--from", copy, "--folder", "."]
    result = bench.invoke("traces", "pull", *arguments)
    assert result.exit_code == 0, result.output
    path = "traces/gsm8k.gpt-4o.jsonl.gz"
    assert f"{path}: 2 traces of gpt-4o, 1 item left out" in result.stdout
    found = read_traces(bench.folder / path)
    assert found.traces["gsm8k_test_1"].text == "Ann has 1 — and one more.\nThat is 2."
    assert [each.item for each in found.exclusions] == ["gsm8k_test_2"]

    scored = bench.score("--benchmarks", "gsm8k", "--folder", ".")
    assert scored.exit_code == 0, scored.output
    assert list(bench.items().index) == ["gsm8k_test_0", "gsm8k_test_1"]
    (left_out,) = bench.results()["dataselect"]["exclusions"]["gsm8k"]
    assert left_out == {"item": "gsm8k_test_2", "reason": "the release has no trace for it"}


def test_pull_from_nowhere_is_one_line(bench: Any) -> None:
    arguments = ["--benchmarks", "sums.yaml", "--from", "nowhere"]
    line = error_of(bench.invoke("traces", "pull", *arguments))
    assert "nowhere: it is neither a folder nor a dataset on the Hub" in line
    assert not (bench.folder / "traces").exists()


# --- build


def test_build_asks_for_every_item_and_the_same_command_again_for_none(
    bench: Any, server: CompletionsServer
) -> None:
    result = build(bench, server, *PRICES)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{MADE}: 6 traces of tiny-2026-01-01\n"
    said = flat(result.stderr)
    assert "6 questions to ask" in said
    assert re.search(r"about 0\.\d\d USD", said)
    assert "6 of 6: asking" in said
    found = read_traces(bench.folder / MADE)
    assert found.traces["s1"].text == script("What is 1 + 2?")[0]
    assert found.header.benchmark_revision.startswith("sums.jsonl (sha256 ")
    assert not (bench.folder / f"{MADE}.partial").exists()

    asked = len(server.requests)
    again = build(bench, server, *PRICES)
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert len(server.requests) == asked
    assert bench.score().exit_code == 0


def test_malformed_items_are_said_before_anything_is_asked(
    bench: Any, server: CompletionsServer
) -> None:
    rows = [json.loads(line) for line in (bench.folder / "sums.jsonl").read_text().splitlines()]
    rows[1]["question"], rows[3]["choices"] = " ", ["0", "1"]
    bench.write_rows("sums.jsonl", rows)
    result = build(bench, server)
    assert result.exit_code == 0, result.output
    assert (
        "sums: 2 malformed items are left out: s1 (its question is missing or not text), "
        "s3 (nothing says which of its 2 choices its answer '9' is)" in flat(result.stderr)
    )
    assert set(read_traces(bench.folder / MADE).traces) == {"s0", "s2", "s4", "s5"}


def test_a_batch_is_left_to_itself_and_fetched_by_the_same_command(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BatchServer(script, looks=1) as server:
        left = build(bench, server, "--batch", "--wait", 0)
        assert left.exit_code == 3, left.output
        assert "the same command" in flat(left.stderr)
        assert not (bench.folder / MADE).exists()
        codes = [build(bench, server, "--batch", "--wait", 0).exit_code for _ in range(3)]
        assert codes[-1] == 0
        assert len(server.batches) == 1
    assert len(read_traces(bench.folder / MADE).traces) == 6


def test_waiting_without_a_batch_is_refused(bench: Any, server: CompletionsServer) -> None:
    assert "--wait: it needs --batch" in error_of(build(bench, server, "--wait", 5))


def test_plain_text_is_another_form_of_answer(bench: Any, server: CompletionsServer) -> None:
    assert build(bench, server, "--form", "plain").exit_code == 0
    assert read_traces(bench.folder / MADE).traces["s2"].answer == "6"
    assert "response_format" not in server.requests[-1].body


def test_a_timeout_and_a_part_reach_the_requests(
    bench: Any, server: CompletionsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def noted(_: object, endpoint: object, __: object, options: object, **___: object) -> None:
        seen.append((endpoint, options))
        raise InputError("here", "enough", "nothing")

    monkeypatch.setattr("dataselect.traces.recording.build.build_traces", noted)
    error_of(build(bench, server, "--timeout", 600, "--part", "thinking"))
    error_of(build(bench, server))
    (patient, thinking), (usual, left_open) = seen
    assert (patient.timeout_seconds, usual.timeout_seconds) == (600, 60)
    assert (thinking.part, left_open.part) == ("thinking", "answer")
    assert left_open.form is None


def test_limit_asks_for_the_first_items(bench: Any, server: CompletionsServer) -> None:
    assert build(bench, server, "--limit", 2).exit_code == 0
    assert sorted(server.questions) == ["What is 0 + 0?", "What is 1 + 2?"]


@pytest.mark.parametrize("prices", [(), PRICES])
def test_a_dry_run_estimates_and_asks_nothing(
    bench: Any, server: CompletionsServer, prices: tuple[object, ...]
) -> None:
    result = build(bench, server, "--dry-run", *prices)
    assert result.exit_code == 0, result.output
    said = flat(result.output)
    assert "6 questions to ask" in said
    assert ("USD" if prices else "prices not known") in said
    assert server.requests == []
    assert not (bench.folder / MADE).exists()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (("--max-usd", 1), ("--max-usd", "prices of this model are not known")),
        (("--max-usd", 0, *PRICES), ("--max-usd",)),
        (("--usd-in", 1), ("--usd-in", "a price is missing")),
        (("--usd-out", 1), ("--usd-in", "a price is missing")),
        (("--usd-in", -1, "--usd-out", 1), ("prices",)),
    ],
)
def test_bad_prices_and_caps_are_refused_before_anything_is_asked(
    bench: Any, server: CompletionsServer, options: tuple[object, ...], wanted: tuple[str, ...]
) -> None:
    line = error_of(build(bench, server, *options))
    for part in wanted:
        assert part in line
    assert server.requests == []


def test_at_the_cap_it_ends_incomplete_and_goes_on_with_a_higher_one(
    bench: Any, server: CompletionsServer
) -> None:
    few = ("--max-tokens", 400, "--concurrency", 1, *PRICES)
    line = error_of(build(bench, server, "--max-usd", 0.012, *few), code=3)
    assert "raise --max-usd and run the same command again" in line
    answered = list(server.questions)
    assert 0 < len(answered) < 6
    assert server.usd <= 0.012
    assert build(bench, server, "--max-usd", 1, *few).exit_code == 0
    assert sorted(server.questions) == sorted(set(server.questions))
    assert server.questions[: len(answered)] == answered


def test_an_empty_account_ends_incomplete_and_nothing_is_asked_twice(
    bench: Any, server: CompletionsServer
) -> None:
    assert build(bench, server, "--limit", 2, "--concurrency", 1).exit_code == 0
    (bench.folder / MADE).unlink()
    server.requests.clear()

    model = "tiny+item-quota:1"
    line = error_of(build(bench, server, "--concurrency", 1, model=model), code=3)
    assert "quota" in line
    asked = len(server.questions)
    assert build(bench, server, "--concurrency", 1, model=model).exit_code == 0
    # One question got the refusal, and only that one comes again.
    assert len(server.questions) == asked + 6
    assert len(read_traces(bench.folder / MADE).traces) == 6


def test_an_item_whose_answers_cannot_be_used_is_left_out_with_the_reason(
    bench: Any, server: CompletionsServer
) -> None:
    result = build(bench, server, "--concurrency", 1, model="tiny+item-refusal:2")
    assert result.exit_code == 0, result.output
    assert "5 traces of tiny-2026-01-01, 1 item" in result.stdout
    shown = bench.invoke("traces", "show", "sums", "--item", "s0")
    assert "no trace for item 's0': " in error_of(shown)
    assert bench.score().exit_code == 0
    (left_out,) = bench.results()["dataselect"]["exclusions"]["sums"]
    assert left_out["item"] == "s0"
    assert left_out["reason"] in error_of(shown)


@pytest.mark.parametrize("fault", ["", "+401", "+404", "+item-quota", "+item-echo"])
def test_the_key_is_in_no_file_and_on_no_screen(
    bench: Any, server: CompletionsServer, fault: str
) -> None:
    result = build(bench, server, *PRICES, model=f"tiny{fault}")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in result.output
    assert KEY not in repr(result.exception)
    files = [path for path in bench.folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert KEY.encode() not in path.read_bytes()
        if path.suffix == ".gz":
            assert KEY not in path.name
            assert all(KEY not in t.text for t in read_traces(path).traces.values())


# --- weigh


def test_weigh_takes_reasoning_by_item(bench: Any) -> None:
    texts = [f"Add {n}, — twice. The answer is {n}." for n in range(6)]
    rows = [{"id": f"s{n}", "reasoning": text} for n, text in enumerate(texts)]
    path = bench.write_rows("mine.jsonl", [*rows, {"id": "nobody", "reasoning": "So."}])
    arguments = ["--model", bench.model(), "--benchmarks", "sums.yaml", "--device", "cpu"]
    result = bench.invoke("traces", "weigh", path, *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == "traces/sums.first.jsonl.gz: 6 traces of first\n"
    found = read_traces(bench.folder / "traces/sums.first.jsonl.gz")
    assert found.traces["s2"].text == "Add 2, — twice."
    assert found.traces["s2"].answer == "2"
    assert 0 < found.traces["s2"].letter_probs.min() < found.traces["s2"].letter_probs.max() <= 1
    assert str(bench.models) not in json.dumps(vars(found.header), default=dict)
    assert bench.score().exit_code == 0


def test_weigh_takes_a_benchmark_s_own_rationales_and_a_trace_file(bench: Any) -> None:
    arguments = ["--model", bench.model(), "--benchmarks", "sums.yaml", "--device", "cpu"]
    for name, source in (("gold", "sums.jsonl"), ("other", bench.traces("other.jsonl.gz"))):
        out = f"{name}.jsonl"
        result = bench.invoke("traces", "weigh", source, *arguments, "--out", out, "--limit", 3)
        assert result.exit_code == 0, result.output
    gold, other = (read_traces(bench.folder / f"{name}.jsonl") for name in ("gold", "other"))
    assert gold.traces["s1"].text == "We add 1 and 2, which makes 3"
    assert other.traces["s1"].text == read_traces(bench.folder / "other.jsonl.gz").traces["s1"].text
    assert set(gold.traces) == set(other.traces) == {"s0", "s1", "s2"}


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([{"id": "nobody", "reasoning": "So."}], "gives no trace for any item of 'sums'"),
        ([{"id": "s0", "reasoning": 3}], "mine.jsonl:1: item 's0' has no reasoning"),
        ([{"reasoning": "So."}], "mine.jsonl:1: the row has no id"),
        ([], "it holds no reasoning"),
    ],
)
def test_reasoning_of_no_use_is_one_line(
    bench: Any, rows: list[dict[str, object]], wanted: str
) -> None:
    path = bench.write_rows("mine.jsonl", rows)
    arguments = ["--model", bench.model(), "--benchmarks", "sums.yaml", "--device", "cpu"]
    assert wanted in error_of(bench.invoke("traces", "weigh", path, *arguments))
    assert not (bench.folder / "traces").exists()


# --- show


def test_show_tells_lengths_correctness_and_exclusions(bench: Any) -> None:
    path = bench.traces("traces/sums.oracle.jsonl.gz", wrong=[1, 2], missing=[4])
    found = read_traces(path)
    write_traces(path, found.header, found.traces.values(), [Exclusion("s4", "it was refused")])
    result = bench.invoke("traces", "show", "sums", "--benchmarks", "sums.yaml")
    assert result.exit_code == 0, result.output
    said = flat(result.stdout)
    assert "5 for 6 items, 1 of them without" in said
    assert "right answers 3 of 5 (60.0%)" in said
    assert "probabilities 0.2 to 0.9" in said
    assert "1 it was refused" in said
    assert "frontier model oracle" in said


def test_show_goes_without_the_questions(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    result = bench.invoke("traces", "show", "sums")
    assert result.exit_code == 0, result.output
    assert "without the questions" in result.stderr
    assert "right answers" not in result.stdout


def test_show_an_item_shades_its_trace(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz", wrong=[1])
    result = bench.invoke("traces", "show", "sums", "--benchmarks", "sums.yaml", "--item", "s1")
    assert result.exit_code == 0, result.output
    lines = [line.rstrip() for line in result.stdout.splitlines() if line.strip()]
    assert lines[:3] == ["s1", "What is 1 + 2?", "⟦First, 1 a⟧nd 2 are added. That makes 3."]
    assert lines[-2:] == ["final answer: 1000 (wrong)", "right answer: 3"]


def test_an_item_without_a_trace_is_one_line_with_the_reason(bench: Any) -> None:
    path = bench.traces("traces/sums.oracle.jsonl.gz", missing=[4])
    found = read_traces(path)
    write_traces(path, found.header, found.traces.values(), [Exclusion("s4", "it was refused")])
    for item, why in (("s4", "no trace for item 's4': it was refused"), ("s9", "item 's9';")):
        assert why in error_of(bench.invoke("traces", "show", "sums", "--item", item))


def test_a_name_that_means_no_file_or_several_lists_what_there_is(bench: Any) -> None:
    bench.traces("traces/sums.one.jsonl.gz")
    assert "it has traces for sums" in error_of(bench.invoke("traces", "show", "gsm8k"))
    bench.traces("traces/sums.two.jsonl.gz")
    line = error_of(bench.invoke("traces", "show", "sums"))
    assert "(sums.one.jsonl.gz, sums.two.jsonl.gz)" in line


# --- export, verify


def test_what_is_exported_is_sound_and_names_its_items(bench: Any) -> None:
    source = bench.traces("traces/sums.oracle.jsonl.gz")
    out = bench.folder / "shared" / "sums.jsonl.gz"
    options = ["--benchmarks", "sums.yaml"]
    result = bench.invoke("traces", "export", "sums", "--out", out, *options)
    assert result.exit_code == 0, result.output
    shared = read_traces(out)
    assert shared.hash == read_traces(source).hash
    assert shared.header.benchmark_revision.startswith("sums.jsonl (sha256 ")
    assert f"hash of the traces {shared.hash}" in result.stdout
    verified = bench.invoke("traces", "verify", out, *options)
    assert verified.exit_code == 0, verified.output
    assert flat(verified.stdout).endswith(f"; hash {shared.hash}")
    assert "sound, and fits sums.jsonl (sha256 " in verified.stdout


def test_a_shared_file_can_do_nothing_to_a_terminal(bench: Any) -> None:
    path = bench.traces("strange.jsonl.gz", model="\x07\x9b2J[b]", prefix="\x07\u202e")
    for command in (("show",), ("verify",), ("export", "--out", "out.jsonl")):
        result = bench.invoke("traces", command[0], path, *command[1:])
        letters = set(result.stdout + result.stderr) - {"\n"}
        assert all(letter.isprintable() for letter in letters), command


def test_a_name_that_no_trace_file_has_is_refused(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    line = error_of(bench.invoke("traces", "export", "sums", "--out", "sums.zip"))
    assert "sums.zip is not the name of a trace file" in line


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ("are added", "are addef", "changed after they were recorded"),
        ("0.9", "0.8", "changed after they were recorded"),
        ("0.9", "1.9", "a probability is 1.9"),
        ('"text":"First', '"text":"The first', "its runs cover"),
        ('"schema":1', '"schema":9', "schema 9"),
    ],
)
def test_tampered_traces_are_refused(bench: Any, old: str, new: str, wanted: str) -> None:
    path = bench.traces("sums.jsonl.txt.jsonl")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert wanted in error_of(bench.invoke("traces", "verify", path))


def test_traces_of_other_items_do_not_fit(bench: Any) -> None:
    path = bench.traces("strangers.jsonl.gz", prefix="z")
    result = bench.invoke("traces", "verify", path, "--benchmarks", "sums.yaml")
    assert "it has 1 problem;" in error_of(result)
    assert "6 of the traces (z0, z1, z2, …) are for no item of 'sums'" in result.stdout


def test_other_questions_than_those_recorded_for_do_not_fit(bench: Any) -> None:
    bench.traces("traces/sums.oracle.jsonl.gz")
    bench.invoke("traces", "export", "sums", "--out", "own.jsonl", "--benchmarks", "sums.yaml")
    path = bench.folder / "sums.jsonl"
    path.write_text(path.read_text().replace("What is 1 + 2?", "What is 2 + 1?"))
    result = bench.invoke("traces", "verify", "own.jsonl", "--benchmarks", "sums.yaml")
    assert result.exit_code == 2, result.output
    assert "They were made for the items of sums.jsonl" in result.stdout


@pytest.mark.parametrize("command", ["show", "verify", "export"])
def test_a_benchmark_that_is_named_and_not_there_is_no_pass(bench: Any, command: str) -> None:
    path = bench.traces("traces/sums.oracle.jsonl.gz")
    more = ["--out", "shared.jsonl"] if command == "export" else []
    result = bench.invoke("traces", command, path, "--benchmarks", "sumz.yaml", *more)
    assert "sumz.yaml" in error_of(result)
    assert not (bench.folder / "shared.jsonl").exists()


@pytest.mark.parametrize("command", ["build", "weigh", "compare"])
def test_one_benchmark_at_a_time(bench: Any, server: CompletionsServer, command: str) -> None:
    text = (bench.folder / "sums.yaml").read_text()
    (bench.folder / "more.yaml").write_text(text.replace("name: sums", "name: more"))
    files = [] if command == "build" else [bench.traces("one.jsonl"), bench.traces("two.jsonl")]
    files = files[:1] if command == "weigh" else files
    models = [bench.model(), bench.model("second")] if command == "compare" else [bench.model()]
    named = [option for model in models for option in ("--model", model)]
    both = ["--benchmarks", "sums.yaml,more.yaml"]
    line = error_of(bench.invoke("traces", command, *files, *named, *both))
    assert "--benchmarks" in line
