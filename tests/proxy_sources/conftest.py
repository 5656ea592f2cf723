"""Small inputs of every kind of proxy source, and a command that stands for a team's trainer."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_training
from small_models import byte_tokenizer, save_model

from dataselect.config.checkpoints import Checkpoints
from dataselect.config.manifest import Source
from dataselect.corpus.kept_tokenizer import Tokenizer
from dataselect.corpus.prepare import Share, Stream
from dataselect.corpus.tokenizer import tokenizer_hash
from dataselect.proxies.make import ProxyRequest
from dataselect.proxy_sources import CommandSource, GivenCheckpoints, TrainedHere
from dataselect.proxy_sources.data_export import hand
from dataselect.scoring.series import resolve

RECIPE = replace(tiny_training.RECIPE, steps=4, batch_size=2, checkpoints=2)

TRAINER = """\
import os, pathlib, shutil, sys
model, output, *options = sys.argv[1:]
print("training", *options, flush=True)
if "--fail" in options:
    raise SystemExit("out of luck")
count = pathlib.Path(output, "calls")
count.write_text(count.read_text() + "x" if count.exists() else "x")
for name in ("step10", "step20", "step30") if "--series" in options else (".",):
    shutil.copytree(model, pathlib.Path(output, name), dirs_exist_ok=True)
    pathlib.Path(output, name, "optimizer.bin").write_text("large")
"""


class Inputs:
    """A folder with a model, a tokenizer, a token stream and a trainer."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = save_model(folder / "model")
        byte_tokenizer().save_pretrained(folder / "tokenizer")
        digest = tokenizer_hash(folder / "tokenizer")
        self.tokenizer = Tokenizer(folder / "tokenizer", digest, len(byte_tokenizer()))
        self.share = Share("stream", self._write_stream(folder / "stream", 2000), 640)
        (folder / "trainer.py").write_text(TRAINER)

    def _write_stream(self, folder: Path, tokens: int) -> Path:
        folder.mkdir()
        ids = np.random.default_rng(0).integers(0, 300, tokens)
        (folder / "tokens-00000.bin").write_bytes(ids.astype("<u2").tobytes())
        index = {"dtype": "uint16", "shard_tokens": 10**6, "tokens": tokens, "documents": 7}
        index |= {"exhausted": False, "counts": None}
        (folder / "index.json").write_text(json.dumps(index))
        return folder

    def trained(self, seed: int = 0, late: int = 1) -> TrainedHere:
        recipe = replace(RECIPE, seed=seed)
        request = ProxyRequest(recipe, self.tokenizer.folder, self.tokenizer.hash, (self.share,))
        return TrainedHere(request, late)

    def given(self, seed: int = 0, late: int = 1) -> GivenCheckpoints:
        """Two checkpoints of a series; the seed makes them others."""
        series = self.folder / f"series-{seed}"
        for step in (100, 200):
            if not (series / f"step{step}").exists():
                save_model(series / f"step{step}", seed=1000 * seed + step)
        section = Checkpoints(model=str(series), tokens_per_step=50)
        return GivenCheckpoints(resolve(section, self.folder, "test")[-late:], seed)

    def command(
        self, seed: int = 0, late: int = 1, *options: str, data: bool = False
    ) -> CommandSource:
        words = [sys.executable, "trainer.py", str(self.model), "{output}", "--seed", "{seed}"]
        words += ["--series"] if late > 1 else []
        stream = Stream("web", "stream", self.share.folder, 2000, 2000, {})
        source = Source(id="web", path="dataselect/desk", name="worked")
        handed = hand(stream, self.share, 1.0, source, self.folder)
        return CommandSource(
            words=(*words, *(["--data", "{data}"] if data else []), *options),
            values={
                "tokens": "640",
                "candidate": "web",
                "stage": "screen",
                "seed": str(seed),
                "checkpoints": str(late),
            },
            working_folder=self.folder,
            tokens=640,
            seed=seed,
            tokenizer=self.tokenizer if data else None,
            data=(handed,) if data else (),
            late=late,
        )


@pytest.fixture(scope="session")
def _shared_inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    import torch

    torch.set_num_threads(1)
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture
def inputs(_shared_inputs: Inputs) -> Inputs:
    return _shared_inputs


@pytest.fixture
def fresh_inputs(_shared_inputs: Inputs, tmp_path: Path) -> Callable[[], Inputs]:
    """A copy that a test may change."""

    def copy() -> Inputs:
        made = Inputs.__new__(Inputs)
        made.folder = tmp_path / "inputs"
        shutil.copytree(_shared_inputs.folder, made.folder)
        made.model = made.folder / "model"
        made.tokenizer = replace(_shared_inputs.tokenizer, folder=made.folder / "tokenizer")
        made.share = Share("stream", made.folder / "stream", 640)
        return made

    return copy
