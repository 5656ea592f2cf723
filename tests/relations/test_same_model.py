"""One model, saved in any way that programs save models, has one score.

Each way of saving either gives the scores of the plain folder to 1e-9, or is refused in one line.
Ways that transformers itself writes must not be refused.
"""

import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from scored_models import ALL, differing, evaluation, item_scores, scores_or_refusal
from tokenizers import Tokenizer
from zoo import (
    ARCHITECTURES,
    TIED,
    TOKENIZERS,
    make_model,
    tensors_of,
    tokenizer_files,
    write_config,
    write_model,
    write_tokenizer,
    write_weights,
)

from dataselect.errors import DataselectError

Model = tuple[str, str]
"""Architecture and tokenizer."""

# Each architecture with one tokenizer, and each tokenizer with one architecture at least.
MODELS: list[Model] = [
    (architecture, TOKENIZERS[n % len(TOKENIZERS)]) for n, architecture in enumerate(ARCHITECTURES)
]


@cache
def model_of(architecture: str) -> Any:
    return make_model(architecture)


@cache
def plain_scores(architecture: str, tokenizer: str, tmp: Path) -> pd.DataFrame:
    """The scores of the plain folder."""
    return item_scores(write_model(tmp / f"{architecture}-{tokenizer}", architecture, tokenizer))


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("plain")


# The plain folder itself -----------------------------------------------------------------------


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_the_score_is_that_of_the_tokens_of_the_file_under_the_model_in_memory(
    architecture: str, tokenizer: str, shelf: Path
) -> None:
    """Without any of the loading code: `tokenizers` reads the file, the model was never saved."""
    rows = plain_scores(architecture, tokenizer, shelf)
    model, file = model_of(architecture), Tokenizer.from_str(tokenizer_files(tokenizer)[0])
    benchmark = evaluation().benchmark
    for item in benchmark.items:
        shots = len(benchmark.examples(item))
        context, label = benchmark.context(item, shots), benchmark.label_text(item)
        encoded = file.encode(context + label)
        first = next(n for n, (_, end) in enumerate(encoded.offsets) if end > len(context))
        assert encoded.offsets[first][0] == len(context)
        ids = torch.tensor([encoded.ids])
        with torch.inference_mode():
            chances = model(input_ids=ids, use_cache=False).logits[0].log_softmax(-1)
        losses = [-float(chances[n - 1, ids[0, n]]) for n in range(first, ids.shape[1])]
        assert rows["label_nll"][item.id] == pytest.approx(sum(losses) / len(losses), abs=1e-5)


# Ways of saving --------------------------------------------------------------------------------


def sharded(folder: Path, model: Any) -> None:
    for each in folder.glob("*.safetensors"):
        each.unlink()
    write_weights(folder, tensors_of(model), shards=3)


def one_shard(folder: Path, model: Any) -> None:
    for each in folder.glob("*.safetensors"):
        each.unlink()
    write_weights(folder, tensors_of(model), shards=1)


def head_stored(folder: Path, model: Any) -> None:
    write_weights(folder, tensors_of(model, head=True))


def untied_with_a_copy(folder: Path, model: Any) -> None:
    write_weights(folder, tensors_of(model, head=True))
    write_config(folder, model, tie_word_embeddings=False)


def as_its_library_saves(folder: Path, model: Any) -> None:
    model.save_pretrained(folder)


def in_small_files(folder: Path, model: Any) -> None:
    for each in folder.glob("*.safetensors"):
        each.unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1


def keys_in_another_order(folder: Path, _: Any) -> None:
    for path in folder.glob("*.json"):
        if path.name != "tokenizer.json":
            content = json.loads(path.read_bytes())
            path.write_text(json.dumps(dict(sorted(content.items(), reverse=True))))
    content = json.loads((folder / "tokenizer.json").read_bytes())
    content["model"]["vocab"] = _reversed(content["model"]["vocab"])
    (folder / "tokenizer.json").write_text(json.dumps(dict(reversed(content.items()))))


def _reversed(vocabulary: Any) -> Any:
    # A Unigram model's vocabulary is a list, whose order is the ids.
    return dict(reversed(vocabulary.items())) if isinstance(vocabulary, dict) else vocabulary


def tensors_in_another_order(folder: Path, model: Any) -> None:
    """By hand: header and data backwards, with no metadata."""
    header, data = {}, b""
    for name, tensor in reversed(tensors_of(model).items()):
        raw = tensor.numpy().tobytes()
        place = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": place}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)


def with_generation_config(folder: Path, _: Any) -> None:
    settings = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.3}
    (folder / "generation_config.json").write_text(json.dumps(settings))


def with_harmless_files(folder: Path, _: Any) -> None:
    (folder / "README.md").write_text("# A model")
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    (folder / "optimizer.pt").write_bytes(b"\x80\x02no pickle")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02no pickle")
    (folder / "trainer_state.json").write_text('{"global_step": 10}')
    (folder / "logs").mkdir()
    (folder / "logs" / "model.safetensors").write_bytes(b"another")


def with_files_of_older_programs(folder: Path, _: Any) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_bytes())
    named = {key: value for key, value in config.items() if key.endswith("_token")}
    (folder / "special_tokens_map.json").write_text(json.dumps(named))
    file = json.loads((folder / "tokenizer.json").read_bytes())
    added = {str(each.pop("id")): each for each in file["added_tokens"]}
    config["added_tokens_decoder"] = added
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def config_of_version_4(folder: Path, _: Any) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_bytes())
    content["torch_dtype"] = content.pop("dtype", "float32")
    content["transformers_version"] = "4.57.0"
    rope = content.pop("rope_parameters", None)
    if rope is not None and "rope_theta" in rope:
        content |= {"rope_theta": rope["rope_theta"]}
        if "partial_rotary_factor" in rope:
            content |= {"partial_rotary_factor": rope["partial_rotary_factor"]}
    path.write_text(json.dumps(content))


def by_links(folder: Path, _: Any) -> None:
    """As in the Hub's cache, where files are links to blobs."""
    blobs = folder.parent / f"{folder.name}-blobs"
    blobs.mkdir()
    for n, path in enumerate(sorted(folder.iterdir())):
        path.rename(blobs / f"{n:064x}")
        path.symlink_to(blobs / f"{n:064x}")


def renamed(folder: Path, _: Any) -> None:
    odd = folder.parent / "checkpoint 1000 (copy)@x"
    folder.rename(odd)
    folder.symlink_to(odd)


def tokenizer_in_one_line(folder: Path, _: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()), ensure_ascii=True))


WAYS: tuple[Callable[[Path, Any], None], ...] = (
    sharded,
    one_shard,
    head_stored,
    as_its_library_saves,
    in_small_files,
    keys_in_another_order,
    tensors_in_another_order,
    with_generation_config,
    with_harmless_files,
    with_files_of_older_programs,
    config_of_version_4,
    by_links,
    renamed,
    tokenizer_in_one_line,
)


def in_turn(first: Sequence[Any], second: Sequence[Any]) -> list[tuple[Any, Any]]:
    """All of the second with the first of the first; the others with every third in turn."""
    return [
        (one, other)
        for n, one in enumerate(first)
        for m, other in enumerate(second)
        if n == 0 or (n + m) % 3 == 0
    ]


@pytest.mark.parametrize(
    ("model", "way"),
    in_turn(MODELS, WAYS),
    ids=lambda each: each.__name__ if callable(each) else "-".join(each),
)
def test_every_way_of_saving_gives_the_same_scores(
    model: Model, way: Callable[[Path, Any], None], shelf: Path, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", *model)
    way(folder, model_of(model[0]))
    # Everything that is measured for one model, and for the others what takes least.
    found = item_scores(folder, measurements=ALL if model == MODELS[0] else ("scores",))
    assert differing(plain_scores(*model, shelf)[found.columns], found) == []


@pytest.mark.parametrize("architecture", TIED)
def test_a_head_that_is_said_to_be_its_own_and_is_stored_equal_scores_the_same(
    architecture: str, shelf: Path, tmp_path: Path
) -> None:
    folder = write_model(tmp_path / "model", architecture)
    untied_with_a_copy(folder, model_of(architecture))
    found = scores_or_refusal(folder)
    same = isinstance(found, DataselectError) or not differing(
        plain_scores(architecture, "bytes", shelf), found
    )
    assert same, found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_weights_kept_in_half_precision_score_as_the_same_weights_in_full(
    architecture: str, tmp_path: Path
) -> None:
    dtype = (torch.bfloat16, torch.float16)[ARCHITECTURES.index(architecture) % 2]
    folder = write_model(tmp_path / "model", architecture)
    half = {name: tensor.to(dtype) for name, tensor in tensors_of(model_of(architecture)).items()}
    write_weights(folder, {name: tensor.float() for name, tensor in half.items()})
    full = item_scores(folder, measurements=("scores",))
    write_weights(folder, half)
    # What the config says of the file changes nothing.
    for said in ("float32", str(dtype).removeprefix("torch.")):
        write_config(folder, model_of(architecture), dtype=said)
        assert differing(full, item_scores(folder, measurements=("scores",))) == []


# Tokenizer classes -----------------------------------------------------------------------------

CLASSES = (
    "TokenizersBackend",
    "PreTrainedTokenizerFast",
    "GPT2Tokenizer",
    "GPT2TokenizerFast",
    "GPTNeoXTokenizerFast",
    "GPTNeoXTokenizer",
    "CodeGenTokenizer",
    "CodeGenTokenizerFast",
    "Qwen2Tokenizer",
    "Qwen2TokenizerFast",
    "LlamaTokenizer",
    "LlamaTokenizerFast",
    "CohereTokenizerFast",
    "GemmaTokenizerFast",
    "BloomTokenizerFast",
    "T5TokenizerFast",
    "ATokenizerOfTheirOwn",
    None,
)


@pytest.mark.parametrize(("tokenizer", "name"), in_turn(TOKENIZERS, CLASSES))
def test_the_name_of_a_tokenizer_class_changes_no_score(
    tokenizer: str, name: str | None, tmp_path: Path
) -> None:
    # Which class takes its own pre-tokenizer in place of the file's depends on the architecture.
    turn = CLASSES.index(name) + TOKENIZERS.index(tokenizer)
    architecture = ("llama", "gpt_neox", "qwen2")[turn % 3]
    folder = write_model(tmp_path / architecture, architecture, tokenizer)
    write_tokenizer(folder, tokenizer, tokenizer_class=name)
    found = scores_or_refusal(folder, measurements=("scores",))
    if not isinstance(found, DataselectError):
        assert differing(by_hand(architecture, tokenizer), found) == [], architecture


@cache
def by_hand(architecture: str, tokenizer: str) -> pd.DataFrame:
    """Scores with the file's tokenizer, whatever AutoTokenizer makes of the folder."""
    from transformers import PreTrainedTokenizerFast

    from dataselect.scoring.likelihood.scorer import score
    from dataselect.scoring.prepare import prepare

    settings = json.loads(tokenizer_files(tokenizer)[1])
    named = {key: value for key, value in settings.items() if key.endswith("_token")}
    used = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_files(tokenizer)[0]), **named
    )
    evaluated = evaluation()
    prepared = prepare(evaluated.benchmark, evaluated.traces[0], used, 512)
    return score(model_of(architecture), prepared.items).table.set_index("item")


SETTINGS: tuple[dict[str, Any], ...] = (
    {"add_bos_token": True},
    {"add_bos_token": False},
    {"add_eos_token": True},
    {"add_prefix_space": True},
    {"add_prefix_space": False},
    {"legacy": False},
    {"legacy": True},
    {"clean_up_tokenization_spaces": True},
    {"split_special_tokens": True},
    {"use_default_system_prompt": True},
    {"model_max_length": 16},
    {"padding_side": "left", "truncation_side": "left"},
    {"bos_token": None},
    {"unk_token": "a", "pad_token": "e"},
    {"additional_special_tokens": ["sum", "is"]},
    {"chat_template": "{{ messages }}"},
)


@pytest.mark.parametrize(
    ("tokenizer", "changes"),
    in_turn(TOKENIZERS, SETTINGS),
    ids=lambda each: each if isinstance(each, str) else "-".join(each),
)
def test_settings_beside_the_file_change_no_score(
    tokenizer: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    """tokenizer.json says how text becomes tokens; what stands beside it cannot say otherwise."""
    folder = write_model(tmp_path / "model", "llama", tokenizer)
    turn = SETTINGS.index(changes) + TOKENIZERS.index(tokenizer)
    name = ("TokenizersBackend", "LlamaTokenizerFast", "GPT2Tokenizer")[turn % 3]
    write_tokenizer(folder, tokenizer, tokenizer_class=name, **changes)
    found = scores_or_refusal(folder, measurements=("scores",))
    if not isinstance(found, DataselectError):
        assert differing(by_hand("llama", tokenizer), found) == [], name


@pytest.mark.parametrize("tokenizer", TOKENIZERS)
def test_the_names_that_most_folders_have_are_scored(tokenizer: str, tmp_path: Path) -> None:
    """So the relations above do not hold because everything is refused."""
    for name in ("TokenizersBackend", "PreTrainedTokenizerFast"):
        folder = write_model(tmp_path / name, "llama", tokenizer)
        write_tokenizer(folder, tokenizer, tokenizer_class=name)
        found = item_scores(folder, measurements=("scores",))
        assert differing(by_hand("llama", tokenizer), found) == []


def test_another_weight_is_another_score(shelf: Path, tmp_path: Path) -> None:
    """The relations above would hold for numbers that depend on nothing."""
    folder = write_model(tmp_path / "model", "llama", "bytes", seed=1)
    assert "rbridge" in differing(plain_scores("llama", "bytes", shelf), item_scores(folder))
    other = write_model(tmp_path / "other", "llama", "digits")
    assert "rbridge" in differing(plain_scores("llama", "bytes", shelf), item_scores(other))
