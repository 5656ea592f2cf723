#!/usr/bin/env bash
# datasets 5.2.0: a file that two of the split patterns match is loaded twice.
#
# Expected before looking: `load_dataset` on a folder gives the rows of each file once.
# Seen: a file in train/train-x/ lies in a folder named after a split inside another such folder; both
# match, its path is listed twice, and its two rows come as four. The same file directly in train/, or
# in train/part-x/, gives two.
#
# Exits with 1 if this is no longer so. Needs python3 and a package index; makes a temporary folder.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "datasets==5.2.0"
cd "$work"
for place in train train/part-x train/train-x; do
  mkdir -p "$place-data/$place"
  printf '{"text": "one"}\n{"text": "two"}\n' > "$place-data/$place/a.jsonl"
done
HF_HUB_OFFLINE=1 HF_HOME="$work/cache" HF_DATASETS_DISABLE_PROGRESS_BARS=1 "$work/venv/bin/python" - <<'PY'
import datasets

expected = {"train": 2, "train/part-x": 2, "train/train-x": 4}
seen = {place: len(datasets.load_dataset(f"{place}-data", split="train")) for place in expected}
print("datasets", datasets.__version__)
for place, rows in seen.items():
    print(f"{place}/a.jsonl with 2 rows: {rows} rows")
raise SystemExit(seen != expected)
PY
