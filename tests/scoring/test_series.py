"""A series of checkpoints: revisions by name and pattern, folders, their order, what is missing."""

import hashlib
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import pytest
from huggingface_hub import GitRefInfo, GitRefs
from huggingface_hub.errors import RepositoryNotFoundError
from small_models import byte_tokenizer, save_model

from dataselect.config.checkpoints import Checkpoints
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import LOADER_VERSION, resolve_model
from dataselect.scoring.series import Member, check_one_tokenizer, pinned, resolve

WHERE = "spec.yaml:3:1"
BRANCHES = [
    "main",
    "stage1-step0-tokens0B",
    "stage1-step20000-tokens42B",
    "stage1-step10000-tokens21B",
    "stage1-step119000-tokens250B",
    "stage2-ingredient1-step5000-tokens11B",
]


def commit(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Hub with one repository; the list says what it was asked."""
    asked: list[str] = []

    def refs(self: Any, repo_id: str) -> GitRefs:
        asked.append(repo_id)
        if repo_id != "lab/model":
            raise RepositoryNotFoundError("404\nand a page", response=_Response())  # type: ignore[arg-type]
        branches = [GitRefInfo(n, f"refs/heads/{n}", commit(n)) for n in BRANCHES]
        tags = [GitRefInfo("v1", "refs/tags/v1", commit("v1"))]
        return GitRefs(branches=branches, converts=[], tags=tags)

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_refs", refs)
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    return asked


class _Response:
    headers: ClassVar[dict[str, str]] = {}
    request = None
    status_code = 404
    text = ""


def refuse(*arguments: Any, **options: Any) -> NoReturn:
    raise AssertionError("the Hub was asked")


def found(base: Path = Path(), /, **section: Any) -> tuple[Member, ...]:
    return resolve(Checkpoints(**section), base, WHERE)


def message(base: Path = Path(), /, **section: Any) -> str:
    with pytest.raises(InputError) as error:
        found(base, **section)
    text = str(error.value)
    assert text.startswith(WHERE)
    assert "\n" not in text
    return text


def test_revisions_by_pattern_are_commits_in_the_order_of_tokens(hub: list[str]) -> None:
    members = found(model="lab/model", revisions="stage1-step*-tokens*B")
    assert [member.tokens for member in members] == [0, 21 * 10**9, 42 * 10**9, 250 * 10**9]
    assert [member.step for member in members] == [0, 10_000, 20_000, 119_000]
    assert [member.commit for member in members] == [commit(member.label) for member in members]
    last = members[-1].checkpoint
    assert last.name == "lab/model@stage1-step119000-tokens250B"
    of_commit = {"hub": "lab/model", "commit": commit(members[-1].label), "loader": LOADER_VERSION}
    assert last.identity == {"model": of_commit}
    assert hub == ["lab/model"]


def test_names_patterns_and_tags_together_each_once(hub: list[str]) -> None:
    names = ["stage1-step10000-tokens21B", "stage1-step1*", "v1"]
    members = found(model="lab/model", revisions=names, tokens={"v1": "4T"})
    assert [member.label for member in members] == [BRANCHES[3], BRANCHES[4], "v1"]


@pytest.mark.parametrize("section", [{"model": "lab/model"}, {"model": "lab/model@main"}])
def test_a_single_revision_needs_no_tokens(hub: list[str], section: dict[str, str]) -> None:
    (member,) = found(**section)
    assert (member.label, member.tokens, member.commit) == ("main", None, commit("main"))
    assert found(**section, tokens="4T")[0].tokens == 4 * 10**12


def test_datadecide_s_series_end_at_whatever_step_they_end(
    hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["main", *(f"step{n}-seed-default" for n in (0, 1250, 37500, 38750))]
    names += [f"step{n}-seed-small-aux-2" for n in (1250, 38157)]
    names += [f"step{n}-seed-small-aux-3" for n in (1250, 36250)]
    monkeypatch.setattr(f"{__name__}.BRANCHES", names)
    last = {}
    for seed in ("default", "small-aux-2", "small-aux-3"):
        section = {"revisions": f"step*-seed-{seed}", "tokens_per_step": 192 * 2048}
        members = found(model="lab/model", **section)
        assert all(member.label.endswith(f"-seed-{seed}") for member in members)
        last[seed] = (members[-1].step, members[-1].tokens)
    assert last == {
        "default": (38750, 38750 * 393_216),
        "small-aux-2": (38157, 38157 * 393_216),
        "small-aux-3": (36250, 36250 * 393_216),
    }


def test_steps_order_where_tokens_are_not_known_and_make_tokens_when_told(
    hub: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"step{n}-seed-{seed}" for n in (10_000, 5_000, 900) for seed in ("default", "two")]
    monkeypatch.setattr(f"{__name__}.BRANCHES", names)
    members = found(model="lab/model", revisions="step*-seed-default")
    assert [(member.step, member.tokens) for member in members] == [
        (900, None),
        (5_000, None),
        (10_000, None),
    ]
    told = found(model="lab/model", revisions="step*-seed-two", tokens_per_step="2M")
    assert [member.tokens for member in told] == [1_800_000_000, 10**10, 2 * 10**10]
    text = message(model="lab/model", revisions="step*")
    assert "'step900-seed-two' are both at step 900" in text or "are both at step 10000" in text


def test_pinned_commits_need_no_network(hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    section = Checkpoints(model="lab/model", revisions="stage1-*")
    members = resolve(section, Path(), WHERE)
    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_refs", refuse)
    again = pinned(section, members)
    assert again.revision_patterns[1] == f"{members[1].label}@{members[1].commit}"
    assert resolve(again, Path(), WHERE) == members
    assert pinned(again, members) == again
    (bare,) = found(model=f"lab/model@{commit('main')}")
    assert (bare.label, bare.commit) == (commit("main"), commit("main"))


def test_without_a_network_the_cache_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(self: Any, repo_id: str) -> NoReturn:
        raise ConnectionError("no route\nto anywhere")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_refs", offline)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    text = message(model="lab/model", revisions="step*")
    assert "does not answer for the revisions of 'lab/model' (no route)" in text
    assert "NAME@COMMIT" in text

    repository = tmp_path / "cache" / "models--lab--model"
    for name in ("step1-seed-default", "step2-seed-default"):
        save_model(repository / "snapshots" / commit(name))
        (repository / "refs").mkdir(exist_ok=True)
        (repository / "refs" / name).write_text(commit(name))
    members = found(model="lab/model", revisions="step*-seed-default")
    assert [member.commit for member in members] == [commit(member.label) for member in members]
    assert "there is step" in message(model="lab/model", revisions="main")

    # A pinned commit is found and its files used where the Hub is never asked.
    cached = commit("step1-seed-default")
    code = (
        "from pathlib import Path\nfrom dataselect.config.checkpoints import Checkpoints\n"
        "from dataselect.scoring.series import resolve\n"
        f"(m,) = resolve(Checkpoints(model='lab/model@step1@{cached}'), Path(), '')\n"
        "print(m.checkpoint.folder())\n"
    )
    environment = {"HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(repository / "snapshots" / cached), done.stderr


def test_what_is_not_there_is_said_with_what_is(hub: list[str]) -> None:
    text = message(model="lab/model", revisions="stage1-step*-tokens*T")
    assert "lab/model has no revision 'stage1-step*-tokens*T'" in text
    assert "stage1-step10000-tokens21B" in text
    assert text.endswith("and 2 more")
    assert "the Hub does not give 'lab/other' (404" in message(model="lab/other")
    assert "'tokens' is one number and there are 4" in message(
        model="lab/model", revisions="stage1-*", tokens="4T"
    )
    stated = message(model="lab/model", revisions="stage1-*", tokens={"stage1-step0": "1B"})
    assert "'tokens' names 'stage1-step0', not found there; did you mean" in stated
    mixed = message(model="lab/model", revisions=["main", "stage1-*"])
    assert "the name 'main' does not say where in training it is" in mixed
    assert "names a revision, and 'revisions' too" in message(model="lab/model@v1", revisions="v1")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model") / "saved")


@pytest.fixture
def folders(tmp_path: Path, model: Path) -> Callable[..., Path]:
    """Copies of a model in folders of these names below a base."""

    def make(*names: str) -> Path:
        for name in names:
            shutil.copytree(model, tmp_path / name)
        return tmp_path

    return make


def test_a_folder_is_a_checkpoint_or_holds_some(folders: Callable[..., Path]) -> None:
    base = folders("run/step200", "run/step1000")
    (base / "run" / "logs").mkdir()
    (base / "run" / "notes.txt").write_text("lr 1e-3")
    members = found(base, model="run", tokens_per_step=1000)
    assert [(m.label, m.tokens) for m in members] == [("step200", 200_000), ("step1000", 10**6)]
    (single,) = found(base, model="run/step200")
    assert (single.label, single.step, single.commit) == ("step200", 200, None)
    assert single.checkpoint.folder() == base / "run" / "step200"
    assert found(base, model=str(base / "run" / "step200"))[0].label == "step200"


def test_a_pattern_finds_folders_and_names_them_by_what_varies(
    folders: Callable[..., Path],
) -> None:
    base = folders("runs/a/step5/hf", "runs/a/step10/hf", "runs/b/step5/hf")
    (base / "runs/a/step5/raw").mkdir()
    members = found(base, model="runs/a/step*/*")
    assert [member.label for member in members] == ["step5/hf", "step10/hf"]
    assert [member.label for member in found(base, model="runs/b/*/hf")] == ["step5/hf"]
    assert "are both at step 5" in message(base, model="runs/*/step5/hf")


def test_folders_in_a_series_are_the_models_that_score_takes(folders: Callable[..., Path]) -> None:
    base = folders("run/step1", "run/step2")
    (base / "run/step2/config.json").write_text(
        (base / "run/step2/config.json").read_text().replace("1024", "512")
    )
    first, second = found(base, model="run", precision="bfloat16")
    assert first.checkpoint == resolve_model(str(base / "run/step1"), "bfloat16")
    assert first.checkpoint.identity != second.checkpoint.identity
    assert pickle.loads(pickle.dumps(first)).checkpoint == first.checkpoint


def test_nothing_is_hashed_before_it_is_used(
    folders: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base = folders("step1", "step2")
    monkeypatch.setattr("dataselect.scoring.checkpoint.sha256_of", refuse)
    assert len(found(base, model="step*")) == 2


def test_folders_without_what_is_needed_are_named(folders: Callable[..., Path]) -> None:
    base = folders("run/step1", "run/step2")
    assert "no folder matches 'run/iter*'; in" in message(base, model="run/iter*")
    assert message(base, model="run/iter*").count("step") == 2
    assert "there is nothing" in message(base, model="gone/step*")
    assert "there is no folder './gone'" in message(base, model="./gone")
    assert "which has no revisions" in message(base, model="run", revisions="main")
    (base / "run" / "step2" / "model.safetensors").rename(base / "run/step2/pytorch_model.bin")
    assert "step2 has no *.safetensors weights" in message(base, model="run/step*")
    (base / "empty").mkdir()
    assert "has a config.json" in message(base, model="empty")


def test_a_series_is_found_without_torch(folders: Callable[..., Path]) -> None:
    base = str(folders("step1", "step2"))
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from dataselect.config.checkpoints import Checkpoints\n"
        "from dataselect.scoring.series import resolve\n"
        f"found = resolve(Checkpoints(model='step*'), Path({base!r}), '')\n"
        "assert [m.checkpoint.identity for m in found]\n"
        "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_checkpoints_of_two_tokenizers_are_no_series(tmp_path: Path) -> None:
    folders = [save_model(tmp_path / name) for name in ("a", "b", "c")]
    members = [Member(folder.name, None, 1, folder, "float32") for folder in folders]
    on_hub = Member("d", None, 1, ("lab/model", "0" * 40), "float32")
    assert check_one_tokenizer([*members, on_hub], WHERE)
    assert check_one_tokenizer([on_hub], WHERE) is None
    byte_tokenizer(290, ("other words of another text",) * 5).save_pretrained(folders[1])
    with pytest.raises(InputError, match="'b' has another tokenizer than 'a'") as error:
        check_one_tokenizer(members, WHERE)
    assert str(error.value).startswith(WHERE)
