"""Hugging Face folders as the files that whisper.cpp and llama.cpp read.

The formats are those of `models/convert-h5-to-ggml.py` of whisper.cpp and `convert_hf_to_gguf.py` of llama.cpp.
"""

import json
import re
import struct

import numpy
from safetensors.numpy import load_file

# Names of `transformers` -> names of openai-whisper, in this order.
WHISPER_NAMES = [
    (r"^model\.", ""),
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"embed_tokens\.weight", "token_embedding.weight"),
    (r"embed_positions\.weight", "positional_embedding"),
]


def bytes_of_symbols():
    """GPT-2's printable stand-ins for bytes, the other way round."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in shown]
    return {chr(b): b for b in shown} | {chr(256 + k): b for k, b in enumerate(hidden)}


def made(path, write):
    """`path`, which `write` makes where it is not there; never half of it."""
    if not path.exists():
        part = path.with_suffix(".part")
        write(part)
        part.rename(path)
    return path


def write_whisper(folder, path):
    from transformers import WhisperFeatureExtractor

    config = json.loads((folder / "config.json").read_text())
    vocabulary = json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    tokens = sorted((id, text) for text, id in vocabulary.items() if not re.fullmatch(r"<\|.*\|>", text))
    symbols = bytes_of_symbols()
    filters = WhisperFeatureExtractor(feature_size=config["num_mel_bins"]).mel_filters.T.astype("<f4")
    keys = [
        *("vocab_size", "max_source_positions", "d_model", "encoder_attention_heads", "encoder_layers"),
        *("max_target_positions", "d_model", "decoder_attention_heads", "decoder_layers", "num_mel_bins"),
    ]
    with open(path, "wb") as out:
        # The last number says that matrices are f16.
        out.write(struct.pack("<12i", 0x67676D6C, *(config[key] for key in keys), 1))
        out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())
        out.write(struct.pack("<i", len(tokens)))
        for _, text in tokens:
            raw = bytes(symbols[c] for c in text)
            out.write(struct.pack("<i", len(raw)) + raw)
        for name, x in load_file(folder / "model.safetensors").items():
            if name == "proj_out.weight":
                continue
            for pattern, new in WHISPER_NAMES:
                name = re.sub(pattern, new, name)
            if re.search(r"conv[12]\.bias$", name):
                x = x.reshape(-1, 1)
            is_half = x.ndim > 1 and not re.search(r"conv[12]\.bias$|positional_embedding$", name)
            x = numpy.ascontiguousarray(x.astype("<f2" if is_half else "<f4"))
            raw = name.encode()
            out.write(struct.pack("<3i", x.ndim, len(raw), int(is_half)))
            out.write(struct.pack(f"<{x.ndim}i", *x.shape[::-1]) + raw + x.tobytes())


# Names of `transformers` -> names of llama.cpp.
LLAMA_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
LLAMA_ENDS = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def paired(x, heads):
    """Rows of a rotated projection: from halves that belong together to neighbours that do."""
    return x.reshape(heads, 2, x.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(x.shape)


def write_llama(folder, path):
    import gguf

    config = json.loads((folder / "config.json").read_text())
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    heads, key_heads = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    writer.add_rope_freq_base(theta)
    writer.add_rope_dimension_count(config["hidden_size"] // heads)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    # Only ids go in and come out; the vocabulary is there because the format wants one.
    tokens = [text for text, _ in sorted(model["vocab"].items(), key=lambda item: item[1])]
    tokens += [f"<unused{k}>" for k in range(len(tokens), config["vocab_size"])]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens))
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    for name, x in load_file(folder / "model.safetensors").items():
        base, kind = name.rsplit(".", 1)
        if base in LLAMA_ENDS:
            new = LLAMA_ENDS[base]
        else:
            _, _, layer, rest = base.split(".", 3)
            new = f"blk.{layer}.{LLAMA_NAMES[rest]}"
            if rest == "self_attn.q_proj":
                x = paired(x, heads)
            elif rest == "self_attn.k_proj":
                x = paired(x, key_heads)
        x = x.astype(numpy.float16 if x.ndim > 1 else numpy.float32)
        writer.add_tensor(f"{new}.{kind}", numpy.ascontiguousarray(x))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
