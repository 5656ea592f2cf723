"""`dataselect traces weigh --base-url`: as a local model weighs, resumed, capped, or refused."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from given_server import GivenTextServer

from dataselect.traces.trace import read_traces

TEXTS = [f"Add {n}, — twice, to <span>{n}</span>. The answer is {3 * n}." for n in range(6)]
OUT = "traces/sums.served.jsonl.gz"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def serve(bench: Any, habits: Sequence[str] = (), **options: Any) -> GivenTextServer:
    return GivenTextServer(Path(bench.model()), habits, **options)


def weigh(bench: Any, server: GivenTextServer, *options: object) -> Any:
    rows = [{"id": f"s{n}", "reasoning": text} for n, text in enumerate(TEXTS)]
    path = bench.write_rows("mine.jsonl", rows)
    arguments = ["--benchmarks", "sums.yaml", "--model", "served", "--base-url", server.url]
    tokenizer = ("--tokenizer", bench.model())
    return bench.invoke("traces", "weigh", path, *arguments, *tokenizer, *options)


def locally(bench: Any) -> Any:
    arguments = ["--model", bench.model(), "--benchmarks", "sums.yaml", "--device", "cpu"]
    result = bench.invoke("traces", "weigh", "mine.jsonl", *arguments, "--out", "local.jsonl")
    assert result.exit_code == 0, result.output
    return read_traces(bench.folder / "local.jsonl").traces


def assert_equal(found: Any, wanted: Any) -> None:
    assert set(found) == set(wanted)
    for item, trace in wanted.items():
        theirs = found[item]
        assert (theirs.text, theirs.answer, theirs.marked) == (
            trace.text,
            trace.answer,
            trace.marked,
        )
        difference = np.abs(np.log(theirs.letter_probs) - np.log(trace.letter_probs))
        assert difference.max() < 1e-4


def refusal(result: Any, code: int = 2) -> str:
    assert result.exit_code == code, result.output
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return str(line)


@pytest.mark.parametrize(
    "habits",
    [(), ("texts-only",), ("no-prompt-logprobs",), ("no-unknown",)],
    ids=["vllm", "texts-only", "echo", "openai-like"],
)
def test_a_server_gives_the_probabilities_of_a_local_model(
    bench: Any, habits: tuple[str, ...]
) -> None:
    with serve(bench, habits) as server:
        result = weigh(bench, server)
        assert result.exit_code == 0, result.output
        assert result.stdout == f"{OUT}: 6 traces of served-1\n"
    found = read_traces(bench.folder / OUT)
    assert_equal(found.traces, locally(bench))
    assert found.traces["s2"].marked == "Add 2, — twice, to <span>2</span>."
    assert found.header.model == "served-1"
    assert found.header.notes["how"].startswith("weighed by a server's log-probabilities")
    assert not (bench.folder / f"{OUT}.partial").exists()
    sent = [body for body in server.weighed if body["max_tokens"] == 1]
    assert all(isinstance(token, int) for body in sent for token in body["prompt"])
    assert bench.score().exit_code == 0


def test_the_same_command_reads_what_it_wrote_and_another_does_not_overwrite_it(bench: Any) -> None:
    with serve(bench) as server:
        assert weigh(bench, server).exit_code == 0
        count = len(server.requests)
        assert weigh(bench, server).exit_code == 0
        assert len(server.requests) == count
        assert "already holds other traces" in refusal(weigh(bench, server, "--limit", 3))


def test_a_stopped_weighing_goes_on_and_asks_for_nothing_twice(bench: Any) -> None:
    with serve(bench) as server:
        result = weigh(bench, server, "--concurrency", 1, "--max-usd", 0.005, "--usd-in", 10)
        assert "spent" in refusal(result, 3)
        before = [tuple(body["prompt"]) for body in server.weighed]
        assert 1 < len(before) < 7
        result = weigh(bench, server, "--concurrency", 1, "--usd-in", 10)
        assert result.exit_code == 0, result.output
        after = [tuple(body["prompt"]) for body in server.weighed][len(before) :]
        # The probe asks again; no item does.
        assert not set(before[1:]) & set(after[1:])
        assert len(before[1:]) + len(after[1:]) == 6
    assert_equal(read_traces(bench.folder / OUT).traces, locally(bench))


def test_a_server_s_errors_are_tried_again(bench: Any) -> None:
    with serve(bench) as server:
        server.faults = [500, 503]
        result = weigh(bench, server)
        assert result.exit_code == 0, result.output
    assert len(read_traces(bench.folder / OUT).traces) == 6


def test_an_item_beyond_the_context_loses_worked_examples(bench: Any) -> None:
    with serve(bench) as server:
        assert weigh(bench, server).exit_code == 0
        longest = max(len(body["prompt"]) for body in server.weighed)
    with serve(bench, context=longest) as server:
        result = weigh(bench, server, "--out", "short.jsonl")
        assert result.exit_code == 0, result.output
    shorter = read_traces(bench.folder / "short.jsonl").traces
    whole = read_traces(bench.folder / OUT).traces
    assert set(shorter) == set(whole)
    changed = [item for item in whole if shorter[item].runs != whole[item].runs]
    assert changed == ["s5"], "the one long question"
    with serve(bench, context=120) as server:
        result = weigh(bench, server, "--out", "tiny.jsonl")
        assert result.exit_code == 0, result.output
    left_out = {e.item: e.reason for e in read_traces(bench.folder / "tiny.jsonl").exclusions}
    assert "maximum context length" in left_out["s5"]


@pytest.mark.parametrize(
    ("habits", "wanted"),
    [
        (("no-prompt-logprobs", "no-echo"), "prompt_logprobs: it answers without prompt_logprobs"),
        (("no-prompt-logprobs", "off-by-one"), "nats when the token is given back"),
        (("no-prompt-logprobs", "shifted"), "echo: its values are one row off"),
        (("bos",), "tokens where"),
        (("refuse-ids",), "it takes no token ids as a completion's prompt"),
        (("flat",), "cannot be told from their neighbours'"),
        (("other",), "nats when the token is given back"),
    ],
)
def test_a_server_that_cannot_weigh_is_refused_by_name_with_the_reason(
    bench: Any, habits: tuple[str, ...], wanted: str
) -> None:
    other = Path(bench.model("second")) if "other" in habits else None
    with serve(bench, habits, other=other) as server:
        line = refusal(weigh(bench, server))
        assert wanted in line
        assert server.url.split("/")[2] in line
        assert "leave --base-url out" in line
        assert not (bench.folder / OUT).exists()


def test_another_tokenizer_than_the_server_s_is_noticed(bench: Any, tmp_path: Path) -> None:
    from small_models import byte_tokenizer

    byte_tokenizer(290, ("Ann has 17 apples and gives",) * 5).save_pretrained(tmp_path / "other")
    for habits in ([], ["no-prompt-logprobs"]):
        with serve(bench, habits) as server:
            line = refusal(weigh(bench, server, "--tokenizer", tmp_path / "other"))
            assert "it reads another text than the tokenizer's" in line
            assert "--tokenizer" in line


def test_a_dry_run_sends_nothing(bench: Any) -> None:
    with serve(bench) as server:
        result = weigh(bench, server, "--dry-run", "--usd-in", 2)
        assert result.exit_code == 0, result.output
        assert "6 questions to ask" in result.stderr
        assert not server.requests


def test_a_server_that_calls_itself_by_the_key_is_not_named(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "zk-Proj4_Qw8Lm2Xv7Nt5Rb9Hc3Yd6Gf1"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with serve(bench) as server:
        answer = server.answer

        def named(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
            status, payload = answer(body)
            return status, {**payload, "model": key, "system_fingerprint": f"f-{key}"}

        monkeypatch.setattr(server, "answer", named)
        result = weigh(bench, server, "--out", "served.jsonl")
    assert result.exit_code == 0, result.output
    assert read_traces(bench.folder / "served.jsonl").header.model == "[key]"
    kept = [path.read_text() for path in bench.folder.rglob("*.jsonl")]
    assert not any(key in text for text in (result.output, *kept))
