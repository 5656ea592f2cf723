from pathlib import Path

import pytest

from dataselect.errors import InputError
from dataselect.traces.library import find_trace_files, resolve, trace_benchmark, trace_path
from dataselect.traces.trace import Trace, TraceHeader, write_traces


def put(folder: Path, benchmark: str, model: str, name: str | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    path = trace_path(folder, benchmark, model) if name is None else folder / name
    write_traces(
        path, TraceHeader(benchmark, model, "", "a test"), [Trace("q", "So.", ((3, 0.5),))]
    )
    return path


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o", "gsm8k.gpt-4o.jsonl.gz"),
        ("meta-llama/Llama-3.1-8B", "gsm8k.meta-llama--Llama-3.1-8B.jsonl.gz"),
        ("../../etc/passwd", "gsm8k.etc--passwd.jsonl.gz"),
        ("a b:c\n", "gsm8k.a-b-c.jsonl.gz"),
        ("/", "gsm8k.unnamed.jsonl.gz"),
    ],
)
def test_a_file_is_named_after_its_benchmark_and_model(
    tmp_path: Path, model: str, name: str
) -> None:
    assert trace_path(tmp_path, "gsm8k", model) == tmp_path / name


def test_files_are_found_by_the_benchmark_in_their_header(tmp_path: Path) -> None:
    first, second = put(tmp_path, "gsm8k", "gpt-4o"), put(tmp_path, "gsm8k", "x", "z.jsonl")
    put(tmp_path, "gsm8k.hard", "gpt-4o")
    (tmp_path / "notes.txt").write_text("gsm8k")
    assert find_trace_files(tmp_path, "gsm8k") == [first, second]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b\x08\x00junk", b"not gzip", b"\x1f\x8b"])
def test_a_damaged_file_counts_by_its_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gsm8k.gpt-4o.jsonl.gz"
    path.write_bytes(content)
    assert find_trace_files(tmp_path, "gsm8k") == [path]
    assert find_trace_files(tmp_path, "math500") == []


def test_a_file_says_which_benchmark_it_is_for(tmp_path: Path) -> None:
    assert trace_benchmark(put(tmp_path, "gsm8k.hard", "x", "renamed.jsonl")) == "gsm8k.hard"
    (tmp_path / "bad.jsonl").write_text('["no header"]')
    with pytest.raises(InputError, match="its first line names no benchmark"):
        trace_benchmark(tmp_path / "bad.jsonl")
    with pytest.raises(InputError, match="there is no such file"):
        trace_benchmark(tmp_path / "none.jsonl")


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert find_trace_files(tmp_path / "none", "gsm8k") == []


def test_a_benchmark_id_resolves_to_its_only_file(tmp_path: Path) -> None:
    path = put(tmp_path, "gsm8k", "gpt-4o")
    put(tmp_path, "math500", "gpt-4o")
    assert resolve("gsm8k", tmp_path) == path


def test_a_path_resolves_to_itself(tmp_path: Path) -> None:
    path = put(tmp_path / "elsewhere", "gsm8k", "gpt-4o")
    assert resolve(str(path), tmp_path) == path


def test_an_unknown_name_lists_the_alternatives(tmp_path: Path) -> None:
    put(tmp_path, "gsm8k", "gpt-4o")
    with pytest.raises(InputError, match=r"has none for a benchmark of this name .*for gsm8k"):
        resolve("math500", tmp_path)
    with pytest.raises(InputError, match="traces pull"):
        resolve("math500", tmp_path / "none")
    with pytest.raises(InputError, match="no such trace file"):
        resolve("gsm8k.gpt-5.jsonl.gz", tmp_path)


def test_a_name_of_several_files_lists_them(tmp_path: Path) -> None:
    put(tmp_path, "gsm8k", "one")
    put(tmp_path, "gsm8k", "two")
    with pytest.raises(InputError, match=r"2 trace files .*gsm8k.one.jsonl.gz, gsm8k.two"):
        resolve("gsm8k", tmp_path)
