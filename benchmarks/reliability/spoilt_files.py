"""Every kind of file that is read back, spoilt in six ways, many times.

    python benchmarks/reliability/spoilt_files.py --draws 50

Truncations and flipped bits are drawn `--draws` times, from the number of the draw; the other
damages have nothing to draw. Writes the counts to spoilt_files.json beside this script, or to
`--out`, prints them as a table, and ends with exit code 1 if anything is WRONG
(`tests/support/spoilt_files.py` says what that is).
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

DRAWN = ("truncated", "bit flipped")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=50)
    parser.add_argument("--out", type=Path, default=HERE / "spoilt_files.json")
    given = parser.parse_args()
    from spoilt_files import DAMAGES, FOUND, KINDS, UNCHANGED, WRONG, judge, make_whole, spoil

    counts: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        tally: Counter[str] = Counter()
        with tempfile.TemporaryDirectory() as place:
            base = Path(place)
            made = make_whole(kind, base)
            for how in DAMAGES:
                for draw in range(given.draws if how in DRAWN else 1):
                    folder = shutil.copytree(made.folder, base / "spoilt")
                    spoil(folder / made.path, how, random.Random(f"{how} {draw}"))
                    outcome = judge(kind, folder, folder / made.path, made.read)
                    tally[outcome.kind] += 1
                    if outcome.kind == WRONG:
                        print(f"WRONG {kind.name}, {how}, draw {draw}: {outcome.text}"[:400])
                    shutil.rmtree(folder)
        counts[kind.name] = {each: tally[each] for each in (FOUND, UNCHANGED, WRONG)}
        cells = [kind.name, tally.total(), *counts[kind.name].values()]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    given.out.write_text(json.dumps({"draws": given.draws, "kinds": counts}, indent=1) + "\n")
    return int(any(each[WRONG] for each in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
