"""Code that comes with a checkpoint is never run, whatever its files and a prompt would offer."""

import ast
import builtins
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest
from small_models import save_model

from dataselect.corpus.tokenizer import load_tokenizer
from dataselect.errors import InputError
from dataselect.scoring.loading import load_model

ROOT = Path(__file__).parents[2]
CODE = """\
from pathlib import Path

Path({marker!r}).write_text("it ran")

from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast


class Config(LlamaConfig):
    model_type = {kind!r}


class Model(LlamaForCausalLM):
    config_class = Config


class Tokenizer(PreTrainedTokenizerFast):
    pass
"""


@pytest.fixture(params=["llama", "of_its_own", "hf_olmo"])
def folder(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose files ask for classes of a file beside them, which leaves a mark if it runs."""
    kind = request.param
    folder = save_model(tmp_path / "model")
    (folder / "code.py").write_text(CODE.format(marker=str(tmp_path / "ran"), kind=kind))
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = kind
    config["auto_map"] = {
        "AutoConfig": "code.Config",
        "AutoModelForCausalLM": "code.Model",
        "AutoTokenizer": ["code.Tokenizer", "code.Tokenizer"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["tokenizer_class"] = "Tokenizer"
    settings["auto_map"] = {"AutoTokenizer": ["code.Tokenizer", "code.Tokenizer"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))

    def ask(*_: object) -> NoReturn:
        raise AssertionError("somebody was asked whether to run it")

    monkeypatch.setattr(builtins, "input", ask)
    return folder


def test_the_file_beside_a_model_does_not_run(folder: Path) -> None:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    if kind == "llama":
        # transformers has a class for it, which is used.
        loaded = type(load_model(folder, "cpu", "float32").model)
        assert loaded.__module__.startswith("transformers")
    else:
        with pytest.raises(InputError) as error:
            load_model(folder, "cpu", "float32")
        assert "\n" not in str(error.value)
    assert len(load_tokenizer(folder)) > 0
    assert not (folder.parent / "ran").exists()
    assert not (folder.parent / "modules").exists()


def test_the_file_would_leave_its_mark_if_it_ran(folder: Path) -> None:
    exec(compile((folder / "code.py").read_text(), "code.py", "exec"), {})
    assert (folder.parent / "ran").exists()


def test_every_load_by_an_automatic_class_says_that_no_code_is_trusted() -> None:
    calls = 0
    for path in [*(ROOT / "dataselect").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            named = getattr(node.func.value, "id", "")
            if node.func.attr not in ("from_pretrained", "from_config"):
                continue
            if not named.startswith("Auto"):
                continue
            calls += 1
            trusted = {each.arg: each.value for each in node.keywords}.get("trust_remote_code")
            assert isinstance(trusted, ast.Constant), f"{path.name}:{node.lineno}"
            assert trusted.value is False, f"{path.name}:{node.lineno}"
    assert calls >= 4
