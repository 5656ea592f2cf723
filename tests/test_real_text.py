"""The example on real text, small: GSM8K's own training split must come out first."""

import importlib.util
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dataselect.cli import app

ROOT = Path(__file__).parents[1]
DATA = ROOT.parent / "shared" / "data"
SCRIPT = ROOT / "benchmarks" / "real_text" / "run.py"


@pytest.mark.usefixtures("inline_jobs")
@pytest.mark.skipif(not (DATA / "corpora").is_dir(), reason="the corpora are not here")
def test_gsm8k_train_and_its_mixtures_beat_prose(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("real_text", SCRIPT)
    assert spec
    assert spec.loader
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    manifest = example.prepare(DATA, tmp_path, small=True)
    places = ["--out", str(tmp_path / "report"), "--store", str(tmp_path / "store")]
    done = CliRunner().invoke(app, ["run", str(manifest), *places])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "report" / "report.json").read_bytes())
    order = sorted(
        (c["stage1"]["benchmarks"]["gsm8k"]["rbridge"], c["id"]) for c in report["candidates"]
    )
    ranked = [name for _, name in order]
    assert ranked[:3] == ["gsm8k_train", "brown-half-gsm8k", "web-fifth-gsm8k"]
    assert report["candidates"][0]["id"] == "gsm8k_train"
