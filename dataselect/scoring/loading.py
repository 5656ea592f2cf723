"""Load a checkpoint's folder: safetensors and a fast tokenizer, no pickle and no remote code."""

from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import (
    disable_progress_bar,
    get_verbosity,
    set_verbosity,
    set_verbosity_error,
)

from dataselect.errors import InputError
from dataselect.scoring.checkpoint import Precision


def load_model(folder: Path, device: str, precision: Precision) -> tuple[Any, Any]:
    """The model in evaluation mode on `device`, and its tokenizer. Raises InputError on failure."""
    # Its progress bars would break the run's own display, and what it warns of is refused below.
    disable_progress_bar()
    verbosity = get_verbosity()
    set_verbosity_error()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder))
        model, loading = AutoModelForCausalLM.from_pretrained(
            str(folder),
            use_safetensors=True,
            dtype=getattr(torch, precision),
            output_loading_info=True,
            # They are refused below, by name.
            ignore_mismatched_sizes=True,
        )
    except MemoryError:
        raise
    except Exception as error:
        # Whatever transformers meets in a folder, down to errors that a config's values cause deep
        # in a model's code: for the user it is the folder that cannot be loaded.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            folder,
            f"no causal language model can be loaded ({reason})",
            "name a folder with config, tokenizer and safetensors weights of a model that"
            " transformers knows (custom model code is not run)",
        ) from error
    finally:
        set_verbosity(verbosity)
    # transformers fills missing weights at random, and such a model still gives scores.
    mismatched = (name for name, *_ in loading["mismatched_keys"])
    misfits = sorted((*loading["missing_keys"], *mismatched))
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
