"""Write the benchmark of the stories with the same words: 200 that are held out of every text.

python benchmarks/same_words/make_items.py
"""

import json
from pathlib import Path

from dataselect.synthetic.same_words import benchmark_problems
from dataselect.synthetic.world import ANSWER_CUE

FOLDER = Path(__file__).parents[2] / "stages" / "same-words"
NAME, SEED, ITEMS = "stories-tiny", 1, 200


def main() -> None:
    lines = []
    for number, problem in enumerate(benchmark_problems(SEED, ITEMS)):
        # The prompt ends in "First,".
        reasoning = problem.reasoning().removeprefix("First, ")
        item = {
            "id": f"{NAME}-{number:03d}",
            "question": problem.prompt,
            "answer": str(problem.answer),
            "rationale": f"{reasoning} {ANSWER_CUE} {problem.answer}.",
        }
        lines.append(json.dumps(item))
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{NAME}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
