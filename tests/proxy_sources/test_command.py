"""A command that trains: run once, held to its checkpoint, kept discreet, killed and resumed."""

import json
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dataselect.errors import IncompleteError, InputError
from dataselect.proxy_sources import CommandSource
from dataselect.proxy_sources.command import KIND
from dataselect.store import Store

FORKED = multiprocessing.get_context("forkserver")


def progress(fields: Any) -> None: ...


def make(source: CommandSource, store: Store) -> Any:
    return source.make(store, "stage2/web", "cpu", progress)


def script(inputs: Any, text: str, *arguments: str, **changes: Any) -> CommandSource:
    """A source whose command is a Python text; {output} is its first argument."""
    words = (sys.executable, "-c", text.replace("{", "{{").replace("}", "}}"), "{output}")
    return replace(inputs.command(), words=(*words, *arguments), **changes)


def copying(inputs: Any, to: str = ".") -> str:
    return (
        f"import shutil, sys; shutil.copytree({str(inputs.model)!r}, sys.argv[1] + '/{to}',"
        " dirs_exist_ok=True)"
    )


def test_the_store_keeps_the_checkpoint_and_the_log_and_nothing_else(
    inputs: Any, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    made = make(inputs.command(), store)
    folder = made.points[-1].checkpoint.folder()
    assert not (folder / "optimizer.bin").exists()
    assert "training --seed 0" in (folder.parent / "train.log").read_text()
    assert not list(tmp_path.glob("work/*")), "the workspace is gone"
    (record,) = store.ledger()
    assert (record["kind"], record["status"], record["name"]) == (KIND, "done", "stage2/web")
    assert record["flops"] == made.training_flops
    assert record["wall_seconds"] > 0
    assert record["cpu_seconds"] > 0


def test_data_tokens_and_the_words_of_the_command_are_its_key_and_paths_are_not(
    inputs: Any, tmp_path: Path
) -> None:
    base = inputs.command(data=True)
    share = replace(base.data[0].share, tokens=320)
    for other in (
        replace(base, tokens=641),
        replace(base, words=(*base.words, "--version", "2")),
        replace(base, data=(replace(base.data[0], share=share),)),
        inputs.command(),
    ):
        assert other.spec != base.spec
    assert replace(base, working_folder=tmp_path, late=3).spec == base.spec
    assert str(inputs.folder) not in json.dumps(inputs.given().spec)


def test_a_failing_command_names_its_log_and_leaves_nothing_to_be_found(
    inputs: Any, tmp_path: Path
) -> None:
    store, source = Store(tmp_path), inputs.command(0, 1, "--fail")
    with pytest.raises(IncompleteError) as failed:
        make(source, store)
    told = str(failed.value)
    assert "the command ended with exit code 1" in told
    assert "(last line: out of luck)" in told
    log = next(word for word in told.split() if word.endswith("train.log"))
    assert "training --seed 0 --fail" in Path(log).read_text()
    assert source.find(store) is None
    assert not list(tmp_path.glob("artifacts/external/*"))
    (record,) = store.ledger()
    assert record["status"] == "failed"
    assert "flops" not in record


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pass", "left no config.json in "),
        ("open(__import__('sys').argv[1] + '/config.json', 'w').write('{}')", "no *.safetensors"),
        ("import os; os.kill(os.getpid(), 9)", "the command was ended by signal 9"),
    ],
)
def test_what_is_no_checkpoint_is_told_with_the_log(
    inputs: Any, tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(IncompleteError) as failed:
        make(script(inputs, text), Store(tmp_path))
    assert told in str(failed.value)
    assert "its output is in " in str(failed.value)


def test_a_checkpoint_that_is_damaged_is_trained_again(inputs: Any, tmp_path: Path) -> None:
    text = copying(inputs) + "; open(sys.argv[1] + '/calls', 'a').write('x')"
    text += "; open(sys.argv[1] + '/model.safetensors', 'w').close()"
    store, source = Store(tmp_path), script(inputs, text)
    for _ in range(2):
        with pytest.raises(InputError, match="no safetensors file"):
            make(source, store)
    assert (store.workspace(KIND, source.spec) / "output" / "calls").read_text() == "xx"


def test_a_program_that_is_not_there_is_told(inputs: Any, tmp_path: Path) -> None:
    source = replace(inputs.command(), words=("no-such-trainer", "{output}"))
    with pytest.raises(IncompleteError, match="no-such-trainer: it cannot be started"):
        make(source, Store(tmp_path))


def test_fewer_checkpoints_than_are_averaged_is_told_and_not_trained_again(
    inputs: Any, tmp_path: Path
) -> None:
    store, source = Store(tmp_path), replace(inputs.command(), late=2)
    for _ in range(2):
        with pytest.raises(IncompleteError, match="fewer checkpoints than the 2"):
            make(source, store)
    assert [record["status"] for record in store.ledger()] == ["done"]
    assert replace(source, late=1).find(store) is not None


def test_checkpoints_are_ordered_by_the_steps_in_their_names(inputs: Any, tmp_path: Path) -> None:
    made = make(inputs.command(late=2), Store(tmp_path))
    assert [point.step for point in made.points] == [20, 30]
    assert [point.label for point in made.points] == ["step20", "step30"]


def test_output_is_given_again_after_a_failure_for_the_trainer_to_go_on(
    inputs: Any, tmp_path: Path
) -> None:
    text = (
        "import pathlib, sys; state = pathlib.Path(sys.argv[1], 'state')\n"
        "if not state.exists(): state.write_text('half'); sys.exit(3)\n" + copying(inputs)
    )
    store, source = Store(tmp_path), script(inputs, text)
    with pytest.raises(IncompleteError, match="exit code 3"):
        make(source, store)
    assert make(source, store).points
    assert [record["status"] for record in store.ledger()] == ["failed", "done"]


def test_the_plan_s_tokenizer_is_added_where_the_trainer_saved_none(
    inputs: Any, tmp_path: Path
) -> None:
    text = copying(inputs) + "; [__import__('os').remove(sys.argv[1] + '/' + name) for name in"
    text += " ('tokenizer.json', 'tokenizer_config.json')]"
    with pytest.raises(IncompleteError, match="left no tokenizer"):
        make(script(inputs, text), Store(tmp_path))
    source = script(inputs, text, "{tokenizer}", tokenizer=inputs.tokenizer)
    made = make(source, Store(tmp_path))
    assert made.tokenizer == inputs.tokenizer.hash
    assert (made.points[-1].checkpoint.folder() / "tokenizer_config.json").exists()


def test_nothing_is_read_as_a_shell_would(inputs: Any, tmp_path: Path) -> None:
    text = copying(inputs) + "; print(sys.argv[2:])"
    made = make(script(inputs, text, "$(touch gone); *", "{candidate}"), Store(tmp_path))
    log = made.points[-1].checkpoint.folder().parent / "train.log"
    assert "['$(touch gone); *', 'web']" in log.read_text()


def test_secrets_of_the_environment_are_in_no_log_key_or_error(
    inputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("PLAIN", "not-a-secret-at-all")
    text = (
        "import os, sys; print(os.environ['WANDB_API_KEY'], os.environ['PLAIN'], flush=True)\n"
        "sys.exit(os.environ['WANDB_API_KEY'] + ' hf_abcdefgh12345678')"
    )
    with pytest.raises(IncompleteError) as failed:
        make(script(inputs, text), Store(tmp_path))
    written = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    for told in (*written, str(failed.value)):
        assert "0123456789abcdef" not in told
        assert "hf_abcdefgh" not in told
    assert any("[hidden] not-a-secret-at-all" in told for told in written)


SLOW = """\
import os, pathlib, signal, sys, time
pathlib.Path(sys.argv[1], "pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_killed_the_run_ends_its_command_and_leaves_no_half_artifact(
    inputs: Any, tmp_path: Path
) -> None:
    store, source = Store(tmp_path), script(inputs, SLOW)
    process = FORKED.Process(target=make, args=(source, store))
    process.start()
    (work,) = [store.workspace(KIND, source.spec)]
    pid = int(wait_for(work / "output" / "pid"))
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    deadline = time.monotonic() + 60
    while is_running(pid):
        assert time.monotonic() < deadline, "the command outlived the run"
        time.sleep(0.05)
    assert source.find(store) is None
    assert not list(tmp_path.glob("artifacts/external/*"))
    assert (work / "output" / "pid").exists(), "for the next attempt to go on from"


def test_killed_after_training_the_next_run_publishes_without_training_again(
    inputs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, source = Store(tmp_path), inputs.command()

    def die(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("dataselect.proxy_sources.command._keep", die)
        with pytest.raises(KeyboardInterrupt):
            make(source, store)
    calls = store.workspace(KIND, source.spec) / "output" / "calls"
    assert calls.read_text() == "x"
    again = []
    monkeypatch.setattr(
        "dataselect.proxy_sources.command._supervised", lambda *words: again.append(words)
    )
    assert make(source, store).points
    assert not again
