"""Sources cut so that proxies read them as often as the target would."""

from collections.abc import Callable
from pathlib import Path

import pytest
from stage_world import Counted, write_world

from dataselect.config.manifest import load_manifest
from dataselect.config.plan import load_plan
from dataselect.errors import InputError
from dataselect.mixture.trial import Trial
from dataselect.mixture_search.prepare import prepare
from dataselect.mixture_search.sampler import fit
from dataselect.mixture_search.search import settle
from dataselect.mixture_search.trial_runner import TrialRunner
from dataselect.stages.prepare import gather_inputs
from dataselect.stages.runtime import Runtime
from dataselect.store import Store

MIX = """
mix:
  sources: [worked, prose]
  trials: 9
  constraints: constraints.yaml
"""
CONSTRAINTS = """
max_repetition: 2
sources:
  worked: {tokens: 8M}
  prose: {tokens: 100M}
"""


def prepared(folder: Path, more: str, change: Callable[[str], str] = str) -> TrialRunner:
    write_world(folder, tokens=1500)
    plan = folder / "plan.yaml"
    plan.write_text(plan.read_text() + change(MIX + more))
    (folder / "constraints.yaml").write_text(change(CONSTRAINTS))
    manifest, store = load_manifest(folder / "manifest.yaml"), Store(folder / "store")
    return prepare(
        gather_inputs(manifest, load_plan("plan.yaml", folder), Runtime(store, Counted()))
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def plain(folder: Path) -> TrialRunner:
    return prepared(folder, "  target_epochs: false\n")


@pytest.fixture(scope="module")
def runner(folder: Path, plain: TrialRunner) -> TrialRunner:
    return prepared(folder, "  target_epochs: true\n")


def test_only_text_that_the_target_reads_again_is_cut(
    runner: TrialRunner, plain: TrialRunner
) -> None:
    tokens = runner.recipe.tokens
    cut, whole = runner.corpus.streams, plain.corpus.streams
    # The target reads 20M tokens.
    assert cut["worked"].tokens == round(tokens * 8 / 20)
    assert cut["worked"].key != whole["worked"].key
    assert cut["prose"] == whole["prose"]
    assert runner.most == (1.0, 1.0)
    assert runner.rates[0] == pytest.approx(20 / 8, rel=0.01)
    assert max(*plain.rates, runner.rates[1]) <= 1


def test_text_is_cut_by_default_where_all_of_it_is_known(
    folder: Path, runner: TrialRunner, plain: TrialRunner
) -> None:
    assert prepared(folder, "").key == runner.key
    assert runner.cut == ("worked",)
    unknown = prepared(folder, "", lambda text: text.replace("{tokens: 100M}", "{max: 0.9}"))
    unbounded = prepared(
        folder, "", lambda text: text.replace("  constraints: constraints.yaml", "")
    )
    assert unknown.key == unbounded.key == plain.key
    assert unknown.cut == unbounded.cut == ()


def test_a_proxy_of_cut_text_is_another_one(runner: TrialRunner, plain: TrialRunner) -> None:
    assert runner.key != plain.key
    blend, prose = Trial((0.5, 0.5), 0), Trial((0.0, 1.0), 0)
    assert runner.keys(blend)[0] != plain.keys(blend)[0]
    assert runner.keys(prose) == plain.keys(prose)


def test_the_model_of_the_trials_knows_their_epochs(
    runner: TrialRunner, plain: TrialRunner
) -> None:
    shares = (0.05, 0.2, 0.35, 0.5, 0.6, 0.7, 0.75, 0.8)
    values = {Trial((w, round(1 - w, 4)), 0): (1 - w / 2, 2 - w) for w in shares}
    limits, settings, notes = settle(runner)
    assert limits.rates == pytest.approx([20 / 8, 20 / 100])
    assert notes[0] == "worked: cut, so that proxies read it as often as the target"
    model = fit(settings, values)
    assert model.stack.repeated is not None
    assert model.swarm.rates is not None
    assert model.swarm.rates.tolist() == [list(runner.rates)] * len(shares)
    _, settings, notes = settle(plain)
    assert fit(settings, values).stack.repeated is None
    assert not any("cut" in note for note in notes)


@pytest.mark.parametrize(
    ("find", "put", "told"),
    [
        (
            "  constraints: constraints.yaml\n",
            "",
            "plan.yaml:18:3: it needs the tokens of every source and of the target; add 'constr",
        ),
        (
            "{tokens: 100M}",
            "{max: 0.9}",
            "constraints.yaml: 'target_epochs' needs tokens of 'prose'",
        ),
        (
            "{tokens: 8M}",
            "{tokens: 80k}",
            "'worked' would be cut to 6 tokens, less than a sequence",
        ),
    ],
)
def test_what_is_missing_is_told(tmp_path: Path, find: str, put: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        prepared(tmp_path, "  target_epochs: true\n", lambda text: text.replace(find, put))
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)
