"""What a results file of lm-evaluation-harness says about how its numbers were measured.

Such a file holds, beside `results`: `n-shot`, `n-samples`, `versions`, `configs` and `task_hashes`
by task; `config` with the options of the run (`limit`, `gen_kwargs`, `fewshot_seed`, `model_args`);
and at the top `chat_template`, `system_instruction` and `fewshot_as_multiturn`. Releases differ in
which of these they write, so a key that is absent is unknown, and one that is null says "none".

A task's config holds functions as their source or, where there is none, as a memory address; the
latter says nothing. Releases also differ in how they write other settings out, so only those that
make the prompt or choose the items are decisive.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from dataselect.calibration.conditions import Conditions

_PROMPT = {
    "doc_to_text": "prompt",
    "doc_to_target": "answer",
    "doc_to_choice": "choices",
    "description": "description",
    "gen_prefix": "gen_prefix",
    "target_delimiter": "target_delimiter",
    "fewshot_delimiter": "fewshot_delimiter",
    "output_type": "output_type",
    "dataset_name": "dataset_name",
}
"""Settings of a task that make its prompts and items, by what they are called in messages."""
_LEFT_OUT_IF_NULL = ("gen_prefix", "dataset_name", "doc_to_choice")
_SPLITS = ("test_split", "validation_split")
_ITEMS = ("dataset_path", "process_docs")
_EXAMPLES = ("fewshot_split", "fewshot_config")
_ADDRESS = re.compile(r"<.* at 0x[0-9a-f]+>|functools\.partial\(")
_MODEL_ARGUMENTS = (
    *("add_bos_token", "prefix_token_id", "enable_thinking", "think_end_token"),
    *("chat_template_args", "max_length", "max_gen_toks", "truncation"),
    *("load_in_4bit", "load_in_8bit", "quantization", "peft", "delta"),
)
"""Arguments of the model that change its answers by more than rounding."""


class ResultsFile(BaseModel):
    """The parts of a results file that are read."""

    model_config = ConfigDict(extra="ignore")
    results: dict[str, dict[str, Any]]
    config: dict[str, Any] = Field(default_factory=dict)
    configs: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, Any] = Field(default_factory=dict)
    shots: dict[str, Any] = Field(default_factory=dict, alias="n-shot")
    samples: dict[str, Any] = Field(default_factory=dict, alias="n-samples")
    higher_is_better: dict[str, Any] = Field(default_factory=dict)
    task_hashes: dict[str, Any] = Field(default_factory=dict)
    group_subtasks: dict[str, Any] = Field(default_factory=dict)
    model_name: str | None = None
    chat_template: Any = None
    chat_template_sha: Any = None
    system_instruction: Any = None
    system_instruction_sha: Any = None
    fewshot_as_multiturn: Any = None
    lm_eval_version: Any = None
    own: Any = Field(default=None, alias="dataselect")

    def effective(self, task: str) -> int | None:
        """Number of items of a task that were measured; None where the file does not say."""
        return self._count(task, "effective")

    def original(self, task: str) -> int | None:
        """Number of items that a task has; None where the file does not say."""
        return self._count(task, "original")

    def _count(self, task: str, which: str) -> int | None:
        counts = self.samples.get(task)
        found = counts.get(which) if isinstance(counts, dict) else None
        return found if isinstance(found, int) and not isinstance(found, bool) else None


def conditions_of(
    path: Path, file: ResultsFile, tasks: Sequence[str], metric: str, arguments: Mapping[str, Any]
) -> Conditions:
    """What the accuracy of these tasks was measured with; `arguments` are those of the model."""
    configs = [_mapping(file.configs.get(task)) for task in tasks]
    shots = [
        _first(file.shots.get(task), config.get("num_fewshot"), file.config.get("num_fewshot"))
        for task, config in zip(tasks, configs, strict=True)
    ]
    decisive = {
        "n-shot": _joined(tasks, [_text(each) for each in shots]),
        "task version": _joined(tasks, [_version(file.versions.get(task)) for task in tasks]),
        "filter": _joined(tasks, [_filter(config, metric) for config in configs]),
        "chat template": _chat_template(file),
        "system prompt": _hashed(file, "system_instruction", "system_instruction_sha"),
        **{
            name: _joined(tasks, [_setting(config, key) for config in configs])
            for key, name in _PROMPT.items()
        },
        "split": _joined(tasks, [_split(config) for config in configs]),
        "generation": _joined(tasks, [_generation(config) for config in configs]),
        "number of parameters": _parameters(file.config.get("model_num_parameters")),
    }
    drawn = any(each != 0 for each in shots)
    if decisive["chat template"] not in (None, "none") and drawn:
        decisive["worked examples as turns"] = _text(file.fewshot_as_multiturn)
    # Examples that are not drawn do not depend on the seed.
    seed = _text(file.config.get("fewshot_seed")) if drawn else None
    incidental = {
        "hash of prompts and items": _joined(
            tasks, [_text(file.task_hashes.get(t)) for t in tasks]
        ),
        "data set": _joined(tasks, [_part(config, _ITEMS) for config in configs]),
        "worked examples": _joined(tasks, [_part(config, _EXAMPLES) for config in configs]),
        "seed of worked examples": seed,
        "gen_kwargs": _canonical(file.config.get("gen_kwargs") or "none") if file.config else None,
        "release of the harness": _text(file.lm_eval_version),
    }
    if arguments:
        known = {name: arguments[name] for name in _MODEL_ARGUMENTS if name in arguments}
        incidental["model's arguments"] = _canonical(known)
    effective = [file.effective(task) for task in tasks]
    original = [file.original(task) for task in tasks]
    return Conditions(
        path,
        {name: value for name, value in decisive.items() if value is not None},
        {name: value for name, value in incidental.items() if value is not None},
        _sum(effective),
        _sum(original),
        _text(file.config["limit"]) or "none" if "limit" in file.config else None,
    )


def _chat_template(file: ResultsFile) -> str | None:
    if file.own is not None:
        return "none"  # prompts of ours have no chat template
    found = _hashed(file, "chat_template", "chat_template_sha")
    # A server that applies its own template leaves an empty one.
    return "the server's" if file.chat_template == "" and found == "none" else found


def _hashed(file: ResultsFile, name: str, hashed: str) -> str | None:
    if file.own is not None:
        return "none"
    if (known := getattr(file, hashed)) is not None:
        return f"hash {str(known)[:12]}"
    if name not in file.model_fields_set:
        return None
    value = getattr(file, name)
    if not value:
        return "none"
    # As the harness does, so that files with and without the hash compare.
    return f"hash {hashlib.sha256(str(value).encode()).hexdigest()[:12]}"


def _version(value: Any) -> str | None:
    """A task's version; `Yaml` stands for a task that states none."""
    if value is None or value == "Yaml":
        return None
    try:
        return f"{float(value):g}"
    except (TypeError, ValueError):
        return str(value)


def _filter(config: Mapping[str, Any], metric: str) -> str | None:
    """The metric's filter as the task defines it: one name may stand for two."""
    name = metric.rpartition(",")[2]
    filters = config.get("filter_list")
    if not isinstance(filters, list):
        return "none" if config and name == "none" else None
    found = [each for each in filters if isinstance(each, dict) and each.get("name") == name]
    return _canonical(found) if found else None


def _generation(config: Mapping[str, Any]) -> str | None:
    """How answers were generated, where they were: the task's config holds the run's options."""
    if config.get("output_type", "generate_until") != "generate_until":
        return None
    return _canonical(config["generation_kwargs"]) if "generation_kwargs" in config else None


def _setting(config: Mapping[str, Any], key: str) -> str | None:
    if key not in config:
        # The harness leaves out what is null, but not of every release every key.
        return "none" if config and key in _LEFT_OUT_IF_NULL else None
    value = _canonical(config[key])
    return None if _ADDRESS.search(value) else value


def _part(config: Mapping[str, Any], names: Sequence[str]) -> str | None:
    known = {name: config[name] for name in names if name in config}
    known = {name: value for name, value in known.items() if not _ADDRESS.search(str(value))}
    return _canonical(known) if known else None


def _split(config: Mapping[str, Any]) -> str | None:
    return next((str(config[name]) for name in _SPLITS if config.get(name)), None)


def _parameters(count: Any) -> str | None:
    """Number of parameters of the model; -1 stands for unknown."""
    return str(count) if isinstance(count, int) and count > 0 else None


def _joined(tasks: Sequence[str], values: Sequence[str | None]) -> str | None:
    """One value for all tasks, or each task's; None unless all are known."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    if len(set(known)) == 1:
        return known[0]
    return ", ".join(f"{value} ({task})" for task, value in zip(tasks, known, strict=True))


def _sum(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=False, default=str)


def _plain(value: Any) -> Any:
    """The value with all numbers alike: a temperature of 0 is one of 0.0."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return f"{value:g}" if isinstance(value, float) or type(value) is int else value


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
