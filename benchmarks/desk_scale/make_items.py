"""Write the quickstart's two benchmarks: held-out stories of two steps, and of three and four.

python benchmarks/desk_scale/make_items.py
"""

import json
from pathlib import Path

from dataselect.synthetic.problems import Problem
from dataselect.synthetic.words import NAMES
from dataselect.synthetic.world import ANSWER_CUE, benchmark_problems

FOLDER = Path(__file__).parents[2] / "stages" / "quickstart"
ITEMS = 200
BENCHMARKS = {"stories-short": (1, (2,)), "stories-long": (2, (3, 4))}


def after_opening(problem: Problem) -> str:
    """The worked reasoning as it goes on after the prompt's "First,"."""
    reasoning = problem.reasoning().removeprefix("First, ")
    first = reasoning.split(" ", 1)[0]
    if first.removesuffix("'s") in NAMES or not first.isalpha():
        return reasoning
    return reasoning[0].lower() + reasoning[1:]


def rationale(problem: Problem) -> str:
    """The worked solution of an item."""
    return f"{after_opening(problem)} {ANSWER_CUE} {problem.answer}."


def main() -> None:
    for name, (seed, steps) in BENCHMARKS.items():
        lines = []
        for number, problem in enumerate(benchmark_problems(seed, steps, ITEMS)):
            item = {
                "id": f"{name}-{number:03d}",
                "question": problem.prompt,
                "answer": str(problem.answer),
                "rationale": rationale(problem),
            }
            lines.append(json.dumps(item))
        (FOLDER / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
