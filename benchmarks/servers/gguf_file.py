"""Write a Llama model's weights and tokenizer as a GGUF file, in single precision.

    python gguf_file.py FOLDER OUT

FOLDER holds `weights.npz` and `description.json`, as `llama_cpp.write_gguf` leaves them. This runs
in the server's environment, which has `gguf` and NumPy and need not have PyTorch.
"""

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np

_OF_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OTHERS = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def main() -> None:
    folder, out = Path(sys.argv[1]), sys.argv[2]
    about = json.loads((folder / "description.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(out, "llama")
    add_shape(writer, about)
    add_tokenizer(writer, about)
    with np.load(folder / "weights.npz", allow_pickle=False) as weights:
        for name in weights.files:
            weight = weights[name]
            if name.endswith("q_proj.weight"):
                weight = interleaved(weight, about["heads"])
            elif name.endswith("k_proj.weight"):
                weight = interleaved(weight, about["key_value_heads"])
            writer.add_tensor(tensor_name(name), np.ascontiguousarray(weight, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_shape(writer: gguf.GGUFWriter, about: dict[str, Any]) -> None:
    writer.add_name("servers-check")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_vocab_size(len(about["tokens"]))
    writer.add_context_length(about["context"])
    writer.add_embedding_length(about["hidden"])
    writer.add_block_count(about["layers"])
    writer.add_feed_forward_length(about["feed_forward"])
    writer.add_head_count(about["heads"])
    writer.add_head_count_kv(about["key_value_heads"])
    writer.add_rope_dimension_count(about["hidden"] // about["heads"])
    writer.add_rope_freq_base(about["rope_theta"])
    writer.add_layer_norm_rms_eps(about["epsilon"])


def add_tokenizer(writer: gguf.GGUFWriter, about: dict[str, Any]) -> None:
    writer.add_tokenizer_model("gpt2")
    # The regular expression of the ByteLevel pre-tokenizer.
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(about["tokens"])
    kinds = [gguf.TokenType.NORMAL] * len(about["tokens"])
    kinds[about["end"]] = gguf.TokenType.CONTROL
    for token in about["shown"]:
        kinds[token] = gguf.TokenType.USER_DEFINED
    writer.add_token_types(kinds)
    writer.add_token_merges(about["merges"])
    writer.add_bos_token_id(about["end"])
    writer.add_eos_token_id(about["end"])
    # The chat template has it.
    writer.add_add_bos_token(False)
    writer.add_chat_template(about["template"])


def interleaved(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows reordered from rotating the halves of a head to rotating neighbours, as GGUF has it."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def tensor_name(name: str) -> str:
    if name in _OTHERS:
        return _OTHERS[name]
    layer, _, rest = name.removeprefix("model.layers.").partition(".")
    return f"blk.{layer}.{_OF_LAYER[rest.removesuffix('.weight')]}.weight"


if __name__ == "__main__":
    main()
