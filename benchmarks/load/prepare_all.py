"""Everything of a run before its first training: text tokenised, searched for leaks and counted.

python prepare_all.py MANIFEST
"""

import sys
from pathlib import Path

from dataselect.api.inputs import load_inputs
from dataselect.stages.engine import open_compute
from dataselect.stages.prepare import prepare
from dataselect.stages.runtime import Runtime
from dataselect.stages.screen_by_counting import screen_by_counting
from dataselect.store import Store


def main() -> None:
    manifest, plan = load_inputs(sys.argv[1], None)
    store = Store(Path(".dataselect"))
    with open_compute(plan, store.root) as compute:
        experiment = prepare(manifest, plan, Runtime(store, compute))
        screen_by_counting(experiment)


if __name__ == "__main__":
    main()
