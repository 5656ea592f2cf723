"""The example on real text, small: GSM8K's own training split must come out first."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"


@pytest.mark.skipif(not (DATA / "corpora").is_dir(), reason="the corpora are not here")
def test_gsm8k_train_and_its_mixtures_beat_prose(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "real_text" / "run.py"
    command = [sys.executable, str(script), str(DATA), "--work", str(tmp_path), "--small"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_bytes())
    order = sorted(
        (c["stage1"]["benchmarks"]["gsm8k"]["rbridge"], c["id"]) for c in report["candidates"]
    )
    ranked = [name for _, name in order]
    assert ranked[:3] == ["gsm8k_train", "brown-half-gsm8k", "web-fifth-gsm8k"]
    assert report["candidates"][0]["id"] == "gsm8k_train"
