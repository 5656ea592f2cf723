"""What Stage 0 costs with many candidates: CPU time and memory.

    python benchmarks/counting/candidates.py [--candidates 300]

The quickstart's plan with `screen0`, on mixtures of two sources of its generated texts, half a
million tokens each. What is prepared for all of them (traces, tokenizer, token streams) is not
counted. Prints JSON.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from dataselect.compute import InlineCompute
from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.config.stage import CountingScreen
from dataselect.stages.prepare import prepare
from dataselect.stages.runtime import Runtime
from dataselect.stages.screen_by_counting import screen_by_counting
from dataselect.store import Store

SOURCES = """\
target: {size: 1M, tokens: 20M}
sources:
  - {id: worked, path: dataselect/desk, name: worked}
  - {id: prose, path: dataselect/desk, name: narrative}
candidates:
"""


def main() -> None:
    """Count all candidates and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=300)
    number = parser.parse_args().candidates
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        mixtures = (
            f"  - {{id: m{i}, mixture: {{worked: {i}, prose: {number + 1 - i}}}}}\n"
            for i in range(1, number + 1)
        )
        (folder / "manifest.yaml").write_text(SOURCES + "".join(mixtures))
        plan = load_plan("quickstart").model_copy(update={"screen0": CountingScreen(keep=2)})
        runtime = Runtime(Store(folder / "store"), InlineCompute())
        experiment = prepare(load_manifest(folder / "manifest.yaml"), plan, runtime)
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
        found = screen_by_counting(experiment)
        after = resource.getrusage(resource.RUSAGE_SELF)
    assert found is not None, "the plan has screen0"
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps(
            {
                "candidates": number,
                "tokens": sum(found.counted.tokens.values()),
                "cpu_seconds": round(cpu, 1),
                "of_it_counting": round(found.counted.cpu_seconds, 1),
                "wall_seconds": round(time.monotonic() - began, 1),
                "more_peak_mib": round((after.ru_maxrss - before.ru_maxrss) / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
