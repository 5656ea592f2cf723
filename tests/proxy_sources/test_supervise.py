"""The process between us and a command: its exit code, its log, and no command without a run."""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from spelt_keys import KINDS, spelt

from dataselect.proxy_sources import supervise
from dataselect.proxy_sources.supervise import Log, secrets
from dataselect.redaction import mask


def supervised(folder: Path, *words: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [
            sys.executable,
            supervise.__file__,
            str(folder / "log"),
            str(folder / "lock"),
            "--",
            *words,
        ],
        stdin=subprocess.PIPE,
    )


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_the_exit_code_is_the_command_s_and_its_output_is_in_the_log(tmp_path: Path) -> None:
    text = "import sys; print('one'); print('two', file=sys.stderr); sys.exit(7)"
    assert supervised(tmp_path, *python(text)).wait() == 7
    lines = (tmp_path / "log").read_text().splitlines()
    assert {"one", "two"} <= set(lines)
    assert lines[0].startswith("[dataselect] ")


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_end_of_whoever_asked_ends_all_that_the_command_started(tmp_path: Path) -> None:
    child = "import time; time.sleep(600)"
    text = (
        "import pathlib, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    process = supervised(tmp_path, *python(text))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.02)
    assert process.stdin is not None
    process.stdin.close()
    process.wait(60)
    pid = (tmp_path / "pid").read_text()
    deadline = time.monotonic() + 60
    # Whoever inherits it may be slow to reap it.
    while is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "so does this command" in (tmp_path / "log").read_text()


def test_a_command_that_leaves_a_process_behind_ends_all_the_same(tmp_path: Path) -> None:
    text = "import subprocess; subprocess.Popen(['sleep', '600'])"
    began = time.monotonic()
    assert supervised(tmp_path, *python(text)).wait(120) == 0
    assert time.monotonic() - began < 100


def test_what_still_holds_the_lock_is_not_trained_beside(tmp_path: Path) -> None:
    code = (
        "import sys; from dataselect.proxy_sources import supervise\n"
        "supervise.LOCK_SECONDS = 0.1\n"
        "sys.exit(supervise.main(sys.argv[1:]))\n"
    )
    with (tmp_path / "lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(
            [*python(code), str(tmp_path / "log"), str(tmp_path / "lock"), "--", "true"],
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(Path(supervise.__file__).parents[2])},
        )
    assert done.returncode == supervise.STILL_RUNNING
    assert "still running" in (tmp_path / "log").read_text()


def test_variables_that_name_a_secret_are_secrets() -> None:
    environment = {
        "HF_TOKEN": "tttttttt",
        "AWS_SECRET_ACCESS_KEY": "ssssssssss",
        "wandb_api_key": "kkkkkkkk",
        "TOKENIZERS_PARALLELISM": "false",
        "PATH": "/usr/bin:/bin",
        "MONKEY": "bananas-and-nuts",
    }
    assert set(secrets(environment)) == {b"ssssssssss", b"tttttttt", b"kkkkkkkk"}


class Kept:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from([b"s3cretvalue", b"plain", b"\n", b" ", b"\r", b"s3cret"]), max_size=30
    ),
    st.lists(st.integers(1, 5), min_size=1, max_size=200),
)
def test_no_cut_of_the_output_lets_a_secret_through(parts: list[bytes], cuts: list[int]) -> None:
    whole = b"".join(parts)
    kept = Kept()
    log = Log(kept, [b"s3cretvalue"])  # type: ignore[arg-type]
    start = 0
    for size in [*cuts, len(whole)]:
        log.write(whole[start : start + size])
        start += size
    log.flush()
    assert kept.data == whole.replace(b"s3cretvalue", b"[hidden]")


def test_a_secret_in_another_spelling_is_hidden_and_other_bytes_stay() -> None:
    key = "zk-Proj4_Qw8Lm2Xv7Nt5Rb9Hc3Yd6Gf1"
    kept = Kept()
    log = Log(kept, [key.encode()])  # type: ignore[arg-type]
    for kind in KINDS:
        log.write(b"loss \xff 3.5: " + spelt(kind, key).encode() + b" |\n")
    log.flush()
    assert b"loss \xff 3.5: [hidden] |\n" in kept.data
    text = kept.data.decode("utf-8", "replace")
    assert mask(text, key) == text
    assert text.count("3.5") == text.count(" |") == len(KINDS)
