"""Load a checkpoint's folder: safetensors and a fast tokenizer, no pickle and no remote code."""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from dataselect.errors import InputError
from dataselect.scoring.checkpoint import Precision


def load_model(folder: Path, device: str, precision: Precision) -> tuple[Any, Any]:
    """The model in evaluation mode on `device`, and its tokenizer. Raises InputError on failure."""
    # Its progress bars would break the run's own display.
    disable_progress_bar()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        model, loading = AutoModelForCausalLM.from_pretrained(
            str(folder),
            use_safetensors=True,
            dtype=getattr(torch, precision),
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, ImportError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            folder,
            f"no causal language model can be loaded ({reason})",
            "name a folder with config, tokenizer and safetensors weights of a model that"
            " transformers knows (custom model code is not run)",
        ) from error
    # transformers fills missing weights at random, and such a model still gives scores.
    misfits = sorted(map(str, (*loading["missing_keys"], *loading["mismatched_keys"])))
    if misfits:
        raise InputError(
            folder,
            f"its weights do not fit its config.json ({len(misfits)} missing or of another shape,"
            f" such as {misfits[0]})",
            "get the checkpoint again",
        )
    if not getattr(tokenizer, "is_fast", False):
        raise InputError(
            folder, "its tokenizer is not a fast one", "convert it to a tokenizer.json"
        )
    model.to(device).eval()
    return model, tokenizer
