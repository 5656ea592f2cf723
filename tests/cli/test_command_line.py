"""The command line: frozen, the same in all commands, whole in its help, and forgiving."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import commands, committed, described, names
from typer.testing import CliRunner, Result

from dataselect.__main__ import HELP
from dataselect.benchmarks.catalogue import ITEMS, catalogue
from dataselect.cli import app
from dataselect.cli.command import RENAMED
from dataselect.cli.hub_retries import OneLine

ROOT = Path(__file__).parents[2]
RENEW = "if that is meant: python tests/support/command_line.py"
LEAVES = [path for path, command in commands() if not hasattr(command, "commands")]


def call(*arguments: object, width: int = 80) -> Result:
    given = [str(each) for each in arguments]
    return CliRunner().invoke(app, given, prog_name="dataselect", env={"COLUMNS": str(width)})


def last_line(result: Result) -> str:
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()[-1]


def test_the_command_line_is_the_committed_one() -> None:
    now, before = described(), committed()
    assert list(now) == list(before), RENEW
    for path, entry in now.items():
        ever = before[path].pop("accepted")
        assert entry == before[path], f"dataselect {path}: {RENEW}"
        options = names(entry)
        renamed = {old for old, new in RENAMED.items() if new in options}
        gone = set(ever) - options - renamed
        assert not gone, f"dataselect {path} took {gone} once: keep an alias in cli/command.py"


def test_an_option_of_one_name_has_one_type_in_all_commands() -> None:
    kinds: dict[str, set[str]] = {}
    for entry in described().values():
        for option, described_as in entry["options"].items():
            kind = described_as["type"].replace("Path", "str")
            kinds.setdefault(option.split()[0], set()).add(kind)
    # Trace files may be several where a model is scored, and are in one folder of a project; items
    # are several where pages are made; the direction of scores can be found from pairs alone.
    several = {"--traces", "--item", "--model"}
    assert {option for option, types in kinds.items() if len(types) > 1} == several


@pytest.mark.parametrize("path", [path for path, _ in commands()])
@pytest.mark.parametrize("width", [80, 60])
def test_help_is_whole(path: str, width: int) -> None:
    for flag in ("-h", "--help"):
        shown = call(*path.split(), flag, width=width)
        assert shown.exit_code == 0
        assert max(map(len, shown.stdout.splitlines())) <= 80
        whole = "".join(shown.stdout.split())
        command = dict(commands())[path]
        below = getattr(command, "commands", {}).values()
        texts = [each.help for each in command.params if not getattr(each, "hidden", False)]
        texts += [(each.help or "").split("\n\n")[0] for each in below]
        for text in (command.help, *texts):
            assert "".join((text or "").split()) in whole


def test_h_is_help_at_once() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "dataselect", "-h"],
        env=os.environ | {"COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == HELP
    narrow = subprocess.run(
        [sys.executable, "-m", "dataselect", "--help"],
        env=os.environ | {"COLUMNS": "60"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert narrow != HELP
    assert max(map(len, narrow.splitlines())) <= 60
    assert "".join(narrow.split()) == "".join(HELP.split())


@pytest.mark.parametrize("path", ["", "traces", "mix"])
def test_a_group_without_a_command_shows_its_help_in_lines(path: str) -> None:
    shown = call(*path.split())
    assert shown.exit_code == 2
    assert shown.stderr.strip() == call(*path.split(), "--help").stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("scroe",), "Did you mean 'score'?"),
        (("build",), "Did you mean 'traces build'?"),
        (("mine.yaml",), "Did you mean 'run mine.yaml'?"),
        (("traces", "biuld"), "Did you mean 'build'?"),
        (("score", "m", "--bencmarks", "gsm8k"), "did you mean '--benchmarks'?"),
        (("run", "m.yaml", "--storr", "x"), "did you mean '--store'?"),
        (("run", "m.yaml", "--zzz"), "No such option '--zzz'; --help lists all"),
        (("run", "m.yaml", "--\x1b[31m"), "\\x1b[31m"),
        (("score", "m", "--benchmarks", "gsm8"), "did you mean 'gsm8k'?"),
        (("score", "m", "--benchmarks", "csqa"), "did you mean 'commonsense_qa'?"),
        (("run", "m.yaml", "--on", "slrum"), "there is no such file"),
    ],
)
def test_what_is_misspelt_is_answered_with_what_may_be_meant(
    arguments: tuple[str, ...], said: str
) -> None:
    assert said in last_line(call(*arguments))


def test_files_that_may_be_meant_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("candidates/web.yaml", "candidates/books.yml", "reports/web/resolved.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("candidates: []\n")
    (tmp_path / "proxies.csv").write_text("id,a\n")
    for given, said in {
        "web": "web: there is no such file; did you mean 'candidates/web.yaml'?",
        "web.yml": "did you mean 'candidates/web.yaml'?",
        "candidates/book.yaml": "did you mean 'candidates/books.yml'?",
        "candidates/books.yaml": "did you mean 'candidates/books.yml'?",
        "candidates": "this is a folder; name a file in it (books.yml, web.yaml)",
        "reports/web": "this is a folder; did you mean 'reports/web/resolved.yaml'?",
        "reports": "this is a folder; name a file that ends in .yaml",
        "unlike-any": "there is no such file; check the name and the folder",
    }.items():
        assert said in last_line(call("validate", given)), given
    assert "did you mean 'proxies.csv'?" in last_line(call("agree", "proxy.csv", "proxies.csv"))
    assert "did you mean 'proxies.csv'?" in last_line(call("fit", "proxies"))
    for name in ("odd\x1b[31m.yaml", "odd.yaml"):
        (tmp_path / "reports" / name).write_text("")
    said = last_line(call("validate", "reports"))
    assert said.endswith("name a file in it (odd\\x1b[31m.yaml, odd.yaml)"), "names do not act"
    (tmp_path / "reports/web/report.json").write_text("{}")
    assert "did you mean 'reports/web'?" in last_line(call("report", "web"))
    assert "did you mean 'candidates/web.yaml'?" in last_line(call("mix", "./web.yaml"))


def test_former_names_of_options_work_with_a_note(tmp_path: Path) -> None:
    new = call("traces", "build", "--benchmarks", "gsm8", "--model", "m")
    old = call("traces", "build", "--benchmark=gsm8", "--model", "m")
    assert old.stderr == f"note: --benchmark is called --benchmarks here\n{new.stderr}"
    missing = tmp_path / "model.json"
    told = call("mix", "propose", "--model", missing, "--json", tmp_path / "out.json")
    assert told.stderr.splitlines()[:2] == [
        "note: --model is called --with here",
        "note: '--json FILE' is old: --json alone prints, as in '--json > FILE'",
    ]
    assert "model.json: cannot be read" in last_line(told)
    assert last_line(call("mix", "propose", "--with", missing, "--json")) == last_line(told)


def test_score_lists_the_known_benchmarks() -> None:
    shown = call("score", "--benchmarks", "list")
    assert shown.exit_code == 0
    assert call("score", "--tasks", "list").stdout == shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    line = next(each for each in shown.stdout.splitlines() if each.startswith("mmlu_pro_stem"))
    assert line.split() == ["mmlu_pro_stem", "5,876", "TIGER-Lab/MMLU-Pro,", "test", "letter"]
    page = (ROOT / "docs/benchmarks.md").read_text()
    for each in catalogue():
        assert re.search(rf"`{each.name}`[^\n]* {ITEMS[each.name]:,} ", page), each.name
    assert len(ITEMS) == len(catalogue()) == 16
    assert "MODEL: no model is named" in last_line(call("score", "--benchmarks", "gsm8k"))


COMPLETING = """
import contextlib, io, json, os, sys
cases, sys.argv = json.loads(sys.argv[1]), ["dataselect"]
from dataselect.__main__ import main
offered = []
for words in cases:
    os.environ["COMP_WORDS"] = " ".join(["dataselect", *words])
    os.environ["COMP_CWORD"] = str(len(words))
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main()
    offered.append(out.getvalue().split())
assert not {"torch", "datasets", "pandas"} & set(sys.modules)
print(json.dumps(offered))
"""


def complete(*cases: Sequence[str], folder: Path = ROOT) -> list[list[str]]:
    """What bash would offer for the last word of each of these command lines."""
    ran = subprocess.run(
        [sys.executable, "-c", COMPLETING, json.dumps(cases)],
        cwd=folder,
        env=os.environ | {"_DATASELECT_COMPLETE": "complete_bash", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    offered: list[list[str]] = json.loads(ran.stdout)
    return offered


def test_the_shell_completes() -> None:
    wanted: dict[tuple[str, ...], set[str]] = {
        ("ru",): {"run"},
        ("traces", "we"): {"weigh"},
        ("run", "candidates/qu"): {"candidates/quickstart.yaml"},
        ("run", "x.yaml", "--plan", "pa"): {"paper"},
        ("run", "x.yaml", "--on", "sl"): {"slurm"},
        ("score", "m", "--benchmarks", "gsm8k,arc"): {"gsm8k,arc_challenge"},
        ("score", "m", "--dev"): {"--device"},
        ("report", "reports/e"): {"reports/example"},
    }
    assert dict(zip(wanted, map(set, complete(*wanted)), strict=True)) == wanted


def test_the_hub_s_retries_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("huggingface_hub.utils._http")
    one_line = OneLine()
    log.addFilter(one_line)
    try:
        for number in range(3):
            url = "https://hub.test/datasets/a?token=secret"
            log.warning("'[Errno -2]\n no \x1b[31m name' thrown while requesting HEAD %s", url)
            log.warning("Retrying in 1s [Retry %d/5].", number)
        log.warning("Something else")
    finally:
        log.removeFilter(one_line)
    assert [record.getMessage() for record in caplog.records] == [
        "note: https://hub.test does not answer ([Errno -2] no \\x1b[31m name); trying again",
        "Something else",
    ]
