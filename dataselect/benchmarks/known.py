"""The six benchmarks of the rBridge paper (arXiv 2509.21013).

Revisions are commits that public evaluation code pins; `docs/benchmarks.md` lists the code and
the reason for each choice. Item ids are the Hub's where it has any, so that a trace matches its
item whether the benchmark came from the Hub or from files.
"""

import re
from functools import partial

from dataselect.benchmarks.columns import Columns
from dataselect.benchmarks.definition import (
    Definition,
    FileRows,
    HubRows,
    Record,
    Row,
    RowSource,
    ToRecord,
)

STEM = ("math", "physics", "chemistry", "engineering", "biology", "computer science")
"""The categories of MMLU-Pro that count as STEM."""

ALIASES = {
    "arc": "arc_challenge",
    "arc_c": "arc_challenge",
    "cqa": "commonsense_qa",
    "csqa": "commonsense_qa",
    "gsm": "gsm8k",
    "human_eval": "humaneval",
    "math": "math500",
    "math_500": "math500",
    "mmlu_pro": "mmlu_pro_stem",
}
"""Other common names. They are suggested, never accepted: `mmlu_pro` is more than STEM."""

_CALCULATION = re.compile(r"<<[^<>]*>>")
_PADDING = "N/A"
# MMLU-Pro's files hold this for an empty cell of the original table.
_EMPTY_CELL = "nan"


def _gsm8k_record(prefix: str, position: int, row: Row) -> Record:
    solution, _, answer = str(row["answer"]).partition("\n#### ")
    return {
        "id": f"{prefix}_{position}",
        "question": row["question"],
        "answer": answer.strip().replace(",", ""),
        "rationale": _CALCULATION.sub("", solution),
    }


def _math500_record(_: int, row: Row) -> Record:
    return {
        "id": row["unique_id"],
        "question": row["problem"],
        "answer": row["answer"],
        "rationale": row["solution"],
    }


def _math_train_record(position: int, row: Row) -> Record:
    return {
        "id": f"math_train_{position}",
        "question": row["problem"],
        "answer": last_boxed(str(row["solution"])),
        "rationale": row["solution"],
    }


def last_boxed(solution: str) -> str | None:
    r"""The content of the last \boxed{…} of a MATH solution; None without a closed one."""
    command = r"\boxed{"
    start = solution.rfind(command) + len(command)
    if start < len(command):
        return None
    depth = 1
    for end in range(start, len(solution)):
        depth += {"{": 1, "}": -1}.get(solution[end], 0)
        if depth == 0:
            return solution[start:end]
    return None


def _mmlu_pro_record(prefix: str, _: int, row: Row) -> Record:
    return {
        "id": f"{prefix}_{row['question_id']}",
        "question": row["question"],
        "choices": row["options"],
        "answer": row["answer"],
        "answer_index": row["answer_index"],
        "rationale": row["cot_content"] or None,
        "meta": {"category": row["category"]},
    }


def _tidy_mmlu_pro(record: Record) -> Record | None:
    meta = record.get("meta")
    if not isinstance(meta, dict) or meta.get("category") not in STEM:
        return None
    choices, rationale = record.get("choices"), record.get("rationale")
    if isinstance(choices, list):
        # Only at the end, so that the position of the right choice does not change.
        while choices and choices[-1] == _PADDING:
            choices = choices[:-1]
        choices = ["" if choice == _EMPTY_CELL else choice for choice in choices]
    if isinstance(rationale, str):
        rationale = rationale.removeprefix("A: ")
    return record | {"choices": choices, "rationale": rationale}


def _humaneval_record(_: int, row: Row) -> Record:
    return {
        "id": row["task_id"],
        "question": row["prompt"],
        "answer": row["canonical_solution"],
        "meta": {"test": row["test"], "entry_point": row["entry_point"]},
    }


_GSM8K = partial(
    HubRows,
    "openai/gsm8k",
    columns=("question", "answer"),
    name="main",
    revision="cc7b047b6e5bb11b4f1af84efc572db110a51b3c",
)
_ARC = partial(
    HubRows,
    "allenai/ai2_arc",
    columns=("id", "question", "choices", "answerKey"),
    record=Columns("arc_challenge", answer="answerKey").record,
    name="ARC-Challenge",
    revision="210d026faf9955653af8916fad021475a3f00453",
)
_COMMONSENSE_QA = partial(
    HubRows,
    "tau/commonsense_qa",
    columns=("id", "question", "choices", "answerKey"),
    record=Columns("commonsense_qa", answer="answerKey").record,
    revision="94630fe30dad47192a8546eb75f094926d47e155",
)
_MMLU_PRO = partial(
    HubRows,
    "TIGER-Lab/MMLU-Pro",
    columns=(
        *("question_id", "question", "options", "answer", "answer_index"),
        *("cot_content", "category"),
    ),
    revision="527feea0afed1de15a8c115abf7be4c912123315",
)
_MATH500 = HubRows(
    "HuggingFaceH4/MATH-500",
    "test",
    columns=("unique_id", "problem", "solution", "answer"),
    record=_math500_record,
    revision="6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be",
)
_MATH_TRAIN = HubRows(
    "DigitalLearningGmbH/MATH-lighteval",
    "train",
    columns=("problem", "solution"),
    record=_math_train_record,
    revision="0530c78699ea5e8eb5530600900e1f328b48acad",
)
_HUMANEVAL = HubRows(
    "openai/openai_humaneval",
    "test",
    columns=("task_id", "prompt", "canonical_solution", "test", "entry_point"),
    record=_humaneval_record,
    revision="7dce6050a7d6d172f3cc5c32aa97f52fa1a2e544",
)


def _rows(file: str, hub: HubRows) -> RowSource:
    return RowSource(FileRows(file, columns=("id", "question")), hub)


def _gsm8k(split: str) -> RowSource:
    record: ToRecord = partial(_gsm8k_record, f"gsm8k_{split}")
    return _rows(f"gsm8k.{split}.jsonl", _GSM8K(split=split, record=record))


def _mmlu_pro(split: str, file: str, prefix: str) -> RowSource:
    return _rows(file, _MMLU_PRO(split=split, record=partial(_mmlu_pro_record, prefix)))


KNOWN = {
    definition.id: definition
    for definition in (
        Definition(
            id="gsm8k",
            title="GSM8K",
            items=_gsm8k("test"),
            shots=_gsm8k("train"),
            task="grade school math",
            answers="number",
            training_set=True,
            stop=("\nQuestion:", "\n\n"),
        ),
        Definition(
            id="math500",
            title="MATH500",
            items=_rows("math500.test.jsonl", _MATH500),
            shots=_rows("math500.train.jsonl", _MATH_TRAIN),
            task="competition math",
            prompt="Problem:\n{question}\n\nSolution:",
            answers="math",
            training_set=True,
            stop=("\nProblem:",),
        ),
        Definition(
            id="arc_challenge",
            title="ARC-Challenge",
            items=_rows("arc_challenge.test.jsonl", _ARC(split="test")),
            shots=_rows("arc_challenge.train.jsonl", _ARC(split="train")),
            # The first five of OLMES (arXiv 2406.08446).
            shot_ids=(
                *("Mercury_SC_415702", "MCAS_2009_5_6516", "Mercury_7233695"),
                *("Mercury_7041615", "MCAS_1998_4_3"),
            ),
            task="science",
            training_set=True,
            label="answer",
            answers="choice",
            new_tokens=256,
        ),
        Definition(
            id="mmlu_pro_stem",
            title="MMLU-Pro (STEM)",
            items=_mmlu_pro("test", "mmlu_pro_stem.test.jsonl", "mmlu_pro"),
            shots=_mmlu_pro("validation", "mmlu_pro.validation.jsonl", "mmlu_pro_val"),
            task="STEM",
            label="answer",
            answers="choice",
            tidy=_tidy_mmlu_pro,
        ),
        Definition(
            id="commonsense_qa",
            title="CommonsenseQA",
            # The answers of its test split were never released.
            items=_rows("commonsense_qa.validation.jsonl", _COMMONSENSE_QA(split="validation")),
            shots=_rows("commonsense_qa.train.jsonl", _COMMONSENSE_QA(split="train")),
            # The first five of OLMES (arXiv 2406.08446).
            shot_ids=(
                *("61fe6e879ff18686d7552425a36344c8", "02e821a3e53cb320790950aab4489e85"),
                *("23505889b94e880c3e89cff4ba119860", "a76403b4921a9281b6ee2a7241a5ec9f"),
                "6dc921840aa1e5dda3333b79007f630b",
            ),
            task="commonsense reasoning",
            training_set=True,
            label="answer",
            answers="choice",
            new_tokens=256,
        ),
        Definition(
            id="humaneval",
            title="HumanEval",
            items=_rows("humaneval.test.jsonl", _HUMANEVAL),
            shots="items",
            task="Python programming",
            prompt="{question}",
            answers="code",
            stop=("\nclass", "\ndef", "\n#", "\nif", "\nprint"),
        ),
    )
}
"""The six definitions, by id."""
