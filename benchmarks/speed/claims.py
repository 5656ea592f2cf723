"""What claims cost: the seconds of a claim and its release, and of publishing an artifact.

    python benchmarks/speed/claims.py [--folder FOLDER] [--artifacts N]

FOLDER should be on the file system of the store. N is the number of artifacts of a run
(`ls -d .dataselect/artifacts/*/* | wc -l` after it), for the last line.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dataselect.store import Claim, Store


def seconds(work: Callable[[int], object], times: int) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for number in range(times):
        work(number)
    return (time.perf_counter() - wall) / times, (time.process_time() - cpu) / times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="by default that of temporary files")
    parser.add_argument("--times", type=int, default=500)
    parser.add_argument("--artifacts", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as root:
        store = Store(Path(root))

        def claim(number: int) -> None:
            with store.claim("thing", {"claimed": number}) as held:
                assert isinstance(held, Claim)

        def publish(number: int) -> None:
            with store.publish("thing", {"published": number}) as folder:
                (folder / "file").write_text("text")

        def build(number: int) -> None:
            store.get_or_build("thing", {"built": number}, lambda f: (f / "file").write_text("x"))

        claimed, claimed_cpu = seconds(claim, given.times)
        published, _ = seconds(publish, given.times // 5)
        built, _ = seconds(build, given.times // 5)
    print(f"a claim and its release: {1e3 * claimed:.2f} ms, {1e3 * claimed_cpu:.2f} ms of CPU")
    print(f"claims in a second, by one process: {1 / claimed:.0f}")
    print(f"publishing without a claim: {1e3 * published:.2f} ms, with one: {1e3 * built:.2f} ms")
    print(f"all claims of a run of {given.artifacts} artifacts: {given.artifacts * claimed:.2f} s")


if __name__ == "__main__":
    main()
