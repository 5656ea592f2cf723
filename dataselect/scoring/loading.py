"""Load a checkpoint's folder: safetensors and a fast tokenizer, no pickle and no remote code.

What is loaded is what the files hold: the tokens of tokenizer.json (`corpus.saved_tokenizer`) and
every tensor of the weights (`weights`); anything else is refused in one line, or noted.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from dataselect import strict_json
from dataselect.compute.machine import this_machine
from dataselect.corpus.quiet_transformers import quiet
from dataselect.corpus.saved_tokenizer import read_tokenizer
from dataselect.errors import InputError
from dataselect.scoring.checkpoint import Precision
from dataselect.scoring.hf_olmo import MODEL_TYPE, llama_config, load_as_llama
from dataselect.scoring.loaded_model import LoadedModel
from dataselect.scoring.model_errors import in_one_line
from dataselect.scoring.stored_tensors import Stored, stored_tensors
from dataselect.scoring.weights import (
    check_config,
    check_loaded,
    check_shapes,
    model_without_values,
    remarks,
)
from dataselect.wording import quoted

# Experts may sum in another order, in units of the format's epsilon.
_ROUNDING = 64
_MOST_ROUNDING = 0.05


def load_model(folder: Path, device: str, precision: Precision) -> LoadedModel:
    """The model on `device`, and its tokenizer. Raises InputError where the files do not agree."""
    tensors = stored_tensors(folder)
    with quiet():
        saved = read_tokenizer(folder)
        content = _config(folder)
        if content.get("model_type") == MODEL_TYPE:
            model, of_model = _renamed(folder, content, tensors, precision)
        else:
            model, of_model = _as_it_is(folder, content, tensors, precision)
        _check_end(folder, model)
        model.to(device).eval()
        with _one_line(folder):
            _try(folder, model, device)
    notes = (*saved.notes, *of_model)
    return LoadedModel(model, saved.tokenizer, notes, this_machine(device))


def check_files(folder: Path) -> None:
    """Raise the InputError that `load_model` raises for configuration, tokenizer and headers.

    No weight is read, so this is cheap for models of any size; what only values show is left.
    """
    tensors = stored_tensors(folder)
    with quiet():
        read_tokenizer(folder)
        content = _config(folder)
        if content.get("model_type") == MODEL_TYPE:
            with _one_line(folder):
                check_config(llama_config(folder, content), content, tensors)
            return
        config = _known_config(folder)
        check_config(config, content, tensors)
        with _one_line(folder):
            model = model_without_values(config)
        check_shapes(folder, model, tensors)
        _check_end(folder, model)


def _known_config(folder: Path) -> Any:
    with in_one_line(
        folder / "config.json",
        "no model's configuration can be read",
        "mend it, or name a model that transformers knows (custom model code is not run)",
    ):
        return AutoConfig.from_pretrained(str(folder), trust_remote_code=False)


def _as_it_is(
    folder: Path, content: dict[str, Any], tensors: Mapping[str, Stored], precision: Precision
) -> tuple[Any, list[str]]:
    """The model that transformers makes of a folder, its weights compared with the files, and
    remarks on its configuration."""
    config = _known_config(folder)
    check_config(config, content, tensors)
    with _one_line(folder):
        model, loading = AutoModelForCausalLM.from_pretrained(
            str(folder),
            config=config,
            use_safetensors=True,
            dtype=getattr(torch, precision),
            output_loading_info=True,
            trust_remote_code=False,
            # They are refused below, by name.
            ignore_mismatched_sizes=True,
        )
    check_loaded(folder, model, loading, tensors)
    return model, remarks(content, model)


def _renamed(
    folder: Path, content: dict[str, Any], tensors: Mapping[str, Stored], precision: Precision
) -> tuple[Any, list[str]]:
    """The model of a folder in hf_olmo's format, and a remark that says so."""
    with _one_line(folder):
        config = llama_config(folder, content)
        check_config(config, content, tensors)
        model = load_as_llama(folder, config, tensors, getattr(torch, precision))
    return model, [f"its {MODEL_TYPE} checkpoint is read as {type(model).__name__}"]


def _one_line(folder: Path) -> AbstractContextManager[None]:
    """Whatever transformers meets in a folder is told as a fault of the folder."""
    return in_one_line(
        folder,
        "no causal language model can be made of its config.json and weights",
        "name a folder with config, tokenizer and safetensors weights of a model that"
        " transformers knows (custom model code is not run)",
    )


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        content = strict_json.loads(file.read_bytes())
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise InputError(file, "is missing or no JSON object", "get the checkpoint again")
    return content


def _check_end(folder: Path, model: Any) -> None:
    """Refuse what ends a generated answer where it is no token: nothing would ever end one."""
    end = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    for each in end if isinstance(end, list) else [end]:
        if each is not None and (isinstance(each, bool) or not isinstance(each, int)):
            raise InputError(
                folder,
                f"eos_token_id in its generation_config.json or config.json is {quoted(each)},"
                " no id of a token",
                "mend it there, or get the checkpoint again",
            )


def _try(folder: Path, model: Any, device: str) -> None:
    """Run the model on a few tokens: some settings fail only then, or let it see what follows."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = torch.arange(4, device=device).remainder(vocabulary)[None]
    other = ids.clone()
    other[0, -1] = vocabulary - 1
    with torch.inference_mode():
        before, after = (
            model(input_ids=each, use_cache=False).logits[0, :-1] for each in (ids, other)
        )
    # A token whose embedding is NaN reaches earlier ones through a mask too: 0 x NaN.
    both = before.isfinite() & after.isfinite()
    if not bool(both.any()):
        return
    before, after = before[both], after[both]
    most = min(_ROUNDING * torch.finfo(before.dtype).eps, _MOST_ROUNDING)
    if (before - after).abs().max() > most * before.abs().max():
        raise InputError(
            folder,
            "it is no causal language model: what it predicts depends on the tokens that follow",
            "set is_causal or is_decoder in its config.json, or score a model that reads from left"
            " to right",
        )
