"""`doctor` names what is wrong, with its fix, tells no secret, and changes nothing."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from completions_server import CompletionsServer
from typer.testing import CliRunner, Result

import dataselect as ds
from dataselect.checkup import disk, examine, hub, machine, packages
from dataselect.checkup.finding import Finding, shown
from dataselect.checkup.torch_probe import look_at_torch
from dataselect.cli import app

ROOT = Path(__file__).parents[2]
CPU = {"version": "2.13.0+cpu", "cuda": None, "rocm": None, "threads": 1, "gpus": []}
CUDA = {**CPU, "version": "2.13.0+cu130", "cuda": "13.0"}
H200 = {"number": 0, "name": "NVIDIA H200", "memory": 150e9, "capability": "9.0", "free": 149e9}
KEY, TOKEN = "planted-4f9c1e77a0", "hf_plantedPLANTED0123456789"


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without GPUs whose Hub answers, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("CUDA_VISIBLE_DEVICES", "HF_HUB_OFFLINE", *machine._BLAS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(examine, "look_at_torch", lambda: CPU)
    monkeypatch.setattr(machine, "_driver", lambda: ([], ""))
    monkeypatch.setattr(hub, "_unreachable", lambda _: "")


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def found(*arguments: object) -> dict[str, dict[str, str]]:
    document = json.loads(doctor(*arguments, "--json").stdout)
    return {f"{each['part']}: {each['check']}": each for each in document["findings"]}


def states(findings: Iterator[Finding]) -> dict[str, str]:
    return {each.check: each.state for each in findings}


@pytest.mark.usefixtures("quiet")
def test_a_sound_machine_has_no_problem_and_nothing_is_left_behind(tmp_path: Path) -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    assert "no problem in " in result.stdout
    assert list(tmp_path.iterdir()) == [], "neither a store nor what was tried"
    assert max(map(len, result.stdout.splitlines())) <= 80
    whole = json.loads(doctor("--json").stdout)
    assert whole["sound"] is True
    assert {each["part"] for each in whole["findings"]} == {
        *("environment", "GPUs", "disk", "Hub", "engines", "extras")
    }
    assert ds.doctor().document == whole


def test_torch_is_looked_at_in_a_process_of_its_own() -> None:
    import torch

    facts = look_at_torch()
    assert facts["version"] == str(torch.__version__)
    assert len(facts["gpus"]) == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


@pytest.mark.usefixtures("quiet")
def test_what_a_run_needs_is_checked_with_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quickstart = ROOT / "candidates/quickstart.yaml"
    rows = found(quickstart)
    assert rows["this run: manifest"]["found"] == "quickstart: 10 candidates, plan quickstart"
    assert "this run adds up to about " in rows["disk: store"]["found"]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    on_hub = found(ROOT / "candidates/example-hub.yaml")["Hub: offline"]
    assert on_hub["state"] == "problem"
    assert "this run takes 2 from the Hub, not in the cache: " in on_hub["found"]
    assert on_hub["fix"].startswith("unset HF_HUB_OFFLINE, or")
    assert found(quickstart)["Hub: offline"]["state"] == "note", "nothing of it is needed"
    wrong = doctor(ROOT / "candidates/quickstart.yaml", "--plan", "quikstart")
    assert wrong.exit_code == 3
    assert "did you mean 'quickstart'?" in " ".join(wrong.stdout.split())
    plan = (ROOT / "stages/quickstart.yaml").read_text()
    plan = plan.replace("quickstart/", f"{ROOT}/stages/quickstart/")
    (tmp_path / "gpu.yaml").write_text(f"{plan}\ncompute: {{device: cuda}}\n")
    asked = found(quickstart, "--plan", "gpu.yaml")["this run: device"]
    assert (asked["state"], asked["found"]) == (
        "problem",
        "the plan wants a GPU, and torch sees none",
    )
    (tmp_path / "ray.yaml").write_text(f"{plan}\ncompute: {{on: ray}}\n")
    monkeypatch.setattr("dataselect.checkup.engines.has_extra", lambda _: False)
    engine = found(quickstart, "--plan", "ray.yaml")["engines: ray"]
    assert (engine["state"], engine["fix"]) == ("problem", "pip install 'dataselect[ray]'")


@pytest.mark.usefixtures("quiet")
def test_a_server_with_log_probabilities_is_told_from_one_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SERVER_KEY", KEY)
    with CompletionsServer(lambda q: (f"We add: {q}", "it")) as server:
        given = ("--base-url", server.url, "--key-variable", "SERVER_KEY")
        host = server.url.removeprefix("http://").removesuffix("/v1")
        rows = found(*given, "--model", "tiny")
        assert rows[f"server: {host}"]["state"] == "ok"
        assert "gives" not in rows["server: key"]["found"]
        assert "answers with the log-probabilities" in rows[f"server: {host}"]["found"]
        without = doctor(*given, "--model", "tiny+nologprobs")
        assert without.exit_code == 3
        assert "without log-probabilities" in " ".join(without.stdout.split())
        refused = doctor(*given, "--model", "tiny+401")
        assert refused.exit_code == 3
    assert doctor("--base-url", "http://localhost:1/v1").exit_code == 2, "which model?"
    assert doctor("--plan", "quickstart").exit_code == 2, "of which manifest?"


@pytest.mark.usefixtures("quiet")
def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-aws-secret")
    monkeypatch.setattr(hub, "_unreachable", lambda _: f"401 for {TOKEN} of planted-aws-secret")
    with CompletionsServer(lambda q: (f"{KEY} {q}", KEY)) as server:
        for options in ((), ("--json",)):
            result = doctor("--base-url", server.url, "--model", "tiny", *options)
            for secret in (TOKEN, KEY, "planted-aws-secret"):
                assert secret not in result.output + result.stderr
    wrong = doctor("--base-url", f"http://me:{KEY}@localhost:9/v1", "--model", "m")
    assert wrong.exit_code == 3
    assert KEY not in wrong.output
    store = doctor("--store", f"s3://me:{KEY}@bucket/x")
    assert store.exit_code == 3
    assert KEY not in store.output


@pytest.mark.usefixtures("quiet")
def test_a_check_that_fails_itself_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> tuple[list[dict[str, str]], str]:
        raise ValueError("odd")

    monkeypatch.setattr(machine, "_driver", fails)
    rows = found()
    assert rows["GPUs: check"]["found"] == "the check failed (ValueError: odd)"
    assert rows["disk: store"]["state"] in ("ok", "note")


def test_foreign_text_is_on_one_line_and_does_not_act_on_the_terminal() -> None:
    made = Finding("GPUs", "GPU 0", "ok", "a\x1b[31m\nname\u202e")
    assert made.found == "a\\x1b[31m name\\u202e"
    assert len(shown("x" * 5000)) == 400


@pytest.mark.usefixtures("quiet")
def test_gpus_are_compared_with_what_torch_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"index": "0", "name": "NVIDIA H200", "driver_version": "580.1"}
    free = row | {"memory.total": "143771", "memory.used": "100"}
    busy = row | {"memory.total": "143771", "memory.used": "140000"}

    def gpus(driver: list[dict[str, str]], facts: dict[str, Any], why: str = "") -> dict[str, str]:
        monkeypatch.setattr(machine, "_driver", lambda: (driver, why))
        return states(machine.examine_gpus(facts))

    assert gpus([], CPU) == {"driver": "ok"}
    seen = {**CUDA, "gpus": [H200]}
    assert gpus([free], seen) == {"driver": "ok", "GPU 0": "ok", "torch": "ok"}
    assert gpus([busy], seen)["GPU 0"] == "note"
    assert gpus([free], CPU)["torch"] == "problem", "a build for CPUs"
    assert gpus([free], CUDA)["torch"] == "problem", "a driver that is too old"
    broken = {**CUDA, "gpus": [H200 | {"error": "no kernel image is available"}]}
    assert gpus([free], broken)["torch"] == "problem"
    assert gpus([], CPU, "nvidia-smi fails: version mismatch") == {"driver": "problem"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus([free], CUDA)["torch"] == "note"


def test_the_driver_is_asked_and_odd_answers_are_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(
        '#!/bin/sh\necho "0, A, B, 580.1, [N/A], [N/A]"\necho "1, GB10, 580.1, [N/A], 3"\n'
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    rows, problem = machine._driver()
    assert [(each["index"], each["name"], each["memory.total"]) for each in rows] == [
        ("1", "GB10", "0")
    ]
    assert problem == ""


def test_a_package_that_does_not_fit_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requires = ["numpy>=999", "no-such-package>=2", "pandas>=1", "absent>=1; extra == 'trees'"]
    monkeypatch.setattr(packages, "_requirements", lambda: (requires, ">=3.11"))
    rows = {each.check: each for each in packages.examine_packages()}
    assert rows["numpy"].found.endswith(", and >=999 is needed")
    assert rows["numpy"].fix == "pip install 'numpy>=999'"
    assert rows["no-such-package"].found == "it is not installed"
    assert set(rows) == {"Python", "dataselect", "numpy", "no-such-package"}
    monkeypatch.setattr(packages, "_requirements", lambda: (requires, ">=9"))
    assert states(packages.examine_packages())["Python"] == "problem"
    assert states(packages.examine_extras()) == {"trees": "ok"}


def test_space_and_file_systems_that_will_not_do_are_problems(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usage = shutil.disk_usage(tmp_path)
    assert disk.space("store", tmp_path / "a/b", "fix").state in ("ok", "note")
    assert disk.space("store", tmp_path, "fix", needed=usage.total * 2).state == "problem"
    (tmp_path / "file").write_text("")
    in_file = disk.space("store", tmp_path / "file/below", "choose another")
    assert (in_file.state, in_file.fix) == ("problem", "choose another")
    monkeypatch.setattr(disk, "_locks", lambda _: False)
    monkeypatch.setattr(disk, "_renames", lambda _: False)
    monkeypatch.setattr(disk, "_clock", lambda _: 60.0)
    rows = states(disk.examine_disk(str(tmp_path / "store"), tmp_path))
    assert rows["store locks"] == "note"
    assert rows["store renames"] == "problem"
    assert rows["store clock"] == "note"
    assert not (tmp_path / "store").exists()
    unknown = {each.check: each for each in disk.examine_disk("nowhere://x", tmp_path)}
    assert unknown["store"].state == "problem"
