"""The files of the authors' released traces: their location and column names.

The Hub dataset `trillionlabs/rBridge` (Apache-2.0) has a folder for each benchmark,
`traces/{arc_challenge,cqa,gsm8k,humaneval,math500,mmlu_pro}/`, with GPT-4o's reasoning as a JSON
array (`gpt4o_s1*.json`) and its log-probabilities as JSON Lines, one row per token, in one file
or in parts (`gpt4o_s1*_logprobs_part01_of_03*.jsonl`), according to its card. The card does not
give the column names, so several names are accepted for each column, and anything unexpected is
an error that lists the accepted and the present names.

Not here: parsing token rows (`released_tokens`), and matching traces to items (`released`).
"""

import codecs
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataselect import strict_json
from dataselect.errors import InputError
from dataselect.redaction import redact

RELEASED = "trillionlabs/rBridge"
"""The release on the Hub."""
LICENCE = "Apache-2.0"

FOLDERS = {
    "arc_challenge": ("arc_challenge", "arc_c", "arc"),
    "commonsense_qa": ("cqa", "csqa", "commonsense_qa"),
    "gsm8k": ("gsm8k",),
    "humaneval": ("humaneval", "human_eval"),
    "math500": ("math500", "math_500"),
    "mmlu_pro_stem": ("mmlu_pro_stem", "mmlu_pro"),
}
"""Accepted names of a benchmark's folder; case, "-" and "_" do not matter."""

COLUMNS = {
    "id": (
        *("id", "item_id", "question_id", "task_id", "unique_id", "custom_id", "sample_id"),
        *("example_id", "problem_id", "doc_id", "qid", "trace_id", "request_id"),
        *("question_index", "question_idx", "item_index", "item_idx", "sample_index"),
        *("sample_idx", "example_index", "example_idx", "problem_index", "problem_idx"),
        *("trace_index", "trace_idx", "doc_index", "doc_idx", "item", "index", "idx"),
    ),
    "question": ("question", "problem", "question_text", "input", "query", "prompt"),
    "choices": ("choices", "options", "text"),
    "reasoning": (
        # Not "rationale" or "solution", which are the benchmark's columns.
        *("reasoning", "reasoning_trace", "trace", "cot", "chain_of_thought"),
        *("gpt4o_reasoning", "model_reasoning"),
    ),
    # Not "answer": next to one of these, it is the benchmark's.
    "answer": ("final_answer", "model_answer", "predicted_answer", "prediction", "pred"),
    "completion": (
        *("completion", "response", "content", "raw_response", "raw_output", "raw_completion"),
        *("output", "model_output", "full_response", "generation"),
    ),
    "model": ("model", "model_name", "engine"),
    "token": ("token", "token_text", "token_str", "text", "decoded_token"),
    "probability": ("probability", "prob", "token_prob", "token_probability", "p"),
    "logprob": ("logprob", "log_prob", "token_logprob", "log_probability", "logp"),
    "bytes": ("bytes", "token_bytes"),
    "position": (
        *("position", "pos", "token_position", "token_pos", "token_index", "token_idx"),
        *("token_number", "step", "index", "idx"),
    ),
}
"""Accepted names of each column, in order; case, "-" and "_" do not matter."""

_PART = re.compile(r"part[-_]?(\d+)[-_]of[-_](\d+)", re.IGNORECASE)
_SECONDS = 20.0
"""Longest wait for the Hub to describe the release."""
_POINTER = b"version https://git-lfs"
FIX = "get the released files again, or make traces of your own with `dataselect traces build`"


@dataclass(frozen=True)
class Record:
    """One released trace."""

    where: str
    """File and row (from 0, the position in the JSON array)."""

    fields: Mapping[str, Any]
    """Values by the file's own column names."""

    def get(self, column: str) -> Any:
        """The value of a column under its first accepted name; None if the record has none."""
        name = find_column(self.fields, column)
        return None if name is None else self.fields[name]

    def all(self, column: str) -> dict[str, Any]:
        """The values of a column under all accepted names that the record has."""
        accepted = set(map(_plain, COLUMNS[column]))
        return {name: v for name, v in self.fields.items() if _plain(name) in accepted}


def download(hub_id: str, revision: str | None, benchmark: str) -> tuple[Path, str]:
    """Download a benchmark's part of the release; its local folder and its commit.

    Raises InputError when the Hub cannot be reached or has no such revision.
    """
    import huggingface_hub

    where = hub_id if revision is None else f"{hub_id}@{revision}"
    # The Hub's client raises errors of several libraries, which have no common base class.
    try:
        folder = huggingface_hub.snapshot_download(
            hub_id, repo_type="dataset", revision=revision, allow_patterns=_patterns(benchmark)
        )
    except Exception as error:
        raise _not_fetched(where, error) from None
    return Path(folder), Path(folder).name


def check_there(hub_id: str, benchmark: str) -> None:
    """Raise InputError, as `download` would, where neither the Hub nor its cache has the release.

    Fetches nothing but the dataset's description.
    """
    import huggingface_hub

    try:
        huggingface_hub.HfApi().dataset_info(hub_id, timeout=_SECONDS)
    except Exception as error:
        try:
            cached = huggingface_hub.snapshot_download(
                hub_id,
                repo_type="dataset",
                allow_patterns=_patterns(benchmark),
                local_files_only=True,
            )
            locate(Path(cached), benchmark)
        except Exception:
            raise _not_fetched(hub_id, error) from None


def _patterns(benchmark: str) -> list[str]:
    return [f"traces/{name}/*" for name in _names(benchmark)]


def _not_fetched(where: str, error: Exception) -> InputError:
    # What follows the first sentence says what the client tried, not what is wrong.
    text = redact(" ".join(str(error).split())).split(" An error ")[0][:200]
    return InputError(
        where,
        f"the released traces cannot be fetched ({type(error).__name__}: {text})",
        "import a copy of its files by `dataselect traces pull --from DIR`, or make traces by "
        "`dataselect traces build` or another way (docs/traces_without_key.md); then name them by "
        "'traces', or a model by 'weigh', in the plan",
    )


def locate(root: Path, benchmark: str) -> Path:
    """The folder of a benchmark; `root` is a copy of the release, its `traces/`, or that folder.

    Raises InputError, with the accepted names, when there is none.
    """
    accepted = [_plain(name) for name in _names(benchmark)]
    found = [
        (accepted.index(_plain(each.name)), each)
        for parent in (root / "traces", root)
        if parent.is_dir()
        for each in sorted(parent.iterdir())
        if each.is_dir() and _plain(each.name) in accepted
    ]
    if found:
        return min(found)[1]
    if any(root.glob("*.json")) and any(root.glob("*.jsonl")):
        return root
    raise InputError(
        root,
        f"it has no folder for '{benchmark}' (looked for {', '.join(_names(benchmark))}, also in "
        "traces/)",
        FIX,
    )


def read_records(folder: Path) -> list[Record]:
    """The traces of all `*.json` files: arrays, id → record objects, or objects with one array.

    Fields of nested objects are merged into their record. Raises InputError for any other layout.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise InputError(folder, "it has no *.json file with reasoning traces", FIX)
    records = []
    for path in paths:
        for number, fields in enumerate(_objects(path)):
            inner = [value for value in fields.values() if isinstance(value, dict)]
            merged = {name: value for each in reversed(inner) for name, value in each.items()}
            merged |= {k: value for k, value in fields.items() if not isinstance(value, dict)}
            records.append(Record(f"{path.name} row {number}", merged))
    return records


def read_rows(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of all `*.jsonl` files in order, each with its file and number (from 1).

    Raises InputError when there are no files, when a part is missing, and for a line that is not
    a JSON object.
    """
    paths = sorted(folder.glob("*.jsonl"))
    if not paths:
        raise InputError(folder, "it has no *.jsonl file with token log-probabilities", FIX)
    _refuse_missing_parts(paths)
    for path in paths:
        for number, line in enumerate(_bytes(path).split(b"\n"), start=1):
            if not line.strip():
                continue
            try:
                row = strict_json.loads(line)
            except ValueError as error:
                raise InputError(
                    f"{path}:{number}", f"the line is not JSON ({error})", FIX
                ) from error
            if not isinstance(row, dict):
                raise InputError(f"{path}:{number}", "the line is not a JSON object", FIX)
            yield f"{path.name} row {number}", row


def find_column(fields: Mapping[str, Any], column: str, but: str | None = None) -> str | None:
    """The field with the first accepted name of a column, as spelt there; None without one.

    The field `but` is skipped.
    """
    spelt = {_plain(name): name for name in reversed(list(fields)) if name != but}
    accepted = map(_plain, COLUMNS[column])
    return next((spelt[name] for name in accepted if name in spelt), None)


def looked_for(column: str, fields: Iterable[str]) -> str:
    """The part of an error message that lists accepted and present column names."""
    return f"looked for {', '.join(COLUMNS[column])}; found {', '.join(fields)}"


def _objects(path: Path) -> list[dict[str, Any]]:
    try:
        content = strict_json.loads(_bytes(path))
    except ValueError as error:
        raise InputError(path, f"it is not JSON ({error})", FIX) from error
    if isinstance(content, dict):
        arrays = [value for value in content.values() if isinstance(value, list)]
        if content and all(isinstance(value, dict) for value in content.values()):
            content = [{"id": name, **value} for name, value in content.items()]
        elif len(arrays) == 1:
            content = arrays[0]
    if not isinstance(content, list) or not all(isinstance(each, dict) for each in content):
        raise InputError(
            path,
            "it is not an array of objects, an object of objects by id, or an object with one "
            "such array",
            FIX,
        )
    return content


def _refuse_missing_parts(paths: list[Path]) -> None:
    parts = [(path, match) for path in paths if (match := _PART.search(path.name))]
    there = {int(match[1]) for _, match in parts}
    for path, match in parts:
        missing = set(range(1, int(match[2]) + 1)) - there
        if missing:
            raise InputError(
                path.parent,
                f"part {min(missing)} of {int(match[2])} of its tokens is missing",
                FIX,
            )


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", FIX) from error
    if data.startswith(_POINTER):
        raise InputError(
            path,
            "it is a Git LFS pointer in place of the file",
            "run `git lfs pull` in that copy, or get the file again",
        )
    return data.removeprefix(codecs.BOM_UTF8)


def _plain(name: str) -> str:
    return re.sub(r"[-_ ]", "", name).lower()


def _names(benchmark: str) -> tuple[str, ...]:
    return FOLDERS.get(benchmark, (benchmark,))
