"""A checkpoint that a report names is found where it was, and missed in one line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dataselect.errors import InputError
from dataselect.scoring.series import Member
from dataselect.stages.recorded_checkpoints import RecordedCheckpoint
from dataselect.store import Store, content_key


def found(store: Store, identity: Mapping[str, Any], *given: Member) -> RecordedCheckpoint:
    return RecordedCheckpoint("web (last)", identity, store, lambda: given)


@pytest.mark.parametrize(
    ("kind", "folder", "identity"),
    [
        ("proxy", "step-00000012", {"step": 12}),
        ("external", "final", {"checkpoint": "final"}),
    ],
)
def test_one_in_the_store_is_found_by_its_key(
    tmp_path: Path, kind: str, folder: str, identity: Mapping[str, Any]
) -> None:
    store, spec = Store(tmp_path), {"recipe": 1}
    named = {kind: content_key(kind, spec), **identity}
    with pytest.raises(InputError, match=r"web \(last\): it is not in the store"):
        found(store, named).folder()
    with store.publish(kind, spec) as out:
        (out / folder).mkdir()
        (out / folder / "config.json").write_text("{}")
    where = found(store, named).folder()
    assert (where.name, (where / "config.json").read_text()) == (folder, "{}")
    other = {**named, **{key: 13 if key == "step" else "first" for key in identity}}
    with pytest.raises(InputError, match="it is not in the store"):
        found(store, other).folder()


def test_one_that_was_given_must_have_the_files_that_were_scored(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")

    def member() -> Member:
        return Member("model", None, None, model, "float32")

    identity = member().checkpoint.identity
    assert found(Store(tmp_path / "store"), identity, member()).folder() == model
    (model / "model.safetensors").write_bytes(b"others")
    with pytest.raises(InputError, match="its files are not those that were scored"):
        found(Store(tmp_path / "store"), identity, member()).folder()


def test_one_on_the_hub_is_taken_from_the_cache_and_never_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    commit = "c" * 40
    identity = {"model": {"hub": "team/model", "commit": commit, "loader": 2}}
    with pytest.raises(InputError, match="it is not in the Hugging Face cache"):
        found(Store(tmp_path), identity).folder()
    snapshot = tmp_path / "hub/models--team--model/snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    assert found(Store(tmp_path), identity).folder() == snapshot
