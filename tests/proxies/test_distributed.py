"""Several processes train what one trains, and go on from one another's states.

Most processes here are forked and joined by hand, which is what torchrun does to them, in a
twentieth of its time; `test_processes` has torchrun itself.
"""

import json
import os
import signal
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import FORKED, RECIPE, tiny_tokenizer, write_stream
from transformers import AutoModelForCausalLM, AutoTokenizer

from dataselect.config.compute import ComputePlan
from dataselect.config.plan import Plan
from dataselect.config.schema import read
from dataselect.config.stage import Stage
from dataselect.corpus.packing import PackedData, Part
from dataselect.errors import InputError
from dataselect.proxies import distributed, layout
from dataselect.proxies import train as trainer
from dataselect.proxies.distributed import train_share
from dataselect.proxies.layout import Layout, check_layout, make_layout, slice_sequences
from dataselect.proxies.processes import RESULT, Spec
from dataselect.proxies.recipe import Recipe
from dataselect.proxies.saved_state import settle
from dataselect.proxies.train import Training, train
from dataselect.stages.prepare import make_recipes
from dataselect.store.sealed import unsealed

# Small steps: AdamW makes of the last bit of a small gradient a whole step. The vocabulary and
# the widths of keys and feed-forward are such that shares are uneven.
STEPS = 16
TINY = replace(
    RECIPE,
    shape=replace(RECIPE.shape, hidden_size=18, heads=3, kv_heads=1, intermediate_size=33),
    vocab_size=301,
    steps=STEPS,
    learning_rate=1e-3,
    embedding_learning_rate=2e-3,
    checkpoints=2,
)
TOKENS = TINY.tokens + 100


def take_part(spec: Spec, rank: int, size: int, port: int, die_at: int | None) -> None:
    """What torchrun's environment says to one process; the first may die before a step."""
    torch.set_num_threads(1)
    # What SIGKILL leaves does not depend on it.
    os.fsync = lambda descriptor: None
    given = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in given.items()})
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    layout._SLICE_TOKENS = spec.recipe.sequence_length  # a slice for every sequence
    take_step = trainer.Run.take_step

    def step_or_die(run: Any) -> None:
        if run.step == die_at:
            run.save()
            if rank == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        take_step(run)

    trainer.Run.take_step = step_or_die  # type: ignore[method-assign]
    distributed._report_progress = distributed._stay_silent
    train_share(spec)


def train_by(
    size: int,
    way: Any,
    folder: Path,
    recipe: Recipe = TINY,
    die_at: int | None = None,
    recompute: bool = False,
) -> Training | None:
    """Train in `folder`, or go on there, by so many forked processes; None where one died."""
    spec = spec_in(folder, recipe, Layout(size, way, recompute))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        FORKED.Process(target=take_part, args=(spec, rank, size, port, die_at))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    ends = [process.exitcode for process in processes]
    if die_at is not None:
        # The others lose their connection, and do not wait for ever.
        assert ends == [-signal.SIGKILL] + [1] * (size - 1)
        return None
    assert ends == [0] * size
    return Training(**unsealed(json.loads((folder / RESULT).read_bytes())))


def spec_in(folder: Path, recipe: Recipe, laid_out: Layout) -> Spec:
    folder.mkdir(exist_ok=True)
    if not (folder / "stream").exists():
        write_stream(folder / "stream", TOKENS)
        tiny_tokenizer().save_pretrained(folder / "tokenizer")
    parts = (Part(str(folder / "stream"), recipe.tokens),)
    return Spec(recipe, folder / "tokenizer", parts, folder, "cpu", laid_out, save_seconds=0.0)


def train_alone(folder: Path, recipe: Recipe = TINY) -> Training:
    spec = spec_in(folder, recipe, Layout())
    data = PackedData(spec.parts, recipe.sequence_length, recipe.seed, recipe.tokens)
    return train(recipe, data, tiny_tokenizer(), folder, lambda fields: None)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Training]:
    folder = tmp_path_factory.mktemp("alone") / "run"
    return folder, train_alone(folder)


def last_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / f"step-{STEPS:08d}" / "model.safetensors")


def assert_same_training(
    folder: Path, training: Training | None, other: tuple[Path, Training], tolerance: float = 1e-4
) -> None:
    assert training is not None
    its_folder, its = other
    assert (training.steps, training.tokens, training.diverged) == (STEPS, its.tokens, False)
    assert [step for step, _ in training.losses] == [step for step, _ in its.losses]
    for (_, mine), (_, theirs) in zip(training.losses, its.losses, strict=True):
        assert mine == pytest.approx(theirs, abs=tolerance)
    found, wanted = last_weights(folder), last_weights(its_folder)
    assert set(found) == set(wanted)
    for name, tensor in found.items():
        assert (tensor - wanted[name]).abs().mean() < tolerance, name


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes_train_what_one_trains(
    tmp_path: Path, alone: tuple[Path, Training], way: str
) -> None:
    training = train_by(2, way, tmp_path / "run")
    assert_same_training(tmp_path / "run", training, alone)
    steps = [f"step-{step:08d}" for step in TINY.checkpoint_steps()]
    assert sorted(path.name for path in (tmp_path / "run").glob("step-*")) == steps
    mine, theirs = tmp_path / "run" / steps[-1], alone[0] / steps[-1]
    assert {path.name for path in mine.iterdir()} == {path.name for path in theirs.iterdir()}
    for file in ("config.json", "tokenizer.json", "generation_config.json"):
        assert (mine / file).read_bytes() == (theirs / file).read_bytes()
    model = AutoModelForCausalLM.from_pretrained(mine)
    assert model.num_parameters() == TINY.parameters
    assert len(AutoTokenizer.from_pretrained(mine)) == len(tiny_tokenizer())


@pytest.mark.parametrize(
    ("change", "recompute"),
    [
        ({"precision": "bf16"}, False),
        ({"shape": replace(TINY.shape, tie_embeddings=False)}, True),
    ],
    ids=["bf16", "untied-recomputed"],
)
def test_shares_of_another_recipe_train_what_one_process_trains(
    tmp_path: Path, change: dict[str, Any], recompute: bool
) -> None:
    recipe = replace(TINY, **change)
    training = train_by(2, "fsdp", tmp_path / "run", recipe, recompute=recompute)
    whole = tmp_path / "alone", train_alone(tmp_path / "alone", recipe)
    # In bf16 the two round at other places: the loss agrees to its own precision.
    tolerance = 1e-4 if recipe.precision == "fp32" else 1e-2
    assert_same_training(tmp_path / "run", training, whole, tolerance)


def test_each_process_computes_its_share_by_the_fused_step(tmp_path: Path) -> None:
    pytest.importorskip("numba", reason="the extra fast is not installed")
    recipe = replace(TINY, shape=RECIPE.shape, kernels="fused")
    training = train_by(2, "ddp", tmp_path / "run", recipe)
    whole = tmp_path / "alone", train_alone(tmp_path / "alone", recipe)
    assert_same_training(tmp_path / "run", training, whole)


WAYS = {
    "ddp-2-to-1": (2, "ddp", 1, "ddp"),
    "1-to-fsdp-2": (1, "ddp", 2, "fsdp"),
    "fsdp-2-to-ddp-4": (2, "fsdp", 4, "ddp"),
    "ddp-2-to-fsdp-2": (2, "ddp", 2, "fsdp"),
}


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_a_killed_run_goes_on_with_any_number_of_processes_in_either_way(
    tmp_path: Path, alone: tuple[Path, Training], ways: tuple[int, str, int, str]
) -> None:
    first, before, second, after = ways
    folder = tmp_path / "run"
    train_by(first, before, folder, die_at=7)
    assert not list(folder.glob("step-*"))
    assert settle(folder) == 7
    assert_same_training(folder, train_by(second, after, folder), alone)


def test_a_run_of_several_processes_is_finished_by_the_plain_loop(
    tmp_path: Path, alone: tuple[Path, Training]
) -> None:
    folder = tmp_path / "run"
    train_by(2, "fsdp", folder, die_at=13)
    assert_same_training(folder, train_alone(folder), alone)


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_all_processes_see_a_run_diverge(tmp_path: Path, way: str) -> None:
    absurd = replace(TINY, learning_rate=1e20, embedding_learning_rate=1e20)
    training = train_by(2, way, tmp_path / "run", absurd)
    assert training is not None
    assert training.diverged
    assert training.steps < STEPS
    assert training.final_loss is None
    assert not list((tmp_path / "run").glob("step-*"))


def test_shards_of_a_model_are_refused_for_the_fused_step_by_the_line_of_the_plan() -> None:
    fused = replace(TINY, kernels="fused")
    for fits in (Layout(1, "fsdp"), Layout(4, "ddp"), Layout(4)):
        check_layout(fused, fits, "plan.yaml:3:5")
    with pytest.raises(InputError, match=r"^plan.yaml:3:5: with fsdp .*'shard: ddp'"):
        check_layout(fused, Layout(4, "fsdp"), "plan.yaml:3:5")


def test_a_batch_that_cannot_be_shared_evenly_is_refused_with_a_fix() -> None:
    check_layout(TINY, Layout(processes=4), "plan.yaml:3:5")
    with pytest.raises(InputError) as refused:
        check_layout(replace(TINY, batch_size=10), Layout(processes=4), "plan.yaml:3:5")
    message = str(refused.value)
    assert message.startswith("plan.yaml:3:5: a batch of 10 sequences cannot be shared evenly by 4")
    assert "such as 8" in message


def test_a_description_comes_back_as_it_was_written(tmp_path: Path) -> None:
    spec = spec_in(tmp_path / "run", TINY, Layout(2, "fsdp", True))
    spec.write(tmp_path / "spec.json")
    assert Spec.read(tmp_path / "spec.json") == spec


@pytest.mark.parametrize("spoil", ["{", "[]", '{"recipe": {}}', None])
def test_a_description_that_is_none_is_refused_with_its_name(
    tmp_path: Path, spoil: str | None
) -> None:
    path = tmp_path / "spec.json"
    if spoil is not None:
        path.write_text(spoil)
    with pytest.raises(InputError, match=r"spec\.json: it is no description of a training run"):
        Spec.read(path)


def test_paths_of_a_description_are_relative_to_it(tmp_path: Path) -> None:
    spec = spec_in(tmp_path / "run", TINY, Layout(2))
    given = json.loads(json.dumps(asdict(spec), default=str))
    given |= {"folder": "run", "tokenizer": "run/tokenizer"}
    given["parts"][0]["folder"] = "run/stream"
    (tmp_path / "spec.json").write_text(json.dumps(given))
    assert Spec.read(tmp_path / "spec.json") == spec


GIB = 1 << 30


def test_weights_are_shared_out_where_a_whole_model_would_take_half_of_a_device() -> None:
    one_billion = 1_176_800_000
    assert not Layout().is_sharded(one_billion, 80 * GIB)
    assert Layout().is_sharded(one_billion, 24 * GIB)
    assert not Layout().is_sharded(one_billion, None)
    assert Layout(shard="fsdp").is_sharded(1000, None)
    assert not Layout(shard="ddp").is_sharded(one_billion, GIB)


def test_large_models_recompute_their_activations_unless_told_otherwise() -> None:
    assert Layout().recomputes(1_176_800_000)
    assert not Layout().recomputes(320_000_000)
    assert Layout(activation_checkpointing=True).recomputes(1000)
    assert not Layout(activation_checkpointing=False).recomputes(1_176_800_000)


def test_slices_of_a_gpu_are_as_large_as_its_memory_allows() -> None:
    shape = layout_of_1b()
    kept = slice_sequences(shape, 1, 80 * GIB, recompute=False)
    recomputed = slice_sequences(shape, 1, 80 * GIB, recompute=True)
    assert 1 <= kept < 4 < recomputed < 24
    assert slice_sequences(shape, 1, GIB, recompute=True) == 1
    assert slice_sequences(shape, 1, None, recompute=True) == 2


def layout_of_1b() -> Recipe:
    from dataselect.proxies.ladder import LADDER

    return replace(RECIPE, shape=LADDER["1B"].shape, sequence_length=2048, batch_size=704)


def test_a_plan_says_how_many_processes_a_stage_has() -> None:
    stage = Stage.model_validate({"proxy": {"size": "1B", "tokens": "1B"}, "processes": 8})
    compute = ComputePlan(shard="fsdp", activation_checkpointing=False)
    assert make_layout(stage, compute) == Layout(8, "fsdp", False)
    assert make_layout(Stage(), ComputePlan()) == Layout(1, "auto", "auto")


def test_a_plan_s_batch_that_cannot_be_shared_is_refused_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(
        "tokenizer: {train: {}}\n"
        "benchmarks: [{id: gsm8k}]\n"
        "screen:\n"
        "  keep: 1\n"
        "  processes: 3\n"
        "  proxy: {size: 4M, tokens: 10M, batch_size: 4}\n"
    )
    with pytest.raises(InputError, match=r"plan\.yaml:6:\d+: a batch of 4 sequences cannot"):
        make_recipes(read(Plan, path), 300, "cpu")
