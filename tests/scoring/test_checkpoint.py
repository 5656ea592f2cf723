"""What a model is known by: its bytes and its precision, or a commit; never a path."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from small_models import save_model

from dataselect.errors import InputError
from dataselect.scoring.checkpoint import (
    LOADER_VERSION,
    ModelCheckpoint,
    file_hashes,
    resolve_model,
)
from dataselect.store import content_key


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "saved")


def key(checkpoint: ModelCheckpoint) -> str:
    return content_key("scores", checkpoint.identity)


def test_a_folder_is_known_by_its_bytes_and_not_by_its_path(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    shutil.copytree(saved, copy)
    first, second = (resolve_model(str(folder), "float32") for folder in (saved, copy))
    assert first.identity == second.identity
    assert (first.name, second.name) == ("saved", "elsewhere")
    assert first.folder() == saved
    assert str(saved) not in repr(first.identity)

    (copy / "README.md").write_text("Nothing that a score depends on.")
    assert resolve_model(str(copy), "float32").identity == first.identity


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_changed_byte_is_another_model(saved: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "saved"
    shutil.copytree(saved, copy)
    data = (copy / name).read_bytes()
    (copy / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert key(resolve_model(str(copy), "float32")) != key(resolve_model(str(saved), "float32"))


@pytest.mark.parametrize("name", ["merges.txt", "vocab.txt", "tokenizer.model"])
def test_files_of_other_tokenizers_count(saved: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "saved"
    shutil.copytree(saved, copy)
    (copy / name).write_text("t h")
    assert file_hashes(copy).keys() - file_hashes(saved).keys() == {name}


def test_precision_is_part_of_the_identity(saved: Path) -> None:
    precisions = ("float32", "bfloat16", "float16")
    assert len({key(resolve_model(str(saved), each)) for each in precisions}) == 3
    assert "precision" not in resolve_model(str(saved), "float32").identity["model"]


@pytest.mark.parametrize("spelling", ["saved/", "saved/../saved", "./saved"])
def test_a_folder_has_one_name_however_it_is_spelt(
    saved: Path, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.chdir(saved.parent)
    assert resolve_model(spelling, "float32").name == "saved"
    monkeypatch.chdir(saved)
    assert resolve_model(".", "float32").name == "saved"


@pytest.mark.parametrize(
    ("model", "revision"), [("someone/model", None), ("someone/model@main", "main")]
)
def test_a_hub_model_is_known_by_its_commit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, revision: str | None
) -> None:
    commit = tmp_path / ("c" * 40)
    shutil.copytree(saved, commit)
    asked: dict[str, Any] = {}

    def download(name: str, **options: Any) -> str:
        asked.update(options, name=name)
        return str(commit)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    found = resolve_model(model, "float32")
    assert found.name == model
    assert found.identity == {
        "model": {"hub": "someone/model", "commit": "c" * 40, "loader": LOADER_VERSION}
    }
    assert (asked["name"], asked["revision"]) == ("someone/model", revision)
    # Neither pickles nor code are brought here.
    assert not {"*", "*.bin", "*.pt", "*.py"} & set(asked["allow_patterns"])


@pytest.mark.parametrize(
    "model", ["./nowhere", "../nowhere", "/nowhere/at/all", "a/b/c", "a b", "", "someone/"]
)
def test_what_can_only_be_a_path_is_not_looked_for_on_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    def refuse(*arguments: Any, **options: Any) -> str:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        resolve_model(model, "float32")
    assert "\n" not in str(error.value)


def test_what_the_hub_says_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> str:
        raise OSError("401 Client Error\nwith a long page behind it")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(InputError, match=r"'someone/model' \(401 Client Error\); check the id"):
        resolve_model("someone/model@v1", "float32")


def test_pickled_weights_are_not_read(saved: Path, tmp_path: Path) -> None:
    copy = tmp_path / "old"
    shutil.copytree(saved, copy)
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickled weights are not read"):
        resolve_model(str(copy), "float32")


def test_an_adapter_alone_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="it is an adapter alone"):
        resolve_model(str(tmp_path), "float32")


def test_of_a_folder_of_checkpoints_the_last_is_named(saved: Path, tmp_path: Path) -> None:
    for step in ("step-00000010", "step-00000020"):
        shutil.copytree(saved, tmp_path / "proxy" / step)
    (tmp_path / "proxy" / "training.json").write_text("{}")
    with pytest.raises(InputError, match="; name 'step-00000020' in it, or another Hugging Face"):
        resolve_model(str(tmp_path / "proxy"), "float32")
