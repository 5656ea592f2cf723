import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataselect.benchmarks.items import BenchmarkItems, Item
from dataselect.errors import InputError
from dataselect.traces.released import check_there, import_released
from dataselect.traces.trace import read_traces, write_traces

N = 6
REASONINGS = [f'Take {i} apples.\nAdd "two" — √{i}, so \\frac{{{i}}}{{2}}.' for i in range(N)]
ITEMS = tuple(Item(f"gsm_{i}", f"Ann has {i}  apples.\nHow many?", str(i + 2)) for i in range(N))
BENCHMARK = BenchmarkItems("gsm8k", ITEMS, revision="openai/gsm8k@abc")

Rows = list[dict[str, Any]]


def completion(i: int) -> str:
    answer = {"reasoning": REASONINGS[i], "final_answer": str(i + 2)}
    return json.dumps(answer, ensure_ascii=i % 2 == 0)


def split(text: str, size: int = 3) -> list[bytes]:
    data = text.encode()
    return [data[at : at + size] for at in range(0, len(data), size)]


def logprob(position: int) -> float:
    return -0.01 - (position % 7) / 10


def token_rows(text: str, **fields: Any) -> Rows:
    return [
        {
            **fields,
            "token": piece.decode("utf-8", "replace"),
            "bytes": list(piece),
            "logprob": logprob(position),
        }
        for position, piece in enumerate(split(text))
    ]


def records(**more: Callable[[int], Any]) -> Rows:
    return [
        {
            "question": ITEMS[i].question,
            "reasoning": REASONINGS[i],
            "final_answer": str(i + 2),
            **{name: value(i) for name, value in more.items()},
        }
        for i in range(N)
    ]


def release(
    root: Path,
    traces: Any,
    tokens: Sequence[dict[str, Any]],
    folder: str = "traces/gsm8k",
    parts: int = 1,
) -> Path:
    where = root / folder
    where.mkdir(parents=True)
    (where / "gpt4o_s1_new.json").write_text(json.dumps(traces))
    size = math.ceil(len(tokens) / parts)
    for part in range(parts):
        name = f"gpt4o_s1_new_logprobs_part{part + 1:02}_of_{parts:02}.jsonl"
        rows = tokens[part * size : (part + 1) * size]
        (where / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def all_tokens(
    text: Callable[[int], str] = completion,
    naming: Callable[[int], dict[str, Any]] = lambda i: {"id": i},
) -> Rows:
    return [row for i in range(N) for row in token_rows(text(i), **naming(i))]


def test_whole_completions_give_each_letter_the_probability_of_its_token(tmp_path: Path) -> None:
    found = import_released(release(tmp_path, records(), all_tokens(), parts=3), BENCHMARK)
    assert {name: trace.text for name, trace in found.traces.items()} == {
        f"gsm_{i}": REASONINGS[i] for i in range(N)
    }
    assert found.exclusions == ()
    for i in (0, 1):
        trace = found.traces[f"gsm_{i}"]
        assert trace.answer == str(i + 2)
        # The first letter of the reasoning is the fourteenth or so byte of the completion.
        at = completion(i).encode().index(b"Take")
        assert trace.letter_probs[0] == pytest.approx(math.exp(logprob(at // 3)), rel=1e-5)
        assert not np.isnan(trace.letter_probs).any()


def test_reasoning_alone_gives_the_same_letters(tmp_path: Path) -> None:
    root = release(tmp_path, records(), all_tokens(lambda i: f" {REASONINGS[i]}\n"))
    found = import_released(root, BENCHMARK)
    trace = found.traces["gsm_3"]
    assert (trace.text, trace.answer) == (REASONINGS[3], "5")
    assert trace.letter_probs[2] == pytest.approx(math.exp(logprob(1)), rel=1e-5)


def test_reasoning_within_other_text_is_cut_out(tmp_path: Path) -> None:
    root = release(tmp_path, records(), all_tokens(lambda i: f"Sure!\n{REASONINGS[i]}\nAnswer"))
    assert import_released(root, BENCHMARK).traces["gsm_1"].text == REASONINGS[1]


def test_the_header_says_where_the_traces_are_from(tmp_path: Path) -> None:
    root = release(tmp_path / ("c" * 40), records(model=lambda _: "gpt-4o-2024"), all_tokens())
    header = import_released(root, BENCHMARK).header
    assert (header.benchmark, header.model) == ("gsm8k", "gpt-4o-2024")
    assert header.benchmark_revision == "openai/gsm8k@abc"
    assert "[question]" in header.prompt
    assert header.notes["revision"] == "c" * 40
    assert header.notes["licence"] == "Apache-2.0"
    assert str(tmp_path) not in json.dumps(dict(header.notes))


def test_imported_traces_can_be_written_and_read(tmp_path: Path) -> None:
    traces = [each for each in records() if each["question"] != ITEMS[4].question]
    found = import_released(release(tmp_path, traces, all_tokens()), BENCHMARK)
    path = tmp_path / "gsm8k.jsonl.gz"
    write_traces(path, found.header, found.traces.values(), found.exclusions)
    again = read_traces(path)
    assert again.hash == found.hash
    assert [each.item for each in again.exclusions] == ["gsm_4", "gsm_5"]


@pytest.mark.parametrize("folder", ["traces/gsm8k", "gsm8k", "traces/GSM-8K", "."])
def test_the_folder_may_be_the_dataset_or_a_part_of_it(tmp_path: Path, folder: str) -> None:
    root = release(tmp_path / "copy", records(), all_tokens(), folder)
    assert len(import_released(root, BENCHMARK).traces) == N


@pytest.mark.parametrize(
    ("benchmark", "folder"),
    [
        ("math500", "MATH_500"),
        ("arc_challenge", "ARC-C"),
        ("commonsense_qa", "cqa"),
        ("mmlu_pro_stem", "mmlu_pro"),
        ("humaneval", "human-eval"),
        ("mine", "Mine"),
    ],
)
def test_folders_go_by_several_names(tmp_path: Path, benchmark: str, folder: str) -> None:
    root = release(tmp_path, records(), all_tokens(), f"traces/{folder}")
    assert len(import_released(root, BenchmarkItems(benchmark, ITEMS)).traces) == N


LAYOUTS: dict[str, Callable[[Rows], Any]] = {
    "array": lambda rows: rows,
    "by id": lambda rows: {f"gsm_{i}": row for i, row in enumerate(rows)},
    "object with an array": lambda rows: {"model": "gpt-4o", "traces": rows},
    "nested": lambda rows: [
        {"question": row["question"], "output": {k: v for k, v in row.items() if k != "question"}}
        for row in rows
    ],
    "other names": lambda rows: [
        {"Problem": r["question"], "Reasoning-Trace": r["reasoning"], "answer": "gold"}
        for r in rows
    ],
    "completions": lambda rows: [
        {"question": row["question"], "response": completion(i)} for i, row in enumerate(rows)
    ],
    "completions as reasoning": lambda rows: [
        {"question": row["question"], "reasoning": completion(i)} for i, row in enumerate(rows)
    ],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_records_come_in_several_layouts(tmp_path: Path, layout: str) -> None:
    root = release(tmp_path, LAYOUTS[layout](records()), all_tokens())
    found = import_released(root, BENCHMARK)
    assert [found.traces[item.id].text for item in ITEMS] == REASONINGS
    assert found.traces["gsm_0"].answer == "2"


NAMINGS: dict[str, Callable[[int], dict[str, Any]]] = {
    "from 0": lambda i: {"idx": i},
    "from 1": lambda i: {"question_idx": i + 1},
    "by another id": lambda i: {"task_id": f"T{i}", "index": 0},
    "by question": lambda i: {"question": ITEMS[i].question},
}


@pytest.mark.parametrize("naming", NAMINGS)
def test_token_rows_name_their_trace_in_several_ways(tmp_path: Path, naming: str) -> None:
    tokens = all_tokens(naming=NAMINGS[naming])
    if naming == "by another id":
        count: dict[str, int] = {}
        for row in tokens:
            row["index"] = count[row["task_id"]] = count.get(row["task_id"], -1) + 1
        tokens.reverse()
    root = release(tmp_path, records(task_id=lambda i: f"T{i}"), tokens)
    assert len(import_released(root, BENCHMARK).traces) == N


def test_token_rows_with_nothing_but_positions_are_split_where_these_restart(
    tmp_path: Path,
) -> None:
    tokens = []
    for i in range(N):
        rows = token_rows(completion(i))
        tokens += [{**row, "index": position} for position, row in enumerate(rows)]
    found = import_released(release(tmp_path, records(), tokens), BENCHMARK)
    assert [found.traces[item.id].text for item in ITEMS] == REASONINGS


def test_positions_may_be_counted_through_the_file(tmp_path: Path) -> None:
    tokens = [{**row, "index": number} for number, row in enumerate(all_tokens())]
    assert len(import_released(release(tmp_path, records(), tokens), BENCHMARK).traces) == N


def test_an_index_that_is_no_number_names_the_trace_wherever_its_rows_are(tmp_path: Path) -> None:
    tokens = all_tokens(naming=lambda i: {"index": f"gsm_{i}"})
    tokens.sort(key=lambda row: row["index"] == "gsm_2" and row["token"].isalpha())
    traces = records(index=lambda i: f"gsm_{i}")
    found = import_released(release(tmp_path, traces, tokens), BENCHMARK)
    assert [each.item for each in found.exclusions] == ["gsm_2"]


def test_probabilities_and_escaped_bytes_are_read(tmp_path: Path) -> None:
    tokens = []
    for row in all_tokens():
        piece = bytes(row.pop("bytes"))
        try:
            piece.decode()
        except UnicodeDecodeError:
            row["token"] = "".join(f"\\x{byte:02x}" for byte in piece)
        tokens.append({**row, "prob": math.exp(row.pop("logprob"))})
    found = import_released(release(tmp_path, records(), tokens), BENCHMARK)
    # Where only some bytes of a token are no character, its text alone does not say which.
    assert found.traces["gsm_1"].text == REASONINGS[1]
    assert found.traces["gsm_1"].letter_probs.max() == pytest.approx(math.exp(-0.01), rel=1e-5)


CHOICES = [("red", "blue"), ("red", "green"), ("one", "two"), ("x", "y"), ("p", "q"), ("s", "t")]


@pytest.mark.parametrize("shown", ["in the question", "as a column", "as arc has them"])
def test_equal_questions_are_told_apart_by_their_choices(tmp_path: Path, shown: str) -> None:
    items = tuple(
        Item(f"q{i}", "Which colour?" if i < 2 else f"Which of {i}?", "A", CHOICES[i], 0)
        for i in range(N)
    )
    traces = records()
    for row, item in zip(traces, items, strict=True):
        assert item.choices is not None
        row["question"] = f"Question: {item.question}"
        if shown == "in the question":
            row["question"] += "".join(
                f"\n({c}) {t}" for c, t in zip("AB", item.choices, strict=True)
            )
        elif shown == "as a column":
            row["options"] = list(item.choices)
        else:
            row["choices"] = {"label": ["A", "B"], "text": list(item.choices)}
    benchmark = BenchmarkItems("arc_challenge", items)
    root = release(tmp_path, traces, all_tokens(), "traces/arc_challenge")
    found = import_released(root, benchmark)
    assert [found.traces[item.id].text for item in items] == REASONINGS


def test_the_items_of_a_short_run_are_found_among_all_traces(tmp_path: Path) -> None:
    few = BenchmarkItems("gsm8k", ITEMS[4:])
    assert len(import_released(release(tmp_path, records(), all_tokens()), few).traces) == 2


def reason(root: Path, item: str) -> str:
    return {each.item: each.reason for each in import_released(root, BENCHMARK).exclusions}[item]


def test_an_item_that_was_not_released_is_excluded(tmp_path: Path) -> None:
    # The first five, so that the tokens of the last one name nothing.
    root = release(tmp_path, records()[:5], all_tokens())
    assert reason(root, "gsm_5") == "the release has no trace for it"


def test_a_trace_with_another_question_is_excluded_although_its_id_fits(tmp_path: Path) -> None:
    traces = records(id=lambda i: f"gsm_{i}")
    traces[2]["question"] = "Bob has 2 apples. How many?"
    root = release(tmp_path, traces, all_tokens())
    assert reason(root, "gsm_2") == (
        "gpt4o_s1_new.json row 2: it has this item's id but another question"
    )


def test_ids_alone_join_when_there_is_no_question(tmp_path: Path) -> None:
    traces = records(id=lambda i: f"gsm_{i}")
    for row in traces:
        del row["question"]
    assert len(import_released(release(tmp_path, traces, all_tokens()), BENCHMARK).traces) == N


def test_two_traces_of_one_item_are_excluded(tmp_path: Path) -> None:
    traces = records()
    traces[3]["question"] = traces[2]["question"]
    assert "row 3 and gpt4o_s1_new.json row 2 are both" in reason(
        release(tmp_path, traces, all_tokens()), "gsm_2"
    )


def test_a_trace_whose_tokens_spell_something_else_is_excluded(tmp_path: Path) -> None:
    traces = records()
    traces[1]["reasoning"] = traces[1]["reasoning"].replace("apples", "pears")
    assert reason(release(tmp_path, traces, all_tokens()), "gsm_1") == (
        "gpt4o_s1_new.json row 1: at letter 7 its reasoning has "
        f"{traces[1]['reasoning'][7:47]!r} and its tokens spell {REASONINGS[1][7:47]!r}"
    )


def test_latex_that_was_parsed_as_escapes_is_excluded(tmp_path: Path) -> None:
    traces = records()
    broken = completion(0).replace("\\\\frac", "\\frac")
    traces[0]["reasoning"] = json.loads(broken)["reasoning"]
    tokens = all_tokens(lambda i: completion(i) if i else broken)
    assert "single backslashes" in reason(release(tmp_path, traces, tokens), "gsm_0")


def test_missing_and_repeated_token_rows_exclude_their_trace(tmp_path: Path) -> None:
    tokens = all_tokens()
    mine = [row for row in tokens if row["id"] == 3]
    tokens.remove(mine[5])
    tokens.append(dict(next(row for row in tokens if row["id"] == 4)))
    found = import_released(release(tmp_path, records(), tokens), BENCHMARK)
    assert {each.item for each in found.exclusions} == {"gsm_3", "gsm_4"}


def test_positions_show_a_missing_row(tmp_path: Path) -> None:
    tokens = []
    for i in range(N):
        rows = token_rows(completion(i), id=i)
        tokens += [{**row, "position": position} for position, row in enumerate(rows)]
    tokens.remove(next(row for row in tokens if row["id"] == 3 and row["position"] == 5))
    assert "do not go up by ones" in reason(release(tmp_path, records(), tokens), "gsm_3")


def refusal(root: Path | str, benchmark: BenchmarkItems = BENCHMARK) -> str:
    with pytest.raises(InputError) as caught:
        import_released(root, benchmark)
    assert "\n" not in str(caught.value)
    assert "dataselect traces build" in str(caught.value) or "git lfs" in str(caught.value)
    return str(caught.value)


def without(rows: Rows, *names: str) -> Rows:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


@pytest.mark.parametrize(
    ("traces", "tokens", "words"),
    [
        (records(), without(all_tokens(), "token"), "has no token text: looked for token, token_t"),
        (records(), without(all_tokens(), "logprob"), "has no log-probability: looked for logprob"),
        (records(), without(all_tokens(), "id"), "does not say which trace it is of: looked for"),
        (records(), all_tokens(naming=lambda i: {"id": f"x{i}"}), "name 0 of 6 traces (looked for"),
        (records(), [{**row, "logprob": "-1"} for row in all_tokens()], "its logprob is '-1', not"),
        (
            records(),
            [{**row, "bytes": "x"} for row in all_tokens()],
            "its bytes is 'x', not a list",
        ),
        (records(), [{**row, "bytes": [999]} for row in all_tokens()], "not a list of bytes"),
        (records(), [{**row, "logprob": 0.5} for row in all_tokens()], "has log-probability 0.5"),
        (records(), [{**row, "logprob": 0.0} for row in all_tokens()], "frontier model's server"),
        (records(), [], "hold no token rows"),
        (without(records(), "reasoning"), all_tokens(), "neither reasoning nor completion: looked"),
        (without(records(), "question"), all_tokens(), "neither question nor id: looked for"),
        ([], all_tokens(), "hold no trace"),
        (["a", "b"], all_tokens(), "it is not an array of objects"),
        ({"a": [], "b": []}, all_tokens(), "it is not an array of objects"),
        (
            records(),
            all_tokens(lambda i: completion((i + 1) % N)),
            "6 of 6 traces could not be aligned",
        ),
        (
            [{**row, "question": f"Other {i}"} for i, row in enumerate(records())],
            all_tokens(),
            "only 0 of its 6 traces are of an item of 'gsm8k' (6 items), by question and id",
        ),
    ],
)
def test_an_assumption_that_fails_is_named(
    tmp_path: Path, traces: Any, tokens: Rows, words: str
) -> None:
    root = release(tmp_path, traces, tokens)
    with pytest.raises(InputError, match="; ") as caught:
        import_released(root, BENCHMARK)
    assert words in str(caught.value)


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    root = release(tmp_path, records(), all_tokens(), parts=3)
    next(root.rglob("*part02*")).unlink()
    assert "part 2 of 3 of its tokens is missing" in refusal(root)


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    root = release(tmp_path, records(), all_tokens())
    next(root.rglob("*.jsonl")).write_text("version https://git-lfs.github.com/spec/v1\noid x\n")
    assert "is a Git LFS pointer" in refusal(root)


def test_a_file_cut_short_is_named_with_its_line(tmp_path: Path) -> None:
    root = release(tmp_path, records(), all_tokens())
    path = next(root.rglob("*.jsonl"))
    path.write_bytes(path.read_bytes()[:-10])
    assert f"{path}:{len(all_tokens())}: the line is not JSON" in refusal(root)


def test_a_folder_without_the_benchmark_lists_the_accepted_names(tmp_path: Path) -> None:
    root = release(tmp_path, records(), all_tokens(), "traces/math500")
    text = refusal(root, BenchmarkItems("commonsense_qa", ITEMS))
    assert "looked for cqa, csqa, commonsense_qa" in text


def test_a_path_that_is_not_there_is_no_hub_id() -> None:
    with pytest.raises(InputError, match="neither a folder nor a dataset on the Hub"):
        import_released("/nowhere/at/all", BENCHMARK)


def test_the_hub_gives_the_files_of_one_benchmark_and_the_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def snapshot_download(repo_id: str, **options: Any) -> str:
        asked.update(options, repo_id=repo_id)
        return str(release(tmp_path / ("d" * 40), records(), all_tokens()))

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    found = import_released("trillionlabs/rBridge", BENCHMARK, "main")
    assert found.header.notes["revision"] == "d" * 40
    assert asked == {
        "repo_id": "trillionlabs/rBridge",
        "repo_type": "dataset",
        "revision": "main",
        "allow_patterns": ["traces/gsm8k/*"],
    }


def test_an_unreachable_hub_suggests_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(repo_id: str, **_: Any) -> str:
        raise ConnectionError("no route\nto https://me:secret@hub/x?token=hf_abcdefgh123")

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    text = refusal("trillionlabs/rBridge")
    assert "`dataselect traces pull --from DIR`" in text
    assert "secret" not in text
    assert "hf_abc" not in text


def test_the_release_is_looked_for_on_the_hub_and_then_in_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reachable = [True]

    class Api:
        def dataset_info(self, _: str, timeout: float) -> None:
            assert timeout > 0
            if not reachable[0]:
                raise ConnectionError("no route")

    def from_cache(_: str, **options: Any) -> str:
        assert options["local_files_only"]
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", from_cache)
    check_there("trillionlabs/rBridge", "gsm8k")
    reachable[0] = False
    with pytest.raises(InputError, match=r"cannot be fetched .* no route.*traces_without_key"):
        check_there("trillionlabs/rBridge", "gsm8k")
    release(tmp_path, records(), all_tokens())
    check_there("trillionlabs/rBridge", "gsm8k")
