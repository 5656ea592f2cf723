"""Where a proxy comes from, as a manifest says it: read, or refused with its place and fix."""

from pathlib import Path

import pytest

from dataselect.config.checkpoints import Checkpoints
from dataselect.config.manifest import Manifest, load_manifest
from dataselect.config.plan import load_plan
from dataselect.config.proxy_origin import PLACEHOLDERS, Trained, Trainer
from dataselect.errors import InputError
from dataselect.stages.proxy_origins import (
    Command,
    Series,
    StageName,
    check_origins,
    describe_differences,
    needs_tokenizer,
    origin_of,
    role,
    text_budgets,
)

MANIFEST = """\
target: {size: 32B, tokens: 6T}
candidates:
  - id: web
    proxies:
      screen: PROXY
  - id: books
    path: some/books
"""


def load_text(folder: Path, proxy: str) -> Manifest:
    (folder / "m.yaml").write_text(MANIFEST.replace("PROXY", proxy))
    return load_manifest(folder / "m.yaml")


def fault(folder: Path, proxy: str) -> str:
    with pytest.raises(InputError) as error:
        load_text(folder, proxy)
    return str(error.value).removeprefix(f"{folder / 'm.yaml'}:")


def test_a_series_several_series_or_a_command(tmp_path: Path) -> None:
    def screen(proxy: str) -> object:
        named = load_text(tmp_path, proxy).candidates[0].proxies
        assert named is not None
        return named.screen

    assert screen("{model: a/b, revisions: step*}") == Checkpoints(model="a/b", revisions="step*")
    assert screen("[{model: a}, {model: b}]") == [Checkpoints(model="a"), Checkpoints(model="b")]
    command = screen("{train: {command: 'go {output}', tokens: 3B}}")
    assert isinstance(command, Trained)
    assert (command.train.words, command.train.tokens) == (["go", "{output}"], 3 * 10**9)


@pytest.mark.parametrize(
    ("proxy", "message"),
    [
        ("{model: a, revision: b}", "5:26: unknown key 'revision' in candidates[0].proxies.screen"),
        (
            "{train: {command: 'go {output}', token: 5}}",
            "5:48: unknown key 'token' in candidates[0].proxies.screen.train; did you mean",
        ),
        (
            "[{model: a}, {modle: b}]",
            "5:29: unknown key 'modle' in candidates[0].proxies.screen[1]",
        ),
        ("[]", "5:7: candidates[0].proxies.screen: a list of 0 does not fit; write 1 or more"),
        ("here", "5:7: candidates[0].proxies.screen: 'here' does not fit; write a mapping"),
        ("{train: {}}", "5:16: candidates[0].proxies.screen.train has no 'command'"),
        (
            "{train: {command: 'go {out}'}}",
            "5:24: candidates[0].proxies.screen.train.command: there is no placeholder '{out}';",
        ),
        (
            "{train: {command: go}}",
            "5:24: candidates[0].proxies.screen.train.command: it has no {o",
        ),
        ("{train: {command: []}}", "5:24: candidates[0].proxies.screen.train.command: a list of 0"),
        (
            '{train: {command: "go \'{output}"}}',
            "5:24: candidates[0].proxies.screen.train.command: it cannot be read (No closing quot",
        ),
        (
            "{train: {command: 'go {output'}}",
            "5:24: candidates[0].proxies.screen.train.command: it cannot be read (expected '}'",
        ),
        (
            "{train: {command: 'go {output!r} {output.x}'}}",
            "5:24: candidates[0].proxies.screen.train.command: there is no placeholder '{output!r",
        ),
    ],
)
def test_bad_input_is_one_line_with_place_key_and_fix(
    tmp_path: Path, proxy: str, message: str
) -> None:
    assert fault(tmp_path, proxy).startswith(message)


def test_words_are_split_as_a_shell_would_or_stand_in_a_list() -> None:
    text = Trainer(command="srun -n 8 'my trainer' --json '{{\"a\": 1}}' {output}")
    assert text.words == ["srun", "-n", "8", "my trainer", "--json", '{{"a": 1}}', "{output}"]
    assert text.placeholders == {"output"}
    assert Trainer(command=["a b", "{output}"]).words == ["a b", "{output}"]


def test_every_placeholder_is_known() -> None:
    command = Trainer(command=" ".join(f"{{{name}}}" for name in PLACEHOLDERS))
    assert command.placeholders == set(PLACEHOLDERS)


def test_a_candidate_without_text_has_no_shares_and_is_no_part_of_a_mixture(
    tmp_path: Path,
) -> None:
    manifest = load_text(tmp_path, "{model: a/b}")
    assert manifest.shares("web") == {}
    assert set(manifest.text_sources()) == {"books"}
    (tmp_path / "m.yaml").write_text(
        MANIFEST.replace("PROXY", "{model: a/b}").replace("path: some/books", "mixture: {web: 1}")
    )
    with pytest.raises(InputError, match="'web' has no text of its own"):
        load_manifest(tmp_path / "m.yaml")


def test_keys_of_a_text_need_one(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MANIFEST.replace("PROXY", "{model: a/b}\n    split: test"))
    with pytest.raises(InputError, match=r"6:5: candidates\[0\].split: .*no 'path' names one"):
        load_manifest(tmp_path / "m.yaml")


PLAN = """\
tokenizer: {path: t}
benchmarks: [{id: gsm8k}]
screen: {proxy: {size: 4M, tokens: 8M}, keep: 1}
predict:
  proxy: {size: 8M, chinchilla_multiple: 1}
  train: {command: "go {candidate} {data} {output}"}
"""


def test_the_candidate_s_own_goes_before_the_plan_s_before_training_here(tmp_path: Path) -> None:
    manifest = load_text(tmp_path, "{model: a/b}")
    (tmp_path / "p.yaml").write_text(PLAN)
    plan = load_plan("p.yaml", tmp_path)
    assert isinstance(origin_of(manifest, plan, StageName.SCREEN, "web"), Series)
    assert origin_of(manifest, plan, StageName.SCREEN, "books") is None
    shared = origin_of(manifest, plan, StageName.PREDICT, "books")
    assert isinstance(shared, Command)
    assert shared.shared
    assert shared.working_folder == tmp_path.resolve()
    assert needs_tokenizer(manifest, plan)
    with pytest.raises(InputError, match=r"m.yaml:3:5: 'web' has no text for the plan's 'predict'"):
        check_origins(manifest, plan)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tokenizer: {path: t}\n", "", "no tokenizer is named, and 'books' is trained on tokens"),
        ("proxy: {size: 4M, tokens: 8M}, ", "", "p.yaml:3:1: it has no 'proxy', and 'books' none"),
        ("{candidate} {data} ", "", "p.yaml:6:11: it is the same for every candidate"),
        ("  proxy: {size: 8M, chinchilla_multiple: 1}\n", "", "p.yaml:5:11: nothing says how many"),
        ("8M, chinchilla_multiple: 1}", "8M, tokens: 1M}\n  average: 2", "checkpoints cannot be a"),
        ("  train:", "  seeds: 3\n  train:", "it has no {seed}, and 'seeds' is 3"),
    ],
)
def test_what_a_manifest_and_a_plan_say_only_together(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    manifest = load_text(tmp_path, "{model: a/b}\n    path: some/web")
    assert old in PLAN
    (tmp_path / "p.yaml").write_text(PLAN.replace(old, new))
    with pytest.raises(InputError) as error:
        check_origins(manifest, load_plan("p.yaml", tmp_path))
    assert message in str(error.value)


def test_only_what_is_trained_on_text_has_a_budget(tmp_path: Path) -> None:
    from dataselect.stages.prepare import make_recipes

    manifest = load_text(tmp_path, "{model: a/b}\n    path: some/web")
    (tmp_path / "p.yaml").write_text(PLAN)
    plan = load_plan("p.yaml", tmp_path)
    recipes = make_recipes(plan, 4096, "cpu")
    by_command = (recipes[StageName.PREDICT].tokens, 1)
    assert text_budgets(manifest, plan, recipes) == {
        "web": [by_command],
        "books": [
            (recipes[StageName.SCREEN].tokens, recipes[StageName.SCREEN].sequence_length),
            by_command,
        ],
    }


def test_proxies_that_differ_in_more_than_their_data_are_told_loudly() -> None:
    same = describe_differences(StageName.PREDICT, {"a": 1000, "b": 1010}, {"a": 5, "b": 5})
    assert same == []
    sizes, unknown = describe_differences(
        StageName.PREDICT, {"a": 1000, "b": 2000}, {"a": 5, "b": None}
    )
    assert sizes.startswith("STAGE 2 COMPARES PROXIES THAT DIFFER IN PARAMETERS (a 1K, b 2K)")
    assert unknown.startswith("Stage 2: the training tokens of the proxy of b are not known")


THREE = """\
benchmarks: [{id: gsm8k}]
rungs: [{keep: 2}, {keep: 1}, {}]
"""


def test_a_stage_between_has_its_proxies_by_number(tmp_path: Path) -> None:
    three = "{model: a/1}\n      rungs: {2: {model: a/2}}\n      predict: {model: a/3}"
    manifest = load_text(tmp_path, three)
    (tmp_path / "p.yaml").write_text(THREE)
    plan = load_plan("p.yaml", tmp_path)
    for number in (1, 2, 3):
        found = origin_of(manifest, plan, StageName.at(number), "web")
        assert isinstance(found, Series)
        assert found.sections[0].model == f"a/{number}"
    assert [role(plan, StageName.at(n)) for n in (1, 2, 3)] == ["screen", "stage2", "predict"]
    (tmp_path / "p.yaml").write_text(f"tokenizer: {{path: t}}\n{THREE}")
    with pytest.raises(InputError, match=r"p.yaml:3:9: it has no 'proxy', and 'books' none"):
        check_origins(manifest, load_plan("p.yaml", tmp_path))


@pytest.mark.parametrize(
    ("rung", "message"),
    [
        ("1", "6:15: candidates[0].proxies.rungs.1: the first stage is 'screen'; write it there"),
        ("two", "6:15: candidates[0].proxies.rungs.two: it is not the number of a stage; write 2"),
    ],
)
def test_a_stage_is_named_by_a_number_from_2(tmp_path: Path, rung: str, message: str) -> None:
    text = f"{{model: a/1}}\n      rungs: {{{rung}: {{model: a/2}}}}"
    assert fault(tmp_path, text).startswith(message)


def test_the_last_stage_is_not_named_by_its_number(tmp_path: Path) -> None:
    manifest = load_text(tmp_path, "{model: a/1}\n      rungs: {3: {model: a/3}}")
    (tmp_path / "p.yaml").write_text(THREE)
    with pytest.raises(InputError, match=r"m.yaml:6:15: Stage 3 is the plan's last; name its"):
        check_origins(manifest, load_plan("p.yaml", tmp_path))
