"""`transformers serve`: why it is refused.

    python benchmarks/servers/transformers_serve.py [--work DIR]

Writes results/transformers_serve.json.
"""

import sys
from typing import Any

from checks import Bench, main
from environments import Server, serving
from measure import measure

SERVE = Server(
    "transformers_serve",
    ("transformers[serving]==5.23.0", "torch==2.13.0"),
    ("transformers", "torch"),
    ready="/health",
)


def run(bench: Bench) -> dict[str, Any]:
    """In single precision."""
    start = [str(bench.python.parent / "transformers"), "serve", "--host", "127.0.0.1"]
    start += ["--port", "PORT", "--device", "cpu", "--dtype", "float32"]
    with serving(SERVE, bench.python, start, bench.work / "serve.log") as address:
        return {"single precision": measure(bench.subject(address, str(bench.model)), thinks=False)}


if __name__ == "__main__":
    sys.exit(main(SERVE, run))
