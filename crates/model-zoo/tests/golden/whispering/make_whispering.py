#!/usr/bin/env python3
"""Makes the golden folders of Whispering-LLaMA: LLaMA with the adapters, written out in torch from the equations.

    pip install torch safetensors numpy
    python make_whispering.py      # rewrites every case; versions.json must name the installed versions

Everything is computed an item at a time, without a batch, a cache or padding, and with the layout of the released code:
queries and keys are rotated as neighbouring pairs, and LLaMA's projections of them have their rows in that order. They
are put in the order of `transformers`, which rotates halves, only when the folder is written.

Each `whispering-*` folder holds llama/ (config.json, model.safetensors), whisper/ (the same, of the decoder's
attention to the encoder alone; absent where nothing is heard), adapter_config.json and adapter_model.safetensors under
the released names, and golden.safetensors:

    input_ids, attention_mask, labels (B, T), padded on the right; labels are -100 where nothing is scored
    audio (B, F, W), zeros behind audio_lengths (B)
    hidden_states.0 (the embedding) .. hidden_states.L (after the last norm) (B, T, D); logits (B, T, V)
    loss, the mean cross-entropy over scored labels; grad.<name> = d loss / d parameter for all that is trained, and
    grad_audio
    prompt_ids (B, P), generated_ids (B, 5): the likeliest tokens, each from a pass over everything

Weights are rounded to f32, then all runs in f64 and is rounded to f32 once. Rows of padding are zeros.
"""

import dataclasses
import json
import math
import pathlib
import platform
import shutil

import numpy
import safetensors
import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
IGNORED = -100
VOCAB = 23
STEPS = 5


@dataclasses.dataclass(frozen=True)
class Case:
    """One folder: sizes of both models and of the adapters, the rows, and what is special about it."""

    name: str
    why: str
    seed: int
    tokens: list  # of each row
    frames: list  # of each item
    layers: int = 3
    start: int = 1
    width: int = 16
    heads: int = 4
    kv_heads: int = 4
    head_dim: int = 4
    prompt: int = 3
    whisper_heads: int = 0  # 0: nothing is heard
    whisper_head_dim: int = 0
    r: int = 1
    shared: bool = True
    split: str = "released"
    whisper_layers: int = 3

    @property
    def hears(self):
        return self.whisper_heads > 0

    @property
    def audio_width(self):
        return self.whisper_heads * self.whisper_head_dim


CASES = [
    Case(
        "whispering-released", "three of four heads, narrower ones, more frames than a head is wide, one map for both",
        71, [7, 5], [9, 9], heads=4, kv_heads=4, head_dim=6, whisper_heads=3, whisper_head_dim=4, r=3,
    ),
    Case(
        "whispering-ragged", "items of unequal length, split by time, maps apart, a key head for two query heads",
        72, [4, 6, 5], [7, 4, 1], heads=4, kv_heads=2, head_dim=8, width=20, whisper_heads=2, whisper_head_dim=5, r=2,
        shared=False, layers=2, start=0, prompt=1, whisper_layers=5,
    ),
    Case(
        "whispering-paper", "heads that are stretches of elements, as wide as LLaMA's, fewer frames than that",
        73, [5, 5], [5, 3], heads=3, kv_heads=3, head_dim=8, whisper_heads=2, whisper_head_dim=8, r=4, shared=False,
        split="paper", start=2,
    ),
    Case(
        "whispering-full", "one item, as many heads as LLaMA and as wide, so that nothing is padded; r = 1",
        74, [6], [6], heads=2, kv_heads=1, head_dim=4, width=10, whisper_heads=2, whisper_head_dim=4, r=1, start=0,
        layers=2,
    ),
    Case("whispering-deaf", "LLaMA-Adapter: nothing is heard, and no norm before the rows", 75, [6, 3], [], prompt=5),
]


class Weights:
    """Names to tensors: drawn once, f32 values as f64 leaves."""

    def __init__(self, gen):
        self.gen, self.all = gen, {}

    def draw(self, name, *shape, std=0.4, around=0.0):
        value = around + std * torch.randn(shape, generator=self.gen, dtype=torch.float64)
        self.all[name] = value.float().double().requires_grad_()


def llama_weights(case, gen):
    w = Weights(gen)
    c, d = case.width, case.head_dim
    w.draw("wte", VOCAB, c)
    for i in range(case.layers):
        w.draw(f"{i}.rms_1", c, std=0.1, around=1.0)
        w.draw(f"{i}.rms_2", c, std=0.1, around=1.0)
        w.draw(f"{i}.q", case.heads * d, c)
        w.draw(f"{i}.k", case.kv_heads * d, c)
        w.draw(f"{i}.v", case.kv_heads * d, c)
        w.draw(f"{i}.o", c, case.heads * d)
        w.draw(f"{i}.gate", 11, c)
        w.draw(f"{i}.up", 11, c)
        w.draw(f"{i}.down", c, 11)
    w.draw("ln_f", c, std=0.1, around=1.0)
    w.draw("lm_head", VOCAB, c)
    return w.all


def whisper_weights(case, gen):
    w = Weights(gen)
    n = case.audio_width
    for i in range(case.whisper_layers):
        w.draw(f"{i}.key", n, n)
        w.draw(f"{i}.value", n, n)
        w.draw(f"{i}.value_bias", n)
    return w.all


def adapter_weights(case, gen):
    w = Weights(gen)
    n, inner = case.audio_width, case.audio_width // case.r if case.hears else 0
    for i in range(case.start, case.layers):
        at = f"transformer.h.{i}.attn."
        w.draw(at + "adapter_wte.weight", case.prompt, case.width, std=1.0)
        w.draw(at + "gating_factor", 1, around=0.7)
        if not case.hears:
            continue
        for side in ["key", "value"]:
            w.draw(at + f"projection_rms_{side}.scale", n, std=0.2, around=1.0)
            if side == "key" or not case.shared:
                w.draw(at + f"projection_{side}_matrix_down", n, inner, std=0.5)
                w.draw(at + f"projection_{side}_matrix_up", inner, n, std=0.5)
        w.draw(at + "projection_query_matrix_128to128", case.head_dim, case.head_dim, std=0.5)
        w.draw(at + "projection_query_matrix_32to32", case.heads, case.heads, std=0.5)
        w.draw(at + "projection_gating_factor", 1, around=1.0)
    return w.all


def rms_norm(x, scale):
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-5) * scale


def rotate_pairs(x):
    """(H, T, D): elements 2 i and 2 i + 1 turn together."""
    _, time, dim = x.shape
    frequency = 10_000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angle = torch.arange(time, dtype=torch.float64)[:, None] * frequency
    turned = torch.view_as_complex(x.reshape(*x.shape[:2], dim // 2, 2)) * torch.polar(torch.ones_like(angle), angle)
    return torch.view_as_real(turned).reshape(x.shape)


def attend(q, k, v, causal):
    scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[-1])
    if causal:
        scores = scores.masked_fill(torch.ones(scores.shape[1:]).triu(1).bool(), -torch.inf)
    return scores.softmax(-1) @ v


def heads_of(x, heads):
    return x.reshape(x.shape[0], heads, -1).transpose(0, 1)


def whisper_heads(case, x):
    """(F, W) to (H, F, D)."""
    frames = x.shape[0]
    if case.split == "released":
        split = x.reshape(case.whisper_heads, frames, case.whisper_head_dim)
    else:
        split = x.reshape(frames, case.whisper_heads, case.whisper_head_dim).transpose(0, 1)
    padded = torch.zeros(frames, case.head_dim, dtype=x.dtype).fill_diagonal_(1).repeat(case.heads, 1, 1)
    padded[:case.whisper_heads, :, :case.whisper_head_dim] = split
    return padded


def forward(case, llama, whisper, adapters, ids, audio):
    """States before every layer and after the last norm, and logits, of one item."""
    group = case.heads // case.kv_heads
    x = llama["wte"][ids]
    states = [x]
    for i in range(case.layers):
        def keys_values(y):
            both = [heads_of(y @ llama[f"{i}.{side}"].T, case.kv_heads) for side in "kv"]
            return [side.repeat_interleave(group, dim=0) for side in both]

        n = rms_norm(x, llama[f"{i}.rms_1"])
        q = rotate_pairs(heads_of(n @ llama[f"{i}.q"].T, case.heads))
        k, v = keys_values(n)
        y = attend(q, rotate_pairs(k), v, causal=True)
        if i >= case.start:
            a = {name.split(".attn.")[1]: t for name, t in adapters.items() if name.startswith(f"transformer.h.{i}.")}
            rows = a["adapter_wte.weight"]
            k, v = keys_values(rms_norm(rows, 1.0) if case.hears else rows)
            y = y + a["gating_factor"] * attend(q, k, v, causal=False)
            if case.hears:
                def through(side, projected):
                    maps = "key" if case.shared else side
                    z = rms_norm(projected, a[f"projection_rms_{side}.scale"]) @ a[f"projection_{maps}_matrix_down"]
                    return whisper_heads(case, torch.nn.functional.silu(z) @ a[f"projection_{maps}_matrix_up"])

                k = through("key", audio @ whisper[f"{i}.key"].T)
                v = through("value", audio @ whisper[f"{i}.value"].T + whisper[f"{i}.value_bias"])
                mixed = torch.einsum("htd,de->hte", q, a["projection_query_matrix_128to128"])
                mixed = torch.einsum("hte,hg->gte", mixed, a["projection_query_matrix_32to32"])
                y = y + a["projection_gating_factor"] * attend(mixed, k, v, causal=False)
        x = x + y.transpose(0, 1).flatten(1) @ llama[f"{i}.o"].T
        n = rms_norm(x, llama[f"{i}.rms_2"])
        inner = torch.nn.functional.silu(n @ llama[f"{i}.gate"].T) * (n @ llama[f"{i}.up"].T)
        x = x + inner @ llama[f"{i}.down"].T
        states.append(x)
    states[-1] = rms_norm(x, llama["ln_f"])
    return states, states[-1] @ llama["lm_head"].T


def llama_folder(case, llama):
    """Config and tensors as `transformers` has them."""
    def halves(rows, heads):
        pairs = rows.reshape(heads, case.head_dim // 2, 2, -1)
        return pairs.transpose(1, 2).reshape(rows.shape)

    tensors = {"model.embed_tokens.weight": llama["wte"], "model.norm.weight": llama["ln_f"], "lm_head.weight": llama["lm_head"]}
    for i in range(case.layers):
        at = f"model.layers.{i}."
        tensors[at + "input_layernorm.weight"] = llama[f"{i}.rms_1"]
        tensors[at + "post_attention_layernorm.weight"] = llama[f"{i}.rms_2"]
        tensors[at + "self_attn.q_proj.weight"] = halves(llama[f"{i}.q"], case.heads)
        tensors[at + "self_attn.k_proj.weight"] = halves(llama[f"{i}.k"], case.kv_heads)
        tensors[at + "self_attn.v_proj.weight"] = llama[f"{i}.v"]
        tensors[at + "self_attn.o_proj.weight"] = llama[f"{i}.o"]
        for name in ["gate", "up", "down"]:
            tensors[at + f"mlp.{name}_proj.weight"] = llama[f"{i}.{name}"]
    config = dict(
        model_type="llama", vocab_size=VOCAB, hidden_size=case.width, intermediate_size=11,
        num_hidden_layers=case.layers, num_attention_heads=case.heads, num_key_value_heads=case.kv_heads,
        head_dim=case.head_dim, max_position_embeddings=32, rms_norm_eps=1e-5, rope_theta=10000.0, bos_token_id=1,
        eos_token_id=2,
    )
    return config, tensors


def whisper_folder(case, whisper):
    tensors = {}
    for i in range(case.whisper_layers):
        at = f"model.decoder.layers.{i}.encoder_attn."
        tensors[at + "k_proj.weight"] = whisper[f"{i}.key"]
        tensors[at + "v_proj.weight"] = whisper[f"{i}.value"]
        tensors[at + "v_proj.bias"] = whisper[f"{i}.value_bias"]
    config = dict(
        model_type="whisper", vocab_size=VOCAB, d_model=case.audio_width, decoder_layers=case.whisper_layers,
        decoder_attention_heads=case.whisper_heads, encoder_attention_heads=1, encoder_layers=1,
        decoder_start_token_id=1, eos_token_id=2, pad_token_id=0, bos_token_id=1,
    )
    return config, tensors


def stored(tensors):
    out = {}
    for name, t in tensors.items():
        t = t.detach()
        assert not t.is_floating_point() or torch.isfinite(t).all(), name
        out[name] = t.to(torch.float32 if t.is_floating_point() else torch.int64).clone().contiguous()
    return out


def write(folder, config, tensors):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(stored(tensors), folder / "model.safetensors", metadata={"format": "pt"})


def make(case):
    gen = torch.Generator().manual_seed(case.seed)
    llama, adapters = llama_weights(case, gen), adapter_weights(case, gen)
    whisper = whisper_weights(case, gen) if case.hears else {}
    rows, time = len(case.tokens), max(case.tokens)
    mask = torch.tensor([[int(t < n) for t in range(time)] for n in case.tokens])
    golden = dict(attention_mask=mask, input_ids=torch.randint(3, VOCAB, mask.shape, generator=gen) * mask)
    golden["labels"] = torch.where(mask == 1, torch.randint(0, VOCAB, mask.shape, generator=gen), IGNORED)
    items = [torch.randn(n, case.audio_width, generator=gen, dtype=torch.float64).float().double().requires_grad_()
             for n in case.frames] or [None] * rows

    found = [forward(case, llama, whisper, adapters, golden["input_ids"][b, :n], items[b])
             for b, n in enumerate(case.tokens)]
    padded = lambda parts: torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)
    golden["logits"] = padded([logits for _, logits in found])
    for k in range(case.layers + 1):
        golden[f"hidden_states.{k}"] = padded([states[k] for states, _ in found])
    golden["loss"] = torch.nn.functional.cross_entropy(
        golden["logits"].flatten(0, 1), golden["labels"].flatten(), ignore_index=IGNORED)
    leaves = list(adapters.values()) + [item for item in items if item is not None]
    grads = torch.autograd.grad(golden["loss"], leaves)
    golden |= {f"grad.{name}": g for name, g in zip(adapters, grads)}
    assert all(float(g.abs().max()) > 0 for g in grads)
    if case.hears:
        golden["audio"] = padded([item.detach() for item in items])
        golden["audio_lengths"] = torch.tensor(case.frames)
        golden["grad_audio"] = padded(list(grads[len(adapters):]))

    prompt = min(case.tokens) - 1
    golden["prompt_ids"] = golden["input_ids"][:, :prompt]
    generated = []
    for b in range(rows):
        ids = golden["prompt_ids"][b]
        for _ in range(STEPS):
            scores = forward(case, llama, whisper, adapters, ids, items[b])[1][-1].detach()
            first, second = scores.topk(2).values
            assert float(first - second) > 1e-3, "a tie, which rounding may decide"
            ids = torch.cat([ids, scores.argmax()[None]])
        generated.append(ids[prompt:])
    golden["generated_ids"] = torch.stack(generated)

    folder = HERE / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write(folder / "llama", *llama_folder(case, llama))
    if case.hears:
        write(folder / "whisper", *whisper_folder(case, whisper))
    audio = dict(reduction_factor=case.r, shared=case.shared, wl_split=case.split) if case.hears else None
    config = dict(
        adapter_type="WHISPERING_LLAMA", adapter_prompt_length=case.prompt, adapter_start_layer=case.start, audio=audio,
        rms_norm_eps=1e-5,
    )
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(stored(adapters), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    remarks = dict(name=case.name, why=case.why, seed=case.seed)
    save_file(stored(golden), folder / "golden.safetensors", metadata={"case": json.dumps(remarks)})


def versions():
    return dict(
        python=platform.python_version(), torch=torch.__version__.split("+")[0], safetensors=safetensors.__version__,
        numpy=numpy.__version__,
    )


def main():
    torch.set_num_threads(1)
    assert json.loads((HERE / "versions.json").read_text()) == versions(), "other versions are installed"
    for case in CASES:
        make(case)
        print(case.name, sum(f.stat().st_size for f in (HERE / case.name).rglob("*") if f.is_file()))


if __name__ == "__main__":
    main()
