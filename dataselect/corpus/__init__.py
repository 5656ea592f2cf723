"""From a source of text to packed token sequences: rows, tokenizer, shards and packing."""
