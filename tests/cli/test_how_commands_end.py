"""Whatever a file holds and whatever signal comes: a documented exit code, and a line."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_mutations import MOST_MEMORY, campaign, require_whole
from command_worlds import commands
from typer.testing import CliRunner

from dataselect.cli import app, common, interrupts

HOSTILE = "a\x1b]0;owned\x07\x9b31m\u202eb"


# By groups of commands, how many files of each kind are spoilt: 200 in all. More are for nights
# (benchmarks/reliability/commands.py).
CASES: dict[tuple[str, ...], dict[str, int]] = {
    ("status", "manifests", "traces"): {
        "status": 20,
        "manifest": 20,
        "plan": 20,
        "items": 16,
        "traces": 20,
    },
    ("scores",): {"config": 15, "tokenizer": 21},
    ("report",): {"report": 8},
    ("tables", "calibrate"): {"table": 14, "transfer": 10, "calibration": 12, "lm-eval": 12},
    ("mixture",): {"constraints": 6, "mixture": 6},
}


@pytest.mark.usefixtures("inline_jobs")
@pytest.mark.parametrize("groups", CASES, ids=" ".join)
def test_a_command_on_a_spoilt_file_ends_as_documented(
    groups: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    chosen = commands(tmp_path, groups)
    require_whole(chosen)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    for kind, count in CASES[groups].items():
        tally = campaign(chosen, kind, range(count), 20)
        assert tally.wrong == []
        assert tally.total == count
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - before < MOST_MEMORY


@pytest.mark.parametrize(
    "words",
    [
        ("{}",),
        ("run", "{}.yaml"),
        ("run", "--{}"),
        ("validate", "{}"),
        ("plan", "{}.yaml", "--plan", "{}"),
        ("design", "{}.yaml", "--budget", "{}"),
        ("status", "{}", "--store", "{}"),
        ("report", "{}"),
        ("view", "{}"),
        ("score", "--with", "{}", "--benchmarks", "{}"),
        ("calibrate", "{}.yaml"),
        ("fit", "{}.csv"),
        ("predict", "{}.csv", "--with", "{}"),
        ("agree", "{}.csv", "{}", "--draws", "{}"),
        ("traces", "{}"),
        ("traces", "show", "{}"),
        ("traces", "verify", "{}.jsonl"),
        ("mix", "fit", "--metrics", "{}", "--ratios", "{}"),
        ("mix", "fit", "--metrics", "{}", "--swarm", "{}"),
        ("mix", "predict", "--with", "{}", "--at", "{}", "--out", "o.csv"),
        ("mix", "propose", "--with", "{}"),
        ("mix", "swarm", "{}.yaml", "--out", "{}"),
        ("doctor", "{}.yaml"),
    ],
)
def test_a_hostile_name_acts_on_no_terminal(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dataselect.checkup.examine.look_at_torch", lambda: {"problem": HOSTILE})
    (tmp_path / f"{HOSTILE}.csv").write_text(f"id,{HOSTILE}\n{HOSTILE},{HOSTILE}\n")
    (tmp_path / f"{HOSTILE}.yaml").write_text("candidates: []\n")
    result = CliRunner().invoke(app, [word.format(HOSTILE) for word in words])
    assert result.exit_code in (2, 3), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    acting = {c for c in result.output if not c.isprintable() and c != "\n"}
    assert acting == set(), result.output


# The modules of the work itself take seconds to import, and none of them is used before it begins.
WAITING = """
import signal, sys, time, types
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests run under nohup
def wait(*_):
    print("working", flush=True)
    time.sleep(60)
def replace(name, **content):
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(content)
replace("dataselect.calibration.runs", load_calibration=wait)
replace("dataselect.calibration.paired", pair_all=None)
replace("dataselect.report.tables.calibrations", planned=None)
from dataselect.cli import main
sys.argv = ["dataselect", "calibrate", "spec.yaml"]
main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_a_command_with_the_line_that_resumes_it(
    number: signal.Signals, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    begun = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert error == "\ninterrupted; to go on: dataselect calibrate spec.yaml\n"
    assert time.monotonic() - begun < 20


RESUMED = {
    "run": (("run", "m.yaml"), "dataselect.api.inputs.load_inputs"),
    "mix": (("mix", "m.yaml"), "dataselect.api.inputs.load_inputs"),
    "score": (("score", "m", "--benchmarks", "b"), "dataselect.report.output.check_folder"),
    "traces build": (
        ("traces", "build", "--benchmark", "b", "--model", "m"),
        "dataselect.benchmarks.named.load_one",
    ),
    "calibrate": (("calibrate", "s.yaml"), "dataselect.calibration.runs.load_calibration"),
}


@pytest.mark.parametrize("name", RESUMED)
def test_an_interrupted_command_says_how_to_go_on_whatever_comes_meanwhile(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, place = RESUMED[name]

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    tell = common.tell

    def pressed_again(text: object, *, err: bool = False, dim: bool = False) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        tell(text, err=err, dim=dim)

    monkeypatch.setattr(place, interrupted)
    monkeypatch.setattr(common, "tell", pressed_again)
    monkeypatch.setattr(sys, "argv", ["dataselect", *words])
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 130, result.output
    assert result.stderr.endswith(f"\ninterrupted; to go on: dataselect {' '.join(words)}\n")


class Drops:
    """An object in whose destructor a signal comes, where Python drops exceptions."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def test_an_interruption_that_is_dropped_ends_the_process_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(interrupts, "_told", [False])
    monkeypatch.setattr(sys, "argv", ["dataselect", "run", "a\x1b[31mb.yaml"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", lambda about: None)
    before = {number: signal.getsignal(number) for number in interrupts.ENDING}
    try:
        for number in before:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupts.end_as_by_ctrl_c()
        with interrupts.resumed():
            Drops()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ended == [130]
    error = capfd.readouterr().err
    assert error.startswith("\ninterrupted; to go on: dataselect run ")
    assert "\x1b" not in error
