"""A checkpoint after supervised fine-tuning on a benchmark's training set, as an artifact.

The paper's iSFT baseline is a proxy's accuracy after one epoch of fine-tuning; its pre-to-post
setting uses the target's. A `FinetunedCheckpoint` is a `Checkpoint`, so it is scored like any
other. It is fine-tuned when its folder is first requested. Scores are stored under its identity,
which does not read the weights, so the weights may be deleted after scoring.

The paper does not give the format of examples. Here an example is the benchmark's prompt with the
question alone and the benchmark's gold label (the worked solution, or the letter where there are
choices), then the end-of-text token. Evaluation uses the same format, without worked examples.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataselect.benchmarks.items import BenchmarkItems
from dataselect.benchmarks.training_set import without_examples
from dataselect.compute.machine import this_machine
from dataselect.cost import training_flops
from dataselect.errors import InputError
from dataselect.proxies.recipe import TuneRecipe
from dataselect.scoring.checkpoint import Checkpoint, Precision
from dataselect.scoring.evaluation import Evaluation
from dataselect.store import Store, content_key

if TYPE_CHECKING:
    from dataselect.proxies.tune import Example

KIND = "finetuned"
FINETUNE_VERSION = 1
"""Increase it whenever the same checkpoint and training set would give other weights."""


@dataclass(frozen=True)
class FinetunedCheckpoint:
    """`base` after fine-tuning on `training`; see `dataselect.scoring.checkpoint.Checkpoint`."""

    name: str
    """Name in the ledger and messages."""
    base: Checkpoint
    training: BenchmarkItems
    recipe: TuneRecipe
    store: Store
    device: str
    precision: Precision = "float32"
    """Arithmetic of scoring, not of fine-tuning."""
    report: Callable[[str], None] = lambda _: None

    @property
    def spec(self) -> dict[str, Any]:
        """Everything that determines the weights."""
        return {
            "version": FINETUNE_VERSION,
            "base": dict(self.base.identity),
            "training_set": self.training.content_hash,
            "recipe": self.recipe.describe(),
        }

    @property
    def identity(self) -> Mapping[str, Any]:
        """The key of the weights and the precision of scoring."""
        scored_in = {} if self.precision == "float32" else {"precision": self.precision}
        return {"finetuned": content_key(KIND, self.spec), **scored_in}

    def folder(self) -> Path:
        """The Hugging Face folder, its files verified; fine-tunes first if it is missing."""
        return self.store.get_or_build(KIND, self.spec, self._make, whole=True).path / "model"

    def _make(self, out: Path) -> None:
        # Imported here so that a checkpoint in the store is used without loading torch.
        import torch

        from dataselect.proxies.tune import tune
        from dataselect.scoring.loading import load_model
        from dataselect.scoring.model_facts import parameter_count, position_limit

        benchmark = self.training.id
        wall, cpu = time.monotonic(), time.process_time()
        loaded = load_model(self.base.folder(), self.device, "float32")
        model, tokenizer = loaded.model, loaded.tokenizer
        examples, too_long = make_examples(self.training, tokenizer, position_limit(model))
        self.report(f"{self.name}: fine-tuning on {len(examples):,} examples of {benchmark}")
        reported = time.monotonic()

        def progress(step: int, steps: int, loss: float) -> None:
            nonlocal reported
            if time.monotonic() - reported > 30:
                reported = time.monotonic()
                self.report(f"{self.name}: {benchmark}, step {step} of {steps}, loss {loss:.3f}")

        tuned = tune(model, examples, self.recipe, self.device, progress)
        flops = training_flops(parameter_count(model), tuned.tokens)
        facts = {
            "steps": tuned.steps,
            "tokens": tuned.tokens,
            "losses": tuned.losses,
            "examples": len(examples),
            "too_long": too_long,
            "flops": flops,
            "torch": torch.__version__,
            "machine": this_machine(self.device).record(),
        }
        if self.recipe.precision == "bf16":
            model.to(torch.bfloat16)
        model.save_pretrained(out / "model")
        tokenizer.save_pretrained(out / "model")
        (out / "finetuning.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        wall = time.monotonic() - wall
        self.store.note(
            KIND,
            self.spec,
            {
                "name": f"{self.name} on {benchmark}",
                "status": "done",
                "wall_seconds": wall,
                "cpu_seconds": time.process_time() - cpu,
                "gpu_seconds": wall if self.device.startswith("cuda") else 0.0,
                "flops": flops,
            },
        )


def asked_as_trained(evaluation: Evaluation) -> Evaluation:
    """The evaluation of a fine-tuned model: questions in the format of its training examples."""
    return replace(evaluation, benchmark=without_examples(evaluation.benchmark))


def make_examples(
    training: BenchmarkItems, tokenizer: Any, limit: int | None
) -> tuple[list["Example"], int]:
    """The training set as tokens, and the number of items that were left out.

    Items longer than `limit` tokens (None: no limit), or whose text the tokenizer rewrites, are
    left out. Raises InputError when no item is left.
    """
    from dataselect.proxies.tune import Example
    from dataselect.scoring.token_spans import Aligner, RewrittenTextError

    aligner = Aligner(tokenizer)
    ending = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
    examples: list[Example] = []
    for item in training.items:
        try:
            aligned = aligner.align(training.context(item), training.label_text(item))
        except RewrittenTextError:
            continue
        example = Example(aligned.context_ids, aligned.ids + ending)
        if limit is None or len(example) <= limit:
            examples.append(example)
    if not examples:
        raise InputError(
            training.id,
            f"none of its {len(training.items)} training items fits the model",
            "fine-tune a model that takes longer texts",
        )
    return examples, len(training.items) - len(examples)
